package oauth

import (
	"fmt"
	"net/http"
	"testing"
)

// What is asked of acr comes out as at the authorize endpoint.
func TestAppGetsTheACRThatPagesGive(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		id, number := w.account(t)
		w.setPassword(t, id)

		// The pages would ask for a text message after the password.
		for name, pair := range map[string][]string{
			"a wish": {"acr_values", "2"}, "a demand": {"claims", `{"id_token":{"acr":{"essential":true,"value":"2"}}}`},
		} {
			a := w.app(t, pair...)
			if r := a.give("identifier", number, "password", aPassword); r.text("error") != "redirect_to_web" || r.status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}

		key := w.addPasskey(t, id)
		b := w.app(t, "claims", `{"id_token":{"acr":{"essential":true,"value":"1"}}}`)
		state, response := key.respond(b.give("passkey", "options"))
		r := b.exchange(b.give("passkey_state", state, "passkey_response", response).wantAppCode())
		if said := claims(t, r.text("id_token")); said["acr"] != "1" {
			t.Errorf("acr %v where 1 is essential", said["acr"])
		}
	})
}

// A passkey that steps a sign-in up is a second proof on record, and no second sign-in.
func TestAppStepsUpByPasskey(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		id, number := w.account(t)
		key := w.addPasskey(t, id)
		w.forget(t)
		a := w.app(t, "acr_values", "2")
		a.give("code", a.textCode(number)).wantMore("passkey")
		signIns := w.events(t, "login.succeeded")
		state, response := key.respond(a.give("passkey", "options"))
		said := claims(t, a.exchange(a.give("passkey_state", state, "passkey_response", response).wantAppCode()).text("id_token"))
		if said["acr"] != "2" || fmt.Sprint(said["amr"]) != "[sms otp user mfa]" {
			t.Errorf("%v", said)
		}
		if more, stepped := w.events(t, "login.succeeded")-signIns, w.events(t, "login.stepped_up"); more != 0 || stepped != 1 {
			t.Errorf("%d sign-ins and %d second proofs on record", more, stepped)
		}
	})
}

// The language that somebody agreed in is kept, however many proofs it takes.
func TestAppKeepsTheLanguageOfAnAgreement(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		id, number := w.account(t)
		w.setPassword(t, id)
		_, recovery := w.authenticatorApp(t, id)
		key := w.addPasskey(t, id)
		a := w.app(t)
		a.give("identifier", number, "password", aPassword, "agreement_version", "of-the-app", "locale", "en").wantMore("totp", "recovery_code", "passkey")
		a.give("recovery_code", recovery).wantAppCode()
		b := w.app(t)
		b.give("identifier", number, "password", aPassword, "agreement_version", "of-the-key", "locale", "en").wantMore("totp", "recovery_code", "passkey")
		state, response := key.respond(b.give("passkey", "options"))
		b.give("passkey_state", state, "passkey_response", response).wantAppCode()
		var n int
		must(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM agreements WHERE user_id = $1 AND version LIKE 'of-the-%' AND locale = 'en'`, id).Scan(&n))
		if n != 2 {
			t.Errorf("%d of 2 agreements are in English", n)
		}
	})
}

// Somebody else than the client named is told so before they use up a second proof.
func TestAppComparesTheHintAfterTheFirstProof(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		first := w.app(t)
		hint := first.exchange(first.give("code", first.textCode(newNumber())).wantAppCode()).text("id_token")
		id, number := w.account(t)
		w.authenticatorApp(t, id)
		w.forget(t)
		a := w.app(t, "id_token_hint", hint)
		if r := a.give("code", a.textCode(number)); r.text("error") != "login_required" || r.text("auth_session") != "" {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}
