package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"

	"github.com/dialtone-id/dialtone/internal/signing"
)

// Types in the header of our JWTs. They keep an ID token from passing as an access token and
// the reverse, where keys and algorithms are the same (RFC 9068 section 2.1, RFC 8725 section 3.11).
const (
	accessTokenType = "at+jwt"
	idTokenType     = "JWT"
)

// strategies make the tokens of all grants. The token itself serves as its signature, by which
// fosite would find it in a store.
type strategies struct{ engine *Engine }

var (
	_ oauth2.CoreStrategy               = (*strategies)(nil)
	_ openid.OpenIDConnectTokenStrategy = (*strategies)(nil)
)

// accessClaims are those of RFC 9068 section 2.2, and gid, the grant.
type accessClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  []string `json:"aud"`
	ClientID  string   `json:"client_id"`
	IssuedAt  int64    `json:"iat"`
	ExpiresAt int64    `json:"exp"`
	ID        string   `json:"jti"`
	Scope     string   `json:"scope,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	SessionID string   `json:"sid,omitempty"`
	GrantID   string   `json:"gid,omitempty"` // absent for client credentials
}

// GenerateAccessToken signs what the unit of work says about the grant with the scope that this
// request got.
func (s *strategies) GenerateAccessToken(ctx context.Context, r fosite.Requester) (token, signature string, err error) {
	w, c := workOf(ctx), &s.engine.config
	g := &w.grant
	claims := accessClaims{
		Issuer: c.Issuer, Subject: g.UserID, Audience: g.Audience, ClientID: w.client.ID,
		IssuedAt: w.now.Unix(), ExpiresAt: w.now.Unix() + int64(c.AccessTokenTTL/time.Second), ID: rand.Text(),
		Scope: strings.Join(r.GetGrantedScopes(), " "), ACR: g.ACR, AMR: g.AMR, SessionID: g.SessionID, GrantID: g.ID,
	}
	if g.ID == "" {
		claims.Subject, claims.Audience = w.client.ID, s.engine.audience
	} else {
		claims.AuthTime = g.AuthTime.Unix()
	}
	w.accessToken, err = s.sign(signing.ES256, accessTokenType, claims)
	return w.accessToken, w.accessToken, err
}

// idClaims are those of OpenID Connect Core 1.0 section 2, sid of Front-Channel Logout 1.0 section 3.
type idClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	ExpiresAt int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	AuthTime  int64    `json:"auth_time"`
	Nonce     string   `json:"nonce,omitempty"` // not after a refresh
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	SessionID string   `json:"sid,omitempty"`
	TokenHash string   `json:"at_hash"`
}

// GenerateIDToken signs with the algorithm that the client registered. fosite compares scopes
// without regard to case, so "OpenID" gets here; it is told that this is no OpenID request.
func (s *strategies) GenerateIDToken(ctx context.Context, lifespan time.Duration, r fosite.Requester) (string, error) {
	w := workOf(ctx)
	if !slices.Contains(r.GetGrantedScopes(), "openid") {
		return "", fosite.ErrUnknownRequest
	}
	alg := signing.Algorithm(w.client.IDTokenSignedResponseAlg)
	if alg == "" {
		alg = signing.RS256
	}
	g := &w.grant
	return s.sign(alg, idTokenType, idClaims{
		Issuer: s.engine.config.Issuer, Subject: g.UserID, Audience: w.client.ID,
		IssuedAt: w.now.Unix(), ExpiresAt: w.now.Unix() + int64(lifespan/time.Second), ID: rand.Text(),
		AuthTime: g.AuthTime.Unix(), Nonce: w.code.Nonce, ACR: g.ACR, AMR: g.AMR, SessionID: g.SessionID,
		TokenHash: tokenHash(alg, w.accessToken),
	})
}

// tokenHash is at_hash: the left half of the hash that belongs to the signature's algorithm,
// which for Ed25519 is SHA-512.
func tokenHash(alg signing.Algorithm, token string) string {
	if alg == signing.EdDSA {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

func (s *strategies) sign(alg signing.Algorithm, typ string, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	return s.engine.ring.Sign(alg, typ, payload)
}

// GenerateRefreshToken makes the first token of a new grant, or the successor of the one that
// came, the same for everybody who brings it. A scope that only looks like offline_access gets none.
func (s *strategies) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (token, signature string, err error) {
	w := workOf(ctx)
	if !w.grant.Offline() {
		return "", "", nil
	}
	if w.presented == 0 {
		w.grant.Generation = 1
	}
	token = s.engine.formatRefreshToken(&w.grant, w.presented+1)
	return token, token, nil
}

// GenerateAuthorizeCode seals the authorization that Code was given.
func (s *strategies) GenerateAuthorizeCode(ctx context.Context, r fosite.Requester) (token, signature string, err error) {
	w := workOf(ctx)
	token, err = s.engine.sealCode(w.authorization, r.GetID(), w.now)
	return token, token, err
}

// A token is its own signature, and has been validated where it was found.

func (s *strategies) AccessTokenSignature(_ context.Context, token string) string   { return token }
func (s *strategies) RefreshTokenSignature(_ context.Context, token string) string  { return token }
func (s *strategies) AuthorizeCodeSignature(_ context.Context, token string) string { return token }

// ValidateAccessToken refuses: access tokens are read by Engine.AccessToken alone.
func (s *strategies) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return fosite.ErrTokenSignatureMismatch
}

// ValidateRefreshToken has nothing to add to GetRefreshTokenSession.
func (s *strategies) ValidateRefreshToken(context.Context, fosite.Requester, string) error {
	return nil
}

// ValidateAuthorizeCode has nothing to add to GetAuthorizeCodeSession.
func (s *strategies) ValidateAuthorizeCode(context.Context, fosite.Requester, string) error {
	return nil
}
