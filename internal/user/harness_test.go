package user

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/web"
)

const (
	issuer      = "https://id.example"
	testCode    = "246810"
	termsOfTest = "2026-11-01"
)

// house is the whole package on a database, with real pages and real codes.
type house struct {
	t       testing.TB
	db      *db.DB
	vault   *signing.Vault
	users   *Service
	sms     *sms.Service
	flows   *Flows
	pages   *Pages
	next    *client
	sink    *sink
	handler http.Handler
	now     caller
	short   *ephemeral.SQL
}

// newHouse has the numbers of fixture 0 to 49 as test numbers, whose code is
// testCode; codes for the others reach the sink.
func newHouse(t testing.TB, d *db.DB) *house {
	t.Helper()
	vault, err := signing.OpenVault(t.Context(), d, [][]byte{[]byte("a master secret for tests, long enough")})
	if err != nil {
		t.Fatal(err)
	}
	short, err := ephemeral.OpenSQL(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = short.Close() })
	h := &house{t: t, db: d, vault: vault, short: short, next: &client{}, sink: &sink{codes: map[string]string{}}}
	tests := map[string]string{}
	for i := range 50 {
		tests[fixture(i)] = testCode
	}
	trail := audit.New(d)
	if h.sms, err = sms.New(sms.Config{
		Regions: []string{"CN", "US"}, TestNumbers: tests, Routes: map[string]sms.Route{"*": {Providers: []sms.Provider{h.sink}}},
		PerAddressNumbers: 1e6, PerAddressHour: 1e6, PerAddressDay: 1e6, PerClientHour: 1e6, PerClientDay: 1e6,
		PerServiceSecond: 1e6, PerServiceDay: 1e6, PerPrefix10m: 1e6, PerPrefixHour: 1e6, Consecutive: 128,
	}, d, short, vault, trail); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.sms.Close(context.Background()) })
	site, err := site()
	if err != nil {
		t.Fatal(err)
	}
	h.users = New(d, vault, trail, Issuer(issuer), Limits(short), Regions([]string{"CN", "US"}), RefusalTime(0))
	h.flows = NewFlows(vault, true)
	if err := h.users.EnablePasskeys(issuer, "Dialtone", short); err != nil {
		t.Fatal(err)
	}
	h.next.flows = h.flows
	h.pages = &Pages{Users: h.users, SMS: h.sms, Site: site, Flows: h.flows, Next: h.next, Ephemeral: short, Issuer: issuer, AgreementVersion: termsOfTest, OfferPasskeys: true}
	h.now.set(netip.MustParseAddr("198.51.100.7"))
	r := chi.NewRouter()
	r.Use(h.now.middleware, http.NewCrossOriginProtection().Handler)
	h.pages.Mount(r)
	r.Get("/start", h.start)
	h.handler = r
	return h
}

// quiet ends what runs by itself: waking it every minute makes days long.
func (h *house) quiet() {
	if err := h.short.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// site parses the pages once for all tests.
var site = sync.OnceValues(func() (*web.Site, error) { return web.New(web.Options{Secure: true}) })

// start is what an authorize request does: a flow with a continuation.
func (h *house) start(w http.ResponseWriter, r *http.Request) {
	f, err := h.flows.Start(w, r, Flow{
		ClientID: "shop", Client: &web.Client{ID: "shop", Name: "Shop"}, Request: []byte("from=start&" + r.URL.RawQuery),
		SkipAgreement: r.URL.Query().Has("skip"), LoginHint: r.URL.Query().Get("hint"),
		ProvenAfter: provenAfter(r),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, "/login?flow="+f.ID, http.StatusSeeOther)
}

// fixture is the i-th number of the range for examples.
func fixture(i int) string { return fmt.Sprintf("+86138001380%02d", i) }

func number(t testing.TB, e164 string) sms.Number {
	t.Helper()
	n, err := sms.FromE164(e164)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// client stands for the authorization server behind the pages.
type client struct {
	flows *Flows
	mu    sync.Mutex
	users []string // who signed in, in order
	gone  int      // how often somebody cancelled
	keep  bool     // leave the flow open, as for a consent page
}

func (c *client) SignedIn(w http.ResponseWriter, r *http.Request, f Flow, s Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users = append(c.users, s.UserID)
	if !c.keep {
		c.flows.End(w, f)
	}
	http.Redirect(w, r, "https://rp.example/cb?"+string(f.Request), http.StatusSeeOther)
}

func (c *client) Cancelled(w http.ResponseWriter, r *http.Request, f Flow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone++
	c.flows.End(w, f)
	http.Redirect(w, r, "https://rp.example/cb?error=access_denied", http.StatusSeeOther)
}

// sink is a provider that keeps the last code of every number.
type sink struct {
	mu    sync.Mutex
	codes map[string]string
	sent  int
	away  bool
	slow  time.Duration // before it answers
}

func (s *sink) Name() string { return "sink" }

func (s *sink) Send(_ context.Context, m sms.Message) (string, error) {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return "", &sms.SendError{Class: sms.Failover, Provider: "sink", Code: "away"}
	}
	s.sent++
	s.codes[m.To.E164()] = m.Code
	return "", nil
}

func (s *sink) last(n string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codes[n]
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

const (
	sessionName = "__Host-" + sessionCookie
	deviceName  = "__Host-" + deviceCookie
	flowPrefix  = "__Host-" + flowCookie
)

// begin opens the pages by path ("/login" or "/start...") and asks for a code.
func (b *browser) begin(path, phone string) (flow, challenge string) {
	b.t.Helper()
	to := b.get(path).to(b.t)
	flow = to.Query().Get("flow")
	b.get(to.String()).wants(b.t, http.StatusOK, "page-login")
	to = b.post("/login", url.Values{"flow": {flow}, "phone": {phone}, "agree": {"1"}}).to(b.t)
	if to.Path != "/login/code" || to.Query().Get("flow") != flow {
		b.t.Fatalf("unexpected redirect to %s", to)
	}
	return flow, to.Query().Get("challenge")
}

func (b *browser) finish(flow, challenge, code string) reply {
	b.t.Helper()
	return b.post("/login/code", url.Values{"flow": {flow}, "challenge": {challenge}, "code": {code}})
}

// signIn walks the pages to the end; the number is one of newHouse's test numbers.
func (b *browser) signIn(phone string) {
	b.t.Helper()
	flow, challenge := b.begin("/login", phone)
	if to := b.finish(flow, challenge, testCode).to(b.t); to.Path != "/account" {
		b.t.Fatalf("signed in to %s", to)
	}
}

// prove makes a proof of a test number without the pages.
func (h *house) prove(phone string) sms.Proof {
	h.t.Helper()
	ref := sms.Ref{Purpose: sms.Login, ClientID: "app", Flow: []byte("01234567890123456789012345678901")}
	c, err := h.sms.Send(context.Background(), sms.Request{
		Number: number(h.t, phone), Purpose: ref.Purpose, ClientID: ref.ClientID, Flow: ref.Flow, Note: termsOfTest,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ref.ID = c.ID
	p, err := h.sms.Check(context.Background(), ref, testCode)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// signIn is a sign-in without the pages.
func (h *house) signIn(phone string) SignedIn {
	h.t.Helper()
	in, err := h.users.SignInBySMS(context.Background(), proven(h.prove(phone)), Attempt{
		ClientID: "app", AgreementVersion: termsOfTest, Locale: "zh-CN", Browser: true,
		Address: netip.MustParseAddr("198.51.100.7"), UserAgent: "test",
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return in
}

// with is a GET that carries the session cookie.
func with(value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, issuer+"/account", nil)
	r.Header.Set("Cookie", sessionName+"="+value)
	return r
}

// rows counts rows of one of the package's tables.
func (h *house) rows(query string, args ...any) int {
	h.t.Helper()
	var n int
	if err := h.db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}
