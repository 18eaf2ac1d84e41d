// Package db is one handle over SQLite and PostgreSQL, and the only importer of
// their drivers.
//
// Both engines run the same SQL text: $N placeholders, TEXT ids made in Go,
// times as BIGINT microseconds that are passed as arguments, JSON as TEXT,
// ON CONFLICT, RETURNING, keyset paging. What must happen once is a conditional
// UPDATE or DELETE whose row count is checked; both engines give exactly one of
// many racers the row.
//
// A transaction rides in the context that [DB.Tx] hands to its function, so a
// feature never knows whether its caller opened one. Reads outside a
// transaction may run at once; SQLite has one writer, so what writes there
// queues.
//
// The package fails with few errors: [ErrNotFound], [ErrConflict] and
// [ErrUnavailable], which an HTTP answer can be made of, and anything else,
// which is a mistake in the program. No error repeats an argument's value.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Engine is the database behind a handle.
type Engine string

// The two engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// DB is a handle that is safe for many goroutines. Open makes one.
type DB struct {
	engine Engine
	file   string // SQLite's file, as a path
	reads  *pool
	writes *pool   // the same pool as reads on PostgreSQL
	goose  *sql.DB // for migrations
	count  counters
	close  func() error
}

// Open connects to the database that url names, sqlite:path or postgres://...,
// and asks it one question, so that a wrong address fails here. SQLite's file
// and its directory are made if they are missing, readable by the owner alone.
// The schema is left as it is: see Migrate.
//
// A PostgreSQL URL takes what pgx takes; pool_max_conns bounds the connections
// (three for each core, at least 6, unless it says otherwise).
func Open(ctx context.Context, url string, options ...Option) (*DB, error) {
	var s settings
	for _, o := range options {
		o(&s)
	}
	scheme, rest, _ := strings.Cut(url, ":")
	switch scheme {
	case "sqlite":
		return openSQLite(ctx, strings.TrimPrefix(rest, "//"), s)
	case "postgres", "postgresql":
		return openPostgres(ctx, url)
	}
	// The URL may hold a password, so the error does not repeat it.
	return nil, errors.New("open database: the URL must begin with sqlite: or postgres://")
}

// Option changes how Open opens.
type Option func(*settings)

type settings struct {
	relaxed bool
}

// Relaxed lets SQLite answer before its last commits are on the disk: after a
// power loss they may be missing, though the file stays whole. It is for state
// that may be lost, in a file of its own. PostgreSQL ignores it.
func Relaxed(s *settings) { s.relaxed = true }

// Engine says which database this is.
func (d *DB) Engine() Engine { return d.engine }

// Close closes every connection; statements that run are waited for.
func (d *DB) Close() error { return d.close() }

// Ping asks the database for a sign of life. It takes no connection that a
// request could wait for, so a busy pool is not an outage.
func (d *DB) Ping(ctx context.Context) error {
	if err := d.reads.conns.ping(ctx); err != nil {
		return fmt.Errorf("ping database: %w", classify(err))
	}
	return nil
}

// Micros is t as the BIGINT columns keep it: microseconds since 1970.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// Time is the reverse of Micros, in UTC.
func Time(us int64) time.Time { return time.UnixMicro(us).UTC() }

// NewID is a UUIDv7 as text: unique, and sorted by the time it was made.
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic(fmt.Sprintf("no randomness: %v", err)) // the operating system cannot even do this
	}
	return id.String()
}

// conns are the connections of an engine. Its errors are the driver's.
type conns interface {
	exec(ctx context.Context, query string, args []any) (changed int64, err error)
	execRelaxed(ctx context.Context, query string, args []any) (changed int64, err error)
	query(ctx context.Context, query string, args []any) (cursor, error)
	begin(life context.Context) (transaction, error) // life bounds BEGIN, COMMIT and ROLLBACK
	ping(ctx context.Context) error
}

// transaction is one that has begun. Either commit or rollback ends it, and after a
// failed commit there is nothing to roll back.
type transaction interface {
	exec(ctx context.Context, query string, args []any) (changed int64, err error)
	execLater(ctx context.Context, query string, args []any) error
	queryLater(ctx context.Context, query string, args []any, then func(cursor) error) error
	query(ctx context.Context, query string, args []any) (cursor, error)
	commit() error
	rollback() // a connection that cannot is dropped
}

// cursor goes through the rows of a statement.
type cursor interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// pool is connections of one kind with a bounded wait for them.
type pool struct {
	conns conns
	slots chan struct{}
	wait  time.Duration
}

var errPoolExhausted = errors.New("no free connection")

// newPool lets size statements or transactions use c at once.
func newPool(c conns, size int, wait time.Duration) *pool {
	return &pool{conns: c, slots: make(chan struct{}, size), wait: wait}
}

// acquire waits for a connection's turn, at most the pool's patience, and
// fails with ErrUnavailable then: a request that queues longer had better be
// told to come back. Who acquires must release.
func (p *pool) acquire(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return fmt.Errorf("%w: %w in %v", ErrUnavailable, errPoolExhausted, p.wait)
	case <-ctx.Done():
		return classify(ctx.Err())
	}
}

func (p *pool) release() { <-p.slots }
