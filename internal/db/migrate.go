package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/dialtone-id/dialtone/migrations"
)

// ErrNewer is a database that a newer release has migrated. This one must not
// touch it.
var ErrNewer = errors.New("the database is newer than this program")

// ErrPending is a PostgreSQL database that lacks migrations of this release.
var ErrPending = errors.New("the database has pending migrations, run: dialtone migrate up")

// Migration is one step of the schema and whether the database has it.
type Migration struct {
	Version int64
	Name    string // the file's, such as 00001_initial.sql
	Applied bool
}

// Migrate brings the schema up to this program's, one transaction a step. Many
// processes may call it at once: one works, the others wait. ErrNewer if the
// database is ahead.
func (d *DB) Migrate(ctx context.Context) error { return d.migrate(ctx, migrations.Files) }

func (d *DB) migrate(ctx context.Context, files fs.FS) error {
	release, err := d.lockMigration(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer release()
	p, err := d.provider(files)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := d.status(ctx, p); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	_, err = p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return fmt.Errorf("migrate: %s: %w", partial.Failed.Source.Path, classify(partial.Err))
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", classify(err))
	}
	return nil
}

// Status lists this program's migrations in order. It changes nothing. ErrNewer
// if the database is ahead.
func (d *DB) Status(ctx context.Context) ([]Migration, error) {
	p, err := d.provider(migrations.Files)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	list, err := d.status(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	return list, nil
}

func (d *DB) status(ctx context.Context, p *goose.Provider) ([]Migration, error) {
	current, err := d.schemaVersion(ctx)
	if err != nil {
		return nil, err
	}
	var known int64
	var list []Migration
	for _, s := range p.ListSources() {
		list = append(list, Migration{Version: s.Version, Name: s.Path, Applied: s.Version <= current})
		known = s.Version
	}
	if current > known {
		return nil, fmt.Errorf("%w: its schema is %d, this program knows %d", ErrNewer, current, known)
	}
	return list, nil
}

// Pending counts the migrations that the database lacks. ErrNewer if it is ahead.
func (d *DB) Pending(ctx context.Context) (int, error) {
	list, err := d.Status(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, m := range list {
		if !m.Applied {
			n++
		}
	}
	return n, nil
}

// CheckSchema is what a server asks at start: nil if the schema is this
// program's, else ErrNewer or ErrPending.
func (d *DB) CheckSchema(ctx context.Context) error {
	n, err := d.Pending(ctx)
	if err != nil {
		return err
	}
	if n > 0 {
		return ErrPending
	}
	return nil
}

// provider runs goose without its globals. The session lock is PostgreSQL's
// advisory lock, which dies with its connection.
func (d *DB) provider(files fs.FS) (*goose.Provider, error) {
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	dialect := goose.DialectSQLite3
	if d.engine == Postgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // every second, five minutes
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, d.goose, files, options...)
}

// schemaVersion is the newest migration in goose's table, 0 before the first.
// Goose itself would make the table just to look.
func (d *DB) schemaVersion(ctx context.Context) (int64, error) {
	table := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1`
	if d.engine == Postgres {
		table = `SELECT count(to_regclass($1))`
	}
	var tables, version int64
	if err := d.QueryRow(ctx, table, goose.DefaultTablename).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	err := d.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&version)
	return version, err
}
