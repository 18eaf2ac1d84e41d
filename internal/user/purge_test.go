package user

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// An account that a browser or an app used is none of a recycled number, though
// what says so is no longer needed otherwise.
func TestPurgingForgetsNoUse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		back := func(days int) int64 { return db.Micros(time.Now().Add(-time.Duration(days) * 24 * time.Hour)) }
		for name, tt := range map[string]struct {
			used int // days ago
			held bool
		}{"in use": {80, false}, "idle": {91, true}} {
			u := h.idle(fixture(0), 110)
			if _, err := d.Exec(t.Context(), `UPDATE sessions SET seen_at = $1, expires_at = $1 WHERE user_id = $2`, back(tt.used), u.ID); err != nil {
				t.Fatal(err)
			}
			if n, err := h.users.Purge(t.Context(), time.Now()); n != 1 || err != nil {
				t.Fatalf("purged %d, %v", n, err)
			}
			_, err := h.users.SignInBySMS(context.Background(), proven(h.prove(fixture(0))), Attempt{Browser: true})
			if errors.Is(err, ErrRecycled) != tt.held {
				t.Errorf("%s: %v", name, err)
			}
			if err := h.users.Delete(t.Context(), u.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}
