package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func (b *browser) endSession(kv ...string) reply {
	b.t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return b.get("/oauth2/logout?" + v.Encode())
}

func (b *browser) isSignedIn() bool {
	b.t.Helper()
	return b.authorize(webRequest("prompt", "none")).location().Query().Has("code")
}

// confirm presses the button of a confirmation page.
func (b *browser) confirm(page reply, decision string) reply {
	b.t.Helper()
	page.wantPage(http.StatusOK, "page-logout")
	return b.post("/logout", url.Values{"ticket": {hidden(b.t, page.body, "ticket")}, "decision": {decision}})
}

func TestGenuineHintOfThisSessionLogsOutAtOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct{ extra, want string }{
			"with state":    {"state", "https://rp.example/bye?state=a+b%26"},
			"without state": {"", "https://rp.example/bye"},
		} {
			b := w.browser(t)
			hint := b.tokens(webRequest()).text("id_token")
			args := []string{"id_token_hint", hint, "post_logout_redirect_uri", "https://rp.example/bye"}
			if c.extra != "" {
				args = append(args, "state", "a b&")
			}
			if to := b.endSession(args...).location(); to.String() != c.want {
				t.Errorf("%s: went to %s", name, to)
			}
			if b.isSignedIn() {
				t.Errorf("%s: still signed in", name)
			}
		}
		b := w.browser(t)
		b.endSession("id_token_hint", b.tokens(webRequest()).text("id_token")).wantPage(http.StatusOK, "page-signed-out")
		if n := w.events(t, "session.ended"); n != 3 {
			t.Errorf("%d audit records", n)
		}
	})
}

func TestRegisteredQueryOfALogoutURIIsKept(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	hint := b.tokens(webRequest()).text("id_token")
	if to := b.endSession("id_token_hint", hint, "post_logout_redirect_uri", "https://rp.example/bye?x=1", "state", "s").location(); to.String() != "https://rp.example/bye?x=1&state=s" {
		t.Errorf("went to %s", to)
	}
}

// The ticket of a page has room for every state that is accepted, whatever it is of.
func TestLogoutTicketsHoldTheLongestState(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.tokens(webRequest())
	for _, mark := range []string{"&", "<", ">", `"`, "s"} {
		state := strings.Repeat(mark, maxState)
		posted := b.post("/oauth2/logout", url.Values{"client_id": {"web"}, "post_logout_redirect_uri": {"https://rp.example/bye"}, "state": {state}})
		b.get(posted.location().String()).wantPage(http.StatusOK, "page-logout")
	}
	state := strings.Repeat("&", maxState)
	page := b.endSession("client_id", "web", "post_logout_redirect_uri", "https://rp.example/bye", "state", state[:2000])
	if to := b.confirm(page, "yes").location(); to.Query().Get("state") != state[:2000] {
		t.Errorf("went to %s", to)
	}
}

// T-45: what a grant is worth after logout.
func TestGrantsEndWithTheSessionUnlessTheyAreOffline(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	offline := b.tokens(webRequest())
	q := webRequest("scope", "openid phone")
	online := b.redeem(q, q.wantCode(b.authorize(q)))
	if online.json()["refresh_token"] != nil {
		t.Error("a refresh token without offline_access")
	}
	b.endSession("id_token_hint", offline.text("id_token")).wantPage(http.StatusOK, "page-signed-out")
	if b.introspect(online.text("access_token"))["active"] != false || b.userinfo(online.text("access_token")).status != http.StatusUnauthorized {
		t.Error("a grant without offline_access outlived its session")
	}
	if b.introspect(offline.text("refresh_token"))["active"] != true {
		t.Error("offline access ended with the session")
	}
}

// N-21, T-44: without the hint of this very session the person is asked, and
// nobody is redirected where no registration says so.
func TestEverythingElseAsks(t *testing.T) {
	w := newWorld(t)
	b, other := w.browser(t), w.browser(t)
	mine := b.tokens(webRequest()).text("id_token")
	theirs := other.tokens(webRequest()).text("id_token")
	for name, args := range map[string][]string{
		"nothing":                {},
		"client alone":           {"client_id", "web"},
		"client and URI":         {"client_id", "web", "post_logout_redirect_uri", "https://rp.example/bye"},
		"URI of nobody":          {"post_logout_redirect_uri", "https://rp.example/bye"},
		"state alone":            {"state", "x"},
		"hint of another person": {"id_token_hint", theirs, "post_logout_redirect_uri", "https://rp.example/bye"},
	} {
		r := b.endSession(args...)
		if r.wantPage(http.StatusOK, "page-logout"); !b.isSignedIn() {
			t.Fatalf("%s: signed out without asking", name)
		}
	}
	for name, args := range map[string][]string{
		"unknown client":         {"client_id", "nobody"},
		"unregistered URI":       {"id_token_hint", mine, "post_logout_redirect_uri", "https://evil.example/"},
		"URI with a query added": {"id_token_hint", mine, "post_logout_redirect_uri", "https://rp.example/bye?evil=1"},
		"URI of another client":  {"id_token_hint", mine, "post_logout_redirect_uri", "https://rp2.example/bye"},
		"redirect URI":           {"id_token_hint", mine, "post_logout_redirect_uri", "https://rp.example/cb"},
		"hint of another client": {"id_token_hint", mine, "client_id", "web2", "post_logout_redirect_uri", "https://rp2.example/bye"},
		"state with a control":   {"client_id", "web", "post_logout_redirect_uri", "https://rp.example/bye", "state", "a\nb"},
		"state too long":         {"client_id", "web", "post_logout_redirect_uri", "https://rp.example/bye", "state", strings.Repeat("x", maxState+1)},
		"redirect to a script":   {"client_id", "web", "post_logout_redirect_uri", "javascript:alert(1)"},
	} {
		r := b.endSession(args...)
		if r.wantPage(http.StatusBadRequest, "page-error"); !b.isSignedIn() {
			t.Fatalf("%s: signed out", name)
		}
	}
	b.get("/oauth2/logout?client_id=web&client_id=web").wantPage(http.StatusBadRequest, "page-error")
	if r := b.do(http.MethodDelete, "/oauth2/logout", ""); r.status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", r.status)
	}
}

// A hint that does not verify is like none, except that the rest of the request is not
// believed either: the person can sign out, and is not redirected.
func TestAnUnverifiableHintAsksAndNeverRedirects(t *testing.T) {
	w := newWorld(t)
	b, other := w.browser(t), w.browser(t)
	mine, theirs := b.tokens(webRequest()), other.tokens(webRequest()).text("id_token")
	token := mine.text("id_token")
	for name, hint := range map[string]string{
		"foreign ending": token[:strings.LastIndex(token, ".")] + theirs[strings.LastIndex(theirs, "."):],
		"no signature":   unsigned(token),
		"access token":   mine.text("access_token"),
		"garbage":        "x",
	} {
		args := []string{"id_token_hint", hint, "client_id", "web", "post_logout_redirect_uri", "https://rp.example/bye", "state", "s"}
		page := b.endSession(args...)
		if page.wantPage(http.StatusOK, "page-logout"); !b.isSignedIn() {
			t.Fatalf("%s: signed out without asking", name)
		}
		if to := b.confirm(page, "yes").location(); to.String() != "/logout" || b.isSignedIn() {
			t.Fatalf("%s: confirmed: went to %s", name, to)
		}
		b.endSession(args...).wantPage(http.StatusOK, "page-signed-out")
		b.tokens(webRequest())
	}
}

// unsigned is a token with alg none.
func unsigned(token string) string {
	return "eyJhbGciOiJub25lIn0." + strings.Split(token, ".")[1] + "."
}

func TestConfirmedLogout(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.tokens(webRequest())

	page := b.endSession("client_id", "web", "post_logout_redirect_uri", "https://rp.example/bye", "state", "x")
	if !strings.Contains(page.body, "****") {
		t.Error("the page does not say who is signed in")
	}
	if to := b.confirm(page, "no").location(); to.Path != "/account" || !b.isSignedIn() {
		t.Fatalf("cancelled: went to %s", to)
	}
	b.confirm(page, "perhaps").wantPage(http.StatusBadRequest, "page-error")
	if to := b.confirm(page, "yes").location(); to.String() != "https://rp.example/bye?state=x" || b.isSignedIn() {
		t.Fatalf("confirmed: went to %s", to)
	}
	// The same page again: nobody is signed in, so nothing is left to do.
	if to := b.confirm(page, "yes").location(); to.String() != "https://rp.example/bye?state=x" {
		t.Fatalf("again: went to %s", to)
	}
	b.endSession().wantPage(http.StatusOK, "page-signed-out")
	b.get("/logout").wantPage(http.StatusOK, "page-signed-out")
	b.get("/logout?ticket=forged").wantPage(http.StatusGone, "page-error")
	b.post("/logout", url.Values{"ticket": {"forged"}, "decision": {"yes"}}).wantPage(http.StatusGone, "page-error")
	b.post("/logout", url.Values{"decision": {"yes"}}).wantPage(http.StatusGone, "page-error")

	// From the account page.
	b.tokens(webRequest())
	if to := b.confirm(b.get("/logout"), "yes").location(); to.Path != "/logout" || b.isSignedIn() {
		t.Fatalf("went to %s", to)
	}
}

func TestConfirmationIsForTheSessionItWasShownFor(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.tokens(webRequest())
	page := b.get("/logout")
	q := webRequest("prompt", "login")
	q.wantCode(b.signIn(b.authorize(q), newNumber())) // somebody else, in another tab
	if to := b.confirm(page, "yes").location(); to.String() != "/logout" || !b.isSignedIn() {
		t.Fatalf("an older page signed somebody else out, to %s", to)
	}
}

// A POST comes from the client's site without the session cookie; the GET after
// it brings it.
func TestPostedLogout(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	hint := b.tokens(webRequest()).text("id_token")
	r := b.post("/oauth2/logout", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://rp.example/bye"}, "state": {"x"}}, "Origin", "https://rp.example")
	to := r.location()
	if to.Path != "/logout" || strings.Contains(to.String(), hint) || !b.isSignedIn() {
		t.Fatalf("went to %s", to)
	}
	if to := b.get(to.String()).location(); to.String() != "https://rp.example/bye?state=x" || b.isSignedIn() {
		t.Fatalf("went to %s", to)
	}
	b.tokens(webRequest())
	to = b.post("/oauth2/logout", url.Values{"id_token_hint": {"x"}, "client_id": {"web"}, "post_logout_redirect_uri": {"https://rp.example/bye"}}).location()
	b.get(to.String()).wantPage(http.StatusOK, "page-logout")
}

func TestHintOfADeletedClientStillIdentifies(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	hint := b.tokens(webRequest()).text("id_token")
	q := ask("web2", "https://rp2.example/cb")
	q.wantCode(b.authorize(q))
	page := b.endSession("id_token_hint", hint)
	page.wantPage(http.StatusOK, "page-signed-out")

	hint = b.tokens(webRequest()).text("id_token")
	must(t, w.clients.Delete(t.Context(), "web"))
	w.clients.Forget()
	b.endSession("id_token_hint", hint, "post_logout_redirect_uri", "https://rp.example/bye").wantPage(http.StatusOK, "page-logout")
}
