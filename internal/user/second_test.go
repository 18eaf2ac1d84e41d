package user

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// withApp is an account with a number, a password, an app and recovery codes.
func (h *house) withApp(t *testing.T, i int, name string) (u User, app Enrolment, recovery []string) {
	t.Helper()
	u = h.withPassword(i, name)
	app = h.enrolTOTP(u.ID)
	recovery, err := h.users.ConfirmTOTP(t.Context(), u.ID, codeOf(t, app, 0), operatorBy)
	if err != nil {
		t.Fatal(err)
	}
	h.rewind(u)
	return u, app, recovery
}

// rewind lets the app's present code be used again.
func (h *house) rewind(u User) {
	h.t.Helper()
	if _, err := h.db.Exec(h.t.Context(), `UPDATE totp SET last_step = 0 WHERE user_id = $1`, u.ID); err != nil {
		h.t.Fatal(err)
	}
}

// halfway signs in by code as far as the page that asks for more.
func (b *browser) halfway(path string, phone string) (flow string) {
	b.t.Helper()
	flow, challenge := b.begin(path, phone)
	if to := b.finish(flow, challenge, testCode).to(b.t); to.Path != pathSecond || to.Query().Get("flow") != flow {
		b.t.Fatalf("led to %s", to)
	}
	if b.cookie(sessionName) != "" {
		b.t.Fatal("signed in before the second proof")
	}
	return flow
}

// second posts what was typed as a proof.
func (b *browser) second(flow, by, typed string) reply {
	b.t.Helper()
	return b.post(pathSecond, url.Values{"flow": {flow}, "by": {by}, "typed": {typed}})
}

func (h *house) audited(query, userID string, more ...any) int {
	h.t.Helper()
	return h.rows(`SELECT count(*) FROM audit WHERE user_id = $1 AND `+query, append([]any{userID}, more...)...)
}

func TestAStrangeDeviceIsAskedForTheApp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, app, recovery := h.withApp(t, 0, "anna")
		b := h.browser()
		flow := b.halfway("/start?x=1", fixture(0))
		page := b.get(pathSecond + "?flow=" + flow)
		page.wants(t, http.StatusOK, "page-second")
		for _, id := range []string{`id="proof"`, `id="by-recovery_code"`, `id="login-cancel"`} {
			if !strings.Contains(page.body, id) {
				t.Errorf("the page has no %s", id)
			}
		}
		for _, no := range []string{"by-password", "by-sms", u.ID, "138"} {
			if strings.Contains(page.body, no) {
				t.Errorf("the page shows %q", no)
			}
		}
		b.second(flow, proofTOTP, wrong(t, app)).wants(t, http.StatusUnprocessableEntity, "proof-error")
		b.second(flow, proofRecovery, "AAAA-AAAA-AAAA-AAAA").wants(t, http.StatusUnprocessableEntity, "proof-error")
		for _, by := range []string{proofPassword, proofSMS, "", "x"} { // not what the owner chose
			b.second(flow, by, goodPassword).fault(t, http.StatusBadRequest, "invalid_request")
		}
		b.post(pathSecond+"/send", url.Values{"flow": {flow}}).fault(t, http.StatusBadRequest, "invalid_request")
		h.browser().second(flow, proofTOTP, codeOf(t, app, 0)).fault(t, http.StatusBadRequest, "cookies_required")
		if n := h.audited(`event = 'login.second_asked' AND actor = 'system'`, u.ID); n != 1 {
			t.Errorf("asked %d times", n)
		}

		h.next.keep = true
		if to := b.second(flow, proofTOTP, codeOf(t, app, 0)).to(t); to.String() != "https://rp.example/cb?from=start&x=1" {
			t.Fatalf("led to %s", to)
		}
		s, who := h.mustSession(b)
		if who.ID != u.ID || s.ACR != ACRTwoFactors || strings.Join(s.AMR, " ") != "sms otp mfa" || time.Since(s.AuthTime) > time.Minute {
			t.Errorf("session %+v", s)
		}
		if n := h.audited(`event = 'login.succeeded' AND detail LIKE '%"second":"totp"%' AND client_id = 'shop'`, u.ID); n != 1 {
			t.Errorf("%d sign-ins on record", n)
		}
		// The button twice, back and reload: the sign-in goes on.
		if to := b.second(flow, proofTOTP, codeOf(t, app, 0)).to(t); to.Host != "rp.example" {
			t.Errorf("twice: %s", to)
		}
		if to := b.get(pathSecond + "?flow=" + flow).to(t); to.Host != "rp.example" {
			t.Errorf("back: %s", to)
		}
		// Next time this device is known.
		flow, challenge := b.begin("/start", fixture(0))
		if to := b.finish(flow, challenge, testCode).to(t); to.Host != "rp.example" {
			t.Errorf("a known device is led to %s", to)
		}
		if s, _ := h.mustSession(b); s.ACR != ACROneFactor {
			t.Errorf("a code alone was worth acr %s", s.ACR)
		}

		// The way out without the app, here after a password; it works once.
		h.next.keep = false
		lost := h.browser()
		for i, code := range []string{recovery[0], recovery[0], recovery[1]} {
			flow := lost.get("/start").to(t).Query().Get("flow")
			to := lost.post("/login/password", url.Values{"flow": {flow}, "identifier": {"anna"}, "password": {goodPassword}, "agree": {"1"}}).to(t)
			if to.Path != pathSecond { // each time: no code was typed on the device
				t.Fatalf("a password led to %s", to)
			}
			if i == 1 {
				lost.second(flow, proofRecovery, code).wants(t, http.StatusUnprocessableEntity, "proof-error")
				lost = h.browser()
				flow = lost.get("/start").to(t).Query().Get("flow")
				lost.post("/login/password", url.Values{"flow": {flow}, "identifier": {"anna"}, "password": {goodPassword}, "agree": {"1"}}).to(t)
				code = recovery[2]
			}
			lost.second(flow, proofRecovery, strings.ToLower(code)).to(t)
			if s, _ := h.mustSession(lost); strings.Join(s.AMR, " ") != "pwd otp mfa" || s.ACR != ACRTwoFactors {
				t.Errorf("session %v %s", s.AMR, s.ACR)
			}
		}
	})
}

// A device is known for as long as what its sign-in stood on: not through a sign-out of
// everything, nor another app; and a password makes none known.
func TestADeviceIsKnownForItsOwnSignIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b, byPassword := h.browser(), h.browser()
		b.signIn(fixture(0)) // before there is an app
		u := h.withPassword(0, "anna")
		app := h.confirmedTOTP(u.ID)
		asked := func(when string) {
			t.Helper()
			h.rewind(u)
			b.setCookie(sessionName, "")
			flow := b.halfway("/start", fixture(0))
			b.second(flow, proofTOTP, codeOf(t, app, 0)).to(t)
			flow, challenge := b.begin("/start", fixture(0))
			if to := b.finish(flow, challenge, testCode).to(t); to.Host != "rp.example" {
				t.Errorf("%s: known again, and led to %s", when, to)
			}
		}
		asked("since the app was set up")
		if err := errors.Join(h.users.Disable(t.Context(), u.ID), h.users.Enable(t.Context(), u.ID)); err != nil {
			t.Fatal(err)
		}
		asked("after all was signed out")
		app = h.confirmedTOTP(u.ID)
		asked("after another app was set up")

		for range 2 {
			flow := byPassword.openPassword("/start")
			if to := byPassword.byPassword(flow, "anna", goodPassword, "agree", "1").to(t); to.Path != pathSecond {
				t.Fatalf("a password led to %s", to)
			}
			h.rewind(u)
			byPassword.second(flow, proofTOTP, codeOf(t, app, 0)).to(t)
		}
	})
}

// Whoever has no browser is told to use one, on every way in, and nothing is made.
func TestOneFactorOpensNoAccountWithAnApp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, _, _ := h.withApp(t, 0, "anna")
		key := newAuthenticator(t)
		h.enrol(h.signInKnown(fixture(0)), key)
		before := h.rows(`SELECT count(*) FROM sessions`)
		if in, err := h.users.SignInBySMS(t.Context(), proven(h.prove(fixture(0))), Attempt{ClientID: "app"}); !errors.Is(err, ErrSecondFactor) || in.Session.ID != "" {
			t.Errorf("by SMS: %v", err)
		}
		if in, err := h.users.RegisterBySMS(t.Context(), h.prove(fixture(0)), otherPassword, Attempt{Browser: true}); !errors.Is(err, ErrSecondFactor) || in.Secret != "" {
			t.Errorf("by registering: %v", err)
		}
		if in, err := h.byPassword("anna", goodPassword); !errors.Is(err, ErrSecondFactor) || in.Secret != "" {
			t.Errorf("by password: %v", err)
		}
		if n := h.rows(`SELECT count(*) FROM sessions`); n != before {
			t.Errorf("%d sessions were made", n-before)
		}
		if in, err := h.byKey(key); err != nil || in.ACR != ACRTwoFactors { // two factors by itself
			t.Errorf("by passkey: %v", err)
		}
		if err := h.users.RemoveTOTP(t.Context(), u.ID, operatorBy); err != nil {
			t.Fatal(err)
		}
		if _, err := h.byPassword("anna", goodPassword); err != nil {
			t.Errorf("after the app was removed: %v", err)
		}
	})
}

// signInKnown is signIn on a device of the number.
func (h *house) signInKnown(phone string) SignedIn {
	h.t.Helper()
	in, err := h.users.SignInBySMS(h.t.Context(), proven(h.prove(phone)), Attempt{
		ClientID: "app", AgreementVersion: termsOfTest, Browser: true, KnownSince: func(sms.Number) time.Time { return time.Now().Add(time.Second) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return in
}

// signInKnown is signIn in a browser that the number knows.
func (b *browser) signInKnown(h *house, phone string) {
	b.t.Helper()
	b.setCookie(sessionName, h.signInKnown(phone).Secret)
}

func TestAWaitingSignInIsGoodOnceAndNotForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		u, app, recovery := h.withApp(t, 0, "anna")
		cookieOf := func(flow string) string { return flowPrefix + flow }

		b := h.browser()
		flow := b.halfway("/start", fixture(0))
		sealed := b.cookie(cookieOf(flow))
		b.second(flow, proofTOTP, codeOf(t, app, 0)).to(t)
		thief := h.browser()
		thief.setCookie(cookieOf(flow), sealed)
		thief.second(flow, proofRecovery, recovery[0]).fault(t, http.StatusGone, "flow_expired")
		if thief.cookie(sessionName) != "" {
			t.Error("one code signed in twice")
		}

		for name, change := range map[string]func(){
			"late":       func() { time.Sleep(heldFor + time.Second) },
			"no app":     func() { _ = h.users.RemoveTOTP(t.Context(), u.ID, operatorBy) },
			"signed out": func() { _ = h.users.SetPassword(t.Context(), u.ID, otherPassword, operatorBy) },
			"released":   func() { _, _ = h.users.ReleaseNumber(t.Context(), u.Phone) },
			"deleted":    func() { _ = h.users.Delete(t.Context(), u.ID) },
			"disabled":   func() { _ = h.users.Disable(t.Context(), u.ID) },
		} {
			if err := h.users.Delete(t.Context(), u.ID); err != nil && !isNotFound(err) {
				t.Fatal(err)
			}
			if u, _, recovery = h.withApp(t, 0, "anna"); len(recovery) == 0 {
				t.Fatal("no recovery codes")
			}
			b := h.browser()
			flow := b.halfway("/start", fixture(0))
			change()
			time.Sleep(time.Minute)
			b.second(flow, proofRecovery, recovery[0]).fault(t, http.StatusGone, "flow_expired")
			if b.cookie(sessionName) != "" {
				t.Errorf("%s: signed in", name)
			}
			if n := h.audited(`event = 'user.recovery_code_used'`, u.ID); n != 0 {
				t.Errorf("%s: the proof was used up for nothing", name)
			}
		}
	})
}

func TestOneProofIsOneSecondFactor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, app, recovery := h.withApp(t, 0, "anna")
		const many = 16
		for by, typed := range map[string]string{proofTOTP: codeOf(t, app, 0), proofRecovery: recovery[0]} {
			h.rewind(u)
			before := h.rows(`SELECT count(*) FROM sessions`)
			waiting := make([]*browser, many)
			flows := make([]string, many)
			for i := range waiting {
				waiting[i] = h.browser()
				flows[i] = waiting[i].halfway("/start", fixture(0))
			}
			var in atomic.Int32
			var wg sync.WaitGroup
			for i, b := range waiting {
				wg.Go(func() {
					// Many at once are also many tries, the later of which wait.
					if b.second(flows[i], by, typed).status == http.StatusSeeOther {
						in.Add(1)
					}
				})
			}
			wg.Wait()
			if n := h.rows(`SELECT count(*) FROM sessions`) - before; in.Load() != 1 || n != 1 {
				t.Errorf("%s: %d went on, %d sessions", by, in.Load(), n)
			}
			if _, err := h.db.Exec(t.Context(), `DELETE FROM credential_failures`); err != nil {
				t.Fatal(err)
			}
		}

		// And one sign-in that waits is one session, whatever is shown.
		b := h.browser()
		flow := b.halfway("/start", fixture(0))
		sealed := b.cookie(flowPrefix + flow)
		before := h.rows(`SELECT count(*) FROM sessions`)
		var wg sync.WaitGroup
		for _, code := range recovery[1:] {
			wg.Go(func() {
				b := h.browser()
				b.setCookie(flowPrefix+flow, sealed)
				b.second(flow, proofRecovery, code)
			})
		}
		wg.Wait()
		if n := h.rows(`SELECT count(*) FROM sessions`) - before; n != 1 {
			t.Errorf("%d sessions of one code", n)
		}
	})
}

func TestAClosingAccountIsKeptWithTheAppAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, app, _ := h.withApp(t, 0, "anna")
		if _, err := h.users.RequestDeletion(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		b := h.browser()
		flow := b.halfway("/start", fixture(0))
		b.post("/login/closing", url.Values{"flow": {flow}}).fault(t, http.StatusGone, "flow_expired")
		if to := b.second(flow, proofTOTP, codeOf(t, app, 0)).to(t); to.Path != "/login/closing" || b.cookie(sessionName) != "" {
			t.Fatalf("led to %s", to)
		}
		b.post("/login/closing", url.Values{"flow": {flow}}).to(t)
		if s, kept := h.mustSession(b); kept.ID != u.ID || s.ACR != ACRTwoFactors || !slices.Equal(s.AMR, []string{"sms", "otp", "mfa"}) {
			t.Errorf("kept by %v %s", s.AMR, s.ACR)
		}
	})
}

func TestAnIdleAccountWithAnAppTakesNoPassword(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.pages.Proofs = h.users.OwnProofs()
		u, app, _ := h.withApp(t, 0, "anna")
		back := int64(100 * 24 * time.Hour / time.Microsecond)
		for _, update := range []string{
			`UPDATE users SET created_at = created_at - $1, seen_at = seen_at - $1 WHERE id = $2`,
			`UPDATE sessions SET seen_at = seen_at - $1 WHERE user_id = $2`,
		} {
			if _, err := d.Exec(t.Context(), update, back, u.ID); err != nil {
				t.Fatal(err)
			}
		}
		b := h.browser()
		flow, challenge := b.begin("/start", fixture(0))
		to := b.finish(flow, challenge, testCode).to(t)
		if page := b.get(to.String()); to.Path != "/login/recycled" || strings.Contains(page.body, "proof-password") || !strings.Contains(page.body, "proof-totp") {
			t.Fatalf("%s: %s", to, page.body)
		}
		form := url.Values{"flow": {flow}, "decision": {"mine"}, "proof": {proofPassword}, "typed": {goodPassword}}
		b.post("/login/recycled", form).fault(t, http.StatusBadRequest, "invalid_request")
		form.Set("proof", proofTOTP)
		form.Set("typed", codeOf(t, app, 0))
		b.post("/login/recycled", form).to(t)
		if s, _ := h.mustSession(b); s.ACR != ACRTwoFactors || !slices.Equal(s.AMR, []string{"sms", "otp", "mfa"}) {
			t.Errorf("session %v %s", s.AMR, s.ACR)
		}
	})
}
