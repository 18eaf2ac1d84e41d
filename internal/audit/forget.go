package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Forget takes a person out of the lines about them: what happened, when and
// through which client stays, under the pseudonym instead of the id, without
// address and detail. It joins the transaction in ctx.
func (l *Log) Forget(ctx context.Context, userID, pseudonym string) error {
	_, err := l.db.Exec(ctx, `
		UPDATE audit SET user_id = $2, ip = '', detail = '{}', actor = CASE WHEN actor = $3 THEN $4 ELSE actor END
		WHERE user_id = $1`, userID, pseudonym, "user:"+userID, "user:"+pseudonym)
	if err != nil {
		return fmt.Errorf("forget a person: %w", err)
	}
	return nil
}

// DropAddress takes the address out of lines from a time to a time that have
// value, a word without quotes, percent signs and underscores, in their detail:
// lines about what turned out to be somebody's and names nobody.
func (l *Log) DropAddress(ctx context.Context, value string, from, to time.Time) error {
	_, err := l.db.Exec(ctx, `UPDATE audit SET ip = '' WHERE at >= $1 AND at <= $2 AND ip <> '' AND detail LIKE $3`,
		db.Micros(from), db.Micros(to), `%"`+value+`"%`)
	if err != nil {
		return fmt.Errorf("drop an address: %w", err)
	}
	return nil
}
