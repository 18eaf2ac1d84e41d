package simulate

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// world is a service in a bubble with its own clock, and what happens to it.
type world struct {
	t       *testing.T
	ctx     context.Context
	db      *db.DB
	service *sms.Service
	carrier *carrier
	random  *rand.Rand
	begin   time.Time
	events  events
	people  people
	close   func()

	refusedBy sms.QuotaRefused // the last one
}

// What the service tells its observer; refusals come before Send returns.
func (w *world) QuotaRefused(q sms.QuotaRefused) { w.refusedBy = q }
func (w *world) SendSettled(sms.SendSettled)     {}
func (w *world) CheckDone(sms.CheckDone)         {}
func (w *world) BudgetStep(s sms.BudgetStep)     { w.t.Logf("%v: %+v", time.Since(w.begin), s) }
func (w *world) ScopeChanged(s sms.ScopeChanged) {
	if s.Kind != "prefix" {
		w.t.Logf("%v: %+v", time.Since(w.begin), s)
	}
}

// newWorld must be called inside the bubble, and closed there.
func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := dbtest.Open(t)
	beside, err := db.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "ephemeral.db"), db.Relaxed)
	must(t, err)
	store, err := ephemeral.OpenSQL(ctx, beside)
	must(t, err)
	vault, err := signing.OpenVault(ctx, d, [][]byte{[]byte("a master secret of the tests, long enough")})
	must(t, err)
	w := &world{t: t, ctx: ctx, db: d, carrier: &carrier{codes: map[sms.Number]string{}}, random: rand.New(rand.NewPCG(1, 2)), begin: time.Now()}
	w.service, err = sms.New(sms.Config{
		Regions: []string{"CN"}, Routes: map[string]sms.Route{"*": {Providers: []sms.Provider{w.carrier}}}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Observer: w, Currency: "CNY", Prices: map[string]map[string]sms.Millionths{"carrier": {"*": 45_000}},
	}, d, store, vault, audit.New(d))
	must(t, err)
	var watch sync.WaitGroup
	watch.Go(func() { w.service.Watch(ctx) })
	w.close = func() {
		cancel()
		watch.Wait()
		must(t, errors.Join(w.service.Close(context.Background()), store.Close(), beside.Close()))
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// carrier is the provider: it takes every message and remembers what a phone
// would show.
type carrier struct {
	mu    sync.Mutex
	codes map[sms.Number]string
	sent  []delivery
}

type delivery struct {
	to sms.Number
	at time.Time
}

func (c *carrier) Name() string { return "carrier" }

func (c *carrier) Send(_ context.Context, m sms.Message) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.codes[m.To] = m.Code
	c.sent = append(c.sent, delivery{m.To, time.Now()})
	return m.ID, nil
}

func (c *carrier) code(n sms.Number) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.codes[n]
}

// count is how many messages were sent to numbers that are so.
func (c *carrier) count(is func(delivery) bool) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.sent {
		if is(d) {
			n++
		}
	}
	return n
}

// event is something that somebody does at a time.
type event struct {
	at time.Time
	do func()
}

// events are a heap, the earliest first.
type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// after makes something happen so long after the beginning.
func (w *world) after(d time.Duration, do func()) {
	heap.Push(&w.events, event{w.begin.Add(d), do})
}

// in makes something happen so long from now.
func (w *world) in(d time.Duration, do func()) { w.after(time.Since(w.begin)+d, do) }

// run lets all of it happen, one after the other.
func (w *world) run() {
	for w.events.Len() > 0 {
		e := heap.Pop(&w.events).(event)
		time.Sleep(time.Until(e.at))
		e.do()
	}
}

// between is a random time of that stretch.
func (w *world) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.random.Int64N(int64(to-from)))
}

func (w *world) chance(percent int) bool { return w.random.IntN(100) < percent }

func (w *world) number(e164 string) sms.Number {
	n, err := sms.FromE164(e164)
	must(w.t, err)
	return n
}

// address is one of IPv4 that stands for the i-th place of a kind.
func address(kind byte, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10 + kind, byte(i >> 16), byte(i >> 8), byte(i)})
}

// newFlow is a browser's own.
func (w *world) newFlow() []byte {
	f := make([]byte, 32)
	for i := range f {
		f[i] = byte(w.random.Uint32())
	}
	return f
}

// is reports whether err is this fault.
func is(err error, f *fault.Error) bool { return errors.Is(err, f) }

// cost is what the ledger says the messages cost.
func (w *world) cost() (messages int64, cost sms.Millionths) {
	rows, err := sms.Spend(context.Background(), w.db, time.Time{})
	must(w.t, err)
	for _, r := range rows {
		messages += r.Messages
		cost += r.Cost
	}
	return messages, cost
}

// report prints one line of the table.
func (w *world) report(name, gained string) {
	messages, cost := w.cost()
	p := &w.people
	w.t.Logf("%-26s %5d messages, %7s CNY | attacker: %-58s | people: %4d came, %4d signed in, %d saw a check, %d had to wait a second, %d refused",
		name, messages, fmt.Sprint(cost), gained, p.came, p.signedIn, p.checked, p.delayed, p.refused)
}

// BreakerChanged and ReceiptReceived are no concern here (sms.Observer).
func (w *world) BreakerChanged(sms.BreakerChanged)   {}
func (w *world) ReceiptReceived(sms.ReceiptReceived) {}
