package oauth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// introspection is the answer of RFC 7662 section 2.2; everything but active is
// absent from an inactive one.
type introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	ExpiresAt int64    `json:"exp,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	TokenID   string   `json:"jti,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	SessionID string   `json:"sid,omitempty"`
}

// introspect is the introspection endpoint. Only confidential clients may ask;
// they learn of their own tokens, first-party ones of all access tokens. A refresh
// token is for the token endpoint alone: a resource server that is handed one must not
// take it for an access token, so only its owner learns of it.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	p, err := formParams(w, r, maxFormBytes)
	if err != nil {
		s.writeOAuthError(w, r, err)
		return
	}
	caller, err := s.authenticateConfidential(r, p)
	if err != nil {
		s.writeOAuthError(w, r, err)
		return
	}
	token := p.get("token")
	if token == "" {
		s.writeOAuthError(w, r, errInvalidRequest.Describe("token is required"))
		return
	}
	answer, err := s.inspect(r.Context(), token)
	if err != nil {
		s.writeOAuthError(w, r, err)
		return
	}
	if answer.ClientID != caller.ID && (!caller.FirstParty || isRefreshToken(token)) {
		answer = introspection{} // as if it were no token at all
	}
	writeJSON(w, http.StatusOK, answer)
}

// inspect tells what stands behind a token; the hint of the request is not
// needed, the two kinds cannot be taken for each other.
func (s *Server) inspect(ctx context.Context, token string) (introspection, error) {
	if isRefreshToken(token) {
		return s.inspectRefresh(ctx, token)
	}
	t, err := s.liveToken(ctx, token)
	if errors.Is(err, errInvalidToken) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	answer := introspection{
		Active: true, Scope: strings.Join(t.Scope, " "), ClientID: t.ClientID, TokenType: "Bearer", Subject: t.Subject,
		Audience: t.Audience, Issuer: s.issuer, ExpiresAt: t.ExpiresAt.Unix(), IssuedAt: t.IssuedAt.Unix(), TokenID: t.ID,
		ACR: t.ACR, AMR: t.AMR, SessionID: t.SessionID,
	}
	if !t.AuthTime.IsZero() {
		answer.AuthTime = t.AuthTime.Unix()
	}
	return answer, nil
}

func (s *Server) inspectRefresh(ctx context.Context, token string) (introspection, error) {
	g, usable, err := s.engine.RefreshToken(ctx, token)
	if errors.Is(err, db.ErrNotFound) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	c, err := s.clients.Get(ctx, g.ClientID)
	if errors.Is(err, db.ErrNotFound) || err == nil && (!usable || !g.Stands(time.Now()) || !c.MayUse(client.GrantRefreshToken)) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	return introspection{
		Active: true, Scope: strings.Join(stillOpen(c, g.Scope), " "), ClientID: g.ClientID, Subject: g.UserID,
		Audience: g.Audience, Issuer: s.issuer, ExpiresAt: g.ExpiresAt.Unix(), IssuedAt: g.RotatedAt.Unix(),
		AuthTime: g.AuthTime.Unix(), ACR: g.ACR, AMR: g.AMR, SessionID: g.SessionID,
	}, nil
}

// isRefreshToken goes by the form: access tokens are JWTs, which begin with a
// base64url-encoded brace.
func isRefreshToken(token string) bool { return strings.HasPrefix(token, "rt.") }

// liveToken is an access token together with what it stands on.
type liveToken struct {
	engine.AccessToken
	client *client.Client
	grant  grant.Live // zero for a token of the client credentials grant
}

// liveToken verifies an access token and, with one read, that client, grant,
// person and session behind it still stand. Whatever is wrong with it is
// errInvalidToken. Scopes that the client lost since are left out.
func (s *Server) liveToken(ctx context.Context, raw string) (liveToken, error) {
	verified, err := s.engine.AccessToken(raw)
	if err != nil {
		return liveToken{}, errInvalidToken.Because(err)
	}
	t := liveToken{AccessToken: verified}
	t.client, err = s.clients.Get(ctx, t.ClientID)
	if err == nil {
		err = s.stands(ctx, &t)
	}
	if errors.Is(err, db.ErrNotFound) {
		return liveToken{}, errInvalidToken.Because(err)
	}
	if err != nil {
		return liveToken{}, err
	}
	t.Scope = stillOpen(t.client, t.Scope)
	return t, nil
}

// stands makes the one read.
func (s *Server) stands(ctx context.Context, t *liveToken) (err error) {
	if t.GrantID == "" {
		revoked, err := s.grants.TokenRevoked(ctx, t.ID)
		if err == nil && revoked {
			return errInvalidToken
		}
		return err
	}
	if t.grant, err = s.grants.Find(ctx, t.GrantID); err != nil {
		return err
	}
	if !t.grant.Stands(time.Now()) {
		return errInvalidToken
	}
	return nil
}

// stillOpen is what of a scope the client may have today.
func stillOpen(c *client.Client, scope []string) []string {
	return slices.DeleteFunc(slices.Clone(scope), func(s string) bool { return !c.AllowsScope(s) })
}
