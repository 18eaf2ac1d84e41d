package user

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// deaf are clients of whom one person's cannot be told.
type deaf struct {
	noClients
	of string
}

func (d deaf) Erasing(_ context.Context, userID string) error {
	if userID == d.of {
		return errors.New("the line is dead")
	}
	return nil
}

func TestOneAccountThatCannotBeErasedKeepsNoOther(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		var ids []string
		for i := range 4 {
			ids = append(ids, h.signIn(fixture(i)).User.ID)
			if _, err := h.users.RequestDeletion(t.Context(), ids[i]); err != nil {
				t.Fatal(err)
			}
		}
		for _, torn := range []string{`UPDATE identifiers SET sealed = $1 WHERE user_id = $2`, `UPDATE users SET claims = '{' WHERE $1 <> '' AND id = $2`} {
			if _, err := d.Exec(t.Context(), torn, []byte("torn"), ids[1]); err != nil {
				t.Fatal(err)
			}
		}
		HeldBy(deaf{of: ids[0]})(h.users)
		n, err := h.users.EraseDue(t.Context(), time.Now().Add(8*24*time.Hour))
		if n != 3 || err == nil || h.status(ids[0]) != Closing {
			t.Errorf("erased %d, %v", n, err)
		}
		HeldBy(noClients{})(h.users)
		if n, err := h.users.EraseDue(t.Context(), time.Now().Add(8*24*time.Hour)); n != 1 || err != nil {
			t.Errorf("later %d, %v", n, err)
		}
	})
}

// With a delay of 0 the account is gone for its owner even where erasing it fails
// at first: it is tried again with the others.
func TestADeletionAtOnceIsKept(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		Accounts(0, recycleAfter, quarantine)(h.users)
		id := h.signIn(fixture(0)).User.ID
		HeldBy(deaf{of: id})(h.users)
		if _, err := h.users.RequestDeletion(t.Context(), id); err != nil || h.status(id) != Closing {
			t.Errorf("%s, %v", h.status(id), err)
		}
		HeldBy(noClients{})(h.users)
		if n, err := h.users.EraseDue(t.Context(), time.Now()); n != 1 || err != nil {
			t.Errorf("erased %d, %v", n, err)
		}
	})
}

// Wrong codes for the number that an account had are about its person, too.
func TestErasureForgetsTheAddressesOfTheFormerNumber(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		const phone = "+8613800138061" // whose codes are sent
		b := h.browser()
		flow, challenge := b.begin("/start", phone)
		b.finish(flow, challenge, "000000")
		b.finish(flow, challenge, h.sink.last(phone)).to(t)
		if _, err := h.users.ReleaseNumber(t.Context(), number(t, phone)); err != nil {
			t.Fatal(err)
		}
		if n, err := h.users.EraseDue(t.Context(), time.Now().Add(quarantine+time.Hour)); n != 1 || err != nil {
			t.Fatalf("erased %d, %v", n, err)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'login.code_refused' AND ip <> ''`); n != 0 {
			t.Errorf("%d addresses are left", n)
		}
	})
}
