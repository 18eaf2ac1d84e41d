package db

import (
	"cmp"
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgConns are the connections of a pgx pool.
type pgConns struct{ pool *pgxpool.Pool }

func (c pgConns) exec(ctx context.Context, query string, args []any) (int64, error) {
	tag, err := c.pool.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}

// execRelaxed sends both statements with one Sync, which makes them one transaction.
func (c pgConns) execRelaxed(ctx context.Context, query string, args []any) (int64, error) {
	var batch pgx.Batch
	batch.Queue("SELECT set_config('synchronous_commit', 'off', true)")
	batch.Queue(query, args...)
	results := c.pool.SendBatch(ctx, &batch)
	_, err := results.Exec()
	if err != nil {
		_ = results.Close() // it fails with the same
		return 0, err
	}
	tag, err := results.Exec()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return tag.RowsAffected(), err
}

func (c pgConns) query(ctx context.Context, query string, args []any) (cursor, error) {
	rows, err := c.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return &pgRows{Rows: rows}, nil
}

func (c pgConns) ping(ctx context.Context) error { return c.pool.Ping(ctx) }

func (c pgConns) begin(life context.Context) (transaction, error) {
	conn, err := c.pool.Acquire(life)
	if err != nil {
		return nil, err
	}
	t := &pgTx{conn: conn, life: life}
	t.queue("BEGIN", nil, nil)
	return t, nil
}

// pgTx sends what needs no answer of its own together with the next statement
// that does: BEGIN always, execLater's and queryLater's too. Statements still run
// one after the other, each with a snapshot of its own (READ COMMITTED).
type pgTx struct {
	conn   *pgxpool.Conn
	life   context.Context //nolint:containedctx // of COMMIT and ROLLBACK, which no caller's context may break off
	queued pgx.Batch
	thens  []func(cursor) error // who reads the rows of each queued statement, nil for nobody
	asked  bool                 // one of them is not nil
	begun  bool                 // the server has been sent something
}

func (t *pgTx) queue(query string, args []any, then func(cursor) error) {
	t.queued.Queue(query, args...)
	t.thens, t.asked = append(t.thens, then), t.asked || then != nil
}

// send hands the queue over and reads the answers of all but the last few statements.
func (t *pgTx) send(ctx context.Context, leave int) (pgx.BatchResults, error) {
	batch, thens := t.queued, t.thens
	t.queued, t.thens, t.asked, t.begun = pgx.Batch{}, nil, false, true
	results := t.conn.SendBatch(ctx, &batch)
	for _, then := range thens[:len(thens)-leave] {
		if err := settle(results, then); err != nil {
			_ = results.Close()
			return nil, err
		}
	}
	return results, nil
}

// settle reads the answer of the next statement of a batch.
func settle(results pgx.BatchResults, then func(cursor) error) error {
	if then == nil {
		_, err := results.Exec()
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	return then(&pgRows{Rows: rows})
}

// run sends a statement that brings no rows, after what is queued.
func (t *pgTx) run(ctx context.Context, query string, args []any) (pgconn.CommandTag, error) {
	if t.queued.Len() == 0 {
		return t.conn.Exec(ctx, query, args...)
	}
	t.queue(query, args, nil)
	results, err := t.send(ctx, 1)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := results.Exec()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return tag, err
}

func (t *pgTx) exec(ctx context.Context, query string, args []any) (int64, error) {
	tag, err := t.run(ctx, query, args)
	return tag.RowsAffected(), err
}

func (t *pgTx) execLater(_ context.Context, query string, args []any) error {
	t.queue(query, args, nil)
	return nil
}

func (t *pgTx) queryLater(_ context.Context, query string, args []any, then func(cursor) error) error {
	t.queue(query, args, then)
	return nil
}

func (t *pgTx) query(ctx context.Context, query string, args []any) (cursor, error) {
	if t.queued.Len() == 0 {
		rows, err := t.conn.Query(ctx, query, args...)
		if err != nil {
			return nil, err
		}
		return &pgRows{Rows: rows}, nil
	}
	t.queue(query, args, nil)
	results, err := t.send(ctx, 1)
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close() // it fails with the same
		return nil, err
	}
	return &pgRows{Rows: rows, batch: results}, nil
}

var errNotCommitted = errors.New("the transaction was rolled back")

func (t *pgTx) commit() error {
	if !t.begun && t.queued.Len() == 1 { // BEGIN alone
		t.conn.Release()
		return nil
	}
	tag, err := t.finish()
	if err == nil && tag.String() != "COMMIT" { // that is how a failed transaction answers
		err = errNotCommitted
	}
	if err != nil {
		t.rollback()
		return err
	}
	t.conn.Release()
	return nil
}

// finish sends COMMIT with what is queued, unless an answer may yet speak against it.
func (t *pgTx) finish() (pgconn.CommandTag, error) {
	if t.asked {
		results, err := t.send(t.life, 0)
		if err != nil {
			return pgconn.CommandTag{}, err
		}
		if err := results.Close(); err != nil {
			return pgconn.CommandTag{}, err
		}
	}
	return t.run(t.life, "COMMIT", nil)
}

func (t *pgTx) rollback() {
	if t.begun {
		_, _ = t.conn.Exec(t.life, "ROLLBACK") // if this fails Release drops the connection
	}
	t.conn.Release()
}

// pgRows are the rows of a statement, and of the batch that brought it if there
// was one.
type pgRows struct {
	pgx.Rows
	batch pgx.BatchResults
	err   error // of the end of the batch
}

// Next ends the batch with the last row: nothing else can run before.
func (r *pgRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	_ = r.Close() // Err tells
	return false
}

func (r *pgRows) Err() error { return cmp.Or(r.Rows.Err(), r.err) }

func (r *pgRows) Close() error {
	r.Rows.Close()
	if r.batch != nil {
		r.err, r.batch = r.batch.Close(), nil
	}
	return r.Err()
}
