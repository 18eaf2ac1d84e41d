// Package browsertest gives tests a real Chromium, and the ways in which people
// look at our pages: with script or without, in each language, on a phone or a
// desktop, in the light or in the dark.
//
// The browser is the program that DIALTONE_TEST_CHROMIUM names. Without it there is
// none, which with DIALTONE_TEST_REQUIRE=1 fails the test.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// View is a way to look at pages.
type View struct {
	Script bool
	Lang   string // "zh-CN" or "en"
	Width  int64  // CSS pixels, a phone's or a desktop's
	Theme  string // "light" or "dark", as the system says
}

// Views are those that a journey is seen in: every value of each column with every
// value of each other one, in the fewest rows that can.
func Views() []View {
	return []View{
		{true, "zh-CN", 375, "light"},
		{true, "en", 1280, "dark"},
		{false, "zh-CN", 1280, "dark"},
		{false, "en", 375, "dark"},
		{false, "en", 1280, "light"},
	}
}

// ViewsOf are Views for what a person can do with script only, or without only.
func ViewsOf(script bool) []View {
	return []View{
		{script, "zh-CN", 375, "light"},
		{script, "en", 1280, "light"},
		{script, "en", 375, "dark"},
		{script, "zh-CN", 1280, "dark"},
	}
}

// String names a run.
func (v View) String() string {
	return fmt.Sprintf("script %t, %s, %d px, %s", v.Script, v.Lang, v.Width, v.Theme)
}

// Open starts a browser with a fresh profile, for one test; nil where there is none.
func Open(t testing.TB) context.Context {
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
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-back-forward-cache", true)) // going back asks the server, as it does where a page was not kept
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the first call owns the browser: no deadline on it
		t.Fatal(err)
	}
	return ctx
}

// Visit is somebody with the browser to themselves, without cookies: a window of
// its own, in the view.
func Visit(browser context.Context, t testing.TB, v View) context.Context {
	t.Helper()
	return window(browser, t, v, chromedp.WithNewBrowserContext())
}

// Tab is one more for the same person.
func Tab(ctx context.Context, t testing.TB, v View) context.Context {
	t.Helper()
	return window(ctx, t, v)
}

func window(parent context.Context, t testing.TB, v View, options ...chromedp.ContextOption) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	v.Show(ctx, t)
	return ctx
}

// Show makes a tab look at pages as the view says, from the next one on.
func (v View) Show(ctx context.Context, t testing.TB) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(v.Width, 800)); err != nil {
		t.Fatal(err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.Theme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
	lang := network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": v.Lang}}
	if _, err := chromedp.Call(ctx, network.SetExtraHTTPHeaders, lang); err != nil {
		t.Fatal(err)
	}
	script := emulation.SetScriptExecutionDisabledParams{Value: !v.Script}
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, script); err != nil {
		t.Fatal(err)
	}
}

// look is what a page of ours looks like, and how far it can be moved sideways.
const look = `(() => {
	const rgb = getComputedStyle(document.body).backgroundColor.match(/\d+/g) || [];
	const theme = rgb.slice(0, 3).reduce((sum, v) => sum + Number(v), 0) < 384 ? 'dark' : 'light';
	const e = document.scrollingElement;
	return document.documentElement.lang + ', ' + theme + ', ' + Math.max(0, e.scrollWidth - e.clientWidth) + ' px too wide';
})()`

// Check fails a test whose tab does not show its page as the view says: in the
// language, in the theme, and no wider than the window.
func (v View) Check(ctx context.Context, t testing.TB) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		got, err := chromedp.Run(limited, chromedp.Evaluate[string](look))
		if err != nil && limited.Err() == nil {
			continue // the page went elsewhere meanwhile
		}
		if want := v.Lang + ", " + v.Theme + ", 0 px too wide"; err != nil || got != want {
			at, _ := chromedp.Run(ctx, chromedp.Location())
			t.Errorf("%s at %s, want %s (%v)", got, at, want, err)
		}
		return
	}
}
