package user

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/skip2/go-qrcode"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// pair is a desktop and a phone that is signed in, each in a browser of its own.
func pair(t *testing.T, h *house, script bool) (desk, phone *person, at string) {
	t.Helper()
	if desk, phone = newPerson(t, script), newPerson(t, script); desk == nil {
		return nil, nil, ""
	}
	at = h.public()
	h.pages.Issuer = at
	desk.does(chromedp.EmulateViewport(1280, 900))
	phone.does(chromedp.Navigate(at+"/login?lang=en"), chromedp.WaitNotVisible(chromedp.CSS("#login-qr")), // who has a phone need not scan
		chromedp.SendKeys(chromedp.CSS("#phone"), "13800138000"), chromedp.Click(chromedp.CSS("#agree")), chromedp.Click(chromedp.CSS("#send-code")))
	phone.does(chromedp.WaitVisible(chromedp.CSS("#page-code")), chromedp.SendKeys(chromedp.CSS("#code"), testCode), chromedp.Click(chromedp.CSS("#verify-code")))
	phone.sees("#page-account")
	desk.does(chromedp.Navigate(at+"/login?lang=en"), chromedp.Click(chromedp.CSS("#login-qr")))
	desk.sees("#qr-image")
	return desk, phone, at
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
	h := newHouse(t, dbtest.Open(t))
	store := &shaky{EphemeralState: h.pages.Ephemeral}
	h.pages.Ephemeral = store
	desk, phone, at := pair(t, h, true)
	if desk == nil {
		return
	}
	for _, theme := range []string{"light", "dark"} {
		desk.prefers(theme)
		readsAs(t, desk, at+"/qr/"+desk.at().Query().Get("request"))
	}
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
	desk.does(chromedp.WaitVisible(chromedp.CSS(`#page-qr[data-here*="renewed=1"]`)))
	if got := desk.at().Query().Get("request"); got == before || got == "" {
		t.Fatal("the code is the old one")
	}
	// Lost: the page does not wait for ever.
	store.away.Store(true)
	desk.sees("#qr-again")
	store.away.Store(false)
	desk.does(chromedp.Click(chromedp.CSS("#qr-again")))
	desk.sees("#qr-image")
	// Allowed: the desktop is signed in by itself.
	phone.scans(desk, at)
	phone.does(chromedp.Click(chromedp.CSS("#qr-allow")))
	phone.sees(`#page-qr-result`)
	desk.sees("#page-account")
	desk.does(chromedp.NavigateBack())
	desk.sees("#page-account")
	if n := h.rows(`SELECT count(*) FROM sessions`); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

func TestAPersonWithoutScriptSignsADesktopInByPhone(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	desk, phone, at := pair(t, h, false)
	if desk == nil {
		return
	}
	code, err := chromedp.Run(desk.ctx, chromedp.Text(chromedp.CSS("#qr-code")))
	if err != nil {
		t.Fatal(err)
	}
	phone.does(chromedp.Navigate(at+"/qr"), chromedp.SendKeys(chromedp.CSS("#qr-typed"), "bbbb bbbb"), chromedp.Click(chromedp.CSS("#qr-find")))
	phone.sees(`[role="alert"]`)
	phone.does(chromedp.Clear(chromedp.CSS("#qr-typed")), chromedp.SendKeys(chromedp.CSS("#qr-typed"), code), chromedp.Click(chromedp.CSS("#qr-find")))
	phone.sees("#page-qr-confirm")
	desk.does(chromedp.Click(chromedp.CSS("#qr-refresh")))
	desk.sees(`#page-qr[data-state="scanned"]`)
	phone.does(chromedp.Click(chromedp.CSS("#qr-allow")))
	phone.sees("#page-qr-result")
	desk.does(chromedp.Click(chromedp.CSS("#qr-refresh")), chromedp.WaitVisible(chromedp.CSS("#qr-continue")), chromedp.Click(chromedp.CSS("#qr-continue")))
	desk.sees("#page-account")
}

// prefers sets the colours that the person's system asks for.
func (p *person) prefers(theme string) {
	p.Helper()
	params := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, params); err != nil {
		p.Fatal(err)
	}
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
