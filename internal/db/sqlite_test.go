package db_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestSQLiteSettings(t *testing.T) {
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"}
	d := dbtest.Open(t)
	err := d.Tx(t.Context(), func(ctx context.Context) error { // on the writing connection
		for pragma, value := range want {
			var got string
			if err := d.QueryRow(ctx, "PRAGMA "+pragma).Scan(&got); err != nil || got != value {
				t.Errorf("%s = %s, %v", pragma, got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRelaxedSQLiteDoesNotWaitForTheDisk(t *testing.T) {
	d, err := db.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "relaxed.db"), db.Relaxed)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got string
	if err := d.QueryRow(t.Context(), `PRAGMA synchronous`).Scan(&got); err != nil || got != "1" {
		t.Errorf("synchronous = %s, %v", got, err)
	}
}

func TestSQLiteFileIsMadeForTheOwnerAlone(t *testing.T) {
	// A path that would be cut short if it were put into a URL as it is.
	path := filepath.Join(t.TempDir(), "new directory", "100% #1.db")
	d := dbtest.OpenURL(t, "sqlite:"+path)
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(name), info.Mode())
		}
	}
}

func TestRelativeSQLitePath(t *testing.T) {
	t.Chdir(t.TempDir())
	dbtest.OpenURL(t, "sqlite:./data/dialtone.db")
	dbtest.OpenURL(t, "sqlite:data/dialtone.db")
	if _, err := os.Stat("data/dialtone.db"); err != nil {
		t.Error(err)
	}
}

func TestAddressesThatCannotBeOpened(t *testing.T) {
	occupied := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(occupied, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, unavailable := range map[string]bool{
		"":                                  false,
		"dialtone.db":                       false,
		"mysql://user:hunter2@localhost/db": false,
		"sqlite:":                           false,
		"sqlite::memory:":                   false,
		"sqlite:a.db?_pragma=x":             false,
		"sqlite:" + occupied:                true,
		"sqlite:" + occupied + "/x.db":      true,
		"sqlite:" + filepath.Dir(occupied):  true,
		"postgres://user:hunter2@127.0.0.1:1/db?connect_timeout=1":                                 true,
		"postgres://user:hunter2@127.0.0.1:nan/db":                                                 false,
		"postgres://user:hunter2@127.0.0.1:1/db?pool_max_conns=many":                               false,
		"postgres://user:hunter2@127.0.0.1:1/db?default_query_exec_mode=simple_protocol":           false,
		"postgres://user:hunter2@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/does/not/exist/x": false,
	} {
		d, err := db.Open(t.Context(), url)
		if err == nil {
			d.Close()
			t.Errorf("%s: opened", url)
			continue
		}
		if errors.Is(err, db.ErrUnavailable) != unavailable {
			t.Errorf("%s: %v", url, err)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is repeated: %v", err)
		}
	}
}

func TestOldSQLiteIsRefused(t *testing.T) {
	for version, older := range map[string]bool{
		"3.51.2": true, "3.50.9": true, "2.99": true, "3.51": true, "3.6.23.1": true,
		"3.51.3": false, "3.51.10": false, "3.53.4": false, "4": false,
	} {
		if got := db.OlderVersion(version, "3.51.3"); got != older {
			t.Errorf("%s: %v", version, got)
		}
	}
}

func TestReadersDoNotWaitForTheWriter(t *testing.T) {
	d := dbtest.Open(t)
	err := d.Tx(t.Context(), func(ctx context.Context) error {
		if err := insert(ctx, d, "a"); err != nil {
			return err
		}
		if err := d.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if n := count(t, d); n != 0 {
			t.Errorf("%d rows", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A command beside the server is another writer on the same file.
func TestTwoWritersTakeTurns(t *testing.T) {
	url := dbtest.SQLiteURL(t)
	handles := []*db.DB{dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)}
	var turn atomic.Int64
	winners := race(t, 40, func(ctx context.Context) (bool, error) {
		d := handles[turn.Add(1)%2]
		return true, d.Tx(ctx, func(ctx context.Context) error {
			var n int
			if err := d.QueryRow(ctx, `SELECT count(*) FROM settings`).Scan(&n); err != nil {
				return err
			}
			return insert(ctx, d, fmt.Sprint(n)) // a conflict if another had counted the same
		})
	})
	if n := count(t, handles[0]); winners != 40 || n != 40 {
		t.Errorf("%d rows", n)
	}
}

func TestFullDiskIsUnavailableAndRecovers(t *testing.T) {
	d := dbtest.Open(t)
	var pages int
	if err := d.QueryRow(t.Context(), `PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if err := d.ExecOnWriter(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages+2)); err != nil {
		t.Fatal(err)
	}
	fill := func(name string) error {
		_, err := d.Exec(t.Context(), `INSERT INTO settings (name, value) VALUES ($1, $2)`, name, make([]byte, 1<<20))
		return err
	}
	if err := fill("big"); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
	err := d.Tx(t.Context(), func(ctx context.Context) error {
		if err := insert(ctx, d, "small"); err != nil {
			return err
		}
		_, err := d.Exec(ctx, `UPDATE settings SET value = $1`, make([]byte, 1<<20))
		return err
	})
	if !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows of what failed", n)
	}
	if err := d.ExecOnWriter(t.Context(), "PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if err := fill("big"); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestOneServerForEachFile(t *testing.T) {
	url := dbtest.SQLiteURL(t)
	first, second := dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)
	release, err := first.LockServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.LockServer(t.Context()); !errors.Is(err, db.ErrServed) {
		t.Errorf("second server: %v", err)
	}
	// Commands need no lock.
	if err := errors.Join(second.Migrate(t.Context()), insert(t.Context(), second, "a")); err != nil {
		t.Errorf("command: %v", err)
	}
	release()
	release, err = second.LockServer(t.Context())
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	release()
}

// The lock goes with its process, also with one that could not clean up.
func TestKilledServerLeavesNoLock(t *testing.T) {
	const variable = "DIALTONE_TEST_LOCK_AND_WAIT"
	if url := os.Getenv(variable); url != "" { // this is the server to be killed
		if _, err := dbtest.OpenURL(t, url).LockServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		fmt.Println("locked")
		_, _ = io.Copy(io.Discard, os.Stdin) // which ends with the parent at the latest
		return
	}
	url := dbtest.SQLiteURL(t)
	server := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	server.Env = append(os.Environ(), variable+"="+url)
	if _, err := server.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	line := make([]byte, len("locked"))
	if _, err := io.ReadFull(output, line); err != nil || string(line) != "locked" {
		t.Fatalf("the server says %q, %v", line, err)
	}
	d := dbtest.OpenURL(t, url)
	if _, err := d.LockServer(t.Context()); !errors.Is(err, db.ErrServed) {
		t.Errorf("beside the server: %v", err)
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	release, err := d.LockServer(t.Context())
	if err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	release()
}

func TestBusyPoolIsUnavailableButAnswersPing(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		if strings.HasPrefix(url, "postgres") {
			url += "?pool_max_conns=1"
		}
		d := dbtest.OpenURL(t, url)
		d.SetPoolWait(50 * time.Millisecond)
		err := d.Tx(t.Context(), func(context.Context) error {
			start := time.Now()
			if err := insert(t.Context(), d, "a"); !errors.Is(err, db.ErrUnavailable) {
				t.Errorf("err = %v", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v to give up", took)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := insert(ctx, d, "a"); !errors.Is(err, context.Canceled) {
				t.Errorf("of a client that left: %v", err)
			}
			return d.Ping(t.Context())
		})
		if err != nil {
			t.Error(err)
		}
		if err := insert(t.Context(), d, "a"); err != nil {
			t.Errorf("with a free connection: %v", err)
		}
	})
}
