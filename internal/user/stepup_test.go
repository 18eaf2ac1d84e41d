package user

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// flow starts one that a client waits for.
func (b *browser) flow() string {
	b.t.Helper()
	return b.get("/start").to(b.t).Query().Get("flow")
}

func TestASessionStepsUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, app, recovery := h.withApp(t, 0, "anna")
		for by, c := range map[string]struct{ typed, amr, bad string }{
			proofPassword: {goodPassword, "sms otp pwd mfa", "wrong"},
			proofTOTP:     {codeOf(t, app, 0), "sms otp mfa", wrong(t, app)},
			proofRecovery: {recovery[0], "sms otp mfa", "AAAA"},
		} {
			b := h.browser()
			b.setCookie(sessionName, h.signInKnown(fixture(0)).Secret)
			old, _ := h.mustSession(b)
			before := b.cookie(sessionName)
			flow := b.flow()
			page := b.get(pathSecond + "?flow=" + flow + "&by=" + by)
			page.wants(t, http.StatusOK, "proof")
			if strings.Contains(page.body, `id="by-sms"`) {
				t.Errorf("%s: a message was shown before", by)
			}
			b.second(flow, by, c.bad).wants(t, http.StatusUnprocessableEntity, "proof-error")
			if to := b.second(flow, by, c.typed).to(t); to.Host != "rp.example" {
				t.Fatalf("%s: led to %s", by, to)
			}
			s, _ := h.mustSession(b)
			if s.ID != old.ID || s.ACR != ACRTwoFactors || strings.Join(s.AMR, " ") != c.amr || !s.AuthTime.Equal(old.AuthTime) || !s.ExpiresAt.Equal(old.ExpiresAt) {
				t.Errorf("%s: %+v after %+v", by, s, old)
			}
			if _, _, err := h.users.SessionOf(with(before)); !isNotFound(err) || before == b.cookie(sessionName) {
				t.Errorf("%s: the cookie of before still works: %v", by, err)
			}
			if n := h.audited(`event = 'login.stepped_up' AND detail LIKE '%"`+by+`"%'`, u.ID); n != 1 {
				t.Errorf("%s: %d records", by, n)
			}
			// There is nothing more to ask.
			if to := b.get(pathSecond + "?flow=" + b.flow()).to(t); to.Host != "rp.example" {
				t.Errorf("%s: a session of two factors is led to %s", by, to)
			}
		}
	})
}

func TestStepUpByTextMessageAfterAPassword(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.withPassword(0, "anna")
		in, err := h.byPassword("anna", goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		b := h.browser()
		b.setCookie(sessionName, in.Secret)
		flow := b.flow()
		page := b.get(pathSecond + "?flow=" + flow)
		page.wants(t, http.StatusOK, "send-code")
		if strings.Contains(page.body, "by-password") || strings.Contains(page.body, "13800138000") {
			t.Error(page.body)
		}
		// A code of the sign-in is none of this.
		other := b.post("/login", url.Values{"flow": {flow}, "phone": {fixture(0)}, "agree": {"1"}}).to(t).Query().Get("challenge")
		b.post(pathSecond, url.Values{"flow": {flow}, "by": {"sms"}, "challenge": {other}, "code": {testCode}}).wants(t, http.StatusUnprocessableEntity, "page-second")

		sent := b.post(pathSecond+"/send", url.Values{"flow": {flow}}).to(t)
		challenge := sent.Query().Get("challenge")
		if sent.Path != pathSecond || challenge == "" {
			t.Fatalf("led to %s", sent)
		}
		b.get(sent.String()).wants(t, http.StatusOK, "code")
		if r := b.get(pathSecond + "/status?flow=" + flow + "&challenge=" + challenge); r.status != http.StatusOK || !strings.Contains(r.body, `"status"`) {
			t.Errorf("status: %d %s", r.status, r.body)
		}
		if r := b.get("/login/code/status?flow=" + flow + "&challenge=" + challenge); r.status != http.StatusNotFound {
			t.Errorf("status of a sign-in: %d", r.status)
		}
		b.post("/login/code", url.Values{"flow": {flow}, "challenge": {challenge}, "code": {testCode}}).wants(t, http.StatusUnprocessableEntity, "page-code")
		b.post(pathSecond+"/resend", url.Values{"flow": {flow}, "challenge": {challenge}}).to(t)
		form := url.Values{"flow": {flow}, "by": {"sms"}, "challenge": {challenge}, "code": {"111111"}}
		b.post(pathSecond, form).wants(t, http.StatusUnprocessableEntity, "code-error")
		form.Set("code", testCode)
		if to := b.post(pathSecond, form).to(t); to.Host != "rp.example" {
			t.Fatalf("led to %s", to)
		}
		s, _ := h.mustSession(b)
		if s.ID != in.Session.ID || strings.Join(s.AMR, " ") != "pwd sms otp mfa" || s.ACR != ACRTwoFactors || s.UserID != u.ID {
			t.Errorf("session %+v", s)
		}
	})
}

func TestStepUpByPasskeyIsASignInOfTheSamePerson(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		key, theirs := newAuthenticator(t), newAuthenticator(t)
		in := h.signIn(fixture(0))
		h.enrol(in, key)
		h.enrol(h.signIn(fixture(1)), theirs)
		b := h.browser()
		b.setCookie(sessionName, in.Secret)
		flow := b.flow()
		b.get(pathSecond+"?flow="+flow).wants(t, http.StatusOK, "passkey-sign-in")
		answer := func(a *authenticator) url.Values {
			c := b.asked("/login/passkey/options", url.Values{"flow": {flow}})
			return url.Values{"flow": {flow}, "by": {proofPasskey}, "state": {c.State}, "response": {string(a.get(c))}}
		}
		r := b.post(pathSecond, answer(theirs))
		r.wants(t, http.StatusUnprocessableEntity, "page-second")
		if s, _ := h.mustSession(b); s.UserID != in.User.ID || s.ACR != ACROneFactor {
			t.Fatalf("another's passkey made it %+v", s)
		}
		if to := b.post(pathSecond, answer(key)).to(t); to.Host != "rp.example" {
			t.Fatalf("led to %s", to)
		}
		if s, _ := h.mustSession(b); s.ID != in.Session.ID || strings.Join(s.AMR, " ") != "hwk user mfa" || s.ACR != ACRTwoFactors || !s.AuthTime.After(in.AuthTime) {
			t.Errorf("session %+v", s)
		}
	})
}

func TestStepUpNeedsALiveSessionAndSomethingToShow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		flow := b.flow()
		if to := b.get(pathSecond + "?flow=" + flow).to(t); to.Path != "/login" || to.Query().Get("flow") != flow {
			t.Errorf("a stranger is led to %s", to)
		}
		in := h.signIn(fixture(0))
		b.setCookie(sessionName, in.Secret)
		if can, err := h.users.CanStepUp(t.Context(), in.Session); can || err != nil {
			t.Errorf("a bare account can: %v, %v", can, err)
		}
		if to := b.get(pathSecond + "?flow=" + flow).to(t); to.Host != "rp.example" {
			t.Errorf("who has nothing more is led to %s", to)
		}
		if err := h.users.SetPassword(t.Context(), in.User.ID, goodPassword, operatorBy); err != nil {
			t.Fatal(err)
		}
		if can, err := h.users.CanStepUp(t.Context(), in.Session); !can || err != nil {
			t.Errorf("with a password: %v, %v", can, err)
		}
		// What ended meanwhile is not stepped up.
		if err := h.users.EndSession(t.Context(), in.Session.ID, operator); err != nil {
			t.Fatal(err)
		}
		if _, err := h.users.stepUp(t.Context(), in.Session, in.User, proofPassword, nil, Attempt{}); err != ErrFlowExpired {
			t.Errorf("a session that is over: %v", err)
		}
	})
}

func TestOneProofStepsOneSessionUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, app, recovery := h.withApp(t, 0, "anna")
		const many = 16
		for by, typed := range map[string]string{proofTOTP: codeOf(t, app, 0), proofRecovery: recovery[0]} {
			h.rewind(u)
			browsers, flows := make([]*browser, many), make([]string, many)
			for i := range browsers {
				browsers[i] = h.browser()
				browsers[i].setCookie(sessionName, h.signInKnown(fixture(0)).Secret)
				flows[i] = browsers[i].flow()
			}
			before := h.rows(`SELECT count(*) FROM sessions WHERE acr = '2'`)
			var up atomic.Int32
			var wg sync.WaitGroup
			for i, b := range browsers {
				wg.Go(func() {
					if b.second(flows[i], by, typed).status == http.StatusSeeOther {
						up.Add(1)
					}
				})
			}
			wg.Wait()
			if n := h.rows(`SELECT count(*) FROM sessions WHERE acr = '2'`) - before; up.Load() != 1 || n != 1 {
				t.Errorf("%s: %d went on, %d sessions of two factors", by, up.Load(), n)
			}
			if _, err := h.db.Exec(t.Context(), `DELETE FROM credential_failures`); err != nil {
				t.Fatal(err)
			}
		}
	})
}
