package server_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
)

// person is somebody with a real browser, who looks at every page in one way.
type person struct {
	*testing.T
	ctx  context.Context
	view browsertest.View
}

// eachView runs a journey in each of the views, as somebody else every time.
func eachView(t *testing.T, views []browsertest.View, journey func(p person)) {
	t.Helper()
	needed(t, "DIALTONE_TEST_CHROMIUM")
	browser := browsertest.Open(t)
	for _, v := range views {
		t.Run(v.String(), func(t *testing.T) { journey(person{t, browsertest.Visit(browser, t, v), v}) })
	}
}

// step does the actions and looks at the page that they lead to.
func (p person) step(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	limited, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(limited, actions...); err != nil {
		at, _ := chromedp.Run(p.ctx, chromedp.Location())
		html, _ := chromedp.Run(p.ctx, chromedp.OuterHTML(chromedp.CSS("html")))
		p.Fatalf("%s: %v\nat %s\n%s", what, err, at, html)
	}
	p.view.Check(p.ctx, p)
}

// until waits for a predicate of the page.
func (p person) until(expression string) {
	p.Helper()
	limited, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if _, err := chromedp.Run(limited, chromedp.Poll[bool](expression)); err != nil {
		p.Fatalf("%s does not come true: %v", expression, err)
	}
}

// text is what the page says.
func (p person) text() string {
	p.Helper()
	body, err := chromedp.Run(p.ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		p.Fatal(err)
	}
	return body
}

// A person signs in through the demo's real flow with a browser, sees tokens,
// refreshes, and signs out.
func TestBrowserSignsInThroughTheDemo(t *testing.T) {
	s := start(t, modes[0])
	eachView(t, browsertest.Views(), func(p person) {
		number := newNumber()
		p.step("the demo leads to the number page",
			chromedp.Navigate(s.issuer+"/demo"),
			chromedp.Click(chromedp.CSS("#demo-start")),
			chromedp.WaitVisible(chromedp.CSS("#page-login")))
		p.step("number and agreement",
			chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
			chromedp.Click(chromedp.CSS("#agree")),
			chromedp.Click(chromedp.CSS("#send-code")),
			chromedp.WaitVisible(chromedp.CSS("#page-code")))
		p.step("wrong code is told at the field",
			chromedp.SendKeys(chromedp.CSS("#code"), wrongOf(s.sink.last(p.T, number))),
			chromedp.Click(chromedp.CSS("#verify-code")),
			chromedp.WaitVisible(chromedp.CSS(`#code[aria-invalid="true"]`)))
		p.step("the right code signs in",
			chromedp.SendKeys(chromedp.CSS("#code"), s.sink.last(p.T, number)),
			chromedp.Click(chromedp.CSS("#verify-code")),
			chromedp.WaitVisible(chromedp.CSS("#demo-refresh")))
		body := p.text()
		for _, want := range []string{`"at+jwt"`, `"phone_number": "` + number + `"`, `"auth_time"`, `"RS256"`, `"ES256"`} {
			if !strings.Contains(body, want) {
				p.Errorf("the demo does not show %s", want)
			}
		}
		p.step("refresh and sign out",
			chromedp.Click(chromedp.CSS("#demo-refresh")),
			chromedp.WaitVisible(chromedp.CSS("#step-3")), // one step more than before
			chromedp.Click(chromedp.CSS("#demo-signout")),
			chromedp.WaitVisible(chromedp.CSS("#demo-start")))
	})
}

// Somebody else's app asks for consent, which the person refuses once and gives
// then; the app signs them out.
func TestBrowserAllowsAnApp(t *testing.T) {
	landing := serveLanding(t)
	s := startWith(t, modes[0], options{clients: `
  - {client_id: shop, token_endpoint_auth_method: client_secret_basic, client_secret: "only-of-this-test-and-long-enough", client_name: "小满商城", "client_name#en": "Xiaoman Shop", skip_agreement: true,
     redirect_uris: ["` + landing + `/landed"], post_logout_redirect_uris: ["` + landing + `/bye"]}`})
	ask := func() string {
		return s.issuer + "/oauth2/authorize?" + newRequest("shop", landing+"/landed").values().Encode()
	}
	eachView(t, browsertest.Views(), func(p person) {
		number := newNumber()
		p.step("the app leads to the number page", chromedp.Navigate(ask()), chromedp.WaitVisible(chromedp.CSS("#page-login")))
		p.step("its number", chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
			chromedp.Click(chromedp.CSS("#send-code")), chromedp.WaitVisible(chromedp.CSS("#page-code")))
		p.step("its code", chromedp.SendKeys(chromedp.CSS("#code"), s.sink.last(p.T, number)), chromedp.Click(chromedp.CSS("#verify-code")),
			chromedp.WaitVisible(chromedp.CSS("#page-consent")))
		if name := map[string]string{"zh-CN": "小满商城", "en": "Xiaoman Shop"}[p.view.Lang]; !strings.Contains(p.text(), name) {
			p.Errorf("the page does not say %s", name)
		}
		p.lands("refused", chromedp.Click(chromedp.CSS("#consent-deny")), "error=access_denied")
		p.step("asked again", chromedp.Navigate(ask()), chromedp.WaitVisible(chromedp.CSS("#page-consent")))
		p.lands("allowed", chromedp.Click(chromedp.CSS("#consent-allow")), "code=")
		p.lands("allowed already", chromedp.Navigate(ask()), "code=")
		bye := url.Values{"client_id": {"shop"}, "post_logout_redirect_uri": {landing + "/bye"}, "state": {"s"}}
		p.step("asked whether to sign out", chromedp.Navigate(s.issuer+"/oauth2/logout?"+bye.Encode()), chromedp.WaitVisible(chromedp.CSS("#page-logout")))
		p.lands("signed out", chromedp.Click(chromedp.CSS("#logout-confirm")), "state=s")
		p.step("asked for the number again", chromedp.Navigate(ask()), chromedp.WaitVisible(chromedp.CSS("#page-login")))
	})
}

// lands checks that an action leads to the app, whose address then has part.
func (p person) lands(what string, action chromedp.Action[chromedp.Void], part string) {
	p.Helper()
	limited, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(limited, action, chromedp.WaitVisible(chromedp.CSS("#landed"))); err != nil {
		p.Fatalf("%s: %v", what, err)
	}
	if at, err := chromedp.Run(limited, chromedp.Location()); err != nil || !strings.Contains(at, part) {
		p.Errorf("%s: at %s, %v", what, at, err)
	}
}
