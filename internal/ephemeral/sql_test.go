//go:build unix

package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// eachSQL runs f on every engine, on SQLite with the file that servers use.
func eachSQL(t *testing.T, f func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, sqlite(t)) })
	if dbtest.HasPostgres(t) {
		t.Run("postgres", func(t *testing.T) { f(t, dbtest.OpenPostgres(t)) })
	}
}

func TestReplicasCreateTablesTogether(t *testing.T) {
	eachSQL(t, func(t *testing.T, d *db.DB) {
		race(16, func(int) {
			s, err := OpenSQL(t.Context(), d)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
		s := onSQL(t, d)
		if first, err := s.Mark(t.Context(), "kind", "key", time.Minute); !first || err != nil {
			t.Fatal(first, err)
		}
	})
}

func TestPostgresTablesAreUnlogged(t *testing.T) {
	if !dbtest.HasPostgres(t) {
		return
	}
	d := dbtest.OpenPostgres(t)
	onSQL(t, d)
	var unlogged, all int
	err := d.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE relpersistence = 'u'), count(*)
		FROM pg_class WHERE relkind = 'r' AND relname LIKE 'ephemeral%'`).Scan(&unlogged, &all)
	if unlogged != 5 || all != 5 || err != nil {
		t.Fatalf("%d of %d tables are unlogged, %v", unlogged, all, err)
	}
}

// A Take must not come back with the caller's transaction.
func TestStepsStayOutsideTheCallersTransaction(t *testing.T) {
	eachSQL(t, func(t *testing.T, d *db.DB) {
		if d.Engine() == db.SQLite {
			return // a second file: its handle never carries the caller's transaction
		}
		s := onSQL(t, d)
		id := put(t, s, "kind", "value", time.Minute)
		limits := []Limit{{Key: "key", Max: 1, Per: time.Hour}}
		undone := errors.New("undone")
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			if _, err := s.Take(ctx, "kind", id, nil, 0); err != nil {
				t.Error(err)
			}
			if first, err := s.Mark(ctx, "kind", "key", time.Minute); !first || err != nil {
				t.Error(first, err)
			}
			if d, err := s.Spend(ctx, limits); !d.Allowed || err != nil {
				t.Error(d, err)
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if _, err := s.Take(t.Context(), "kind", id, nil, 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("second take: %v", err)
		}
		if first, err := s.Mark(t.Context(), "kind", "key", time.Minute); first || err != nil {
			t.Errorf("second mark: %v, %v", first, err)
		}
		wantSpend(t, s, limits, false)
	})
}

func TestPurgeDeletesOnlyWhatHasExpired(t *testing.T) {
	eachSQL(t, func(t *testing.T, d *db.DB) {
		s := onSQL(t, d)
		c := newClock()
		c.set(s)
		const n = 3
		for i := range n {
			for _, life := range []time.Duration{time.Minute, time.Hour} {
				key := fmt.Sprint(i, life)
				put(t, s, "kind", "value", life)
				if _, err := s.Mark(t.Context(), "kind", key, life); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Add(t.Context(), key, 1, life); err != nil {
					t.Fatal(err)
				}
				wantSpend(t, s, []Limit{{Key: key, Max: 1, Per: life}}, true)
			}
		}
		later := c.t.Add(10 * time.Minute)
		for _, want := range []int64{4 * n, 0} {
			if got, err := s.Purge(t.Context(), later); got != want || err != nil {
				t.Fatalf("purged %d, %v; want %d", got, err, want)
			}
		}
		if got, err := s.Purge(t.Context(), c.t.Add(3*time.Hour)); got != 4*n || err != nil {
			t.Fatalf("purged %d, %v; want %d", got, err, 4*n)
		}
	})
}

func TestPurgeGoesOnInBatches(t *testing.T) {
	s := onSQL(t, sqlite(t))
	const n = 2*purgeBatch + 1
	_, err := s.db.Exec(t.Context(), `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO ephemeral_marks (key, expires_at) SELECT 'key ' || i, i FROM n`, n)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Purge(t.Context(), time.Now()); got != n || err != nil {
		t.Fatalf("purged %d, %v; want %d", got, err, n)
	}
}

func TestPurgeRunsByItself(t *testing.T) {
	d := sqlite(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := OpenSQL(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		put(t, s, "kind", "value", time.Minute)
		kept := put(t, s, "kind", "value", time.Hour)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		var rows int
		if err := d.QueryRow(t.Context(), `SELECT count(*) FROM ephemeral_items`).Scan(&rows); rows != 1 || err != nil {
			t.Fatalf("%d rows, %v", rows, err)
		}
		if _, err := s.Get(t.Context(), "kind", kept); err != nil {
			t.Fatal(err)
		}
	})
}

// SQLite may lose a Take in a power loss; then its item must not be there either.
func TestSQLiteItemsAreVoidAfterAnotherBoot(t *testing.T) {
	for _, c := range []struct {
		before, after string
		survives      bool
	}{{"one", "one", true}, {"one", "two", false}, {"", "", false}, {"one", "", false}} {
		d := sqlite(t)
		first, err := openSQL(t.Context(), d, c.before, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		item, taken := put(t, first, "kind", "value", time.Minute), put(t, first, "kind", "value", time.Minute)
		if _, err := first.Take(t.Context(), "kind", taken, []byte("tombstone"), time.Minute); err != nil {
			t.Fatal(err)
		}
		if ok, err := first.Mark(t.Context(), "kind", "key", time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
		first.Close()

		second, err := openSQL(t.Context(), d, c.after, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := second.Get(t.Context(), "kind", item); (err == nil) != c.survives {
			t.Errorf("boot %q, then %q: %v", c.before, c.after, err)
		}
		got, err := second.Get(t.Context(), "kind", taken)
		wantItem(t, got, err, "tombstone", ErrUsed)
		if ok, err := second.Mark(t.Context(), "kind", "key", time.Minute); ok || err != nil {
			t.Errorf("the mark is gone: %v, %v", ok, err)
		}
		second.Close()
	}
}

func TestOnlyOutagesOfSQLAreUnavailable(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("busy: %w", db.ErrUnavailable), true},
		{context.Canceled, true},
		{context.DeadlineExceeded, true},
		{db.ErrConflict, false},
		{errors.New("no such table"), false},
	} {
		err := sqlError("take", c.err)
		if errors.Is(err, ErrUnavailable) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v became %v", c.err, err)
		}
	}
}
