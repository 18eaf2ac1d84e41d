package oauth

import (
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
