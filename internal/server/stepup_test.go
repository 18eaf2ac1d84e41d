package server_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/user"
)

// askForTwo is an authorize request of the demo's client that asks for two factors.
// The demo did not make it, so it shows its answer as a mistake; the session keeps it.
func (s *stack) askForTwo() string {
	sum := sha256.Sum256([]byte(rand.Text()))
	return s.issuer + "/oauth2/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {"demo"}, "redirect_uri": {s.issuer + "/demo/callback"}, "scope": {"openid"},
		"state": {rand.Text()}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
		"acr_values": {"2"},
	}.Encode()
}

// answered waits until the browser is back at the client, and has that sign in.
func (p person) answered(s *stack) (shown string) {
	p.Helper()
	p.step("the client signs in", chromedp.WaitVisible(chromedp.CSS("#page-demo")), chromedp.Navigate(s.issuer+"/demo/start"), chromedp.WaitVisible(chromedp.CSS("#demo-refresh")))
	return p.text()
}

func TestBrowserStepsUpWithAPasskey(t *testing.T) {
	s := startWith(t, modes[0], options{named: true})
	eachView(t, browsertest.ViewsOf(true), func(b person) {
		number := newNumber()
		addAuthenticator(b.T, b.ctx)
		// This device takes a suggestion by itself; the button is what is tested.
		const silent = `delete PublicKeyCredential.isConditionalMediationAvailable`
		if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: silent}); err != nil {
			b.Fatal(err)
		}
		b.step("sign in", chromedp.Navigate(s.issuer+"/demo"), chromedp.Click(chromedp.CSS("#demo-start")),
			chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
			chromedp.Click(chromedp.CSS("#agree")), chromedp.Click(chromedp.CSS("#send-code")), chromedp.WaitVisible(chromedp.CSS("#page-code")))
		b.until(`document.getElementById('offer-passkey').value === '1'`)
		b.step("and make a passkey", chromedp.SendKeys(chromedp.CSS("#code"), s.sink.last(b.T, number)), chromedp.Click(chromedp.CSS("#verify-code")),
			chromedp.WaitVisible(chromedp.CSS("#add-passkey")), chromedp.Click(chromedp.CSS("#add-passkey")), chromedp.WaitVisible(chromedp.CSS("#demo-refresh")))
		b.step("a client asks for two factors", chromedp.Navigate(s.askForTwo()), chromedp.WaitVisible(chromedp.CSS("#page-second #passkey-sign-in")))
		b.step("the passkey is both", chromedp.Click(chromedp.CSS("#passkey-sign-in")))
		body := b.answered(s)
		for _, want := range []string{`"acr": "2"`, `"hwk"`, `"mfa"`} {
			if !strings.Contains(body, want) {
				b.Errorf("the client does not see %s", want)
			}
		}
	})
}

func TestBrowserStepsUpWithoutScript(t *testing.T) {
	eachView(t, browsertest.ViewsOf(false), func(b person) {
		s, number := startWith(b.T, modes[0], options{named: true}), newNumber()
		b.step("sign in", chromedp.Navigate(s.issuer+"/demo"), chromedp.Click(chromedp.CSS("#demo-start")),
			chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
			chromedp.Click(chromedp.CSS("#agree")), chromedp.Click(chromedp.CSS("#send-code")), chromedp.WaitVisible(chromedp.CSS("#page-code")))
		b.step("by code", chromedp.SendKeys(chromedp.CSS("#code"), s.sink.last(b.T, number)), chromedp.Click(chromedp.CSS("#verify-code")),
			chromedp.WaitVisible(chromedp.CSS("#demo-refresh")))
		people, d := s.people(b.T)
		var id string
		if err := d.QueryRow(b.Context(), `SELECT id FROM users`).Scan(&id); err != nil {
			b.Fatal(err)
		}
		if err := people.SetPassword(b.Context(), id, "kx7Fq2wZ-blau", user.By{Actor: "operator"}); err != nil {
			b.Fatal(err)
		}
		b.step("a wrong password is told", chromedp.Navigate(s.askForTwo()), chromedp.WaitVisible(chromedp.CSS("#page-second")),
			chromedp.SendKeys(chromedp.CSS("#proof"), "kx7Fq2wZ-rot\r"), chromedp.WaitVisible(chromedp.CSS("#proof-error")))
		b.step("the right one goes on", chromedp.SendKeys(chromedp.CSS("#proof"), "kx7Fq2wZ-blau"), chromedp.Click(chromedp.CSS("#prove")))
		body := b.answered(s)
		for _, want := range []string{`"acr": "2"`, `"sms"`, `"pwd"`, `"mfa"`} {
			if !strings.Contains(body, want) {
				b.Errorf("the client does not see %s", want)
			}
		}
	})
}

// A replica that did not see the first proof takes the second, on every store.
func TestStepUpOnEveryStore(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		people, _ := s.people(t)
		a, q := newAgent(t, s), newRequest("web", "https://rp.example/cb")
		answer := a.redeem(q, a.signIn(q, newNumber())).json(t)
		sub := text(claims(t, text(answer, "id_token")), "sub")
		if err := people.SetPassword(t.Context(), sub, "kx7Fq2wZ-blau", user.By{Actor: "operator"}); err != nil {
			t.Fatal(err)
		}
		q = newRequest("web", "https://rp.example/cb")
		q.extra = url.Values{"acr_values": {"2"}}
		to := a.authorize(q).location(t)
		if to.Path != "/login/second" {
			t.Fatalf("led to %s", to)
		}
		r := a.post("/login/second", url.Values{"flow": {to.Query().Get("flow")}, "by": {"password"}, "typed": {"kx7Fq2wZ-blau"}})
		answer = a.redeem(q, a.codeOf(q, r)).json(t)
		if id := claims(t, text(answer, "id_token")); id["acr"] != "2" || id["sub"] != sub {
			t.Errorf("ID token %v", id)
		}
		if told := a.introspect(text(answer, "access_token")); told["acr"] != "2" || told["active"] != true {
			t.Errorf("introspection %v", told)
		}
	})
}
