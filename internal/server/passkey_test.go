package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
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
// it the next time; a client learns how. Once with a browser that speaks JSON of
// WebAuthn Level 3, once with one that leaves that to the page.
func TestBrowserAddsAPasskeyAndSignsInWithIt(t *testing.T) {
	for name, before := range map[string]string{
		"level 3": "",
		"level 2": `delete PublicKeyCredential.parseCreationOptionsFromJSON; delete PublicKeyCredential.parseRequestOptionsFromJSON;
			delete PublicKeyCredential.prototype.toJSON; delete PublicKeyCredential.isConditionalMediationAvailable;`,
	} {
		t.Run(name, func(t *testing.T) {
			s := startWith(t, modes[0], options{named: true})
			b := passkeyBrowser{t, newBrowser(t, true)}
			addAuthenticator(t, b.ctx)
			if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: before}); err != nil {
				t.Fatal(err)
			}
			number := newNumber()
			b.step("the code page finds out about the device",
				chromedp.Navigate(s.issuer+"/demo?lang=en"),
				chromedp.Click(chromedp.CSS("#demo-start")),
				chromedp.WaitVisible(chromedp.CSS("#passkey-sign-in")),
				chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
				chromedp.Click(chromedp.CSS("#agree")),
				chromedp.Click(chromedp.CSS("#send-code")),
				chromedp.WaitVisible(chromedp.CSS("#page-code")),
				chromedp.WaitReady(chromedp.CSS(`#offer-passkey`)))
			b.until(`document.getElementById('offer-passkey').value === '1'`)
			b.step("the right code leads to the offer",
				chromedp.SendKeys(chromedp.CSS("#code"), s.sink.last(t, number)),
				chromedp.Click(chromedp.CSS("#verify-code")),
				chromedp.WaitVisible(chromedp.CSS("#add-passkey")),
				chromedp.WaitVisible(chromedp.CSS("#passkey-never")),
				chromedp.WaitNotVisible(chromedp.CSS("#passkey-continue")))
			b.until(`document.documentElement.scrollWidth === document.documentElement.clientWidth`)
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
			body, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`"acr": "2"`, `"hwk"`, `"mfa"`, `"phone_number": "` + number + `"`} {
				if !strings.Contains(body, want) {
					t.Errorf("the client does not see %s", want)
				}
			}
			if n := len(s.sink.codes(number)); n != 1 {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
}

// A device that can make no passkey meets no offer, and a passkey that is not
// there is told in words.
func TestBrowserWithoutAPasskey(t *testing.T) {
	s := startWith(t, modes[0], options{named: true})
	b, number := passkeyBrowser{t, newBrowser(t, true)}, newNumber()
	b.step("the sign-in is an ordinary one",
		chromedp.Navigate(s.issuer+"/demo?lang=en"),
		chromedp.Click(chromedp.CSS("#demo-start")),
		chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
		chromedp.Click(chromedp.CSS("#agree")),
		chromedp.Click(chromedp.CSS("#send-code")),
		chromedp.WaitVisible(chromedp.CSS("#page-code")))
	b.step("and leads to no offer",
		chromedp.SendKeys(chromedp.CSS("#code"), s.sink.last(t, number)),
		chromedp.Click(chromedp.CSS("#verify-code")),
		chromedp.WaitVisible(chromedp.CSS("#demo-signout")),
		chromedp.Click(chromedp.CSS("#demo-signout")),
		chromedp.WaitVisible(chromedp.CSS("#demo-start")))
	addAuthenticator(t, b.ctx)
	b.step("nothing to sign in with",
		chromedp.Click(chromedp.CSS("#demo-start")),
		chromedp.Click(chromedp.CSS("#passkey-sign-in")))
	b.until(`document.getElementById('passkey-note').textContent === document.getElementById('passkey-sign-in').dataset.failed`)
}

type passkeyBrowser struct {
	*testing.T
	ctx context.Context
}

func (b passkeyBrowser) step(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	limited, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(limited, actions...); err != nil {
		at, _ := chromedp.Run(b.ctx, chromedp.Location())
		html, _ := chromedp.Run(b.ctx, chromedp.OuterHTML(chromedp.CSS("main")))
		b.Fatalf("%s: %v\nat %s\n%s", what, err, at, html)
	}
}

// until waits for a predicate of the page.
func (b passkeyBrowser) until(expression string) {
	b.Helper()
	limited, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if _, err := chromedp.Run(limited, chromedp.Poll[bool](expression)); err != nil {
		b.Fatalf("%s does not come true: %v", expression, err)
	}
}
