package user

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// The file of before knows the number's old owner and their password.
func TestAnImportGivesNoReleasedNumberBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		file := "phone,password_hash\n" + fixture(0) + "," + djangoHash(t, goodPassword) + "\n"
		if _, err := h.users.Import(t.Context(), csvRows(t, file)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.users.ReleaseNumber(t.Context(), number(t, fixture(0))); err != nil {
			t.Fatal(err)
		}
		outcomes, err := h.users.Import(t.Context(), csvRows(t, file))
		if diff := cmp.Diff([]string{"2 present +86 138****8000"}, outcomesOf(outcomes)); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if in := h.signIn(fixture(0)); !in.Created || h.rows(`SELECT count(*) FROM passwords WHERE user_id = $1`, in.User.ID) != 0 {
			t.Error("whoever has the number now got the old account's password")
		}
	})
}
