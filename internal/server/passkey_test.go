package server_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
)

// addAuthenticator gives the browser a device that unlocks itself.
func addAuthenticator(t *testing.T, ctx context.Context) {
	t.Helper()
	if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
		Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21,
			Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true,
			AutomaticPresenceSimulation: true,
		},
	}); err != nil {
		t.Fatal(err)
	}
}

// A person takes the offer of a passkey after a sign-in by code, and signs in with
// it the next time; a client learns how. On phones with a browser that speaks JSON
// of WebAuthn Level 3, on desktops with one that leaves that to the page.
func TestBrowserAddsAPasskeyAndSignsInWithIt(t *testing.T) {
	const level2 = `delete PublicKeyCredential.parseCreationOptionsFromJSON; delete PublicKeyCredential.parseRequestOptionsFromJSON;
		delete PublicKeyCredential.prototype.toJSON; delete PublicKeyCredential.isConditionalMediationAvailable;`
	s := startWith(t, modes[0], options{named: true})
	eachView(t, browsertest.ViewsOf(true), func(b person) {
		addAuthenticator(b.T, b.ctx)
		before := ""
		if b.view.Width > 375 {
			before = level2
		}
		if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: before}); err != nil {
			b.Fatal(err)
		}
		number := newNumber()
		b.step("the code page finds out about the device",
			chromedp.Navigate(s.issuer+"/demo"),
			chromedp.Click(chromedp.CSS("#demo-start")),
			chromedp.WaitVisible(chromedp.CSS("#passkey-sign-in")),
			chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
			chromedp.Click(chromedp.CSS("#agree")),
			chromedp.Click(chromedp.CSS("#send-code")),
			chromedp.WaitVisible(chromedp.CSS("#page-code")),
			chromedp.WaitReady(chromedp.CSS(`#offer-passkey`)))
		b.until(`document.getElementById('offer-passkey').value === '1'`)
		b.step("the right code leads to the offer",
			chromedp.SendKeys(chromedp.CSS("#code"), s.sink.last(b.T, number)),
			chromedp.Click(chromedp.CSS("#verify-code")),
			chromedp.WaitVisible(chromedp.CSS("#add-passkey")),
			chromedp.WaitVisible(chromedp.CSS("#passkey-never")),
			chromedp.WaitNotVisible(chromedp.CSS("#passkey-continue")))
		b.step("a passkey is made and the client gets its person",
			chromedp.Click(chromedp.CSS("#add-passkey")),
			chromedp.WaitVisible(chromedp.CSS("#demo-refresh")),
			chromedp.Click(chromedp.CSS("#demo-signout")),
			chromedp.WaitVisible(chromedp.CSS("#demo-start")))
		// Where the field suggests passkeys this device takes the suggestion by itself.
		b.step("next time", chromedp.Click(chromedp.CSS("#demo-start")))
		if before != "" {
			b.step("the button signs in", chromedp.Click(chromedp.CSS("#passkey-sign-in")))
		}
		b.step("signed in", chromedp.WaitVisible(chromedp.CSS("#demo-refresh")))
		body := b.text()
		for _, want := range []string{`"acr": "2"`, `"hwk"`, `"mfa"`, `"phone_number": "` + number + `"`} {
			if !strings.Contains(body, want) {
				b.Errorf("the client does not see %s", want)
			}
		}
		if n := len(s.sink.codes(number)); n != 1 {
			b.Errorf("%d messages were sent", n)
		}
	})
}

// A device that can make no passkey meets no offer, and a passkey that is not
// there is told in words.
func TestBrowserWithoutAPasskey(t *testing.T) {
	s := startWith(t, modes[0], options{named: true})
	eachView(t, browsertest.ViewsOf(true), func(b person) {
		number := newNumber()
		b.step("the sign-in is an ordinary one",
			chromedp.Navigate(s.issuer+"/demo"),
			chromedp.Click(chromedp.CSS("#demo-start")),
			chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
			chromedp.Click(chromedp.CSS("#agree")),
			chromedp.Click(chromedp.CSS("#send-code")),
			chromedp.WaitVisible(chromedp.CSS("#page-code")))
		b.step("and leads to no offer",
			chromedp.SendKeys(chromedp.CSS("#code"), s.sink.last(b.T, number)),
			chromedp.Click(chromedp.CSS("#verify-code")),
			chromedp.WaitVisible(chromedp.CSS("#demo-signout")),
			chromedp.Click(chromedp.CSS("#demo-signout")),
			chromedp.WaitVisible(chromedp.CSS("#demo-start")))
		addAuthenticator(b.T, b.ctx)
		b.step("nothing to sign in with",
			chromedp.Click(chromedp.CSS("#demo-start")),
			chromedp.Click(chromedp.CSS("#passkey-sign-in")))
		b.until(`document.getElementById('passkey-note').textContent === document.getElementById('passkey-sign-in').dataset.failed`)
	})
}
