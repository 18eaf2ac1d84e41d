// Package engine issues and reads tokens: authorization codes, access tokens by
// RFC 9068, refresh tokens, ID tokens. It is the only package that imports fosite,
// whose types never leave it.
//
//	Code  ──► fosite: code, OpenID, PKCE handlers ──► sealed authorization, nothing stored
//	Token ──► own checks ──► fosite: Handle… ──► the gap ──► fosite: Populate… ──► commit
//	                              │                │               │                 │
//	                              └──── store: one read at most ───┘        grant.Create / Rotate
//
// fosite keeps the order of the checks, the grants and the rules of ID tokens. What
// it knows of a request it asks of the store, which answers from the request's unit
// of work and never writes; the one write is the compare-and-set at the end, after
// every token is signed and before any is handed out. What must outlive a refused
// request, revoking a stolen family or burning a code, is done on a context of its
// own at once. The strategies that make tokens are ours, so that fosite's defaults
// for signing, hashing and claims are never in play.
//
// Every failure is a *fault.Error with a code of RFC 6749 section 5.2; a database
// that is away is fault.Unavailable. Descriptions say what to look at and nothing
// about what is stored.
package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/ory/fosite"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// Authorization is a validated authorize request that a person approved.
type Authorization struct {
	Client        *client.Client
	RedirectURI   string
	RedirectGiven bool // redirect_uri was in the request, so the token request must repeat it
	NoRedirect    bool // the code goes to the app itself: RedirectURI is empty, and a token request that has one is refused
	Scope         []string
	Audience      []string // nil means the issuer, the only audience there is
	Nonce         string
	CodeChallenge string // S256; "" only where the client may do without
	KeyThumbprint string // of the DPoP key that must redeem the code (RFC 9449 section 10), "" for none
	RequestedAt   time.Time
	Person        Person
}

// Person is who signed in, and how.
type Person struct {
	UserID    string // the sub
	SessionID string // the sid claim, "" for native grants
	AuthTime  time.Time
	AMR       []string
	ACR       string
	Created   bool // registered by this very sign-in
}

// CodeCheck turns a challenge and a code into a person, registering the number if it is new (the SMS-code grant).
// It fails with a *fault.Error; whatever is wrong with challenge or code is invalid_grant.
type CodeCheck func(ctx context.Context, c *client.Client, challengeID, code string) (Person, error)

// Config is how long things live. A zero is the default, but for RefreshGrace.
type Config struct {
	Issuer          string
	AccessTokenTTL  time.Duration // 10 min
	IDTokenTTL      time.Duration // 1 h
	CodeTTL         time.Duration // 60 s, which is also the most
	RefreshIdle     time.Duration // 30 d; how long a refresh token is good that nobody uses
	RefreshAbsolute time.Duration // 180 d; how long a family lives at most
	RefreshGrace    time.Duration // at most 60 s, 30 s advised; 0 makes two tabs that refresh at once look like theft
}

// Upper bounds that no configuration lifts (RFC 9700 sections 2.1.1 and 4.14.2).
const (
	maxCodeTTL = time.Minute
	maxGrace   = time.Minute
)

func (c Config) withDefaults() (Config, error) {
	if c.Issuer == "" {
		return c, errors.New("the issuer is missing")
	}
	for _, d := range []struct {
		name    string
		value   *time.Duration
		initial time.Duration
	}{
		{"access token", &c.AccessTokenTTL, 10 * time.Minute},
		{"ID token", &c.IDTokenTTL, time.Hour},
		{"authorization code", &c.CodeTTL, maxCodeTTL},
		{"idle refresh token", &c.RefreshIdle, 30 * 24 * time.Hour},
		{"refresh token", &c.RefreshAbsolute, 180 * 24 * time.Hour},
	} {
		if *d.value == 0 {
			*d.value = d.initial
		}
		if *d.value < time.Second {
			return c, fmt.Errorf("the lifetime of the %s must be a second at least", d.name)
		}
	}
	switch {
	case c.CodeTTL > maxCodeTTL:
		return c, fmt.Errorf("the lifetime of the authorization code must be %v at most", maxCodeTTL)
	case c.RefreshGrace < 0 || c.RefreshGrace > maxGrace:
		return c, fmt.Errorf("the grace of refresh tokens must be between 0 and %v", maxGrace)
	case c.RefreshIdle > c.RefreshAbsolute:
		return c, errors.New("a refresh token cannot be idle for longer than it lives")
	}
	return c, nil
}

// Engine is safe for concurrent use.
type Engine struct {
	config   Config
	ring     *signing.Ring
	vault    *signing.Vault
	clients  *client.Registry
	grants   *grant.Store
	audience []string // what a token is for that asks for nothing else: this issuer
	provider *fosite.Fosite
	verified *otter.Cache[[sha256.Size]byte, AccessToken] // by the token's hash
}

// remembered is how many verified access tokens are kept: some 8 MB when full.
const remembered = 10_000

// New checks the configuration and wires fosite.
func New(c Config, r *signing.Ring, v *signing.Vault, clients *client.Registry, grants *grant.Store) (*Engine, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("token lifetimes: %w", err)
	}
	e := &Engine{config: c, ring: r, vault: v, clients: clients, grants: grants, audience: []string{c.Issuer},
		verified: otter.Must(&otter.Options[[sha256.Size]byte, AccessToken]{MaximumSize: remembered})}
	e.provider = wire(e)
	return e, nil
}

// TokenRequest is a token request whose client is authenticated already and whose Form has no duplicates.
type TokenRequest struct {
	Client *client.Client
	Form   url.Values // not changed
	Check  CodeCheck  // used by the SMS-code grant only

	KeyThumbprint string // of the DPoP key that this request proved, "" for none
}

// TokenResponse is the body of RFC 6749 section 5.1.
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	Scope        string `json:"scope,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	UserCreated  *bool  `json:"user_created,omitempty"` // SMS-code grant: whether this sign-in registered the number
}
