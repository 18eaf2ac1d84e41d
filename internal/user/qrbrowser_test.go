package user

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/skip2/go-qrcode"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// pair is a desktop that shows a code and a phone that is signed in, each in a
// browser of its own.
func (p *person) pair(h *house, i int) (phone *person, at string) {
	p.Helper()
	at = h.public()
	h.pages.Issuer = at
	p.view.Width = 1280
	p.view.Show(p.ctx, p)
	held := p.view
	held.Width = 375
	phone = &person{p.TB, browsertest.Visit(p.ctx, p, held), held}
	phone.does(chromedp.Navigate(at+"/login?lang="+held.Lang), chromedp.WaitNotVisible(chromedp.CSS("#login-qr"))) // who has a phone need not scan
	phone.signInAt(at, fixture(i)[3:])
	p.does(chromedp.Navigate(at+"/login?lang="+held.Lang), chromedp.Click(chromedp.CSS("#login-qr")))
	p.sees("#qr-image")
	return phone, at
}

func (p *person) at() *url.URL {
	p.Helper()
	at, err := chromedp.Run(p.ctx, chromedp.Location())
	if err != nil {
		p.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		p.Fatal(err)
	}
	return u
}

// scans what the desktop shows, as the phone's camera would.
func (p *person) scans(desk *person, at string) {
	p.Helper()
	p.does(chromedp.Navigate(at + "/qr/" + desk.at().Query().Get("request")))
	p.sees("#page-qr-confirm")
}

func TestAPersonSignsADesktopInByPhone(t *testing.T) {
	eachView(t, browsertest.Views(), func(t *testing.T, desk *person, i int) {
		h := newHouse(t, dbtest.Open(t))
		phone, at := desk.pair(h, i)
		readsAs(t, desk, at+"/qr/"+desk.at().Query().Get("request"))
		phone.does(chromedp.Navigate(at+"/qr"), chromedp.SendKeys(chromedp.CSS("#qr-typed"), "bbbb bbbb"), chromedp.Click(chromedp.CSS("#qr-find")))
		phone.sees(`[role="alert"]`)
		phone.does(chromedp.Clear(chromedp.CSS("#qr-typed")), chromedp.SendKeys(chromedp.CSS("#qr-typed"), desk.reads("#qr-code")), chromedp.Click(chromedp.CSS("#qr-find")))
		phone.sees("#page-qr-confirm")
		desk.goesOn("#qr-refresh")
		desk.sees(`#page-qr[data-state="scanned"]`)
		phone.does(chromedp.Click(chromedp.CSS("#qr-allow")))
		phone.sees("#page-qr-result")
		desk.goesOn("#qr-refresh")
		desk.goesOn("#qr-continue")
		desk.sees("#page-account")
		desk.does(chromedp.NavigateBack())
		desk.sees("#page-account")
		if n := h.rows(`SELECT count(*) FROM sessions`); n != 2 {
			t.Errorf("%d sessions", n)
		}
	})
}

// goesOn presses what does without script what the script does by itself.
func (p *person) goesOn(selector string) {
	p.Helper()
	if !p.view.Script {
		p.does(chromedp.Click(chromedp.CSS(selector)))
	}
}

// The page that shows the code says by itself what becomes of it.
func TestAPersonSeesWhatBecomesOfTheCode(t *testing.T) {
	desk := newPerson(t, browsertest.ViewsOf(true)[3])
	if desk == nil {
		return
	}
	h := newHouse(t, dbtest.Open(t))
	store := &shaky{EphemeralState: h.pages.Ephemeral}
	h.pages.Ephemeral = store
	phone, at := desk.pair(h, 0)
	// Declined: the desktop says so by itself, and has the way on.
	phone.scans(desk, at)
	desk.sees(`#page-qr[data-state="scanned"]`)
	phone.does(chromedp.Click(chromedp.CSS("#qr-deny")))
	phone.sees(`#page-qr-result[data-state="declined"]`)
	desk.sees(`#page-qr[data-state="declined"] #qr-again`)
	desk.does(chromedp.Click(chromedp.CSS("#qr-again")))
	desk.sees("#qr-image")
	// Over: a new code is there by itself.
	before := desk.at().Query().Get("request")
	if _, err := h.db.Exec(t.Context(), `DELETE FROM ephemeral_items WHERE kind = 'qr'`); err != nil {
		t.Fatal(err)
	}
	desk.sees(`#page-qr[data-here*="renewed=1"]`)
	if got := desk.at().Query().Get("request"); got == before || got == "" {
		t.Fatal("the code is the old one")
	}
	// Lost: the page does not wait for ever.
	store.away.Store(true)
	desk.sees("#qr-again")
	store.away.Store(false)
	desk.does(chromedp.Click(chromedp.CSS("#qr-again")))
	desk.sees("#qr-image")
}

// readsAs compares the code on the screen with that of content, module by module.
func readsAs(t *testing.T, p *person, content string) {
	t.Helper()
	shot, err := chromedp.Run(p.ctx, chromedp.Screenshot(chromedp.CSS("#qr-image svg")))
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	code, err := qrcode.New(content, qrcode.Medium)
	if err != nil {
		t.Fatal(err)
	}
	modules := code.Bitmap()
	size, wrong := picture.Bounds().Size(), 0
	if size.X < 200 || size.X != size.Y {
		t.Errorf("the code is %v large", size)
	}
	for y, row := range modules {
		for x, dark := range row {
			at := image.Pt((2*x+1)*size.X/(2*len(modules)), (2*y+1)*size.Y/(2*len(modules))).Add(picture.Bounds().Min)
			grey := color.GrayModel.Convert(picture.At(at.X, at.Y)).(color.Gray).Y
			if dark && grey > 40 || !dark && grey < 215 {
				wrong++
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d modules look otherwise", wrong, len(modules)*len(modules))
	}
}
