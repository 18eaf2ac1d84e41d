package user

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// comesBack goes somewhere else and back: the page is there, and the browser does not
// ask whether to send the form again.
func (p *person) comesBack(at, page string) {
	p.Helper()
	p.does(chromedp.Navigate(at+"/legal/terms"), chromedp.NavigateBack())
	p.sees(page)
	p.does(chromedp.Reload())
	p.sees(page)
}

func TestBackToARefusedFormSendsNothing(t *testing.T) {
	p := newPerson(t, browsertest.ViewsOf(true)[2])
	if p == nil {
		return
	}
	h := newHouse(t, dbtest.Open(t))
	at := h.public()
	visit := func(path string) { p.does(chromedp.Navigate(at + path)) }
	visit("/login?lang=" + p.view.Lang)
	p.does(chromedp.Click(chromedp.CSS("#agree")))
	p.types("#phone", "138001")
	p.sees("#phone-error")
	p.comesBack(at, "#page-login")

	visit("/register")
	p.does(chromedp.Click(chromedp.CSS("#agree")))
	p.types("#phone", "138001")
	p.sees("#phone-error")
	p.comesBack(at, "#page-register")

	visit("/login/password")
	p.does(chromedp.Click(chromedp.CSS("#agree")), chromedp.SendKeys(chromedp.CSS("#identifier"), "anna"))
	p.types("#password", goodPassword)
	p.sees(`[role="alert"]`)
	p.comesBack(at, "#page-password")

	h.idle(fixture(0), 100)
	p.signsIn(at, "13800138000")
	p.sees("#page-recycled")
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.querySelector('#page-recycled [name=decision]').value = 'what'`)); err != nil {
		t.Fatal(err)
	}
	p.presses("#start-anew")
	p.sees("#page-error")
	p.comesBack(at, "#page-recycled")

	p.signInAt(at, "13800138001")
	visit("/qr")
	p.types("#qr-typed", "bbbb bbbb")
	p.sees("#qr-typed-error")
	p.comesBack(at, "#page-qr-typed")

	visit("/account/profile")
	bad := filepath.Join(t.TempDir(), "bad.jpg")
	if err := os.WriteFile(bad, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.does(chromedp.SetUploadFiles(chromedp.CSS("#picture"), []string{bad}), chromedp.Click(chromedp.CSS("#save-picture")))
	p.sees("#picture-error")
	p.comesBack(at, "#page-account-profile")

	visit("/account/security/password")
	p.types("#password", "password123")
	p.sees("#password-error")
	p.comesBack(at, "#page-account-password")
}
