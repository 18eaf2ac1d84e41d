package user

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms"
)

func TestAnOperatorReleasesANumberAndRestoresItsAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx := t.Context()
		in := h.signIn(fixture(0))
		u, err := h.users.ReleaseNumber(ctx, in.User.Phone)
		if err != nil || u.ID != in.User.ID || u.Status != Quarantined || u.ClosesAt.IsZero() || !u.Phone.IsZero() {
			t.Fatalf("released: %v, %v", u.Document(), err)
		}
		if _, err := h.users.ReleaseNumber(ctx, in.User.Phone); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a second time: %v", err)
		}
		if _, _, err := h.users.SessionOf(with(in.Secret)); !isNotFound(err) {
			t.Errorf("the session lives: %v", err)
		}
		next := h.signIn(fixture(0))
		if !next.Created || next.User.ID == u.ID {
			t.Error("the number leads to the account before")
		}
		for filter, want := range map[Filter]string{
			{Status: Quarantined}: u.ID, {Former: in.User.Phone}: u.ID, {Status: Active}: next.User.ID,
			{Former: number(t, fixture(7))}: "", {Status: Active, Former: in.User.Phone}: "",
		} {
			if list, err := h.users.ListOf(ctx, filter, "", 10); err != nil || strings.Join(ids(list), " ") != want {
				t.Errorf("%v lists %v, %v", filter, ids(list), err)
			}
		}
		if err := h.users.SetPhone(ctx, u.ID, in.User.Phone); !errors.Is(err, db.ErrConflict) {
			t.Errorf("restored with somebody else's number: %v", err)
		}
		if err := h.users.SetPhone(ctx, u.ID, number(t, fixture(1))); err != nil {
			t.Fatal(err)
		}
		back, err := h.users.Get(ctx, u.ID)
		if err != nil || back.Status != Active || !back.ClosesAt.IsZero() || !back.FormerPhone.IsZero() {
			t.Errorf("restored: %v, %v", back.Document(), err)
		}
		if again := h.signIn(fixture(1)); again.User.ID != u.ID {
			t.Error("the owner is not back")
		}
	})
}

// An operator vouches for the number that they set, however long ago the last
// sign-in was.
func TestARestoredAccountOpensByItsNewNumber(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		old := h.idle(fixture(0), 200)
		if _, err := h.users.ReleaseNumber(t.Context(), old.Phone); err != nil {
			t.Fatal(err)
		}
		if err := h.users.SetPhone(t.Context(), old.ID, number(t, fixture(1))); err != nil {
			t.Fatal(err)
		}
		if in := h.signIn(fixture(1)); in.User.ID != old.ID {
			t.Error("somebody else")
		}
	})
}

func TestReleasingKeepsWhatStandsAgainstAnAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		disabled, closing := h.signIn(fixture(0)).User, h.signIn(fixture(1)).User
		if err := h.users.Disable(t.Context(), disabled.ID); err != nil {
			t.Fatal(err)
		}
		due, err := h.users.RequestDeletion(t.Context(), closing.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []sms.Number{disabled.Phone, closing.Phone} {
			if _, err := h.users.ReleaseNumber(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		if h.status(disabled.ID) != Disabled || h.status(closing.ID) != Closing {
			t.Errorf("now %s and %s", h.status(disabled.ID), h.status(closing.ID))
		}
		if n, err := h.users.EraseDue(t.Context(), due); n != 1 || err != nil {
			t.Errorf("erased %d, %v", n, err)
		}
		if err := h.users.SetPhone(t.Context(), disabled.ID, disabled.Phone); err != nil || h.status(disabled.ID) != Disabled {
			t.Errorf("set-phone made it %s, %v", h.status(disabled.ID), err)
		}
	})
}

func TestQuarantineEndsByAProofOrByErasure(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		back, gone := h.signIn(fixture(0)).User, h.signIn(fixture(1)).User
		for _, u := range []User{back, gone} {
			if _, err := h.users.ReleaseNumber(t.Context(), u.Phone); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []bool{true, false} {
			if ok, err := h.users.readmit(t.Context(), back.ID, time.Now()); ok != want || err != nil {
				t.Errorf("readmitted: %v, %v", ok, err)
			}
		}
		if n, err := h.users.EraseDue(t.Context(), time.Now().Add(quarantine-time.Minute)); n != 0 || err != nil {
			t.Errorf("erased %d too early, %v", n, err)
		}
		if n, err := h.users.EraseDue(t.Context(), time.Now().Add(quarantine)); n != 1 || err != nil {
			t.Errorf("erased %d, %v", n, err)
		}
		if h.status(back.ID) != Active || h.status(gone.ID) != "" {
			t.Errorf("now %q and %q", h.status(back.ID), h.status(gone.ID))
		}
		if n := h.rows(`SELECT count(*) FROM former_numbers`); n != 0 {
			t.Errorf("%d former numbers left", n)
		}
	})
}

func TestFormerNumbersAreResealed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		if _, err := h.users.ReleaseNumber(t.Context(), u.Phone); err != nil {
			t.Fatal(err)
		}
		h.signIn(fixture(0))
		older := []byte("a master secret for tests, long enough")
		newer := []byte("another master secret, long enough as well")
		vault, err := signing.OpenVault(t.Context(), d, [][]byte{newer, older})
		if err != nil {
			t.Fatal(err)
		}
		users := New(d, vault, audit.New(d))
		for _, want := range []int64{2, 0} {
			if n, err := users.Reseal(t.Context()); n != want || err != nil {
				t.Errorf("resealed %d, want %d, %v", n, want, err)
			}
		}
		if again, err := users.Get(t.Context(), u.ID); err != nil || again.FormerPhone != u.Phone {
			t.Errorf("the former number is %v, %v", again.FormerPhone, err)
		}
	})
}
