package sms

import (
	"context"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// How long rows are kept.
const (
	keepChallenges = day       // after they expired: a page may still offer another code
	keepLedger     = 180 * day // records of verification texts: five months at least
	keepNumbers    = 180 * day // after they were last used
)

// purgeBatch is small enough that SQLite's one writer is never held for long.
const purgeBatch = 500

// Unblock forgets a number's wrong codes, those of recognised devices and those
// of others, so that sign-in by SMS works again at once. It is for an operator,
// needs no Service and may run beside any number of servers. A number that is
// not stopped is no error; one that was never written to, or not for 180 days,
// is db.ErrNotFound.
func Unblock(ctx context.Context, d *db.DB, v *signing.Vault, a *audit.Log, n Number) error {
	lookup := n.Index(v)
	return d.Tx(ctx, func(ctx context.Context) error {
		changed, err := d.Exec(ctx, `
			UPDATE sms_numbers SET consecutive = 0, failures = '', known_consecutive = 0, known_failures = ''
			WHERE lookup = $1`, lookup)
		if err != nil {
			return fmt.Errorf("unblock number: %w", err)
		}
		if changed == 0 {
			return fmt.Errorf("unblock number: %w", db.ErrNotFound)
		}
		return a.Record(ctx, audit.Event{
			Name: "sms.number_unblocked", Actor: "operator", Detail: map[string]string{"number": reference(lookup)},
		})
	})
}

// Purge deletes what nothing needs any more, in small batches: challenges a day
// after they expired, the ledger after 180 days, and numbers that were idle for
// as long unless their sign-in is stopped. It returns how many rows those were.
func (s *Service) Purge(ctx context.Context, now time.Time) (int64, error) {
	total, err := s.purge(ctx, `
		DELETE FROM sms_challenges WHERE id IN (
			SELECT id FROM sms_challenges WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`,
		db.Micros(now.Add(-keepChallenges)), purgeBatch)
	if err != nil {
		return total, fmt.Errorf("purge challenges: %w", err)
	}
	n, err := s.purge(ctx, `
		DELETE FROM sms_ledger WHERE id IN (
			SELECT id FROM sms_ledger WHERE reserved_at < $1 ORDER BY reserved_at LIMIT $2)`,
		db.Micros(now.Add(-keepLedger)), purgeBatch)
	total += n
	if err != nil {
		return total, fmt.Errorf("purge ledger: %w", err)
	}
	n, err = s.purge(ctx, `
		DELETE FROM sms_numbers WHERE touched_at < $1 AND consecutive < $3 AND known_consecutive < $3 AND lookup IN (
			SELECT lookup FROM sms_numbers WHERE touched_at < $1 AND consecutive < $3 AND known_consecutive < $3 ORDER BY touched_at LIMIT $2)`,
		db.Micros(now.Add(-keepNumbers)), purgeBatch, s.config.FailuresTotal)
	total += n
	if err != nil {
		return total, fmt.Errorf("purge numbers: %w", err)
	}
	return total, nil
}

// purge repeats a DELETE of one batch until it finds less than a batch.
func (s *Service) purge(ctx context.Context, query string, args ...any) (total int64, err error) {
	for {
		n, err := s.db.Exec(ctx, query, args...)
		total += n
		if err != nil || n < purgeBatch {
			return total, err
		}
	}
}
