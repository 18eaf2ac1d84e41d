package user

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// types fills a field and presses Enter, as people without a mouse do.
func (p *person) types(selector, text string) {
	p.Helper()
	p.sees(selector)
	p.does(chromedp.SendKeys(chromedp.CSS(selector), text+"\r"))
}

func (p *person) presses(selector string) {
	p.Helper()
	p.sees(selector)
	p.does(chromedp.Click(chromedp.CSS(selector)))
}

// Everything that the room is for.
func TestAPersonSecuresTheirAccount(t *testing.T) {
	eachView(t, browsertest.Views(), func(t *testing.T, p *person, i int) {
		h := newHouse(t, dbtest.Open(t))
		at := h.public()
		p.signInAt(at, fixture(i)[3:])
		u := h.only(t)
		p.presses("#room-security")
		p.sees("#page-account-security")

		p.setsPassword()
		p.setsNames(at)
		e, codes := p.setsUpAnApp(h, u.ID)
		h.dayPasses() // it was set up by a text message
		p.provesByApp(at, e)
		p.changesNumber(at, fixture(i + 10)[3:])
		if got, err := h.users.find(t.Context(), u.ID); err != nil || got.Phone.E164() != fixture(i+10) {
			t.Errorf("the number is %v, %v", got.Phone, err)
		}
		h.aged(u.ID)
		p.losesNumber(at, codes[1], fixture(i + 20)[3:])
		if got, err := h.users.find(t.Context(), u.ID); err != nil || got.Phone.E164() != fixture(i+20) {
			t.Errorf("the number is %v, %v", got.Phone, err)
		}

		p.presses("#security-totp-action")
		p.presses("summary")
		p.presses("#remove-totp")
		p.sees("#page-account-security .done")
		p.presses("#security-password-action")
		p.presses("summary")
		p.presses("#remove-password")
		p.sees("#page-account-security .done")
		if has, err := h.users.OwnProofs().Available(t.Context(), u.ID); len(has) != 0 || err != nil {
			t.Errorf("left: %v, %v", has, err)
		}
	})
}

func (p *person) setsPassword() {
	p.Helper()
	p.presses("#security-password-action")
	p.types("#password", "password123")
	p.sees("#password-error")
	p.types("#password", "correct horse battery")
	p.sees("#page-account-security .done")
}

func (p *person) setsNames(at string) {
	p.Helper()
	p.presses("#security-username-action")
	p.types("#username", "13800138000")
	p.sees("#username-error")
	p.does(chromedp.SetValue(chromedp.CSS("#username"), "Xiao.Man"))
	p.types("#username", "")
	p.sees("#page-account-security .done")
	p.presses("#security-email-action")
	p.types("#email", "man@mail.example")
	p.sees("#page-account-security .done")
	p.presses("#security-email-action")
	p.presses("summary")
	p.presses("#remove-identifier")
	p.sees("#page-account-security .done")
	if said := p.reads("#security-username"); !strings.Contains(said, "Xiao.Man") {
		p.Errorf("the room says %q", said)
	}
}

func (p *person) setsUpAnApp(h *house, userID string) (Enrolment, []string) {
	p.Helper()
	t := p.TB.(*testing.T)
	p.presses("#security-totp-action")
	p.presses("#start-totp")
	p.sees("#totp-picture svg")
	e := Enrolment{Secret: strings.ReplaceAll(p.reads("#totp-secret"), " ", "")}
	p.types("#totp-code", wrong(t, e))
	p.sees("#totp-code-error")
	p.types("#totp-code", codeOf(t, e, -1)) // so that the next ones are good as well
	p.sees("#recovery-codes")
	codes := strings.Fields(p.reads("#recovery-codes"))
	if len(codes) != recoveryCodes {
		p.Fatalf("codes %v", codes)
	}
	p.does(chromedp.Reload())
	p.presses("#codes-kept")
	p.sees("#page-account-security .done")
	if left, err := h.users.RecoveryCodesLeft(p.ctx, userID); left != recoveryCodes || err != nil {
		p.Errorf("%d codes left, %v", left, err)
	}
	return e, codes
}

// provesByApp forgets what was shown, as ten minutes do.
func (p *person) provesByApp(at string, e Enrolment) {
	p.Helper()
	p.forgets(provenCookie)
	p.does(chromedp.Navigate(at + pathTOTP))
	p.types("#proof-totp", codeOf(p.TB.(*testing.T), e, 0))
	p.sees("#page-account-totp")
}

func (p *person) changesNumber(at, to string) {
	p.Helper()
	p.does(chromedp.Navigate(at + pathSecurity))
	p.presses("#security-phone-action")
	p.presses("#send-code")
	p.types("#code", "000000")
	p.sees("#code-error")
	p.types("#code", testCode)
	p.types("#phone", to)
	p.sees("#change-phone")
	p.types("#code", testCode)
	p.sees("#page-account-security .done")
}

func (p *person) losesNumber(at, code, to string) {
	p.Helper()
	p.forgets(provenCookie)
	p.does(chromedp.Navigate(at + pathPhoneLost))
	p.types("#proof-recovery_code", code)
	p.types("#phone", to)
	p.sees("#change-phone")
	p.types("#code", testCode)
	p.sees("#page-account-security .done")
}

// forgets drops a cookie, as time does.
func (p *person) forgets(cookie string) {
	p.Helper()
	at, err := chromedp.Run(p.ctx, chromedp.Location())
	if err != nil {
		p.Fatal(err)
	}
	if _, err := chromedp.Call(p.ctx, network.DeleteCookies, network.DeleteCookiesParams{Name: cookie, URL: at}); err != nil {
		p.Fatal(err)
	}
}

// Passkeys, with the browser's own authenticator: added, renamed, a proof, removed.
func TestAPersonKeepsPasskeys(t *testing.T) {
	eachView(t, browsertest.ViewsOf(true), func(t *testing.T, p *person, i int) {
		if _, err := chromedp.Call(p.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			t.Fatal(err)
		}
		h := newHouse(t, dbtest.Open(t))
		at := strings.Replace(h.public(), "127.0.0.1", "localhost", 1) // an address has no passkeys
		if err := h.users.EnablePasskeys(at, "Dialtone", h.short); err != nil {
			t.Fatal(err)
		}
		h.pages.OfferPasskeys = false
		_, err := chromedp.Call(p.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
			Options: &webauthn.VirtualAuthenticatorOptions{
				Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21,
				Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true,
				AutomaticPresenceSimulation: true,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		p.signInAt(at, fixture(i)[3:])
		p.does(chromedp.Navigate(at + pathSecurity))
		p.presses("#security-passkeys-action")
		p.presses("#add-passkey")
		p.sees("#passkey-0")
		p.forgets(provenCookie) // from now on a text message alone is not enough
		p.does(chromedp.Navigate(at + pathPasskeys))
		p.presses("#passkey-sign-in")
		p.sees("#passkey-0")
		p.presses("#passkey-0 summary")
		p.does(chromedp.SetValue(chromedp.CSS("#name-0"), "我的手机 📱"))
		p.types("#name-0", "")
		p.sees(".done")
		if said := p.reads("#passkey-0 strong"); said != "我的手机 📱" {
			t.Errorf("it is called %q", said)
		}
		p.does(chromedp.Click(chromedp.CSS("#add-passkey"))) // the device has one
		p.sees("#passkey-note:not(:empty)")

		// The number is lost, the passkey makes up for it.
		h.aged(h.only(t).ID)
		p.does(chromedp.Navigate(at + pathPhoneLost))
		p.presses("#passkey-sign-in")
		p.presses("#lost-continue")
		p.types("#phone", fixture(i + 10)[3:])
		p.sees("#change-phone")
		p.types("#code", testCode)
		p.sees("#page-account-security .done")
		if got := h.only(t).Phone.E164(); got != fixture(i+10) {
			t.Errorf("the number is %s", got)
		}

		// Without script there is no passkey, and the page says so.
		p.forgets(provenCookie)
		p.scripts(false)
		p.does(chromedp.Navigate(at + pathPasskeys))
		p.sees("noscript p")
		p.scripts(true)
		p.does(chromedp.Navigate(at + pathPasskeys))
		p.presses("#passkey-sign-in")
		p.presses("#passkey-0 details:last-of-type summary")
		p.presses("#remove-0")
		p.sees(".empty")
	})
}

// scripts switches them on or off.
func (p *person) scripts(on bool) {
	p.Helper()
	p.view.Script = on
	p.view.Show(p.ctx, p.TB)
}
