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

// A number's wrong tries are entries of one length in a text column, the oldest
// first: sixteen digits of Unix microseconds and a space. That lets one
// conditional UPDATE see in SQL whether a window has room, and charge the try.
// Sixteen digits last until the year 2286.
const entrySize = 17

func entry(t time.Time) string { return fmt.Sprintf("%016d ", db.Micros(t)) }

// tries is the record of wrong codes of one pool.
type tries struct {
	failures    string
	consecutive int
}

// record is the wrong codes of a number in two pools, each with windows and a
// row of its own: those for challenges that recognised devices asked for, and
// everybody else's. So no stranger's guesses refuse anything to the owner's
// devices, and whoever holds one of those does not stop the owner elsewhere.
type record struct{ strangers, known tries }

// fields are where the columns failures, consecutive, known_failures and
// known_consecutive are scanned to.
func (r *record) fields() []any {
	return []any{&r.strangers.failures, &r.strangers.consecutive, &r.known.failures, &r.known.consecutive}
}

// of is the pool of a device.
func (r record) of(knownDevice bool) tries {
	if knownDevice {
		return r.known
	}
	return r.strangers
}

// refuseTry decides whether a pool may have one more code checked; nil if so.
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

// The pool of the challenge c at the number n, and it with one more entry; the
// oldest goes when it has as many as a window needs.
const (
	sqlFailures    = `CASE WHEN c.known_device THEN n.known_failures ELSE n.failures END`
	sqlConsecutive = `CASE WHEN c.known_device THEN n.known_consecutive ELSE n.consecutive END`
	sqlCharged     = `CASE WHEN length(` + sqlFailures + `) < $2 THEN ` + sqlFailures + `
		ELSE substr(` + sqlFailures + `, length(` + sqlFailures + `) - $3) END || $4`
)

// chargeNumber adds a failure to the number of ref's live challenge, in the pool
// of that challenge, if each of its windows has room; not if one has none, or
// there is no such challenge or number. It is the same decision as refuseTry,
// made by the statement that charges, so that no two tries share the last place.
// What it returns is filled once the next statement is answered.
func (s *Service) chargeNumber(ctx context.Context, ref Ref, now time.Time) (*charge, error) {
	c := &s.config
	keep := entrySize * max(c.FailuresPerHour, c.FailuresPerDay)
	after := &charge{}
	err := s.db.QueryRowLater(ctx, after.read, `
		UPDATE sms_numbers AS n SET touched_at = $1,
			failures = CASE WHEN c.known_device THEN n.failures ELSE `+sqlCharged+` END,
			known_failures = CASE WHEN c.known_device THEN `+sqlCharged+` ELSE n.known_failures END,
			consecutive = n.consecutive + CASE WHEN c.known_device THEN 0 ELSE 1 END,
			known_consecutive = n.known_consecutive + CASE WHEN c.known_device THEN 1 ELSE 0 END
		FROM (SELECT lookup, known_device FROM sms_challenges
			WHERE id = $12 AND flow = $13 AND client_id = $14 AND purpose = $15
				AND consumed_at IS NULL AND expires_at > $16 AND tries < max_tries) AS c
		WHERE n.lookup = c.lookup AND `+sqlConsecutive+` < $5
			AND (length(`+sqlFailures+`) < $6 OR substr(`+sqlFailures+`, length(`+sqlFailures+`) - $7, 16) <= $8)
			AND (length(`+sqlFailures+`) < $9 OR substr(`+sqlFailures+`, length(`+sqlFailures+`) - $10, 16) <= $11)
		RETURNING failures, consecutive, known_failures, known_consecutive`,
		today(), keep, keep-entrySize-1, entry(now), c.FailuresTotal,
		entrySize*c.FailuresPerHour, entrySize*c.FailuresPerHour-1, strings.TrimSpace(entry(now.Add(-time.Hour))),
		entrySize*c.FailuresPerDay, entrySize*c.FailuresPerDay-1, strings.TrimSpace(entry(now.Add(-day))),
		ref.ID, ref.Flow, ref.ClientID, string(ref.Purpose), db.Micros(now))
	if err != nil {
		return nil, fmt.Errorf("charge number: %w", err)
	}
	return after, nil
}

// charge is a number after a try was charged to it, if it was.
type charge struct {
	record
	charged bool
}

func (c *charge) read(row *db.Row) error {
	err := row.Scan(c.fields()...)
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	c.charged = err == nil
	return err
}

// whyNotNumber says why a pool of a number took no charge.
func (s *Service) whyNotNumber(ctx context.Context, lookup []byte, knownDevice bool, now time.Time) error {
	var r record
	err := s.db.QueryRow(ctx, `
		SELECT failures, consecutive, known_failures, known_consecutive FROM sms_numbers WHERE lookup = $1`, lookup).
		Scan(r.fields()...)
	if errors.Is(err, db.ErrNotFound) {
		return ErrCodeExpired // a test number's challenge that is none any more
	}
	if err != nil {
		return fmt.Errorf("look at number: %w", err)
	}
	if f := s.config.refuseTry(r.of(knownDevice), now); f != nil {
		return f
	}
	return ErrTriesLimited.After(time.Second) // the place came free between two statements
}
