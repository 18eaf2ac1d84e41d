package user

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestARunOfDeletionsCountsOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in := h.signIn(fixture(0))
		h.signIn(fixture(0))
		var dues sync.Map
		var wait sync.WaitGroup
		for range 64 {
			wait.Go(func() {
				due, err := h.users.RequestDeletion(context.Background(), in.User.ID)
				if err != nil {
					t.Error(err)
				}
				dues.Store(due.UnixMicro(), true)
			})
		}
		wait.Wait()
		n := 0
		dues.Range(func(_, _ any) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d answers", n)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'account.deletion_requested'`); n != 1 {
			t.Errorf("requested %d times", n)
		}
		if n := h.rows(`SELECT count(*) FROM sessions WHERE ended_at IS NULL`); n != 0 {
			t.Errorf("%d live sessions", n)
		}
	})
}

// Whoever comes first, the account is either kept, by exactly one of many, or gone.
func TestKeepingAndErasingAtOnceHaveOneOutcome(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		for i := range 6 {
			phone := fixture(i)
			id := h.signIn(phone).User.ID
			if _, err := h.users.RequestDeletion(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			held := h.held(phone)
			due := time.Now().Add(8 * 24 * time.Hour)
			var kept, erased atomic.Int64
			var wait sync.WaitGroup
			for n := range 64 {
				wait.Go(func() {
					if n%8 == i%8 { // in another order each time
						n, err := h.users.EraseDue(context.Background(), due)
						if err != nil {
							t.Error(err)
						}
						erased.Add(n)
						return
					}
					switch _, err := h.users.keepAccount(context.Background(), held, Attempt{Browser: true}); {
					case err == nil:
						kept.Add(1)
					case !errors.Is(err, ErrFlowExpired):
						t.Error(err)
					}
				})
			}
			wait.Wait()
			if kept.Load()+erased.Load() != 1 {
				t.Fatalf("kept %d times, erased %d times", kept.Load(), erased.Load())
			}
			if want := map[bool]string{true: Active, false: ""}[kept.Load() == 1]; h.status(id) != want {
				t.Errorf("status %q, want %q", h.status(id), want)
			}
		}
	})
}

// Sign-ins, deletions and second thoughts in any order: nobody is let in to a
// closing account, and nothing fails but by a refusal.
func TestSignInsBesideDeletions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		id := h.signIn(fixture(0)).User.ID
		var proofs [8]func() error
		for i := range proofs {
			proof := h.prove(fixture(0))
			proofs[i] = func() error {
				in, err := h.users.SignInBySMS(context.Background(), proven(proof), Attempt{Browser: true, AgreementVersion: "1"})
				if errors.Is(err, ErrClosing) {
					_, err = h.users.keepAccount(context.Background(),
						held{UserID: in.User.ID, Number: fixture(0), Mark: in.mark}, Attempt{Browser: true})
				}
				return err
			}
		}
		var wait sync.WaitGroup
		for n := range 64 {
			wait.Go(func() {
				if n >= len(proofs) {
					if _, err := h.users.RequestDeletion(context.Background(), id); err != nil {
						t.Error(err)
					}
					return
				}
				if err := proofs[n](); err != nil && !errors.Is(err, ErrFlowExpired) {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if h.idOf(fixture(0)) != id {
			t.Error("another account")
		}
		if h.status(id) == Closing {
			if n := h.rows(`SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id
				WHERE s.ended_at IS NULL AND s.auth_time > u.grants_after AND u.status = 'active'`); n != 0 {
				t.Errorf("%d live sessions of a closing account", n)
			}
		}
		requested := h.rows(`SELECT count(*) FROM audit WHERE event = 'account.deletion_requested'`)
		cancelled := h.rows(`SELECT count(*) FROM audit WHERE event = 'account.deletion_cancelled'`)
		if open := map[string]int{Closing: 1, Active: 0}[h.status(id)]; requested-cancelled != open {
			t.Errorf("%s after %d requests and %d cancellations", h.status(id), requested, cancelled)
		}
	})
}
