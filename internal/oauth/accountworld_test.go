package oauth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// holder is a person's app with an access token.
type holder struct {
	number string // where a test needs it
	*browser
	token   string
	subject string
	session string // "" for a native app
	tokens  reply
}

const accountScopes = "openid offline_access account account.write"

func ownRequest(scope string) request {
	return ask("own", "https://own.example/cb", "scope", scope)
}

// holder signs somebody new in.
func (w *world) holder(t *testing.T, scope string) *holder {
	t.Helper()
	return w.holderOf(t, newNumber(), scope)
}

// holderOf signs the person of a number in, in a browser of its own.
func (w *world) holderOf(t *testing.T, number, scope string) *holder {
	t.Helper()
	b, q := w.browser(t), ownRequest(scope)
	tokens := b.redeem(q, q.wantCode(b.signIn(b.authorize(q), number)))
	h := &holder{browser: b, token: tokens.text("access_token"), tokens: tokens}
	h.subject, h.session = sid(t, tokens)
	return h
}

// nativeHolder signs the person of a number in through the SMS-code grant.
func (w *world) nativeHolder(t *testing.T, number string) *holder {
	t.Helper()
	b := w.browser(t)
	id := b.challenge(map[string]any{"client_id": "own-native", "phone": number}).text("challenge_id")
	tokens := b.call("/oauth2/token", "own-native", url.Values{"grant_type": {smsGrant}, "challenge_id": {id},
		"code": {w.inbox.code(t, number)}, "scope": {accountScopes}})
	subject, _ := claims(t, tokens.text("id_token"))["sub"].(string)
	return &holder{browser: b, token: tokens.text("access_token"), subject: subject, tokens: tokens}
}

// api calls the account API. body is JSON, or nil for none.
func (h *holder) api(method, path string, body any, header ...string) reply {
	h.t.Helper()
	text := ""
	header = append([]string{"Authorization", "Bearer " + h.token}, header...)
	if body != nil {
		raw, err := json.Marshal(body)
		must(h.t, err)
		text, header = string(raw), append(header, "Content-Type", "application/json")
	}
	return h.do(method, "/v1/account"+path, text, header...)
}

// want calls the account API and checks the status.
func (h *holder) want(status int, method, path string, body any) reply {
	h.t.Helper()
	r := h.api(method, path, body)
	if r.status != status {
		h.t.Fatalf("%s %s: %d %s, want %d", method, path, r.status, r.body, status)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		h.t.Errorf("%s %s: Cache-Control %q", method, path, r.header.Get("Cache-Control"))
	}
	return r
}

// signedInAgo moves the sign-in behind all of the person's grants.
func (h *holder) signedInAgo(t *testing.T, d time.Duration) {
	t.Helper()
	_, err := h.w.db.Exec(t.Context(), `UPDATE grants SET auth_time = $1 WHERE user_id = $2`, db.Micros(time.Now().Add(-d)), h.subject)
	must(t, err)
}

// apiOperation is one that the OpenAPI document names below /v1/account.
type apiOperation struct{ method, path string }

func (w *world) operations(t *testing.T) (all []apiOperation) {
	t.Helper()
	var d struct {
		Paths map[string]map[string]json.RawMessage
	}
	must(t, json.Unmarshal([]byte(w.browser(t).get("/v1/openapi.json").body), &d))
	for path, methods := range d.Paths {
		if below, ok := strings.CutPrefix(path, "/v1/account"); ok {
			for method := range methods {
				all = append(all, apiOperation{strings.ToUpper(method), strings.NewReplacer("{id}", "x", "{client_id}", "x").Replace(below)})
			}
		}
	}
	if len(all) < 25 {
		t.Fatalf("the document has %d operations", len(all))
	}
	return all
}

// fresh are the operations that need a recent sign-in.
func (o apiOperation) fresh() bool {
	switch {
	case o.method == http.MethodGet:
		return false
	case strings.HasPrefix(o.path, "/profile"), strings.HasPrefix(o.path, "/picture"), strings.HasPrefix(o.path, "/sessions"), strings.HasPrefix(o.path, "/apps"):
		return false
	}
	return true
}
