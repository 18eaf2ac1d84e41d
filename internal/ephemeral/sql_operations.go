package ephemeral

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Put inserts one row.
func (s *SQL) Put(ctx context.Context, kind string, value []byte, ttl time.Duration) (string, error) {
	if err := checkLife("ttl", ttl); err != nil {
		return "", err
	}
	id := newID(inSQL)
	s.trips.Add(1)
	_, err := s.db.Exec(apart{ctx},
		`INSERT INTO ephemeral_items (id, kind, value, expires_at) VALUES ($1, $2, $3, $4)`,
		id, kind, notNil(value), db.Micros(s.now().Add(ttl)))
	if err != nil {
		return "", sqlError("put", err)
	}
	return id, nil
}

// Get reads one row.
func (s *SQL) Get(ctx context.Context, kind, id string) ([]byte, error) {
	if !isID(inSQL, id) {
		return nil, ErrNotFound
	}
	var value, tombstone []byte
	var taken bool
	s.trips.Add(1)
	err := s.db.QueryRow(apart{ctx},
		`SELECT value, tombstone, tombstone IS NOT NULL FROM ephemeral_items
		 WHERE id = $1 AND kind = $2 AND expires_at > $3`,
		id, kind, db.Micros(s.now())).Scan(&value, &tombstone, &taken)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil, ErrNotFound
	case err != nil:
		return nil, sqlError("get", err)
	case taken:
		return tombstone, ErrUsed
	}
	return value, nil
}

// Take is one conditional statement, and one more for who comes too late.
func (s *SQL) Take(ctx context.Context, kind, id string, tombstone []byte, keep time.Duration) ([]byte, error) {
	if !isID(inSQL, id) {
		return nil, ErrNotFound
	}
	now := s.now()
	s.trips.Add(1)
	var value []byte
	var err error
	if keep > 0 {
		// The value stays in the row, out of reach, until the tombstone goes:
		// neither engine could return it and overwrite it in one statement.
		err = s.db.QueryRow(apart{ctx},
			`UPDATE ephemeral_items SET tombstone = $1, expires_at = $2
			 WHERE id = $3 AND kind = $4 AND tombstone IS NULL AND expires_at > $5 RETURNING value`,
			notNil(tombstone), db.Micros(now.Add(keep)), id, kind, db.Micros(now)).Scan(&value)
	} else {
		err = s.db.QueryRow(apart{ctx},
			`DELETE FROM ephemeral_items
			 WHERE id = $1 AND kind = $2 AND tombstone IS NULL AND expires_at > $3 RETURNING value`,
			id, kind, db.Micros(now)).Scan(&value)
	}
	switch {
	case errors.Is(err, db.ErrNotFound):
		return s.tombstone(ctx, kind, id)
	case err != nil:
		return nil, sqlError("take", err)
	}
	return value, nil
}

// tombstone is what a Take answers that found nothing to take.
func (s *SQL) tombstone(ctx context.Context, kind, id string) ([]byte, error) {
	left, err := s.Get(ctx, kind, id)
	if err == nil {
		return nil, ErrNotFound // the clock went back between two reads of it
	}
	return left, err
}

// Swap is one conditional statement.
func (s *SQL) Swap(ctx context.Context, kind, id string, old, next []byte) (bool, error) {
	if !isID(inSQL, id) {
		return false, nil
	}
	s.trips.Add(1)
	n, err := s.db.Exec(apart{ctx},
		`UPDATE ephemeral_items SET value = $1
		 WHERE id = $2 AND kind = $3 AND value = $4 AND tombstone IS NULL AND expires_at > $5`,
		notNil(next), id, kind, notNil(old), db.Micros(s.now()))
	if err != nil {
		return false, sqlError("swap", err)
	}
	return n == 1, nil
}

// Mark inserts a row, or takes over one that has expired.
func (s *SQL) Mark(ctx context.Context, kind, key string, ttl time.Duration) (bool, error) {
	if err := checkLife("ttl", ttl); err != nil {
		return false, err
	}
	now := s.now()
	s.trips.Add(1)
	n, err := s.db.Exec(apart{ctx},
		`INSERT INTO ephemeral_marks (key, expires_at) VALUES ($1, $2)
		 ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at WHERE ephemeral_marks.expires_at <= $3`,
		keyOf(kind, key), db.Micros(now.Add(ttl)), db.Micros(now))
	if err != nil {
		return false, sqlError("mark", err)
	}
	return n == 1, nil
}

// Marked is one statement.
func (s *SQL) Marked(ctx context.Context, kind, key string) (marked bool, err error) {
	s.trips.Add(1)
	err = s.db.QueryRow(apart{ctx}, `SELECT EXISTS (SELECT 1 FROM ephemeral_marks WHERE key = $1 AND expires_at > $2)`,
		keyOf(kind, key), db.Micros(s.now())).Scan(&marked)
	if err != nil {
		return false, sqlError("look for a mark", err)
	}
	return marked, nil
}

// Add is one statement; a counter whose life is over starts again.
func (s *SQL) Add(ctx context.Context, key string, n int64, life time.Duration) (int64, error) {
	if err := checkLife("life", life); err != nil {
		return 0, err
	}
	now := s.now()
	var total int64
	s.trips.Add(1)
	err := s.db.QueryRow(apart{ctx},
		`INSERT INTO ephemeral_counters (key, total, expires_at) VALUES ($1, $2, $3)
		 ON CONFLICT (key) DO UPDATE SET
		     total = CASE WHEN ephemeral_counters.expires_at <= $4 THEN excluded.total
		                  ELSE ephemeral_counters.total + excluded.total END,
		     expires_at = CASE WHEN ephemeral_counters.expires_at <= $4 THEN excluded.expires_at
		                  ELSE ephemeral_counters.expires_at END
		 RETURNING total`,
		keyOf("counter", key), n, db.Micros(now.Add(life)), db.Micros(now)).Scan(&total)
	if err != nil {
		return 0, sqlError("add", err)
	}
	return total, nil
}

// errNothingToWrite rolls a Spend back that changed no log.
var errNothingToWrite = errors.New("nothing to write")

// Spend is one transaction of two statements: lock and read every log, write
// every log. A refusal is rolled back.
func (s *SQL) Spend(ctx context.Context, limits []Limit) (Decision, error) {
	if len(limits) == 0 {
		return Decision{Allowed: true, store: inSQL}, nil
	}
	now := s.now()
	rules, err := rulesOf(limits, now)
	if err != nil {
		return Decision{}, err
	}
	var d Decision
	err = s.changeLogs(ctx, rules, now, func(logs []spendLog) []bool {
		var changed []bool
		d, changed = spend(rules, logs, now.UnixMicro())
		return changed
	})
	if err != nil {
		return Decision{}, sqlError("spend", err)
	}
	d.store = inSQL
	return d, nil
}

// Refund takes the spends out of their logs again.
func (s *SQL) Refund(ctx context.Context, limits []Limit, d Decision) error {
	if !d.Allowed || len(d.at) != len(limits) || d.store != inSQL {
		return errForeignDecision
	}
	now := s.now()
	rules, err := rulesOf(limits, now)
	if err != nil {
		return err
	}
	err = s.changeLogs(ctx, rules, now, func(logs []spendLog) []bool {
		changed := make([]bool, len(logs))
		for i := range logs {
			logs[i], changed[i] = logs[i].remove(d.at[i])
		}
		return changed
	})
	if err != nil {
		return sqlError("refund", err)
	}
	return nil
}

// changeLogs lets change work on the logs of all rules while nobody else can,
// and writes those that it reports as changed.
func (s *SQL) changeLogs(ctx context.Context, rules []rule, now time.Time, change func([]spendLog) []bool) error {
	s.trips.Add(2) // BEGIN and COMMIT
	err := s.db.Tx(apart{ctx}, func(ctx context.Context) error {
		logs, err := s.lockLogs(ctx, rules, now)
		if err != nil {
			return err
		}
		return s.writeLogs(ctx, rules, logs, change(logs), now)
	})
	if errors.Is(err, errNothingToWrite) {
		return nil
	}
	return err
}

// lockLogs reads the logs by an upsert that changes nothing but locks the rows,
// in the order of their keys, so that two Spends cannot wait for each other. On
// SQLite the transaction holds the one write lock already.
func (s *SQL) lockLogs(ctx context.Context, rules []rule, now time.Time) ([]spendLog, error) {
	index := make(map[string]int, len(rules))
	for i, r := range rules {
		index[r.key] = i
	}
	sorted := slices.SortedFunc(slices.Values(rules), func(a, b rule) int { return cmp.Compare(a.key, b.key) })
	args := make([]any, 0, 3*len(rules))
	query := `SELECT key, log FROM ephemeral_limits WHERE key IN ` + placeholders(1, len(rules))
	for _, r := range sorted {
		args = append(args, r.key)
	}
	if s.db.Engine() != db.SQLite {
		args = args[:0]
		for _, r := range sorted {
			args = append(args, r.key, "", logExpiry(r, nil, now))
		}
		query = `INSERT INTO ephemeral_limits (key, log, expires_at) VALUES ` + placeholders(len(rules), 3) +
			` ON CONFLICT (key) DO UPDATE SET log = ephemeral_limits.log RETURNING key, log`
	}
	s.trips.Add(1)
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	logs := make([]spendLog, len(rules))
	for rows.Next() {
		var key, text string
		if err := rows.Scan(&key, &text); err != nil {
			return nil, err
		}
		if logs[index[key]], err = parseLog(text); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return logs, rows.Close()
}

func (s *SQL) writeLogs(ctx context.Context, rules []rule, logs []spendLog, changed []bool, now time.Time) error {
	var args []any
	for i, r := range rules {
		if changed[i] {
			args = append(args, r.key, logs[i].String(), logExpiry(r, logs[i], now))
		}
	}
	if len(args) == 0 {
		return errNothingToWrite
	}
	s.trips.Add(1)
	_, err := s.db.Exec(ctx, `INSERT INTO ephemeral_limits (key, log, expires_at) VALUES `+placeholders(len(args)/3, 3)+
		` ON CONFLICT (key) DO UPDATE SET log = excluded.log, expires_at = excluded.expires_at`, args...)
	return err
}

// logExpiry is when a log is surely empty, rounded up to a multiple of the
// window: the indexed column then rarely changes, and PostgreSQL can update the
// row in place.
func logExpiry(r rule, log spendLog, now time.Time) int64 {
	newest := r.at
	if len(log) > 0 {
		newest = max(newest, log[len(log)-1].at)
	}
	end := max(newest, now.UnixMicro()) + r.per + logSlack.Microseconds()
	return (end + r.per - 1) / r.per * r.per
}

// placeholders is "($1,$2,$3),($4,$5,$6)" for two rows of three.
func placeholders(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteByte('(')
		case i%columns == 0:
			b.WriteString("),(")
		default:
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	b.WriteByte(')')
	return b.String()
}

// notNil makes an empty value of a missing one: a nil slice would be NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
