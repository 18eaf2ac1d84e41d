package engine

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// AccessToken is a verified RFC 9068 token (signature, typ, iss, aud, exp); whether it still stands is
// the grant's matter. It is shared: never change its slices.
type AccessToken struct {
	ID        string // jti
	KeyID     string // of the key that signed it
	GrantID   string // "" for client credentials
	Subject   string
	ClientID  string
	SessionID string
	Scope     []string
	Audience  []string
	IssuedAt  time.Time
	ExpiresAt time.Time
	AuthTime  time.Time // zero for client credentials
	ACR       string
	AMR       []string
}

// AccessToken verifies without touching a store; any failure is fault invalid_token. The expiry is
// taken as it stands, without leeway: the clocks that count are those of our own servers.
//
// A token usually comes more than once in its ten minutes, and its signature costs more than all the
// rest, so what was verified is remembered by the token's hash until it expires. Keys verify for far
// longer than that after they retire (signing.Policy.Keep), unless an operator deletes them.
func (e *Engine) AccessToken(raw string) (AccessToken, error) {
	key := sha256.Sum256([]byte(raw))
	t, known := e.verified.GetIfPresent(key)
	if known = known && e.ring.Knows(t.KeyID); !known {
		var err error
		if t, err = e.verify(raw); err != nil {
			return AccessToken{}, err
		}
	}
	if !time.Now().Before(t.ExpiresAt) {
		e.verified.Invalidate(key)
		return AccessToken{}, errInvalidToken.Because(errors.New("the access token expired"))
	}
	if !known {
		e.verified.Set(key, t)
	}
	return t, nil
}

// verify checks everything but the expiry.
func (e *Engine) verify(raw string) (AccessToken, error) {
	v, err := e.ring.Verify(raw)
	if err != nil {
		return AccessToken{}, errInvalidToken.Because(err)
	}
	if v.Type != accessTokenType {
		return AccessToken{}, errInvalidToken.Because(errors.New("the JWT is no access token"))
	}
	var c accessClaims
	if err := json.Unmarshal(v.Payload, &c); err != nil {
		return AccessToken{}, errInvalidToken.Because(fmt.Errorf("claims of an access token: %w", err))
	}
	switch {
	case c.Issuer != e.config.Issuer:
		return AccessToken{}, errInvalidToken.Because(errors.New("the access token is of another issuer"))
	case !slices.Contains(c.Audience, e.config.Issuer):
		return AccessToken{}, errInvalidToken.Because(errors.New("the access token is for another audience"))
	}
	t := AccessToken{
		ID: c.ID, KeyID: v.KeyID, GrantID: c.GrantID, Subject: c.Subject, ClientID: c.ClientID, SessionID: c.SessionID,
		Scope: strings.Fields(c.Scope), Audience: c.Audience, ACR: c.ACR, AMR: c.AMR,
		IssuedAt: time.Unix(c.IssuedAt, 0).UTC(), ExpiresAt: time.Unix(c.ExpiresAt, 0).UTC(),
	}
	if c.AuthTime != 0 {
		t.AuthTime = time.Unix(c.AuthTime, 0).UTC()
	}
	return t, nil
}

// RefreshToken finds the grant of a refresh token and whether this very token is usable now (current, or predecessor in grace); a forged one is db.ErrNotFound. One read.
func (e *Engine) RefreshToken(ctx context.Context, raw string) (g grant.Live, usable bool, err error) {
	g, generation, err := e.findRefreshToken(ctx, raw)
	if err != nil {
		return grant.Live{}, false, err
	}
	now := time.Now()
	age := e.ageOf(&g.Grant, generation, now)
	return g, g.Stands(now) && (age == newest || age == predecessor), nil
}

// IDTokenHint reads an ID token of ours, expired or signed by a retired key included.
type IDTokenHint struct {
	Subject   string
	Audience  []string
	SessionID string
	ExpiresAt time.Time
}

// IDTokenHint reads an id_token_hint (OpenID Connect Core 1.0 section 3.1.2.1): an ID token that this
// issuer signed, with any key it still remembers, however long ago it expired. Anything else is
// invalid_request.
func (e *Engine) IDTokenHint(raw string) (IDTokenHint, error) {
	v, err := e.ring.VerifyHint(raw)
	if err != nil {
		return IDTokenHint{}, errInvalidHint.Because(err)
	}
	if v.Type != idTokenType {
		return IDTokenHint{}, errInvalidHint.Because(errors.New("the JWT is no ID token"))
	}
	var c idClaims
	if err := json.Unmarshal(v.Payload, &c); err != nil {
		return IDTokenHint{}, errInvalidHint.Because(fmt.Errorf("claims of an ID token: %w", err))
	}
	if c.Issuer != e.config.Issuer || c.Subject == "" || c.Audience == "" {
		return IDTokenHint{}, errInvalidHint.Because(errors.New("the ID token is of another issuer"))
	}
	return IDTokenHint{
		Subject: c.Subject, Audience: []string{c.Audience}, SessionID: c.SessionID, ExpiresAt: time.Unix(c.ExpiresAt, 0).UTC(),
	}, nil
}
