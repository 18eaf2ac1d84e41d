package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
)

func machineToken(b *browser, clientID string) string {
	b.t.Helper()
	r := b.call("/oauth2/token", clientID, url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}})
	if r.status != http.StatusOK {
		b.t.Fatalf("%d %s", r.status, r.body)
	}
	return r.text("access_token")
}

func TestIntrospectionGolden(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	tokens := b.tokens(webRequest())
	look := func(clientID, token string) string {
		r := b.call("/oauth2/introspect", clientID, url.Values{"token": {token}})
		if r.status != http.StatusOK || r.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return shape(t, r.body)
	}
	wantGolden(t, "introspection_access.json", look("web", tokens.text("access_token")))
	wantGolden(t, "introspection_refresh.json", look("web", tokens.text("refresh_token")))
	wantGolden(t, "introspection_machine.json", look("machine", machineToken(b, "machine")))
	wantGolden(t, "introspection_inactive.json", look("web", "x"))
}

// N-18, T-136: own tokens, or all access tokens if the caller is one of ours.
func TestIntrospectionTellsOnlyWhoMayKnow(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	tokens := b.tokens(webRequest())
	for _, token := range []string{tokens.text("access_token"), tokens.text("refresh_token")} {
		access := !isRefreshToken(token)
		for clientID, want := range map[string]bool{"web": true, "resource": access, "web2": access, "machine": false, "third": false} {
			r := b.call("/oauth2/introspect", clientID, url.Values{"token": {token}})
			if r.status != http.StatusOK || r.json()["active"] != want {
				t.Errorf("%s: %d %s", clientID, r.status, r.body)
			}
			if !want && len(r.json()) != 1 {
				t.Errorf("%s learns %s", clientID, r.body)
			}
		}
		if r := b.call("/oauth2/introspect", "spa", url.Values{"token": {token}}); r.status != http.StatusUnauthorized {
			t.Errorf("a public client: %d %s", r.status, r.body)
		}
	}
	if r := b.call("/oauth2/introspect", "web", url.Values{}); r.status != http.StatusBadRequest || r.text("error") != "invalid_request" {
		t.Errorf("without a token: %d %s", r.status, r.body)
	}
	if r := b.post("/oauth2/introspect", url.Values{"token": {"x"}}); r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" {
		t.Errorf("without a client: %d", r.status)
	}
	if r := b.get("/oauth2/introspect?token=x"); r.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", r.status)
	}
}

// What the token endpoint would refuse is not active.
func TestARefreshTokenThatMayNotBeUsedIsInactive(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	refresh := b.tokens(webRequest()).text("refresh_token")
	c, err := w.clients.Read(t.Context(), "web")
	c.GrantTypes = []string{client.GrantAuthorizationCode}
	must(t, orUpdate(w, c, err))
	w.clients.Forget()
	if told := b.introspect(refresh); told["active"] != false {
		t.Errorf("introspection says %v", told)
	}
	if r := b.refresh("web", refresh); r.status != http.StatusBadRequest {
		t.Errorf("the token endpoint says %d", r.status)
	}
}

// T-34; an ID token is no access token.
func TestForgedAndForeignTokensAreInactive(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	tokens, others := b.tokens(webRequest()), w.browser(t).tokens(webRequest())
	access, refresh := tokens.text("access_token"), tokens.text("refresh_token")
	forged := map[string]string{
		"ID token": tokens.text("id_token"), "empty parts": "..", "rt": "rt.", "rt with dots": "rt....", "space": " ", "key part": access[strings.LastIndex(access, ".")+1:],
		"signature of another": access[:strings.LastIndex(access, ".")] + others.text("access_token")[strings.LastIndex(others.text("access_token"), "."):],
		"flipped case":         swapCase(access), "extended": access + "x", "refresh extended": refresh + "x", "refresh flipped": flipLast(refresh),
		"later generation": strings.Replace(refresh, ".1.", ".2.", 1), "10 KB": strings.Repeat("x", 10<<10),
	}
	for _, n := range []int{1, 2, 3, 10, 40} {
		forged["cut by "+string(rune('0'+n%10))] = access[:len(access)-n]
		forged["refresh cut by "+string(rune('0'+n%10))] = refresh[:len(refresh)-n]
	}
	for name, token := range forged {
		r := b.call("/oauth2/introspect", "web", url.Values{"token": {token}})
		if r.body != `{"active":false}` {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if strings.TrimSpace(token) == "" {
			continue
		}
		if r := b.userinfo(token); r.status != http.StatusUnauthorized || !strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s: userinfo %d %s", name, r.status, r.header.Get("WWW-Authenticate"))
		}
	}
	if b.introspect(access)["active"] != true || b.introspect(refresh)["active"] != true {
		t.Error("the genuine ones are not active any more")
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 32
		case r >= 'A' && r <= 'Z':
			return r + 32
		}
		return r
	}, s)
}

// T-33
func TestRevocation(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		revoke := func(clientID, token string) {
			t.Helper()
			for range 2 { // the second time there is nothing to do, and it looks the same
				if r := b.call("/oauth2/revoke", clientID, url.Values{"token": {token}, "token_type_hint": {"whatever"}}); r.status != http.StatusOK || r.body != "" {
					t.Fatalf("%d %s", r.status, r.body)
				}
			}
		}
		active := func(token string) bool { t.Helper(); return b.introspect(token)["active"] == true }

		for _, kind := range []string{"access_token", "refresh_token"} {
			tokens := w.browser(t).tokens(webRequest())
			revoke("web2", tokens.text(kind))
			revoke("spa", tokens.text(kind))
			revoke("web", "rt.unknown.1.x")
			revoke("web", "unknown")
			if !active(tokens.text("access_token")) || !active(tokens.text("refresh_token")) {
				t.Fatalf("somebody else revoked a %s", kind)
			}
			revoke("web", tokens.text(kind))
			if active(tokens.text("access_token")) || active(tokens.text("refresh_token")) {
				t.Errorf("revoking the %s left the grant", kind)
			}
			r := b.call("/oauth2/token", "web", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.text("refresh_token")}})
			if r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
				t.Errorf("refreshed after revoking: %d %s", r.status, r.body)
			}
		}
		spa := w.browser(t).tokens(ask("spa", "https://spa.example/cb"))
		revoke("spa", spa.text("refresh_token"))
		if active(spa.text("access_token")) {
			t.Error("a public client could not revoke its own")
		}

		one, two := machineToken(b, "machine"), machineToken(b, "machine")
		revoke("resource", one)
		if !active(one) {
			t.Error("another client revoked it")
		}
		revoke("machine", one)
		if active(one) || !active(two) {
			t.Error("revoking one client credentials token hit the wrong one")
		}
		if r := b.call("/oauth2/revoke", "web", url.Values{}); r.status != http.StatusBadRequest || r.text("error") != "invalid_request" {
			t.Errorf("without a token: %d %s", r.status, r.body)
		}
		if r := b.post("/oauth2/revoke", url.Values{"token": {"x"}}); r.status != http.StatusUnauthorized {
			t.Errorf("without a client: %d", r.status)
		}
	})
}

// T-134, and the golden wire form.
func TestUserinfoTellsWhatTheScopesAllow(t *testing.T) {
	w := newWorld(t)
	b, number := w.browser(t), newNumber()
	q := webRequest("scope", "openid profile email address phone")
	all := b.userinfo(b.redeem(q, q.wantCode(b.signIn(b.authorize(q), number))).text("access_token"))
	if all.header.Get("Content-Type") != "application/json" || all.header.Get("Cache-Control") != "no-store" || all.text("phone_number") != number {
		t.Fatalf("%v %s", all.header, all.body)
	}
	wantGolden(t, "userinfo.json", shape(t, all.body))
	q = webRequest("scope", "openid")
	least := b.userinfo(b.redeem(q, q.wantCode(b.authorize(q))).text("access_token"))
	wantGolden(t, "userinfo_openid.json", shape(t, least.body))
	if least.text("sub") != all.text("sub") {
		t.Error("the subject changed")
	}
}

// T-133, RFC 6750.
func TestUserinfoTakesTheTokenFromOnePlace(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	token := b.tokens(webRequest()).text("access_token")
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		challenge          string
	}{
		"header":                 {"GET", "", "", []string{"Authorization", "Bearer " + token}, 200, ""},
		"header, other case":     {"GET", "", "", []string{"Authorization", "bearer " + token}, 200, ""},
		"header with POST":       {"POST", "", "", []string{"Authorization", "Bearer " + token}, 200, ""},
		"header with empty form": {"POST", "", "", []string{"Authorization", "Bearer " + token, "Content-Type", form}, 200, ""},
		"form":                   {"POST", "", "access_token=" + token, []string{"Content-Type", form}, 200, ""},
		"form with GET":          {"GET", "", "access_token=" + token, []string{"Content-Type", form}, 401, `Bearer realm="Dialtone"`},
		"query":                  {"GET", "?access_token=" + token, "", nil, 400, `error="invalid_request"`},
		"query and header":       {"GET", "?access_token=" + token, "", []string{"Authorization", "Bearer " + token}, 400, `error="invalid_request"`},
		"form and header":        {"POST", "", "access_token=" + token, []string{"Content-Type", form, "Authorization", "Bearer " + token}, 400, `error="invalid_request"`},
		"two headers":            {"GET", "", "", []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}, 400, `error="invalid_request"`},
		"twice in the form":      {"POST", "", "access_token=" + token + "&access_token=" + token, []string{"Content-Type", form}, 400, `error="invalid_request"`},
		"nowhere":                {"GET", "", "", nil, 401, `Bearer realm="Dialtone"`},
		"DPoP without proof":     {"GET", "", "", []string{"Authorization", "DPoP " + token}, 401, `Bearer realm="Dialtone"`},
		"Basic":                  {"GET", "", "", []string{"Authorization", basic("web", secret)}, 401, `Bearer realm="Dialtone"`},
		"JSON":                   {"POST", "", `{"access_token":"` + token + `"}`, []string{"Content-Type", "application/json"}, 401, `Bearer realm="Dialtone"`},
		"garbage":                {"GET", "", "", []string{"Authorization", "Bearer x"}, 401, `error="invalid_token"`},
		"of a machine":           {"GET", "", "", []string{"Authorization", "Bearer " + machineToken(b, "machine")}, 403, `error="insufficient_scope"`},
		"huge form":              {"POST", "", "access_token=" + strings.Repeat("x", 1<<20), []string{"Content-Type", form}, 413, `error="invalid_request"`},
		"PUT":                    {"PUT", "", "", []string{"Authorization", "Bearer " + token}, 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.do(c.method, "/oauth2/userinfo"+c.path, c.body, c.header...)
			got := r.header.Get("WWW-Authenticate")
			if r.status != c.status || !strings.Contains(got, c.challenge) || c.challenge == "" && got != "" {
				t.Fatalf("%d %q %s", r.status, got, r.body)
			}
			if strings.HasSuffix(c.challenge, `"Dialtone"`) && got != c.challenge {
				t.Errorf("a request without a token is told %q", got)
			}
		})
	}
	q := webRequest("scope", "profile")
	if r := b.userinfo(b.redeem(q, q.wantCode(b.authorize(q))).text("access_token")); r.status != http.StatusForbidden ||
		!strings.Contains(r.header.Get("WWW-Authenticate"), `scope="openid"`) {
		t.Errorf("without openid: %d %s", r.status, r.header.Get("WWW-Authenticate"))
	}
}

// Scopes that a client lost are gone from its tokens at once.
func TestScopeTakenFromAClientIsTakenFromItsTokens(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	tokens := b.tokens(webRequest())
	c, err := w.clients.Read(t.Context(), "web")
	c.Scope = "openid offline_access"
	must(t, orUpdate(w, c, err))
	w.clients.Forget()
	for _, kind := range []string{"access_token", "refresh_token"} {
		if got := b.introspect(tokens.text(kind))["scope"]; got != "openid offline_access" {
			t.Errorf("%s: scope %v", kind, got)
		}
	}
	if info := b.userinfo(tokens.text("access_token")).json(); info["phone_number"] != nil {
		t.Error("userinfo tells the number")
	}
}

// Design section 10: one read each.
func TestReadsOfTheTokenEndpoints(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		tokens := b.tokens(webRequest())
		machine := machineToken(b, "machine")
		b.introspect(machine)
		for name, c := range map[string]struct {
			do                     func()
			reads, writes, commits int64
		}{
			"userinfo":              {func() { b.userinfo(tokens.text("access_token")) }, 1, 0, 0},
			"introspection":         {func() { b.introspect(tokens.text("access_token")) }, 1, 0, 0},
			"introspection refresh": {func() { b.introspect(tokens.text("refresh_token")) }, 1, 0, 0},
			"introspection machine": {func() { b.introspect(machine) }, 1, 0, 0},
			"client credentials":    {func() { machineToken(b, "machine") }, 0, 0, 0},
			"discovery":             {func() { b.get(pathOpenID) }, 0, 0, 0},
			"JWKS":                  {func() { b.get(pathJWKS) }, 0, 0, 0},
			"authorize, stranger":   {func() { w.browser(t).authorize(webRequest()) }, 0, 0, 0},
			"authorize, signed in":  {func() { b.authorize(webRequest()) }, 1, 0, 0},
		} {
			before := w.db.Counters()
			c.do()
			after := w.db.Counters()
			if after.Reads-before.Reads != c.reads || after.Writes-before.Writes != c.writes || after.Commits-before.Commits != c.commits {
				t.Errorf("%s: %+v after %+v", name, after, before)
			}
		}
	})
}
