package sms

import (
	"context"
	"errors"
	"fmt"
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
	for _, known := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) { guessForDays(t, known) })
	}
}

func guessForDays(t *testing.T, known bool) {
	f := newFixtureOn(t, dbtest.Open(t), roomyStore{}, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40, KnownReserve: 1})
	defer f.closeIt()
	r := as(t, known, "+8613800138062", "a")
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

// Whoever bombs a number for an hour does not keep its owner's device out, which
// has one more when strangers have used up the five.
func TestBombingForAnHourLeavesTheOwnerOne(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond})
		for i := range 5 {
			r := login(t, "+8613800138064", fmt.Sprint("bomber ", i))
			r.KnownDevice = false
			f.send(t, r)
		}
		r := login(t, "+8613800138064", "bomber")
		r.KnownDevice = false
		wantFault(t, second(f.Send(t.Context(), r)), ErrHourlyLimit)
		f.send(t, login(t, "+8613800138064", "owner"))
		wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138064", "owner"))), ErrHourlyLimit)
		wantFault(t, second(f.Send(t.Context(), r)), ErrHourlyLimit)
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
			sends = append(sends, sent{at: db.Micros(now.Add(time.Duration(-ago) * time.Second)), known: rapid.Bool().Draw(t, "was known")})
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
			if count(c.Cooldown, true) >= 1 || count(day, true) >= c.PerDay {
				return false
			}
			inHour, byStrangers := count(time.Hour, true), count(time.Hour, false)
			if known {
				return inHour < c.PerHour || byStrangers >= c.PerHour && inHour-byStrangers < 1
			}
			return inHour < c.PerHour && count(day, false) < c.PerDay-c.KnownReserve
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
