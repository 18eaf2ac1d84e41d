//go:build screenshots

package server_test

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
)

// TestScreenshots goes through a real sign-in in every language, at two widths and
// in both themes, and takes a picture of every page on the way. It writes them and
// an index of all pictures into DIALTONE_SCREENSHOTS, and the two of the README into
// DIALTONE_README_IMAGES if that is set.
func TestScreenshots(t *testing.T) {
	dir := needed(t, "DIALTONE_SCREENSHOTS")
	s := startWith(t, modes[0], options{clients: `
  - {client_id: shop, token_endpoint_auth_method: none, client_name: "小满商城", "client_name#en": "Xiaoman Shop", redirect_uris: ["http://127.0.0.1/landed"],
     logo_uri: "` + serveLogo(t) + `", tos_uri: "https://shop.example/terms", policy_uri: "https://shop.example/privacy", support_contact: "mailto:help@shop.example"}`})
	landing := serveLanding(t)
	for _, lang := range []string{"zh-CN", "en"} {
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int64{1280, 375} {
				p := newPhotographer(t, fmt.Sprintf("%s.%d.%s.png", lang, width, theme), dir)
				p.dress(width, theme, 1)
				p.walk(s, landing, lang)
			}
		}
	}
	if images := os.Getenv("DIALTONE_README_IMAGES"); images != "" {
		p := newPhotographer(t, "png", images)
		p.dress(390, "light", 2)
		p.readme = true
		p.walk(s, landing, "en")
	}
	writeIndex(t, dir)
}

// serveLogo is a client's logo.
func serveLogo(t *testing.T) string {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		_, _ = io.WriteString(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 56 56"><rect width="56" height="56" rx="12" fill="#f2b233"/><path fill="none" stroke="#3a2600" stroke-width="4" d="M15 22h26l-2 20H17zM22 22c0-10 12-10 12 0"/></svg>`)
	}) + "/logo.svg"
}

// photographer is a browser that keeps what it sees.
type photographer struct {
	*testing.T
	ctx           context.Context
	dir, ending   string
	width, height int64
	readme        bool // only the pages of the README
}

func newPhotographer(t *testing.T, ending, dir string) *photographer {
	return &photographer{T: t, ctx: browsertest.Open(t), dir: dir, ending: ending}
}

func (p *photographer) dress(width int64, theme string, scale float64) {
	p.width, p.height = width, 812
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, media); err != nil {
		p.Fatal(err)
	}
	if scale > 1 {
		p.height = 640
	}
	p.do(chromedp.EmulateViewport(p.width, p.height, chromedp.EmulateScale(scale)))
}

func (p *photographer) do(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// keeps a picture of the page once it shows selector.
func (p *photographer) keeps(name, selector string) {
	p.Helper()
	p.do(chromedp.WaitVisible(chromedp.CSS(selector)))
	shot := chromedp.FullScreenshot(100)
	if p.readme {
		known := map[string]string{"flow-1-login": "login", "flow-3-code": "code"}
		if name = known[name]; name == "" {
			return
		}
		shot = chromedp.CaptureScreenshot()
	}
	picture, err := chromedp.Run(p.ctx, shot)
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, name+"."+p.ending), picture, 0o644)
	}
	if err != nil {
		p.Fatal(err)
	}
}

// walk is one sign-in with a wrong code on the way, and what follows.
func (p *photographer) walk(s *stack, landing, lang string) {
	p.Helper()
	number := newNumber()
	q := newRequest("shop", landing+"/landed").values()
	q.Set("ui_locales", lang)
	p.do(chromedp.Navigate(s.issuer + "/oauth2/authorize?" + q.Encode()))
	p.keeps("flow-1-login", "#client-logo")
	p.do(chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")), chromedp.Click(chromedp.CSS("#send-code")))
	p.keeps("flow-2-agreement", "#agree-continue")
	p.do(chromedp.Click(chromedp.CSS("#agree-continue")), chromedp.WaitVisible(chromedp.CSS(`#status[data-state="sent"]`)))
	code := s.sink.last(p.T, number)
	if p.readme { // as somebody sees it who is about to finish
		p.do(chromedp.SendKeys(chromedp.CSS("#code"), code[:4]))
	}
	p.keeps("flow-3-code", "#page-code")
	if p.readme {
		return
	}
	p.do(chromedp.SendKeys(chromedp.CSS("#code"), wrongOf(code)), chromedp.Click(chromedp.CSS("#verify-code")))
	p.keeps("flow-4-wrong-code", `#code[aria-invalid="true"]`)
	p.do(chromedp.SendKeys(chromedp.CSS("#code"), code), chromedp.Click(chromedp.CSS("#verify-code")))
	p.keeps("flow-5-consent", "#page-consent")
	p.do(chromedp.Click(chromedp.CSS("#consent-allow")), chromedp.WaitVisible(chromedp.CSS("#landed")))
	p.do(chromedp.Navigate(s.issuer+"/demo/start"), chromedp.WaitVisible(chromedp.CSS("#demo-refresh")), chromedp.Navigate(s.issuer+"/demo?lang="+lang))
	p.keeps("flow-6-demo", "#demo-refresh")
	p.do(chromedp.Navigate(s.issuer + "/account?lang=" + lang))
	p.keeps("flow-7-account", "#page-account")
	p.do(chromedp.Navigate(s.issuer + "/logout?lang=" + lang))
	p.keeps("flow-8-logout", "#page-logout")
	p.do(chromedp.Click(chromedp.CSS("#logout-confirm")))
	p.keeps("flow-9-signed-out", "#page-signed-out")
	p.do(chromedp.Navigate(s.issuer + "/nothing-here?lang=" + lang))
	p.keeps("flow-error", "#page-error")
}

// writeIndex makes a page with every picture of the directory, a page in a row.
func writeIndex(t *testing.T, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	var names []string
	for _, file := range files {
		file = filepath.Base(file)
		name, _, _ := strings.Cut(file, ".")
		if rows[name] == nil {
			names = append(names, name)
		}
		rows[name] = append(rows[name], file)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("<!doctype html><meta charset=utf-8><title>Dialtone: every page</title>\n" +
		"<style>body{font:14px/1.5 sans-serif;margin:24px;background:#8a8f94}h2{margin:24px 0 8px}div{display:flex;gap:12px;align-items:flex-start;overflow:auto}img{display:block;border-radius:6px}</style>\n")
	for _, name := range names {
		fmt.Fprintf(&b, "<h2>%s</h2>\n<div>\n", html.EscapeString(name))
		slices.SortFunc(rows[name], func(a, b string) int { // the narrow ones first
			return cmp.Or(cmp.Compare(strings.Count(a, ".1280."), strings.Count(b, ".1280.")), cmp.Compare(a, b))
		})
		for _, file := range rows[name] {
			width := 220
			if strings.Contains(file, ".1280.") {
				width = 560
			}
			fmt.Fprintf(&b, "<a href=%[1]q title=%[1]q><img loading=lazy src=%[1]q width=%[2]d alt=%[1]q></a>\n", html.EscapeString(file), width)
		}
		b.WriteString("</div>\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pictures of %d pages", len(files), len(names))
}
