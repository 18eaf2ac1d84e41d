package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// A relaxed statement is seen at once, fails like any other, joins a transaction,
// and leaves its connection as strict as before.
func TestRelaxedStatements(t *testing.T) {
	const add = `INSERT INTO settings (name, value) VALUES ($1, $2)`
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		changed, err := d.ExecRelaxed(t.Context(), add, "a", []byte{1})
		if n := count(t, d); err != nil || changed != 1 || n != 1 {
			t.Errorf("changed %d of %d rows: %v", changed, n, err)
		}
		if _, err := d.ExecRelaxed(t.Context(), add, "a", []byte{1}); !errors.Is(err, db.ErrConflict) {
			t.Errorf("a second row with one key: %v", err)
		}
		if _, err := d.ExecRelaxed(t.Context(), add, "b\x00", []byte{1}); !errors.Is(err, db.ErrText) {
			t.Errorf("a name that is no text: %v", err)
		}
		undone := errors.New("undone")
		err = d.Tx(t.Context(), func(ctx context.Context) error {
			if _, err := d.ExecRelaxed(ctx, add, "c", []byte{1}); err != nil {
				return err
			}
			return undone
		})
		if n := count(t, d); !errors.Is(err, undone) || n != 1 {
			t.Errorf("%d rows after a rollback: %v", n, err)
		}
		if d.Engine() != db.Postgres {
			return
		}
		for range 20 { // whichever connection it is
			var durable string
			if err := d.QueryRow(t.Context(), `SELECT current_setting('synchronous_commit')`).Scan(&durable); err != nil || durable == "off" {
				t.Fatalf("synchronous_commit is %q afterwards: %v", durable, err)
			}
		}
	})
}
