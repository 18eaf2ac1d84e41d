package sms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

const (
	attempts    = 2               // providers asked for one message at most
	attemptTime = 3 * time.Second // for one provider
	deliverTime = 8 * time.Second // for all of them
	settleTime  = 5 * time.Second // to write down what became of it
)

// outcome is what became of a message.
type outcome struct {
	state    string       // accepted, rejected or unknown
	provider string       // the last that was asked, "" if none was
	ref      string       // its id of the message
	reason   string       // class and code of the last failure, "" for none
	fault    *fault.Error // what the person is told, nil unless rejected
	resend   time.Time    // when another message may be asked for, if that has moved
}

// doubtful says that the message may have gone out and may be lost.
func (o outcome) doubtful() bool {
	return o.state == unknown && !strings.HasPrefix(o.reason, string(Blocked)+" ")
}

// unserved says that no provider could send the message, whoever it was for.
func (o outcome) unserved() bool {
	class := Class(o.reason[:min(len(o.reason), 1)])
	return o.state == rejected && (class == Failover || class == Misconfigured)
}

// deliver hands a reserved message to the providers of its plan, outside any
// transaction, and settles its ledger row. What certainly did not go out goes
// on to the next provider as the same message. What may have gone out is never
// given to the same provider again; one other may send the same code, as a
// message of its own that is reserved and counted. ctx must outlive the request.
//
// No row is sent twice, whatever dies in between: only the process that reserved
// it sends it, and only in the call of deliver that follows.
func (s *Service) deliver(ctx context.Context, r reservation) outcome {
	calls, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()
	start := time.Now()
	o, asked := s.try(calls, &r)
	s.finish(ctx, r, o, time.Since(start))
	if !o.doubtful() || asked == attempts || calls.Err() != nil {
		return o
	}
	p, leave, ok := s.next(&r.plan, false)
	if !ok {
		return o
	}
	second, ok, err := s.reserveSecond(calls, r, p.Name())
	if err != nil {
		s.log().ErrorContext(ctx, "send a code by another provider", "message_id", r.message.ID, "error", err)
	}
	if !ok {
		leave(silent, "")
		return o
	}
	start = time.Now()
	again, _ := s.call(calls, p, leave, second.message)
	again.resend = second.challenge.ResendAt
	s.finish(ctx, second, again, time.Since(start))
	if again.state == rejected {
		return o // the first may still arrive
	}
	return again
}

// try asks the providers of the plan, until one has the message or it is certain
// that no other may be asked. asked counts those who were.
func (s *Service) try(calls context.Context, r *reservation) (o outcome, asked int) {
	o = outcome{state: rejected, reason: string(Failover) + " closing", fault: ErrProviderUnavailable}
	for before := ""; asked < attempts && calls.Err() == nil; before = o.reason {
		p, leave, ok := s.next(&r.plan, true)
		switch {
		case !ok && before == "": // others were quicker to take the last trial
			o.reason, o.fault = string(Failover)+" open", ErrProviderUnavailable.After(time.Second)
			return o, asked
		case !ok:
			return o, asked
		}
		var failed *SendError
		if o, failed = s.call(calls, p, leave, r.message); failed == nil {
			o.reason = before // why it took more than one
			return o, asked
		}
		if !failed.unserved() {
			asked++
		}
		if failed.Class != Failover && failed.Class != Misconfigured {
			break
		}
	}
	return o, asked
}

// call asks one provider, and tells its breaker.
func (s *Service) call(calls context.Context, p Provider, leave func(verdict, string), m Message) (outcome, *SendError) {
	ref, failed := ask(calls, p, m)
	o := outcome{state: accepted, provider: p.Name(), ref: ref}
	if failed != nil {
		o.reason = string(failed.Class) + " " + safeCode(failed.Code)
		o.state, o.fault = judge(failed)
	}
	leave(judgeHealth(failed, calls.Err() != nil), o.reason)
	return o, failed
}

// finish settles a message, and tells operators.
func (s *Service) finish(ctx context.Context, r reservation, o outcome, took time.Duration) {
	cost := s.config.cost(o.state, o.provider, r.region)
	if err := s.settle(ctx, r.message.ID, o, cost); err != nil {
		// The row stays reserved, which counts like unknown.
		s.log().ErrorContext(ctx, "settle a message", "message_id", r.message.ID, "state", o.state, "error", err)
	} else {
		s.account(o, cost-r.cost)
	}
	if o.reason != "" {
		s.log().LogAttrs(ctx, level(o), "a message met trouble", slog.String("message_id", r.message.ID),
			slog.String("provider", o.provider), slog.String("region", r.region),
			slog.String("result", o.state), slog.String("reason", o.reason))
	}
	s.config.Observer.SendSettled(SendSettled{
		Provider: o.provider, Region: r.region, Purpose: r.message.Purpose,
		Result: o.state, Reason: o.reason, Duration: took, Cost: cost, Currency: s.config.Currency,
	})
}

// level: what an operator can mend is a warning, a person's number is not.
func level(o outcome) slog.Level {
	switch Class(o.reason[:1]) {
	case BadNumber, NumberLimited:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// judge says what a failure makes of the message and what the person is told.
func judge(e *SendError) (state string, f *fault.Error) {
	switch e.Class {
	case Failover, Misconfigured:
		return rejected, ErrProviderUnavailable.After(e.RetryAfter)
	case BadNumber:
		return rejected, ErrRejected
	case NumberLimited:
		return rejected, limitedFor(e.RetryAfter)
	case Blocked:
		// Nobody learns who is on a list: it looks like success and counts like it.
		return unknown, nil
	}
	return unknown, nil
}

// limitedFor words a provider's own limit like ours of that length.
func limitedFor(d time.Duration) *fault.Error {
	switch {
	case d <= 0:
		return ErrHourlyLimit.After(time.Hour)
	case d <= time.Minute:
		return ErrTooSoon.After(d)
	case d <= time.Hour:
		return ErrHourlyLimit.After(d)
	}
	return ErrDailyLimit.After(d)
}

// ask calls one provider within its time. What it answers besides a *SendError,
// a panic included, leaves open whether the message went out.
func ask(ctx context.Context, p Provider, m Message) (ref string, failed *SendError) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	defer func() {
		if recover() != nil { // its text may repeat the message
			ref, failed = "", &SendError{Class: Ambiguous, Provider: p.Name(), Code: "panic"}
		}
	}()
	ref, err := p.Send(ctx, m)
	if err == nil {
		return ref, nil
	}
	if !errors.As(err, &failed) || failed == nil {
		failed = &SendError{Class: Ambiguous, Provider: p.Name(), Code: "other"}
	}
	return "", failed
}

// settle writes the outcome into the ledger: one statement, and only while the
// row is still reserved, as which it counts if a crash of the database loses this. A verdict that came before shows that the vendor took the
// message, as one that comes later would.
func (s *Service) settle(ctx context.Context, id string, o outcome, cost Millionths) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	n, err := s.db.ExecRelaxed(ctx, `
		UPDATE sms_ledger SET state = CASE WHEN $2 = 'unknown' AND receipt <> '' THEN 'accepted' ELSE $2 END,
			provider = $3, provider_ref = $4, reason = $5, settled_at = $6, cost = $7
		WHERE id = $1 AND state = 'reserved'`,
		id, o.state, o.provider, safeRef(o.ref), o.reason, db.Micros(time.Now()), int64(cost))
	if err != nil {
		return fmt.Errorf("settle message: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("settle message: its row is not reserved any more")
	}
	return nil
}

// safeRef is a provider's message id as far as a row can keep it.
func safeRef(ref string) string {
	const longest = 128
	ref = ref[:min(len(ref), longest)]
	return strings.ToValidUTF8(strings.ReplaceAll(ref, "\x00", ""), "")
}

// statusOf is a ledger row that counts as a page may know it. What is reserved for longer
// than a delivery can take belongs to a process that died.
func statusOf(state, reason string, age time.Duration) string {
	switch {
	case state == accepted, state == unknown && strings.HasPrefix(reason, string(Blocked)+" "):
		return StatusSent
	case state == reserved && age <= deliverTime+settleTime:
		return StatusSending
	}
	return StatusUnknown
}
