package user

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/user/picture"
)

func TestAPersonSendsSoManyPictures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		b := h.browser()
		b.signIn(fixture(0))
		u, other := h.owner(b), h.signIn(fixture(1)).User
		for i := range 10 {
			if _, err := h.users.SetPicture(t.Context(), u.ID, strings.NewReader("no picture")); !errors.Is(err, picture.ErrUnreadable) {
				t.Fatalf("image %d: %v", i, err)
			}
		}
		r := b.upload("picture", portrait(t))
		if r.says(t, http.StatusTooManyRequests, "picture"); h.rows(`SELECT count(*) FROM pictures`) != 0 {
			t.Error("one more was taken")
		}
		if _, err := h.users.SetPicture(t.Context(), other.ID, bytes.NewReader(portrait(t))); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		time.Sleep(10 * time.Minute)
		b.upload("picture", portrait(t)).leads(t, "/account/profile?done=picture")
	})
}

func TestAPersonSetsSoManyPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		b := h.browser()
		b.signIn(fixture(0))
		u := h.owner(b)
		for range 30 { // what is not hashed costs nothing
			b.post(pathPassword, url.Values{"password": {"short"}}).says(t, http.StatusUnprocessableEntity, "password")
		}
		for i := range 20 {
			if err := h.users.SetPassword(t.Context(), u.ID, goodPassword, operatorBy); err != nil {
				t.Fatalf("password %d: %v", i, err)
			}
		}
		if err := h.users.SetPassword(t.Context(), u.ID, goodPassword, operatorBy); !errors.Is(err, ErrTooManyTries) {
			t.Errorf("one more: %v", err)
		}
		again := h.browser()
		again.signIn(fixture(0))
		again.post(pathPassword, url.Values{"password": {otherPassword}}).says(t, http.StatusTooManyRequests, "password")
		time.Sleep(time.Hour)
		if err := h.users.SetPassword(t.Context(), u.ID, goodPassword, operatorBy); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}
