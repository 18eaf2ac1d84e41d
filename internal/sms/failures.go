package sms

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// A number's wrong tries are entries of one length in sms_numbers.failures, the
// oldest first: sixteen digits of Unix microseconds and a space. That lets one
// conditional UPDATE see in SQL whether a window has room, and charge the try.
// Sixteen digits last until the year 2286.
const entrySize = 17

func entry(t time.Time) string { return fmt.Sprintf("%016d ", db.Micros(t)) }

// tries is the record of a number's wrong codes.
type tries struct {
	failures    string
	consecutive int
}

// refuseTry decides whether a number may have one more code checked; nil if so.
func (c *Config) refuseTry(t tries, now time.Time) *fault.Error {
	if t.consecutive >= c.FailuresTotal {
		return ErrSignInStopped
	}
	times := t.newestFirst()
	w := max(wait(times, c.FailuresPerHour, time.Hour, now), wait(times, c.FailuresPerDay, day, now))
	if w > 0 {
		return ErrTriesLimited.After(w)
	}
	return nil
}

func (t tries) newestFirst() []int64 {
	fields := strings.Fields(t.failures)
	times := make([]int64, 0, len(fields))
	for i := len(fields) - 1; i >= 0; i-- {
		us, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			continue // nothing else writes the column
		}
		times = append(times, us)
	}
	return times
}

// chargeNumber adds a failure to the number of ref's live challenge if each of
// its windows has room; false if one has not, or there is no such challenge or
// number. It is the same decision as refuseTry, made by the statement that
// charges, so that no two tries share the last place.
func (s *Service) chargeNumber(ctx context.Context, ref Ref, now time.Time, t *try) (bool, error) {
	c := &s.config
	keep := entrySize * max(c.FailuresPerHour, c.FailuresPerDay)
	e := entry(now)
	err := s.db.QueryRow(ctx, `
		UPDATE sms_numbers SET consecutive = consecutive + 1, touched_at = $1,
			failures = CASE WHEN length(failures) < $2 THEN failures ELSE substr(failures, length(failures) - $3) END || $4
		WHERE consecutive < $5
			AND (length(failures) < $6 OR substr(failures, length(failures) - $7, 16) <= $8)
			AND (length(failures) < $9 OR substr(failures, length(failures) - $10, 16) <= $11)
			AND lookup = (SELECT lookup FROM sms_challenges
				WHERE id = $12 AND flow = $13 AND client_id = $14 AND purpose = $15
					AND consumed_at IS NULL AND expires_at > $16 AND tries < max_tries)
		RETURNING consecutive`,
		today(), keep, keep-entrySize-1, e, c.FailuresTotal,
		entrySize*c.FailuresPerHour, entrySize*c.FailuresPerHour-1, strings.TrimSpace(entry(now.Add(-time.Hour))),
		entrySize*c.FailuresPerDay, entrySize*c.FailuresPerDay-1, strings.TrimSpace(entry(now.Add(-day))),
		ref.ID, ref.Flow, ref.ClientID, string(ref.Purpose), db.Micros(now),
	).Scan(&t.consecutive)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("charge number: %w", err)
	}
	t.charged = e
	return true, nil
}

// whyNotNumber says why a number took no charge.
func (s *Service) whyNotNumber(ctx context.Context, lookup []byte, now time.Time) error {
	var t tries
	err := s.db.QueryRow(ctx, `SELECT failures, consecutive FROM sms_numbers WHERE lookup = $1`, lookup).
		Scan(&t.failures, &t.consecutive)
	if errors.Is(err, db.ErrNotFound) {
		return ErrCodeExpired // a test number's challenge that is none any more
	}
	if err != nil {
		return fmt.Errorf("look at number: %w", err)
	}
	if f := s.config.refuseTry(t, now); f != nil {
		return f
	}
	return ErrTriesLimited.After(time.Second) // the place came free between two statements
}
