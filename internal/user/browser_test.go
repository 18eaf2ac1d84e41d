package user

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// person is somebody with a real browser, who looks at every page in one way.
type person struct {
	testing.TB
	ctx  context.Context
	view browsertest.View
}

// newPerson is somebody with a browser; nil if none was given and none is required.
func newPerson(t testing.TB, v browsertest.View) *person {
	t.Helper()
	browser := browsertest.Open(t)
	if browser == nil {
		return nil
	}
	return &person{t, browsertest.Visit(browser, t, v), v}
}

// eachView runs a journey in each of the views, as somebody else every time.
func eachView(t *testing.T, views []browsertest.View, journey func(t *testing.T, p *person, i int)) {
	t.Helper()
	browser := browsertest.Open(t)
	if browser == nil {
		return
	}
	for i, v := range views {
		t.Run(v.String(), func(t *testing.T) { journey(t, &person{t, browsertest.Visit(browser, t, v), v}, i) })
	}
}

// tab is another one of the same browser.
func (p *person) tab() *person {
	p.Helper()
	return &person{p.TB, browsertest.Tab(p.ctx, p.TB, p.view), p.view}
}

// does the actions, each of which a person would be through with soon.
func (p *person) does(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 15*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
		defer cancel()
		at, _ := chromedp.Run(ctx, chromedp.Location())
		page, _ := chromedp.Run(ctx, chromedp.OuterHTML(chromedp.CSS("body")))
		p.Fatalf("%v\nat %s\n%s", err, at, page)
	}
}

// sees waits for an element, on a page that is as the person looks at it.
func (p *person) sees(selector string) {
	p.Helper()
	p.does(chromedp.WaitVisible(chromedp.CSS(selector)))
	p.view.Check(p.ctx, p.TB)
}

// public serves a house to browsers on this machine.
func (h *house) public() string {
	PlainHTTP(true)(h.users)
	h.flows.cookies.plain = true
	r := chi.NewRouter()
	r.Handle("/assets/*", h.pages.Site.Assets())
	r.Handle("/theme", h.pages.Site.SetTheme())
	r.Mount("/", h.handler)
	server := httptest.NewServer(r)
	h.t.Cleanup(server.Close)
	return server.URL
}

func TestAPersonIsCheckedWithoutNoticing(t *testing.T) {
	eachView(t, browsertest.ViewsOf(true), func(t *testing.T, p *person, _ int) {
		h, texts, _ := guarded(t, dbtest.Open(t), "2")
		at := h.public()
		// By keyboard: the number, past the clear button to the box, and Enter.
		p.does(chromedp.Navigate(at+"/login?lang="+p.view.Lang), chromedp.WaitVisible(chromedp.CSS("#page-login")),
			chromedp.Focus(chromedp.CSS("#phone")), chromedp.KeyEvent("13800138060"),
			chromedp.KeyEvent("\t\t"), chromedp.KeyEvent(" "), chromedp.Focus(chromedp.CSS("#phone")), chromedp.KeyEvent("\r"))
		p.sees("#page-code")
		if n := h.sink.count(); n != 1 || len(texts.asked) != 2 {
			t.Fatalf("%d messages after %d requests, want 1 after 2", n, len(texts.asked))
		}
		// Back is the page that asks for a number, by GET: nothing is sent again.
		p.does(chromedp.NavigateBack(), chromedp.WaitVisible(chromedp.CSS("#page-login")), chromedp.Reload())
		p.sees("#send-code")
		if n := h.sink.count(); n != 1 || len(texts.asked) != 2 {
			t.Errorf("going back: %d messages after %d requests", n, len(texts.asked))
		}
		p.does(chromedp.NavigateForward())
		p.sees("#page-code")
		p.does(chromedp.SendKeys(chromedp.CSS("#code"), h.sink.last(fixture(60))), chromedp.Click(chromedp.CSS("#verify-code")))
		p.sees("#page-account")
	})
}

func TestAPersonWithoutScriptReadsAPicture(t *testing.T) {
	eachView(t, browsertest.ViewsOf(false), func(t *testing.T, p *person, _ int) {
		h, _, _ := guarded(t, dbtest.Open(t), "2")
		p.does(chromedp.Navigate(h.public()+"/login?lang="+p.view.Lang), chromedp.SendKeys(chromedp.CSS("#phone"), "13800138060"),
			chromedp.Click(chromedp.CSS("#agree")), chromedp.Click(chromedp.CSS("#send-code")))
		p.sees("#captcha-picture")
		p.does(chromedp.SendKeys(chromedp.CSS("#captcha-typed"), "9\r")) // misread
		p.sees("#captcha-typed-error")
		p.does(chromedp.Click(chromedp.CSS("#captcha-another")), chromedp.WaitNotPresent(chromedp.CSS("#captcha-typed-error")))
		p.does(chromedp.SendKeys(chromedp.CSS("#captcha-typed"), "2"), chromedp.Click(chromedp.CSS("#send-code")))
		p.sees("#check-again")
		p.does(chromedp.Click(chromedp.CSS("#check-again")))
		p.sees("#page-code")
		if n := h.sink.count(); n != 1 {
			t.Errorf("%d messages", n)
		}
		p.does(chromedp.SendKeys(chromedp.CSS("#code"), h.sink.last(fixture(60))+"\r"))
		p.sees("#page-account")
	})
}

// The page says by itself that nothing was sent, and that the next one arrived. All
// who look at it wait together.
func TestAPersonSeesWhatBecomesOfTheMessage(t *testing.T) {
	browser := browsertest.Open(t)
	if browser == nil {
		return
	}
	var people []*person
	var houses []*house
	for _, v := range browsertest.ViewsOf(true) {
		h, p := newHouse(t, dbtest.Open(t)), &person{t, browsertest.Visit(browser, t, v), v}
		h.sink.slow, h.sink.away = 3*time.Second, true
		p.does(chromedp.Navigate(h.public()+"/login?lang="+v.Lang), chromedp.SendKeys(chromedp.CSS("#phone"), "13800138060"),
			chromedp.Click(chromedp.CSS("#agree")), chromedp.Click(chromedp.CSS("#send-code")))
		p.sees(`#status[data-state="sending"]`)
		people, houses = append(people, p), append(houses, h)
	}
	for _, p := range people {
		p.sees(`[role="alert"]`)
	}
	for i, p := range people {
		houses[i].sink.mu.Lock()
		houses[i].sink.away = false
		houses[i].sink.mu.Unlock()
		p.does(chromedp.Click(chromedp.CSS("#resend-code")))
		p.sees(`#status[data-state="sending"]`)
	}
	for i, p := range people {
		p.sees(`#status[data-state="sent"]`)
		if n := houses[i].sink.count(); n != 1 {
			t.Errorf("%d messages", n)
		}
		if state, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("performance.getEntriesByType('resource').filter((e) => e.name.includes('0138060')).map(String).join()")); err != nil || state != "" {
			t.Errorf("a number in an address: %q, %v", state, err)
		}
	}
}
