package user

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// SignOutAll ends every session, grant and unredeemed code of everybody, and returns how
// many accounts there are. It is for a restored backup, in which tokens that were used or
// revoked since stand as they did: everything that rests on a sign-in until now is over.
// It goes on beside a server, some hundred accounts at a time; run again after a failure,
// it does the same once more.
func (s *Service) SignOutAll(ctx context.Context) (int, error) {
	total, last := 0, ""
	for {
		from := last
		var accounts int
		if err := s.db.QueryRow(ctx, `
			SELECT count(*), COALESCE(max(id), '') FROM (SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT 500) AS batch`,
			from).Scan(&accounts, &last); err != nil {
			return total, fmt.Errorf("list accounts to sign out: %w", err)
		}
		if accounts == 0 {
			break
		}
		now := db.Micros(time.Now())
		if _, err := s.db.Exec(ctx, `
			UPDATE users SET grants_after = CASE WHEN grants_after < $1 THEN $1 ELSE grants_after + 1 END WHERE id > $2 AND id <= $3`,
			now, from, last); err != nil {
			return total, fmt.Errorf("end grants of everybody: %w", err)
		}
		if _, err := s.db.Exec(ctx, `
			UPDATE sessions SET ended_at = $1 WHERE user_id > $2 AND user_id <= $3 AND ended_at IS NULL`, now, from, last); err != nil {
			return total, fmt.Errorf("end sessions of everybody: %w", err)
		}
		total += accounts
	}
	return total, s.record(ctx, "user.all_signed_out", operator, "", map[string]string{"count": strconv.Itoa(total)})
}
