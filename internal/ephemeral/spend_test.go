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
	wide, narrow := Limit{"wide", 5, time.Hour}, Limit{"narrow", 2, time.Hour}
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
	wantSpend(t, s, []Limit{{"narrow", 2, time.Minute}}, true)
	wantSpend(t, s, []Limit{{"narrow", 3, time.Hour}}, true)
	wantSpend(t, s, nil, true)
}

func spendSaysWhenThereIsRoom(t *testing.T, s Store) {
	c := newClock()
	c.set(s)
	defer realTime(s)
	hour, day := Limit{"room", 2, time.Hour}, Limit{"room", 3, 24 * time.Hour}
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
	if d := wantSpend(t, s, both, false); d.Refused != 0 || d.RetryAfter != 23*time.Hour {
		t.Fatalf("%+v", d)
	}
	c.t = start.Add(24 * time.Hour)
	wantSpend(t, s, both, true)
}

func refundGivesBack(t *testing.T, s Store) {
	limits := []Limit{{"refund", 2, time.Hour}, {"refund", 500, 24 * time.Hour}}
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
	good := Limit{"good", 1, time.Hour}
	for _, limits := range [][]Limit{
		{{"bad", 0, time.Hour}}, {{"bad", -1, time.Hour}}, {{"bad", 1, 0}}, {good, {"bad", 1, -time.Hour}}, {good, good},
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
	a, b := Limit{"race a", most, time.Hour}, Limit{"race b", 1000, time.Hour}
	var allowed, refused atomic.Int64
	race(racers, func(i int) {
		limits := []Limit{a, b, {fmt.Sprint("race own ", i%7), 1000, time.Hour}}
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
