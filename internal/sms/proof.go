package sms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Proof that the holder of a number typed the right code. It is worth nothing
// until Consume.
type Proof struct {
	Number Number
	Note   string // Request.Note

	service *Service
	id      string
	lookup  []byte
	known   bool   // the pool of the number that Check charged
	charged string // its entry there, "" for none
}

// Consume uses the proof up inside the transaction in ctx, by two statements that
// are sent with the caller's next one: exactly one Consume of a challenge succeeds,
// the transactions of the others fail with ErrCodeExpired, at once, at the next
// statement or at the commit, and are rolled back. What Check charged to the number is given
// back and its rows of wrong codes end, those of both pools: the number is proved.
func (p Proof) Consume(ctx context.Context) error {
	s := p.service
	if s == nil {
		return ErrCodeExpired
	}
	now := db.Micros(time.Now())
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if p.charged != "" {
			column := "failures"
			if p.known {
				column = "known_failures"
			}
			err := s.db.ExecLater(ctx, `
				UPDATE sms_numbers SET consecutive = 0, known_consecutive = 0, `+column+` = replace(`+column+`, $2, '')
				WHERE lookup = $1`, p.lookup, p.charged)
			if err != nil {
				return fmt.Errorf("give a try back: %w", err)
			}
		}
		return s.db.QueryRowLater(ctx, consumed, `
			UPDATE sms_challenges SET consumed_at = $2 WHERE id = $1 AND consumed_at IS NULL AND expires_at > $2
			RETURNING id`, p.id, now)
	})
}

func consumed(row *db.Row) error {
	var id string
	err := row.Scan(&id)
	if errors.Is(err, db.ErrNotFound) {
		return ErrCodeExpired
	}
	if err != nil {
		return fmt.Errorf("consume challenge: %w", err)
	}
	return nil
}
