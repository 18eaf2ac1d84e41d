package sms

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
)

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
		f := newFixture(t, d, Config{Routes: map[string]Route{"*": {Providers: []Provider{one, two, &recorder{name: "three"}}}}})
		defer f.closeIt()
		start := time.Now()
		f.send(t, login(t, "+8613800138074", "a"))
		f.sending.Wait()
		if took := time.Since(start); took != 2*attemptTime || len(two.sent()) != 1 || states(t, d)["rejected"] != 1 {
			t.Errorf("%v, ledger %v", took, states(t, d))
		}
	})
}
