package sms

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

func TestCoarseLimits(t *testing.T) {
	v4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}) }
	v6 := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)) } // one /64
	same := func(int) netip.Addr { return netip.MustParseAddr("::ffff:192.0.2.7") }
	for name, test := range map[string]struct {
		config  Config
		address func(int) netip.Addr
		resend  bool
		want    int
	}{
		"numbers of an address":   {Config{PerAddressNumbers: 2}, same, false, 10},
		"messages of an address":  {Config{PerAddressHour: 2}, same, false, 10},
		"messages a day":          {Config{PerAddressDay: 2}, same, false, 10},
		"one /64 is one address":  {Config{PerAddressHour: 2}, v6, false, 10},
		"other addresses go on":   {Config{PerAddressHour: 2}, v4, false, 25},
		"no address at all":       {Config{PerAddressHour: 2}, func(int) netip.Addr { return netip.Addr{} }, false, 10},
		"client per hour":         {Config{PerClientHour: 10}, v4, false, 11}, // a tenth on top is for them
		"client per day":          {Config{PerClientDay: 10}, v4, false, 11},
		"service per day":         {Config{PerServiceDay: 10}, v4, false, 11},
		"re-sends name no number": {Config{PerAddressNumbers: 2}, same, true, 25},
	} {
		t.Run(name, func(t *testing.T) {
			d := dbtest.Open(t)
			test.config.PerHour, test.config.PerDay, test.config.Cooldown = 40, 40, time.Nanosecond
			f := newFixture(t, d, test.config)
			allowed := 0
			var ref Ref
			for i := range 25 {
				r := login(t, fmt.Sprintf("+86138001380%02d", i), "a")
				r.Address = test.address(i)
				var err error
				if test.resend && i > 0 {
					_, err = f.Resend(t.Context(), ref, Again{Address: r.Address})
				} else {
					var c Challenge
					c, err = f.Send(t.Context(), r)
					ref = refOf(c, r)
				}
				if err == nil {
					allowed++
				} else if fl := wantFault(t, err, ErrRateLimited); fl.RetryAfter <= 0 {
					t.Errorf("no Retry-After: %v", fl)
				}
			}
			if allowed != test.want || len(f.provider.sent()) != test.want {
				t.Errorf("%d allowed, %d sent, want %d", allowed, len(f.provider.sent()), test.want)
			}
		})
	}
}

// What the ledger refuses costs the address nothing.
func TestRefusedReservationGivesCoarseLimitsBack(t *testing.T) {
	f := newFixture(t, dbtest.Open(t), Config{PerAddressHour: 1, PerAddressNumbers: 1})
	f.send(t, login(t, "+8613800138014", "a"))
	for range 20 {
		wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138014", "a"))), ErrTooSoon)
	}
	for i := range 4 {
		f.send(t, login(t, fmt.Sprintf("+861380013802%d", i), "a"))
	}
	wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138029", "a"))), ErrRateLimited)
}

// C-12, F-06: with nothing to count in, nobody is served.
func TestSendWithoutLimitsStoreIsRefused(t *testing.T) {
	d := dbtest.Open(t)
	f := newFixtureOn(t, d, awayStore{}, Config{})
	got := wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138015", "a"))), fault.Unavailable)
	if got.RetryAfter <= 0 {
		t.Error("no Retry-After")
	}
	if len(f.provider.sent()) != 0 || len(states(t, d)) != 0 {
		t.Error("something was sent or reserved")
	}
}

// awayStore cannot be reached.
type awayStore struct{ ephemeral.Store }

func (awayStore) Spend(context.Context, []ephemeral.Limit) (ephemeral.Decision, error) {
	return ephemeral.Decision{}, ephemeral.ErrUnavailable
}
