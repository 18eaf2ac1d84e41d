package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// RFC 6750 section 3 and RFC 9470 section 3: who may not is told why, by every
// operation, before anything of the request is looked at.
func TestAccountAPIAdmitsOnlyTheRightTokens(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := w.holder(t, accountScopes)
		reader, other := w.holder(t, "openid account"), w.holder(t, "openid phone")
		revoked, stale, disabled := w.holder(t, accountScopes), w.holder(t, accountScopes), w.holder(t, accountScopes)
		h.call("/oauth2/revoke", "own", url.Values{"token": {revoked.tokens.text("refresh_token")}})
		stale.signedInAgo(t, 11*time.Minute)
		must(t, w.users.Disable(t.Context(), disabled.subject))
		machine := h.call("/oauth2/token", "own-machine", url.Values{"grant_type": {"client_credentials"}, "scope": {"account account.write"}})
		if machine.status != http.StatusOK {
			t.Fatalf("%d %s", machine.status, machine.body)
		}
		const realm = `Bearer realm="Dialtone"`
		for _, o := range w.operations(t) {
			scope := "account.write"
			if o.method == http.MethodGet {
				scope = "account"
			}
			for name, c := range map[string]struct {
				authorization string
				status        int
				code          string
				challenge     []string
			}{
				"nobody":             {"", 401, "invalid_token", []string{realm}},
				"basic":              {basic("own", "x"), 401, "invalid_token", []string{realm}},
				"nonsense":           {"Bearer x", 401, "invalid_token", []string{realm, `error="invalid_token"`}},
				"ID token":           {"Bearer " + h.tokens.text("id_token"), 401, "invalid_token", []string{`error="invalid_token"`}},
				"refresh token":      {"Bearer " + h.tokens.text("refresh_token"), 401, "invalid_token", []string{`error="invalid_token"`}},
				"client credentials": {"Bearer " + machine.text("access_token"), 401, "invalid_token", []string{`error="invalid_token"`}},
				"revoked":            {"Bearer " + revoked.token, 401, "invalid_token", []string{`error="invalid_token"`}},
				"disabled":           {"Bearer " + disabled.token, 401, "invalid_token", []string{`error="invalid_token"`}},
				"without scope":      {"Bearer " + other.token, 403, "insufficient_scope", []string{`error="insufficient_scope"`, `scope="` + scope + `"`}},
			} {
				header := []string{"Authorization", c.authorization}
				if c.authorization == "" {
					header = nil
				}
				r := h.do(o.method, "/v1/account"+o.path, "", header...)
				wantProblem(t, r, c.status, c.code)
				challenge := r.header.Get("WWW-Authenticate")
				for _, part := range c.challenge {
					if !strings.Contains(challenge, part) {
						t.Errorf("%s, %s %s: %s lacks %s", name, o.method, o.path, challenge, part)
					}
				}
				if len(c.challenge) == 1 && c.challenge[0] == realm && challenge != realm {
					t.Errorf("%s is told %s", name, challenge)
				}
				if r.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: Cache-Control %q", name, r.header.Get("Cache-Control"))
				}
			}
			if o.method != http.MethodGet {
				wantProblem(t, reader.api(o.method, o.path, nil), http.StatusForbidden, "insufficient_scope")
			}
			r := stale.api(o.method, o.path, nil)
			if o.fresh() != (r.status == http.StatusUnauthorized) {
				t.Fatalf("stale: %s %s %d %s", o.method, o.path, r.status, r.body)
			}
			if o.fresh() {
				wantProblem(t, r, http.StatusUnauthorized, "insufficient_user_authentication")
				challenge := r.header.Get("WWW-Authenticate")
				if !strings.Contains(challenge, `error="insufficient_user_authentication"`) || !strings.Contains(challenge, `max_age="600"`) {
					t.Errorf("stale: %s", challenge)
				}
				if o.path == "/sessions/end-others" || o.path == "/apps/x" {
					t.Fatal("the stale one ended itself")
				}
			}
		}
	})
}

// The sign-in of a session that another one let in was not made on this device,
// however young it is, and another of that age would not be either.
func TestAccountOperationsOfACopiedSessionAreStale(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := w.holder(t, accountScopes)
		_, err := w.db.Exec(t.Context(), `UPDATE sessions SET copied = $1 WHERE id = $2`, true, h.session)
		must(t, err)
		for _, o := range w.operations(t) {
			if !o.fresh() {
				continue
			}
			r := h.api(o.method, o.path, nil)
			wantProblem(t, r, http.StatusUnauthorized, "insufficient_user_authentication")
			if challenge := r.header.Get("WWW-Authenticate"); !strings.Contains(challenge, `max_age="0"`) {
				t.Errorf("%s %s: %s", o.method, o.path, challenge)
			}
		}
		h.want(http.StatusOK, http.MethodGet, "/sessions", nil)
	})
}

// A third-party client cannot be registered for the scopes, and one that stops
// being ours has nothing of them.
func TestAccountScopesAreForFirstPartyClients(t *testing.T) {
	w := newWorld(t)
	h := w.holder(t, accountScopes)
	for _, scope := range []string{"openid account", "account.write"} {
		c := testClients()[2]
		c.ID, c.Scope = "greedy", scope
		if _, err := w.clients.Create(t.Context(), c, secret, "operator"); err == nil || !strings.Contains(err.Error(), "first_party") {
			t.Errorf("%s: %v", scope, err)
		}
	}
	q := ask("third", "https://third.example/cb", "scope", "openid account")
	q.wantError(h.authorize(q), w.url, "invalid_scope")
	if _, err := w.db.Exec(t.Context(), `UPDATE clients SET metadata = replace(metadata, '"first_party":true', '"first_party":false') WHERE client_id = 'own'`); err != nil {
		t.Fatal(err)
	}
	w.clients.Forget()
	wantProblem(t, h.api(http.MethodGet, "/profile", nil), http.StatusForbidden, "insufficient_scope")
}

func TestAccountAPIIsHTTP(t *testing.T) {
	w := newWorld(t)
	h := w.holder(t, accountScopes)
	r := h.api(http.MethodPost, "/profile", nil)
	wantProblem(t, r, http.StatusMethodNotAllowed, "method_not_allowed")
	if r.header.Get("Allow") != "GET, PATCH" {
		t.Errorf("Allow %q", r.header.Get("Allow"))
	}
	for _, path := range []string{"", "/", "/nothing", "/profile/x"} {
		wantProblem(t, h.api(http.MethodGet, path, nil), http.StatusNotFound, "not_found")
	}
	wantProblem(t, h.get("/v1/account/profile?access_token="+h.token), http.StatusBadRequest, "invalid_request")
	for name, c := range map[string]struct {
		contentType, body string
		status            int
		code              string
	}{
		"form":           {"application/x-www-form-urlencoded", "nickname=A", 415, "unsupported_media_type"},
		"not JSON":       {"application/json", "A", 400, "invalid_request"},
		"list":           {"application/json", `[]`, 400, "invalid_request"},
		"twice":          {"application/json", `{"nickname":"A","nickname":"B"}`, 400, "invalid_request"},
		"unknown member": {"application/json", `{"sub":"x"}`, 422, "invalid_request"},
		"number":         {"application/json", `{"nickname":1}`, 422, "invalid_request"},
		"endless":        {"application/json", `{"nickname":"` + strings.Repeat("x", 9<<10) + `"}`, 413, "request_too_large"},
	} {
		r := h.do(http.MethodPatch, "/v1/account/profile", c.body, "Authorization", "Bearer "+h.token, "Content-Type", c.contentType)
		if wantProblem(t, r, c.status, c.code); t.Failed() {
			t.Fatal(name)
		}
	}

	// An app in a browser: its own origin may read, no other.
	for origin, allowed := range map[string]string{"https://own.example": "https://own.example", "https://evil.example": ""} {
		r := h.api(http.MethodGet, "/profile", nil, "Origin", origin)
		if r.status != http.StatusOK || r.header.Get("Access-Control-Allow-Origin") != allowed {
			t.Errorf("%s: %d %q", origin, r.status, r.header.Get("Access-Control-Allow-Origin"))
		}
	}
	r = h.do(http.MethodOptions, "/v1/account/profile", "", "Origin", "https://own.example", "Access-Control-Request-Method", "PATCH")
	if r.status != http.StatusNoContent || r.header.Get("Access-Control-Allow-Methods") != "GET, PATCH" {
		t.Errorf("preflight: %d %v", r.status, r.header)
	}
}
