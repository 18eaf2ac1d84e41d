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
		{10, http.MethodPut, "/picture", "image/png", "no picture", 422, "picture_unreadable"},
		{100, http.MethodPatch, "/profile", "application/json", `{"nickname":"n"}`, 200, ""},
	} {
		send := func(h *holder) reply {
			t.Helper()
			return h.do(c.method, "/v1/account"+c.path, c.body, "Authorization", "Bearer "+h.token, "Content-Type", c.contentType)
		}
		passes := func(r reply) {
			t.Helper()
			if c.code != "" {
				wantProblem(t, r, c.status, c.code)
			} else if r.status != c.status {
				t.Errorf("%s: %d %s", c.path, r.status, r.body)
			}
		}
		for range c.times {
			passes(send(h))
		}
		r := send(h)
		if wantProblem(t, r, http.StatusTooManyRequests, "rate_limited"); r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", c.path, r.header)
		}
		passes(send(other))
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
