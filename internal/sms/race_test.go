package sms

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// together runs n functions at once and waits for them.
func together(n int, f func(i int)) {
	var wait sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wait.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wait.Wait()
}

// T-09, S-05, C-05, C-13: of eighty parallel guesses five are compared, and the
// right code comes too late.
func TestParallelWrongGuessesCompareFive(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		_, ref := f.send(t, login(t, "+8613800138050", "a"))
		code := f.provider.code(t)
		together(80, func(int) {
			if _, err := f.Check(t.Context(), ref, wrong(code)); err == nil {
				t.Error("a wrong code was right")
			}
		})
		wantFault(t, second(f.Check(t.Context(), ref, code)), ErrAttemptsExceeded)
		if n := f.compared.Load(); n != 5 {
			t.Errorf("%d compared", n)
		}
		if got := f.failures(t, d).of(true); got.consecutive != 5 || len(got.newestFirst()) != 5 {
			t.Errorf("%+v", got)
		}
	})
}

// T-09 over challenges, C-09: however many challenges a number has, ten an hour.
func TestParallelGuessesOverChallengesCompareTen(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40})
		refs, codes := make([]Ref, 8), make([]string, 8)
		for i := range refs {
			_, refs[i] = f.send(t, login(t, "+8613800138051", fmt.Sprint(i)))
			codes[i] = f.provider.code(t)
		}
		together(80, func(i int) {
			if _, err := f.Check(t.Context(), refs[i%8], wrong(codes[i%8])); err == nil {
				t.Error("a wrong code was right")
			}
		})
		if n := f.compared.Load(); n != 10 {
			t.Errorf("%d compared", n)
		}
		for i := range refs {
			if _, err := f.Check(t.Context(), refs[i], codes[i]); err == nil {
				t.Error("the right code was compared after ten wrong ones")
			}
		}
	})
}

// T-11, S-03: the right code fifty times at once is one sign-in.
func TestParallelRightCodesConsumeOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		_, ref := f.send(t, login(t, "+8613800138052", "a"))
		code := f.provider.code(t)
		var consumed atomic.Int64
		together(50, func(int) {
			p, err := f.Check(t.Context(), ref, code)
			if err != nil {
				return
			}
			if err := d.Tx(t.Context(), p.Consume); err == nil {
				consumed.Add(1)
			}
		})
		if n := consumed.Load(); n != 1 {
			t.Errorf("%d consumed", n)
		}
		if n := f.compared.Load(); n > 5 {
			t.Errorf("%d compared", n)
		}
		if got := f.failures(t, d).of(true); got.consecutive > 4 {
			t.Errorf("%+v", got)
		}
	})
}

func TestOneProofConsumedByManyAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		_, ref := f.send(t, login(t, "+8613800138053", "a"))
		p, err := f.Check(t.Context(), ref, f.provider.code(t))
		if err != nil {
			t.Fatal(err)
		}
		var consumed atomic.Int64
		together(50, func(int) {
			if err := d.Tx(t.Context(), p.Consume); err == nil {
				consumed.Add(1)
			} else {
				wantFault(t, err, ErrCodeExpired)
			}
		})
		if n := consumed.Load(); n != 1 {
			t.Errorf("%d consumed", n)
		}
	})
}

// T-07, T-08, S-06: thirty at once, from everywhere, are one message.
func TestParallelSendsAreOneMessage(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		var allowed atomic.Int64
		together(30, func(i int) {
			r := login(t, "+8613800138054", fmt.Sprint(i))
			r.Address = netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			r.ClientID = fmt.Sprint("client-", i%3)
			r.Purpose = []Purpose{Login, StepUp, Delete}[i%3]
			if _, err := f.Send(t.Context(), r); err == nil {
				allowed.Add(1)
			} else if got := wantFault(t, err, ErrTooSoon); got.RetryAfter <= 0 || got.RetryAfter > time.Minute {
				t.Errorf("Retry-After %v", got.RetryAfter)
			}
		})
		if allowed.Load() != 1 || len(f.provider.sent()) != 1 || states(t, d)["accepted"] != 1 {
			t.Errorf("%d allowed, %d sent", allowed.Load(), len(f.provider.sent()))
		}
	})
}

// P-06, I4: ten a day and five an hour, exactly, on two servers at once; what
// may have been sent counts, what was rejected does not.
func TestBudgetIsExactOnTwoServers(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		known  bool
		want   int
	}{
		"known devices, ten a day": {Config{PerHour: 40}, true, 10},
		"strangers, six a day":     {Config{PerHour: 40}, false, 6},
		"five an hour":             {Config{}, true, 5},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *db.DB) {
				test.config.Cooldown = time.Nanosecond
				one, two := newFixture(t, d, test.config), newFixture(t, d, test.config)
				// Some are rejected: those places are free again, so that the others fill them.
				var sent, tries atomic.Int64
				answer := func(context.Context, Message) (string, error) {
					switch n := tries.Add(1); {
					case n%4 == 1:
						return "", &SendError{Class: Failover, Provider: "fake", Code: "dial"}
					case n%4 == 2:
						sent.Add(1)
						return "", &SendError{Class: Ambiguous, Provider: "fake", Code: "timeout"}
					}
					sent.Add(1)
					return "", nil
				}
				one.provider.set(answer)
				two.provider.set(answer)
				for range 3 { // again, until the places of the rejected ones are taken too
					together(40, func(i int) {
						r := login(t, "+8613800138055", fmt.Sprint(i))
						r.KnownDevice = test.known
						_, _ = []*fixture{one, two}[i%2].Send(t.Context(), r)
					})
				}
				if n := sent.Load(); n != int64(test.want) {
					t.Errorf("%d sent, want %d (%v)", n, test.want, states(t, d))
				}
			})
		})
	}
}

// P-07: strangers cannot use up what is kept for known devices.
func TestReserveIsKeptForKnownDevices(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40})
		stranger, known := login(t, "+8613800138056", "s"), login(t, "+8613800138056", "k")
		stranger.KnownDevice = false
		for range 6 {
			f.send(t, stranger)
		}
		if got := wantFault(t, second(f.Send(t.Context(), stranger)), ErrDailyLimit); got.RetryAfter < 23*time.Hour {
			t.Errorf("Retry-After %v", got.RetryAfter)
		}
		for range 4 {
			f.send(t, known)
		}
		wantFault(t, second(f.Send(t.Context(), known)), ErrDailyLimit)

		// A re-send is of the device that began.
		r := login(t, "+8613800138057", "s")
		_, ref := f.send(t, r)
		for range 9 {
			if _, err := f.Resend(t.Context(), ref, Again{Address: r.Address}); err != nil {
				t.Fatal(err)
			}
		}
		wantFault(t, second(f.Resend(t.Context(), ref, Again{Address: r.Address})), ErrDailyLimit)
	})
}

// Sends, checks and sign-ins of one number at once neither deadlock nor fail.
func TestEverythingAtOnceOnOneNumber(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40, FailuresPerHour: 10_000, FailuresPerDay: 10_000, FailuresTotal: 100})
		r := login(t, "+8613800138058", "a")
		_, ref := f.send(t, r)
		code := f.provider.code(t)
		together(60, func(i int) {
			switch i % 3 {
			case 0:
				if _, err := f.Send(t.Context(), login(t, "+8613800138058", fmt.Sprint(i))); err != nil {
					wantFault(t, err, ErrDailyLimit)
				}
			case 1:
				if _, err := f.Check(t.Context(), ref, wrong(code)); resultOf(err) == "error" && err != nil && !isIncorrect(err) {
					t.Error(err)
				}
			case 2:
				p, err := f.Check(t.Context(), ref, code)
				if err == nil {
					err = d.Tx(t.Context(), p.Consume)
				}
				if err != nil && resultOf(err) == "error" {
					t.Error(err)
				}
			}
		})
	})
}
