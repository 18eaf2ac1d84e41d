package user

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/user/password"
)

// Whatever system a password comes from, its owner signs in with it, and from then
// on it is hashed as ours are.
func TestEveryKindOfHashIsRenewedAtTheFirstSignIn(t *testing.T) {
	const argon2 = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	kinds := []struct{ hash, typed string }{
		{"pbkdf2_sha256$1000$seasalt$DrdiWD40lyBuydnjvZiDrdQMx1S1mOA9O0QYex0R6ww=", "correct horse battery"},
		{"$2a$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.", "correct horse battery"},
		{"$2y$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.", "correct horse battery"},
		{"bcrypt$$2b$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.", "correct horse battery"},
		{"bcrypt_sha256$$2b$05$abcdefghijklmnopqrstuuGcuILa2E37uJs3NexF6McyNsliG6nJW", "correct horse battery"},
		{argon2, "password"}, // not one that may be chosen, but theirs
		{"argon2" + argon2, "password"},
	}
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		rows := "phone,password_hash\n"
		for i, k := range kinds {
			rows += fixture(i) + `,"` + k.hash + "\"\n"
		}
		outcomes, err := h.users.Import(t.Context(), csvRows(t, rows+fixture(20)+",!kQ3unusable\n"))
		if err != nil {
			t.Fatal(err)
		}
		visit := h.online()
		stored := func(i int) (hash string) {
			err := d.QueryRow(t.Context(), `SELECT p.hash FROM passwords p JOIN identifiers i ON i.user_id = p.user_id WHERE i.lookup = $1`,
				number(t, fixture(i)).Index(h.vault)).Scan(&hash)
			if err != nil {
				t.Fatal(err)
			}
			return hash
		}
		for i, k := range kinds {
			if outcomes[i].Result != RowCreated || stored(i) != k.hash {
				t.Fatalf("%.16s: %v", k.hash, outcomesOf(outcomes[i:i+1]))
			}
			b := visit()
			flow := b.openPassword("/start?skip=1")
			b.byPassword(flow, fixture(i), k.typed+"x").wants(t, 422, "page-password")
			if stored(i) != k.hash {
				t.Errorf("%.16s: a wrong password changed it", k.hash)
			}
			b.byPassword(flow, fixture(i), k.typed).to(t)
			renewed := stored(i)
			if password.NeedsRehash(renewed) {
				t.Errorf("%.16s stays", k.hash)
			}
			b = visit()
			b.byPassword(b.openPassword("/start?skip=1"), fixture(i), k.typed).to(t)
			if stored(i) != renewed {
				t.Errorf("%.16s is renewed again", k.hash)
			}
		}
		if n := h.rows(`SELECT count(*) FROM passwords`); outcomes[len(kinds)].Result != RowCreated || n != len(kinds) {
			t.Errorf("%v, %d passwords, want %d", outcomesOf(outcomes[len(kinds):]), n, len(kinds))
		}
	})
}

func TestAnArrayIsReadByElement(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	person := func(i int) string { return fmt.Sprintf("{\"phone\": %q, \"name\": \"a, ]\\\"}\"}", fixture(i)) }
	long := strings.Repeat("x", maxRow)
	for _, c := range []struct {
		text string
		want []string
	}{
		{"[" + person(0) + "," + person(1) + "]", []string{"1 created +86 138****8000", "2 created +86 138****8001"}},
		{"\ufeff [\r\n  " + person(0) + " ,\n\n" + person(2) + "\n]\n\n", []string{"1 present +86 138****8000", "2 created +86 138****8002"}},
		{`[{"phone":"x","address":{"street_address":"]},["}},` + person(3) + "]", []string{
			"1 refused (no number) phone is not a mobile number", "2 created +86 138****8003"}},
		{"[" + person(4) + ",7,null,[1,{}]," + `{"phone":` + ",]", []string{
			"1 created +86 138****8004", "2 refused (no number) this is not one JSON object", "3 refused (no number) this is not one JSON object",
			"4 refused (no number) this is not one JSON object", "5 refused (no number) the array ends within this"}},
		{"[" + person(5) + ",]", []string{"1 created +86 138****8005", "2 refused (no number) this is not one JSON object"}},
		{`[{"phone":"` + long + `"},` + person(6) + "] " + person(7), []string{
			"1 refused (no number) the element is longer than 64 KiB", "2 created +86 138****8006",
			"3 refused (no number) this stands behind the end of the array"}},
		{"[" + person(8), []string{"1 refused (no number) the array ends within this"}}, // cut off: not whole, so not trusted
		{"\ufeff" + person(9) + "\n", []string{"1 created +86 138****8009"}},            // lines
		{"[]", []string{"1 refused (no number) this is not one JSON object"}},
		{"", nil},
	} {
		rows := JSONRows(strings.NewReader(c.text))
		outcomes, err := h.users.Import(t.Context(), everyRow(t, rows))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, outcomesOf(outcomes)); diff != "" {
			t.Errorf("%.60q (-want +got):\n%s", c.text, diff)
		}
		if rows.Bytes() != int64(len(c.text)) {
			t.Errorf("%.60q: %d of %d bytes read", c.text, rows.Bytes(), len(c.text))
		}
	}
	// Memory does not grow with the file: elements come one at a time.
	rows := JSONRows(strings.NewReader("[" + strings.Repeat(person(0)+",\n", 100_000) + person(0) + "]"))
	if first, err := rows.Next(); err != nil || first.Line != 1 || rows.Bytes() > 2*maxRow {
		t.Errorf("%d bytes for element %d, %v", rows.Bytes(), first.Line, err)
	}
	if n := len(everyRow(t, rows)); n != 100_000 || rows.Unit() != "element" {
		t.Errorf("%d more %ss", n, rows.Unit())
	}
}
