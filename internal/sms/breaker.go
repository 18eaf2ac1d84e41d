package sms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/dialtone-id/dialtone/internal/db"
)

// When a breaker opens, and for how long.
const (
	tripRow    = 3           // failures in a row, or
	tripCalls  = 10          // more than half of at least so many calls
	tripWindow = time.Minute // within this

	firstPause   = 15 * time.Second // doubled each time that its end brings another failure
	longestPause = 5 * time.Minute
	setupPause   = 10 * time.Minute // after one failure of class C, which only an operator mends

	longestTrial = 15 * time.Second // between two trials of an open one that nobody can stand in for
)

// verdict is what one call says about a provider's health.
type verdict int

const (
	silent  verdict = iota // nothing: it was about the number, or not for this provider, or broken off by us
	healthy                // it took a message
	sick                   // it cannot serve, or nobody knows what it did
	broken                 // it is set up wrongly
)

// judgeHealth reads the outcome of a call; ended says that it was our own time
// that ran out, not the provider's.
func judgeHealth(failed *SendError, ended bool) verdict {
	switch {
	case failed == nil:
		return healthy
	case ended, failed.unserved():
		return silent
	case failed.Class == BadNumber, failed.Class == NumberLimited, failed.Class == Blocked:
		return silent
	case failed.Class == Misconfigured:
		return broken
	}
	return sick
}

// breaker keeps messages from a provider that fails, so that people need not
// wait for it.
//
//	closed ----- failures -----> open -- pause over --> half-open
//	  ^                          |  ^                    |  |
//	  +------ trial, sent -------+  +----- it failed ----+  |
//	  +--------------- one message was taken ---------------+
//
// It steers and does not stop: it is asked only whether somebody else should be
// tried first. Where nobody else can be, since a route has one provider or all
// are open, the open one gets a message on trial: one at a time, the first at
// once, then after 1, 2, 4, 8 and at most 15 seconds; the messages between are
// refused before anything is reserved. So one flaky answer costs an
// installation with one provider nothing but that message, and a provider that
// comes back is found within 15 seconds, whatever its pause.
//
// Breakers are in memory and each server learns by itself. What would be shared
// is three failures; sharing them would cost every message a round trip, would
// let one server whose own network is broken close a provider for all others,
// and would be one more thing to be away.
type breaker struct {
	provider string
	changed  func(b *breaker, now BreakerChanged) // called with mu held

	mu      sync.Mutex
	gate    *gobreaker.TwoStepCircuitBreaker[struct{}] // of the present state; a pause has a gate of its own
	told    BreakerChanged                             // what was said last
	at      time.Time                                  // when that was
	until   time.Time                                  // end of the last pause
	pauses  int                                        // one after another
	onTrial bool
	trials  int       // that failed since it was closed, those after a pause included
	trialAt time.Time // when the next may begin
}

func newBreaker(provider string, changed func(*breaker, BreakerChanged)) *breaker {
	b := &breaker{provider: provider, changed: changed, told: BreakerChanged{Provider: provider, State: gobreaker.StateClosed.String()}}
	b.gate = newGate(0)
	return b
}

// What gates are told.
var (
	errSick   = errors.New("sick")
	errSilent = errors.New("silent")
)

// newGate is a closed gate, or one that is open for pause. The library's gates
// have one pause for life, so each pause gets a gate.
func newGate(pause time.Duration) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	opening := pause > 0
	g := gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1, // half-open
		Interval:     tripWindow,
		BucketPeriod: tripWindow / 6,
		Timeout:      pause,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			if opening {
				opening = false
				return true
			}
			return c.ConsecutiveFailures >= tripRow ||
				c.TotalFailures+c.TotalSuccesses >= tripCalls && c.TotalFailures > c.TotalSuccesses
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errSilent) },
	})
	if done, err := g.Allow(); opening && err == nil {
		done(errSick)
	}
	return g
}

// look says how the provider is and how long until it may be asked, by trial if
// it is open; 0 for now.
func (b *breaker) look() (gobreaker.State, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	const soon = time.Second
	switch state := b.gate.State(); {
	case state == gobreaker.StateClosed:
		return state, 0
	case state == gobreaker.StateHalfOpen:
		if c := b.gate.Counts(); c.Requests > c.TotalExclusions {
			return state, soon // somebody is trying
		}
		return state, 0
	case b.onTrial:
		return state, soon
	default:
		return state, max(0, min(time.Until(b.trialAt), time.Until(b.until)+1)) // the gate opens after the end of its pause, not at it
	}
}

// due is when the last pause ends.
func (b *breaker) due() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until
}

// enter asks to call the provider; leave must be told what became of it. trial
// asks for the trial of an open one.
func (b *breaker) enter(trial bool) (leave func(v verdict, reason string), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	done, err := b.gate.Allow()
	if err == nil {
		if b.gate.State() == gobreaker.StateHalfOpen {
			b.tell(gobreaker.StateHalfOpen, b.told.Reason)
		}
		return func(v verdict, reason string) { b.leave(done, false, v, reason) }, true
	}
	if !trial || b.gate.State() != gobreaker.StateOpen || b.onTrial || time.Now().Before(b.trialAt) {
		return nil, false
	}
	b.onTrial = true
	return func(v verdict, reason string) { b.leave(func(error) {}, true, v, reason) }, true
}

// leave counts a call. A call that began before the present state counts for
// nothing, which the gates see to.
func (b *breaker) leave(done func(error), trial bool, v verdict, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if trial {
		b.onTrial = false
	}
	was := b.gate.State()
	switch v {
	case silent:
		done(errSilent)
		return
	case healthy:
		done(nil)
	default:
		done(errSick)
	}
	switch now := b.gate.State(); {
	case v == healthy && (trial || was != now):
		b.close()
	case v == healthy:
	case trial:
		b.failTrial()
	case v == broken && was != gobreaker.StateOpen, was != now:
		b.pause(v, reason)
	}
}

// close ends all trouble.
func (b *breaker) close() {
	b.gate, b.pauses, b.trials, b.until = newGate(0), 0, 0, time.Time{}
	b.tell(gobreaker.StateClosed, "")
}

// pause opens the breaker.
func (b *breaker) pause(v verdict, reason string) {
	length := setupPause
	if v == sick {
		length = min(firstPause<<min(b.pauses, 8), longestPause)
	}
	if b.pauses > 0 {
		b.failTrial()
	} else {
		b.trialAt = time.Time{} // the first trial waits for nothing
	}
	b.pauses++
	b.gate, b.until = newGate(length), time.Now().Add(length)
	b.tell(gobreaker.StateOpen, reason)
}

// failTrial puts the next trial off; the pause goes on as it is.
func (b *breaker) failTrial() {
	b.trialAt = time.Now().Add(min(time.Second<<min(b.trials, 8), longestTrial))
	b.trials++
}

// tell passes a change on.
func (b *breaker) tell(state gobreaker.State, reason string) {
	now := BreakerChanged{Provider: b.provider, State: state.String(), Reason: reason}
	if now == b.told {
		return
	}
	b.told, b.at = now, time.Now()
	b.changed(b, now)
}

// breakerChanged tells operators. It is called by messages under way, so that
// Close waits for what it starts.
func (s *Service) breakerChanged(b *breaker, now BreakerChanged) {
	s.config.Observer.BreakerChanged(now)
	level, text := slog.LevelInfo, "a provider is tried again"
	switch {
	case now.State == gobreaker.StateClosed.String():
		text = "a provider is asked again"
	case now.State == gobreaker.StateOpen.String() && Class(now.Reason[:1]) == Misconfigured:
		level, text = slog.LevelError, "a provider is set up wrongly and is not asked for a while"
	case now.State == gobreaker.StateOpen.String():
		level, text = slog.LevelWarn, "a provider fails and is not asked for a while"
	}
	s.log().LogAttrs(context.Background(), level, text, slog.String("provider", now.Provider), slog.String("reason", now.Reason), slog.Time("until", b.until))
	s.sending.Go(func() {
		if err := s.keepBreaker(b); err != nil {
			s.log().Warn("keep the state of a provider", "provider", now.Provider, "error", err)
		}
	})
}

// keepBreaker writes down how a provider is at present, for operators to see.
// One at a time, so that what is written last is the newest.
func (s *Service) keepBreaker(b *breaker) error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	b.mu.Lock()
	now, at, until := b.told, b.at, b.until
	b.mu.Unlock()
	var due int64
	if !until.IsZero() {
		due = db.Micros(until)
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	_, err := s.db.Exec(ctx, `
		INSERT INTO sms_providers (name, state, reason, until_at, changed_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO UPDATE SET state = excluded.state, reason = excluded.reason,
			until_at = excluded.until_at, changed_at = excluded.changed_at`,
		now.Provider, now.State, now.Reason, due, db.Micros(at))
	if err != nil {
		return fmt.Errorf("keep breaker: %w", err)
	}
	return nil
}
