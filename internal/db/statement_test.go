package db_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestConflicts(t *testing.T) {
	const user = `INSERT INTO users (id, status, claims, created_at, updated_at) VALUES ($1, 'active', '{}', 0, 0)`
	const identifier = `INSERT INTO identifiers (kind, lookup, user_id, sealed, verified_at) VALUES ('phone', $1, $2, $3, 0)`
	const key = `INSERT INTO signing_keys (kid, alg, state, sealed, public_jwk, created_at) VALUES ($1, 'ES256', 'active', $2, '{}', 0)`
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		do := func(query string, args ...any) error {
			_, err := d.Exec(t.Context(), query, args...)
			return err
		}
		if err := errors.Join(do(user, "u1"), do(key, "k1", []byte{1})); err != nil {
			t.Fatal(err)
		}
		conflicts := map[string]error{
			"primary key":          do(user, "u1"),
			"foreign key":          do(identifier, []byte{1}, "nobody", []byte{1}),
			"partial unique index": do(key, "k2", []byte{1}),
			"in RETURNING":         d.QueryRow(t.Context(), user+` RETURNING id`, "u1").Scan(new(string)),
		}
		for name, err := range conflicts {
			if !errors.Is(err, db.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, err := range map[string]error{
			"check":    do(`UPDATE users SET status = 'odd'`),
			"not null": do(`UPDATE users SET status = NULL`),
			"syntax":   do(`UPDATE users SE`),
			"no table": do(`UPDATE nothing SET a = 1`),
		} {
			if err == nil || errors.Is(err, db.ErrConflict) || errors.Is(err, db.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		now := time.Date(2026, 3, 1, 12, 30, 0, 123456789, time.FixedZone("CST", 8*3600))
		_, err := d.Exec(t.Context(), `
			INSERT INTO sms_ledger (id, challenge_id, lookup, purpose, client_id, region, prefix, known_device, state,
				provider, provider_ref, reason, reserved_at, settled_at)
			VALUES ($1, $2, $3, 'login', '', 'CN', $3, $4, 'reserved', '', '', '', $5, $6)`,
			"id", "", []byte{0, 255}, true, db.Micros(now), nil)
		if err != nil {
			t.Fatal(err)
		}
		type row struct {
			Challenge string
			Lookup    []byte
			Known     bool
			Reserved  time.Time
			Settled   sql.NullInt64
		}
		var got row
		var reserved int64
		err = d.QueryRow(t.Context(), `SELECT challenge_id, lookup, known_device, reserved_at, settled_at FROM sms_ledger`).
			Scan(&got.Challenge, &got.Lookup, &got.Known, &reserved, &got.Settled)
		if err != nil {
			t.Fatal(err)
		}
		got.Reserved = db.Time(reserved)
		want := row{Lookup: []byte{0, 255}, Known: true, Reserved: time.Date(2026, 3, 1, 4, 30, 0, 123456000, time.UTC)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNilBytesAreNull(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for name, value := range map[string][]byte{"nil": nil, "empty": {}} {
			_, err := d.Exec(t.Context(), `INSERT INTO settings (name, value) VALUES ($1, $2)`, name, value)
			if refused := err != nil; refused != (value == nil) {
				t.Errorf("%s in a column that is NOT NULL: %v", name, err)
			}
		}
	})
}

// Arguments may be used twice and out of order, as shared statements do.
func TestPlaceholdersAreNumbers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for _, name := range []string{"a", "b", "c"} {
			if err := insert(t.Context(), d, name); err != nil {
				t.Fatal(err)
			}
		}
		rows, err := d.Query(t.Context(), `
			SELECT name FROM settings WHERE name > $2 AND name >= $1 AND name <> $2 ORDER BY name`, "b", "a")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var names []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		if rows.Err() != nil || !slices.Equal(names, []string{"b", "c"}) {
			t.Errorf("%v, %v", names, rows.Err())
		}
	})
}

func TestCountersAreExact(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		start := d.Counters()
		var n int
		do := func(errs ...error) {
			t.Helper()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		do(insert(t.Context(), d, "a"))                                                           // write, commit
		do(d.QueryRow(t.Context(), "\n\t SELECT count(*) FROM settings").Scan(&n))                // read
		do(d.QueryRow(t.Context(), `UPDATE settings SET name = 'b' RETURNING 1`).Scan(&n))        // write, commit
		_ = d.QueryRow(t.Context(), `DELETE FROM settings WHERE name = 'x' RETURNING 1`).Scan(&n) // write, commit
		_ = insert(t.Context(), d, "b")                                                           // write, refused
		do(d.Tx(t.Context(), func(ctx context.Context) error {                                    // commit
			return errors.Join(
				d.QueryRow(ctx, `SELECT count(*) FROM settings`).Scan(&n), // in the transaction
				insert(ctx, d, "c"),  // the same
				d.Touch(ctx, "keys")) // the same
		}))
		_ = d.Tx(t.Context(), func(ctx context.Context) error { // rolled back
			do(insert(ctx, d, "d")) // in the transaction
			return errors.New("refused")
		})
		end := d.Counters()
		got := db.Counters{
			Reads:        end.Reads - start.Reads,
			Writes:       end.Writes - start.Writes,
			TxStatements: end.TxStatements - start.TxStatements,
			Commits:      end.Commits - start.Commits,
		}
		if diff := cmp.Diff(db.Counters{Reads: 1, Writes: 4, TxStatements: 4, Commits: 4}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTextThatCannotBeStoredIsRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for _, bad := range []string{"a\x00b", "\xff", "\xed\xa0\x80"} {
			var value []byte
			err := d.QueryRow(t.Context(), `SELECT value FROM settings WHERE name = $1`, bad).Scan(&value)
			if !errors.Is(err, db.ErrNotFound) || !errors.Is(err, db.ErrText) {
				t.Errorf("SELECT %q: %v", bad, err)
			}
			if strings.Contains(err.Error(), bad) {
				t.Errorf("%q is repeated", bad)
			}
			if err := insert(t.Context(), d, bad); !errors.Is(err, db.ErrText) || errors.Is(err, db.ErrNotFound) {
				t.Errorf("INSERT %q: %v", bad, err)
			}
			err = d.Tx(t.Context(), func(ctx context.Context) error {
				if _, err := d.Exec(ctx, `DELETE FROM settings WHERE name = $1`, bad); !errors.Is(err, db.ErrNotFound) {
					t.Errorf("DELETE %q: %v", bad, err)
				}
				return d.Touch(ctx, "goes on")
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestIsSelect(t *testing.T) {
	for query, want := range map[string]bool{
		"SELECT 1":                             true,
		"\n\tselect\n":                         true,
		"(SELECT 1) UNION SELECT 2":            true,
		"WITH a AS (SELECT 1) SELECT * FROM a": true,
		"WITH a AS (DELETE FROM settings RETURNING name) SELECT * FROM a":   false,
		"WITH a AS (SELECT 1) UPDATE settings SET name = (SELECT * FROM a)": false,
		"INSERT INTO settings SELECT * FROM settings":                       false,
		"DELETE FROM settings": false,
		"SELECTED":             false,
		"":                     false,
	} {
		if got := db.IsSelect(query); got != want {
			t.Errorf("%q: %v", query, got)
		}
	}
}

func TestErrorsCarryNoValues(t *testing.T) {
	const secret = "+8613800138000"
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		if err := insert(t.Context(), d, secret); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			insert(t.Context(), d, secret),
			d.QueryRow(t.Context(), `SELECT CAST(name AS BIGINT) / 0 FROM settings WHERE name = $1`, secret+"x").Scan(new(int)),
			func() error {
				_, err := d.Exec(t.Context(), `UPDATE users SET status = $1 WHERE CAST('x' || $1 AS BIGINT) = 1`, secret)
				return err
			}(),
			func() error {
				_, err := d.Exec(t.Context(), `INSERT INTO users (id, status, claims, created_at, updated_at) VALUES ('a', $1, '', 0, 0)`, secret)
				return err
			}(),
		} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Error(err)
			}
		}
	})
}

func TestCancelledContextIsNoOutage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var n int
		for _, err := range []error{
			insert(ctx, d, "a"),
			d.QueryRow(ctx, `SELECT 1`).Scan(&n),
		} {
			if !errors.Is(err, context.Canceled) || errors.Is(err, db.ErrUnavailable) {
				t.Errorf("cancelled: %v", err)
			}
		}
		ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		if err := insert(ctx, d, "a"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, db.ErrUnavailable) {
			t.Errorf("too late: %v", err)
		}
		if n := count(t, d); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestNewIDsAreUniqueAndSorted(t *testing.T) {
	last := ""
	for range 10000 {
		id := db.NewID()
		if id <= last || len(id) != 36 {
			t.Fatalf("%q after %q", id, last)
		}
		last = id
	}
}
