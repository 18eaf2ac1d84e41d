// Package dbtest gives tests a migrated database of their own: SQLite in a
// temporary directory always, PostgreSQL where DIALTONE_TEST_POSTGRES names a
// server. With DIALTONE_TEST_REQUIRE=1 a missing server fails the test, so that
// a full run cannot quietly leave half of itself out.
//
// SQLite works inside a testing/synctest bubble, PostgreSQL does not: real
// sockets keep the bubble's clock from moving.
package dbtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Each runs f as a subtest on every engine there is, each time on a fresh database.
func Each(t *testing.T, f func(t *testing.T, d *db.DB)) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) { f(t, OpenURL(t, url)) })
}

// EachURL is Each for tests that open the database themselves, or more than once.
func EachURL(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLiteURL(t)) })
	if HasPostgres(t) {
		t.Run("postgres", func(t *testing.T) { f(t, PostgresURL(t)) })
	}
}

// EachEmptyURL is EachURL with databases that no migration has touched.
func EachEmptyURL(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, emptySQLiteURL(t)) })
	if HasPostgres(t) {
		t.Run("postgres", func(t *testing.T) { f(t, emptyPostgresURL(t)) })
	}
}

// Open is a fresh SQLite database.
func Open(t testing.TB) *db.DB {
	t.Helper()
	return OpenURL(t, SQLiteURL(t))
}

// OpenPostgres is a fresh PostgreSQL database. Ask HasPostgres first.
func OpenPostgres(t testing.TB) *db.DB {
	t.Helper()
	return OpenURL(t, PostgresURL(t))
}

// OpenURL opens a handle and closes it when the test ends.
func OpenURL(t testing.TB, url string) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// SQLiteURL names a fresh, migrated SQLite database.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	file, err := migratedFile()
	if err != nil {
		t.Fatal(err)
	}
	url := emptySQLiteURL(t)
	if err := os.WriteFile(strings.TrimPrefix(url, "sqlite:"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return url
}

func emptySQLiteURL(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "dialtone.db")
}

// HasPostgres reports whether there is a server to test on. It fails the test
// if there is none though DIALTONE_TEST_REQUIRE asks for it.
func HasPostgres(t testing.TB) bool {
	t.Helper()
	if os.Getenv(serverVariable) != "" {
		return true
	}
	if os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
		t.Fatal("DIALTONE_TEST_REQUIRE=1 but " + serverVariable + " is not set")
	}
	return false
}

// migratedFile is the content of a migrated SQLite file. It is made once in a
// test binary: under the race detector the migrations take a tenth of a second.
var migratedFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "dialtone-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "dialtone.db")
	ctx := context.Background()
	d, err := db.Open(ctx, "sqlite:"+path)
	if err != nil {
		return nil, err
	}
	// Closing moves the write-ahead log into the file.
	if err := errors.Join(d.Migrate(ctx), d.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})
