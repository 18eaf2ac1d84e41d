package user

import (
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// signedInBy opens a session by password on a strange device.
func (h *house) signedInBy(name, typed string) *browser {
	h.t.Helper()
	in, err := h.byPassword(name, typed)
	if err != nil {
		h.t.Fatal(err)
	}
	b := h.browser()
	b.setCookie(sessionName, in.Secret)
	return b
}

// aged lets a day pass over everything that an account can show besides its number.
func (h *house) aged(userID string) {
	h.t.Helper()
	for _, statement := range []string{
		`UPDATE passwords SET changed_at = changed_at - 90000000000 WHERE user_id = $1`,
		`UPDATE totp SET confirmed_at = confirmed_at - 90000000000 WHERE user_id = $1`,
		`UPDATE recovery_codes SET created_at = created_at - 90000000000 WHERE user_id = $1`,
		`UPDATE passkeys SET created_at = created_at - 90000000000 WHERE user_id = $1`,
	} {
		if _, err := h.db.Exec(h.t.Context(), statement, userID); err != nil {
			h.t.Fatal(err)
		}
	}
}

// A password is what is phished: beside a number it changes nothing by itself.
func TestAPasswordAloneDoesNotChangeHowSomebodySignsIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.withPassword(0, "anna")
		b := h.signedInBy("anna", goodPassword)
		for _, path := range securedPages {
			if to := b.get(path).to(t); to.Path != pathSecond {
				t.Errorf("%s leads to %s", path, to)
			}
		}
		for _, path := range append(securedForms, pathPassword) {
			if to := b.post(path, url.Values{"password": {otherPassword}, "current": {goodPassword}}).to(t); to.Path != pathSecond {
				t.Errorf("POST %s leads to %s", path, to)
			}
		}
		if r := b.post("/account/passkeys/options", url.Values{}); r.status != http.StatusForbidden {
			t.Errorf("a question for a new passkey: %d", r.status)
		}
		flow := b.get(pathRecovery).to(t).Query().Get("flow")
		sent := b.post(pathSecond+"/send", url.Values{"flow": {flow}}).to(t)
		b.post(pathSecond, url.Values{"flow": {flow}, "challenge": sent.Query()["challenge"], "code": {testCode}}).leads(t, pathRecovery)
		b.get(pathRecovery).wants(t, http.StatusOK, "page-account-recovery")
	})
}

// The present password is no second proof of a session that it opened.
func TestAnOldSessionByPasswordIsNotRenewedByIt(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	u := h.withPassword(0, "anna")
	b := h.signedInBy("anna", goodPassword)
	if _, err := h.db.Exec(t.Context(), `UPDATE sessions SET auth_time = auth_time - 1000000000`); err != nil {
		t.Fatal(err)
	}
	if to := b.post(pathPassword, url.Values{"current": {goodPassword}, "password": {otherPassword}}).to(t); to.Path != "/login" {
		t.Errorf("led to %s", to)
	}
	// Where there is no number it is all that there may be.
	if _, err := h.users.ReleaseNumber(t.Context(), u.Phone); err != nil {
		t.Fatal(err)
	}
	b = h.signedInBy("anna", goodPassword)
	b.post(pathPassword, url.Values{"password": {otherPassword}}).leads(t, pathSecurity+"?done=password")
}

// What was made within a day makes up for no number, and neither does what the
// session began with: whoever is signed in could have made it just now.
func TestALostNumberIsNotMadeUpForByWhatIsNew(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		b.signIn(fixture(0))
		u := h.owner(b)
		key := newAuthenticator(t)
		b.addPasskey(key)
		b.post(pathPhoneLost, url.Values{}).leads(t, pathPhoneLost)
		codes, err := h.users.NewRecoveryCodes(t.Context(), u.ID, operatorBy)
		app := h.confirmedTOTP(u.ID)
		if err = errors.Join(err, h.users.SetPassword(t.Context(), u.ID, goodPassword, operatorBy)); err != nil {
			t.Fatal(err)
		}
		b.setCookie(sessionName, h.signInKnown(fixture(0)).Secret)
		tries := func() []url.Values {
			return []url.Values{
				{"proof": {proofRecovery}, proofRecovery: {codes[0]}},
				{"proof": {proofBoth}, proofPassword: {goodPassword}, proofTOTP: {codeOf(t, app, 0)}},
			}
		}
		for _, form := range tries() {
			b.post(pathPhoneLost, form).wants(t, http.StatusUnprocessableEntity, "page-account-prove")
		}
		c := b.asked(pathProve+"/passkey/options", url.Values{})
		lost := url.Values{"lost": {"1"}, "state": {c.State}, "response": {string(key.get(c))}}
		b.post(pathProve+"/passkey", lost).wants(t, http.StatusUnprocessableEntity, "page-account-prove")
		b.post(pathPhoneLost, url.Values{}).leads(t, pathPhoneLost)
		b.provePasskey(key) // which does for every other page
		b.post(pathPhoneLost, url.Values{}).leads(t, pathPhoneLost)

		h.aged(u.ID)
		for _, form := range tries() {
			if to := b.post(pathPhoneLost, form).to(t); to.Path != pathPhone+"/new" {
				t.Errorf("a day later %s led to %s", form.Get("proof"), to)
			}
			b.forget()
		}
	})
}
