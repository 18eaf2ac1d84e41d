package ephemeral

import (
	"context"
	"errors"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Name lets a name of the caller's choosing, such as a code that people type,
// lead to an item's id until ttl is over; false if it leads to another already.
// A name is a way to an item and proves nothing: what happens once happens to
// the item. It may be lost, as everything here.
func (s *SQL) Name(ctx context.Context, kind, name, id string, ttl time.Duration) (bool, error) {
	if err := checkLife("ttl", ttl); err != nil {
		return false, err
	}
	now := s.now()
	s.trips.Add(1)
	n, err := s.db.Exec(apart{ctx},
		`INSERT INTO ephemeral_items (id, kind, value, expires_at) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (id) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
		 WHERE ephemeral_items.expires_at <= $5`,
		nameKey(kind, name), kind, []byte(id), db.Micros(now.Add(ttl)), db.Micros(now))
	if err != nil {
		return false, sqlError("name", err)
	}
	return n == 1, nil
}

// Named returns the id that a name leads to; ErrNotFound if to none.
func (s *SQL) Named(ctx context.Context, kind, name string) (string, error) {
	var id []byte
	s.trips.Add(1)
	err := s.db.QueryRow(apart{ctx}, `SELECT value FROM ephemeral_items WHERE id = $1 AND expires_at > $2`,
		nameKey(kind, name), db.Micros(s.now())).Scan(&id)
	if errors.Is(err, db.ErrNotFound) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", sqlError("look up a name", err)
	}
	return string(id), nil
}

// nameKey is no id that a store gives out, so no name can be read or taken as an item.
func nameKey(kind, name string) string { return "n" + keyOf(kind, name) }

// Name always asks SQL, wherever the item is: two stores could let one name lead
// to two items.
func (f *Failover) Name(ctx context.Context, kind, name, id string, ttl time.Duration) (bool, error) {
	return f.sql.Name(ctx, kind, name, id, ttl)
}

// Named asks SQL.
func (f *Failover) Named(ctx context.Context, kind, name string) (string, error) {
	return f.sql.Named(ctx, kind, name)
}
