package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Before 3.51.3 a WAL reset at the wrong moment could corrupt the file.
const oldestSQLite = "3.51.3"

// sqliteBusy is how long a writer waits for another one, in this process or in
// a command beside the server.
const sqliteBusy = 5 * time.Second

// openSQLite opens one connection that writes and several that read: in WAL
// mode readers never wait for the writer.
func openSQLite(ctx context.Context, path string, s settings) (*DB, error) {
	if path == "" || strings.HasPrefix(path, ":") || strings.ContainsRune(path, '?') {
		return nil, errors.New("open SQLite: the URL must be sqlite: and the path of a file, without parameters")
	}
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("open SQLite: %w: %w", ErrUnavailable, err)
	}
	synchronous := "FULL" // NORMAL could revive a rotated token after a power loss
	if s.relaxed {
		synchronous = "NORMAL"
	}
	writer, err := sql.Open("sqlite", sqliteDSN(path,
		"_journal_mode=WAL", "_foreign_keys=1", "_txlock=immediate", "_synchronous="+synchronous))
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	keepOpen(writer, 1)
	// The writer goes first: it makes the file and turns WAL on, which readers cannot.
	if err := checkSQLite(ctx, writer); err != nil {
		writer.Close()
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	readers, err := sql.Open("sqlite", sqliteDSN(path, "_query_only=1"))
	if err != nil {
		writer.Close()
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	size := max(4, 2*runtime.GOMAXPROCS(0))
	keepOpen(readers, size+1) // one more for Ping
	return &DB{
		engine: SQLite,
		file:   path,
		reads:  newPool(sqlConns{readers}, size, sqliteBusy),
		writes: newPool(sqlConns{writer}, 1, sqliteBusy),
		goose:  writer,
		// The last to close takes the WAL away, and only a writer can.
		close: func() error { return errors.Join(readers.Close(), writer.Close()) },
	}, nil
}

func sqliteDSN(path string, parameters ...string) string {
	escaped := (&url.URL{Path: path}).EscapedPath()
	parameters = append(parameters, "_busy_timeout="+strconv.FormatInt(sqliteBusy.Milliseconds(), 10))
	return "file:" + escaped + "?" + strings.Join(parameters, "&")
}

// keepOpen bounds the connections and keeps them all: opening one anew for each
// request costs more than most statements.
func keepOpen(db *sql.DB, size int) {
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
}

// createPrivate makes the file and its directory for the owner alone; SQLite
// gives its side files the same mode.
func createPrivate(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func checkSQLite(ctx context.Context, db *sql.DB) error {
	var version string
	if err := db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		return classify(err)
	}
	if olderVersion(version, oldestSQLite) {
		return fmt.Errorf("SQLite %s can corrupt its write-ahead log; %s or newer is needed", version, oldestSQLite)
	}
	return nil
}

// olderVersion compares dotted numbers part by part.
func olderVersion(version, floor string) bool {
	have, want := strings.Split(version, "."), strings.Split(floor, ".")
	for i, w := range want {
		var h string
		if i < len(have) {
			h = have[i]
		}
		a, _ := strconv.Atoi(h)
		b, _ := strconv.Atoi(w)
		if a != b {
			return a < b
		}
	}
	return false
}

// sqlConns are the connections of a database/sql handle.
type sqlConns struct{ db *sql.DB }

func (c sqlConns) exec(ctx context.Context, query string, args []any) (int64, error) {
	return changed(c.db.ExecContext(ctx, query, args...))
}

// execRelaxed is exec: a setting of one connection is not one of one statement here.
func (c sqlConns) execRelaxed(ctx context.Context, query string, args []any) (int64, error) {
	return c.exec(ctx, query, args)
}

func (c sqlConns) query(ctx context.Context, query string, args []any) (cursor, error) {
	return c.db.QueryContext(ctx, query, args...)
}

func (c sqlConns) ping(ctx context.Context) error { return c.db.PingContext(ctx) }

func (c sqlConns) begin(life context.Context) (transaction, error) {
	tx, err := c.db.BeginTx(life, nil)
	return sqlTx{tx}, err
}

type sqlTx struct{ tx *sql.Tx }

func (t sqlTx) exec(ctx context.Context, query string, args []any) (int64, error) {
	return changed(t.tx.ExecContext(ctx, query, args...))
}

func (t sqlTx) execLater(ctx context.Context, query string, args []any) error {
	_, err := t.tx.ExecContext(ctx, query, args...) // there is no round trip to save
	return err
}

func (t sqlTx) queryLater(ctx context.Context, query string, args []any, then func(cursor) error) error {
	rows, err := t.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := then(rows); err != nil {
		return err
	}
	return rows.Err()
}

func (t sqlTx) query(ctx context.Context, query string, args []any) (cursor, error) {
	return t.tx.QueryContext(ctx, query, args...)
}

func (t sqlTx) commit() error {
	err := t.tx.Commit()
	if err != nil {
		t.rollback() // a COMMIT that was refused leaves the transaction open
	}
	return err
}

func (t sqlTx) rollback() { _ = t.tx.Rollback() }

func changed(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
