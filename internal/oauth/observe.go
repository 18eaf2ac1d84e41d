package oauth

import (
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
)

// Observer learns what happened, for metrics. Its methods must return at once.
// No field holds anything that a stranger could make up.
type Observer interface {
	TokenDone(TokenDone)
}

// TokenDone is the end of one token request.
type TokenDone struct {
	Grant   string // "authorization_code", "refresh_token", "client_credentials", "sms_code" or "other"
	Error   string // the error code of the answer, "" for tokens
	Refresh bool   // a refresh token was among them
	ID      bool   // an ID token was
}

type nobody struct{}

func (nobody) TokenDone(TokenDone) {}

func tokenDone(grantType string, answer engine.TokenResponse, err error) TokenDone {
	done := TokenDone{Grant: "other", Refresh: answer.RefreshToken != "", ID: answer.IDToken != ""}
	switch grantType {
	case client.GrantAuthorizationCode, client.GrantRefreshToken, client.GrantClientCredentials:
		done.Grant = grantType
	case client.GrantSMSCode:
		done.Grant = "sms_code"
	}
	if err != nil {
		done.Error = fault.From(err).Code
	}
	return done
}
