package sms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Querier is a Provider whose vendor can be asked what became of messages.
type Querier interface {
	Provider
	// Query asks for the reports of a number from when a message was sent on. It
	// returns soon after ctx ends; err is a *SendError.
	Query(ctx context.Context, to Number, sent time.Time) ([]Report, error)
}

const (
	reconcileTime  = 20 * time.Second       // for one round
	reconcilePause = 100 * time.Millisecond // between two questions
	reconcileMost  = 50                     // questions in one round
)

// askedAt are the ages at which a vendor is asked about a message: soon, since
// somebody may be waiting, and then ever less.
func askedAt() []time.Duration {
	return []time.Duration{orphanAge, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 23 * time.Hour}
}

// unsettled is a message of which nobody knows whether the vendor took it.
type unsettled struct {
	id, provider string
	challenge    string
	sealed       []byte
	reservedAt   time.Time
}

// Reconcile asks vendors what became of messages whose outcome is unknown, or
// whose process died, and writes it down as apply has it: nothing is given back,
// whatever they say. since is when the round before this one began, zero for the
// first one after a start. It takes 20 s at most and asks 50 times at most,
// about one number each and one after another; a vendor that fails is not asked
// again in this round. Rounds of several servers do each other no harm.
func (s *Service) Reconcile(ctx context.Context, since, now time.Time) error {
	if !s.queries() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reconcileTime)
	defer cancel()
	messages, err := s.dueQuestions(ctx, since, now)
	if err != nil {
		return err
	}
	failed := map[string]error{}
	for i, m := range messages {
		querier, ok := s.named(m.provider).(Querier)
		if !ok || failed[m.provider] != nil {
			continue
		}
		if i > 0 && !pause(ctx, reconcilePause) {
			break
		}
		if err := s.askAbout(ctx, querier, m); err != nil {
			failed[m.provider] = fmt.Errorf("ask what became of messages: %w", err)
		}
	}
	var all []error
	for _, err := range failed {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// queries reports whether there is anybody to ask.
func (s *Service) queries() bool {
	for _, route := range s.config.Routes {
		if slices.ContainsFunc(route.Providers, func(p Provider) bool { _, ok := p.(Querier); return ok }) {
			return true
		}
	}
	return false
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// dueQuestions are the messages that came to one of the ages since the last
// round, the newest first. After a start it is all of the last day: a process
// that died may have left them.
func (s *Service) dueQuestions(ctx context.Context, since, now time.Time) ([]unsettled, error) {
	type window struct{ from, to time.Time }
	windows := []window{{now.Add(-day), now.Add(-orphanAge)}}
	if !since.IsZero() {
		windows = windows[:0]
		for _, age := range askedAt() {
			windows = append(windows, window{since.Add(-age), now.Add(-age)})
		}
	}
	var due []unsettled
	for _, w := range windows {
		found, err := s.unsettledBetween(ctx, w.from, w.to, reconcileMost-len(due))
		if err != nil {
			return nil, err
		}
		due = append(due, found...)
	}
	return due, nil
}

// unsettledBetween reads messages reserved after from and until to. One that the
// vendor refused as blacklisted has nothing to ask.
func (s *Service) unsettledBetween(ctx context.Context, from, to time.Time, limit int) ([]unsettled, error) {
	rows, err := s.db.Query(ctx, `
		SELECT l.id, l.provider, l.reserved_at, c.id, c.sealed
		FROM sms_ledger l JOIN sms_challenges c ON c.id = l.challenge_id
		WHERE l.reserved_at > $1 AND l.reserved_at <= $2 AND l.state IN ('unknown', 'reserved')
			AND l.provider <> '' AND l.reason NOT LIKE 'B %'
		ORDER BY l.reserved_at DESC LIMIT $3`, db.Micros(from), db.Micros(to), limit)
	if err != nil {
		return nil, fmt.Errorf("find messages to ask about: %w", err)
	}
	defer rows.Close()
	var found []unsettled
	for rows.Next() {
		var m unsettled
		var at int64
		if err := rows.Scan(&m.id, &m.provider, &at, &m.challenge, &m.sealed); err != nil {
			return nil, fmt.Errorf("find messages to ask about: %w", err)
		}
		m.reservedAt = db.Time(at)
		found = append(found, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find messages to ask about: %w", err)
	}
	return found, nil
}

// askAbout settles one message, and takes along what the vendor says of others.
func (s *Service) askAbout(ctx context.Context, q Querier, m unsettled) error {
	x, err := s.unseal(m.challenge, m.sealed)
	if err != nil {
		return err
	}
	reports, err := q.Query(ctx, x.number, m.reservedAt)
	if err != nil {
		return err
	}
	if err := s.adopt(ctx, q.Name(), m, x.number, reports); err != nil {
		return err
	}
	return s.apply(ctx, q.Name(), sourcePull, reports)
}

// adopt finds the report of a message at a vendor that brings back ids of ours
// only on request, as Tencent does: if this is the number's one open message
// there, and there is one report since then that is of no other message, it is
// this one's. Somebody else's text from the same account may be taken for it,
// which shows on a page and counts for nothing.
func (s *Service) adopt(ctx context.Context, provider string, m unsettled, n Number, reports []Report) error {
	const skew = time.Minute
	now := clock()
	own := -1
	for i, r := range reports {
		if r.MessageID == m.id {
			return nil
		}
		if r.MessageID != "" || r.At.Before(m.reservedAt.Add(-skew)) {
			continue
		}
		_, err := s.findReported(ctx, provider, r, now)
		switch {
		case err == nil:
		case !errors.Is(err, db.ErrNotFound):
			return err
		case own >= 0:
			return nil
		default:
			own = i
		}
	}
	if own < 0 {
		return nil
	}
	var open int
	err := s.db.QueryRow(ctx, `
		SELECT count(*) FROM sms_ledger
		WHERE lookup = $1 AND reserved_at > $2 AND provider = $3 AND state IN ('unknown', 'reserved')`,
		n.Index(s.vault), db.Micros(now.Add(-day)), provider).Scan(&open)
	if err != nil {
		return fmt.Errorf("count open messages of a number: %w", err)
	}
	if open == 1 {
		reports[own].MessageID = m.id
	}
	return nil
}
