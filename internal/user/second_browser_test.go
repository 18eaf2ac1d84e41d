package user

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// A strange device asks for the app's code; one that was mistyped is told beside its
// field; without the app there is a recovery code. All of it by keyboard.
func TestAPersonShowsASecondProof(t *testing.T) {
	eachView(t, browsertest.Views(), func(t *testing.T, p *person, _ int) {
		h := newHouse(t, dbtest.Open(t))
		u, app, recovery := h.withApp(t, 0, "anna")
		at := h.public()
		p.signsIn(at, "13800138000")
		p.sees("#page-second")
		p.does(chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#proof:focus")))
		p.does(chromedp.KeyEvent(wrong(t, app)), chromedp.KeyEvent("\r"))
		p.sees("#proof-error")
		// The link behind the button leads to the other way.
		p.does(chromedp.Focus(chromedp.CSS("#by-recovery_code")), chromedp.KeyEvent("\r"))
		p.sees(`#proof[autocapitalize]`)
		if n := h.rows(`SELECT count(*) FROM sessions WHERE ended_at IS NULL AND acr = '2'`); n != 0 {
			t.Fatal("signed in too early")
		}
		p.does(chromedp.Focus(chromedp.CSS("#proof")), chromedp.KeyEvent(strings.ToLower(recovery[0])), chromedp.KeyEvent("\r"))
		p.sees("#page-account")
		if n := h.audited(`event = 'login.succeeded' AND detail LIKE '%"second":"recovery_code"%'`, u.ID); n != 1 {
			t.Errorf("%d sign-ins by recovery code", n)
		}
		// Back is the account, not the question.
		p.does(chromedp.NavigateBack())
		p.sees("#page-account")
	})
}
