package oauth

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

const secret = "a secret of the tests that is long enough"

// world is the authorization server with everything it stands on, behind real HTTP.
type world struct {
	url     string // the issuer
	db      *db.DB
	server  *Server
	clients *client.Registry
	grants  *grant.Store
	users   *user.Service
	ring    *signing.Ring
	inbox   *inbox
	log     *buffer
}

// eachWorld runs a test on every engine there is.
func eachWorld(t *testing.T, test func(t *testing.T, w *world)) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) { test(t, newWorldOn(t, d)) })
}

func newWorld(t testing.TB) *world { return newWorldOn(t, dbtest.Open(t)) }

func newWorldOn(t testing.TB, d *db.DB) *world {
	t.Helper()
	ctx := context.Background()
	web := build(t)
	root := chi.NewRouter()
	front := httptest.NewServer(root)
	t.Cleanup(front.Close)

	w := &world{url: front.URL, db: d, inbox: &inbox{codes: map[string]string{}}, log: &buffer{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() { w.wantNoSecretsLogged(t) })
	vault, err := signing.OpenVault(ctx, d, [][]byte{[]byte("a master secret of the tests, long enough to pass")})
	must(t, err)
	trail := audit.New(d)
	w.ring, err = signing.OpenRing(ctx, d, vault, trail, signing.Policy{})
	must(t, err)
	w.clients = client.NewRegistry(d, vault, trail)
	w.grants = grant.NewStore(d, trail)
	short, err := ephemeral.OpenSQL(ctx, d)
	must(t, err)
	t.Cleanup(func() { must(t, short.Close()) })
	w.users = user.New(d, vault, trail, user.PlainHTTP(true), user.Issuer(w.url), user.Limits(short),
		user.HeldBy(NewHoldings(d, vault, w.clients, w.grants, trail)))
	must(t, w.users.EnablePasskeys(passkeyOrigin, "Dialtone", short))
	texts, err := sms.New(sms.Config{
		Regions: []string{"CN"}, Routes: map[string]sms.Route{"CN": {Providers: []sms.Provider{w.inbox}}}, Log: log,
		TestNumbers:       map[string]string{"+8613800138088": "246810"},
		PerAddressNumbers: 10_000, PerAddressHour: 10_000, PerAddressDay: 10_000, PerServiceSecond: 10_000,
		PerPrefix10m: 10_000, PerPrefixHour: 10_000, Consecutive: 128, PerDeviceNumbers: 10_000, PerDeviceDay: 10_000,
	}, d, short, vault, trail)
	must(t, err)
	t.Cleanup(func() { must(t, texts.Close(context.Background())) })
	tokens, err := engine.New(engine.Config{Issuer: w.url, RefreshGrace: 30e9}, w.ring, vault, w.clients, w.grants)
	must(t, err)
	flows := user.NewFlows(vault, false)
	w.server, err = New(Config{
		Issuer: w.url, Engine: tokens, Clients: w.clients, Grants: w.grants, Users: w.users, Flows: flows, SMS: texts,
		Ring: w.ring, Vault: vault, Site: web, Audit: trail, DB: d, Ephemeral: short, Log: log,
	})
	must(t, err)
	for _, c := range testClients() {
		given := ""
		if !c.Public() {
			given = secret
		}
		_, err := w.clients.Create(ctx, c, given, client.SourceOperator)
		must(t, err)
	}

	root.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			caller := user.Caller{Address: netip.MustParseAddr("192.0.2.7"), RequestID: "request-of-the-tests"}
			if from, err := netip.ParseAddr(r.Header.Get("Test-Address")); err == nil {
				caller.Address = from
			}
			next.ServeHTTP(rw, r.WithContext(user.WithCaller(r.Context(), caller)))
		})
	})
	pages := &user.Pages{Users: w.users, SMS: texts, Site: web, Flows: flows, Next: w.server, AgreementVersion: "2026-11", Log: log}
	pages.Mount(root)
	w.server.Pages(root)
	w.server.API(root)
	return w
}

func build(t testing.TB) *web.Site {
	site, err := web.New(web.Options{})
	must(t, err)
	return site
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testClients() []client.Client {
	no := false
	code := []string{client.GrantAuthorizationCode, client.GrantRefreshToken}
	return []client.Client{
		{ID: "web", Name: "Web Shop", TokenEndpointAuthMethod: client.AuthClientSecretBasic, GrantTypes: code, FirstParty: true, SkipAgreement: true,
			RedirectURIs: []string{"https://rp.example/cb"}, PostLogoutRedirectURIs: []string{"https://rp.example/bye", "https://rp.example/bye?x=1"}},
		{ID: "web2", Name: "Second", TokenEndpointAuthMethod: client.AuthClientSecretPost, GrantTypes: code, FirstParty: true, SkipAgreement: true,
			RedirectURIs: []string{"https://rp2.example/cb"}, PostLogoutRedirectURIs: []string{"https://rp2.example/bye"}, IDTokenSignedResponseAlg: "ES256"},
		{ID: "third", Name: "Third Party", TokenEndpointAuthMethod: client.AuthClientSecretBasic, GrantTypes: code, SkipAgreement: true,
			RedirectURIs: []string{"https://third.example/cb"}},
		{ID: "spa", Name: "Single Page", TokenEndpointAuthMethod: client.AuthNone, GrantTypes: code, FirstParty: true, SkipAgreement: true,
			RedirectURIs: []string{"https://spa.example/cb"}},
		{ID: "native", TokenEndpointAuthMethod: client.AuthNone, ApplicationType: "native", GrantTypes: code, SkipAgreement: true,
			RedirectURIs: []string{"http://127.0.0.1/cb"}},
		{ID: "several", TokenEndpointAuthMethod: client.AuthClientSecretBasic, GrantTypes: code, FirstParty: true, SkipAgreement: true,
			RedirectURIs: []string{"https://several.example/a", "https://several.example/b"}, ResponseModes: []string{client.ModeQuery}},
		{ID: "query", TokenEndpointAuthMethod: client.AuthClientSecretBasic, GrantTypes: code, FirstParty: true, SkipAgreement: true, RequirePKCE: &no,
			RedirectURIs: []string{"https://query.example/cb?dummy1=lorem&dummy2=ipsum"}, Scope: "openid profile read"},
		{ID: "machine", TokenEndpointAuthMethod: client.AuthClientSecretBasic, GrantTypes: []string{client.GrantClientCredentials}, Scope: "read write"},
		{ID: "resource", TokenEndpointAuthMethod: client.AuthClientSecretBasic, GrantTypes: []string{client.GrantClientCredentials}, FirstParty: true, Scope: "read"},
		{ID: "phone-app", TokenEndpointAuthMethod: client.AuthNone, ApplicationType: "native", GrantTypes: code, FirstParty: true,
			RedirectURIs: []string{"com.example.phone:/cb"}},
		{ID: "phone-app2", TokenEndpointAuthMethod: client.AuthNone, ApplicationType: "native", GrantTypes: code, FirstParty: true, SkipAgreement: true,
			RedirectURIs: []string{"com.example.phone2:/cb"}},
		{ID: "app", TokenEndpointAuthMethod: client.AuthNone, FirstParty: true, Scope: "openid phone offline_access",
			GrantTypes: []string{client.GrantSMSCode, client.GrantRefreshToken}},
		{ID: "own", Name: "Our App", TokenEndpointAuthMethod: client.AuthNone, GrantTypes: code, FirstParty: true, SkipAgreement: true,
			RedirectURIs: []string{"https://own.example/cb"}, Scope: "openid phone offline_access account account.write"},
		{ID: "own-native", TokenEndpointAuthMethod: client.AuthNone, FirstParty: true, SkipAgreement: true, Scope: "openid offline_access account account.write",
			GrantTypes: []string{client.GrantSMSCode, client.GrantRefreshToken}},
		{ID: "own-machine", TokenEndpointAuthMethod: client.AuthClientSecretBasic, GrantTypes: []string{client.GrantClientCredentials}, FirstParty: true,
			Scope: "read account account.write"},
		{ID: "app-basic", TokenEndpointAuthMethod: client.AuthClientSecretBasic, FirstParty: true, SkipAgreement: true,
			GrantTypes: []string{client.GrantSMSCode}},
		{ID: "app-post", TokenEndpointAuthMethod: client.AuthClientSecretPost, FirstParty: true, SkipAgreement: true,
			GrantTypes: []string{client.GrantSMSCode}},
	}
}

// inbox is a provider that keeps the newest code of each number.
type inbox struct {
	mu    sync.Mutex
	codes map[string]string
	sent  atomic.Int64
}

func (*inbox) Name() string { return "inbox" }

func (in *inbox) Send(_ context.Context, m sms.Message) (string, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.codes[m.To.E164()] = m.Code
	in.sent.Add(1)
	return "", nil
}

func (in *inbox) code(t testing.TB, number string) string {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.codes[number] == "" {
		t.Fatal("no code arrived")
	}
	return in.codes[number]
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// wantNoSecretsLogged holds for every test: what was logged names no number and no secret.
func (w *world) wantNoSecretsLogged(t testing.TB) {
	logged := w.log.String()
	w.inbox.mu.Lock()
	defer w.inbox.mu.Unlock()
	for number := range w.inbox.codes {
		if strings.Contains(logged, strings.TrimPrefix(number, "+86")) {
			t.Errorf("a number was logged: %s", logged)
		}
	}
	if strings.Contains(logged, secret) {
		t.Error("a secret was logged")
	}
}

var numbers atomic.Int64

// newNumber is one of the fixture numbers that no test of this run used before.
func newNumber() string { return fmt.Sprintf("+861380013%04d", numbers.Add(1)) }

// events counts audit records of a name.
func (w *world) events(t testing.TB, name string) int {
	t.Helper()
	var n int
	must(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM audit WHERE event = $1`, name).Scan(&n))
	return n
}

// wantGolden compares with a file of testdata; UPDATE_GOLDEN=1 writes it.
func wantGolden(t testing.TB, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got != string(want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}
