package sms

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// testVault is a vault of a database of its own, for what needs no other.
func testVault(t testing.TB) *signing.Vault {
	t.Helper()
	return vaultOf(t, dbtest.Open(t))
}

func vaultOf(t testing.TB, d *db.DB) *signing.Vault {
	t.Helper()
	v, err := signing.OpenVault(context.Background(), d, [][]byte{[]byte("a master secret of the tests, long enough")})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// pureService parses; it has no stores to send with.
func pureService(t testing.TB, c Config) *Service {
	t.Helper()
	d := dbtest.Open(t)
	s, err := New(c, d, nil, vaultOf(t, d), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fixture is a service on real stores, with a provider that remembers.
type fixture struct {
	*Service
	provider *recorder
	seen     *observed
	logs     *lockedBuffer
	store    ephemeral.Store
	closeIt  func()
}

// newFixture fills in what c leaves out: region CN, the recorder as its only
// provider, and coarse limits that are out of the way.
func newFixture(t testing.TB, d *db.DB, c Config) *fixture {
	t.Helper()
	store, err := ephemeral.OpenSQL(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixtureOn(t, d, store, c)
	closeService := f.closeIt
	f.closeIt = sync.OnceFunc(func() {
		closeService()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(f.closeIt)
	return f
}

func newFixtureOn(t testing.TB, d *db.DB, store ephemeral.Store, c Config) *fixture {
	t.Helper()
	f := &fixture{provider: &recorder{name: "fake"}, seen: &observed{}, logs: &lockedBuffer{}, store: store}
	if c.Regions == nil {
		c.Regions = []string{"CN"}
	}
	if c.Routes == nil {
		c.Routes = map[string]Route{"*": {Providers: []Provider{f.provider}}}
	}
	const aside = 1_000_000
	for _, limit := range []*int{&c.PerAddressNumbers, &c.PerAddressHour, &c.PerAddressDay, &c.PerClientHour, &c.PerClientDay, &c.PerServiceSecond, &c.PerServiceDay,
		&c.PerDeviceNumbers, &c.PerDeviceDay, &c.PerDialCodeDay, &c.PerPrefix10m, &c.PerPrefixHour} {
		*limit = cmp.Or(*limit, aside)
	}
	c.Consecutive = cmp.Or(c.Consecutive, blockRoom)
	c.Observer = f.seen
	c.Log = slog.New(slog.NewTextHandler(f.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(c, d, store, vaultOf(t, d), audit.New(d))
	if err != nil {
		t.Fatal(err)
	}
	f.Service = s
	f.closeIt = sync.OnceFunc(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(f.closeIt)
	return f
}

// mend closes every breaker, for tests that are about something else.
func (f *fixture) mend() {
	for _, b := range f.breakers {
		b.mu.Lock()
		b.close()
		b.mu.Unlock()
	}
}

// recorder is a provider that keeps what it is given.
type recorder struct {
	name string
	// answer decides the outcome; nil accepts. It may block.
	answer func(ctx context.Context, m Message) (string, error)

	mu       sync.Mutex
	messages []Message
}

func (r *recorder) Name() string { return r.name }

func (r *recorder) Send(ctx context.Context, m Message) (string, error) {
	r.mu.Lock()
	r.messages = append(r.messages, m)
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		return answer(ctx, m)
	}
	return "ref-" + m.ID, nil
}

func (r *recorder) set(answer func(ctx context.Context, m Message) (string, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *recorder) sent() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Message(nil), r.messages...)
}

func (r *recorder) code(t testing.TB) string {
	t.Helper()
	m := r.sent()
	if len(m) == 0 {
		t.Fatal("nothing was sent")
	}
	return m[len(m)-1].Code
}

// fails makes a provider's answer.
func fails(class Class, code string) func(context.Context, Message) (string, error) {
	return func(context.Context, Message) (string, error) {
		return "", &SendError{Class: class, Provider: "fake", Code: code}
	}
}

type observed struct {
	mu       sync.Mutex
	sends    []SendSettled
	checks   []string
	receipts []ReceiptReceived
	breakers []BreakerChanged

	refusals []QuotaRefused
	steps    []BudgetStep
	scopes   []ScopeChanged
}

func (o *observed) BreakerChanged(b BreakerChanged) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.breakers = append(o.breakers, b)
}

func (o *observed) SendSettled(s SendSettled) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sends = append(o.sends, s)
}

func (o *observed) CheckDone(c CheckDone) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.checks = append(o.checks, c.Result)
}

func (o *observed) ReceiptReceived(r ReceiptReceived) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.receipts = append(o.receipts, r)
}

func (o *observed) QuotaRefused(r QuotaRefused) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refusals = append(o.refusals, r)
}

func (o *observed) BudgetStep(b BudgetStep) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.steps = append(o.steps, b)
}

func (o *observed) ScopeChanged(c ScopeChanged) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.scopes = append(o.scopes, c)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func number(t testing.TB, e164 string) Number {
	t.Helper()
	n, err := FromE164(e164)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func flow(name string) []byte { return []byte((name + strings.Repeat(".", 32))[:32]) }

// login is a request of a browser flow.
func login(t testing.TB, e164, flowName string) Request {
	t.Helper()
	return Request{
		Number: number(t, e164), Purpose: Login, ClientID: "web", Flow: flow(flowName), Locale: "zh-CN",
		Address: netip.MustParseAddr("192.0.2.1"), KnownDevice: true, Note: "2026-01",
	}
}

func refOf(c Challenge, r Request) Ref {
	return Ref{ID: c.ID, Purpose: r.Purpose, ClientID: r.ClientID, Flow: r.Flow}
}

// send fails the test on a refusal.
func (f *fixture) send(t testing.TB, r Request) (Challenge, Ref) {
	t.Helper()
	c, err := f.Send(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return c, refOf(c, r)
}

// wrong is a code that is not the one given.
func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

func wantFault(t testing.TB, err error, want *fault.Error) *fault.Error {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != want.Code {
		t.Fatalf("got %v, want %s", err, want.Code)
	}
	return f
}

// states counts the ledger rows of a database by state.
func states(t testing.TB, d *db.DB) map[string]int {
	t.Helper()
	rows, err := d.Query(context.Background(), `SELECT state, count(*) FROM sms_ledger GROUP BY state`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	m := map[string]int{}
	for rows.Next() {
		var state string
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			t.Fatal(err)
		}
		m[state] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

// age makes everything of the ledger and the challenges older.
func age(t testing.TB, d *db.DB, us int64) {
	t.Helper()
	for _, q := range []string{
		`UPDATE sms_ledger SET reserved_at = reserved_at - $1`,
		`UPDATE sms_challenges SET created_at = created_at - $1, sent_at = sent_at - $1, expires_at = expires_at - $1`,
	} {
		if _, err := d.Exec(context.Background(), q, us); err != nil {
			t.Fatal(err)
		}
	}
}

// rotate opens the database's vault with a new master before the old one.
func rotate(t testing.TB, d *db.DB) *signing.Vault {
	t.Helper()
	v, err := signing.OpenVault(context.Background(), d, [][]byte{
		[]byte("the next master secret of the tests, long enough"), []byte("a master secret of the tests, long enough"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
