package oauth

import (
	"net/http"
	"testing"
)

// What takes the server some work is done so often for one account, and others are not held up.
func TestAccountAPILimitsWork(t *testing.T) {
	w := newWorld(t)
	h, other := w.holder(t, accountScopes), w.holder(t, accountScopes)
	for _, c := range []struct {
		times                           int
		method, path, contentType, body string
		status                          int
		code                            string
	}{
		{30, http.MethodPut, "/picture", "image/png", "no picture", 422, "picture_unreadable"},
		{20, http.MethodPut, "/password", "application/json", `{"password":"short"}`, 422, "password_too_short"},
		{100, http.MethodPatch, "/profile", "application/json", `{"locale":"!"}`, 422, "locale_invalid"},
	} {
		send := func(h *holder) reply {
			t.Helper()
			return h.do(c.method, "/v1/account"+c.path, c.body, "Authorization", "Bearer "+h.token, "Content-Type", c.contentType)
		}
		for range c.times {
			wantProblem(t, send(h), c.status, c.code)
		}
		r := send(h)
		if wantProblem(t, r, http.StatusTooManyRequests, "rate_limited"); r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", c.path, r.header)
		}
		wantProblem(t, send(other), c.status, c.code)
	}
}

// A token that outlives its session keeps nothing of that: whoever holds it is not there.
func TestSigningOutElsewhereAfterTheSession(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.knowTestNumber()
		h := w.holderOf(t, testNumber, accountScopes)
		q := ownRequest(accountScopes)
		again := h.redeem(q, q.wantCode(h.authorize(q))) // another grant in the same session
		_, err := w.db.Exec(t.Context(), `UPDATE sessions SET ended_at = created_at WHERE id = $1`, h.session)
		must(t, err)
		h.want(http.StatusNoContent, http.MethodPost, "/sessions/end-others", nil)
		h.want(http.StatusOK, http.MethodGet, "/profile", nil)
		other := &holder{browser: h.browser, token: again.text("access_token")}
		wantProblem(t, other.api(http.MethodGet, "/profile", nil), http.StatusUnauthorized, "invalid_token")
	})
}
