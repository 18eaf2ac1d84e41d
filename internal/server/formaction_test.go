package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/web"
)

// traveller is a browser of whom we see where its navigations really lead, also to
// hosts that do not exist and to schemes that belong to an app.
type traveller struct {
	*testing.T
	ctx context.Context
	mu  sync.Mutex
	to  []string
}

func newTraveller(t *testing.T, browser context.Context, hosts ...string) *traveller {
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	tr := &traveller{T: t, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // the first call owns the tab: no deadline on it
		t.Fatal(err)
	}
	patterns := make([]*fetch.RequestPattern, len(hosts))
	for i, host := range hosts {
		patterns[i] = &fetch.RequestPattern{URLPattern: host + "*"}
	}
	err := chromedp.Listen(tr.ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if e.Type == network.ResourceTypeDocument {
				tr.mu.Lock()
				tr.to = append(tr.to, e.Request.URL)
				tr.mu.Unlock()
			}
		case *fetch.EventRequestPaused: // a host of somebody else's
			go func() {
				_, err := chromedp.Call(tr.ctx, fetch.FulfillRequest, fetch.FulfillRequestParams{
					RequestID: e.RequestID, ResponseCode: http.StatusOK, Body: []byte(`<!doctype html><title>landed</title><p id="landed">landed</p>`),
					ResponseHeaders: []*fetch.HeaderEntry{{Name: "Content-Type", Value: "text/html"}},
				})
				if err != nil && tr.ctx.Err() == nil {
					t.Errorf("answer for %s: %v", e.Request.URL, err)
				}
			}()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(patterns) > 0 {
		if _, err := chromedp.Call(tr.ctx, fetch.Enable, fetch.EnableParams{Patterns: patterns}); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func (tr *traveller) do(actions ...chromedp.Action[chromedp.Void]) {
	tr.Helper()
	ctx, cancel := context.WithTimeout(tr.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		at, _ := chromedp.Run(tr.ctx, chromedp.Location())
		tr.Fatalf("%v at %s, after %v", err, at, tr.to)
	}
}

// went waits until a navigation leads to what begins with prefix and has all of
// parts, and forgets where it went before.
func (tr *traveller) went(prefix string, parts ...string) bool {
	tr.Helper()
	for range 300 {
		tr.mu.Lock()
		for _, to := range tr.to {
			found := strings.HasPrefix(to, prefix)
			for _, part := range parts {
				found = found && strings.Contains(to, part)
			}
			if found {
				tr.to = nil
				tr.mu.Unlock()
				return true
			}
		}
		tr.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func (tr *traveller) wantsToGo(what, prefix string, parts ...string) {
	tr.Helper()
	if !tr.went(prefix, parts...) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.Errorf("%s does not lead to %s with %v but to %v", what, prefix, parts, tr.to)
	}
}

// Chromium applies form-action to every redirect after a POST. What our pages' forms
// lead to - a sign-in, consent given or refused, giving up, signing out - reaches
// https, loopback and an app's own scheme under the policy that we ship.
func TestFormsReachTheirClientsUnderCSP(t *testing.T) {
	loop := serveLanding(t)
	port := loop[strings.LastIndex(loop, ":"):]
	targets := []struct{ name, registered, redirect, bye string }{
		{"https", "https://rp.example/cb", "https://rp.example/cb", "https://rp.example/bye"},
		{"loopback", "http://127.0.0.1/cb", "http://127.0.0.1" + port + "/cb", "http://127.0.0.1/bye"},
		{"scheme", "com.example.app:/cb", "com.example.app:/cb", "com.example.app:/bye"},
	}
	clients := ""
	for _, to := range targets {
		for kind, more := range map[string]string{"own": "first_party: true, skip_agreement: true", "theirs": "skip_agreement: true"} {
			clients += fmt.Sprintf("\n  - {client_id: %s-%s, token_endpoint_auth_method: none, application_type: native, redirect_uris: [%q], post_logout_redirect_uris: [%q], %s}",
				kind, to.name, to.registered, to.bye, more)
		}
	}
	s := startWith(t, modes[0], options{clients: clients})
	needed(t, "DIALTONE_TEST_CHROMIUM")
	browser := browsertest.Open(t)
	for _, to := range targets {
		t.Run(to.name, func(t *testing.T) {
			// step opens an authorize request in a tab of its own.
			step := func(client string, parameters ...string) *traveller {
				tr := newTraveller(t, browser, "https://rp.example/")
				q := newRequest(client, to.redirect).values()
				for i := 0; i < len(parameters); i += 2 {
					q.Set(parameters[i], parameters[i+1])
				}
				tr.do(chromedp.Navigate(s.issuer + "/oauth2/authorize?" + q.Encode()))
				return tr
			}
			tr := step("own-" + to.name)
			tr.do(chromedp.SendKeys(chromedp.CSS("#phone"), "13800138999"), chromedp.Click(chromedp.CSS("#send-code")),
				chromedp.WaitVisible(chromedp.CSS("#page-code")), chromedp.SendKeys(chromedp.CSS("#code"), "246810"), chromedp.Click(chromedp.CSS("#verify-code")))
			tr.wantsToGo("signing in", to.redirect+"?", "code=", "state=", "iss=")

			tr = step("own-"+to.name, "prompt", "login")
			tr.do(chromedp.Click(chromedp.CSS("#login-cancel")))
			tr.wantsToGo("giving up", to.redirect+"?", "error=access_denied")

			tr = step("theirs-" + to.name)
			tr.do(chromedp.Click(chromedp.CSS("#consent-deny")))
			tr.wantsToGo("refusing", to.redirect+"?", "error=access_denied")

			tr = step("theirs-" + to.name)
			tr.do(chromedp.Click(chromedp.CSS("#consent-allow")))
			tr.wantsToGo("allowing", to.redirect+"?", "code=")

			tr = newTraveller(t, browser, "https://rp.example/")
			bye := url.Values{"client_id": {"own-" + to.name}, "post_logout_redirect_uri": {to.bye}, "state": {"s"}}
			tr.do(chromedp.Navigate(s.issuer+"/oauth2/logout?"+bye.Encode()), chromedp.Click(chromedp.CSS("#logout-confirm")))
			tr.wantsToGo("signing out", to.bye, "state=s")
		})
	}
}

// What the test above sees is not there when the policy forbids it.
func TestPolicyForbidsOtherTargets(t *testing.T) {
	site, err := web.New(web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	needed(t, "DIALTONE_TEST_CHROMIUM")
	browser := browsertest.Open(t)
	for _, target := range []string{"com.example.app:/cb", "https://rp.example/cb", "http://127.0.0.1:1/cb"} {
		for allowed, want := range map[string]bool{"com.other.app:": false, target: true} {
			provider := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					w.Header().Set("Location", target)
					w.WriteHeader(http.StatusSeeOther)
					return
				}
				site.Render(w, r, http.StatusOK, web.Consent{Common: web.Common{FormAction: allowed}, Client: web.Client{Name: "shop"}})
			})
			tr := newTraveller(t, browser, "https://rp.example/")
			tr.do(chromedp.Navigate(provider+"/consent"), chromedp.Click(chromedp.CSS("#consent-allow")))
			if got := tr.went(target); got != want {
				t.Errorf("%s where %s is allowed: reached %v", target, allowed, got)
			}
		}
	}
}
