package user

import (
	"context"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Who opened an account by one factor, such as a text message, must not get the second
// one from there: a password that was just replaced proves nothing but that message.

// settled is how long it takes until what was made so counts as a second proof, and
// until anything makes up for the account's number.
const settled = 24 * time.Hour

// weaken notes, first in the transaction of a change to what an account can show, that
// whoever makes it showed one factor only. For a day only what was there before counts
// as a second proof, and another change does not begin that day again. An account
// that has nothing yet is being set up, which counts at once. It returns the time to
// write beside what is made, which is never one before, whichever server's clock it is of.
func (s *Service) weaken(ctx context.Context, userID string, by By) (time.Time, error) {
	now := db.Time(db.Micros(time.Now()))
	if !by.OneFactor {
		return now, nil
	}
	if _, err := s.db.Exec(ctx, `
		UPDATE users SET weakened_at = $1 WHERE id = $2 AND weakened_at <= $3 AND (
			EXISTS (SELECT 1 FROM passwords p WHERE p.user_id = users.id)
			OR EXISTS (SELECT 1 FROM totp a WHERE a.user_id = users.id AND a.sealed IS NOT NULL)
			OR EXISTS (SELECT 1 FROM recovery_codes c WHERE c.user_id = users.id AND c.used_at IS NULL)
			OR EXISTS (SELECT 1 FROM passkeys k WHERE k.user_id = users.id))`,
		db.Micros(now), userID, db.Micros(now.Add(-settled))); err != nil {
		return now, fmt.Errorf("note a change by one factor: %w", err)
	}
	var at int64
	if err := s.db.QueryRow(ctx, `SELECT weakened_at FROM users WHERE id = $1`, userID).Scan(&at); err != nil {
		return now, fmt.Errorf("note a change by one factor: %w", err)
	}
	if at := db.Time(at); at.After(now) {
		now = at
	}
	return now, nil
}

// weakenedAt is users.weakened_at while it counts, else the zero time.
func weakenedAt(at int64, now time.Time) time.Time {
	if !now.Before(db.Time(at).Add(settled)) {
		return time.Time{}
	}
	return db.Time(at)
}
