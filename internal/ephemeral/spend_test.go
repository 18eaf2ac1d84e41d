//go:build unix

package ephemeral

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

func wantSpend(t *testing.T, s Store, limits []Limit, allowed bool) Decision {
	t.Helper()
	d, err := s.Spend(t.Context(), limits)
	if err != nil || d.Allowed != allowed {
		t.Fatalf("%+v, %v; want allowed %v", d, err, allowed)
	}
	return d
}

func spendIsAllOrNothing(t *testing.T, s Store) {
	wide, narrow := Limit{Key: "wide", Max: 5, Per: time.Hour}, Limit{Key: "narrow", Max: 2, Per: time.Hour}
	for range 2 {
		wantSpend(t, s, []Limit{wide, narrow}, true)
	}
	for range 3 {
		if d := wantSpend(t, s, []Limit{wide, narrow}, false); d.Refused != 1 || d.RetryAfter <= 0 {
			t.Fatalf("%+v", d)
		}
	}
	for range 3 { // the refusals took nothing from wide
		wantSpend(t, s, []Limit{wide}, true)
	}
	if d := wantSpend(t, s, []Limit{narrow, wide}, false); d.Refused != 0 {
		t.Fatalf("%+v", d)
	}
	// The same key over another window is another limit; another Max is not.
	wantSpend(t, s, []Limit{{Key: "narrow", Max: 2, Per: time.Minute}}, true)
	wantSpend(t, s, []Limit{{Key: "narrow", Max: 3, Per: time.Hour}}, true)
	wantSpend(t, s, nil, true)
}

func spendSaysWhenThereIsRoom(t *testing.T, s Store) {
	c := newClock()
	c.set(s)
	defer realTime(s)
	hour, day := Limit{Key: "room", Max: 2, Per: time.Hour}, Limit{Key: "room", Max: 3, Per: 24 * time.Hour}
	both := []Limit{hour, day}
	start := c.t
	wantSpend(t, s, both, true)
	c.t = start.Add(10 * time.Minute)
	wantSpend(t, s, both, true)
	c.t = start.Add(15 * time.Minute)
	if d := wantSpend(t, s, both, false); d.Refused != 0 || d.RetryAfter != 45*time.Minute {
		t.Fatalf("%+v", d)
	}
	c.t = start.Add(time.Hour - time.Microsecond)
	if d := wantSpend(t, s, both, false); d.RetryAfter != time.Microsecond {
		t.Fatalf("%+v", d)
	}
	c.t = start.Add(time.Hour)
	wantSpend(t, s, both, true)
	// Now both are full: the day longer than the hour.
	if d := wantSpend(t, s, both, false); d.Refused != 1 || d.RetryAfter != 23*time.Hour {
		t.Fatalf("%+v", d)
	}
	c.t = start.Add(24 * time.Hour)
	wantSpend(t, s, both, true)
}

// Soft stops the call that names it and no other, and Max is spoken of first.
func softStopsThisCallAlone(t *testing.T, s Store) {
	c := newClock()
	c.set(s)
	defer realTime(s)
	start := c.t
	full := Limit{Key: "soft", Max: 3, Per: time.Hour}
	soft := full
	soft.Soft = 2
	other := Limit{Key: "soft other", Max: 1, Per: 2 * time.Hour}
	for i := range 2 {
		c.t = start.Add(time.Duration(i) * time.Minute)
		wantSpend(t, s, []Limit{soft}, true)
	}
	c.t = start.Add(10 * time.Minute)
	if d := wantSpend(t, s, []Limit{other, soft}, false); !d.Soft || d.Refused != 1 || d.RetryAfter != 50*time.Minute {
		t.Fatalf("%+v", d)
	}
	wantSpend(t, s, []Limit{other, full}, true) // so the refusal took nothing from other
	if d := wantSpend(t, s, []Limit{soft}, false); d.Soft || d.RetryAfter != 50*time.Minute {
		t.Fatalf("%+v", d)
	}
	if d := wantSpend(t, s, []Limit{soft, other}, false); d.Soft || d.Refused != 1 || d.RetryAfter != 2*time.Hour {
		t.Fatalf("%+v", d)
	}
	c.t = start.Add(time.Hour) // one has left, two stay
	if d := wantSpend(t, s, []Limit{soft}, false); !d.Soft || d.RetryAfter != time.Minute {
		t.Fatalf("%+v", d)
	}
	wantSpend(t, s, []Limit{full}, true)
}

func refundGivesBack(t *testing.T, s Store) {
	limits := []Limit{{Key: "refund", Max: 2, Per: time.Hour}, {Key: "refund", Max: 500, Per: 24 * time.Hour}}
	first := wantSpend(t, s, limits, true)
	wantSpend(t, s, limits, true)
	refused := wantSpend(t, s, limits, false)
	if err := s.Refund(t.Context(), limits, first); err != nil {
		t.Fatal(err)
	}
	wantSpend(t, s, limits, true)
	wantSpend(t, s, limits, false)

	for _, bad := range []Decision{refused, {}, {Allowed: true}} {
		if err := s.Refund(t.Context(), limits, bad); !errors.Is(err, errForeignDecision) {
			t.Fatalf("refund of %+v: %v", bad, err)
		}
	}
	if err := s.Refund(t.Context(), limits[:1], first); !errors.Is(err, errForeignDecision) {
		t.Fatalf("refund of other limits: %v", err)
	}
	wantSpend(t, s, limits, false)
}

func badLimitsAreRefused(t *testing.T, s Store) {
	good := Limit{Key: "good", Max: 1, Per: time.Hour}
	for _, limits := range [][]Limit{
		{{Key: "bad", Max: 0, Per: time.Hour}}, {{Key: "bad", Max: 2, Per: time.Hour, Soft: 3}}, {{Key: "bad", Max: 2, Per: time.Hour, Soft: -1}}, {{Key: "bad", Max: -1, Per: time.Hour}}, {{Key: "bad", Max: 1, Per: 0}}, {good, {Key: "bad", Max: 1, Per: -time.Hour}}, {good, good},
	} {
		if _, err := s.Spend(t.Context(), limits); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("%v: %v", limits, err)
		}
	}
	wantSpend(t, s, []Limit{good}, true)
}

func manySpendsGetExactlyMax(t *testing.T, s Store) {
	// The orders differ, so that locks taken in the order given would deadlock.
	const most = 40
	a, b := Limit{Key: "race a", Max: most, Per: time.Hour}, Limit{Key: "race b", Max: 1000, Per: time.Hour}
	var allowed, refused atomic.Int64
	race(racers, func(i int) {
		limits := []Limit{a, b, {Key: fmt.Sprint("race own ", i%7), Max: 1000, Per: time.Hour}}
		if i%2 == 1 {
			limits[0], limits[2] = limits[2], limits[0]
		}
		d, err := s.Spend(t.Context(), limits)
		switch {
		case err != nil:
			t.Error(err)
		case d.Allowed:
			allowed.Add(1)
		default:
			refused.Add(1)
		}
	})
	if allowed.Load() != most || refused.Load() != racers-most {
		t.Fatalf("%d allowed, %d refused", allowed.Load(), refused.Load())
	}
}

// Racing calls of both kinds: those with a Soft get no further than it, and the
// others fill what is left to exactly Max.
func manySoftSpendsGetExactlySoft(t *testing.T, s Store) {
	const soft, most = 15, 40
	l := Limit{Key: "race soft", Max: most, Per: time.Hour}
	var softly, hardly, asked, refused atomic.Int64
	spendAll := func(l Limit, allowed *atomic.Int64) {
		race(racers, func(int) {
			d, err := s.Spend(t.Context(), []Limit{l})
			switch {
			case err != nil:
				t.Error(err)
			case d.Allowed:
				allowed.Add(1)
			case d.Soft:
				asked.Add(1)
			default:
				refused.Add(1)
			}
		})
	}
	l.Soft = soft
	spendAll(l, &softly)
	if softly.Load() != soft || asked.Load() != racers-soft || refused.Load() != 0 {
		t.Fatalf("%d allowed, %d asked, %d refused", softly.Load(), asked.Load(), refused.Load())
	}
	l.Soft = 0
	spendAll(l, &hardly)
	if softly.Load()+hardly.Load() != most || refused.Load() != racers-(most-soft) {
		t.Fatalf("%d and %d allowed, %d refused", softly.Load(), hardly.Load(), refused.Load())
	}
}
