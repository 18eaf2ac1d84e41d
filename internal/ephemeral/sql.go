package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

const (
	purgeInterval = time.Minute
	purgeBatch    = 1000 // rows of one statement: a few milliseconds of SQLite's one writer
)

// SQL is a Store in tables of its own. OpenSQL makes one.
//
// On PostgreSQL they are unlogged tables in the main database, so that a
// statement writes nothing to the disk. On SQLite they belong in a second file,
// opened with [db.Relaxed]. Expiry is a stored time, compared with this process's clock.
type SQL struct {
	db    *db.DB
	now   func() time.Time
	trips atomic.Int64

	stop   context.CancelFunc
	purger sync.WaitGroup
}

// OpenSQL makes the tables that are missing and starts to purge what has
// expired, about once a minute. The handle stays the caller's: close it after
// the Store.
func OpenSQL(ctx context.Context, d *db.DB) (*SQL, error) {
	return openSQL(ctx, d, bootID(), time.Now)
}

func openSQL(ctx context.Context, d *db.DB, boot string, now func() time.Time) (*SQL, error) {
	s := &SQL{db: d, now: now}
	if err := s.createTables(ctx); err != nil {
		return nil, fmt.Errorf("create ephemeral tables: %w", err)
	}
	if d.Engine() == db.SQLite {
		if err := s.voidItemsOfOtherBoot(ctx, boot); err != nil {
			return nil, fmt.Errorf("void ephemeral items: %w", err)
		}
	}
	life, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.purger.Go(func() { s.purgeUntil(life) })
	return s, nil
}

// Close ends the purge. The database handle stays open.
func (s *SQL) Close() error {
	s.stop()
	s.purger.Wait()
	return nil
}

// Ping asks the database for a sign of life.
func (s *SQL) Ping(ctx context.Context) error {
	if err := s.db.Ping(ctx); err != nil {
		return sqlError("ping", err)
	}
	return nil
}

// RoundTrips counts statements, BEGIN and COMMIT.
func (s *SQL) RoundTrips() int64 { return s.trips.Load() }

// tables are made in this order. They are disposable and no part of the
// migrations: a release that needs another shape takes other names.
const tables = `
CREATE TABLE ephemeral_items (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    value      BYTEA NOT NULL,
    tombstone  BYTEA,           -- not null once the item was taken
    expires_at BIGINT NOT NULL
);
CREATE INDEX ephemeral_items_expiry ON ephemeral_items (expires_at);
CREATE TABLE ephemeral_marks (
    key        TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX ephemeral_marks_expiry ON ephemeral_marks (expires_at);
CREATE TABLE ephemeral_counters (
    key        TEXT PRIMARY KEY,
    total      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX ephemeral_counters_expiry ON ephemeral_counters (expires_at);
CREATE TABLE ephemeral_limits (
    key        TEXT PRIMARY KEY,
    log        TEXT NOT NULL,   -- see spendLog
    expires_at BIGINT NOT NULL
);
CREATE INDEX ephemeral_limits_expiry ON ephemeral_limits (expires_at);
CREATE TABLE ephemeral_boot (
    id TEXT NOT NULL
)`

// createTables looks first: a role that may not create anything can then still
// run on tables that an operator has made. Racing replicas wait for each other.
func (s *SQL) createTables(ctx context.Context) error {
	if ready, err := s.tablesExist(ctx); ready || err != nil {
		return err
	}
	return s.db.Tx(ctx, func(ctx context.Context) error {
		create := "CREATE TABLE"
		if s.db.Engine() == db.Postgres {
			create = "CREATE UNLOGGED TABLE"
			if _, err := s.db.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('dialtone ephemeral tables'))`); err != nil {
				return err
			}
		}
		if ready, err := s.tablesExist(ctx); ready || err != nil {
			return err
		}
		for statement := range strings.SplitSeq(tables, ";") {
			statement = strings.Replace(statement, "CREATE TABLE", create, 1)
			if _, err := s.db.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// tablesExist looks for the last one: all are made in one transaction.
func (s *SQL) tablesExist(ctx context.Context) (bool, error) {
	query := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'ephemeral_boot'`
	if s.db.Engine() == db.Postgres {
		query = `SELECT count(*) FROM pg_class WHERE oid = to_regclass('ephemeral_boot')`
	}
	var n int
	err := s.db.QueryRow(ctx, query).Scan(&n)
	return n > 0, err
}

// voidItemsOfOtherBoot keeps taken items taken. SQLite answers before its
// commits are on the disk, so a power loss may undo a Take but not the Put
// before it. Such a file is from another boot of the machine, or from an unknown
// one; its items are void, its tombstones and marks still count.
func (s *SQL) voidItemsOfOtherBoot(ctx context.Context, boot string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		var last string
		err := s.db.QueryRow(ctx, `SELECT id FROM ephemeral_boot`).Scan(&last)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
		if boot != "" && boot == last {
			return nil
		}
		for _, statement := range []string{
			`DELETE FROM ephemeral_items WHERE tombstone IS NULL`,
			`DELETE FROM ephemeral_boot`,
		} {
			if _, err := s.db.Exec(ctx, statement); err != nil {
				return err
			}
		}
		_, err = s.db.Exec(ctx, `INSERT INTO ephemeral_boot (id) VALUES ($1)`, boot)
		return err
	})
}

// bootID changes whenever the machine starts; empty where nobody knows.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

func (s *SQL) purgeUntil(ctx context.Context) {
	for {
		// Replicas share the work better if they do not start together.
		pause := time.NewTimer(purgeInterval/2 + rand.N(purgeInterval))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		if _, err := s.Purge(ctx, s.now()); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "ephemeral rows that have expired stay for now", "error", err)
		}
	}
}

// Purge deletes what had expired at now, in batches, and returns how many rows
// that were. It runs by itself; what has expired is invisible even before.
func (s *SQL) Purge(ctx context.Context, now time.Time) (int64, error) {
	var total int64
	// The outer condition is looked at again if a row has changed under the
	// statement, the inner one is not.
	for _, statement := range []string{
		`DELETE FROM ephemeral_items WHERE expires_at <= $1 AND id IN (
			SELECT id FROM ephemeral_items WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
		`DELETE FROM ephemeral_marks WHERE expires_at <= $1 AND key IN (
			SELECT key FROM ephemeral_marks WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
		`DELETE FROM ephemeral_counters WHERE expires_at <= $1 AND key IN (
			SELECT key FROM ephemeral_counters WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
		`DELETE FROM ephemeral_limits WHERE expires_at <= $1 AND key IN (
			SELECT key FROM ephemeral_limits WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
	} {
		for {
			n, err := s.db.Exec(ctx, statement, db.Micros(now), purgeBatch)
			if err != nil {
				return total, sqlError("purge", err)
			}
			total += n
			if n < purgeBatch {
				break
			}
		}
	}
	return total, nil
}

// sqlError adds what was tried. What the caller may heal by trying again is ErrUnavailable.
func sqlError(tried string, err error) error {
	if errors.Is(err, db.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, tried, err)
	}
	return fmt.Errorf("ephemeral: %s: %w", tried, err)
}

// apart is a context without values, so without the transaction that may ride
// in it. It ends when the context it is made of does.
type apart struct{ context.Context }

func (apart) Value(any) any { return nil }
