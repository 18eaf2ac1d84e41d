package user

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// proveFor makes a proof of a test number for a purpose, in a flow of its own.
func (h *house) proveFor(purpose sms.Purpose, phone string) sms.Proof {
	h.t.Helper()
	flow := make([]byte, 32)
	rand.Read(flow)
	ref := sms.Ref{Purpose: purpose, Flow: flow}
	c, err := h.sms.Send(context.Background(), sms.Request{Number: number(h.t, phone), Purpose: purpose, Flow: flow})
	if err != nil {
		h.t.Fatal(err)
	}
	ref.ID = c.ID
	p, err := h.sms.Check(context.Background(), ref, testCode)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func TestAProvenNumberTakesThePlaceOfTheOldOne(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx := t.Context()
		here, there := h.signIn(fixture(0)), h.signIn(fixture(0))
		other := h.signIn(fixture(1))
		u, own := here.User, By{Actor: "user:" + here.User.ID, Session: here.Session.ID}

		if err := h.users.ProvePhone(ctx, other.User.ID, h.proveFor(sms.ChangePhone, fixture(0))); !errors.Is(err, ErrPhoneMoved) {
			t.Errorf("another account's number: %v", err)
		}
		proof := h.proveFor(sms.ChangePhone, fixture(0))
		if err := h.users.ProvePhone(ctx, u.ID, proof); err != nil {
			t.Fatal(err)
		}
		if err := h.users.ProvePhone(ctx, u.ID, proof); !errors.Is(err, sms.ErrCodeExpired) {
			t.Errorf("a proof used twice: %v", err)
		}

		for phone, want := range map[string]error{fixture(0): ErrPhoneSame, fixture(1): ErrPhoneTaken} {
			c := PhoneChange{UserID: u.ID, From: u.Phone, To: h.proveFor(sms.ChangePhone, phone), By: own}
			if err := h.users.ChangePhone(ctx, c); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			if err := h.users.ChangePhone(ctx, c); !errors.Is(err, sms.ErrCodeExpired) {
				t.Errorf("the refused proof: %v", err)
			}
		}
		c := PhoneChange{UserID: u.ID, From: number(t, fixture(5)), To: h.proveFor(sms.ChangePhone, fixture(2)), By: own}
		if err := h.users.ChangePhone(ctx, c); !errors.Is(err, ErrPhoneMoved) {
			t.Errorf("from a number that it has not: %v", err)
		}
		if c.From = (sms.Number{}); !errors.Is(h.users.ChangePhone(ctx, c), ErrPhoneMoved) {
			t.Error("from no number, which it has")
		}
		c.From = u.Phone
		if err := h.users.ChangePhone(ctx, c); err != nil { // what was rolled back can be used
			t.Fatal(err)
		}
		got, err := h.users.find(ctx, u.ID)
		if err != nil || got.Phone.E164() != fixture(2) || got.PhoneVerifiedAt.IsZero() {
			t.Errorf("the account has %v, verified %v, %v", got.Phone, got.PhoneVerifiedAt, err)
		}
		if _, _, err := h.users.SessionOf(with(here.Secret)); err != nil {
			t.Errorf("the session that made the change: %v", err)
		}
		for _, in := range []SignedIn{there} {
			if _, _, err := h.users.SessionOf(with(in.Secret)); !isNotFound(err) {
				t.Errorf("another session: %v", err)
			}
		}
		if _, _, err := h.users.SessionOf(with(other.Secret)); err != nil {
			t.Errorf("another person's session: %v", err)
		}
		if again := h.signIn(fixture(2)); again.User.ID != u.ID || again.Created {
			t.Error("the new number opens another account")
		}
		if stranger := h.signIn(fixture(0)); stranger.User.ID == u.ID || !stranger.Created {
			t.Error("the old number is not free")
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE user_id = $1 AND event IN ('user.phone_changed', 'user.phone_change_refused')`, u.ID); n != 2 {
			t.Errorf("%d lines on record", n)
		}
	})
}

func TestAnAccountWithoutANumberGetsOne(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		if _, err := d.Exec(t.Context(), `DELETE FROM identifiers WHERE user_id = $1`, u.ID); err != nil {
			t.Fatal(err)
		}
		c := PhoneChange{UserID: u.ID, From: u.Phone, To: h.proveFor(sms.ChangePhone, fixture(3)), By: By{Actor: "user:" + u.ID}}
		if err := h.users.ChangePhone(t.Context(), c); !errors.Is(err, ErrPhoneMoved) {
			t.Errorf("from the number of before: %v", err)
		}
		c.From = sms.Number{}
		if err := h.users.ChangePhone(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if again := h.signIn(fixture(3)); again.User.ID != u.ID {
			t.Error("the number opens another account")
		}
		if err := h.users.Disable(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		c.From, c.To = number(t, fixture(3)), h.proveFor(sms.ChangePhone, fixture(4))
		if err := h.users.ChangePhone(t.Context(), c); !errors.Is(err, ErrDisabled) {
			t.Errorf("a disabled account: %v", err)
		}
	})
}

// Many accounts want one number, and people sign in with it: it ends up at one, and
// nobody is left without.
func TestOneAccountGetsANumberThatManyWant(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		const wanted = 49
		var changes []PhoneChange
		for i := range 12 {
			u := h.signIn(fixture(i)).User
			changes = append(changes, PhoneChange{
				UserID: u.ID, From: u.Phone, To: h.proveFor(sms.ChangePhone, fixture(wanted)), By: By{Actor: "user:" + u.ID},
			})
		}
		logins := []sms.Proof{h.proveFor(sms.Login, fixture(wanted)), h.proveFor(sms.Login, fixture(wanted))}
		var won, refused, created atomic.Int32
		var all sync.WaitGroup
		for _, c := range changes {
			all.Go(func() {
				switch err := h.users.ChangePhone(t.Context(), c); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, ErrPhoneTaken):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		for _, p := range logins {
			all.Go(func() {
				in, err := h.users.SignInBySMS(t.Context(), proven(p), Attempt{Browser: true})
				if err != nil {
					t.Error(err)
				}
				if in.Created {
					created.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load()+created.Load() != 1 || won.Load()+refused.Load() != 12 {
			t.Errorf("%d changed, %d refused, %d registered", won.Load(), refused.Load(), created.Load())
		}
		if n := h.rows(`SELECT count(*) FROM identifiers WHERE kind = 'phone'`); n != 12+int(created.Load()) {
			t.Errorf("%d numbers", n)
		}
	})
}

// Of many changes of one account with proofs of different numbers one is first; the
// others find that it has moved.
func TestOneOfManyChangesOfAnAccountIsMade(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		var changes []PhoneChange
		for i := range 10 {
			changes = append(changes, PhoneChange{
				UserID: u.ID, From: u.Phone, To: h.proveFor(sms.ChangePhone, fixture(20+i)), By: By{Actor: "user:" + u.ID},
			})
		}
		var won, moved atomic.Int32
		var all sync.WaitGroup
		for _, c := range changes {
			all.Go(func() {
				switch err := h.users.ChangePhone(t.Context(), c); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, ErrPhoneMoved):
					moved.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || moved.Load() != 9 {
			t.Errorf("%d made, %d too late", won.Load(), moved.Load())
		}
	})
}
