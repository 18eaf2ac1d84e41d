// Package audit is the append-only record of who did what to whom.
//
// A line joins the transaction of what it tells about: both happen or neither
// does. Nothing but Forget and DropAddress changes a line, which take a person
// out of it, and nothing but Purge removes one.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// MinRetention is how long a line is kept at least: network logs must be kept
// for six months (Cybersecurity Law of China, article 23), which are never more
// than 184 days.
const MinRetention = 184 * 24 * time.Hour

// purgeBatch is small enough that SQLite's one writer is never held for long.
const purgeBatch = 500

// Event is one line. It must hold no number, code, token or secret.
type Event struct {
	Name     string // "login.succeeded", "user.created", "grant.revoked", "key.rotated"
	Actor    string // "user:ID", "client:ID", "operator" or "system"
	UserID   string // whom it is about, "" for nobody
	ClientID string // through which client, "" for none
	IP       string // where the request came from, "" for no request
	Detail   map[string]string
}

// Entry is an Event as it was kept.
type Entry struct {
	ID string // a UUIDv7
	At time.Time
	Event
}

// Log keeps events in the database.
type Log struct {
	db        *db.DB
	retention time.Duration
	observe   func(Event) // nil for nobody
}

// New is a log that keeps its lines for MinRetention.
func New(d *db.DB) *Log { return &Log{db: d, retention: MinRetention} }

// Keeping is the same log with a longer retention. Less than MinRetention is refused.
func (l *Log) Keeping(retention time.Duration) (*Log, error) {
	if retention < MinRetention {
		return nil, fmt.Errorf("audit retention of %v is too short, the least is %v (184 days)", retention, MinRetention)
	}
	return &Log{db: l.db, retention: retention, observe: l.observe}, nil
}

// Observe has every event told to somebody who counts, once it is committed. It
// must be called before the log is used; observe must return at once.
func (l *Log) Observe(observe func(Event)) { l.observe = observe }

// Record appends e as of now, by one INSERT in the transaction in ctx.
func (l *Log) Record(ctx context.Context, e Event) error {
	detail := []byte("{}")
	if len(e.Detail) > 0 {
		var err error
		if detail, err = json.Marshal(e.Detail); err != nil {
			return fmt.Errorf("record %s: %w", e.Name, err)
		}
	}
	err := l.db.ExecLater(ctx, `
		INSERT INTO audit (id, at, event, actor, user_id, client_id, ip, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		db.NewID(), db.Micros(time.Now()), plain(e.Name), plain(e.Actor), plain(e.UserID),
		plain(e.ClientID), plain(e.IP), string(detail))
	if err != nil {
		return fmt.Errorf("record %s: %w", e.Name, err)
	}
	if l.observe != nil {
		l.db.AfterCommit(ctx, func() { l.observe(e) })
	}
	return nil
}

// plain makes storable text of what a stranger may have sent: a line must not
// be lost because of a stray byte.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// List returns up to limit lines about a user, newest first: those before the
// entry given, or the newest for a zero Entry.
func (l *Log) List(ctx context.Context, userID string, before Entry, limit int) ([]Entry, error) {
	at := before.At
	if before.ID == "" {
		at = time.Now().Add(24 * time.Hour) // other servers' clocks may be ahead
	}
	rows, err := l.db.Query(ctx, `
		SELECT id, at, event, actor, user_id, client_id, ip, detail FROM audit
		WHERE user_id = $1 AND (at, id) < ($2, $3)
		ORDER BY at DESC, id DESC LIMIT $4`, userID, db.Micros(at), before.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("list audit: %w", err)
	}
	defer rows.Close()
	var list []Entry
	for rows.Next() {
		var e Entry
		var micros int64
		var detail string
		if err := rows.Scan(&e.ID, &micros, &e.Name, &e.Actor, &e.UserID, &e.ClientID, &e.IP, &detail); err != nil {
			return nil, fmt.Errorf("list audit: %w", err)
		}
		e.At = db.Time(micros)
		if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
			return nil, fmt.Errorf("list audit: detail of %s: %w", e.ID, err)
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list audit: %w", err)
	}
	return list, nil
}

// Purge deletes what is older than the retention, in small batches, and returns
// how many lines that were.
func (l *Log) Purge(ctx context.Context, now time.Time) (int64, error) {
	var total int64
	for {
		n, err := l.db.Exec(ctx, `
			DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 ORDER BY at LIMIT $2)`,
			db.Micros(now.Add(-l.retention)), purgeBatch)
		total += n
		if err != nil {
			return total, fmt.Errorf("purge audit: %w", err)
		}
		if n < purgeBatch {
			return total, nil
		}
	}
}
