package sms

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
)

// eachCounter runs f with the coarse limits on SQLite, PostgreSQL and Redis.
func eachCounter(t *testing.T, f func(t *testing.T, d *db.DB, store ephemeral.Store)) {
	t.Helper()
	onSQL := func(t *testing.T, d *db.DB) {
		store, err := ephemeral.OpenSQL(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		f(t, d, store)
	}
	dbtest.Each(t, onSQL)
	url := os.Getenv("DIALTONE_TEST_REDIS")
	if url == "" {
		if os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
			t.Fatal("DIALTONE_TEST_REQUIRE=1 but DIALTONE_TEST_REDIS is not set")
		}
		return
	}
	t.Run("redis", func(t *testing.T) {
		store, err := ephemeral.OpenRedis(url+"?timeout=5s", ephemeral.Options{Prefix: "test-" + rand.Text() + ":"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		f(t, dbtest.Open(t), store)
	})
}

// stranger is the i-th of many requests that have nothing in common but the client.
func stranger(t testing.TB, i int) Request {
	t.Helper()
	r := login(t, fmt.Sprintf("+86138%04d%04d", 100+i, 8000+i), fmt.Sprint("flow ", i))
	r.KnownDevice = false
	r.Address = netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
	return r
}

// edge is a limit and where its edges are.
type edge struct {
	config        Config
	change        func(t *testing.T, i int, r *Request)
	free          int // sent before a human check is asked for; -1 if it is not
	most          int // sent in all; 0 if there is no end to it
	known         int // sent to recognised devices; 0 if there is no end to it
	scope, window string
	level         string
	per           time.Duration
}

func edges() map[string]edge {
	same := netip.MustParseAddr("192.0.2.7")
	oneAddress := func(_ *testing.T, _ int, r *Request) { r.Address = same }
	onePrefix := func(t *testing.T, i int, r *Request) { r.Number = number(t, fmt.Sprintf("+861380013%04d", 97*i)) }
	return map[string]edge{
		"numbers of an address":             {Config{PerAddressNumbers: 2}, oneAddress, 2, 10, 10, "address", "10m", "1", 10 * time.Minute},
		"messages of an address in an hour": {Config{PerAddressHour: 2}, oneAddress, 2, 10, 10, "address", "hour", "1", time.Hour},
		"messages of an address in a day":   {Config{PerAddressDay: 2}, oneAddress, 2, 10, 10, "address", "day", "1", day},
		"a network of IPv6": {Config{PerAddressHour: 1}, func(_ *testing.T, i int, r *Request) {
			r.Address = netip.MustParseAddr(fmt.Sprintf("2001:db8:7:%x::1", i))
		}, 4, 20, 20, "network", "hour", "1", time.Hour},
		"numbers of a device": {Config{PerDeviceNumbers: 2, PerDeviceDay: 4}, func(_ *testing.T, _ int, r *Request) { r.Device = "d" },
			2, 4, 4, "device_numbers", "day", "1", day},
		"messages of a device": {Config{PerDeviceNumbers: 4, PerDeviceDay: 4}, func(_ *testing.T, _ int, r *Request) { r.Device = "d" },
			-1, 4, 4, "device_numbers", "day", "1", day},
		"a prefix":        {Config{PerPrefix10m: 2, PerPrefixHour: 5}, onePrefix, 2, 5, 0, "prefix", "", "2", time.Hour},
		"a prefix's hour": {Config{PerPrefix10m: 3, PerPrefixHour: 3}, onePrefix, -1, 3, 0, "prefix", "", "2", time.Hour},
		"neighbours": {Config{Consecutive: 5}, func(t *testing.T, i int, r *Request) {
			r.Number = number(t, fmt.Sprintf("+86138001380%02d", 40+i))
		}, 4, 0, 0, "block", "", "2", 10 * time.Minute},
		"a calling code": {Config{Regions: []string{"CN", "US"}, PerDialCodeDay: 3}, func(t *testing.T, i int, r *Request) {
			r.Number = number(t, fmt.Sprintf("+120255501%02d", i))
		}, -1, 3, 4, "dial_code", "day", "", day},
		"a client's hour":   {Config{PerClientHour: 3}, nil, -1, 3, 4, "client", "hour", "", time.Hour},
		"a client's day":    {Config{PerClientDay: 3}, nil, -1, 3, 4, "client", "day", "", day},
		"the service's day": {Config{PerServiceDay: 10}, nil, 8, 10, 11, "service", "day", "3", day},
		"a virtual operator": {Config{}, func(t *testing.T, i int, r *Request) {
			r.Number = number(t, fmt.Sprintf("+86170%04d%04d", i, i))
		}, 0, 0, 0, "class", "always", "2", 0},
	}
}

// beyond is how many are tried where there is no end.
const beyond = 24

// Every limit at its edge: so many are sent, the next one needs a human check,
// with it so many more are sent, and then none for as long as the answer says.
func TestEveryLimitAtItsEdge(t *testing.T) {
	for name, e := range edges() {
		t.Run(name, func(t *testing.T) {
			eachCounter(t, func(t *testing.T, d *db.DB, store ephemeral.Store) {
				f := newFixtureOn(t, d, store, e.config)
				sent, began := 0, time.Now()
				next := func(human bool) error {
					r := stranger(t, sent)
					if e.change != nil {
						e.change(t, sent, &r)
					}
					r.Human = map[bool]int{true: levelBreaker}[human]
					_, err := f.Send(t.Context(), r)
					if err == nil {
						sent++
					}
					return err
				}
				if e.free >= 0 {
					for range e.free {
						if err := next(false); err != nil {
							t.Fatalf("message %d: %v", sent+1, err)
						}
					}
					for range 2 { // asked by the store, then from memory
						fl := wantFault(t, next(false), ErrHumanCheckRequired)
						if fl.Params["level"] != e.level {
							t.Errorf("level %q, want %q", fl.Params["level"], e.level)
						}
						f.seen.wantRefusal(t, e.scope, e.window, true)
					}
				}
				last := e.most
				if last == 0 {
					last = beyond
				}
				for sent < last {
					if err := next(true); err != nil {
						t.Fatalf("message %d: %v", sent+1, err)
					}
				}
				if e.most > 0 {
					for _, human := range []bool{true, true, false} {
						wantWait(t, next(human), e.per, time.Since(began))
						f.seen.wantRefusal(t, e.scope, e.window, false)
					}
				}
				if len(f.provider.sent()) != last {
					t.Errorf("%d sent, want %d", len(f.provider.sent()), last)
				}
			})
		})
	}
}

func (o *observed) wantRefusal(t *testing.T, scope, window string, human bool) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.refusals) == 0 {
		t.Fatal("the observer was told nothing")
	}
	got := o.refusals[len(o.refusals)-1]
	if window == "" {
		got.Window = ""
	}
	if want := (QuotaRefused{Scope: scope, Window: window, Human: human}); got != want {
		t.Errorf("the observer was told %+v, want %+v", got, want)
	}
}

// wantWait wants a refusal until a window that began to fill so long ago opens.
func wantWait(t *testing.T, err error, per, ago time.Duration) {
	t.Helper()
	f := wantFault(t, err, ErrRateLimited)
	if f.RetryAfter > per || f.RetryAfter < per-ago-time.Second {
		t.Errorf("Retry-After %v in a window of %v", f.RetryAfter, per)
	}
}

// Recognised devices meet no human check, and the same hard limits but those
// against pumping.
func TestRecognisedDevicesHaveTheirOwnReserve(t *testing.T) {
	for name, e := range edges() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, dbtest.Open(t), e.config)
			last := e.known
			if last == 0 {
				last = beyond
			}
			for i := range last + 1 {
				r := stranger(t, i)
				if e.change != nil {
					e.change(t, i, &r)
				}
				r.KnownDevice = true
				_, err := f.Send(t.Context(), r)
				if i < last && err != nil {
					t.Fatalf("message %d of %d: %v", i+1, last, err)
				}
				if i == last && e.known > 0 {
					wantFault(t, err, ErrRateLimited)
				}
			}
		})
	}
}

// The promised moment is the moment, to the microsecond, also from memory.
func TestCoarseLimitsOpenWhenPromised(t *testing.T) {
	for name, e := range edges() {
		if e.most == 0 || e.per == day && e.scope != "dial_code" { // one whole day is enough
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, dbtest.Open(t), e.config)
			defer f.closeIt()
			i := 0
			next := func() error {
				r := stranger(t, i)
				if e.change != nil {
					e.change(t, i, &r)
				}
				r.Human = levelBreaker
				_, err := f.Send(t.Context(), r)
				i++
				return err
			}
			for range e.most {
				if err := next(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			wait := wantFault(t, next(), ErrRateLimited).RetryAfter
			for _, early := range []time.Duration{7 * time.Second, time.Microsecond} {
				time.Sleep(wait - early)
				wait = wantFault(t, next(), ErrRateLimited).RetryAfter
				if wait != early {
					t.Errorf("%s: %v before the promised time it says %v", name, early, wait)
				}
			}
			time.Sleep(wait)
			if err := next(); err != nil {
				t.Errorf("%s: at the promised time: %v", name, err)
			}
		})
	}
}

// Strangers who use a client's limits up leave something to recognised devices.
func TestStrangersDoNotUseAClientUp(t *testing.T) {
	f := newFixture(t, dbtest.Open(t), Config{PerClientHour: 3, PerClientDay: 3})
	for i := range 3 {
		f.send(t, stranger(t, i))
	}
	wantFault(t, second(f.Send(t.Context(), stranger(t, 3))), ErrRateLimited)
	owner := stranger(t, 4)
	owner.KnownDevice = true
	f.send(t, owner)
}

// Twenty a second, and a moment later more.
func TestServiceBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, dbtest.Open(t), Config{PerServiceSecond: 20})
		defer f.closeIt()
		for i := range 20 {
			f.send(t, stranger(t, i))
		}
		if w := wantFault(t, second(f.Send(t.Context(), stranger(t, 20))), ErrRateLimited).RetryAfter; w != time.Second {
			t.Errorf("Retry-After %v", w)
		}
		time.Sleep(time.Second)
		f.send(t, stranger(t, 20))
	})
}

// A re-send of a challenge names no new number and is asked no check again.
func TestResendsAreNoNewNumbers(t *testing.T) {
	f := newFixture(t, dbtest.Open(t), Config{
		PerAddressNumbers: 1, PerPrefix10m: 1, PerPrefixHour: 12, Consecutive: 2, PerHour: 40, PerDay: 40, Cooldown: time.Nanosecond,
	})
	r := stranger(t, 1)
	_, ref := f.send(t, r)
	for range 11 {
		if _, err := f.Resend(t.Context(), ref, Again{Address: r.Address}); err != nil {
			t.Fatal(err)
		}
	}
	wantFault(t, second(f.Resend(t.Context(), ref, Again{Address: r.Address})), ErrRateLimited) // strangers of the prefix are paused
}

// The next places are fought for by many: exactly as many as there are get one.
func TestPrefixIsExactUnderRace(t *testing.T) {
	eachCounter(t, func(t *testing.T, d *db.DB, store ephemeral.Store) {
		config := Config{PerPrefix10m: 7, PerPrefixHour: 19}
		servers := []*fixture{newFixtureOn(t, d, store, config), newFixtureOn(t, d, store, config)}
		ask := func(human bool) (sent int) {
			before := len(servers[0].provider.sent()) + len(servers[1].provider.sent())
			together(60, func(i int) {
				r := stranger(t, i)
				r.Number = number(t, fmt.Sprintf("+861380013%04d", 50*i+map[bool]int{true: 25}[human]))
				r.Human = map[bool]int{true: levelBreaker}[human]
				_, _ = servers[i%2].Send(t.Context(), r)
			})
			return len(servers[0].provider.sent()) + len(servers[1].provider.sent()) - before
		}
		if n := ask(false); n != 7 {
			t.Errorf("%d without a human check, want 7", n)
		}
		if n := ask(true); n != 12 {
			t.Errorf("%d more with one, want 12", n)
		}
	})
}
