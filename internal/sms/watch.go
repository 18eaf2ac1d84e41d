package sms

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

const (
	lookEvery = 15 * time.Second
	lookTime  = 10 * time.Second // for one look

	ripeBatch = 1000 // rows of one statement
	ripeMost  = 100  // batches of one look; the next one goes on
)

// Watch looks at the ledger every 15 s until ctx ends: what the day has cost, and
// which codes were not used. Every server runs one; without it the limits that
// are counted elsewhere hold alone.
func (s *Service) Watch(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	away := false
	for {
		err := s.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !away:
			s.log().WarnContext(ctx, "cannot look at the ledger, trying on", "error", err)
		case err == nil && away:
			s.log().InfoContext(ctx, "looking at the ledger again")
		}
		away = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look is one round of Watch. What could not be read is judged as it was.
func (s *Service) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(db.Unasked(ctx), lookTime)
	defer cancel()
	c := &s.conversion
	c.work.Lock()
	defer c.work.Unlock()
	now := time.Now()
	err := s.readDay(ctx, now)
	for _, step := range s.day.steps(&s.config, now) {
		s.log().WarnContext(ctx, "the day's budget of messages is being used up", "of", step.Of, "percent", step.Percent)
		s.config.Observer.BudgetStep(step)
	}
	if err == nil {
		err = s.readRipe(ctx, now)
	}
	for _, change := range c.judge(now) {
		s.log().LogAttrs(ctx, change.level(), "codes of a scope are used otherwise than before",
			slog.String("kind", change.Kind), slog.String("name", change.Name), slog.String("state", change.State))
		s.config.Observer.ScopeChanged(change)
	}
	return err
}

// level: that strangers are hindered is for an operator to know.
func (c ScopeChanged) level() slog.Level {
	if c.State == Normal {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// cursor is the last row of the ledger that was folded.
type cursor struct {
	at int64
	id string
}

// readRipe folds the rows that have become ripe since the last time, in batches.
// A challenge is counted with its first message that was not rejected; by then
// its code is used or dead.
func (s *Service) readRipe(ctx context.Context, now time.Time) error {
	c := &s.conversion
	if oldest := db.Micros(now.Add(-memory)); c.after.at < oldest {
		c.after = cursor{at: oldest}
	}
	upTo := db.Micros(now.Add(-ripe))
	if s.day.empty(c.after.at, upTo) { // most looks of a quiet server
		c.after = cursor{at: upTo + 1}
		return nil
	}
	for range ripeMost {
		n, err := s.readBatch(ctx, upTo)
		if err != nil {
			return fmt.Errorf("read ripe messages: %w", err)
		}
		if n < ripeBatch {
			c.after = cursor{at: upTo + 1}
			return nil
		}
	}
	return nil
}

func (s *Service) readBatch(ctx context.Context, upTo int64) (n int, err error) {
	c := &s.conversion
	rows, err := s.db.Query(ctx, `
		SELECT l.id, l.reserved_at, l.prefix, l.region, l.client_id, l.known_device, c.consumed_at IS NOT NULL
		FROM sms_ledger l JOIN sms_challenges c ON c.id = l.challenge_id
		WHERE l.reserved_at >= $1 AND (l.reserved_at > $1 OR l.id > $2) AND l.reserved_at <= $3 AND l.state <> 'rejected'
			AND (l.reserved_at <= c.created_at OR NOT EXISTS (
				SELECT 1 FROM sms_ledger e WHERE e.lookup = l.lookup AND e.reserved_at >= c.created_at
					AND e.reserved_at < l.reserved_at AND e.challenge_id = l.challenge_id AND e.state <> 'rejected'))
		ORDER BY l.reserved_at, l.id LIMIT $4`, c.after.at, c.after.id, upTo, ripeBatch)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			at          cursor
			prefix      []byte
			from        source
			known, used bool
		)
		if err := rows.Scan(&at.id, &at.at, &prefix, &from.region, &from.client, &known, &used); err != nil {
			return n, err
		}
		from.prefix = nameOfPrefix(prefix)
		c.fold(from, db.Time(at.at), !known, used)
		c.after = at
		n++
	}
	return n, rows.Err()
}
