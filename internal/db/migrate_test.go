package db_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestMigrationFromZero(t *testing.T) {
	dbtest.EachEmptyURL(t, func(t *testing.T, url string) {
		d := dbtest.OpenURL(t, url)
		start := d.Counters()
		if err := d.CheckSchema(t.Context()); !errors.Is(err, db.ErrPending) || !strings.Contains(err.Error(), "dialtone migrate up") {
			t.Errorf("before: %v", err)
		}
		if n := d.Counters().Writes - start.Writes; n != 0 {
			t.Errorf("looking wrote %d times", n)
		}
		all, err := d.Status(t.Context())
		if err != nil || len(all) == 0 || all[0].Name != "00001_initial.sql" || all[0].Applied {
			t.Errorf("before: %v, %v", all, err)
		}
		if n, err := d.Pending(t.Context()); n != len(all) || err != nil {
			t.Errorf("before: %d pending, %v", n, err)
		}
		for range 2 { // the second finds nothing to do
			if err := d.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.CheckSchema(t.Context()); err != nil {
			t.Errorf("after: %v", err)
		}
		done, err := d.Status(t.Context())
		if err != nil || !done[len(done)-1].Applied {
			t.Errorf("after: %v, %v", done, err)
		}
	})
}

func TestMigrationsOfManyProcessesAtOnce(t *testing.T) {
	dbtest.EachEmptyURL(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for range 8 {
			d := dbtest.OpenURL(t, url)
			wg.Go(func() {
				if err := d.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := dbtest.OpenURL(t, url).CheckSchema(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		_, err := d.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, $1)`, true)
		if err != nil {
			t.Fatal(err)
		}
		_, status := d.Status(t.Context())
		_, pending := d.Pending(t.Context())
		for _, err := range []error{d.Migrate(t.Context()), d.CheckSchema(t.Context()), status, pending} {
			if !errors.Is(err, db.ErrNewer) || !strings.Contains(err.Error(), "99999") {
				t.Errorf("err = %v", err)
			}
		}
	})
}

func TestBrokenMigrationLeavesNoTraceAndCanBeRunAgain(t *testing.T) {
	first := &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE one (id TEXT PRIMARY KEY);\n")}
	broken := &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE two (id TEXT PRIMARY KEY);\nINSERT INTO nothing VALUES (1);\n")}
	mended := &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE two (id TEXT PRIMARY KEY);\n")}
	dbtest.EachEmptyURL(t, func(t *testing.T, url string) {
		d := dbtest.OpenURL(t, url)
		err := d.MigrateFiles(t.Context(), fstest.MapFS{"00001_one.sql": first, "00002_two.sql": broken})
		if err == nil || !strings.Contains(err.Error(), "00002_two.sql") {
			t.Fatalf("err = %v", err)
		}
		if _, err := d.Exec(t.Context(), `INSERT INTO one (id) VALUES ('a')`); err != nil {
			t.Errorf("the first step: %v", err)
		}
		if _, err := d.Exec(t.Context(), `INSERT INTO two (id) VALUES ('a')`); err == nil {
			t.Error("half of the second step is left")
		}
		if err := d.MigrateFiles(t.Context(), fstest.MapFS{"00001_one.sql": first, "00002_two.sql": mended}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Exec(t.Context(), `INSERT INTO two (id) VALUES ('a')`); err != nil {
			t.Errorf("the second step, mended: %v", err)
		}
	})
}
