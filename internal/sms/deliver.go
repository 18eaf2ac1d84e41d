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
	provider string       // the last that was asked
	ref      string       // its id of the message
	reason   string       // class and code of the last failure, "" for none
	fault    *fault.Error // what the person is told, nil unless rejected
}

// deliver hands a reserved message to the providers of its route, outside any
// transaction, and settles its ledger row. ctx must outlive the request.
func (s *Service) deliver(ctx context.Context, r reservation, route []Provider) outcome {
	start := time.Now()
	o := s.try(ctx, r.message, route)
	took := time.Since(start)
	cost := s.config.cost(o.state, o.provider, r.region)
	if err := s.settle(ctx, r.message.ID, o, cost); err != nil {
		// The row stays reserved, which counts like unknown.
		s.log().ErrorContext(ctx, "settle a message", "message_id", r.message.ID, "state", o.state, "error", err)
	} else {
		s.account(o, cost)
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
	return o
}

// level: what an operator can mend is a warning, a person's number is not.
func level(o outcome) slog.Level {
	switch Class(o.reason[:1]) {
	case BadNumber, NumberLimited:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// try asks the providers in order, until one takes the message or it is certain
// that no other may be asked.
func (s *Service) try(ctx context.Context, m Message, route []Provider) outcome {
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()
	o := outcome{state: rejected, reason: string(Failover) + " closing", fault: ErrProviderUnavailable}
	for i, p := range route {
		if i == attempts || ctx.Err() != nil {
			break
		}
		ref, failed := ask(ctx, p, m)
		o.provider = p.Name()
		if failed == nil {
			o.state, o.ref, o.fault = accepted, ref, nil
			if i == 0 {
				o.reason = ""
			}
			return o
		}
		o.reason = string(failed.Class) + " " + safeCode(failed.Code)
		o.state, o.fault = judge(failed)
		if failed.Class != Failover && failed.Class != Misconfigured {
			return o
		}
	}
	return o
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
// row is still reserved.
func (s *Service) settle(ctx context.Context, id string, o outcome, cost Millionths) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	n, err := s.db.Exec(ctx, `
		UPDATE sms_ledger SET state = $2, provider = $3, provider_ref = $4, reason = $5, settled_at = $6, cost = $7
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
