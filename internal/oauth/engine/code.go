package engine

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// Code issues an authorization code. No store is written: the code is the sealed authorization, its
// redemption inserts the grant.
func (e *Engine) Code(ctx context.Context, a Authorization) (string, error) {
	if a.NoRedirect {
		a.RedirectURI, a.RedirectGiven = noRedirect, false
	}
	target, err := url.Parse(a.RedirectURI)
	if err != nil {
		return "", errInvalidRequest.Describe("redirect_uri is malformed").Because(err)
	}
	if a.Audience == nil {
		a.Audience = e.audience
	}
	w := &work{now: time.Now(), client: e.registered(a.Client), authorization: &a}
	form := url.Values{"redirect_uri": {a.RedirectURI}}
	if a.CodeChallenge != "" {
		form.Set("code_challenge", a.CodeChallenge)
		form.Set("code_challenge_method", "S256")
	}
	response, err := e.provider.NewAuthorizeResponse(w.in(ctx), &fosite.AuthorizeRequest{
		ResponseTypes: fosite.Arguments{"code"},
		RedirectURI:   target,
		Request: fosite.Request{
			ID: db.NewID(), RequestedAt: a.RequestedAt, Client: w.client, Form: form,
			RequestedScope: a.Scope, GrantedScope: a.Scope, RequestedAudience: a.Audience, GrantedAudience: a.Audience,
		},
	}, newSession(a.Person.UserID, a.Person.AuthTime, a.RequestedAt))
	if err != nil {
		return "", w.translate(err)
	}
	return response.GetParameters().Get("code"), nil
}

// noRedirect stands where fosite wants to see a redirect URI and there is none. No
// client has it, and nothing is ever sent there.
const noRedirect = "urn:dialtone:params:oauth:no-redirect"

// sealedCode is what an authorization code holds, with names as short as they are many.
type sealedCode struct {
	GrantID     string   `json:"g"` // the grant it becomes
	ClientID    string   `json:"c"`
	RedirectURI string   `json:"r,omitempty"` // only if the request had one
	NoRedirect  bool     `json:"h,omitempty"`
	Key         string   `json:"k,omitempty"` // thumbprint of the DPoP key
	Scope       string   `json:"s"`
	Audience    []string `json:"d,omitempty"` // only if it is not the issuer alone
	Nonce       string   `json:"n,omitempty"`
	Challenge   string   `json:"p,omitempty"` // PKCE, S256
	UserID      string   `json:"u"`
	SessionID   string   `json:"i,omitempty"`
	AuthTime    int64    `json:"a"` // microseconds since 1970, like IssuedAt
	AMR         string   `json:"m,omitempty"`
	ACR         string   `json:"l,omitempty"`
	IssuedAt    int64    `json:"t"`
}

// codeLabel separates codes from everything else the vault seals.
const codeLabel = "code"

// sealCode makes the code of an authorization. The issuer is authenticated with it, so that a
// code of another installation under the same master secret does not open.
func (e *Engine) sealCode(a *Authorization, grantID string, now time.Time) (string, error) {
	c := sealedCode{
		GrantID: grantID, ClientID: a.Client.ID, Scope: strings.Join(a.Scope, " "), Nonce: a.Nonce, Challenge: a.CodeChallenge,
		UserID: a.Person.UserID, SessionID: a.Person.SessionID, AuthTime: db.Micros(a.Person.AuthTime),
		AMR: strings.Join(a.Person.AMR, " "), ACR: a.Person.ACR, IssuedAt: db.Micros(now),
		NoRedirect: a.NoRedirect, Key: a.KeyThumbprint,
	}
	if a.RedirectGiven {
		c.RedirectURI = a.RedirectURI
	}
	if len(a.Audience) != 1 || a.Audience[0] != e.config.Issuer {
		c.Audience = a.Audience
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode authorization code: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(e.vault.Seal(codeLabel, plain, []byte(e.config.Issuer))), nil
}

var errCodeExpired = errors.New("authorization code expired")

// openCode opens a code that is not older than its lifetime; nor may it come from the future,
// by more than the clocks of two servers differ.
func (e *Engine) openCode(code string, now time.Time) (sealedCode, error) {
	sealed, err := decodeStrictly(code)
	if err != nil {
		return sealedCode{}, fmt.Errorf("decode authorization code: %w", err)
	}
	plain, err := e.vault.Open(codeLabel, sealed, []byte(e.config.Issuer))
	if err != nil {
		return sealedCode{}, err
	}
	var c sealedCode
	if err := json.Unmarshal(plain, &c); err != nil {
		return sealedCode{}, fmt.Errorf("decode authorization code: %w", err)
	}
	if age := now.Sub(db.Time(c.IssuedAt)); age >= e.config.CodeTTL || age < -maxCodeTTL {
		return sealedCode{}, errCodeExpired
	}
	return c, nil
}

// fits says whether a token request may redeem the code as far as fosite does not
// ask: one that was handed to the app itself goes with no redirect URI, and one that
// is bound to a key goes with that key alone.
func (c *sealedCode) fits(redirectURI, thumbprint string) bool {
	return !(c.NoRedirect && redirectURI != "") && (c.Key == "" || c.Key == thumbprint)
}

var errSpelling = errors.New("not in its one spelling")

// decodeStrictly accepts only what the encoder makes, so that no two strings are one code or
// token: neither stray bits at the end nor the line breaks that the decoder skips.
func decodeStrictly(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errSpelling
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

// grant is the row that the code becomes.
func (c *sealedCode) grant() grant.Grant {
	return grant.Grant{
		ID: c.GrantID, ClientID: c.ClientID, UserID: c.UserID, SessionID: c.SessionID,
		Scope: strings.Fields(c.Scope), Audience: c.Audience, AuthTime: db.Time(c.AuthTime),
		AMR: strings.Fields(c.AMR), ACR: c.ACR, Salt: newSalt(),
	}
}

// form is what the handlers of the code and of PKCE compare a token request with.
func (c *sealedCode) form() url.Values {
	f := make(url.Values, 3)
	if c.RedirectURI != "" {
		f["redirect_uri"] = []string{c.RedirectURI}
	}
	if c.Challenge != "" {
		f["code_challenge"] = []string{c.Challenge}
		f["code_challenge_method"] = []string{"S256"}
	}
	return f
}

func newSalt() []byte {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return b
}

func (e *Engine) registered(c *client.Client) registered {
	return registered{Client: c, audience: e.audience}
}
