package user

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// numberless is an account without a number, with two names, a password and a passkey.
func (h *house) numberless() (User, *authenticator) {
	h.t.Helper()
	u := h.withPassword(0, "anna")
	key := newAuthenticator(h.t)
	h.enrol(h.signIn(fixture(0)), key)
	if _, err := h.users.ReleaseNumber(context.Background(), u.Phone); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.byKey(key); err != nil {
		h.t.Fatal(err)
	}
	return u, key
}

func TestTheLastWayInStays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, key := h.numberless()
		by := By{Actor: "user:" + u.ID}
		username := func() error { return h.users.SetUsername(t.Context(), u.ID, "", by) }
		email := func() error { return h.users.SetEmail(t.Context(), u.ID, "", by) }
		pass := func() error { return h.users.RemovePassword(t.Context(), u.ID, by) }
		passkey := func() error { return h.users.RemovePasskey(t.Context(), u.ID, key.credentialID(), by) }
		for _, step := range []struct {
			name string
			take func() error
			want error
		}{
			{"one of two names", username, nil}, {"the passkey", passkey, nil},
			{"the last name", email, ErrLastWayIn}, {"the password", pass, ErrLastWayIn},
		} {
			if err := step.take(); !errors.Is(err, step.want) {
				t.Errorf("%s: %v", step.name, err)
			}
		}
		if in, err := h.byPassword("anna@mail.example", goodPassword); err != nil || in.User.ID != u.ID {
			t.Errorf("locked out: %v", err)
		}
		b := h.browser()
		b.byPassword(b.openPassword("/login"), "anna@mail.example", goodPassword, "agree", "1").to(t)
		b.post("/account/security/password/remove", url.Values{}).wants(t, 409, "page-account-password")
		b.post("/account/security/email/remove", url.Values{}).wants(t, 409, "page-account-email")
	})
}

func TestOfTwoLastWaysOneStays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, key := h.numberless()
		var errs [2]error
		var wait sync.WaitGroup
		wait.Go(func() { errs[0] = h.users.RemovePassword(context.Background(), u.ID, By{Actor: "user:" + u.ID}) })
		wait.Go(func() {
			errs[1] = h.users.RemovePasskey(context.Background(), u.ID, key.credentialID(), By{Actor: "user:" + u.ID})
		})
		wait.Wait()
		if errors.Is(errs[0], ErrLastWayIn) == errors.Is(errs[1], ErrLastWayIn) {
			t.Errorf("%v", errs)
		}
	})
}
