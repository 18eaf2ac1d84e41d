package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// newBrowser is a real Chromium with a fresh profile.
func newBrowser(t *testing.T, script bool) context.Context {
	t.Helper()
	binary := needed(t, "DIALTONE_TEST_CHROMIUM")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true), chromedp.WindowSize(375, 800), chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the first call owns the browser: no deadline on it
		t.Fatal(err)
	}
	if !script {
		params := emulation.SetScriptExecutionDisabledParams{Value: true}
		if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, params); err != nil {
			t.Fatal(err)
		}
	}
	return ctx
}

// A person signs in through the demo's real flow with a browser, with and without
// JavaScript, sees tokens, refreshes, and signs out.
func TestBrowserSignsInThroughTheDemo(t *testing.T) {
	for name, script := range map[string]bool{"with JavaScript": true, "without JavaScript": false} {
		t.Run(name, func(t *testing.T) {
			s := start(t, modes[0])
			ctx, number := newBrowser(t, script), newNumber()
			step := func(what string, actions ...chromedp.Action[chromedp.Void]) {
				t.Helper()
				limited, cancel := context.WithTimeout(ctx, 20*time.Second)
				defer cancel()
				if err := chromedp.Do(limited, actions...); err != nil {
					at, _ := chromedp.Run(ctx, chromedp.Location())
					page, _ := chromedp.Run(ctx, chromedp.OuterHTML(chromedp.CSS("html")))
					t.Fatalf("%s: %v\nat %s\n%s", what, err, at, page)
				}
			}
			step("the demo leads to the number page",
				chromedp.Navigate(s.issuer+"/demo"),
				chromedp.Click(chromedp.CSS("#demo-start")),
				chromedp.WaitVisible(chromedp.CSS("#page-login")))
			step("number and agreement",
				chromedp.SendKeys(chromedp.CSS("#phone"), strings.TrimPrefix(number, "+86")),
				chromedp.Click(chromedp.CSS("#agree")),
				chromedp.Click(chromedp.CSS("#send-code")),
				chromedp.WaitVisible(chromedp.CSS("#page-code")))
			step("wrong code is told at the field",
				chromedp.SendKeys(chromedp.CSS("#code"), wrongOf(s.sink.last(t, number))),
				chromedp.Click(chromedp.CSS("#verify-code")),
				chromedp.WaitVisible(chromedp.CSS(`#code[aria-invalid="true"]`)))
			step("the right code signs in",
				chromedp.SendKeys(chromedp.CSS("#code"), s.sink.last(t, number)),
				chromedp.Click(chromedp.CSS("#verify-code")),
				chromedp.WaitVisible(chromedp.CSS("#demo-refresh")))
			body, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`"at+jwt"`, `"phone_number": "` + number + `"`, `"auth_time"`, `"RS256"`, `"ES256"`} {
				if !strings.Contains(body, want) {
					t.Errorf("the demo does not show %s", want)
				}
			}
			step("refresh and sign out",
				chromedp.Click(chromedp.CSS("#demo-refresh")),
				chromedp.WaitVisible(chromedp.CSS("#step-3")), // one step more than before
				chromedp.Click(chromedp.CSS("#demo-signout")),
				chromedp.WaitVisible(chromedp.CSS("#demo-start")))
		})
	}
}
