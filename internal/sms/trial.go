package sms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// Trial asks for one real message whose code signs nobody in, to see whether
// providers work.
type Trial struct {
	Number    Number
	Purpose   Purpose // whose template is used
	Locale    string
	Providers []Provider // asked in order, the next one where one certainly did not send
}

// TrialResult is what became of a Trial.
type TrialResult struct {
	MessageID string    `json:"message_id"`    // of the ledger, which the provider has as well
	Outcome   string    `json:"outcome"`       // accepted, rejected or unknown
	Ref       string    `json:"ref,omitempty"` // the provider's own id of the message
	Attempts  []Attempt `json:"attempts"`
}

// Attempt is one provider's answer.
type Attempt struct {
	Provider string        `json:"provider"`
	Class    Class         `json:"class,omitempty"` // "" if the provider took the message
	Code     string        `json:"code,omitempty"`
	Took     time.Duration `json:"-"`
}

// Send sends at most one message. It needs no Service and may run beside any
// number of servers. The message counts like every other to its number, in the
// share of strangers, so that nobody is bombed with trials, and the trial is in the audit log
// before the first provider is asked. Faults: ErrTooSoon, ErrHourlyLimit,
// ErrDailyLimit. What providers answer is no error but the result.
func (t Trial) Send(ctx context.Context, c Config, d *db.DB, v *signing.Vault, a *audit.Log) (TrialResult, error) {
	c.setDefaults()
	if err := c.check(); err != nil {
		return TrialResult{}, err
	}
	if t.Number.IsZero() || !t.Purpose.Valid() || len(t.Providers) == 0 {
		return TrialResult{}, errors.New("send a trial: a number, a purpose and a provider are needed")
	}
	if _, test := c.TestNumbers[t.Number.E164()]; test {
		return TrialResult{}, errors.New("send a trial: nothing is ever sent to a test number")
	}
	s := &Service{config: c, db: d, vault: v, audit: a}
	m := Message{ID: db.NewID(), To: t.Number, Purpose: t.Purpose, Code: newCode(), TTL: c.CodeTTL, Locale: t.Locale}
	if err := s.reserveTrial(ctx, m); err != nil {
		return TrialResult{}, err
	}
	r, o := m.tryAll(ctx, t.Providers)
	// What was sent stays sent although the operator may have lost patience.
	if err := s.settle(context.WithoutCancel(ctx), m.ID, o, c.cost(o.state, o.provider, m.To.Region())); err != nil {
		return r, err
	}
	return r, nil
}

// reserveTrial takes the message out of its number's budget.
func (s *Service) reserveTrial(ctx context.Context, m Message) error {
	lookup := m.To.Index(s.vault)
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.lockNumber(ctx, lookup); err != nil {
			return err
		}
		sends, err := s.countSends(ctx, lookup)
		if err != nil {
			return err
		}
		now := clock()
		if f := s.config.refuseSend(sends, now, false); f != nil {
			return f
		}
		if _, err := s.db.Exec(ctx, `
			INSERT INTO sms_ledger (id, challenge_id, lookup, purpose, client_id, region, prefix, known_device,
				state, provider, provider_ref, reason, reserved_at)
			VALUES ($1, '', $2, $3, '', $4, $5, FALSE, 'reserved', '', '', '', $6)`,
			m.ID, lookup, string(m.Purpose), m.To.Region(), m.To.prefixIndex(s.vault), db.Micros(now)); err != nil {
			return fmt.Errorf("enter trial in the ledger: %w", err)
		}
		return s.audit.Record(ctx, audit.Event{Name: "sms.trial", Actor: "operator",
			Detail: map[string]string{"number": reference(lookup), "message": m.ID}})
	})
	var f *fault.Error
	if err != nil && !errors.As(err, &f) {
		return fmt.Errorf("reserve a trial: %w", err)
	}
	return err
}

// tryAll asks providers until one takes the message or may have taken it.
func (m Message) tryAll(ctx context.Context, providers []Provider) (TrialResult, outcome) {
	r, o := TrialResult{MessageID: m.ID}, outcome{}
	for _, p := range providers {
		start := time.Now()
		ref, failed := ask(ctx, p, m)
		attempt := Attempt{Provider: p.Name(), Took: time.Since(start)}
		o = outcome{state: accepted, provider: p.Name(), ref: ref}
		if failed != nil {
			attempt.Class, attempt.Code = failed.Class, safeCode(failed.Code)
			o.state, _ = judge(failed)
			o.reason = string(attempt.Class) + " " + attempt.Code
		}
		r.Attempts = append(r.Attempts, attempt)
		if failed == nil || failed.Class != Failover && failed.Class != Misconfigured {
			break
		}
	}
	r.Outcome, r.Ref = o.state, safeRef(o.ref)
	if strings.HasPrefix(o.reason, string(Blocked)) {
		r.Outcome = rejected // the ledger counts it like one that was sent, as ever
	}
	return r, o
}
