package oauth

import (
	"net/http"
	"testing"
)

// asksPhoneCode asks for a code, to the person's own number if number is "".
func (h *holder) asksPhoneCode(t *testing.T, w *world, number string) (id, code string) {
	t.Helper()
	body, to := map[string]any{}, number
	if number != "" {
		body["phone"] = number
	} else {
		to = h.number
	}
	r := h.want(http.StatusCreated, http.MethodPost, "/phone/challenges", body)
	return r.text("challenge_id"), w.inbox.code(t, to)
}

func TestAccountPhone(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		number, next := newNumber(), newNumber()
		h := w.holderOf(t, number, accountScopes)
		h.number = number
		w.forget(t)
		currentID, currentCode := h.asksPhoneCode(t, w, "")
		nextID, nextCode := h.asksPhoneCode(t, w, next)
		change := func(over ...string) map[string]any {
			body := map[string]any{
				"current_challenge_id": currentID, "current_code": currentCode, "challenge_id": nextID, "code": nextCode,
			}
			for i := 0; i < len(over); i += 2 {
				body[over[i]] = over[i+1]
			}
			return body
		}
		anew := func() {
			t.Helper()
			w.forget(t)
			currentID, currentCode = h.asksPhoneCode(t, w, "")
			nextID, nextCode = h.asksPhoneCode(t, w, next)
		}
		// Both codes, each for its number, and nobody else's.
		wantProblem(t, h.api(http.MethodPut, "/phone", change("current_code", "")), 422, "code_incorrect")
		wantProblem(t, h.api(http.MethodPut, "/phone", change("current_challenge_id", nextID, "current_code", nextCode)), 409, "phone_moved")
		anew()
		wantProblem(t, h.api(http.MethodPut, "/phone", change("challenge_id", "", "code", "")), 422, "code_expired")
		anew()
		thief := w.holder(t, accountScopes)
		wantProblem(t, thief.api(http.MethodPut, "/phone", change()), 422, "code_expired")
		h.want(http.StatusNoContent, http.MethodPut, "/phone", change())
		wantProblem(t, h.api(http.MethodGet, "/profile", nil), http.StatusUnauthorized, "invalid_token")
		if n := w.events(t, "user.phone_changed"); n != 1 {
			t.Errorf("%d changes on record", n)
		}

		// A number that is somebody's: told to who has proven it, and not before.
		w.forget(t)
		other := w.holderOf(t, number, accountScopes) // which is free again
		other.number = number
		if other.subject == h.subject {
			t.Fatal("the old number still opens the account")
		}
		w.forget(t)
		currentID, currentCode = other.asksPhoneCode(t, w, "")
		nextID, nextCode = other.asksPhoneCode(t, w, next)
		wantProblem(t, other.api(http.MethodPut, "/phone", change()), 409, "phone_taken")
	})
}

// Every request uses up the codes that it brings rightly, and a right one never counts as a wrong one.
func TestAccountPhoneUsesCodesUp(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := w.holderOf(t, newNumber(), accountScopes)
		u, err := w.users.Get(t.Context(), h.subject)
		must(t, err)
		h.number = u.Phone.E164()
		w.forget(t)
		currentID, currentCode := h.asksPhoneCode(t, w, "")
		nextID, nextCode := h.asksPhoneCode(t, w, newNumber())
		body := map[string]any{"current_challenge_id": currentID, "current_code": currentCode, "challenge_id": nextID, "code": another(nextCode)}
		wantProblem(t, h.api(http.MethodPut, "/phone", body), 422, "code_incorrect")
		body["code"] = nextCode
		wantProblem(t, h.api(http.MethodPut, "/phone", body), 422, "code_expired")
		var charged int
		must(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM sms_numbers WHERE failures <> ''`).Scan(&charged))
		if charged != 1 { // the new one
			t.Errorf("wrong codes are charged to %d numbers", charged)
		}

		w.forget(t)
		nextID, nextCode = h.asksPhoneCode(t, w, newNumber())
		body["current_challenge_id"], body["current_code"] = nextID, nextCode
		wantProblem(t, h.api(http.MethodPut, "/phone", body), 409, "phone_moved")
		wantProblem(t, h.api(http.MethodPut, "/phone", body), 422, "code_expired")
		must(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM sms_numbers WHERE failures <> ''`).Scan(&charged))
		if charged != 0 {
			t.Errorf("a right code of another number is charged to %d numbers", charged)
		}
	})
}

// another is a code that is not this one.
func another(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}
