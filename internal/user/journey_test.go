package user

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// asks types a number on the page that is open and sends it.
func (p *person) asks(number string) {
	p.Helper()
	p.does(chromedp.WaitVisible(chromedp.CSS("#page-login")), chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
		chromedp.Click(chromedp.CSS("#agree")), chromedp.Click(chromedp.CSS("#send-code")))
}

// Two tabs of one browser are two sign-ins: neither ends the other, and only one
// message is sent to a number that both ask for.
func TestTwoTabsDoNotDisturbEachOther(t *testing.T) {
	one := newPerson(t, browsertest.ViewsOf(true)[3]) // in Chinese, on a desktop, in the dark
	if one == nil {
		return
	}
	h := newHouse(t, dbtest.Open(t))
	at := h.public()
	two := one.tab()
	one.does(chromedp.Navigate(at + "/login?lang=" + one.view.Lang))
	two.does(chromedp.Navigate(at + "/login?lang=" + one.view.Lang))
	one.asks(fixture(60))
	one.sees("#page-code")
	two.asks(fixture(60)) // too soon: its page says so and keeps what was typed
	two.sees(`[role="alert"]`)
	two.sees("#page-login")
	if typed, err := chromedp.Run(two.ctx, chromedp.Value(chromedp.CSS("#phone"))); err != nil || typed != "138 0013 8060" {
		t.Errorf("the second tab shows %q, %v", typed, err)
	}
	// The same flow in a third tab goes on with the code of the first.
	flow := one.at()
	three := one.tab()
	three.does(chromedp.Navigate(at + "/login?lang=" + one.view.Lang + "&flow=" + flow.Query().Get("flow")))
	three.asks(fixture(60))
	three.sees("#page-code")
	if n := h.sink.count(); n != 1 {
		t.Fatalf("%d messages, want 1", n)
	}
	one.does(chromedp.SendKeys(chromedp.CSS("#code"), h.sink.last(fixture(60))+"\r"))
	one.sees("#page-account")
	// Elsewhere the code is used up; whoever is signed in already is not stuck.
	three.does(chromedp.SendKeys(chromedp.CSS("#code"), h.sink.last(fixture(60))+"\r"))
	three.sees("#page-account")
	two.does(chromedp.Navigate(at + "/login"))
	two.sees("#page-account")
	if n := h.rows(`SELECT count(*) FROM sessions WHERE ended_at IS NULL`); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// A double click is a click: one message, one session.
func TestADoubleClickIsOne(t *testing.T) {
	eachView(t, browsertest.Views(), func(t *testing.T, p *person, _ int) {
		h := newHouse(t, dbtest.Open(t))
		p.does(chromedp.Navigate(h.public()+"/login?lang="+p.view.Lang), chromedp.WaitVisible(chromedp.CSS("#page-login")),
			chromedp.SendKeys(chromedp.CSS("#phone"), "13800138060"), chromedp.Click(chromedp.CSS("#agree")),
			chromedp.DoubleClick(chromedp.CSS("#send-code")))
		p.sees("#page-code")
		if n := h.sink.count(); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
		p.does(chromedp.SendKeys(chromedp.CSS("#code"), h.sink.last(fixture(60))), chromedp.DoubleClick(chromedp.CSS("#verify-code")))
		p.sees("#page-account")
		if n := h.rows(`SELECT count(*) FROM sessions`); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// A browser that keeps no cookie is told so at once, by GET and by POST, and one
// that has lost them in between, too; a way to start again is on the page.
func TestWithoutCookiesThePageSaysSo(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	b.c.Jar = nil
	flow := b.get("/login").to(t).Query().Get("flow")
	for _, answer := range []reply{
		b.get("/login?flow=" + flow), b.get("/login/code?flow=" + flow + "&challenge=x"),
		b.post("/login", url.Values{"flow": {flow}, "phone": {fixture(60)}, "agree": {"1"}}),
		b.post("/login/code", url.Values{"flow": {flow}, "code": {testCode}}),
		b.post("/login/code/resend", url.Values{"flow": {flow}}),
		b.post("/login/cancel", url.Values{"flow": {flow}}),
	} {
		answer.fault(t, http.StatusBadRequest, "cookies_required")
		if !strings.Contains(answer.body, `href="/login"`) {
			t.Error("the page has no way on")
		}
	}
	if h.sink.count() != 0 {
		t.Error("something was sent")
	}
	at := h.public()
	eachView(t, browsertest.Views(), func(t *testing.T, p *person, i int) {
		p.does(chromedp.Navigate(at+"/login?lang="+p.view.Lang), chromedp.WaitVisible(chromedp.CSS("#page-login")))
		if _, err := chromedp.Call(p.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
			t.Fatal(err)
		}
		p.asks(fixture(60 + i))
		p.sees("#page-error")
		if code := p.reads("#error-code"); code != "cookies_required" {
			t.Errorf("the page says %q", code)
		}
		p.does(chromedp.Click(chromedp.CSS("#page-error a.main")))
		p.asks(fixture(60 + i))
		p.sees("#page-code")
	})
}

// Whoever comes back after half an hour is told that the page has expired, and starts
// again with one press; nothing of the old flow works.
func TestAnExpiredFlowStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		b := h.browser()
		flow, challenge := b.begin("/start", fixture(60))
		code := h.sink.last(fixture(60))
		time.Sleep(flowLife + time.Second)
		form := url.Values{"flow": {flow}, "challenge": {challenge}, "code": {code}, "phone": {fixture(60)}, "agree": {"1"}}
		pages := []reply{b.get("/login?flow=" + flow), b.get("/login/code?flow=" + flow + "&challenge=" + challenge)}
		for _, path := range []string{"/login", "/login/code", "/login/code/resend", "/login/cancel"} {
			pages = append(pages, b.post(path, form))
		}
		for _, answer := range pages {
			answer.fault(t, http.StatusGone, "flow_expired")
			if !strings.Contains(answer.body, `href="/login"`) {
				t.Error("the page has no way on")
			}
		}
		if h.sink.count() != 1 || b.cookie(sessionName) != "" {
			t.Error("an expired flow did something")
		}
		flow, challenge = b.begin("/start", fixture(60))
		b.finish(flow, challenge, h.sink.last(fixture(60))).to(t)
	})
}
