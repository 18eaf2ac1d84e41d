package user

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// further is what makes two factors of a sign-in by these methods.
func (h *house) further(u User, amr ...string) []string {
	h.t.Helper()
	ways, _, err := h.users.furtherProofs(h.t.Context(), u, amr)
	if err != nil {
		h.t.Fatal(err)
	}
	return ways
}

// dayPasses since an account was weakened.
func (h *house) dayPasses() {
	h.t.Helper()
	if _, err := h.db.Exec(h.t.Context(), `UPDATE users SET weakened_at = weakened_at - 90000000000`); err != nil {
		h.t.Fatal(err)
	}
}

// Whoever got hold of the number replaces the password, or makes codes, by a text
// message; that is no second factor beside another text message.
func TestATextMessageMakesNoSecondFactor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for name, change := range map[string]func(*browser){
			"replaced": func(b *browser) {
				b.post(pathPassword, url.Values{"password": {otherPassword}}).leads(t, pathSecurity+"?done=password")
			},
			"removed and set": func(b *browser) {
				b.post(pathPassword+"/remove", url.Values{}).leads(t, pathSecurity+"?done=password_removed")
				b.post(pathPassword, url.Values{"password": {otherPassword}}).leads(t, pathSecurity+"?done=password")
			},
		} {
			h := newHouse(t, d)
			u := h.withPassword(0, "anna")
			b := h.browser()
			b.signIn(fixture(0))
			change(b)
			b.post(pathRecovery, url.Values{}).leads(t, pathRecovery+"/codes")
			if ways := h.further(u, "sms", "otp"); len(ways) != 0 {
				t.Errorf("%s: beside a message: %v", name, ways)
			}
			if ways := h.further(u, "pwd"); len(ways) != 0 {
				t.Errorf("%s: beside the password: %v", name, ways)
			}
			b = h.signedInBy("anna", otherPassword)
			if to := b.get(pathRecovery).to(t); to.Path != "/login" {
				t.Errorf("%s: led to %s", name, to)
			}
			h.dayPasses()
			if ways := h.further(u, "sms", "otp"); !slices.Equal(ways, []string{proofPassword, proofRecovery}) {
				t.Errorf("%s: a day later: %v", name, ways)
			}
			if err := h.users.Delete(t.Context(), u.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What was there before still counts, and so does what an account begins with.
func TestWhatIsOlderIsASecondFactor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		b.signIn(fixture(0))
		u := h.owner(b)
		b.post(pathPassword, url.Values{"password": {goodPassword}}).leads(t, pathSecurity+"?done=password")
		if ways := h.further(u, "sms", "otp"); !slices.Equal(ways, []string{proofPassword}) {
			t.Errorf("a first password: %v", ways)
		}
		b.post(pathRecovery, url.Values{}).leads(t, pathRecovery+"/codes")
		if ways := h.further(u, "sms", "otp"); !slices.Equal(ways, []string{proofPassword}) {
			t.Errorf("codes made by a message: %v", ways)
		}
		// A change by two factors is not one by a text message.
		h.dayPasses()
		flow := b.flow()
		b.second(flow, proofPassword, goodPassword).to(t)
		b.post(pathPassword, url.Values{"password": {otherPassword}}).leads(t, pathSecurity+"?done=password")
		if ways := h.further(u, "sms", "otp"); !slices.Equal(ways, []string{proofPassword, proofRecovery}) {
			t.Errorf("changed by two factors: %v", ways)
		}
	})
}

func TestAPasskeyMadeByATextMessageIsOneFactor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "anna")
		b := h.browser()
		b.signIn(fixture(0))
		key := newAuthenticator(t)
		b.addPasskey(key)
		in, err := h.byKey(key)
		if err != nil || in.ACR != ACROneFactor || in.Session.ACR != ACROneFactor || slices.Contains(in.AMR, "mfa") {
			t.Fatalf("%v %s, %v", in.AMR, in.ACR, err)
		}
		if ways := h.further(u, in.AMR...); !slices.Equal(ways, []string{proofPassword}) { // no text message
			t.Errorf("beside it: %v", ways)
		}
		b.setCookie(sessionName, in.Secret)
		if to := b.get(pathRecovery).to(t); to.Path != pathSecond {
			t.Errorf("led to %s", to)
		}
		// Neither is it a second proof of a session by message, nor on the account's pages.
		b = h.browser()
		b.signIn(fixture(0))
		flow := b.flow()
		c := b.asked(pathSecond+"/options", url.Values{"flow": {flow}})
		form := url.Values{"flow": {flow}, "by": {proofPasskey}, "state": {c.State}, "response": {string(key.get(c))}}
		b.post(pathSecond, form).fault(t, http.StatusBadRequest, "invalid_request")
		c = b.asked(pathProve+"/passkey/options", url.Values{})
		form = url.Values{"for": {pathPhone}, "state": {c.State}, "response": {string(key.get(c))}}
		b.post(pathProve+"/passkey", form).wants(t, http.StatusUnprocessableEntity, "page-account-prove")
		h.dayPasses()
		if in, err := h.byKey(key); err != nil || in.ACR != ACRTwoFactors || !slices.Contains(in.AMR, "mfa") {
			t.Errorf("a day later: %v %s, %v", in.AMR, in.ACR, err)
		}
	})
}

// An app that a text message set up is asked for at once, and is worth nothing more.
func TestAnAppMadeByATextMessageLetsInByOneFactor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "anna")
		b := h.browser()
		b.signIn(fixture(0))
		app := h.enrolTOTP(u.ID)
		b.post(pathTOTP+"/confirm", url.Values{"code": {codeOf(t, app, -1)}}).leads(t, pathRecovery+"/codes")
		b.get(pathTOTP).wants(t, http.StatusOK, "remove-totp") // as before it was there
		b = h.browser()
		flow := b.halfway("/start", fixture(0))
		b.second(flow, proofTOTP, codeOf(t, app, 0)).to(t)
		if s, _ := h.mustSession(b); s.ACR != ACROneFactor || strings.Join(s.AMR, " ") != "sms otp" {
			t.Errorf("session %v %s", s.AMR, s.ACR)
		}
		if ways := h.further(u, "sms", "otp"); !slices.Equal(ways, []string{proofPassword}) {
			t.Errorf("further: %v", ways)
		}
	})
}
