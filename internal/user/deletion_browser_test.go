package user

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// signsIn walks from /login to wherever the right code leads.
func (p *person) signsIn(at, lang, phone string) {
	p.Helper()
	p.does(chromedp.Navigate(at+"/legal/terms?lang="+lang), chromedp.Navigate(at+"/login"), chromedp.SendKeys(chromedp.CSS("#phone"), phone),
		chromedp.Click(chromedp.CSS("#agree")), chromedp.Click(chromedp.CSS("#send-code")))
	p.sees("#page-code")
	p.does(chromedp.SendKeys(chromedp.CSS("#code"), testCode), chromedp.Click(chromedp.CSS("#verify-code")))
}

// With script and without, in both languages: three presses of a button from the
// account to its end, one to take it back.
func TestAPersonDeletesTheAccountAndKeepsItAfterAll(t *testing.T) {
	for script, lang := range map[bool]string{true: "zh-CN", false: "en"} {
		t.Run(fmt.Sprintf("script %v, %s", script, lang), func(t *testing.T) {
			p := newPerson(t, script)
			if p == nil {
				return
			}
			h := newHouse(t, dbtest.Open(t))
			at := h.public()
			p.signsIn(at, lang, "13800138000")
			p.sees("#page-account")
			id := h.idOf(fixture(0))
			p.does(chromedp.Navigate(at + "/account/delete?lang=" + lang))
			p.sees(`html[lang="` + lang + `"] #page-delete`)
			p.does(chromedp.Click(chromedp.CSS("#delete-cancel")))
			p.sees("#page-account")
			p.does(chromedp.Navigate(at+"/account/delete"), chromedp.Click(chromedp.CSS("#delete-confirm")))
			p.sees("#page-deleted time")
			if h.status(id) != Closing {
				t.Fatalf("status %s", h.status(id))
			}
			p.signsIn(at, lang, "13800138000")
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
}

func TestAPersonStartsAnewWithARecycledNumber(t *testing.T) {
	for script, lang := range map[bool]string{true: "en", false: "zh-CN"} {
		t.Run(fmt.Sprintf("script %v, %s", script, lang), func(t *testing.T) {
			p := newPerson(t, script)
			if p == nil {
				return
			}
			h := newHouse(t, dbtest.Open(t))
			old := h.idle(fixture(0), 100)
			p.signsIn(h.public(), lang, "13800138000")
			p.sees(`html[lang="` + lang + `"] #page-recycled`)
			p.does(chromedp.Reload())
			p.sees("#start-anew")
			p.does(chromedp.Click(chromedp.CSS("#start-anew")))
			p.sees("#page-account")
			if h.idOf(fixture(0)) == old.ID || h.status(old.ID) != Quarantined {
				t.Errorf("the old account is %s", h.status(old.ID))
			}
		})
	}
}
