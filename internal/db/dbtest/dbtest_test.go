package dbtest_test

import (
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestEachDatabaseIsFreshAndMigrated(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		if err := d.CheckSchema(t.Context()); err != nil {
			t.Fatal(err)
		}
		var users int
		if err := d.QueryRow(t.Context(), `SELECT count(*) FROM users`).Scan(&users); err != nil || users != 0 {
			t.Fatalf("users = %d, %v", users, err)
		}
	})
}

func TestDatabasesAreSeparate(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		other := dbtest.Open(t)
		if d.Engine() == db.Postgres {
			other = dbtest.OpenPostgres(t)
		}
		if err := d.Touch(t.Context(), "here"); err != nil {
			t.Fatal(err)
		}
		var topics int
		if err := other.QueryRow(t.Context(), `SELECT count(*) FROM changes`).Scan(&topics); err != nil || topics != 0 {
			t.Fatalf("topics = %d, %v", topics, err)
		}
	})
}
