package user

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// Whichever comes first, a session that was signed out leaves no copy behind.
func TestNoCopyOutlivesASignOutOfOthers(t *testing.T) {
	for name, end := range map[string]func(h *house, kept Session) error{
		"by the person": func(h *house, kept Session) error {
			return h.users.SignOutOthers(context.Background(), kept.UserID, Kept{Session: kept.ID})
		},
		"of everything": func(h *house, kept Session) error {
			_, err := h.users.endSessionsBut(context.Background(), kept.ID, kept.UserID, "operator")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *db.DB) {
				h := newHouse(t, d)
				kept := h.signIn(fixture(0)).Session
				for range 8 {
					phone := h.signIn(fixture(0)).Session
					var wait sync.WaitGroup
					for n := range 24 {
						wait.Go(func() {
							if n == 12 {
								if err := end(h, kept); err != nil {
									t.Error(err)
								}
								return
							}
							_, err := h.users.signInBySession(context.Background(), phone.UserID, phone.ID, time.Time{}, Attempt{Browser: true})
							if err != nil && !errors.Is(err, errQRSignedOut) {
								t.Error(err)
							}
						})
					}
					wait.Wait()
					if n := h.rows(`SELECT count(*) FROM sessions WHERE ended_at IS NULL`); n != 1 {
						t.Fatalf("%d live sessions", n)
					}
				}
			})
		})
	}
}
