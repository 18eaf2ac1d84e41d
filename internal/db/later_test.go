package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// insertLater is insert without waiting for it.
func insertLater(ctx context.Context, d *db.DB, name string) error {
	return d.ExecLater(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)`, name, []byte{1})
}

func TestExecLaterRunsInOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			if err := errors.Join(insertLater(ctx, d, "a"), insertLater(ctx, d, "b")); err != nil {
				return err
			}
			var n int
			if err := d.QueryRow(ctx, `SELECT count(*) FROM settings`).Scan(&n); err != nil || n != 2 {
				t.Errorf("the next statement sees %d rows, %v", n, err)
			}
			if err := insertLater(ctx, d, "c"); err != nil {
				return err
			}
			if n, err := d.Exec(ctx, `DELETE FROM settings WHERE name <> $1`, "a"); err != nil || n != 2 {
				t.Errorf("deleted %d, %v", n, err)
			}
			return insertLater(ctx, d, "d")
		})
		if err != nil || count(t, d) != 2 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
		if err := insertLater(t.Context(), d, "e"); err != nil || count(t, d) != 3 {
			t.Errorf("outside of a transaction: %d rows, %v", count(t, d), err)
		}
	})
}

// Whoever comes next learns of the failure; nothing of the transaction stays, and
// the connection serves the next one.
func TestExecLaterFails(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		if err := insert(t.Context(), d, "a"); err != nil {
			t.Fatal(err)
		}
		next := map[string]func(ctx context.Context) error{
			"commit": func(context.Context) error { return nil },
			"exec":   func(ctx context.Context) error { return insert(ctx, d, "b") },
			"query": func(ctx context.Context) error {
				var n int
				return d.QueryRow(ctx, `SELECT count(*) FROM settings`).Scan(&n)
			},
			"swallowed": func(ctx context.Context) error { _ = insert(ctx, d, "b"); return nil },
			"later":     func(ctx context.Context) error { return insertLater(ctx, d, "b") },
		}
		for name, do := range next {
			err := d.Tx(t.Context(), func(ctx context.Context) error {
				if err := insertLater(ctx, d, "a"); err != nil {
					return err // SQLite knows at once
				}
				return do(ctx)
			})
			if !errors.Is(err, db.ErrConflict) || count(t, d) != 1 {
				t.Errorf("%s: %d rows, %v", name, count(t, d), err)
			}
		}
		if err := insertLater(t.Context(), d, "\x00"); !errors.Is(err, db.ErrText) {
			t.Errorf("a text that cannot be stored: %v", err)
		}
	})
}

func TestExecLaterIsRolledBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		refused := errors.New("refused")
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			return errors.Join(insertLater(ctx, d, "a"), refused)
		})
		if !errors.Is(err, refused) || count(t, d) != 0 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
	})
}
