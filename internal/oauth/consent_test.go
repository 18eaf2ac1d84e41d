package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

func thirdRequest(extra ...string) request { return ask("third", "https://third.example/cb", extra...) }

// hidden reads a hidden field of a page.
func hidden(t testing.TB, body, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `name="`+name+`" value="`)
	if !ok {
		t.Fatalf("no hidden field %s in %s", name, body)
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// consentForm reads the page that r redirects to.
func (b *browser) consentForm(r reply, decision string) url.Values {
	b.t.Helper()
	to := r.location()
	if to.Path != "/consent" {
		b.t.Fatalf("expected consent, got %s", to)
	}
	page := b.get(to.String())
	page.wantPage(http.StatusOK, "page-consent")
	return url.Values{"flow": {hidden(b.t, page.body, "flow")}, "session": {hidden(b.t, page.body, "session")}, "decision": {decision}}
}

func TestThirdPartiesNeedConsentOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		q := thirdRequest("scope", "openid phone")
		to := b.signIn(b.authorize(q), newNumber())
		page := b.get(to.location().String()).body
		for _, want := range []string{"Third Party", "third.example", "****", `id="consent-allow"`, `id="consent-deny"`} {
			if !strings.Contains(page, want) {
				t.Errorf("the consent page lacks %s", want)
			}
		}
		allowed := b.post("/consent", b.consentForm(to, "allow"))
		if r := b.redeem(q, q.wantCode(allowed)); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if n := w.events(t, "consent.granted"); n != 1 {
			t.Errorf("%d audit records", n)
		}

		// Remembered for what was allowed, and for less; asked again for more.
		for _, scope := range []string{"openid phone", "phone openid", "openid"} {
			q = thirdRequest("scope", scope, "prompt", "none")
			q.wantCode(b.authorize(q))
		}
		q = thirdRequest("scope", "openid email", "prompt", "none")
		q.wantError(b.authorize(q), w.url, "consent_required")
		q = thirdRequest("scope", "openid email")
		q.wantCode(b.post("/consent", b.consentForm(b.authorize(q), "allow")))
		q = thirdRequest("scope", "openid phone email", "prompt", "none")
		q.wantCode(b.authorize(q))

		// prompt=consent asks in any case, and of any client.
		q = thirdRequest("scope", "openid", "prompt", "consent")
		q.wantError(b.post("/consent", b.consentForm(b.authorize(q), "deny")), w.url, "access_denied")
		q = webRequest("prompt", "consent")
		q.wantCode(b.post("/consent", b.consentForm(b.authorize(q), "allow")))
		if n := w.events(t, "consent.denied"); n != 1 {
			t.Errorf("%d audit records of a refusal", n)
		}

		// Another person is asked for herself.
		q = thirdRequest("scope", "openid")
		other := w.browser(t)
		other.consentForm(other.signIn(other.authorize(q), newNumber()), "allow")
	})
}

// T-126: two tabs, two people: nobody allows in the other's name.
func TestConsentIsGivenByWhomThePageNamed(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	q := thirdRequest()
	older := b.consentForm(b.signIn(b.authorize(q), newNumber()), "allow")

	q2 := webRequest("prompt", "login")
	second := b.redeem(q2, q2.wantCode(b.signIn(b.authorize(q2), newNumber()))).text("id_token")

	r := b.post("/consent", older)
	if to := r.location(); to.Path != "/consent" || to.Query().Get("flow") != older.Get("flow") {
		t.Fatalf("the older page led to %s", to)
	}
	tokens := b.redeem(q, q.wantCode(b.post("/consent", b.consentForm(r, "allow"))))
	if claims(t, tokens.text("id_token"))["sub"] != claims(t, second)["sub"] {
		t.Fatal("consent was given in another's name")
	}
}

func TestConsentPageMovesOnWhereNothingIsToAsk(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	q, q2 := thirdRequest("scope", "openid"), thirdRequest("scope", "openid")
	number := newNumber()
	first := b.signIn(b.authorize(q), number)
	second := b.authorize(q2)
	q2.wantCode(b.post("/consent", b.consentForm(second, "allow")))
	q.wantCode(b.get(first.location().String())) // allowed in the other tab

	q = thirdRequest("scope", "openid email")
	waiting := b.authorize(q)
	form := b.consentForm(waiting, "allow")
	signOut(t, b)
	if to := b.get(waiting.location().String()).location(); to.Path != "/login" {
		t.Fatalf("signed out, the consent page led to %s", to)
	}
	if to := b.post("/consent", form).location(); to.Path != "/login" {
		t.Fatalf("signed out, consent led to %s", to)
	}
}

func signOut(t testing.TB, b *browser) {
	t.Helper()
	page := b.get("/logout")
	page.wantPage(http.StatusOK, "page-logout")
	b.post("/logout", url.Values{"ticket": {hidden(t, page.body, "ticket")}, "decision": {"yes"}}).location()
}

func TestConsentTakesOneOfTwoAnswersOnce(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	q := thirdRequest()
	form := b.consentForm(b.signIn(b.authorize(q), newNumber()), "perhaps")
	b.post("/consent", form).wantPage(http.StatusBadRequest, "page-error")
	form.Del("decision")
	b.post("/consent", form).wantPage(http.StatusBadRequest, "page-error")
	form.Set("decision", "allow")
	if r := b.do(http.MethodPost, "/consent", form.Encode()+"&decision=deny", "Content-Type", "application/x-www-form-urlencoded"); r.status != http.StatusBadRequest {
		t.Errorf("two decisions: %d", r.status)
	}
	q.wantCode(b.post("/consent", form))
	b.post("/consent", form).wantPage(http.StatusGone, "page-error")
	w.browser(t).post("/consent", form).wantPage(http.StatusBadRequest, "page-error") // no cookies at all
	if r := b.do(http.MethodPut, "/consent", ""); r.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", r.status)
	}
}

// An app that anybody can pretend to be is asked for each time (RFC 8252 section 8.6).
func TestConsentOfUnprovableAppsIsNotRemembered(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	q := ask("native", "http://127.0.0.1:4711/cb")
	q.wantCode(b.post("/consent", b.consentForm(b.signIn(b.authorize(q), newNumber()), "allow")))
	for i, asked := range []request{q, thirdRequest("scope", "openid phone")} {
		to := b.authorize(asked).location()
		if to.Path != "/consent" {
			t.Fatalf("led to %s", to)
		}
		page := b.get(to.String() + "&lang=en").body
		if got := strings.Contains(page, "we remember it"); got != (i == 1) {
			t.Errorf("the page of %s says that the answer is remembered: %v", asked.Get("client_id"), got)
		}
	}
}

// Pages that are answered at once keep the scopes of all of them.
func TestConcurrentConsentsAddUp(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		sub, _ := claims(t, b.tokens(webRequest()).text("id_token"))["sub"].(string)
		scopes := []string{"openid", "phone", "email", "profile", "address", "offline_access"}
		var wait sync.WaitGroup
		for _, scope := range slices.Concat(scopes, scopes) {
			wait.Go(func() {
				if err := w.server.remember(t.Context(), &authRequest{ClientID: "third", Scope: []string{scope}}, sub); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		allowed, err := w.server.consent(t.Context(), sub, "third")
		if err != nil || !covers(allowed, scopes) || len(allowed) != len(scopes) {
			t.Fatalf("%v, %v", allowed, err)
		}
	})
}
