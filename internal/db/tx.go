package db

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	retries   = 3
	retryTime = 5 * time.Second // nothing is run again later than this
)

// Tx runs fn in one transaction, which rides in the context that fn is given:
// statements with that context belong to it, and a Tx inside joins it. It is
// committed when fn returns nil, and rolled back on an error or a panic.
//
// A statement that fails dooms the transaction, on both engines alike, and so
// does an error from a joined Tx: what was done cannot be taken back in part.
// ErrNotFound from a row is no failure. Once fn has returned nil the commit is
// made although ctx may have ended meanwhile.
//
// Serialization failures, deadlocks and a busy SQLite are run again, at most 3
// times, so fn must not do what cannot be repeated; then ErrUnavailable.
func (d *DB) Tx(ctx context.Context, fn func(ctx context.Context) error) error {
	if t := d.txOf(ctx); t != nil {
		if err := fn(ctx); err != nil {
			return t.doom(err)
		}
		return nil
	}
	return d.retry(ctx, func() error { return d.runTx(ctx, fn) })
}

func (d *DB) runTx(ctx context.Context, fn func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return classify(err)
	}
	if err := d.writes.acquire(ctx); err != nil {
		return err
	}
	defer d.writes.release()

	// COMMIT and ROLLBACK must not be broken off by a client that hangs up, so
	// the transaction lives under a time limit of its own.
	life, cancel := context.WithTimeout(context.WithoutCancel(ctx), guardTime)
	defer cancel()
	begun, err := d.writes.conns.begin(life)
	if err != nil {
		return fmt.Errorf("begin: %w", classify(err))
	}
	committed := false
	defer func() { // on panics and runtime.Goexit as well
		if !committed {
			begun.rollback()
		}
	}()
	ctx, stop := guard(ctx)
	defer stop()
	t := &tx{tx: begun, count: &d.count}
	err = fn(context.WithValue(ctx, txKey{d}, t))
	if failure := t.failure(); failure != nil && (err == nil || again(failure)) {
		return failure
	}
	if err != nil {
		return err
	}
	committed = true // or lost: there is nothing to roll back
	if err := begun.commit(); err != nil {
		return fmt.Errorf("commit: %w", classify(err))
	}
	d.count.commits.Add(1)
	for _, do := range t.after {
		do()
	}
	return nil
}

// AfterCommit calls do once the transaction in ctx is committed, and never if it
// is rolled back; without a transaction, at once. It is for counting what has
// happened: do must return at once and cannot fail.
func (d *DB) AfterCommit(ctx context.Context, do func()) {
	t := d.txOf(ctx)
	if t == nil {
		do()
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.after = append(t.after, do)
}

// retry runs work again while it fails with what the next run may not meet.
func (d *DB) retry(ctx context.Context, work func() error) error {
	start := time.Now()
	for run := 0; ; run++ {
		err := work()
		if !again(err) {
			return err
		}
		if run == retries || time.Since(start) > retryTime {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		// Jitter parts those who collided.
		pause := time.NewTimer(time.Duration(1+rand.IntN(10<<run)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return classify(ctx.Err())
		}
	}
}

// txKey finds the transaction of one handle: two databases never share one.
type txKey struct{ db *DB }

// InTx reports whether ctx carries a transaction, for work that must be durable
// before it goes on and so cannot be part of one.
func (d *DB) InTx(ctx context.Context) bool { return d.txOf(ctx) != nil }

func (d *DB) txOf(ctx context.Context) *tx {
	t, _ := ctx.Value(txKey{d}).(*tx)
	return t
}

// tx is a transaction in progress.
type tx struct {
	tx    transaction
	count *counters

	mu     sync.Mutex
	failed error // the first failure; nothing runs after it
	open   bool  // rows are not closed yet
	after  []func()
}

var errOpenRows = errors.New("the rows of the last query are still open")

// enter admits a statement. SQLite would take one beside open rows or after a
// failure, PostgreSQL would not; so neither does.
func (t *tx) enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil {
		return fmt.Errorf("transaction failed before: %w", t.failed)
	}
	if t.open {
		return errOpenRows
	}
	t.count.txStatements.Add(1)
	return nil
}

// doom remembers the first failure and returns err.
func (t *tx) doom(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil {
		t.failed = err
	}
	return err
}

func (t *tx) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

func (t *tx) exec(ctx context.Context, query string, args []any) (int64, error) {
	if err := t.enter(); err != nil {
		return 0, err
	}
	changed, err := t.tx.exec(ctx, query, args)
	if err != nil {
		return 0, t.doom(classify(err))
	}
	return changed, nil
}

func (t *tx) execLater(ctx context.Context, query string, args []any) error {
	if err := t.enter(); err != nil {
		return err
	}
	if err := t.tx.execLater(ctx, query, args); err != nil {
		return t.doom(classify(err))
	}
	return nil
}

func (t *tx) queryLater(ctx context.Context, query string, args []any, then func(*Row) error) error {
	if err := t.enter(); err != nil {
		return err
	}
	err := t.tx.queryLater(ctx, query, args, func(rows cursor) error {
		return then(&Row{rows: &Rows{rows: rows, ended: func(error) {}}})
	})
	if err != nil {
		return t.doom(classify(err))
	}
	return nil
}

func (t *tx) query(ctx context.Context, query string, args []any) (*Rows, error) {
	if err := t.enter(); err != nil {
		return nil, err
	}
	rows, err := t.tx.query(ctx, query, args)
	if err != nil {
		return nil, t.doom(classify(err))
	}
	t.setOpen(true)
	return &Rows{rows: rows, ended: func(err error) {
		t.setOpen(false)
		if err != nil {
			_ = t.doom(err)
		}
	}}, nil
}

func (t *tx) setOpen(open bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = open
}
