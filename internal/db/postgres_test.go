package db_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// onPostgres runs f as a subtest if there is a server.
func onPostgres(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	if dbtest.HasPostgres(t) {
		t.Run("postgres", func(t *testing.T) { f(t, dbtest.PostgresURL(t)) })
	}
}

// countingConn counts the packets sent; the driver sends one for a round trip.
type countingConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.sent.Add(1)
	return c.Conn.Write(b)
}

func TestStatementIsOneRoundTrip(t *testing.T) {
	onPostgres(t, func(t *testing.T, url string) {
		var sent atomic.Int64
		var dialer net.Dialer
		d, err := db.OpenPostgresDialing(t.Context(), url+"?pool_max_conns=1", func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			return countingConn{c, &sent}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		update := func(ctx context.Context) error {
			_, err := d.Exec(ctx, `UPDATE settings SET value = $1 WHERE name = $2`, []byte{1}, "a")
			return err
		}
		for name, test := range map[string]struct {
			trips int64
			do    func() error
		}{
			"Exec": {1, func() error { return update(t.Context()) }},
			"QueryRow": {1, func() error {
				var n int
				return d.QueryRow(t.Context(), `SELECT count(*) FROM settings WHERE name <> $1`, "a").Scan(&n)
			}},
			"Tx": {2, func() error { return d.Tx(t.Context(), update) }}, // BEGIN with UPDATE, COMMIT
			"ExecLater": {1, func() error { // all of it with COMMIT
				return d.Tx(t.Context(), func(ctx context.Context) error {
					return d.ExecLater(ctx, `UPDATE settings SET value = $1 WHERE name = $2`, []byte{1}, "a")
				})
			}},
			"nothing": {0, func() error { return d.Tx(t.Context(), func(context.Context) error { return nil }) }},
		} {
			for run := range 5 {
				before := sent.Load()
				if err := test.do(); err != nil {
					t.Fatal(err)
				}
				if got := sent.Load() - before; run > 0 && got != test.trips { // the first prepares
					t.Errorf("%s: %d round trips", name, got)
				}
			}
		}
	})
}

func TestLostConnectionsAreReplaced(t *testing.T) {
	onPostgres(t, func(t *testing.T, url string) {
		d, other := dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)
		race(t, 8, func(ctx context.Context) (bool, error) { return true, insert(ctx, d, db.NewID()) }) // open some
		var killed int
		err := other.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&killed)
		if err != nil || killed == 0 {
			t.Fatalf("killed %d, %v", killed, err)
		}
		lost := 0
		for range 30 {
			switch err := insert(t.Context(), d, db.NewID()); {
			case errors.Is(err, db.ErrUnavailable):
				lost++
			case err != nil:
				t.Error(err)
			}
		}
		if lost > killed {
			t.Errorf("%d statements were lost with %d connections", lost, killed)
		}
		if err := d.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestConnectionLostInATransaction(t *testing.T) {
	onPostgres(t, func(t *testing.T, url string) {
		d, other := dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			var pid, n int
			if err := errors.Join(insert(ctx, d, "a"), d.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid)); err != nil {
				return err
			}
			if err := other.QueryRow(t.Context(), `SELECT count(pg_terminate_backend($1))`, pid).Scan(&n); err != nil {
				t.Error(err)
			}
			_ = insert(ctx, d, "b")
			return nil
		})
		if !errors.Is(err, db.ErrUnavailable) || count(t, other) != 0 {
			t.Errorf("%d rows, %v", count(t, other), err)
		}
		if err := insert(t.Context(), d, "c"); err != nil {
			t.Error(err)
		}
	})
}

func TestReadOnlyServerIsUnavailableForWriting(t *testing.T) {
	onPostgres(t, func(t *testing.T, url string) {
		d := dbtest.OpenURL(t, url+"?default_transaction_read_only=on")
		if err := insert(t.Context(), d, "a"); !errors.Is(err, db.ErrUnavailable) {
			t.Errorf("err = %v", err)
		}
		if n := count(t, d); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestDeadlockIsRunAgain(t *testing.T) {
	onPostgres(t, func(t *testing.T, url string) {
		d := dbtest.OpenURL(t, url)
		touch(t, d, "a", "b")
		var runs atomic.Int64
		var met, wg sync.WaitGroup
		met.Add(2)
		for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
			var first sync.Once
			wg.Go(func() {
				err := d.Tx(t.Context(), func(ctx context.Context) error {
					runs.Add(1)
					if err := d.Touch(ctx, order[0]); err != nil {
						return err
					}
					first.Do(func() { met.Done(); met.Wait() }) // both hold their first row now
					return d.Touch(ctx, order[1])
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var lowest int
		if err := d.QueryRow(t.Context(), `SELECT min(version) FROM changes`).Scan(&lowest); err != nil || lowest != 3 {
			t.Errorf("version %d, %v: each was touched three times", lowest, err)
		}
		if n := runs.Load(); n < 3 { // more if both were chosen to give way
			t.Errorf("%d runs, one of the two should have been run again", n)
		}
	})
}

func TestSerializationFailureIsRunAgain(t *testing.T) {
	onPostgres(t, func(t *testing.T, url string) {
		d := dbtest.OpenURL(t, url+"?default_transaction_isolation=repeatable%20read")
		touch(t, d, "a")
		runs := 0
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			runs++
			var version int
			if err := d.QueryRow(ctx, `SELECT version FROM changes WHERE topic = 'a'`).Scan(&version); err != nil {
				return err
			}
			if runs <= 2 {
				touch(t, d, "a") // by somebody else
			}
			_ = d.Touch(ctx, "a") // what is overlooked here is seen nevertheless
			return nil
		})
		var version int
		if err := d.QueryRow(t.Context(), `SELECT version FROM changes WHERE topic = 'a'`).Scan(&version); err != nil {
			t.Fatal(err)
		}
		if err != nil || runs != 3 || version != 4 {
			t.Errorf("%d runs, version %d, %v", runs, version, err)
		}
	})
}

// A client that hangs up must cost neither the connection nor the statement
// that is on its way.
func TestClientThatHangsUpCostsNoConnection(t *testing.T) {
	onPostgres(t, func(t *testing.T, url string) {
		d := dbtest.OpenURL(t, url+"?pool_max_conns=1")
		pid := func() (pid int) {
			t.Helper()
			if err := d.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
				t.Fatal(err)
			}
			return pid
		}
		before := pid()
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			_, _ = d.Exec(ctx, `SELECT pg_sleep(0.05)`)
			cancel()
		}
		if after := pid(); after != before {
			t.Error("the connection was closed")
		}
		// A statement that is long does end.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := d.Exec(ctx, `SELECT pg_sleep(60)`)
		if !errors.Is(err, db.ErrUnavailable) || time.Since(start) > 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := insert(t.Context(), d, "a"); err != nil {
			t.Error(err)
		}
	})
}

func TestManyServersOnPostgres(t *testing.T) {
	onPostgres(t, func(t *testing.T, url string) {
		for range 2 {
			release, err := dbtest.OpenURL(t, url).LockServer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer release()
		}
	})
}
