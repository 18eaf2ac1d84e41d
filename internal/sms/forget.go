package sms

import (
	"context"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
)

// Forget removes what tells of a number, found by its Index, whose holder's account ends: challenges
// that are over, which hold it sealed. The ledger and the counts of wrong codes
// stay until Purge: they name the number by its keyed hash alone, and without them
// deleting an account would refill a budget. A challenge that lives belongs to
// whoever is signing in now. It joins the transaction in ctx and, like Unblock,
// needs no Service.
func Forget(ctx context.Context, d *db.DB, lookup []byte, now time.Time) error {
	_, err := d.Exec(ctx, `
		DELETE FROM sms_challenges WHERE lookup = $1 AND (consumed_at IS NOT NULL OR expires_at <= $2)`,
		lookup, db.Micros(now))
	if err != nil {
		return fmt.Errorf("forget challenges: %w", err)
	}
	return nil
}

// ForgetAddresses takes the addresses out of what is on record about wrong codes
// for a number. One statement for each of its challenges, so it is for outside
// of a transaction; repeating it changes nothing.
func ForgetAddresses(ctx context.Context, d *db.DB, a *audit.Log, lookup []byte) error {
	asked, err := challengesOf(ctx, d, lookup)
	if err != nil {
		return err
	}
	for id, at := range asked {
		// A challenge takes tries for ten minutes at most; replicas' clocks differ by seconds.
		if err := a.DropAddress(ctx, id, at.Add(-time.Minute), at.Add(15*time.Minute)); err != nil {
			return err
		}
	}
	return nil
}

// challengesOf returns a number's challenges and when each was sent first.
func challengesOf(ctx context.Context, d *db.DB, lookup []byte) (map[string]time.Time, error) {
	rows, err := d.Query(ctx, `SELECT challenge_id, MIN(reserved_at) FROM sms_ledger WHERE lookup = $1 GROUP BY challenge_id`, lookup)
	if err != nil {
		return nil, fmt.Errorf("list challenges of a number: %w", err)
	}
	defer rows.Close()
	asked := map[string]time.Time{}
	for rows.Next() {
		var id string
		var at int64
		if err := rows.Scan(&id, &at); err != nil {
			return nil, fmt.Errorf("list challenges of a number: %w", err)
		}
		asked[id] = db.Time(at)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list challenges of a number: %w", err)
	}
	return asked, nil
}
