package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

func TestScript(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	first := func(p Page) map[string]Page { return map[string]Page{"first": p} }
	login := Login{Flow: "F", Regions: []Region{{ISO: "CN", CallingCode: "86"}}}

	scene(parent, t, "groups a number as it is typed", first(login), func(tb tab, _ *stage) {
		const value, caret = "document.getElementById('phone').value", "document.getElementById('phone').selectionStart"
		tb.do(chromedp.KeyEvent("13800138000"))
		tb.wants(value, "138 0013 8000")
		tb.do(chromedp.KeyEvent(strings.Repeat("\b", 4))) // the last of these meets the space
		tb.wants(value, "138 0013")
		tb.js("document.getElementById('phone').setSelectionRange(4, 4)")
		tb.do(chromedp.KeyEvent("\b")) // over the space: takes the 8
		tb.wants(value, "130 013")
		tb.wants(caret, "2")
		tb.do(chromedp.KeyEvent("8"))
		tb.wants(value, "138 0013")
		tb.wants(caret, "3")
		tb.do(chromedp.Click(chromedp.CSS(".clear")))
		tb.wants(value, "")
		tb.wants("document.activeElement.id", "phone")
	})

	scene(parent, t, "takes numbers as they are pasted", first(login), func(tb tab, _ *stage) {
		for typed, want := range map[string]string{
			"+86 138-0013-8000": "138 0013 8000", "008613800138000": "138 0013 8000", "8613800138000": "138 0013 8000",
			"+12025550123": "+12025550123", "138001380001": "138001380001", "12": "12",
		} {
			tb.js("document.getElementById('phone').select()")
			if _, err := chromedp.Call(tb.ctx, input.InsertText, input.InsertTextParams{Text: typed}); err != nil {
				tb.Fatal(err)
			}
			tb.wants("document.getElementById('phone').value", want)
		}
	})

	asked := login
	asked.AskAgreement = true
	scene(parent, t, "asks for agreement before it sends", first(asked), func(tb tab, st *stage) {
		close(st.hold)
		tb.do(chromedp.KeyEvent("13800138000\r"), chromedp.WaitVisible(chromedp.CSS("#agree-continue")))
		tb.wants("document.activeElement.id", "agree-continue")
		tb.do(chromedp.Click(chromedp.CSS("#agree-cancel")), chromedp.WaitNotVisible(chromedp.CSS("#agree-dialog")))
		tb.until("document.activeElement.id === 'agree'")
		tb.do(chromedp.Click(chromedp.CSS("#send-code")), chromedp.Click(chromedp.CSS("#agree-continue")))
		tb.sees("#posted")
		if got := st.posted(); got != "/login agree=1&flow=F&phone=138+0013+8000" {
			tb.Errorf("posted %q", got)
		}
	})

	scene(parent, t, "sends a form once", first(login), func(tb tab, st *stage) {
		tb.do(chromedp.KeyEvent("13800138000"))
		tb.wants(`(b => {
			b.click(); b.click(); b.form.requestSubmit(b); b.click()
			return b.textContent + b.getAttribute('aria-busy')
		})(document.getElementById('send-code'))`, "Sending…true")
		close(st.hold)
		tb.sees("#posted")
		if got := st.posted(); strings.Count(got, "/login") != 1 {
			tb.Errorf("posted %q", got)
		}
	})

	code := Code{Flow: "F", Challenge: "C", Masked: "+86 138****8000", Status: "sent"}
	scene(parent, t, "sends a pasted code by itself", first(code), func(tb tab, st *stage) {
		close(st.hold)
		tb.js("(i => { i.value = 'code: 123 456'; i.setSelectionRange(6, 13) })(document.getElementById('code'))")
		tb.command("cut")
		tb.js("document.getElementById('code').value = ''")
		// The clipboard is another process: what was cut may not have come there yet.
		// With it the page leaves, maybe while it is looked at.
		empty := chromedp.Evaluate[bool]("document.getElementById('code').value === ''")
		for still, err := true, error(nil); still && err == nil; still, err = chromedp.Run(tb.ctx, empty) {
			tb.command("paste")
		}
		tb.sees("#posted")
		if got := st.posted(); got != "/login/code challenge=C&code=123456&flow=F" {
			tb.Errorf("posted %q", got)
		}
	})

	scene(parent, t, "leaves a typed code to the person", first(code), func(tb tab, st *stage) {
		close(st.hold)
		tb.do(chromedp.KeyEvent("12345"), chromedp.Click(chromedp.CSS("#verify-code")))
		tb.wants("document.getElementById('code').validationMessage", "Type the 6 digits from the text message")
		tb.do(chromedp.Focus(chromedp.CSS("#code")), chromedp.KeyEvent("6"))
		tb.wants("document.getElementById('code').value", "123456")
		tb.wants("document.title.includes('Enter the code')", "true")
		if got := st.posted(); got != "" {
			tb.Errorf("posted %q", got)
		}
		tb.do(chromedp.KeyEvent("\r"))
		tb.sees("#posted")
	})

	waiting := code
	waiting.ResendIn = 2
	scene(parent, t, "counts down to the next message", first(waiting), func(tb tab, st *stage) {
		close(st.hold)
		tb.until("document.getElementById('resend-code').textContent.includes('(2 s)') || document.getElementById('resend-code').textContent.includes('(1 s)')")
		tb.wants("document.getElementById('resend-note').hidden", "true")
		tb.js("document.getElementById('resend-code').click()")
		tb.until("!document.getElementById('resend-code').hasAttribute('aria-disabled')")
		tb.wants("document.getElementById('resend-code').textContent", "Send again")
		tb.wants("document.getElementById('status').textContent", "You can send the code again now.")
		if got := st.posted(); got != "" {
			tb.Errorf("posted %q too early", got)
		}
		tb.do(chromedp.Click(chromedp.CSS("#resend-code")))
		tb.sees("#posted")
		if got := st.posted(); got != "/login/code/resend challenge=C&flow=F" {
			tb.Errorf("posted %q", got)
		}
	})
}

func TestFormPostReachesItsClient(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	got := make(chan string, 1)
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err == nil && r.Method == http.MethodPost {
			got <- r.PostForm.Encode()
		}
	}))
	defer client.Close()
	page := FormPost{Action: client.URL + "/cb?a=b", Fields: []Field{{"code", `a"b`}, {"state", "<x>"}}}
	st := newStage(t, map[string]Page{"first": page})
	if err := chromedp.Do(parent, chromedp.Navigate(st.URL+"/p/first")); err != nil {
		t.Fatal(err)
	}
	select {
	case form := <-got:
		if want := (url.Values{"code": {`a"b`}, "state": {"<x>"}}).Encode(); form != want {
			t.Errorf("the client got %s, want %s", form, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing arrived")
	}
}

// Chromium applies form-action to every redirect that follows a POST. A client
// whose redirect URI sends the browser on to another host must still work.
func TestConsentReachesClientsThatRedirectFurther(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<p id=app>app</p>")
	}))
	defer app.Close()
	client := httptest.NewServer(http.RedirectHandler(strings.Replace(app.URL, "127.0.0.1", "localhost", 1), http.StatusFound))
	defer client.Close()
	site := newSite(t, Options{})
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Redirect(w, r, client.URL+"/cb", http.StatusSeeOther)
			return
		}
		site.Render(w, r, http.StatusOK, Consent{Common: Common{FormAction: client.URL}, Client: Client{Name: "shop"}})
	}))
	defer provider.Close()
	tb := tab{t, parent}
	tb.do(chromedp.Navigate(provider.URL+"/consent"), chromedp.Click(chromedp.CSS("#consent-allow")))
	tb.sees("#app")
}

// A client may run the whole sign-in in a pop-up and wait for its message.
func TestPopUpCanAnswerItsClient(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	site := newSite(t, Options{})
	answered := make(chan struct{}, 1)
	var client *httptest.Server
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Refresh", "0; url="+client.URL+"/cb") // stands for the person
		site.Render(w, r, http.StatusOK, Login{Client: &Client{Name: "shop"}})
	}))
	defer provider.Close()
	client = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/":
			fmt.Fprintf(w, "<script>onmessage = () => fetch('/answered'); window.open(%q)</script>", provider.URL+"/login")
		case "/cb":
			fmt.Fprint(w, "<script>window.opener.postMessage('back', '*')</script>")
		case "/answered":
			answered <- struct{}{}
		}
	}))
	defer client.Close()
	tab{t, parent}.do(chromedp.Navigate(client.URL + "/"))
	select {
	case <-answered:
	case <-time.After(20 * time.Second):
		t.Fatal("the pop-up has lost its opener")
	}
}
