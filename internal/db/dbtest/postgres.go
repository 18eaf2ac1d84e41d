package dbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/migrations"
)

// serverVariable holds the URL of a database whose user may create others.
const serverVariable = "DIALTONE_TEST_POSTGRES"

// PostgresURL names a fresh, migrated PostgreSQL database, dropped when the
// test ends. It is a copy of a template, which is several times faster than
// running the migrations.
func PostgresURL(t testing.TB) string {
	t.Helper()
	return createDatabase(t, ensureTemplate)
}

func emptyPostgresURL(t testing.TB) string {
	t.Helper()
	return createDatabase(t, func(context.Context, *db.DB, string) (string, error) { return "template0", nil })
}

// createDatabase copies the template that it is told.
func createDatabase(t testing.TB, template func(ctx context.Context, admin *db.DB, server string) (string, error)) string {
	t.Helper()
	server := os.Getenv(serverVariable)
	if server == "" {
		t.Fatal(serverVariable + " is not set")
	}
	ctx := context.Background()
	name := "dialtone_test_" + strings.ToLower(rand.Text())
	err := administer(ctx, server, func(admin *db.DB) error {
		from, err := template(ctx, admin, server)
		if err != nil {
			return err
		}
		_, err = admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+from)
		return err
	})
	if err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		err := administer(ctx, server, func(admin *db.DB) error {
			_, err := admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
			return err
		})
		if err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
	return withDatabase(server, name)
}

// administer does something on the server that belongs to no test database.
func administer(ctx context.Context, server string, do func(admin *db.DB) error) error {
	admin, err := db.Open(ctx, server)
	if err != nil {
		return err
	}
	return errors.Join(do(admin), admin.Close())
}

// ensureTemplate makes the template database for the present migrations unless
// it is there. Its name is made of their content, so test binaries that run at
// once, or one after the other, share it and never meet a stale one. It stays
// behind: one small database for each state of the schema.
func ensureTemplate(ctx context.Context, admin *db.DB, server string) (string, error) {
	content, err := contentOf(migrations.Files)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("dialtone_template_%x", content[:8])
	if ready, err := templateReady(ctx, admin, name); ready || err != nil {
		return name, err
	}
	// The transaction only holds the lock; CREATE DATABASE must stay outside it.
	return name, admin.Tx(ctx, func(locked context.Context) error {
		if _, err := admin.Exec(locked, `SELECT pg_advisory_xact_lock(hashtext($1))`, name); err != nil {
			return err
		}
		if ready, err := templateReady(ctx, admin, name); ready || err != nil {
			return err
		}
		return makeTemplate(ctx, admin, server, name)
	})
}

// templateReady reports whether the template is complete: only then is it
// marked as one.
func templateReady(ctx context.Context, admin *db.DB, name string) (bool, error) {
	var ready bool
	err := admin.QueryRow(ctx, `SELECT datistemplate FROM pg_database WHERE datname = $1`, name).Scan(&ready)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	return ready, err
}

func makeTemplate(ctx context.Context, admin *db.DB, server, name string) error {
	// A test that was killed here may have left half a template.
	if _, err := admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return err
	}
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return err
	}
	d, err := db.Open(ctx, withDatabase(server, name))
	if err != nil {
		return err
	}
	if err := errors.Join(d.Migrate(ctx), d.Close()); err != nil {
		return err
	}
	// Nobody may connect to it: a database in use cannot be copied.
	_, err = admin.Exec(ctx, "ALTER DATABASE "+name+" IS_TEMPLATE true ALLOW_CONNECTIONS false")
	return err
}

// contentOf is a hash of every file's name and content.
func contentOf(files fs.FS) ([]byte, error) {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		return err
	})
	return h.Sum(nil), err
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server // db.Open says what is wrong with it
	}
	u.Path = "/" + name
	return u.String()
}
