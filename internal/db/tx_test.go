package db_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// insert adds a row to settings; count counts them.
func insert(ctx context.Context, d *db.DB, name string) error {
	_, err := d.Exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)`, name, []byte{1})
	return err
}

func count(t testing.TB, d *db.DB) int {
	t.Helper()
	var n int
	if err := d.QueryRow(context.Background(), `SELECT count(*) FROM settings`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTxCommits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			if err := insert(ctx, d, "a"); err != nil {
				return err
			}
			if !d.InTx(ctx) || d.InTx(t.Context()) {
				t.Error("InTx is wrong")
			}
			if n := count(t, d); n != 0 {
				t.Errorf("another connection sees %d uncommitted rows", n)
			}
			return insert(ctx, d, "b")
		})
		if err != nil || count(t, d) != 2 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
	})
}

func TestTxRollsBackOnErrorAndPanicAndExit(t *testing.T) {
	refused := errors.New("refused")
	endings := map[string]func() error{
		"error": func() error { return refused },
		"panic": func() error { panic("on purpose") },
		"exit":  func() error { runtime.Goexit(); return nil },
	}
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *db.DB) {
				var err error
				var recovered any
				var wg sync.WaitGroup
				wg.Go(func() { // of its own, for Goexit
					defer func() { recovered = recover() }()
					err = d.Tx(t.Context(), func(ctx context.Context) error {
						if err := insert(ctx, d, "a"); err != nil {
							t.Error(err)
						}
						return end()
					})
				})
				wg.Wait()
				if name == "error" && !errors.Is(err, refused) {
					t.Errorf("err = %v", err)
				}
				if name == "panic" && recovered != "on purpose" {
					t.Errorf("recovered = %v", recovered)
				}
				if n := count(t, d); n != 0 {
					t.Errorf("%d rows are left", n)
				}
				// The connection is fit for use again.
				if err := insert(t.Context(), d, "b"); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNestedTxJoins(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		start := d.Counters()
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			if err := insert(ctx, d, "outer"); err != nil {
				return err
			}
			return d.Tx(ctx, func(ctx context.Context) error {
				var n int
				if err := d.QueryRow(ctx, `SELECT count(*) FROM settings`).Scan(&n); err != nil || n != 1 {
					t.Errorf("the inner function sees %d rows, %v", n, err)
				}
				return insert(ctx, d, "inner")
			})
		})
		if err != nil || count(t, d) != 2 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
		if n := d.Counters().Commits - start.Commits; n != 1 {
			t.Errorf("%d commits", n)
		}
	})
}

// A joined Tx cannot be taken back alone, so its error must not be overlooked.
func TestFailureOfNestedTxDoomsTheWhole(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		refused := errors.New("refused")
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			_ = d.Tx(ctx, func(ctx context.Context) error {
				if err := insert(ctx, d, "half"); err != nil {
					return err
				}
				return refused
			})
			return nil
		})
		if !errors.Is(err, refused) || count(t, d) != 0 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
	})
}

// PostgreSQL aborts a transaction at its first failed statement. SQLite would
// go on, and a test on SQLite alone would never notice.
func TestFailedStatementDoomsTheTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			if err := insert(ctx, d, "a"); err != nil {
				return err
			}
			if err := insert(ctx, d, "a"); !errors.Is(err, db.ErrConflict) {
				t.Errorf("second insert: %v", err)
			}
			if err := insert(ctx, d, "b"); !errors.Is(err, db.ErrConflict) {
				t.Errorf("statement after a failure: %v", err)
			}
			return nil
		})
		if !errors.Is(err, db.ErrConflict) || count(t, d) != 0 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
	})
}

func TestMissingRowLeavesTheTransactionWhole(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			var value []byte
			err := d.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, "none").Scan(&value)
			if !errors.Is(err, db.ErrNotFound) {
				t.Errorf("err = %v", err)
			}
			return insert(ctx, d, "a")
		})
		if err != nil || count(t, d) != 1 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
	})
}

func TestOpenRowsRefuseTheNextStatement(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for _, name := range []string{"a", "b"} {
			if err := insert(t.Context(), d, name); err != nil {
				t.Fatal(err)
			}
		}
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			rows, err := d.Query(ctx, `SELECT name FROM settings`)
			if err != nil {
				return err
			}
			defer rows.Close()
			rows.Next()
			if err := insert(ctx, d, "c"); err == nil {
				t.Error("a statement ran beside open rows")
			}
			for rows.Next() { // to the end is as good as Close
			}
			return errors.Join(rows.Err(), insert(ctx, d, "c"))
		})
		if err != nil || count(t, d) != 3 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
	})
}

func TestCancelledTransactionRollsBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		err := d.Tx(ctx, func(ctx context.Context) error {
			if err := insert(ctx, d, "a"); err != nil {
				return err
			}
			cancel()
			return insert(ctx, d, "b")
		})
		if !errors.Is(err, context.Canceled) || count(t, d) != 0 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
		if err := d.Tx(ctx, func(context.Context) error { t.Error("it ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
		if err := insert(t.Context(), d, "c"); err != nil {
			t.Error(err)
		}
	})
}

// A client that hangs up while its work is being committed loses nothing.
func TestFinishedWorkIsCommittedThoughItsClientIsGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		err := d.Tx(ctx, func(ctx context.Context) error {
			defer cancel()
			return insert(ctx, d, "a")
		})
		if err != nil || count(t, d) != 1 {
			t.Errorf("%d rows, %v", count(t, d), err)
		}
	})
}

func TestTxRunsAgainAtMostThreeTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		for failures, want := range []int{1, 2, 3, 4, 4} {
			runs := 0
			err := d.Tx(t.Context(), func(ctx context.Context) error {
				runs++
				if err := insert(ctx, d, fmt.Sprintf("%d-%d", failures, runs)); err != nil {
					return err
				}
				if runs <= failures {
					return fmt.Errorf("wrapped: %w", db.ErrAgain)
				}
				return nil
			})
			if runs != want {
				t.Errorf("%d failures: %d runs", failures, runs)
			}
			if failed := failures > 3; failed != errors.Is(err, db.ErrUnavailable) {
				t.Errorf("%d failures: %v", failures, err)
			}
		}
		if n := count(t, d); n != 4 {
			t.Errorf("%d rows, one for each that succeeded", n)
		}
	})
}

func TestLongTransactionIsNotRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		runs := 0
		err := d.Tx(t.Context(), func(context.Context) error {
			runs++
			time.Sleep(6 * time.Second)
			return db.ErrAgain
		})
		if runs != 1 || !errors.Is(err, db.ErrUnavailable) {
			t.Errorf("%d runs, %v", runs, err)
		}
	})
}

// What is to happen after a commit happens once for a transaction that commits,
// joined ones and repeated runs included, and never for one that does not.
func TestAfterCommit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		n := 0
		count := func() { n++ }
		failed := errors.New("changed my mind")
		if err := d.Tx(ctx, func(ctx context.Context) error {
			d.AfterCommit(ctx, count)
			if err := d.Tx(ctx, func(ctx context.Context) error { d.AfterCommit(ctx, count); return nil }); err != nil {
				return err
			}
			if n != 0 {
				t.Error("called before the commit")
			}
			return nil
		}); err != nil || n != 2 {
			t.Errorf("committed: %d calls, %v", n, err)
		}
		if err := d.Tx(ctx, func(ctx context.Context) error { d.AfterCommit(ctx, count); return failed }); !errors.Is(err, failed) || n != 2 {
			t.Errorf("rolled back: %d calls, %v", n, err)
		}
		runs := 0
		if err := d.Tx(ctx, func(ctx context.Context) error {
			d.AfterCommit(ctx, count)
			if runs++; runs == 1 {
				return db.ErrAgain
			}
			return nil
		}); err != nil || n != 3 || runs != 2 {
			t.Errorf("run again: %d calls in %d runs, %v", n, runs, err)
		}
		if d.AfterCommit(ctx, count); n != 4 {
			t.Error("not called without a transaction")
		}
	})
}
