package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// browser starts a Chromium with a fresh profile; nil if none was given and none
// is required.
func browser(t *testing.T) context.Context {
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
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute) // of what is done with it, not of the browser
	t.Cleanup(cancel)
	return ctx
}

// tab is a page of the browser on a stage.
type tab struct {
	*testing.T
	ctx context.Context
}

func (tb tab) do(actions ...chromedp.Action[chromedp.Void]) {
	tb.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		tb.Fatal(err)
	}
}

func (tb tab) js(expression string) string {
	tb.Helper()
	got, err := chromedp.Run(tb.ctx, chromedp.Evaluate[string](`String(`+expression+`)`))
	if err != nil {
		tb.Fatalf("%s: %v", expression, err)
	}
	return got
}

// until waits for a predicate of the page.
func (tb tab) until(expression string) {
	tb.Helper()
	if _, err := chromedp.Run(tb.ctx, chromedp.Poll[bool](expression)); err != nil {
		tb.Fatalf("%s does not come true: %v", expression, err)
	}
}

// sees waits for an element, of this page or the next.
func (tb tab) sees(selector string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, 15*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitVisible(chromedp.CSS(selector))); err != nil {
		at, _ := chromedp.Run(tb.ctx, chromedp.Location())
		page, _ := chromedp.Run(tb.ctx, chromedp.OuterHTML(chromedp.CSS("body")))
		tb.Fatalf("no %s at %s: %v\n%s", selector, at, err, page)
	}
}

func (tb tab) wants(expression, want string) {
	tb.Helper()
	if got := tb.js(expression); got != want {
		tb.Errorf("%s is %q, want %q", expression, got, want)
	}
}

// command runs an editing command as a key would, so that its events are genuine.
func (tb tab) command(name string) {
	tb.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		p := input.DispatchKeyEventParams{Type: kind, Key: "F13"}
		if kind == input.DispatchKeyEventTypeRawKeyDown {
			p.Commands = []string{name}
		}
		if _, err := chromedp.Call(tb.ctx, input.DispatchKeyEvent, p); err != nil {
			tb.Fatal(err)
		}
	}
}

// stage serves sample pages at /p/NAME and keeps what is posted.
type stage struct {
	*httptest.Server
	mu    sync.Mutex
	posts []string
	hold  chan struct{} // answers to POSTs wait for it
	news  []string      // answers to the code page's questions, the last again and again; "" for 404
	asked int           // how many there were
}

// tell answers the code page's next question.
func (st *stage) tell(w http.ResponseWriter) {
	st.mu.Lock()
	defer st.mu.Unlock()
	news := ""
	if len(st.news) > 0 {
		news = st.news[min(st.asked, len(st.news)-1)]
	}
	st.asked++
	if news == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, news)
}

func (st *stage) questions() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.asked
}

// sampleLogo has no ground of its own, as many do.
const sampleLogo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 56 56"><path fill="none" stroke="#20252b" stroke-width="5" d="M11 19h34l-3 27H14zM20 19c0-13 16-13 16 0"/></svg>`

func newStage(t *testing.T, pages map[string]Page) *stage {
	site := newSite(t, Options{})
	st := &stage{hold: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /assets/", site.Assets())
	mux.Handle("GET /favicon.ico", site.Favicon())
	mux.Handle("POST /theme", site.SetTheme())
	mux.HandleFunc("GET /logo.svg", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, sampleLogo)
	})
	mux.HandleFunc("GET /p/{name}", func(w http.ResponseWriter, r *http.Request) {
		site.Render(w, r, http.StatusOK, pages[r.PathValue("name")])
	})
	mux.HandleFunc("GET /login/code/status", func(w http.ResponseWriter, _ *http.Request) { st.tell(w) })
	mux.HandleFunc("GET /login/code", func(w http.ResponseWriter, r *http.Request) {
		site.Render(w, r, http.StatusOK, pages["code"])
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		st.mu.Lock()
		st.posts = append(st.posts, r.URL.Path+" "+r.PostForm.Encode())
		st.mu.Unlock()
		select {
		case <-st.hold:
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<p id=posted>posted</p>")
	})
	st.Server = httptest.NewServer(mux)
	t.Cleanup(st.Close)
	return st
}

// leaves are the pages that go elsewhere at once where script runs; so does an offer
// of a passkey that the device cannot take.
var leaves = map[string]bool{"form-post": true, "passkey-setup": true, "passkey-failed": true, "qr-allowed": true}

// newGallery is a stage with every sample page, whose clients have a logo that it
// serves itself, and their names in order.
func newGallery(t *testing.T) (st *stage, names []string) {
	pages := map[string]Page{}
	st = newStage(t, pages)
	for name, p := range samplesOf(st.URL + "/logo.svg") {
		if !leaves[name] {
			pages[name], names = p, append(names, name)
		}
	}
	slices.Sort(names)
	return st, names
}

func (st *stage) posted() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return strings.Join(st.posts, "\n")
}

// scene is one test in a tab of its own: it opens a page of a fresh stage, whose
// first field has the focus.
func scene(parent context.Context, t *testing.T, name string, pages map[string]Page, play func(tb tab, st *stage)) {
	checkScene(parent, t, name, pages, func(tb tab, st *stage) {
		tb.until("document.activeElement !== document.body") // autofocus comes after the load event
		play(tb, st)
	})
}

// checkScene is scene for pages that a script is busy with: they take no focus.
func checkScene(parent context.Context, t *testing.T, name string, pages map[string]Page, play func(tb tab, st *stage)) {
	t.Run(name, func(t *testing.T) {
		st := newStage(t, pages)
		ctx, cancel := chromedp.NewContext(parent)
		defer cancel()
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(375, 800), chromedp.Navigate(st.URL+"/p/first?lang=en")); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(ctx, 30*time.Second)
		defer stop()
		play(tab{t, ctx}, st)
	})
}
