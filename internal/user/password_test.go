package user

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user/password"
)

const (
	goodPassword  = "kx7Fq2wZ-blau"
	otherPassword = "nR4-vogel-9Tz"
)

var operatorBy = By{Actor: operator}

// withPassword is a signed-up account with a number, a user name, an e-mail
// address and goodPassword.
func (h *house) withPassword(i int, name string) User {
	h.t.Helper()
	u := h.signIn(fixture(i)).User
	for _, err := range []error{
		h.users.SetUsername(h.t.Context(), u.ID, name, operatorBy),
		h.users.SetEmail(h.t.Context(), u.ID, name+"@mail.example", operatorBy),
		h.users.SetPassword(h.t.Context(), u.ID, goodPassword, operatorBy),
	} {
		if err != nil {
			h.t.Fatal(err)
		}
	}
	return u
}

func (h *house) byPassword(name, typed string) (SignedIn, error) {
	return h.users.SignInByPassword(context.Background(), name, typed, Attempt{
		ClientID: "app", AgreementVersion: termsOfTest, Browser: true, Address: netip.MustParseAddr("198.51.100.7"),
	})
}

func TestSignInByPasswordFindsEveryIdentifier(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "Anna")
		for _, name := range []string{
			fixture(0), "13800138000", "+86 138 0013 8000", "0086-138-0013-8000", "１３８００１３８０００",
			"anna", "ANNA", " Anna ", "ａｎｎａ", "anna@mail.example", "ANNA@Mail.Example",
		} {
			in, err := h.byPassword(name, goodPassword)
			if err != nil || in.User.ID != u.ID || in.Created || in.User.Phone.E164() != fixture(0) {
				t.Fatalf("%s: %v, %v", name, in.User, err)
			}
			s, _, err := h.users.SessionOf(with(in.Secret))
			if err != nil || !slices.Equal(s.AMR, []string{"pwd"}) || s.ACR != "1" || !s.AuthTime.Equal(in.AuthTime) {
				t.Errorf("%s: session %+v, %v", name, s, err)
			}
		}
		if in := h.signIn(fixture(0)); !slices.Equal(in.Session.AMR, []string{"sms", "otp"}) || in.Session.ACR != "1" {
			t.Errorf("by SMS: %v %s", in.Session.AMR, in.Session.ACR)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'login.succeeded' AND user_id = $1 AND detail LIKE '%"pwd"%'`, u.ID); n != 11 {
			t.Errorf("%d sign-ins on record", n)
		}
		if n := h.rows(`SELECT count(*) FROM credential_failures`); n != 0 {
			t.Errorf("%d counts stay", n)
		}
	})
}

func TestWhateverIsWrongHasOneAnswer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.withPassword(0, "anna")
		h.signIn(fixture(1)) // no password
		gone := h.withPassword(2, "otto")
		off := h.withPassword(3, "emil")
		if err := errors.Join(h.users.Delete(t.Context(), gone.ID), h.users.Disable(t.Context(), off.ID)); err != nil {
			t.Fatal(err)
		}
		users := h.rows(`SELECT count(*) FROM users`)
		for _, c := range [][2]string{
			{fixture(0), otherPassword}, {fixture(0), ""}, {fixture(0), goodPassword + " "}, {"anna", strings.ToUpper(goodPassword)},
			{fixture(1), ""}, {fixture(1), "null"}, {fixture(1), fixture(1)}, {fixture(1), goodPassword},
			{fixture(2), goodPassword}, {"otto", goodPassword}, {"otto@mail.example", goodPassword}, {"emil", otherPassword},
			{fixture(9), goodPassword}, {"nobody", goodPassword}, {"nobody@mail.example", goodPassword},
			{"", goodPassword}, {"", ""}, {"@", goodPassword}, {"anna@", goodPassword}, {"anna\x00", goodPassword}, {"\xff\xfe", goodPassword},
			{strings.Repeat("a", 5000), goodPassword}, {"anna", strings.Repeat("x", 1<<20)}, {"12", goodPassword}, {"+86138001380000", goodPassword},
			{fixture(0) + "," + fixture(1), goodPassword}, {"anna otto", goodPassword}, {"1380013800x", goodPassword},
		} {
			in, err := h.byPassword(c[0], c[1])
			var f *fault.Error
			if !errors.As(err, &f) || f != ErrCredentials || in.Secret != "" || in.User.ID != "" {
				t.Errorf("%.40q with %.20q: %v, %v", c[0], c[1], in, err)
			}
		}
		if _, err := h.byPassword("emil", goodPassword); !errors.Is(err, ErrDisabled) {
			t.Errorf("a disabled account's owner: %v", err)
		}
		if n := h.rows(`SELECT count(*) FROM users`); n != users {
			t.Errorf("%d users, want %d", n, users)
		}
		if n := h.rows(`SELECT count(*) FROM sessions WHERE amr = 'pwd'`); n != 0 {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestARefusalTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		h.withPassword(0, "anna")
		h.users = h.users.With(RefusalTime(400 * time.Millisecond))
		for name, typed := range map[string]string{"anna": otherPassword, "nobody": goodPassword} {
			start := time.Now()
			if _, err := h.byPassword(name, typed); !errors.Is(err, ErrCredentials) || time.Since(start) != 400*time.Millisecond {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, _ = h.users.SignInByPassword(ctx, "nobody", goodPassword, Attempt{})
		if time.Since(start) > 100*time.Millisecond {
			t.Errorf("who hung up is kept for %v", time.Since(start))
		}
	})
}

func TestSetPasswordAppliesThePolicy(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "wolkenbruch")
		for next, want := range map[string]error{
			"short": password.ErrTooShort, strings.Repeat("ab3", 50): password.ErrTooLong, "woaini1314": password.ErrCommon,
			"mein-WOLKENBRUCH-7": password.ErrCommon, "x-13800138000-y": password.ErrCommon, "wolkenbruch@mail.example": password.ErrCommon,
		} {
			if err := h.users.SetPassword(t.Context(), u.ID, next, operatorBy); !errors.Is(err, want) {
				t.Errorf("%s: %v", next, err)
			}
		}
		if _, err := h.byPassword("wolkenbruch", goodPassword); err != nil {
			t.Errorf("a refused change changed something: %v", err)
		}
		if err := h.users.SetPassword(t.Context(), "nobody", goodPassword, operatorBy); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("no such account: %v", err)
		}
	})
}

// Nobody proves anything by changing a password, so the session that stays says what
// it said before, and its cookie is a new one.
func TestAChangeMakesNoSignIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		b.signIn(fixture(0))
		before, _ := h.mustSession(b)
		for i, change := range []func() reply{
			func() reply { return b.post(pathPassword, url.Values{"password": {goodPassword}}) }, // the first one, which ends nothing
			func() reply { return b.post(pathPassword, url.Values{"password": {otherPassword}}) },
			func() reply { return b.post(pathPassword+"/remove", url.Values{}) },
			func() reply {
				flow := b.changing(t)
				return b.post(pathPhone+"/confirm", b.asksFor(t, flow, fixture(2)))
			},
		} {
			old := b.cookie(sessionName)
			if to := change().to(t); to.Path != pathSecurity {
				t.Fatalf("led to %s", to)
			}
			after, _ := h.mustSession(b)
			if after.ID != before.ID || !after.AuthTime.Equal(before.AuthTime) || !slices.Equal(after.AMR, before.AMR) || after.ACR != before.ACR {
				t.Errorf("%+v after %+v", after, before)
			}
			if _, _, err := h.users.SessionOf(with(old)); isNotFound(err) != (i > 0) {
				t.Errorf("the cookie of before: %v", err)
			}
		}
	})
}

func TestAChangeEndsAllElse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		live := func(in SignedIn) bool {
			_, _, err := h.users.SessionOf(with(in.Secret))
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				t.Fatal(err)
			}
			return err == nil
		}
		for name, act := range map[string]func(By) error{
			"change": func(by By) error { return h.users.SetPassword(t.Context(), u.ID, otherPassword, by) },
			"remove": func(by By) error { return h.users.RemovePassword(t.Context(), u.ID, by) },
		} {
			here, there := h.signIn(fixture(0)), h.signIn(fixture(0))
			if has, _, _ := h.users.HasPassword(t.Context(), u.ID); !has {
				if err := h.users.SetPassword(t.Context(), u.ID, goodPassword, By{Actor: "user:" + u.ID, Session: here.Session.ID}); err != nil {
					t.Fatal(err)
				}
				if !live(here) || !live(there) {
					t.Fatal("the first password ended a session")
				}
			}
			if err := act(By{Actor: "user:" + u.ID, Session: here.Session.ID}); err != nil {
				t.Fatal(err)
			}
			if !live(here) || live(there) {
				t.Errorf("%s: here %v, there %v", name, live(here), live(there))
			}
			if n := h.rows(`SELECT count(*) FROM users WHERE grants_after >= $1`, db.Micros(here.AuthTime)); n != 1 {
				t.Errorf("%s: what was granted before stands", name)
			}
			stranger := h.signIn(fixture(1))
			if err := h.users.SetPassword(t.Context(), u.ID, goodPassword, operatorBy); err != nil {
				t.Fatal(err)
			}
			if err := h.users.SetPassword(t.Context(), u.ID, goodPassword, By{Actor: operator, Session: stranger.Session.ID}); err != nil {
				t.Fatal(err)
			}
			if live(here) || !live(stranger) {
				t.Errorf("%s: by the operator: here %v, somebody else %v", name, live(here), live(stranger))
			}
		}
		if err := h.users.RemovePassword(t.Context(), u.ID, operatorBy); err != nil {
			t.Fatal(err)
		}
		in := h.signIn(fixture(0))
		if err := h.users.RemovePassword(t.Context(), u.ID, operatorBy); err != nil || !live(in) {
			t.Errorf("removing nothing: %v", err)
		}
		if _, err := h.byPassword(fixture(0), goodPassword); !errors.Is(err, ErrCredentials) {
			t.Errorf("a removed password: %v", err)
		}
	})
}

// A sign-in with the old password is before the change, and ended by it, or
// refused. Never does it outlive the change.
func TestNoSignInOutlivesAChangeBesideIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "anna")
		passwords := []string{goodPassword, otherPassword}
		for i := range 6 {
			var in SignedIn
			var err error
			var wait sync.WaitGroup
			wait.Go(func() { in, err = h.byPassword("anna", passwords[i%2]) })
			wait.Go(func() {
				if err := h.users.SetPassword(context.Background(), u.ID, passwords[(i+1)%2], operatorBy); err != nil {
					t.Error(err)
				}
			})
			wait.Wait()
			if err != nil {
				if !errors.Is(err, ErrCredentials) {
					t.Error(err)
				}
				continue
			}
			if _, _, err := h.users.SessionOf(with(in.Secret)); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("the old password's session lives: %v", err)
			}
		}
	})
}

func TestAnImportedHashIsRenewedAtItsFirstUse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "anna")
		stored := func() (hash string) {
			if err := d.QueryRow(t.Context(), `SELECT hash FROM passwords WHERE user_id = $1`, u.ID).Scan(&hash); err != nil {
				t.Fatal(err)
			}
			return hash
		}
		if _, err := d.Exec(t.Context(), `UPDATE passwords SET hash = $1`, djangoHash(t, goodPassword)); err != nil {
			t.Fatal(err)
		}
		old := stored()
		if _, err := h.byPassword("anna", otherPassword); !errors.Is(err, ErrCredentials) || stored() != old {
			t.Errorf("a wrong password: %v", err)
		}
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				if _, err := h.users.elsewhere().SignInByPassword(context.Background(), "anna", goodPassword, Attempt{Browser: true}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		renewed := stored()
		if password.NeedsRehash(renewed) {
			t.Errorf("it stays %s", renewed)
		}
		if err := h.users.CheckPassword(t.Context(), u.ID, goodPassword); err != nil || stored() != renewed {
			t.Errorf("it is renewed again: %v", err)
		}
		if n := h.rows(`SELECT count(*) FROM sessions WHERE amr = 'pwd' AND ended_at IS NULL`); n != 8 {
			t.Errorf("%d sessions", n)
		}
	})
}

// djangoHash is a password as Django keeps it, at a cost that tests can pay.
func djangoHash(t testing.TB, password string) string {
	t.Helper()
	key, err := pbkdf2.Key(sha256.New, password, []byte("seasalt"), 1000, 32)
	if err != nil {
		t.Fatal(err)
	}
	return "pbkdf2_sha256$1000$seasalt$" + base64.StdEncoding.EncodeToString(key)
}
