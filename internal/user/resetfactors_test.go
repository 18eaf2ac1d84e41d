package user

import (
	"context"
	"errors"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// Whoever held the number, or got into the account, may have made any of them.
func TestAnOperatorTakesWhatAnAccountCanShow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for name, act := range map[string]func(*house, string) error{
			"set-phone": func(h *house, id string) error {
				return h.users.SetPhone(context.Background(), id, number(t, fixture(9)))
			},
			"reset-factors": func(h *house, id string) error { return h.users.ResetFactors(context.Background(), id) },
		} {
			h := newHouse(t, d)
			in := h.signIn(fixture(0))
			h.giveCredentials(in.User.ID)
			if err := act(h, in.User.ID); err != nil {
				t.Fatal(err)
			}
			for _, table := range []string{"passkeys", "passwords", "totp", "recovery_codes", "credential_failures"} {
				if n := h.rows(`SELECT count(*) FROM `+table+` WHERE user_id = $1`, in.User.ID); n != 0 {
					t.Errorf("%s leaves %d %s", name, n, table)
				}
			}
			if _, err := h.byPassword("Rotterdamus", goodPassword); !errors.Is(err, ErrCredentials) {
				t.Errorf("%s: %v", name, err)
			}
			if _, _, err := h.users.SessionOf(with(in.Secret)); !isNotFound(err) {
				t.Errorf("%s: the session lives: %v", name, err)
			}
			if name == "reset-factors" {
				if again := h.signIn(fixture(0)); again.User.ID != in.User.ID {
					t.Error("the number leads elsewhere")
				}
			}
			if err := h.users.Delete(t.Context(), in.User.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := newHouse(t, d).users.ResetFactors(t.Context(), "nobody"); !isNotFound(err) {
			t.Errorf("nobody's: %v", err)
		}
	})
}
