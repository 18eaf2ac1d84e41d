package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What a caller may tell apart. They arrive wrapped: match with errors.Is.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")             // a unique or foreign key was violated
	ErrUnavailable = errors.New("database unavailable") // connection lost or refused, busy, read-only, disk full, pool exhausted

	// ErrText is a text argument that PostgreSQL could not store: invalid UTF-8
	// or a NUL. It is refused for both engines before they are asked, and a
	// transaction goes on. Except for an INSERT it is ErrNotFound as well, since
	// no row can hold such text.
	ErrText = errors.New("text argument is not valid UTF-8 or holds a NUL")
)

// engineError is what an engine said, without the values that some messages repeat.
type engineError struct {
	code    string // SQLSTATE or SQLite's extended result code
	message string
	again   bool // the same work, run again, may succeed
}

func (e *engineError) Error() string { return fmt.Sprintf("%s (%s)", e.message, e.code) }

// classify turns a driver's error into ours. Errors of the caller's context
// stay what they are; a deadline that passed is ErrUnavailable too.
func classify(err error) error {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrConflict), errors.Is(err, ErrUnavailable):
		return err
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &pg):
		return classifyPostgres(pg)
	case errors.As(err, &lite):
		return classifySQLite(lite.Code(), lite.Error())
	case errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, driver.ErrBadConn),
		errors.Is(err, sql.ErrConnDone),
		errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed),
		errors.As(err, &connect),
		errors.As(err, &network),
		pgconn.SafeToRetry(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// classifyPostgres goes by SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html.
func classifyPostgres(pg *pgconn.PgError) error {
	e := &engineError{code: "SQLSTATE " + pg.Code, message: pg.Message}
	switch class := pg.Code[:min(2, len(pg.Code))]; {
	case pg.Code == "23505", pg.Code == "23503": // unique_violation, foreign_key_violation
		return fmt.Errorf("%w: %w", ErrConflict, e)
	case pg.Code == "40001", pg.Code == "40P01": // serialization_failure, deadlock_detected
		e.again = true
		return e
	case class == "08", // connection exception
		class == "53",      // insufficient resources: disk full, too many connections
		class == "57",      // operator intervention: shutdown, starting up, statement timeout
		class == "58",      // system error: i/o
		class == "28",      // login refused
		class == "40",      // rolled back, outcome unknown
		pg.Code == "25006", // read_only_sql_transaction: a standby
		pg.Code == "25P03", // idle_in_transaction_session_timeout
		pg.Code == "55P03", // lock_not_available
		pg.Code == "3D000": // the database does not exist
		return fmt.Errorf("%w: %w", ErrUnavailable, e)
	case class == "22": // data exception: its message repeats the value
		e.message = "value refused"
	}
	return e
}

// classifySQLite goes by result code, https://www.sqlite.org/rescode.html.
func classifySQLite(code int, message string) error {
	e := &engineError{code: fmt.Sprintf("SQLite %d", code), message: message}
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fmt.Errorf("%w: %w", ErrConflict, e)
	case sqlite3.SQLITE_INTERRUPT: // the statement's context ended
		return fmt.Errorf("%w: %w", context.Canceled, e)
	}
	switch code & 0xff { // the primary result code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		e.again = true
		return e
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrUnavailable, e)
	}
	return e
}

// again reports whether the work that failed with err may succeed if it is run again.
func again(err error) bool {
	var e *engineError
	return errors.As(err, &e) && e.again
}
