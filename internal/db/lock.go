package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrServed is a SQLite file that another server has open.
var ErrServed = errors.New("another server uses this SQLite file; run one server, or use PostgreSQL")

var errLocked = errors.New("locked")

// LockServer makes this process the one server of a SQLite file until release
// is called or the process ends, however it ends: ErrServed if there is one.
// Commands beside a server open the file without it. PostgreSQL serves any
// number, so there it does nothing.
func (d *DB) LockServer(context.Context) (release func(), err error) {
	if d.engine == Postgres {
		return func() {}, nil
	}
	release, err = lockFile(d.file + ".lock")
	if errors.Is(err, errLocked) {
		return nil, ErrServed
	}
	if err != nil {
		return nil, fmt.Errorf("lock SQLite file: %w", err)
	}
	return release, nil
}

// lockMigration keeps a second process from migrating the same SQLite file. It
// is a lock of its own, because a command may migrate beside a server.
func (d *DB) lockMigration(ctx context.Context) (release func(), err error) {
	if d.engine == Postgres {
		return func() {}, nil // goose takes an advisory lock
	}
	for {
		release, err = lockFile(d.file + ".migrate.lock")
		if !errors.Is(err, errLocked) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, classify(ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// openLock opens a lock file. It is never removed: a second process could hold
// the removed one while a third locks its successor.
func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}
