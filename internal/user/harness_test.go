package user

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
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

// caller is the address that requests seem to come from.
type caller struct {
	mu   sync.Mutex
	addr netip.Addr
}

func (c *caller) set(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addr = a
}

func (c *caller) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		who := Caller{Address: c.addr, RequestID: "request-1"}
		c.mu.Unlock()
		next.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), who)))
	})
}

// browser keeps cookies and stops at redirects. It talks to the handler without
// a socket, so that it works under synctest, or to a server.
type browser struct {
	t    testing.TB
	c    *http.Client
	base string
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{t: h.t, base: issuer, c: &http.Client{
		Jar: jar, Transport: direct{h.handler},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// direct is a transport that calls the handler.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	d.handler.ServeHTTP(rec, in)
	res := rec.Result()
	res.Request = r
	return res, nil
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(r *http.Request) reply {
	b.t.Helper()
	res, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body)}
}

func (b *browser) get(path string) reply {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(path string, form url.Values, header ...string) reply {
	b.t.Helper()
	return b.postRaw(path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

func (b *browser) postRaw(path, body string, header ...string) reply {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return b.do(r)
}

// cookie returns the value of the cookie of that name, "" if there is none.
func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.base)
	for _, c := range b.c.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(name, value string) {
	u, _ := url.Parse(b.base)
	b.c.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: u.Scheme == "https"}})
}

// to is where a 303 leads.
func (r reply) to(t testing.TB) *url.URL {
	t.Helper()
	u, err := url.Parse(r.header.Get("Location"))
	if r.status != http.StatusSeeOther || err != nil {
		t.Fatalf("want a redirect, got %d to %q: %s", r.status, r.header.Get("Location"), r.body)
	}
	return u
}

// wants checks status and that the page is the one with this element id.
func (r reply) wants(t testing.TB, status int, id string) {
	t.Helper()
	if r.status != status || !strings.Contains(r.body, `id="`+id+`"`) {
		t.Fatalf("want %d with #%s, got %d: %s", status, id, r.status, r.body)
	}
}

// fault checks the error page.
func (r reply) fault(t testing.TB, status int, code string) {
	t.Helper()
	r.wants(t, status, "page-error")
	if !strings.Contains(r.body, code) {
		t.Fatalf("want %s: %s", code, r.body)
	}
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
