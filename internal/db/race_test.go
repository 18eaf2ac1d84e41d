package db_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// What must happen once: many goroutines at once, and exactly one of them wins.

func TestConditionalUpdateHasOneWinner(t *testing.T) {
	const racers, rounds = 50, 5
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for round := range rounds {
			name := fmt.Sprint(round)
			if err := insert(t.Context(), d, name); err != nil {
				t.Fatal(err)
			}
			winners := race(t, racers, func(ctx context.Context) (bool, error) {
				n, err := d.Exec(ctx, `UPDATE settings SET value = $1 WHERE name = $2 AND value = $3`, []byte{2}, name, []byte{1})
				return n == 1, err
			})
			if winners != 1 {
				t.Errorf("round %d: %d winners", round, winners)
			}
		}
	})
}

func TestConditionalUpdateInTransactionsHasOneWinner(t *testing.T) {
	const racers = 50
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		if err := insert(t.Context(), d, "once"); err != nil {
			t.Fatal(err)
		}
		winners := race(t, racers, func(ctx context.Context) (won bool, err error) {
			err = d.Tx(ctx, func(ctx context.Context) error {
				n, err := d.Exec(ctx, `UPDATE settings SET value = $1 WHERE name = $2 AND value = $3`, []byte{2}, "once", []byte{1})
				won = n == 1
				if err == nil && won {
					err = d.Touch(ctx, "won")
				}
				return err
			})
			return won, err
		})
		var touched int
		if err := d.QueryRow(t.Context(), `SELECT version FROM changes WHERE topic = 'won'`).Scan(&touched); err != nil {
			t.Fatal(err)
		}
		if winners != 1 || touched != 1 {
			t.Errorf("%d winners, %d of them committed", winners, touched)
		}
	})
}

func TestDeleteReturningHasOneWinner(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		if err := insert(t.Context(), d, "once"); err != nil {
			t.Fatal(err)
		}
		winners := race(t, 50, func(ctx context.Context) (bool, error) {
			var value []byte
			err := d.QueryRow(ctx, `DELETE FROM settings WHERE name = $1 RETURNING value`, "once").Scan(&value)
			if errors.Is(err, db.ErrNotFound) {
				return false, nil
			}
			return true, err
		})
		if winners != 1 {
			t.Errorf("%d winners", winners)
		}
	})
}

func TestRacingInsertsHaveOneWinner(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		winners := race(t, 50, func(ctx context.Context) (bool, error) {
			err := insert(ctx, d, "once")
			if errors.Is(err, db.ErrConflict) {
				return false, nil
			}
			return true, err
		})
		if winners != 1 || count(t, d) != 1 {
			t.Errorf("%d winners, %d rows", winners, count(t, d))
		}
	})
}

// Counting under a row's lock is how budgets are kept: nobody may read a number
// that another is about to raise.
func TestRowIsALockForWhatIsCountedUnderIt(t *testing.T) {
	const racers, budget = 60, 7
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		winners := race(t, racers, func(ctx context.Context) (won bool, err error) {
			err = d.Tx(ctx, func(ctx context.Context) error {
				won = false
				if err := d.Touch(ctx, "lock"); err != nil {
					return err
				}
				var n int
				if err := d.QueryRow(ctx, `SELECT count(*) FROM settings`).Scan(&n); err != nil || n >= budget {
					return err
				}
				won = true
				return insert(ctx, d, db.NewID())
			})
			return won, err
		})
		if winners != budget || count(t, d) != budget {
			t.Errorf("%d winners, %d rows", winners, count(t, d))
		}
	})
}

// race calls f in n goroutines at once and counts those that won.
func race(t *testing.T, n int, f func(ctx context.Context) (bool, error)) int64 {
	t.Helper()
	var winners atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range n {
		wg.Go(func() {
			<-start
			won, err := f(t.Context())
			if err != nil {
				t.Error(err)
			}
			if won {
				winners.Add(1)
			}
		})
	}
	close(start)
	wg.Wait()
	return winners.Load()
}
