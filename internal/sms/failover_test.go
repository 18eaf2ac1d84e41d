package sms

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// trio is three providers with answers of their own, on one route.
func trio(answers ...func(context.Context, Message) (string, error)) ([]*recorder, map[string]Route) {
	all := make([]*recorder, 3)
	var r Route
	for i := range all {
		all[i] = &recorder{name: []string{"one", "two", "three"}[i]}
		if i < len(answers) {
			all[i].answer = answers[i]
		}
		r.Providers = append(r.Providers, all[i])
	}
	return all, map[string]Route{"*": r}
}

// rows are the ledger's, in the order of their reservation.
func rows(t *testing.T, d *db.DB) (all []string) {
	t.Helper()
	r, err := d.Query(t.Context(), `SELECT provider, state, reason FROM sms_ledger ORDER BY reserved_at, id`)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for r.Next() {
		var provider, state, reason string
		if err := r.Scan(&provider, &state, &reason); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(provider, " ", state, " ", reason))
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// F-02, I4: what may have gone out is not given to the same provider again. One
// other may send the same code, as a message of its own.
func TestDoubtIsFollowedByOneOtherProvider(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers []func(context.Context, Message) (string, error)
		status  string
		rows    []string
	}{
		"the other takes it": {[]func(context.Context, Message) (string, error){fails(Ambiguous, "timeout")}, StatusSent,
			[]string{"one unknown A timeout", "two accepted "}},
		"both in doubt": {[]func(context.Context, Message) (string, error){fails(Ambiguous, "timeout"), fails(Ambiguous, "http_500")}, StatusUnknown,
			[]string{"one unknown A timeout", "two unknown A http_500"}},
		"the other refuses": {[]func(context.Context, Message) (string, error){fails(Ambiguous, "timeout"), fails(Failover, "dial")}, StatusUnknown,
			[]string{"one unknown A timeout", "two rejected F dial"}},
		"the other limits": {[]func(context.Context, Message) (string, error){fails(Ambiguous, "timeout"), fails(NumberLimited, "x")}, StatusUnknown,
			[]string{"one unknown A timeout", "two rejected R x"}},
		"doubt of the second": {[]func(context.Context, Message) (string, error){fails(Failover, "dial"), fails(Ambiguous, "timeout")}, StatusUnknown,
			[]string{"two unknown A timeout"}},
		"a class nobody knows": {[]func(context.Context, Message) (string, error){fails("?", "x")}, StatusSent,
			[]string{"one unknown ? x", "two accepted "}},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *db.DB) {
				providers, route := trio(test.answers...)
				f := newFixture(t, d, Config{Routes: route})
				r := login(t, "+8613800138060", "a")
				c, err := f.Send(t.Context(), r)
				if err != nil || c.Status != test.status {
					t.Fatalf("%+v, %v", c, err)
				}
				if got := rows(t, d); fmt.Sprint(got) != fmt.Sprint(test.rows) {
					t.Errorf("ledger %q, want %q", got, test.rows)
				}
				one, two := providers[0].sent(), providers[1].sent()
				if len(one) != 1 || len(two) != 1 || len(providers[2].sent()) != 0 || one[0].Code != two[0].Code {
					t.Errorf("%d, %d and %d calls", len(one), len(two), len(providers[2].sent()))
				}
				if same := one[0].ID == two[0].ID; same != (len(test.rows) == 1) {
					t.Error("the ids of the messages")
				}
				got, err := f.Get(t.Context(), refOf(c, r))
				if err != nil || got.Status != test.status || !got.ResendAt.Equal(c.ResendAt) {
					t.Errorf("Get: %+v, %v; Send: %+v", got, err, c)
				}
				wantFault(t, second(f.Send(t.Context(), r)), ErrTooSoon)
				if _, err := f.Check(t.Context(), refOf(c, r), two[0].Code); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNoSecondProviderWithoutRoom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config Config
		before func(f *fixture)
	}{
		"hour":    {config: Config{PerHour: 1}},
		"day":     {config: Config{PerDay: 2, KnownReserve: 1, PerHour: 5}, before: func(f *fixture) { f.send(t, login(t, "+8613800138061", "earlier")) }},
		"breaker": {before: func(f *fixture) { pass(f.breakers["two"], false, broken); pass(f.breakers["three"], false, broken) }},
	} {
		t.Run(name, func(t *testing.T) {
			d := dbtest.Open(t)
			providers, route := trio()
			test.config.Routes = route
			f := newFixture(t, d, test.config)
			if test.before != nil {
				test.before(f)
				age(t, d, (61 * time.Second).Microseconds())
			}
			providers[0].set(fails(Ambiguous, "timeout"))
			r := login(t, "+8613800138061", "a")
			c, err := f.Send(t.Context(), r)
			if err != nil || c.Status != StatusUnknown || len(providers[1].sent())+len(providers[2].sent()) != 0 {
				t.Errorf("%+v, %v, %d and %d calls", c, err, len(providers[1].sent()), len(providers[2].sent()))
			}
			if _, err := f.Check(t.Context(), refOf(c, r), providers[0].code(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who has typed the code by then needs no second message.
func TestNoSecondProviderForACodeThatWasUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		providers, route := trio(func(ctx context.Context, _ Message) (string, error) {
			<-ctx.Done()
			return "", &SendError{Class: Ambiguous, Code: "timeout"}
		})
		f := newFixture(t, d, Config{Routes: route})
		defer f.closeIt()
		_, ref := f.send(t, login(t, "+8613800138062", "a")) // answers after 1.5 s
		p, err := f.Check(t.Context(), ref, providers[0].code(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Consume(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.sending.Wait()
		if got := fmt.Sprint(rows(t, d)); got != "[one unknown A timeout]" || len(providers[1].sent()) != 0 {
			t.Errorf("%s, %d calls", got, len(providers[1].sent()))
		}
	})
}

// P-06, I4 with doubt: however many ask at once, on two servers, no number gets
// more messages than its windows have.
func TestBudgetIsExactWithSecondProviders(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var calls atomic.Int64
		doubt := func(context.Context, Message) (string, error) {
			calls.Add(1)
			return "", &SendError{Class: Ambiguous, Code: "timeout"}
		}
		_, route := trio(doubt, doubt, doubt)
		c := Config{Routes: route, Cooldown: time.Nanosecond, PerHour: 40}
		one, two := newFixture(t, d, c), newFixture(t, d, c)
		for range 4 {
			together(64, func(i int) {
				_, _ = []*fixture{one, two}[i%2].Send(t.Context(), login(t, "+8613800138063", fmt.Sprint(i)))
			})
			one.sending.Wait()
			two.sending.Wait()
			one.mend()
			two.mend()
		}
		if n := calls.Load(); n != 10 || states(t, d)["unknown"] != 10 {
			t.Errorf("%d calls, ledger %v", n, states(t, d))
		}
	})
}

// 64 numbers at once, the first provider failing in every way: each gets its
// code once, by the second, but for those in doubt.
func TestParallelFailover(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var n, doubts atomic.Int64
		one := &recorder{name: "one", answer: func(ctx context.Context, m Message) (string, error) {
			class := []Class{Failover, Ambiguous, Misconfigured}[n.Add(1)%3]
			if class == Ambiguous {
				doubts.Add(1)
			}
			return fails(class, "x")(ctx, m)
		}}
		two := &recorder{name: "two"}
		f := newFixture(t, d, Config{Routes: map[string]Route{"*": {Providers: []Provider{one, two}}}})
		together(64, func(i int) {
			c, err := f.Send(t.Context(), login(t, fmt.Sprintf("+86138001380%02d", i), fmt.Sprint(i)))
			if err != nil || c.Status != StatusSent && c.Status != StatusSending {
				t.Errorf("%+v, %v", c, err)
			}
		})
		f.sending.Wait()
		got := map[string]string{}
		for _, m := range two.sent() {
			if got[m.To.E164()] != "" {
				t.Errorf("%v got two from one provider", m.To)
			}
			got[m.To.E164()] = m.Code
		}
		for _, m := range one.sent() {
			if got[m.To.E164()] != m.Code {
				t.Errorf("%v: other codes", m.To)
			}
		}
		s := states(t, d)
		if len(got) != 64 || s["accepted"] != 64 || s["reserved"]+s["rejected"] != 0 || s["unknown"] != int(doubts.Load()) {
			t.Errorf("%d codes, ledger %v", len(got), s)
		}
	})
}

// A carrier may be quicker than the provider's answer: who has the code needs no
// second message.
func TestNoSecondProviderForAMessageThatArrived(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var f *fixture
		providers, route := trio(func(ctx context.Context, m Message) (string, error) {
			if err := f.apply(ctx, "one", sourcePush, []Report{{MessageID: m.ID, Status: StatusDelivered}}); err != nil {
				t.Error(err)
			}
			return "", &SendError{Class: Ambiguous, Code: "timeout"}
		})
		f = newFixture(t, d, Config{Routes: route})
		_, ref := f.send(t, login(t, "+8613800138064", "a"))
		if got, err := f.Get(t.Context(), ref); err != nil || got.Status != StatusDelivered {
			t.Errorf("%+v, %v", got, err)
		}
		if got := fmt.Sprint(rows(t, d)); got != "[one accepted A timeout]" || len(providers[1].sent()) != 0 {
			t.Errorf("%s, %d calls", got, len(providers[1].sent()))
		}
	})
}

// Two messages of one request carry one code: it has arrived once one of them
// has, whatever becomes of the other and whichever report comes first.
func TestOneOfTwoMessagesIsEnough(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for i, arrived := range []string{"one", "two"} {
			for j, other := range []string{"", StatusUndelivered} {
				providers, route := trio(fails(Ambiguous, "timeout"))
				f := newFixture(t, d, Config{Routes: route})
				r := login(t, fmt.Sprintf("+861380013806%d", 5+2*i+j), "a")
				c, ref := f.send(t, r)
				for n, p := range providers[:2] {
					status := map[bool]string{true: StatusDelivered, false: other}[p.name == arrived]
					if status == "" {
						continue
					}
					report := Report{MessageID: p.sent()[0].ID, Status: status, Reason: "O x", At: time.Now().Add(time.Duration(n) * time.Second)}
					if err := f.apply(t.Context(), p.name, sourcePush, []Report{report}); err != nil {
						t.Fatal(err)
					}
				}
				got, err := f.Get(t.Context(), ref)
				if err != nil || got.Status != StatusDelivered || got.Reason != "" || !got.ResendAt.Equal(c.ResendAt) {
					t.Errorf("%s arrived, the other %q: %+v, %v", arrived, other, got, err)
				}
				// Another message that a person asks for has its own fate.
				age(t, d, (61 * time.Second).Microseconds())
				f.mend()
				providers[0].set(nil)
				f.send(t, r)
				if got, err = f.Get(t.Context(), ref); err != nil || got.Status != StatusSent {
					t.Errorf("%s arrived, the other %q, asked again: %+v, %v", arrived, other, got, err)
				}
			}
		}
	})
}
