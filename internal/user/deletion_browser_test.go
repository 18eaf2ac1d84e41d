package user

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// signsIn walks from /login to wherever the right code leads.
func (p *person) signsIn(at, phone string) {
	p.Helper()
	p.does(chromedp.Navigate(at+"/login?lang="+p.view.Lang), chromedp.SendKeys(chromedp.CSS("#phone"), phone),
		chromedp.Click(chromedp.CSS("#agree")), chromedp.Click(chromedp.CSS("#send-code")))
	p.sees("#page-code")
	p.does(chromedp.SendKeys(chromedp.CSS("#code"), testCode), chromedp.Click(chromedp.CSS("#verify-code")))
}

// Three presses of a button from the account to its end, one to take it back.
func TestAPersonDeletesTheAccountAndKeepsItAfterAll(t *testing.T) {
	eachView(t, browsertest.Views(), func(t *testing.T, p *person, _ int) {
		h := newHouse(t, dbtest.Open(t))
		at := h.public()
		p.signsIn(at, "13800138000")
		p.sees("#page-account")
		id := h.idOf(fixture(0))
		p.does(chromedp.Navigate(at + "/account/delete"))
		p.sees("#page-delete")
		p.does(chromedp.Click(chromedp.CSS("#delete-cancel")))
		p.sees("#page-account")
		p.does(chromedp.Navigate(at+"/account/delete"), chromedp.Click(chromedp.CSS("#delete-confirm")))
		p.sees("#page-deleted time")
		if h.status(id) != Closing {
			t.Fatalf("status %s", h.status(id))
		}
		p.signsIn(at, "13800138000")
		p.sees("#page-closing")
		p.does(chromedp.Reload())
		p.sees("#keep-account")
		p.does(chromedp.Click(chromedp.CSS("#keep-account")))
		p.sees("#page-account")
		if h.status(id) != Active {
			t.Errorf("status %s", h.status(id))
		}
	})
}

func TestAPersonStartsAnewWithARecycledNumber(t *testing.T) {
	eachView(t, browsertest.Views(), func(t *testing.T, p *person, _ int) {
		h := newHouse(t, dbtest.Open(t))
		old := h.idle(fixture(0), 100)
		p.signsIn(h.public(), "13800138000")
		p.sees("#page-recycled")
		p.does(chromedp.Reload())
		p.sees("#start-anew")
		p.does(chromedp.Click(chromedp.CSS("#start-anew")))
		p.sees("#page-account")
		if h.idOf(fixture(0)) == old.ID || h.status(old.ID) != Quarantined {
			t.Errorf("the old account is %s", h.status(old.ID))
		}
	})
}
