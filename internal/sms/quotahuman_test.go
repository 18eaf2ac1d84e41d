package sms

import (
	"fmt"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// With nobody to ask for a human check, what would ask for one refuses.
func TestWithoutHumanCheckThresholdsRefuse(t *testing.T) {
	for name, e := range edges() {
		if e.free < 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			e.config.NoHumanCheck = true
			f := newFixture(t, dbtest.Open(t), e.config)
			last, began := e.free, time.Now()
			if e.scope == "class" {
				last = beyond // there is no time after which it would go
			}
			for i := range last + 1 {
				r := stranger(t, i)
				if e.change != nil {
					e.change(t, i, &r)
				}
				_, err := f.Send(t.Context(), r)
				if i < last && err != nil {
					t.Fatalf("message %d of %d: %v", i+1, last, err)
				}
				if i == last && e.scope != "class" {
					per := e.per
					if e.scope == "prefix" {
						per = 10 * time.Minute
					}
					wantWait(t, err, per, time.Since(began))
				}
			}
		})
	}
}

// A human check of a lower level than is asked for is the same as none.
func TestAnEasyHumanCheckIsNoHarderOne(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		number string
		before int
		level  int
	}{
		"crowd":        {Config{PerAddressNumbers: 1}, "+8613800138099", 1, levelCrowd},
		"pumping":      {Config{PerPrefix10m: 1}, "+8613800138099", 1, levelSuspicion},
		"class":        {Config{CheckedPrefixes: []string{"+861380013"}}, "+8613800138099", 0, levelSuspicion},
		"day's budget": {Config{PerServiceDay: 5}, "+8613800138099", 4, levelBreaker},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, dbtest.Open(t), c.config)
			r := stranger(t, 0)
			for i := range c.before {
				r.Number = number(t, fmt.Sprintf("+861380013%04d", 8000+20*i))
				f.send(t, r)
			}
			r.Number = number(t, c.number)
			for r.Human = range c.level {
				fl := wantFault(t, second(f.Send(t.Context(), r)), ErrHumanCheckRequired)
				if fl.Params["level"] != fmt.Sprint(c.level) {
					t.Errorf("level %s after one of %d, want %d", fl.Params["level"], r.Human, c.level)
				}
			}
			r.Human = c.level
			f.send(t, r)
		})
	}
}

// Of several human checks that are due by what was full moments ago the hardest is
// asked for, so that nobody does one after another.
func TestTheHardestCheckIsAskedForFirst(t *testing.T) {
	f := newFixture(t, dbtest.Open(t), Config{PerAddressHour: 1, PerPrefix10m: 1})
	near := func(i int) Request {
		r := stranger(t, i)
		r.Number = number(t, fmt.Sprintf("+861380013%04d", 8000+20*i))
		return r
	}
	f.send(t, near(1))
	wantFault(t, second(f.Send(t.Context(), near(2))), ErrHumanCheckRequired)
	f.seen.wantRefusal(t, "prefix", "10m", true)
	elsewhere := stranger(t, 0)
	f.send(t, elsewhere)
	elsewhere.Number = stranger(t, 1).Number
	wantFault(t, second(f.Send(t.Context(), elsewhere)), ErrHumanCheckRequired)
	f.seen.wantRefusal(t, "address", "hour", true)
	both := near(3)
	both.Address = elsewhere.Address
	if fl := wantFault(t, second(f.Send(t.Context(), both)), ErrHumanCheckRequired); fl.Params["level"] != "2" {
		t.Errorf("level %s, want 2", fl.Params["level"])
	}
}
