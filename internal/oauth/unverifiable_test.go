package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
)

// register makes public clients with one redirect URI each, by name.
func (w *world) register(t testing.TB, firstParty bool, redirects map[string]string) {
	t.Helper()
	for id, redirect := range redirects {
		c := client.Client{ID: id, Name: "App " + id, TokenEndpointAuthMethod: client.AuthNone, FirstParty: firstParty, SkipAgreement: true,
			GrantTypes: []string{client.GrantAuthorizationCode, client.GrantRefreshToken}, RedirectURIs: []string{redirect}}
		if !strings.HasPrefix(redirect, "http") {
			c.ApplicationType = "native"
		}
		_, err := w.clients.Create(t.Context(), c, "", client.SourceOperator)
		must(t, err)
	}
}

// Where any program could wait for the answer, a session alone gives no code: the
// person sees which app asks (RFC 8252 section 8.6), each time.
func TestAnUnverifiableAppOfOursGetsNoCodeSilently(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.register(t, true, map[string]string{"loop": "http://127.0.0.1/cb", "scheme": "com.example.scheme:/cb"})
		b := w.browser(t)
		first := ask("loop", "http://127.0.0.1:4711/cb")
		first.wantCode(b.signIn(b.authorize(first), newNumber())) // signed in for this very request

		for _, q := range []request{ask("loop", "http://127.0.0.1:4711/cb"), ask("scheme", "com.example.scheme:/cb")} {
			none := b.authorize(q.with("prompt", "none")).location()
			if got := none.Query(); got.Get("error") != "consent_required" || got.Has("code") {
				t.Errorf("prompt=none: %s", none)
			}
			page := b.get(b.authorize(q).location().String())
			page.wantPage(http.StatusOK, "page-consent")
			for _, want := range []string{"App " + q.Get("client_id"), "****", `id="consent-allow"`, `id="consent-deny"`} {
				if !strings.Contains(page.body, want) {
					t.Errorf("the page lacks %s", want)
				}
			}
			if strings.Contains(page.body, `class="scopes"`) {
				t.Error("an app of ours asks for scopes")
			}
			q.wantCode(b.post("/consent", b.consentForm(b.authorize(q), "allow")))
			if to := b.post("/consent", b.consentForm(b.authorize(q), "deny")).location(); to.Query().Get("error") != "access_denied" {
				t.Errorf("refused: %s", to)
			}
			posted := b.post("/oauth2/authorize", q.Values).location()
			b.consentForm(b.get(posted.String()), "allow")
		}
		var remembered int
		must(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM consents`).Scan(&remembered))
		if remembered != 0 {
			t.Errorf("%d consents are remembered", remembered)
		}

		again := ask("loop", "http://127.0.0.1:4711/cb", "prompt", "login")
		again.wantCode(b.signIn(b.authorize(again), newNumber()))
	})
}

// https is where only its owner listens, and so is our own origin, where the demo is.
func TestVerifiableAppsOfOursGetTheirCodeSilently(t *testing.T) {
	w := newWorld(t)
	own := w.url + "/demo/callback"
	w.register(t, true, map[string]string{"demo": own})
	b := w.browser(t)
	b.tokens(webRequest())
	for _, q := range []request{ask("spa", "https://spa.example/cb", "prompt", "none"), ask("demo", own, "prompt", "none")} {
		q.wantCode(b.authorize(q))
	}
	// The same client on another port is another program.
	here, err := url.Parse(own)
	must(t, err)
	q := ask("demo", "http://"+here.Hostname()+":1/demo/callback", "prompt", "none")
	q.wantError(b.authorize(q), w.url, "consent_required")
}

func TestConsentOfOthersUnverifiableAppsIsNotRemembered(t *testing.T) {
	w := newWorld(t)
	w.register(t, false, map[string]string{"tool": "http://127.0.0.1/cb"}) // of application_type web
	b := w.browser(t)
	for _, q := range []request{ask("native", "http://127.0.0.1:4711/cb"), ask("tool", "http://127.0.0.1:4711/cb")} {
		to := b.authorize(q)
		if to.location().Path == "/login" {
			to = b.signIn(to, newNumber())
		}
		if page := b.get(to.location().String(), "Accept-Language", "en").body; !strings.Contains(page, `class="scopes"`) || strings.Contains(page, "We remember") || !strings.Contains(page, "We ask each time") {
			t.Error("the page does not say what is asked, or promises a memory")
		}
		q.wantCode(b.post("/consent", b.consentForm(to, "allow")))
		b.consentForm(b.authorize(q), "allow")
	}
}
