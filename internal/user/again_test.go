package user

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// Who has to sign in again does so as themselves: another number registers nothing and
// another account takes no session away.
func TestSigningInAgainIsForTheSameAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		b := h.browser()
		b.signIn(fixture(0))
		me := h.only(t)
		for name, path := range map[string]string{"a page that asks again": "/account/delete", "a forgotten password": pathPassword + "/forgot"} {
			time.Sleep(freshSignIn + time.Second)
			cookie := b.cookie(sessionName)
			flow, challenge := b.begin(path, fixture(1))
			b.finish(flow, challenge, testCode).fault(t, http.StatusConflict, "another_account")
			if h.only(t).ID != me.ID || b.cookie(sessionName) != cookie {
				t.Errorf("%s: another account was made, or signed in", name)
			}
			flow, challenge = b.begin(path, fixture(0))
			b.finish(flow, challenge, testCode).to(t)
			if h.owner(b).ID != me.ID {
				t.Errorf("%s: the right account did not get in", name)
			}
		}

		h.withPassword(2, "anna")
		time.Sleep(freshSignIn + time.Second)
		flow := b.get("/account/delete").to(t).Query().Get("flow")
		form := url.Values{"flow": {flow}, "identifier": {"anna"}, "password": {goodPassword}, "agree": {"1"}}
		b.post("/login/password", form).fault(t, http.StatusConflict, "another_account")
		if h.owner(b).ID != me.ID {
			t.Error("another account's password took the session")
		}
	})
}
