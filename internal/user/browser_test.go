package user

import (
	"context"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// person is somebody with a real browser; nil if none was given and none is required.
type person struct {
	testing.TB
	ctx context.Context
}

func newPerson(t testing.TB, script bool) *person {
	t.Helper()
	binary := os.Getenv("DIALTONE_TEST_CHROMIUM")
	if binary == "" {
		if os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
			t.Fatal("this test drives a browser: set DIALTONE_TEST_CHROMIUM to its program")
		}
		return nil
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-back-forward-cache", true)) // going back asks the server, as it does where a page was not kept
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(375, 800)); err != nil { // the first call owns the browser
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !script}); err != nil {
		t.Fatal(err)
	}
	return &person{t, ctx}
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

func (p *person) sees(selector string) {
	p.Helper()
	p.does(chromedp.WaitVisible(chromedp.CSS(selector)))
}

// public serves a house to browsers on this machine.
func (h *house) public() string {
	PlainHTTP(true)(h.users)
	h.flows.cookies.plain = true
	r := chi.NewRouter()
	r.Handle("/assets/*", h.pages.Site.Assets())
	r.Mount("/", h.handler)
	server := httptest.NewServer(r)
	h.t.Cleanup(server.Close)
	return server.URL
}

func TestAPersonIsCheckedWithoutNoticing(t *testing.T) {
	p := newPerson(t, true)
	if p == nil {
		return
	}
	h, texts, _ := guarded(t, dbtest.Open(t), "2")
	at := h.public()
	// By keyboard: the number, past the clear button to the box, and Enter.
	p.does(chromedp.Navigate(at+"/login?lang=en"), chromedp.WaitVisible(chromedp.CSS("#page-login")),
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
}

func TestAPersonWithoutScriptReadsAPicture(t *testing.T) {
	p := newPerson(t, false)
	if p == nil {
		return
	}
	h, _, _ := guarded(t, dbtest.Open(t), "2")
	p.does(chromedp.Navigate(h.public()+"/login?lang=en"), chromedp.SendKeys(chromedp.CSS("#phone"), "13800138060"),
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
}

// The page says by itself that nothing was sent, and that the next one arrived.
func TestAPersonSeesWhatBecomesOfTheMessage(t *testing.T) {
	p := newPerson(t, true)
	if p == nil {
		return
	}
	h := newHouse(t, dbtest.Open(t))
	h.sink.slow, h.sink.away = 3*time.Second, true
	p.does(chromedp.Navigate(h.public()+"/login?lang=en"), chromedp.SendKeys(chromedp.CSS("#phone"), "13800138060"),
		chromedp.Click(chromedp.CSS("#agree")), chromedp.Click(chromedp.CSS("#send-code")))
	p.sees(`#status[data-state="sending"]`)
	p.sees(`[role="alert"]`)
	h.sink.mu.Lock()
	h.sink.away = false
	h.sink.mu.Unlock()
	p.does(chromedp.Click(chromedp.CSS("#resend-code")))
	p.sees(`#status[data-state="sending"]`)
	p.sees(`#status[data-state="sent"]`)
	if n := h.sink.count(); n != 1 {
		t.Errorf("%d messages", n)
	}
	if state, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("performance.getEntriesByType('resource').filter((e) => e.name.includes('0138060')).map(String).join()")); err != nil || state != "" {
		t.Errorf("a number in an address: %q, %v", state, err)
	}
}
