package engine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
	"github.com/dialtone-id/dialtone/internal/signing"
)

const (
	issuer   = "https://id.example"
	person   = "0b9f9f3a-6a0e-4d3c-9b0a-3f6f8f2f1a11"
	callback = "https://rp.example/cb"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
)

// world is an engine with everything under it and some clients.
type world struct {
	t       testing.TB
	db      *db.DB
	ring    *signing.Ring
	clients *client.Registry
	grants  *grant.Store
	engine  *engine.Engine
}

// each runs f in a world over every engine of databases.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d *db.DB) { f(t, newWorld(t, d)) })
}

// sharedRing is made once, since RSA keys take their time. Signing needs no database, so it
// does not matter that the one it was read from is gone.
var sharedRing struct {
	sync.Once
	ring *signing.Ring
}

func newWorld(t testing.TB, d *db.DB, change ...func(*engine.Config)) *world {
	t.Helper()
	v := openVault(t, d)
	sharedRing.Do(func() { sharedRing.ring = openRing(t, d, v) })
	return build(t, d, v, sharedRing.ring, change...)
}

func openVault(t testing.TB, d *db.DB, masters ...byte) *signing.Vault {
	t.Helper()
	var secrets [][]byte
	for _, m := range append(masters, 7) {
		secrets = append(secrets, bytes.Repeat([]byte{m}, 32))
	}
	v, err := signing.OpenVault(t.Context(), d, secrets)
	ok(t, err)
	return v
}

func openRing(t testing.TB, d *db.DB, v *signing.Vault) *signing.Ring {
	t.Helper()
	r, err := signing.OpenRing(t.Context(), d, v, audit.New(d), signing.Policy{})
	ok(t, err)
	return r
}

func build(t testing.TB, d *db.DB, v *signing.Vault, ring *signing.Ring, change ...func(*engine.Config)) *world {
	t.Helper()
	c := engine.Config{Issuer: issuer, RefreshGrace: 30 * time.Second}
	for _, f := range change {
		f(&c)
	}
	w := &world{t: t, db: d, ring: ring, clients: client.NewRegistry(d, v, audit.New(d)), grants: grant.NewStore(d, audit.New(d))}
	var err error
	w.engine, err = engine.New(c, ring, v, w.clients, w.grants)
	ok(t, err)
	w.exec(`INSERT INTO users (id, status, claims, created_at, updated_at) VALUES ($1, 'active', '{}', 0, 0) ON CONFLICT (id) DO NOTHING`, person)
	return w
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) exec(statement string, args ...any) {
	w.t.Helper()
	_, err := w.db.Exec(context.Background(), statement, args...)
	ok(w.t, err)
}

// client makes the client of a name; what it may do goes by the name.
func (w *world) client(id string) *client.Client {
	w.t.Helper()
	if c, err := w.clients.Get(context.Background(), id); err == nil {
		return c
	}
	no := false
	c := client.Client{ID: id, RedirectURIs: []string{callback}}
	switch id {
	case "web", "web2":
	case "spa":
		c.TokenEndpointAuthMethod = client.AuthNone
	case "exempt":
		c.RequirePKCE = &no
	case "brief": // no refresh tokens
		c.GrantTypes = []string{client.GrantAuthorizationCode}
	case "m2m":
		c.RedirectURIs, c.GrantTypes, c.Scope = nil, []string{client.GrantClientCredentials}, "read write openid offline_access"
	case "app":
		c.TokenEndpointAuthMethod, c.FirstParty, c.RedirectURIs = client.AuthNone, true, nil
		c.GrantTypes = []string{client.GrantSMSCode, client.GrantRefreshToken}
	case string(signing.RS256), string(signing.ES256), string(signing.PS256), string(signing.EdDSA):
		c.IDTokenSignedResponseAlg = id
	default:
		w.t.Fatalf("there is no client %q", id)
	}
	_, err := w.clients.Create(context.Background(), c, "", client.SourceOperator)
	ok(w.t, err)
	made, err := w.clients.Get(context.Background(), id)
	ok(w.t, err)
	w.exec(`INSERT INTO consents (user_id, client_id, scope, granted_at, changed_at)
		SELECT id, $1, 'openid phone offline_access', 0, 0 FROM users WHERE id = $2`, id, person)
	return made
}

// authorization is what the person approved for a client: everything, with PKCE.
func (w *world) authorization(id string) engine.Authorization {
	sum := sha256.Sum256([]byte(verifier))
	return engine.Authorization{
		Client: w.client(id), RedirectURI: callback, RedirectGiven: true, Scope: []string{"openid", "phone", "offline_access"},
		Nonce: "n-0S6_WzA2Mj", CodeChallenge: base64.RawURLEncoding.EncodeToString(sum[:]), RequestedAt: time.Now(),
		Person: engine.Person{UserID: person, AuthTime: time.Now().Add(-time.Minute), AMR: []string{"sms", "otp"}, ACR: "1"},
	}
}

func (w *world) code(a engine.Authorization) string {
	w.t.Helper()
	code, err := w.engine.Code(context.Background(), a)
	ok(w.t, err)
	return code
}

// redeem makes the token request for a code; more are name, value pairs, "" leaves one out.
func (w *world) redeem(id, code string, more ...string) (engine.TokenResponse, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	return w.token(id, form, more...)
}

func (w *world) refresh(id, token string, more ...string) (engine.TokenResponse, error) {
	return w.token(id, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, more...)
}

func (w *world) token(id string, form url.Values, more ...string) (engine.TokenResponse, error) {
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
		if more[i+1] == "" {
			form.Del(more[i])
		}
	}
	return w.engine.Token(context.Background(), engine.TokenRequest{Client: w.client(id), Form: form})
}

// signIn is a whole code flow.
func (w *world) signIn(id string) engine.TokenResponse {
	w.t.Helper()
	r, err := w.redeem(id, w.code(w.authorization(id)))
	ok(w.t, err)
	return r
}

// grantOf is the grant behind an access token.
func (w *world) grantOf(r engine.TokenResponse) grant.Live {
	w.t.Helper()
	t, err := w.engine.AccessToken(r.AccessToken)
	ok(w.t, err)
	l, err := w.grants.Find(context.Background(), t.GrantID)
	ok(w.t, err)
	return l
}

// events counts the audit records of a name.
func (w *world) events(name string) (n int) {
	w.t.Helper()
	ok(w.t, w.db.QueryRow(context.Background(), `SELECT count(*) FROM audit WHERE event = $1`, name).Scan(&n))
	return n
}

// refused expects a fault with a code and its status of RFC 6749 section 5.2, with a description
// that may be sent and that repeats nothing of the request.
func refused(t testing.TB, err error, code string, secrets ...string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != code {
		t.Errorf("got %v, want %s", err, code)
		return
	}
	status := 400
	switch code {
	case "invalid_token":
		status = 401
	case "temporarily_unavailable":
		status = 503
	}
	if f.Status != status {
		t.Errorf("%s has status %d, want %d", code, f.Status, status)
	}
	if strings.ContainsFunc(f.Description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		t.Errorf("description %q cannot be sent", f.Description)
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(f.Error(), s) {
			t.Errorf("the fault repeats a secret of the request: %v", f)
		}
	}
}

// claims are those of a JWT of ours, and its header.
func (w *world) claims(jwt string) (header, claims map[string]any) {
	w.t.Helper()
	if _, err := w.ring.Verify(jwt); err != nil {
		w.t.Fatal(err)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		part, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[i])
		ok(w.t, err)
		ok(w.t, json.Unmarshal(part, into))
	}
	return header, claims
}
