package sms

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// accounts keeps what was spent and given back, over a real store.
type accounts struct {
	ephemeral.Store
	mu     sync.Mutex
	spends int
	net    map[string]int
}

func (a *accounts) Spend(ctx context.Context, limits []ephemeral.Limit) (ephemeral.Decision, error) {
	d, err := a.Store.Spend(ctx, limits)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spends++
	for _, l := range limits {
		if err == nil && d.Allowed {
			a.net[l.Key]++
		}
	}
	return d, err
}

func (a *accounts) Refund(ctx context.Context, limits []ephemeral.Limit, d ephemeral.Decision) error {
	a.mu.Lock()
	for _, l := range limits {
		a.net[l.Key]--
	}
	a.mu.Unlock()
	return a.Store.Refund(ctx, limits, d)
}

// A refusal, whoever refuses, takes nothing from any limit; and no request asks
// the store of the limits twice.
func TestRefusalsTakeNothing(t *testing.T) {
	d := dbtest.Open(t)
	sql, err := ephemeral.OpenSQL(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sql.Close() })
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		store := &accounts{Store: sql, net: map[string]int{}}
		draw := func(name string, most int) int { return rapid.IntRange(2, most).Draw(rt, name) }
		f := newFixtureOn(t, d, store, Config{
			PerAddressNumbers: draw("numbers", 4), PerAddressHour: draw("address", 4), PerPrefix10m: draw("prefix", 4), PerPrefixHour: draw("prefix hour", 8),
			PerDeviceNumbers: draw("device", 3), Consecutive: draw("neighbours", 6), Cooldown: time.Duration(rapid.SampledFrom([]int{1, int(time.Minute)}).Draw(rt, "cooldown")),
			NoHumanCheck: rapid.Bool().Draw(rt, "no check"), PerClientHour: draw("client", 20),
		})
		defer f.closeIt()
		client := fmt.Sprint("client ", round)
		for range rapid.IntRange(5, 40).Draw(rt, "requests") {
			r := stranger(t, 0)
			r.Number = number(t, fmt.Sprintf("+86139%04d%04d", round, 16*rapid.IntRange(0, 1).Draw(rt, "block")+rapid.IntRange(0, 7).Draw(rt, "number")))
			r.Address = netip.AddrFrom4([4]byte{10, byte(round >> 8), byte(round), byte(rapid.IntRange(0, 3).Draw(rt, "address"))})
			r.Device, r.ClientID = fmt.Sprint(round, rapid.IntRange(0, 3).Draw(rt, "device")), client
			r.Human, r.KnownDevice = rapid.IntRange(0, levelBreaker).Draw(rt, "human"), rapid.IntRange(0, 3).Draw(rt, "known") == 0
			before, spends := clone(store.net), store.spends
			_, err := f.Send(t.Context(), r)
			if store.spends > spends+1 {
				rt.Fatalf("%d round trips to the limits", store.spends-spends)
			}
			if fl := fault.From(err); fl != nil && (fl.Code == fault.Internal.Code || fl.RetryAfter <= 0 && fl.Code != ErrHumanCheckRequired.Code) {
				rt.Fatal(err)
			}
			for key, n := range store.net {
				if err != nil && n != before[key] || n < before[key] || n > before[key]+1 {
					rt.Fatalf("%v: %s went from %d to %d", err, key, before[key], n)
				}
			}
		}
		if want := len(f.provider.sent()); store.net["sms:client:hour:"+client] != want {
			rt.Fatalf("%d on the client's account, %d sent", store.net["sms:client:hour:"+client], want)
		}
	})
}

func clone(m map[string]int) map[string]int {
	c := make(map[string]int, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// A message that nobody could send is given back to every limit. One that was
// refused for its number is not: else numbers that get nothing could be tried
// without end.
func TestWhatNobodyCouldSendIsGivenBack(t *testing.T) {
	for class, back := range map[Class]bool{Failover: true, Misconfigured: true, BadNumber: false, NumberLimited: false, Blocked: false, Ambiguous: false} {
		t.Run(string(class), func(t *testing.T) {
			d := dbtest.Open(t)
			sql, err := ephemeral.OpenSQL(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = sql.Close() })
			store := &accounts{Store: sql, net: map[string]int{}}
			f := newFixtureOn(t, d, store, Config{})
			f.provider.set(fails(class, "x"))
			_, _ = f.Send(t.Context(), stranger(t, 0))
			f.closeIt()
			left := 0
			for _, n := range store.net {
				left += n
			}
			if len(store.net) == 0 || (left == 0) != back {
				t.Errorf("%d of %d limits are still charged", left, len(store.net))
			}
		})
	}
}

// What is refused from memory costs no store anything, and is forgotten when
// something is given back.
func TestFullLimitsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		sql, err := ephemeral.OpenSQL(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		store := &accounts{Store: sql, net: map[string]int{}}
		f := newFixtureOn(t, d, store, Config{PerPrefix10m: 3, PerPrefixHour: 3})
		defer sql.Close()
		defer f.closeIt()
		for i := range 3 {
			r := stranger(t, i)
			r.Number = number(t, fmt.Sprintf("+861380013%04d", 100*i))
			f.send(t, r)
		}
		r := stranger(t, 9)
		r.Number = number(t, "+8613800138000")
		for range 50 {
			wantFault(t, second(f.Send(t.Context(), r)), ErrRateLimited)
		}
		if store.spends != 4 {
			t.Errorf("%d round trips for 50 refusals", store.spends-3)
		}
		time.Sleep(believe)
		wantFault(t, second(f.Send(t.Context(), r)), ErrRateLimited)
		if store.spends != 5 {
			t.Errorf("the memory is not asked anew: %d", store.spends)
		}
	})
	var m stops
	now := time.Now()
	for i := range 3 * mostStops {
		m.add(stop{key: fmt.Sprint(i)}, now, time.Hour, believe)
	}
	if len(m.until) > mostStops {
		t.Errorf("%d full limits are remembered", len(m.until))
	}
	m.add(stop{key: "later"}, now.Add(believe), time.Hour, believe)
	if len(m.until) != 1 || m.wait(stop{key: "later"}, now.Add(believe)) != time.Hour {
		t.Errorf("%d after all were old", len(m.until))
	}
	m.remove(stop{key: "later"})
	if m.wait(stop{key: "later"}, now.Add(believe)) != 0 {
		t.Error("not forgotten")
	}
}
