package oauth

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/user"
)

func TestAppSignsInBySMS(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		number, before := newNumber(), time.Now().Add(-time.Second)
		var subs []any
		for _, created := range []bool{true, false} {
			a := w.app(t)
			a.give().wantMore(atFirst...)
			sent := a.give("phone", number, "agreement_version", "2026-11", "locale", "en").wantMore(afterCode...)
			said, _ := sent.json()["sms"].(map[string]any)
			if said["masked_phone"] != "+86 138****"+number[len(number)-4:] || said["expires_in"].(float64) < 290 || said["resend_after"].(float64) < 50 {
				t.Errorf("sms: %v", said)
			}
			code := a.give("code", w.inbox.code(t, number))
			if code.json()["user_created"] != created {
				t.Errorf("want user_created %v: %s", created, code.body)
			}
			r := a.exchange(code.wantAppCode())
			if r.status != http.StatusOK || r.json()["token_type"] != "Bearer" || r.text("refresh_token") == "" {
				t.Fatalf("%d %s", r.status, r.body)
			}
			id := claims(t, r.text("id_token"))
			authTime, _ := id["auth_time"].(float64)
			if id["acr"] != "1" || fmt.Sprint(id["amr"]) != "[sms otp]" || id["sid"] != nil || id["nonce"] != a.request.Get("nonce") || authTime < float64(before.Unix()) {
				t.Errorf("ID token: %v", id)
			}
			subs = append(subs, id["sub"])
			if got := a.userinfo(r.text("access_token")).text("phone_number"); got != number {
				t.Errorf("userinfo: %q", got)
			}
			w.forget(t)
		}
		if subs[0] != subs[1] {
			t.Errorf("one number, two people: %v", subs)
		}
		if n := w.events(t, "login.succeeded"); n != 1 {
			t.Errorf("%d sign-ins on record", n)
		}
	})
}

// forget lets every number be texted again at once.
func (w *world) forget(t testing.TB) {
	t.Helper()
	for _, table := range []string{"sms_ledger", "sms_challenges", "sms_numbers"} {
		_, err := w.db.Exec(t.Context(), `DELETE FROM `+table)
		must(t, err)
	}
}

// A code that is not alive any more is followed by another one, which is as good.
func TestAppIsSentAnotherCode(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, number := w.app(t), newNumber()
		a.textCode(number)
		for _, age := range []string{`UPDATE sms_challenges SET expires_at = created_at`, `DELETE FROM sms_ledger`, `DELETE FROM sms_numbers`} {
			_, err := w.db.Exec(t.Context(), age)
			must(t, err)
		}
		a.give("resend", "1").wantMore(afterCode...)
		a.give("code", w.inbox.code(t, number)).wantAppCode()
	})
}

// What is asked with what, and its first answer, do not depend on whether somebody is known.
func TestAppLearnsNothingAboutNumbers(t *testing.T) {
	w := newWorld(t)
	id, known := w.account(t)
	w.setPassword(t, id)
	w.forget(t)
	var bodies []string
	for _, number := range []string{known, newNumber()} {
		a := w.app(t)
		for _, r := range []reply{
			a.give("phone", number, "agreement_version", "2026-11"),
			a.give("code", "12345"),
			a.give("identifier", number, "password", "not the password"),
		} {
			body := strings.NewReplacer(number[len(number)-4:], "NNNN", a.session, "S").Replace(r.body)
			bodies = append(bodies, fmt.Sprint(r.status, r.text("error"), r.text("error_description"), r.json()["next"], body[:20]))
		}
	}
	if a, b := fmt.Sprint(bodies[:3]), fmt.Sprint(bodies[3:]); a != b {
		t.Errorf("known:\n%s\nunknown:\n%s", a, b)
	}
}

func TestAppSignsInByPassword(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		id, number := w.account(t)
		w.setPassword(t, id)
		a := w.app(t)
		a.give("identifier", number, "password", "wrong, and long enough").wantRefusal(http.StatusBadRequest, "invalid_grant", atFirst...)
		a.give("identifier", number).wantRefusal(http.StatusBadRequest, "invalid_request", atFirst...)
		a.give("password", aPassword).wantRefusal(http.StatusBadRequest, "invalid_request", atFirst...)
		r := a.exchange(a.give("identifier", number, "password", aPassword).wantAppCode())
		said := claims(t, r.text("id_token"))
		if said["sub"] != id || said["acr"] != "1" || fmt.Sprint(said["amr"]) != "[pwd]" {
			t.Errorf("ID token: %v", said)
		}
	})
}

func TestAppSignsInByPasskey(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		id, _ := w.account(t)
		key := w.addPasskey(t, id)
		a := w.app(t, "acr_values", "2")
		question := a.give("passkey", "options").wantMore(atFirst...)
		state, response := key.respond(question)

		another := w.app(t) // the question is bound to the sign-in that asked
		another.give().wantMore(atFirst...)
		another.give("passkey_state", state, "passkey_response", response).wantRefusal(http.StatusBadRequest, "invalid_grant", atFirst...)
		a.give("passkey_state", state, "passkey_response", "{}").wantRefusal(http.StatusBadRequest, "invalid_grant", atFirst...)

		r := a.exchange(a.give("passkey_state", state, "passkey_response", response).wantAppCode())
		said := claims(t, r.text("id_token"))
		if said["sub"] != id || said["acr"] != "2" || fmt.Sprint(said["amr"]) != "[hwk user mfa]" {
			t.Errorf("ID token: %v", said)
		}
	})
}

func TestAppAsksForFewPasskeys(t *testing.T) {
	w := newWorld(t)
	a := w.app(t)
	for range questionsPerMinute {
		a.give("passkey", "options").wantMore(atFirst...)
	}
	if r := a.give("passkey", "options").wantRefusal(http.StatusTooManyRequests, "rate_limited", atFirst...); r.header.Get("Retry-After") == "" {
		t.Errorf("headers %v", r.header)
	}
}

// What a text message made through the account API is no second proof beside another.
func TestAppDoesNotStepUpByWhatAMessageMade(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		number := newNumber()
		h := w.holderOf(t, number, accountScopes)
		for _, password := range []string{aPassword, "another horse battery"} {
			h.want(http.StatusNoContent, http.MethodPut, "/password", map[string]any{"password": password})
		}
		w.forget(t)
		a := w.app(t, "acr_values", "2")
		said := claims(t, a.exchange(a.give("code", a.textCode(number)).wantAppCode()).text("id_token"))
		if said["acr"] != "1" {
			t.Errorf("ID token: %v", said)
		}
		_, err := w.db.Exec(t.Context(), `UPDATE users SET weakened_at = weakened_at - 90000000000`)
		must(t, err)
		w.forget(t)
		a = w.app(t, "acr_values", "2")
		a.give("code", a.textCode(number)).wantMore("password")
	})
}

func TestAppStepsUp(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		id, number := w.account(t)
		w.setPassword(t, id)
		secret, recovery := w.authenticatorApp(t, id)
		key := w.addPasskey(t, id)
		offered := []string{"totp", "recovery_code", "passkey"} // an account with an app takes no password besides
		for name, c := range map[string]struct {
			prove func(a *app) reply
			amr   string
		}{
			"authenticator app": {func(a *app) reply { return a.give("totp", totpCode(t, secret, 0)) }, "[sms otp mfa]"},
			"recovery code":     {func(a *app) reply { return a.give("recovery_code", recovery) }, "[sms otp mfa]"},
			"passkey": {func(a *app) reply {
				state, response := key.respond(a.give("passkey", "options").wantMore(offered...))
				return a.give("passkey_state", state, "passkey_response", response)
			}, "[hwk user mfa]"},
		} {
			w.forget(t)
			a := w.app(t, "acr_values", "urn:example:gold 2 1")
			a.give("code", a.textCode(number)).wantMore(offered...)
			a.give("totp", "000000").wantRefusal(http.StatusBadRequest, "invalid_grant", offered...)
			a.give("phone", newNumber(), "agreement_version", "1").wantRefusal(http.StatusBadRequest, "invalid_request", offered...)
			said := claims(t, a.exchange(c.prove(a).wantAppCode()).text("id_token"))
			if said["sub"] != id || said["acr"] != "2" || fmt.Sprint(said["amr"]) != c.amr {
				t.Errorf("%s: %v", name, said)
			}
		}

		// One proof is not two: a password is no second one after itself.
		a := w.app(t, "acr_values", "2")
		a.give("totp", totpCode(t, secret, 0)).wantRefusal(http.StatusBadRequest, "invalid_request", atFirst...)
		rest := offered
		a.give("identifier", number, "password", aPassword).wantMore(rest...)
		a.give("password", aPassword).wantRefusal(http.StatusBadRequest, "invalid_request", rest...)

		// Another account's passkey is no proof of this one.
		other, _ := w.account(t)
		foreign := w.addPasskey(t, other)
		state, response := foreign.respond(a.give("passkey", "options").wantMore(rest...))
		a.give("passkey_state", state, "passkey_response", response).wantRefusal(http.StatusBadRequest, "invalid_grant", rest...)

		// The sign-ins are on record as those of the pages are.
		if asked, done := w.events(t, "login.second_asked"), w.events(t, "login.succeeded"); asked != 4 || done != 3 {
			t.Errorf("%d second proofs asked for, %d sign-ins", asked, done)
		}

		// What is demanded by claims, as at the authorize endpoint, is no wish.
		d := w.app(t, "claims", `{"id_token":{"acr":{"essential":true,"value":"2"}}}`)
		if r := d.give("code", d.textCode(newNumber())); r.status != http.StatusForbidden || r.text("error") != "unmet_authentication_requirements" || r.text("authorization_code") != "" {
			t.Errorf("one factor where two are essential: %d %s", r.status, r.body)
		}

		// acr_values are a wish: who has no second proof signs in with one.
		b := w.app(t, "acr_values", "2")
		if said := claims(t, b.exchange(b.give("code", b.textCode(newNumber())).wantAppCode()).text("id_token")); said["acr"] != "1" {
			t.Errorf("without a second proof: %v", said)
		}
		// Class 1 before class 2 is content with a code.
		c := w.app(t, "acr_values", "1 2")
		c.give("code", c.textCode(newNumber())).wantAppCode()
	})
}

func TestAppGuessesFiveTimes(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, number := w.app(t), newNumber()
		right := a.textCode(number)
		wrong := "000000"
		if right == wrong {
			wrong = "000001"
		}
		first := a.session
		for try := range 5 {
			a.session = first // an older auth_session gives no more tries
			next := afterCode
			if try == 4 {
				next = atFirst
			}
			a.give("code", wrong).wantRefusal(http.StatusBadRequest, "invalid_grant", next...)
		}
		for _, session := range []string{a.session, first} {
			a.session = session
			a.give("code", right).wantRefusal(http.StatusBadRequest, "invalid_grant", atFirst...)
		}
	})
}

// That a number had too many wrong codes shows to whoever asks for one anyhow; the person
// has to know how long to wait, or that another proof is needed.
func TestAppIsToldOfTooManyWrongCodes(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.app(t)
		code := a.textCode(newNumber())
		_, err := w.db.Exec(t.Context(), `UPDATE sms_numbers SET failures = $1`, strings.Repeat(fmt.Sprintf("%016d ", db.Micros(time.Now())), 100))
		must(t, err)
		if r := a.give("code", code).wantRefusal(http.StatusTooManyRequests, "code_tries_limited", afterCode...); r.header.Get("Retry-After") == "" {
			t.Errorf("headers %v", r.header)
		}
		_, err = w.db.Exec(t.Context(), `UPDATE sms_numbers SET failures = '', consecutive = 1000`)
		must(t, err)
		a.give("code", code).wantRefusal(http.StatusForbidden, "sms_sign_in_stopped", atFirst...)
	})
}

func TestAppIsAskedForAHumanCheck(t *testing.T) {
	w := newWorld(t)
	w.server.sms, w.server.captcha = demanding{w.server.sms}, &gate{}
	a, number := w.app(t), newNumber()
	r := a.give("phone", number, "agreement_version", "2026-11").wantRefusal(http.StatusForbidden, "captcha_required", atFirst...)
	if puzzle, _ := r.json()["captcha"].(map[string]any); puzzle["type"] != "pow" {
		t.Errorf("%s", r.body)
	}
	a.give("phone", number, "agreement_version", "2026-11", "captcha", "7").wantRefusal(http.StatusForbidden, "captcha_failed", atFirst...)
	a.give("phone", number, "agreement_version", "2026-11", "captcha", "1").wantMore(afterCode...)
	a.give("resend", "1").wantRefusal(http.StatusForbidden, "captcha_required", afterCode...)
	a.give("code", w.inbox.code(t, number)).wantAppCode()
}

// However many requests complete one sign-in at once, with one proof or with many good
// ones, it gives one code.
func TestAppGetsOneCode(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, number := w.app(t), newNumber()
		code := a.textCode(number)
		wantOne(t, a, 50, func(int) []string { return []string{"code", code} })

		id, number := w.account(t)
		key := w.addPasskey(t, id)
		b := w.app(t)
		state, response := key.respond(b.give("passkey", "options"))
		wantOne(t, b, 50, func(int) []string { return []string{"passkey_state", state, "passkey_response", response} })

		enrolled, err := w.users.EnrolTOTP(t.Context(), id, "Dialtone", "somebody")
		must(t, err)
		recovery, err := w.users.ConfirmTOTP(t.Context(), id, totpCode(t, enrolled.Secret, 0), user.By{Actor: "user:" + id})
		must(t, err)
		w.forget(t)
		c := w.app(t)
		c.give("code", c.textCode(number)).wantMore("totp", "recovery_code", "passkey")
		wantOne(t, c, len(recovery), func(i int) []string { return []string{"recovery_code", recovery[i]} })
	})
}

// wantOne completes a's sign-in n times at once: one code. The others are too late for
// the proof, or for the sign-in.
func wantOne(t *testing.T, a *app, n int, give func(int) []string) {
	t.Helper()
	var mu sync.Mutex
	var wait sync.WaitGroup
	counts := map[string]int{}
	for i := range n {
		wait.Go(func() {
			mine := *a
			r := mine.give(give(i)...)
			outcome := r.text("error")
			if r.status == http.StatusOK {
				outcome = "ok"
			}
			mu.Lock()
			defer mu.Unlock()
			counts[outcome]++
		})
	}
	wait.Wait()
	if counts["ok"] != 1 || counts["invalid_grant"]+counts["invalid_session"] != n-1 {
		t.Errorf("%v", counts)
	}
}
