package sms

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// roomyStore stands aside, for days that a store's own housekeeping would fill.
type roomyStore struct{ ephemeral.Store }

func (roomyStore) Spend(context.Context, []ephemeral.Limit) (ephemeral.Decision, error) {
	return ephemeral.Decision{Allowed: true}, nil
}

func (roomyStore) Refund(context.Context, []ephemeral.Limit, ephemeral.Decision) error { return nil }

func isIncorrect(err error) bool {
	return errors.Is(err, ErrCodeIncorrect) || errors.Is(err, ErrCodeIncorrectLast)
}

// T-07: asked every 61 s for three days, a number gets at most one message in
// any 60 s, five in any hour, ten in any 24 h - and as many as that allows.
func TestWindowsHoldOverDays(t *testing.T) {
	for _, known := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixtureOn(t, dbtest.Open(t), roomyStore{}, Config{})
			defer f.closeIt() // before the bubble ends
			r := login(t, "+8613800138060", "a")
			r.KnownDevice = known
			var times []time.Time
			promised := time.Now()
			for start := time.Now(); time.Since(start) < 72*time.Hour; time.Sleep(61 * time.Second) {
				if time.Since(start) > 90*time.Minute && time.Until(promised) > 10*time.Minute {
					time.Sleep(time.Until(promised) - 5*time.Minute) // nothing may happen before
				}
				_, err := f.Send(t.Context(), r)
				var refused *fault.Error
				switch {
				case err == nil:
					if time.Now().Before(promised) {
						t.Fatalf("allowed %v before the promised time", time.Until(promised))
					}
					times = append(times, time.Now())
				case errors.As(err, &refused) && refused.Status == 429:
					if d := time.Until(promised); d > 0 && (refused.RetryAfter-d).Abs() > time.Millisecond {
						t.Fatalf("promised %v, then %v", d, refused.RetryAfter)
					}
					promised = time.Now().Add(refused.RetryAfter)
				default:
					t.Fatal(err)
				}
			}
			perDay := 10
			if !known {
				perDay = 6
			}
			if most(times, time.Minute) != 1 || most(times, time.Hour) != 5 || most(times, 24*time.Hour) != perDay {
				t.Errorf("at most %d in a minute, %d in an hour, %d in a day", most(times, time.Minute), most(times, time.Hour), most(times, 24*time.Hour))
			}
			if len(times) < 3*perDay || len(f.provider.sent()) != len(times) {
				t.Errorf("%d messages in three days, %d sent", len(times), len(f.provider.sent()))
			}
		})
	}
}

// most is the largest number of times in any half-open window.
func most(times []time.Time, window time.Duration) int {
	n := 0
	for i := range times {
		j := i
		for j < len(times) && times[j].Sub(times[i]) < window {
			j++
		}
		n = max(n, j-i)
	}
	return n
}

func TestWindowsOpenExactlyWhenPromised(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, dbtest.Open(t), Config{})
		defer f.closeIt()
		r := login(t, "+8613800138061", "a")
		f.send(t, r)
		for _, step := range []time.Duration{59 * time.Second, 999 * time.Millisecond} {
			time.Sleep(step)
			wantFault(t, second(f.Send(t.Context(), r)), ErrTooSoon)
		}
		time.Sleep(time.Millisecond)
		f.send(t, r)
	})
}

// P-04: ten wrong codes in any hour, thirty in any day, over days of guessing.
func TestFailureWindowsHoldOverDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureOn(t, dbtest.Open(t), roomyStore{}, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40})
		defer f.closeIt()
		r := login(t, "+8613800138062", "a")
		var times []time.Time
		for start := time.Now(); time.Since(start) < 50*time.Hour; time.Sleep(2 * time.Minute) {
			c, err := f.Send(t.Context(), r)
			if err != nil {
				continue
			}
			code := f.provider.code(t)
			for range 3 {
				before := f.compared.Load()
				f.Check(t.Context(), refOf(c, r), wrong(code))
				if f.compared.Load() > before {
					times = append(times, time.Now())
				}
			}
		}
		if most(times, time.Hour) != 10 || most(times, 24*time.Hour) != 30 {
			t.Errorf("%d in an hour, %d in a day", most(times, time.Hour), most(times, 24*time.Hour))
		}
		if len(times) < 60 {
			t.Errorf("%d in all: the windows do not open again", len(times))
		}
	})
}

// P-02: five minutes, and not a microsecond later.
func TestCodeExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, dbtest.Open(t), Config{})
		defer f.closeIt()
		_, ref := f.send(t, login(t, "+8613800138063", "a"))
		code := f.provider.code(t)
		time.Sleep(5*time.Minute - time.Microsecond)
		if _, err := f.Check(t.Context(), ref, code); err != nil {
			t.Errorf("just before: %v", err)
		}
		time.Sleep(time.Microsecond)
		wantFault(t, second(f.Check(t.Context(), ref, code)), ErrCodeExpired)
	})
}

// The provider's time is not the person's: Send answers after 1.5 s, the message
// goes on without the request, and its outcome is kept.
func TestSlowProvider(t *testing.T) {
	for name, test := range map[string]struct {
		takes          time.Duration
		err            error
		during, after  string
		fault          *fault.Error
		answeredWithin time.Duration
	}{
		"quick":         {time.Second, nil, StatusSent, StatusSent, nil, time.Second},
		"slow":          {2 * time.Second, nil, StatusSending, StatusSent, nil, patience},
		"slow refusal":  {2 * time.Second, &SendError{Class: BadNumber}, StatusSending, StatusFailed, nil, patience},
		"quick refusal": {time.Second, &SendError{Class: BadNumber}, "", "", ErrRejected, time.Second},
		"silence":       {time.Hour, nil, StatusSending, StatusUnknown, nil, patience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, dbtest.Open(t), Config{})
				defer f.closeIt()
				f.provider.set(func(ctx context.Context, _ Message) (string, error) {
					select {
					case <-time.After(test.takes):
						return "", test.err
					case <-ctx.Done():
						return "", &SendError{Class: Ambiguous, Provider: "fake", Code: "timeout"}
					}
				})
				r := login(t, "+8613800138064", "a")
				request, hangUp := context.WithCancel(t.Context())
				start := time.Now()
				c, err := f.Send(request, r)
				if took := time.Since(start); took != test.answeredWithin {
					t.Errorf("answered after %v", took)
				}
				hangUp()
				if test.fault != nil {
					wantFault(t, err, test.fault)
					return
				}
				if err != nil || c.Status != test.during {
					t.Fatalf("%+v, %v", c, err)
				}
				if got, err := f.Get(t.Context(), refOf(c, r)); err != nil || got.Status != test.during {
					t.Errorf("Get during: %+v, %v", got, err)
				}
				time.Sleep(10 * time.Second)
				if got, err := f.Get(t.Context(), refOf(c, r)); err != nil || got.Status != test.after {
					t.Errorf("Get after: %+v, %v", got, err)
				}
				if len(f.provider.sent()) != 1 {
					t.Errorf("%d calls", len(f.provider.sent()))
				}
			})
		})
	}
}

// A client that hangs up does not stop its message.
func TestSendOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		f := newFixture(t, d, Config{})
		defer f.closeIt()
		request, hangUp := context.WithCancel(t.Context())
		f.provider.set(func(ctx context.Context, _ Message) (string, error) {
			hangUp()
			time.Sleep(time.Second)
			return "", ctx.Err()
		})
		if c, err := f.Send(request, login(t, "+8613800138065", "a")); err != nil || c.Status != StatusSending {
			t.Errorf("%+v, %v", c, err)
		}
		time.Sleep(2 * time.Second)
		if states(t, d)["accepted"] != 1 {
			t.Errorf("ledger %v", states(t, d))
		}
	})
}

// F-03: no more than InFlight messages wait for providers; the next is refused
// before anything is reserved.
func TestTooManyMessagesUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		f := newFixture(t, d, Config{InFlight: 3})
		defer f.closeIt()
		f.provider.set(func(ctx context.Context, _ Message) (string, error) {
			<-ctx.Done()
			return "", &SendError{Class: Ambiguous, Provider: "fake", Code: "timeout"}
		})
		numbers := []string{"+8613800138066", "+8613800138067", "+8613800138068", "+8613800138069"}
		results := make(chan error, len(numbers))
		for _, n := range numbers {
			go func() { results <- second(f.Send(t.Context(), login(t, n, "a"))) }()
		}
		refused := 0
		for range numbers {
			if err := <-results; err != nil {
				if got := wantFault(t, err, ErrProviderUnavailable); got.RetryAfter <= 0 {
					t.Error("no Retry-After")
				}
				refused++
			}
		}
		if refused != 1 || states(t, d)["reserved"] != 3 || len(f.provider.sent()) != 3 {
			t.Errorf("%d refused, ledger %v", refused, states(t, d))
		}
		time.Sleep(time.Minute)
		f.provider.set(nil)
		for _, n := range numbers { // all places are free again
			f.send(t, login(t, n, "a"))
		}
	})
}

// I4, S-08: a process that died leaves its message reserved. It counts, it is
// shown as unknown, and no restart sends it.
func TestReservedMessageOfADeadProcessIsNeverSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		died := newFixture(t, d, Config{})
		r := login(t, "+8613800138070", "a")
		m, err := died.prepare(t.Context(), r, "CN", false) // and then the lights went out
		if err != nil {
			t.Fatal(err)
		}
		died.closeIt()
		time.Sleep(time.Second)
		f := newFixture(t, d, Config{})
		defer f.closeIt()
		if got := wantFault(t, second(f.Send(t.Context(), r)), ErrTooSoon); got.RetryAfter != 59*time.Second {
			t.Errorf("Retry-After %v", got.RetryAfter)
		}
		ref := refOf(m.challenge, r)
		if got, err := f.Get(t.Context(), ref); err != nil || got.Status != StatusSending {
			t.Errorf("Get: %+v, %v", got, err)
		}
		time.Sleep(30 * time.Second)
		if got, err := f.Get(t.Context(), ref); err != nil || got.Status != StatusUnknown {
			t.Errorf("Get later: %+v, %v", got, err)
		}
		time.Sleep(time.Hour)
		if len(f.provider.sent())+len(died.provider.sent()) != 0 || states(t, d)["reserved"] != 1 {
			t.Errorf("%d sent, ledger %v", len(f.provider.sent()), states(t, d))
		}
	})
}

func TestCloseWaitsForMessagesUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		f := newFixture(t, d, Config{})
		f.provider.set(func(context.Context, Message) (string, error) {
			time.Sleep(2900 * time.Millisecond)
			return "", nil
		})
		f.send(t, login(t, "+8613800138071", "a"))
		f.closeIt()
		if states(t, d)["accepted"] != 1 {
			t.Errorf("ledger %v", states(t, d))
		}
		wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138072", "a"))), ErrProviderUnavailable)
	})
}

func TestCloseWithoutPatienceSettlesAsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		f := newFixture(t, d, Config{})
		f.provider.set(func(ctx context.Context, _ Message) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		f.send(t, login(t, "+8613800138073", "a"))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := f.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if states(t, d)["unknown"] != 1 {
			t.Errorf("ledger %v", states(t, d))
		}
	})
}

// Providers get three seconds each and eight in all, of which two are asked.
func TestFailoverIsBoundedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		slow := func(ctx context.Context, _ Message) (string, error) {
			<-ctx.Done()
			return "", &SendError{Class: Failover, Code: "dial"}
		}
		one, two := &recorder{name: "one", answer: slow}, &recorder{name: "two", answer: slow}
		f := newFixture(t, d, Config{Routes: map[string][]Provider{"*": {one, two, &recorder{name: "three"}}}})
		defer f.closeIt()
		start := time.Now()
		f.send(t, login(t, "+8613800138074", "a"))
		f.sending.Wait()
		if took := time.Since(start); took != 2*attemptTime || len(two.sent()) != 1 || states(t, d)["rejected"] != 1 {
			t.Errorf("%v, ledger %v", took, states(t, d))
		}
	})
}

// refuseSend against a plain count, for any times, limits and clocks.
func TestRefuseSendIsAnExactCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Cooldown: time.Duration(rapid.IntRange(1, 120).Draw(t, "cooldown")) * time.Second,
			PerHour:  rapid.IntRange(1, 6).Draw(t, "hour"), PerDay: rapid.IntRange(2, 12).Draw(t, "day"),
		}
		c.KnownReserve = rapid.IntRange(1, c.PerDay-1).Draw(t, "reserve")
		now := db.Time(1_800_000_000_000_000)
		known := rapid.Bool().Draw(t, "known")
		var sends []sent
		for range rapid.IntRange(0, c.PerDay).Draw(t, "n") {
			ago := rapid.OneOf(rapid.IntRange(-60, 130), rapid.IntRange(0, 4000), rapid.IntRange(0, 86_400-1)).Draw(t, "ago")
			sends = append(sends, sent{db.Micros(now.Add(time.Duration(-ago) * time.Second)), rapid.Bool().Draw(t, "was known")})
		}
		slices.SortFunc(sends, func(a, b sent) int { return int(b.at - a.at) })
		room := func(at time.Time) bool {
			count := func(per time.Duration, all bool) (n int) {
				for _, m := range sends {
					if db.Time(m.at).After(at.Add(-per)) && (all || !m.known) {
						n++
					}
				}
				return n
			}
			return count(c.Cooldown, true) < 1 && count(time.Hour, true) < c.PerHour && count(day, true) < c.PerDay &&
				(known || count(day, false) < c.PerDay-c.KnownReserve)
		}
		f := c.refuseSend(sends, now, known)
		if (f == nil) != room(now) {
			t.Fatalf("%v with %v", f, sends)
		}
		if f != nil && (room(now.Add(f.RetryAfter-time.Microsecond)) || !room(now.Add(f.RetryAfter))) {
			t.Fatalf("Retry-After %v is not the moment", f.RetryAfter)
		}
	})
}
