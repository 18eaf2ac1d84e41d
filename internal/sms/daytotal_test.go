package sms

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// The steps of a day, by the ledger alone: the counters elsewhere stand aside.
// In messages and in money, of a cent each, it is the same.
func TestDayBudgetHasSteps(t *testing.T) {
	price := map[string]map[string]Millionths{"fake": {"CN": 10_000}}
	for of, c := range map[string]Config{
		"messages": {PerServiceDay: 20},
		"money":    {BudgetPerDay: 200_000, Prices: price, Currency: "CNY"},
	} {
		t.Run(of, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *db.DB) {
				var f *fixture
				fresh := func() { // a restart in between changes nothing
					if f != nil {
						f.closeIt()
					}
					f = newFixtureOn(t, d, roomyStore{}, c)
					if err := f.look(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				fresh()
				i := 0
				send := func(n int, change func(*Request)) {
					t.Helper()
					for range n {
						i++
						r := stranger(t, i)
						change(&r)
						if _, err := f.Send(t.Context(), r); err != nil {
							t.Fatalf("message %d: %v", i, err)
						}
					}
				}
				ask := func(change func(*Request)) error {
					r := stranger(t, 999)
					change(&r)
					return second(f.Send(t.Context(), r))
				}
				plain := func(*Request) {}
				send(16, plain)
				for range 2 {
					wantFault(t, ask(plain), ErrHumanCheckRequired)
					f.seen.wantRefusal(t, "budget_"+of, "day", true)
					fresh()
				}
				send(4, human)
				for range 2 {
					wait := wantFault(t, ask(human), ErrRateLimited).RetryAfter
					if wait > day+slice || wait < day-time.Minute {
						t.Errorf("Retry-After %v", wait)
					}
					fresh()
				}
				send(2, known)
				wantFault(t, ask(known), ErrRateLimited)
			})
		})
	}
}

// Operators hear of each step once, and again on another day.
func TestBudgetStepsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, dbtest.Open(t), Config{PerServiceDay: 10})
		defer f.closeIt()
		var want []BudgetStep
		for i := range 10 {
			r := stranger(t, i)
			r.Human = levelBreaker
			f.send(t, r)
			for range 2 {
				if err := f.look(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if p := map[int]int{4: 50, 7: 80, 9: 100}[i]; p > 0 {
				want = append(want, BudgetStep{"messages", p})
			}
			if diff := cmp.Diff(want, f.seen.steps); diff != "" {
				t.Fatalf("after %d messages:\n%s", i+1, diff)
			}
		}
		time.Sleep(25 * time.Hour)
		if err := f.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if total := f.day.sum(time.Now(), messagesOf); total != 0 {
			t.Errorf("%d messages a day later", total)
		}
		for i := range 5 {
			f.send(t, stranger(t, i))
		}
		if err := f.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append(want, BudgetStep{"messages", 50}), f.seen.steps); diff != "" {
			t.Error(diff)
		}
	})
}

// A message that is given back leaves the day's account.
func TestRejectedMessagesCostNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Prices: map[string]map[string]Millionths{"fake": {"*": 7}}, Currency: "CNY"})
		f.provider.set(fails(Failover, "dial"))
		for i := range 3 {
			_, _ = f.Send(t.Context(), stranger(t, i))
		}
		for _, state := range []string{"added", "read"} {
			if n, cost := f.day.sum(time.Now(), messagesOf), f.day.sum(time.Now(), costOf); n != 0 || cost != 0 {
				t.Errorf("%s: %d messages for %d", state, n, cost)
			}
			if err := f.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A message whose process died before its outcome was written down may have been
// sent: the day's money counts it like one of which nobody knows.
func TestMessagesOfADeadProcessCostMoney(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		c := Config{Prices: map[string]map[string]Millionths{"fake": {"CN": 45_000}}, Currency: "CNY"}
		f := newFixture(t, d, c)
		if _, err := f.prepare(t.Context(), stranger(t, 1), "CN", false); err != nil {
			t.Fatal(err)
		}
		next := newFixture(t, d, c)
		for name, f := range map[string]*fixture{"the same process": f, "the next one": next} {
			if name != "the same process" {
				if err := f.look(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if n, cost := f.day.sum(time.Now(), messagesOf), f.day.sum(time.Now(), costOf); n != 1 || cost != 45_000 {
				t.Errorf("%s: %d messages for %d", name, n, cost)
			}
		}
		f.send(t, stranger(t, 2))
		f.provider.set(fails(BadNumber, "bad"))
		_, _ = f.Send(t.Context(), stranger(t, 3))
		for _, state := range []string{"added", "read"} {
			if n, cost := f.day.sum(time.Now(), messagesOf), f.day.sum(time.Now(), costOf); n != 2 || cost != 90_000 {
				t.Errorf("%s: %d messages for %d", state, n, cost)
			}
			if err := f.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What was sent is written down with its price, by provider and region.
func TestSpend(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		tr := &traffic{t: t, fixture: newFixture(t, d, Config{
			Regions: []string{"CN", "US"}, Currency: "CNY",
			Prices: map[string]map[string]Millionths{"fake": {"CN": 45_000, "*": 400_001}},
		})}
		before := time.Now()
		tr.many(3, 2, each, nil)
		tr.provider.set(fails(Ambiguous, "timeout"))
		tr.many(1, 0, each, nil)
		tr.provider.set(fails(BadNumber, "bad"))
		_ = tr.ask("1380013", false, nil)
		tr.provider.set(nil)
		r := stranger(t, 50)
		r.Number = number(t, "+12025550133")
		tr.send(t, r)
		if _, err := d.Exec(t.Context(), `UPDATE sms_ledger SET receipt = 'delivered' WHERE region = 'US'`); err != nil {
			t.Fatal(err)
		}
		got, err := Spend(context.Background(), d, before)
		want := []SpendRow{{"fake", "CN", 4, 0, 2, 180_000}, {"fake", "US", 1, 1, 0, 400_001}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		if rows, err := Spend(context.Background(), d, time.Now().Add(time.Minute)); err != nil || len(rows) != 0 {
			t.Errorf("%v, %v", rows, err)
		}
		var cost Millionths
		for _, s := range tr.seen.sends {
			cost += s.Cost
		}
		if cost != 580_001 {
			t.Errorf("the observer was told of %v", cost)
		}
	})
}

func TestMillionths(t *testing.T) {
	for text, want := range map[string]Millionths{
		"0.045": 45_000, "0.4": 400_000, "12": 12_000_000, "0.000001": 1, "999999999999.999999": 999_999_999_999_999_999, "0": 0, "007.50": 7_500_000,
	} {
		if got, err := ParseMillionths(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000001", "1.2.3", " 1", "１", "1000000000000", "NaN", "0x1"} {
		if got, err := ParseMillionths(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	for m, want := range map[Millionths]string{45_000: "0.045", 0: "0", 1: "0.000001", 12_000_000: "12", 100_500_000: "100.5"} {
		if m.String() != want {
			t.Errorf("%d is shown as %s", int64(m), m)
		}
	}
}

func TestBudgetNeedsPrices(t *testing.T) {
	d := dbtest.Open(t)
	for name, c := range map[string]Config{
		"no price":    {BudgetPerDay: 1, Currency: "CNY"},
		"no currency": {Prices: map[string]map[string]Millionths{"fake": {"*": 1}}},
		"negative":    {BudgetPerDay: -1},
	} {
		c.Regions = []string{"CN"}
		c.Routes = map[string]Route{"CN": {Providers: []Provider{&recorder{name: "fake"}}}}
		if _, err := New(c, d, nil, vaultOf(t, d), nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
