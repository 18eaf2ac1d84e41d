package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

const insertReturning = `INSERT INTO settings (name, value) VALUES ($1, $2) RETURNING name`

// scanned is a reader of one name.
func scanned(name *string) func(*db.Row) error {
	return func(row *db.Row) error { return row.Scan(name) }
}

func TestQueryRowLaterIsReadByTheNextStatement(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		next := map[string]func(ctx context.Context) error{
			"exec": func(ctx context.Context) error { return insert(ctx, d, "exec") },
			"query": func(ctx context.Context) error {
				var n int
				err := d.QueryRow(ctx, `SELECT count(*) FROM settings WHERE name IN ($1, $2)`, "query 1", "query 2").Scan(&n)
				if n != 2 {
					t.Errorf("the next statement sees %d rows", n)
				}
				return err
			},
		}
		for name, do := range next {
			var first, second, none string
			err := d.Tx(t.Context(), func(ctx context.Context) error {
				if err := errors.Join(
					d.QueryRowLater(ctx, scanned(&first), insertReturning, name+" 1", []byte{1}),
					d.QueryRowLater(ctx, scanned(&second), insertReturning, name+" 2", []byte{1}),
					d.QueryRowLater(ctx, func(row *db.Row) error {
						if err := row.Scan(&none); !errors.Is(err, db.ErrNotFound) {
							t.Errorf("%s: no row: %v", name, err)
						}
						return nil
					}, `SELECT name FROM settings WHERE name = $1`, "nobody"),
					do(ctx),
				); err != nil {
					return err
				}
				if first != name+" 1" || second != name+" 2" || none != "" {
					t.Errorf("%s: read %q, %q and %q", name, first, second, none)
				}
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := count(t, d); n != 5 {
			t.Errorf("%d rows", n)
		}
	})
}

// What the reader says ends the transaction, also when nothing but COMMIT follows.
func TestQueryRowLaterFails(t *testing.T) {
	refused := errors.New("refused")
	refuse := func(row *db.Row) error {
		var name string
		return errors.Join(row.Scan(&name), refused)
	}
	ends := map[string]func(ctx context.Context, d *db.DB) error{
		"commit":    func(context.Context, *db.DB) error { return nil },
		"exec":      func(ctx context.Context, d *db.DB) error { return insert(ctx, d, "b") },
		"later":     func(ctx context.Context, d *db.DB) error { return insertLater(ctx, d, "b") },
		"swallowed": func(ctx context.Context, d *db.DB) error { _ = insert(ctx, d, "b"); return nil },
	}
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for name, end := range ends {
			err := d.Tx(t.Context(), func(ctx context.Context) error {
				if err := d.QueryRowLater(ctx, refuse, insertReturning, "a", []byte{1}); err != nil {
					return err // SQLite knows at once
				}
				return end(ctx, d)
			})
			if !errors.Is(err, refused) || count(t, d) != 0 {
				t.Errorf("%s: %d rows, %v", name, count(t, d), err)
			}
		}
	})
}

func TestQueryRowLaterMeetsWhatTheStatementMeets(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var name string
		if err := d.QueryRowLater(t.Context(), scanned(&name), insertReturning, "a", []byte{1}); err != nil || name != "a" {
			t.Fatalf("outside of a transaction: %q, %v", name, err)
		}
		for _, end := range []func(ctx context.Context) error{
			func(context.Context) error { return nil },
			func(ctx context.Context) error { return insert(ctx, d, "b") },
		} {
			err := d.Tx(t.Context(), func(ctx context.Context) error {
				return errors.Join(d.QueryRowLater(ctx, scanned(&name), insertReturning, "a", []byte{1}), end(ctx))
			})
			if !errors.Is(err, db.ErrConflict) || count(t, d) != 1 {
				t.Errorf("%d rows, %v", count(t, d), err)
			}
		}
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			return d.QueryRowLater(ctx, scanned(&name), insertReturning, "\x00", []byte{1})
		})
		if !errors.Is(err, db.ErrText) {
			t.Errorf("a text that cannot be stored: %v", err)
		}
	})
}
