package user

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// owner is the account of a browser's session.
func (h *house) owner(b *browser) User {
	h.t.Helper()
	_, u, err := h.users.SessionOf(with(b.cookie(sessionName)))
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

// leads checks where a form leads to.
func (r reply) leads(t *testing.T, to string) {
	t.Helper()
	if got := r.to(t).String(); got != to {
		t.Fatalf("led to %s, want %s", got, to)
	}
}

// says checks the status of a page and that a fault's field has its problem.
func (r reply) says(t *testing.T, status int, field string) {
	t.Helper()
	r.wants(t, status, field+"-error")
}

func TestTheRoomSaysWhatThereIs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		b.signIn(fixture(0))
		page := b.get(pathSecurity + "?lang=en").body
		if strings.Count(page, "Not set") != 6 || !strings.Contains(page, "138****8000") {
			t.Errorf("a new account: %s", page)
		}
		u := h.owner(b)
		for _, err := range []error{
			h.users.SetPassword(t.Context(), u.ID, "correct horse battery", operatorBy), h.users.SetUsername(t.Context(), u.ID, "Xiao.Man", operatorBy),
			h.users.SetEmail(t.Context(), u.ID, "login.title@mail.example", operatorBy),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		b.addPasskey(newAuthenticator(t))
		h.confirmedTOTP(u.ID)
		page = b.get(pathSecurity).body
		for _, want := range []string{"Last changed", "Xiao.Man", "login.title@mail.example", "1 passkey", "In use since", "10 codes left"} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in %s", want, page)
			}
		}
		other := h.browser()
		other.signIn(fixture(1))
		if page := other.get(pathSecurity + "?lang=en").body; strings.Count(page, "Not set") != 6 {
			t.Errorf("another account: %s", page)
		}
	})
}

// confirmedTOTP gives an account an app.
func (h *house) confirmedTOTP(userID string) Enrolment {
	h.t.Helper()
	t := h.t.(*testing.T)
	e := h.enrolTOTP(userID)
	if _, err := h.users.ConfirmTOTP(t.Context(), userID, codeOf(t, e, -1), operatorBy); err != nil {
		t.Fatal(err)
	}
	return e
}

// Every page that changes how somebody signs in, and every form of it.
var (
	securedPages = []string{pathPhone, pathTOTP, pathTOTP + "/confirm", pathRecovery, pathPasskeys}
	securedForms = []string{
		pathPhone, pathPhone + "/old", pathPhone + "/old/resend", pathPassword + "/remove", pathTOTP, pathTOTP + "/confirm",
		pathTOTP + "/remove", pathRecovery, "/account/passkeys", "/account/passkeys/x/remove", "/account/passkeys/x/rename",
	}
	freshPages = []string{pathProve, pathPhoneLost, pathUsername, pathEmail}
	freshForms = []string{
		pathProve, pathProve + "/passkey", pathPhoneLost, pathUsername, pathUsername + "/remove", pathEmail, pathEmail + "/remove",
	}
	securityPages = []string{pathSecurity, pathPassword, pathPassword + "/forgot", pathPhone + "/new", pathPhone + "/confirm", pathRecovery + "/codes", pathRecovery + "/codes.txt"}
	securityForms = []string{pathPassword, pathPhone + "/new", pathPhone + "/confirm", pathPhone + "/confirm/resend", pathRecovery + "/kept"}
)

func TestEverySecurityPageIsForTheSignedIn(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	for _, list := range [][]string{securedPages, freshPages, securityPages} {
		for _, path := range list {
			if to := b.get(path).to(t); to.Path != "/login" {
				t.Errorf("%s: a stranger is sent to %s", path, to)
			}
		}
	}
	for _, list := range [][]string{securedForms, freshForms, securityForms} {
		for _, path := range list {
			if to := b.post(path, url.Values{}).to(t); to.Path != "/login" {
				t.Errorf("POST %s: a stranger is sent to %s", path, to)
			}
			if r := b.post(path, url.Values{}, "Sec-Fetch-Site", "cross-site"); r.status != http.StatusForbidden {
				t.Errorf("POST %s of another site: %d", path, r.status)
			}
		}
	}
}

// Who signed in too long ago does so again, and a text message alone changes nothing
// in an account that has an app.
func TestChangesAskForAFreshAndStrongProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		b, second := h.browser(), h.browser()
		b.signIn(fixture(0))
		e := h.confirmedTOTP(h.owner(b).ID)
		h.aged(h.owner(b).ID) // so that this device is one of its
		second.signInKnown(h, fixture(0))
		allAsk := func(where string) {
			t.Helper()
			for _, path := range securedPages {
				if to := b.get(path).to(t); to.Path != where {
					t.Errorf("%s leads to %s, want %s", path, to, where)
				}
			}
			for _, path := range securedForms {
				if to := b.post(path, url.Values{"code": {"000000"}}).to(t); to.Path != where {
					t.Errorf("POST %s leads to %s, want %s", path, to, where)
				}
			}
		}
		allAsk(pathProve)
		to := b.get(pathTOTP).to(t)
		page := b.get(to.String())
		page.wants(t, http.StatusOK, "proof-totp")
		if strings.Contains(page.body, "passkey-sign-in") || strings.Contains(page.body, "proof-password") || !strings.Contains(page.body, "proof-recovery_code") {
			t.Errorf("it offers what the account has not: %s", page.body)
		}
		form := url.Values{"for": {pathTOTP}, "proof": {"totp"}, "totp": {wrong(t, e)}}
		b.post(pathProve, form).says(t, http.StatusUnprocessableEntity, "proof-totp")
		form.Set("totp", codeOf(t, e, 0))
		b.post(pathProve, form).leads(t, pathTOTP)
		b.get(pathTOTP).wants(t, http.StatusOK, "remove-totp")
		// It counts in this session, and nowhere else.
		if to := second.get(pathTOTP).to(t); to.Path != pathProve {
			t.Errorf("another session: led to %s", to)
		}
		second.setCookie("__Host-"+provenCookie, b.cookie("__Host-"+provenCookie))
		if to := second.get(pathTOTP).to(t); to.Path != pathProve {
			t.Errorf("the cookie of another session: led to %s", to)
		}
		form.Set("for", "https://evil.example/")
		b.post(pathProve, form).wants(t, http.StatusUnprocessableEntity, "page-account-prove") // a code is good once
		time.Sleep(time.Minute)
		form.Set("totp", codeOf(t, e, 0))
		b.post(pathProve, form).leads(t, pathSecurity)
		b.get(pathProve+"?for=//evil.example").leads(t, pathSecurity)

		time.Sleep(freshSignIn + time.Second)
		allAsk("/login")
		for _, path := range freshPages {
			if to := b.get(path).to(t); to.Path != "/login" {
				t.Errorf("%s leads to %s", path, to)
			}
		}
		for _, path := range freshForms {
			if to := b.post(path, url.Values{}).to(t); to.Path != "/login" {
				t.Errorf("POST %s leads to %s", path, to)
			}
		}
		if to := b.get(pathPassword).to(t); to.Path != "/login" {
			t.Errorf("a password for an account with an app: led to %s", to)
		}
		flow, challenge := b.begin(pathPassword+"/forgot", fixture(0))
		b.finish(flow, challenge, testCode).leads(t, pathPassword)
		allAsk(pathProve)
	})
}

// A password beside a text message overrules neither a passkey nor an app, wherever it
// is shown.
func TestAPasswordAndATextMessageDoNotOverruleMore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		withKey, withApp := h.withPassword(0, "anna"), h.withPassword(1, "berta")
		key := newAuthenticator(t)
		h.enrol(h.signIn(fixture(0)), key)
		app := h.confirmedTOTP(withApp.ID)
		for _, u := range []User{withKey, withApp} {
			b := h.browser()
			b.setCookie(sessionName, h.signInKnown(u.Phone.E164()).Secret)
			b.second(b.flow(), proofPassword, goodPassword).to(t)
			if s, _ := h.mustSession(b); s.ACR != ACRTwoFactors {
				t.Fatalf("acr %s", s.ACR)
			}
			to := b.get(pathPhone).to(t)
			if to.Path != pathProve {
				t.Fatalf("led to %s", to)
			}
			if page := b.get(to.String()).body; strings.Contains(page, "proof-password") {
				t.Error("a password is offered")
			}
			b.post(pathProve, url.Values{"proof": {"password"}, "password": {goodPassword}}).wants(t, http.StatusUnprocessableEntity, "page-account-prove")
			if enough, err := h.users.MayChangeSignIn(t.Context(), u, []string{"sms", "otp", "pwd", "mfa"}, ACRTwoFactors); enough || err != nil {
				t.Errorf("through an app: %t, %v", enough, err)
			}
			if u.ID == withApp.ID {
				h.rewind(u)
				b.post(pathProve, url.Values{"for": {pathPhone}, "proof": {"totp"}, "totp": {codeOf(t, app, 0)}}).leads(t, pathPhone)
			} else {
				b.provePasskey(key)
			}
			if to := b.get(pathPhone).to(t); to.Path != pathPhone {
				t.Errorf("led to %s", to)
			}
		}
	})
}

func TestAPasskeyProvesOnThePages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b, other := h.browser(), h.browser()
		b.signIn(fixture(0))
		key, theirs := newAuthenticator(t), newAuthenticator(t)
		b.addPasskey(key)
		b.get(pathPasskeys).wants(t, http.StatusOK, "passkey-0") // whoever made it has shown it
		b.forget()
		other.signIn(fixture(1))
		other.addPasskey(theirs)
		c := b.asked(pathProve+"/passkey/options", url.Values{})
		form := func(c PasskeyChallenge, a *authenticator) url.Values {
			return url.Values{"for": {pathPhone}, "state": {c.State}, "response": {string(a.get(c))}}
		}
		b.post(pathProve+"/passkey", form(c, theirs)).wants(t, http.StatusUnprocessableEntity, "page-account-prove")
		c = other.asked(pathProve+"/passkey/options", url.Values{})
		b.post(pathProve+"/passkey", form(c, key)).wants(t, http.StatusUnprocessableEntity, "page-account-prove")
		if to := b.get(pathPhone).to(t); to.Path != pathProve {
			t.Fatalf("led to %s", to)
		}
		c = b.asked(pathProve+"/passkey/options", url.Values{})
		good := form(c, key)
		b.post(pathProve+"/passkey", good).leads(t, pathPhone)
		b.post(pathProve+"/passkey", good).wants(t, http.StatusUnprocessableEntity, "page-account-prove")
		if to := b.get(pathPhone).to(t); to.Path != pathPhone || to.Query().Get("flow") == "" {
			t.Errorf("led to %s", to)
		}
		// A sign-in by passkey needs nothing more.
		b = h.browser()
		flow := b.get("/login").to(t).Query().Get("flow")
		c = b.asked("/login/passkey/options", url.Values{"flow": {flow}})
		b.post("/login/passkey", url.Values{"flow": {flow}, "state": {c.State}, "response": {string(key.get(c))}}).leads(t, "/account")
		b.get(pathPasskeys).wants(t, http.StatusOK, "page-account-passkeys")
	})
}
