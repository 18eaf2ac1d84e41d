package db

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// guardTime ends a statement or transaction whose context has no deadline, so
// that a database that has fallen silent costs its callers a quick 503 and not
// the server's own time limit. Nothing that a request asks takes a tenth of it.
const guardTime = 5 * time.Second

// Exec runs a statement and returns the number of rows it changed. It joins
// the transaction in ctx; without one it commits by itself.
func (d *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return d.exec(ctx, true, query, args)
}

// ExecRelaxed is Exec for what may be lost if the database itself crashes within
// the second after: everybody sees it at once, but PostgreSQL does not wait for the
// disk. In a transaction it is Exec.
func (d *DB) ExecRelaxed(ctx context.Context, query string, args ...any) (int64, error) {
	return d.exec(ctx, false, query, args)
}

func (d *DB) exec(ctx context.Context, durable bool, query string, args []any) (int64, error) {
	if err := checkText(query, args); err != nil {
		return 0, err
	}
	if t := d.txOf(ctx); t != nil {
		return t.exec(ctx, query, args)
	}
	var changed int64
	err := d.retry(ctx, func() (err error) {
		changed, err = d.execOnce(ctx, durable, query, args)
		return err
	})
	return changed, err
}

func (d *DB) execOnce(ctx context.Context, durable bool, query string, args []any) (int64, error) {
	if err := d.writes.acquire(ctx); err != nil {
		return 0, err
	}
	defer d.writes.release()
	ctx, cancel := guard(ctx)
	defer cancel()
	d.count.writes.Add(1)
	run := d.writes.conns.exec
	if !durable {
		run = d.writes.conns.execRelaxed
	}
	changed, err := run(ctx, query, args)
	if err != nil {
		return 0, classify(err)
	}
	d.count.commits.Add(1)
	return changed, nil
}

// ExecLater is Exec for a statement of a transaction whose row count nobody
// needs. PostgreSQL is told of it together with the next statement or with
// COMMIT, which saves a round trip; that one then fails if it does, and so does
// the transaction. Until then args must not change. Outside a transaction it is Exec.
func (d *DB) ExecLater(ctx context.Context, query string, args ...any) error {
	t := d.txOf(ctx)
	if t == nil {
		_, err := d.Exec(ctx, query, args...)
		return err
	}
	if err := checkText(query, args); err != nil {
		return err
	}
	return t.execLater(ctx, query, args)
}

// QueryRowLater is QueryRow for a statement of a transaction whose row the next
// statement does not depend on. PostgreSQL is told of it together with that one,
// or before COMMIT, which saves a round trip; only then is then given the row, which
// it must Scan. What then returns is the error of the next statement, or of the
// commit, and dooms the transaction. Until then args must not change. Outside a
// transaction, and on SQLite, all of it happens at once.
func (d *DB) QueryRowLater(ctx context.Context, then func(*Row) error, query string, args ...any) error {
	t := d.txOf(ctx)
	if t == nil {
		return then(d.QueryRow(ctx, query, args...))
	}
	if err := checkText(query, args); err != nil {
		return then(&Row{err: err})
	}
	return t.queryLater(ctx, query, args, then)
}

// Query runs a statement that returns rows. It joins the transaction in ctx,
// where the rows must be read to the end or closed before the next statement.
// Outside of one, a SELECT may run beside others and anything else commits by
// itself when its rows end.
func (d *DB) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	if err := checkText(query, args); err != nil {
		return nil, err
	}
	if t := d.txOf(ctx); t != nil {
		return t.query(ctx, query, args)
	}
	from, sent, commits := d.reads, &d.count.reads, false
	if !isSelect(query) {
		from, sent, commits = d.writes, &d.count.writes, true
	}
	if err := from.acquire(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := guard(ctx)
	if !isUnasked(ctx) {
		sent.Add(1)
	}
	rows, err := from.conns.query(ctx, query, args)
	if err != nil {
		cancel()
		from.release()
		return nil, classify(err)
	}
	return &Rows{rows: rows, ended: func(err error) {
		cancel()
		from.release()
		if commits && err == nil {
			d.count.commits.Add(1)
		}
	}}, nil
}

// QueryRow runs a statement that returns at most one row of interest. Errors
// wait for Scan, which must be called: it frees the connection.
func (d *DB) QueryRow(ctx context.Context, query string, args ...any) *Row {
	rows, err := d.Query(ctx, query, args...)
	return &Row{rows: rows, err: err}
}

// Row is the answer to QueryRow.
type Row struct {
	rows *Rows
	err  error
}

// Scan copies the row's columns into dest. It answers ErrNotFound if there is
// no row, ErrConflict or ErrUnavailable if the statement failed so.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNotFound
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Close() // a statement may still fail at its end
}

// Rows are the rows of a statement: defer Close, and ask Err after the last Next.
type Rows struct {
	rows  cursor
	err   error
	ended func(error) // frees the connection; nil when that was done
}

// Next prepares the next row for Scan; false at the end or after an error.
func (r *Rows) Next() bool {
	if r.rows.Next() {
		return true
	}
	r.end(r.rows.Err())
	return false
}

// Scan copies the current row's columns into dest.
func (r *Rows) Scan(dest ...any) error { return r.rows.Scan(dest...) }

// Err is the error that ended the rows early, if one did.
func (r *Rows) Err() error { return r.err }

// Close ends the statement and frees its connection. It may be called again.
func (r *Rows) Close() error {
	closed := r.rows.Close()
	err := r.rows.Err()
	if err == nil {
		err = closed
	}
	r.end(err)
	return r.err
}

func (r *Rows) end(err error) {
	if r.ended == nil {
		return
	}
	r.err = classify(err)
	r.ended(r.err)
	r.ended = nil
}

// guard gives ctx a deadline if it has none.
func guard(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, guardTime)
}

// isSelect reports whether a statement only reads. What it is unsure of counts
// as a write, which the writing connection runs just as well.
func isSelect(query string) bool {
	first, rest := firstWord(query)
	if strings.EqualFold(first, "SELECT") {
		return true
	}
	if !strings.EqualFold(first, "WITH") {
		return false
	}
	rest = strings.ToUpper(rest)
	return !strings.Contains(rest, "INSERT") && !strings.Contains(rest, "UPDATE") && !strings.Contains(rest, "DELETE")
}

func isInsert(query string) bool {
	first, _ := firstWord(query)
	return strings.EqualFold(first, "INSERT")
}

func firstWord(query string) (first, rest string) {
	query = strings.TrimLeft(query, " \t\r\n(")
	if end := strings.IndexAny(query, " \t\r\n("); end >= 0 {
		return query[:end], query[end:]
	}
	return query, ""
}

// checkText refuses what PostgreSQL cannot store, so that an id with a stray
// byte, which a stranger may well send, is no failure of the database.
func checkText(query string, args []any) error {
	for i, arg := range args {
		s, ok := arg.(string)
		if !ok || utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
			continue
		}
		if isInsert(query) {
			return fmt.Errorf("argument %d: %w", i+1, ErrText)
		}
		return fmt.Errorf("argument %d: %w: %w", i+1, ErrText, ErrNotFound)
	}
	return nil
}
