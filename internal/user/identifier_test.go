package user

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms"
)

func TestNoUsernameIsAnythingElse(t *testing.T) {
	for _, name := range []string{
		"ab", "", " ", "a b", "1abc", "13800138000", "+8613800138000", "１３８００", "a@b", "a@b.example", "a＠b.example", "-abc", "_abc", ".abc",
		strings.Repeat("a", 33), "a\x00bc", "a\u202ebc", "a\u200bbc", "abc\n", "a/b", "<b>abc", "٠١٢٣", "\xff\xfe\xfd", "a+1", "😀😀😀", "ℌabc",
	} {
		if folded, ok := canonicalUsername(name); ok {
			t.Errorf("%q is the user name %q", name, folded)
		}
	}
	for name, want := range map[string]string{
		"Anna": "anna", "ＡＮＮＡ": "anna", "张三丰": "张三丰", "anna.b-c_d9": "anna.b-c_d9", "ÄNNE": "änne", "A\u0308nne": "änne",
		strings.Repeat("a", 32): strings.Repeat("a", 32),
	} {
		if folded, ok := canonicalUsername(name); !ok || folded != want {
			t.Errorf("%q: %q, %v", name, folded, ok)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	for _, s := range []string{"anna", "+86 138 0013 8000", "13800138000", "anna@mail.example", "a＠b", "ａnna", "", "\xff", "00861380013800 0"} {
		f.Add(s)
	}
	s := (&Service{}).With(Regions([]string{"CN", "US"}))
	f.Fuzz(func(t *testing.T, typed string) {
		id := s.identify(typed)
		if again := s.identify(typed); again != id {
			t.Errorf("%q is %v and %v", typed, id, again)
		}
		switch id.kind {
		case kindPhone:
			if _, err := sms.FromE164(id.value); err != nil || strings.Contains(typed, "@") {
				t.Errorf("%q is the number %q", typed, id.value)
			}
		case kindEmail:
			if value, ok := canonicalEmail(id.value); !ok || value != id.value {
				t.Errorf("%q is the address %q", typed, id.value)
			}
		case kindUsername:
			if strings.HasPrefix(id.value, "?") {
				return
			}
			if value, ok := canonicalUsername(id.value); !ok || value != id.value {
				t.Errorf("%q is the name %q, but that is %q", typed, id.value, value)
			}
			if _, ok := s.typedNumber(id.value); ok || strings.Contains(id.value, "@") {
				t.Errorf("the name %q is something else too", id.value)
			}
		}
	})
}

func TestIdentifiersAreSetTakenAndReleased(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx := t.Context()
		a, b := h.signIn(fixture(0)).User, h.signIn(fixture(1)).User
		mine := By{Actor: "user:" + a.ID}
		for _, err := range []error{h.users.SetUsername(ctx, a.ID, "Anna", mine), h.users.SetEmail(ctx, a.ID, "Anna@Mail.Example", mine)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for what, c := range map[string]struct{ err, want error }{
			"name taken":    {h.users.SetUsername(ctx, b.ID, "ＡNNA", operatorBy), ErrUsernameTaken},
			"address taken": {h.users.SetEmail(ctx, b.ID, "anna@mail.example", operatorBy), ErrEmailTaken},
			"no name":       {h.users.SetUsername(ctx, b.ID, "1380013", operatorBy), ErrUsernameInvalid},
			"no address":    {h.users.SetEmail(ctx, b.ID, "anna@localhost", operatorBy), ErrEmailInvalid},
			"header":        {h.users.SetEmail(ctx, b.ID, "a@b.example\r\nBcc: c@d.example", operatorBy), ErrEmailInvalid},
			"nobody":        {h.users.SetUsername(ctx, "nobody", "otto", operatorBy), db.ErrNotFound},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%s: %v", what, c.err)
			}
		}
		if err := h.users.SetUsername(ctx, a.ID, "ANNA", mine); err != nil {
			t.Errorf("one's own name in capitals: %v", err)
		}
		u, err := h.users.Get(ctx, a.ID)
		claims := StandardClaims([]string{"profile", "email"}, u)
		if err != nil || claims["preferred_username"] != "ANNA" || claims["email"] != "Anna@Mail.Example" || claims["email_verified"] != false {
			t.Errorf("claims %v, %v", claims, err)
		}
		if v, err := h.users.Get(ctx, b.ID); err != nil || len(v.Claims) != 0 {
			t.Errorf("a refused change left %v, %v", v.Claims, err)
		}
		if err := errors.Join(h.users.SetUsername(ctx, a.ID, "", mine), h.users.SetEmail(ctx, a.ID, "", mine)); err != nil {
			t.Fatal(err)
		}
		if u, err := h.users.Get(ctx, a.ID); err != nil || len(u.Claims) != 0 {
			t.Errorf("claims stay: %v, %v", u.Claims, err)
		}
		if err := h.users.SetUsername(ctx, b.ID, "anna", operatorBy); err != nil {
			t.Errorf("a released name: %v", err)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE user_id = $1 AND actor = $2 AND event IN ('user.username_changed', 'user.email_changed')`, a.ID, "user:"+a.ID); n != 5 {
			t.Errorf("%d changes on record", n)
		}
	})
}

func TestOneNameHasOneOwner(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		var won, lost atomic.Int64
		var wait sync.WaitGroup
		for i := range 12 {
			u := h.signIn(fixture(i)).User
			wait.Go(func() {
				switch err := h.users.SetUsername(t.Context(), u.ID, "Anna", operatorBy); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, ErrUsernameTaken):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if won.Load() != 1 || lost.Load() != 11 {
			t.Errorf("%d have it, %d do not", won.Load(), lost.Load())
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'user.name_refused'`); n != 11 {
			t.Errorf("%d refusals are on record", n)
		}
	})
}

func TestAskingForNamesIsLimited(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	u := h.signIn(fixture(0)).User
	for i := range 11 {
		err := h.users.SetUsername(t.Context(), u.ID, fmt.Sprintf("anna%d", i), By{Actor: "user:" + u.ID})
		if i < 10 && err != nil || i == 10 && !errors.Is(err, ErrTooManyTries) {
			t.Errorf("change %d: %v", i, err)
		}
	}
}

func TestEverythingGoesWithTheAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "anna")
		e, err := h.users.EnrolTOTP(t.Context(), u.ID, "id.example", "x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.users.ConfirmTOTP(t.Context(), u.ID, codeOf(t, e, 0), operatorBy); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{h.users.CheckPassword(t.Context(), u.ID, "x"), h.users.CheckTOTP(t.Context(), u.ID, "x"), h.users.UseRecoveryCode(t.Context(), u.ID, "x"), second(h.byPassword("anna", "x"))} {
			if err == nil {
				t.Fatal("right")
			}
		}
		tables := []string{"users", "identifiers", "passwords", "credential_failures", "totp", "recovery_codes"}
		for _, table := range tables {
			if h.rows("SELECT count(*) FROM "+table) == 0 {
				t.Errorf("%s has no row to lose", table)
			}
		}
		if err := h.users.Delete(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			if n := h.rows("SELECT count(*) FROM " + table); n != 0 {
				t.Errorf("%s keeps %d rows", table, n)
			}
		}
	})
}

func TestTheExportTellsOfCredentialsAndNotWhatTheyAre(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "Anna")
		e, err := h.users.EnrolTOTP(t.Context(), u.ID, "id.example", "x")
		if err != nil {
			t.Fatal(err)
		}
		codes, err := h.users.ConfirmTOTP(t.Context(), u.ID, codeOf(t, e, 0), operatorBy)
		if err != nil {
			t.Fatal(err)
		}
		text, err := h.users.Export(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Identifiers []Identifier
			Credentials map[string]map[string]any
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		values := map[string]string{}
		for _, i := range got.Identifiers {
			values[i.Kind] = i.Value
		}
		if values["phone"] != fixture(0) || values["username"] != "Anna" || values["email"] != "Anna@mail.example" {
			t.Errorf("identifiers %v", values)
		}
		if got.Credentials["password"]["changed_at"] == nil || got.Credentials["totp"]["confirmed_at"] == nil || got.Credentials["recovery_codes"]["unused"] != 10.0 {
			t.Errorf("credentials %v", got.Credentials)
		}
		for _, secret := range []string{"argon2", e.Secret, codes[0], strings.ReplaceAll(codes[0], "-", "")} {
			if strings.Contains(string(text), secret) {
				t.Errorf("the export holds %s", secret)
			}
		}
	})
}
