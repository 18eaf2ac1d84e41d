package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/net/html"
)

func TestScriptOfTheHumanCheck(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	solvable := Check{Type: "pow", Ticket: "T", Puzzle: puzzle(sha256.Sum256([]byte("salt&7")))}
	endless := Check{Type: "pow", Ticket: "T", Puzzle: puzzle(sha256.Sum256(nil))}
	login := func(c Check) Login {
		return Login{
			Flow: "F", Phone: "13800138000", AskAgreement: true, Agreed: true, Check: &c,
			Regions: []Region{{ISO: "CN", CallingCode: "86"}},
		}
	}
	first := func(p Page) map[string]Page { return map[string]Page{"first": p} }

	checkScene(parent, t, "is solved and sent without the person", first(login(solvable)), func(tb tab, st *stage) {
		close(st.hold)
		tb.sees("#posted")
		form := st.form(t, "/login")
		if form.Get("phone") != "138 0013 8000" || form.Get("agree") != "1" || form.Get("flow") != "F" || form.Has("captcha_ticket") || form.Has("captcha_picture") {
			t.Errorf("posted %v", form)
		}
		text, err := base64.StdEncoding.DecodeString(form.Get("captcha"))
		var proof struct {
			Number    int
			Challenge string
		}
		if err != nil || json.Unmarshal(text, &proof) != nil || proof.Number != 7 || len(proof.Challenge) != 64 {
			t.Errorf("proof %s: %v", text, err)
		}
	})

	checkScene(parent, t, "is solved and sent for another message", first(Code{Flow: "F", Challenge: "C", Masked: "+86 138****8000", Status: "sent", Check: &solvable}), func(tb tab, st *stage) {
		close(st.hold)
		tb.sees("#posted")
		if form := st.form(t, "/login/code/resend"); form.Get("captcha") == "" || form.Get("challenge") != "C" {
			t.Errorf("posted %v", form)
		}
	})

	checkScene(parent, t, "holds the form until it is solved", first(login(endless)), func(tb tab, st *stage) {
		close(st.hold)
		tb.until("document.getElementById('human-status').textContent.startsWith('Checking that it is really you')")
		tb.until("document.getElementById('send-code').getAttribute('aria-busy') === 'true'")
		tb.wants("location.search.includes('flow=') || location.pathname", "/p/first") // back and reload do not post again
		tb.do(chromedp.Click(chromedp.CSS("#send-code")), chromedp.Focus(chromedp.CSS("#phone")), chromedp.KeyEvent("\r"))
		tb.wants("document.title.includes('Sign in')", "true")
		if got := st.posted(); got != "" {
			t.Errorf("posted %q", got)
		}
		tb.wants("document.getElementById('captcha-instead').hidden", "true")
		tb.js("document.getElementById('human-status').textContent = document.getElementById('human-status').dataset.failed")
		tb.until("!document.getElementById('captcha-instead').hidden")
		tb.wants("String(document.getElementById('send-code').getAttribute('aria-busy'))", "null")
		tb.do(chromedp.Focus(chromedp.CSS("#captcha-instead")), chromedp.KeyEvent("\r"))
		tb.sees("#posted")
		if form := st.form(t, "/login"); form.Get("captcha_picture") != "1" || form.Get("captcha") != "" {
			t.Errorf("posted %v", form)
		}
	})

	picture := solvable
	picture.Picture = true
	checkScene(parent, t, "is a picture for who asks for one", first(login(picture)), func(tb tab, st *stage) {
		close(st.hold)
		tb.wants("document.scripts.length", "1") // none that would solve something
		tb.do(chromedp.SendKeys(chromedp.CSS("#captcha-typed"), "123456\r"))
		tb.sees("#posted")
		if form := st.form(t, "/login"); form.Get("captcha_typed") != "123456" || form.Get("captcha_ticket") != "T" || form.Has("captcha") || form.Has("captcha_picture") {
			t.Errorf("posted %v", form)
		}
	})
}

// form is what was posted, once, to path.
func (st *stage) form(t *testing.T, path string) url.Values {
	t.Helper()
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.posts) != 1 || !strings.HasPrefix(st.posts[0], path+" ") {
		t.Fatalf("posted %q, want one form to %s", st.posts, path)
	}
	form, err := url.ParseQuery(strings.TrimPrefix(st.posts[0], path+" "))
	if err != nil {
		t.Fatal(err)
	}
	return form
}

func TestScriptTellsWhatBecameOfTheMessage(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	code := Code{Flow: "F", Challenge: "C", Masked: "+86 138****8000", Status: "sending", ResendIn: 60}
	failed := code
	failed.Status, failed.ResendIn, failed.Problem = "failed", 0, &Problem{Code: "sms_not_sent"}
	pages := map[string]Page{"first": code, "code": failed}
	const line = "document.getElementById('status').textContent"
	sent := `{"status":"sent","resend_in":58,"expires_in":298,"text":"Sent, says the server."}`
	count := func(tb tab) {
		tb.js(`(window.said = 0, new MutationObserver((all) => { window.said += all.length }).observe(document.getElementById('status'), {childList: true}))`)
	}

	scene(parent, t, "once each, until it is final", pages, func(tb tab, st *stage) {
		st.news = []string{sent, sent, `{"status":"delivered","resend_in":0,"expires_in":290,"text":"Arrived, says the server."}`}
		count(tb)
		tb.until(line + " === 'Sent, says the server.'")
		tb.until(line + " === 'Arrived, says the server.'")
		tb.until("!document.getElementById('resend-code').hasAttribute('aria-disabled')") // the server has said 0 seconds
		tb.until("new Promise((r) => setTimeout(() => r(true), 2500))")                   // longer than it waits between two questions
		tb.wants("window.said", "2")
		tb.wants(line, "Arrived, says the server.")
		tb.wants("document.activeElement.id", "code")
		if n := st.questions(); n != 3 {
			t.Errorf("%d questions, want 3", n)
		}
	})

	scene(parent, t, "and that it was not sent", pages, func(tb tab, st *stage) {
		st.news = []string{`{"status":"failed","resend_in":0,"expires_in":290,"text":"Not sent."}`}
		tb.sees(`[role="alert"]`)
		tb.wants("location.pathname + location.search", "/login/code?flow=F&challenge=C")
		tb.wants("document.getElementById('resend-code').className", "main")
		if n := st.questions(); n != 1 {
			t.Errorf("%d questions, want 1", n)
		}
	})

	scene(parent, t, "but asks nothing while nobody looks", pages, func(tb tab, st *stage) {
		st.news = []string{sent}
		tb.js("Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})")
		tb.until("new Promise((r) => setTimeout(() => r(true), 2500))")
		if n := st.questions(); n != 0 {
			t.Errorf("%d questions from a hidden page", n)
		}
		tb.js("delete document.hidden, document.dispatchEvent(new Event('visibilitychange'))")
		tb.until(line + " === 'Sent, says the server.'")
	})

	scene(parent, t, "until there is nothing to ask about", pages, func(tb tab, st *stage) {
		count(tb)
		for range 300 {
			if st.questions() == 1 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		tb.until("new Promise((r) => setTimeout(() => r(true), 2500))")
		if n := st.questions(); n != 1 {
			t.Errorf("%d questions about a challenge that is gone", n)
		}
		tb.wants("window.said", "0")
	})
}

// Without script the same page is complete: what scripts use is inert, and what
// they would have hidden is there.
func TestChecksAndStatesWorkWithoutScript(t *testing.T) {
	s := newSite(t, Options{})
	for name, wants := range map[string][]string{
		"login-check":  {"captcha-picture", "captcha-sound", "captcha-typed", "captcha-another", "send-code"},
		"code-check":   {"captcha-picture", "captcha-sound", "captcha-typed", "captcha-another", "resend-code"},
		"code-sending": {"check-again", "resend-code"},
	} {
		for _, lang := range s.Languages() {
			w := render(t, s, samples()[name], lang)
			doc, err := html.ParseWithOptions(strings.NewReader(w.Body.String()), html.ParseOptionEnableScripting(false))
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range wants {
				n := byID(t, doc, id)
				checkReferences(t, name, doc, n)
				checkName(t, name, doc, n)
				if _, hidden := lookup(n, "hidden"); hidden {
					t.Errorf("%s: %s is hidden", name, id)
				}
			}
			if name == "code-sending" {
				continue
			}
			sent := values(formOf(t, byID(t, doc, "captcha-typed")))
			if sent["captcha_ticket"] != "dGlja2V0" || sent["captcha"] != "" {
				t.Errorf("%s sends %v", name, sent)
			}
			for _, id := range []string{"captcha-picture", "captcha-sound"} {
				src := attr(byID(t, doc, id), "src")
				if !strings.HasPrefix(src, "/login/captcha.") || !strings.Contains(src, "flow=Zk3mP0aQ&ticket=dGlja2V0") {
					t.Errorf("%s: %s is at %s", name, id, src)
				}
			}
			// Enter presses the first button of a form, which must be its own.
			buttons := find(formOf(t, byID(t, doc, "captcha-typed")), func(n *html.Node) bool { return attr(n, "type") == "submit" })
			if id := attr(buttons[0], "id"); id != "send-code" && id != "resend-code" {
				t.Errorf("%s: Enter presses %s", name, id)
			}
		}
	}
}

// A vendor's script needs its own sources, and pages without one none of them.
func TestPolicyOpensToTheVendorOfACheckAlone(t *testing.T) {
	check := Check{Type: "geetest_v4", Ticket: "T", Origins: []string{"https://*.vendor.example", "https://cdn.vendor.example"}}
	f := Login{Check: &check}.facts()
	policy := contentSecurityPolicy(f)
	for _, want := range []string{
		"script-src 'self' https://*.vendor.example https://cdn.vendor.example;", "connect-src 'self' https://*.vendor.example",
		"style-src 'self' https://*.vendor.example", "img-src 'self' https://*.vendor.example", "worker-src 'self'; media-src 'self'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %s lacks %s", policy, want)
		}
	}
	check.Picture = true
	if policy := contentSecurityPolicy(Login{Check: &check}.facts()); strings.Contains(policy, "vendor") {
		t.Errorf("a picture needs no vendor: %s", policy)
	}
	check.Picture, check.Type, check.Origins = false, "pow", nil
	if policy := contentSecurityPolicy(Login{Check: &check}.facts()); !strings.Contains(policy, "script-src 'self'; connect-src 'self'; img-src 'self'; worker-src 'self'") {
		t.Errorf("our own check opens the policy: %s", policy)
	}
}
