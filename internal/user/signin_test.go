package user

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms"
)

func TestSignInRegistersANewNumberOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		first := h.signIn(fixture(0))
		if !first.Created || first.User.Status != Active || first.User.Phone.E164() != fixture(0) || first.User.PhoneVerifiedAt.IsZero() {
			t.Fatalf("first sign-in: %+v", first)
		}
		second := h.signIn(fixture(0))
		if second.Created {
			t.Error("the second sign-in registered again")
		}
		if diff := cmp.Diff(first.User, second.User); diff != "" {
			t.Errorf("another user (-first +second):\n%s", diff)
		}
		if other := h.signIn(fixture(1)); other.User.ID == first.User.ID {
			t.Error("two numbers share an account")
		}
	})
}

// The two challenges have rows of their own, so nothing but the key of
// identifiers decides who registers.
func TestRacingFirstSignInsMakeOneAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		proofs := []sms.Proof{h.prove(fixture(0)), h.prove(fixture(0))}
		var in, created, refused atomic.Int64
		var ids sync.Map
		var wait sync.WaitGroup
		for i := range 50 {
			wait.Go(func() {
				got, err := h.users.SignInBySMS(context.Background(), proven(proofs[i%2]), Attempt{Browser: true, AgreementVersion: "1"})
				switch {
				case errors.Is(err, sms.ErrCodeExpired):
					refused.Add(1)
				case err != nil:
					t.Error(err)
				default:
					in.Add(1)
					ids.Store(got.User.ID, true)
					if got.Created {
						created.Add(1)
					}
				}
			})
		}
		wait.Wait()
		if in.Load() != 2 || created.Load() != 1 || refused.Load() != 48 {
			t.Errorf("signed in %d, created %d, refused %d; want 2, 1, 48", in.Load(), created.Load(), refused.Load())
		}
		for table, want := range map[string]int{"users": 1, "identifiers": 1, "agreements": 1, "sessions": 2} {
			if n := h.rows("SELECT count(*) FROM " + table); n != want {
				t.Errorf("%s has %d rows, want %d", table, n, want)
			}
		}
	})
}

// The loser of the race keeps nothing of its own; SignInBySMS then starts again.
func TestTheLoserOfARegistrationLeavesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		n := number(t, fixture(0))
		h.signIn(fixture(0))
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			_, err := h.users.register(ctx, n, n.Index(h.vault), time.Now())
			return err
		})
		if !errors.Is(err, db.ErrConflict) {
			t.Fatalf("got %v, want a conflict", err)
		}
		if n := h.rows(`SELECT count(*) FROM users`); n != 1 {
			t.Errorf("%d users, want 1", n)
		}
	})
}

func TestSignInBesideDeletionNeverFails(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		for range 20 {
			before := h.signIn(fixture(0)).User
			proof := h.prove(fixture(0))
			var wait sync.WaitGroup
			wait.Go(func() {
				if err := h.users.Delete(context.Background(), before.ID); err != nil {
					t.Error(err)
				}
			})
			wait.Go(func() {
				if _, err := h.users.SignInBySMS(context.Background(), proven(proof), Attempt{Browser: true, AgreementVersion: "1"}); err != nil {
					t.Error(err)
				}
			})
			wait.Wait()
		}
	})
}

func TestAgreementIsKeptOncePerVersion(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		for _, version := range []string{"1", "1", "", "2", "1", "2"} {
			if _, err := h.users.SignInBySMS(t.Context(), proven(h.prove(fixture(0))), Attempt{AgreementVersion: version, ClientID: "app", Locale: "en"}); err != nil {
				t.Fatal(err)
			}
		}
		u := h.signIn(fixture(0)).User
		kept, err := h.users.Agreements(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		var versions []string
		for _, a := range kept {
			versions = append(versions, a.Version)
			if a.AgreedAt.IsZero() || a.ClientID != "app" {
				t.Errorf("incomplete: %+v", a)
			}
		}
		if diff := cmp.Diff([]string{"1", "2", termsOfTest}, versions); diff != "" {
			t.Errorf("agreements (-want +got):\n%s", diff)
		}
	})
}

func TestADisabledUserUsesTheCodeUpAndGetsNoSession(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		if err := h.users.Disable(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		proof := h.prove(fixture(0))
		if _, err := h.users.SignInBySMS(t.Context(), proven(proof), Attempt{Browser: true}); !errors.Is(err, ErrDisabled) {
			t.Fatalf("got %v, want account_disabled", err)
		}
		if _, err := h.users.SignInBySMS(t.Context(), proven(proof), Attempt{Browser: true}); !errors.Is(err, sms.ErrCodeExpired) {
			t.Fatalf("the code survived: %v", err)
		}
		if n := h.rows(`SELECT count(*) FROM sessions WHERE ended_at IS NULL`); n != 0 {
			t.Errorf("%d live sessions", n)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'login.refused'`); n != 1 {
			t.Errorf("%d refusals recorded, want 1", n)
		}
		if err := h.users.Enable(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		if in := h.signIn(fixture(0)); in.User.ID != u.ID {
			t.Error("enabled under another id")
		}
	})
}

func TestSignInVerifiesANumberThatAnOperatorEntered(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, err := h.users.Create(t.Context(), number(t, fixture(0)), map[string]any{"name": "Zhang San"})
		if err != nil {
			t.Fatal(err)
		}
		if !u.PhoneVerifiedAt.IsZero() {
			t.Error("verified without a code")
		}
		in := h.signIn(fixture(0))
		if in.Created || in.User.ID != u.ID || in.User.PhoneVerifiedAt.IsZero() {
			t.Errorf("signed in as %+v", in)
		}
		if again, err := h.users.Get(t.Context(), u.ID); err != nil || again.PhoneVerifiedAt.IsZero() {
			t.Errorf("not kept: %v %v", again.PhoneVerifiedAt, err)
		}
	})
}

func TestSignInIsRecorded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in := h.signIn(fixture(0))
		again := h.signIn(fixture(0))
		lines, err := audit.New(d).List(t.Context(), in.User.ID, audit.Entry{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []audit.Event
		for _, l := range lines {
			got = append(got, l.Event)
		}
		line := func(name string, in SignedIn) audit.Event {
			return audit.Event{Name: name, Actor: "user:" + in.User.ID, UserID: in.User.ID, ClientID: "app", IP: "198.51.100.7",
				Detail: map[string]string{"method": "sms", "session": in.Session.ID}}
		}
		want := []audit.Event{line("login.succeeded", again), line("user.created", in)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("audit (-want +got):\n%s", diff)
		}
	})
}

// The budget of the design: a sign-in is one commit of few statements.
func TestSignInCostsOneCommitAndEightStatements(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		old := h.signIn(fixture(0)).Session
		for name, attempt := range map[string]Attempt{
			"plain":    {},
			"complete": {Browser: true, AgreementVersion: "next", Replaces: old.ID},
		} {
			proof := h.prove(fixture(0))
			before := d.Counters()
			if _, err := h.users.SignInBySMS(t.Context(), proven(proof), attempt); err != nil {
				t.Fatal(err)
			}
			after := d.Counters()
			if n := after.Commits - before.Commits; n != 1 {
				t.Errorf("%s: %d commits, want 1", name, n)
			}
			if n := after.TxStatements - before.TxStatements; n > 8 {
				t.Errorf("%s: %d statements, want at most 8", name, n)
			}
			if n := after.Reads + after.Writes - before.Reads - before.Writes; n != 0 {
				t.Errorf("%s: %d statements outside", name, n)
			}
		}
	})
}

func TestARolledBackSignInLeavesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		proof := h.prove(fixture(0))
		stop := errors.New("stop")
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			if _, err := h.users.SignInBySMS(ctx, proven(proof), Attempt{Browser: true, AgreementVersion: "1"}); err != nil {
				t.Fatal(err)
			}
			return stop
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		for _, table := range []string{"users", "identifiers", "sessions", "agreements"} {
			if n := h.rows("SELECT count(*) FROM " + table); n != 0 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
		if _, err := h.users.SignInBySMS(t.Context(), proven(proof), Attempt{}); err != nil {
			t.Errorf("the proof was lost: %v", err)
		}
	})
}
