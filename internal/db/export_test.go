package db

import (
	"context"
	"io/fs"
	"net"
	"time"
)

// Windows into the package for its tests.

// MigrateFiles is Migrate with other migrations.
func (d *DB) MigrateFiles(ctx context.Context, files fs.FS) error { return d.migrate(ctx, files) }

// ExecOnWriter runs a statement on SQLite's writing connection, whatever it is.
func (d *DB) ExecOnWriter(ctx context.Context, statement string) error {
	_, err := d.writes.conns.exec(ctx, statement, nil)
	return err
}

// SetPoolWait changes how long a statement waits for a connection.
func (d *DB) SetPoolWait(wait time.Duration) { d.reads.wait, d.writes.wait = wait, wait }

// OpenPostgresDialing is Open for PostgreSQL with the network in the test's hands.
func OpenPostgresDialing(ctx context.Context, url string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*DB, error) {
	config, size, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.DialFunc = dial
	return openPool(ctx, config, size)
}

// OlderVersion is olderVersion.
func OlderVersion(version, floor string) bool { return olderVersion(version, floor) }

// IsSelect is isSelect.
func IsSelect(query string) bool { return isSelect(query) }

// ErrAgain is a failure that the next run may not meet.
var ErrAgain error = &engineError{code: "test", message: "again", again: true}
