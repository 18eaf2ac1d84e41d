package user

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdp "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// signInAt is a person's own sign-in, by the pages.
func (p *person) signInAt(at, phone string) {
	p.Helper()
	p.signsIn(at, phone)
	p.sees("#page-account")
}

// reads is the text of an element.
func (p *person) reads(selector string) string {
	p.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		p.Fatalf("%s: %v", selector, err)
	}
	return text
}

// The rooms, whose theme is the one of the system until the footer's button says
// otherwise.
func TestAPersonKeepsTheirAccount(t *testing.T) {
	files := t.TempDir()
	good, bad := filepath.Join(files, "me.png"), filepath.Join(files, "bad.jpg")
	if os.WriteFile(good, portrait(t), 0o600) != nil || os.WriteFile(bad, []byte("no picture"), 0o600) != nil {
		t.Fatal("no room for files")
	}
	eachView(t, browsertest.Views(), func(t *testing.T, p *person, i int) {
		h, o := connected(t, dbtest.Open(t))
		at := h.public()
		Issuer(at)(h.users)
		p.signInAt(at, fixture(i)[3:])
		p.choosesTheme()
		u := h.only(t)
		h.signIn(fixture(i)) // another device
		o.held[u.ID] = Held{Consents: []Consent{{ClientID: "shop", Scopes: []string{"openid", "phone"}, GrantedAt: time.Now()}}}

		p.does(chromedp.Click(chromedp.CSS("#room-profile")))
		p.sees("#page-account-profile")
		p.does(chromedp.SetValue(chromedp.CSS("#nickname"), "小满 👩🏽‍🚀 قمر"), chromedp.Click(chromedp.CSS("#save-profile")))
		p.sees(".done")
		if said := p.reads(".done"); said != map[string]string{"zh-CN": "已保存", "en": "Saved."}[p.view.Lang] {
			t.Errorf("the page says %q", said)
		}
		p.does(chromedp.SetUploadFiles(chromedp.CSS("#picture"), []string{bad}), chromedp.Click(chromedp.CSS("#save-picture")))
		p.sees("#picture-error")
		p.does(chromedp.SetUploadFiles(chromedp.CSS("#picture"), []string{good}), chromedp.Click(chromedp.CSS("#save-picture")))
		p.sees("#remove-picture")
		if p.view.Script {
			if loaded, err := chromedp.Run(p.ctx, chromedp.Evaluate[int]("document.querySelector('img.face').naturalWidth")); err != nil || loaded != 256 {
				t.Errorf("the picture is %d wide, %v", loaded, err)
			}
		}

		p.does(chromedp.Navigate(at+"/account/sessions"), chromedp.Click(chromedp.CSS(".items form button")))
		p.sees(`footer a[href*="done=session_ended"]`)
		h.signIn(fixture(i))
		p.does(chromedp.Click(chromedp.CSS("summary")), chromedp.Click(chromedp.CSS("#end-others")))
		p.sees(`footer a[href*="done=others_ended"]`)
		if n := h.rows(`SELECT count(*) FROM sessions WHERE ended_at IS NULL`); n != 1 {
			t.Errorf("%d devices", n)
		}

		p.does(chromedp.Navigate(at + "/account/apps"))
		p.does(chromedp.Click(chromedp.CSS("#app-0 summary")), chromedp.Click(chromedp.CSS("#withdraw-0")))
		p.sees(".empty")

		p.does(chromedp.Navigate(at + "/account/activity"))
		p.sees("#page-account-activity .items li")

		p.download(at, files)
		got, err := h.users.find(t.Context(), u.ID)
		if err != nil || got.Claims["nickname"] != "小满 👩🏽‍🚀 قمر" || len(o.ended) < 3 {
			t.Errorf("claims %v, ended %v, %v", got.Claims, o.ended, err)
		}
		p.does(chromedp.Navigate(at + "/account"))
		p.does(chromedp.Click(chromedp.CSS("#room-privacy"))) // the list is at hand on both
		p.sees("#delete-account")
	})
}

// choosesTheme takes the other theme than the system's, for every page from now on.
func (p *person) choosesTheme() {
	p.Helper()
	p.view.Theme = map[string]string{"light": "dark", "dark": "light"}[p.view.Theme]
	p.does(chromedp.Click(chromedp.CSS(`button[name="theme"][value="` + p.view.Theme + `"]`)))
	p.sees(`button[value="` + p.view.Theme + `"][aria-pressed="true"]`)
}

// download takes the copy of one's data, which comes as a file.
func (p *person) download(at, folder string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	events := true
	progress := chromedp.Events(ctx, cdp.DownloadProgress)
	if _, err := chromedp.Call(ctx, cdp.SetDownloadBehavior, cdp.SetDownloadBehaviorParams{
		Behavior: cdp.SetDownloadBehaviorBehaviorAllowAndName, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID, DownloadPath: folder, EventsEnabled: &events,
	}); err != nil {
		p.Fatal(err)
	}
	p.does(chromedp.Navigate(at+"/account/privacy"), chromedp.Click(chromedp.CSS("#export-data")))
	for e, err := range progress {
		if err != nil {
			p.Fatal(err)
		}
		if e.State != cdp.DownloadProgressStateCompleted {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, e.GUID))
		if err != nil || !strings.Contains(string(text), `"phone_number"`) {
			p.Errorf("the copy: %v %s", err, text)
		}
		return
	}
}
