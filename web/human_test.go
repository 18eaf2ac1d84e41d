package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// humanPage serves a form with a human check under the policy of our pages, and
// keeps what is posted. Where the policy allows inline script, the page's own
// thread cannot pause, so that only a worker gets anywhere.
type humanPage struct {
	*httptest.Server
	mu    sync.Mutex
	posts []string // the member captcha of each
}

func newHumanPage(t *testing.T, script, puzzle, policy string) *humanPage {
	t.Helper()
	site := newSite(t, Options{})
	asset, err := site.assets.url(script)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := site.assets.url("dialtone.js")
	if err != nil {
		t.Fatal(err)
	}
	h := &humanPage{}
	mux := http.NewServeMux()
	mux.Handle("GET /assets/", site.Assets())
	mux.Handle("GET /favicon.ico", site.Favicon())
	mux.HandleFunc("GET /p", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		fmt.Fprintf(w, `<!doctype html><html lang="en"><head><title>check</title><script>window.setTimeout = () => 0</script><script src="%s" defer></script><script src="%s" defer></script></head><body>
<form method="post" action="/p"><div id="human-check" data-puzzle="%s"><input type="hidden" name="captcha">
<p id="human-status" role="status" data-working="Checking" data-done="Checked" data-failed="That did not work"></p>
<div id="human-typed" hidden><input id="typed" name="typed" autofocus></div></div>
<button type="submit" id="send">Send</button> <button type="submit" id="leave" formaction="/leave">Leave</button></form></body></html>`,
			ours, asset, html.EscapeString(puzzle))
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.posts = append(h.posts, r.PostFormValue("captcha"))
		h.mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<p id=posted>%s %s</p>", r.URL.Path, html.EscapeString(r.PostFormValue("typed")))
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func (h *humanPage) posted() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.posts...)
}

// open shows the page in a tab of its own.
func (h *humanPage) open(t *testing.T, parent context.Context) tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate(h.URL+"/p")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, 40*time.Second)
	t.Cleanup(cancel)
	return tab{t, ctx}
}

// salt is of the length that the server's have.
const salt = "46ba1e4737b16a2d8e4cb549?expires=1700000000&f=0123456789abcdef0123456789abcdef&"

// powPuzzle is an ALTCHA v1 challenge whose solution is number.
func powPuzzle(salt string, number, most int) string {
	return fmt.Sprintf(`{"type":"pow","data":{"algorithm":"SHA-256","challenge":"%x","maxnumber":%d,"salt":%q,"signature":"sig"}}`,
		sha256.Sum256(fmt.Appendf(nil, "%s%d", salt, number)), most, salt)
}

type powProof struct {
	Algorithm, Challenge, Salt, Signature string
	Number                                int
	Took                                  float64
}

// solved waits for the form to be sent and reads what was sent.
func (h *humanPage) solved(tb tab) powProof {
	tb.Helper()
	tb.sees("#posted")
	posts := h.posted()
	if len(posts) != 1 {
		tb.Fatalf("posted %d times", len(posts))
	}
	text, err := base64.StdEncoding.DecodeString(posts[0])
	if err != nil {
		tb.Fatalf("%q: %v", posts[0], err)
	}
	var p powProof
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return p
}

func TestProofOfWorkInABrowser(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	policy := contentSecurityPolicy(facts{})

	// The hardest puzzle of a level: the number is the last one.
	for name, level := range map[string]struct {
		most   int
		within time.Duration
	}{"level 1": {50_000, 2 * time.Second}, "level 2": {300_000, 8 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			h := newHumanPage(t, "pow.js", powPuzzle(salt, level.most, level.most), policy)
			p := h.solved(h.open(t, parent))
			if p.Number != level.most || p.Algorithm != "SHA-256" || p.Salt != salt || p.Signature != "sig" {
				t.Errorf("%+v", p)
			}
			took := time.Duration(p.Took) * time.Millisecond
			t.Logf("%d hashes in %v", level.most+1, took)
			if took > level.within {
				t.Errorf("took %v", took)
			}
		})
	}

	t.Run("salts of every length", func(t *testing.T) {
		for _, length := range []int{1, 51, 52, 55, 56, 59, 63, 64, 65, 119, 120, 128} {
			h := newHumanPage(t, "pow.js", powPuzzle(strings.Repeat("s", length), 1234, 2000), policy)
			if p := h.solved(h.open(t, parent)); p.Number != 1234 {
				t.Errorf("length %d: %+v", length, p)
			}
		}
	})

	t.Run("in a worker", func(t *testing.T) {
		h := newHumanPage(t, "pow.js", powPuzzle(salt, 20_000, 50_000), strings.Replace(policy, "script-src 'self'", "script-src 'self' 'unsafe-inline'", 1))
		if p := h.solved(h.open(t, parent)); p.Number != 20_000 {
			t.Errorf("%+v", p)
		}
	})
	t.Run("without a worker", func(t *testing.T) {
		h := newHumanPage(t, "pow.js", powPuzzle(salt, 20_000, 50_000), policy+"; worker-src 'none'")
		if p := h.solved(h.open(t, parent)); p.Number != 20_000 {
			t.Errorf("%+v", p)
		}
	})

	// Unsolvable, it takes long enough to be looked at.
	const long = 3_000_000
	t.Run("says what it does and waits", func(t *testing.T) {
		h := newHumanPage(t, "pow.js", powPuzzle(salt, long, long), policy)
		tb := h.open(t, parent)
		tb.until("document.getElementById('human-check').dataset.progress > 0")
		tb.wants("document.getElementById('human-status').textContent", "Checking")
		tb.wants("document.getElementById('human-check').dataset.state", "working")
		tb.js("document.getElementById('send').click()")
		if p := h.solved(tb); p.Number != long { // once, with its proof
			t.Errorf("%+v", p)
		}
	})
	t.Run("lets go who wants to leave", func(t *testing.T) {
		h := newHumanPage(t, "pow.js", powPuzzle(salt, long, long), policy)
		tb := h.open(t, parent)
		tb.js("document.getElementById('leave').click()")
		tb.sees("#posted")
		tb.wants("document.getElementById('posted').textContent.trim()", "/leave")
	})
	t.Run("lets through what was typed", func(t *testing.T) {
		h := newHumanPage(t, "pow.js", powPuzzle(salt, long, long), policy)
		tb := h.open(t, parent)
		tb.js("(document.getElementById('typed').value = '123456', document.getElementById('send').click())")
		tb.sees("#posted")
		tb.wants("document.getElementById('posted').textContent", "/p 123456")
	})
	t.Run("no solution", func(t *testing.T) {
		h := newHumanPage(t, "pow.js", powPuzzle(salt, 600, 500), policy)
		tb := h.open(t, parent)
		tb.until("document.getElementById('human-check').dataset.state === 'failed'")
		tb.wants("document.getElementById('human-status').textContent", "That did not work")
		tb.wants("document.getElementById('human-typed').hidden", "false")
		if posts := h.posted(); len(posts) != 0 {
			t.Errorf("posted %q", posts)
		}
	})
	t.Run("another check's puzzle", func(t *testing.T) {
		h := newHumanPage(t, "pow.js", `{"type":"geetest_v4","data":{}}`, policy)
		h.open(t, parent).wants("document.getElementById('human-check').dataset.state", "undefined")
	})
}

// widgets stand in for the vendor's scripts: a person who passes at once.
const widgets = `
function widget(given) {
  const on = {};
  return {
    onReady(f) { setTimeout(f); }, onError(f) { on.error = f; }, onSuccess(f) { on.success = f; },
    appendTo(where) { document.querySelector(where).textContent = 'widget'; setTimeout(() => window.outcome === 'error' ? on.error() : on.success(), 50); },
    getValidate() { return given; },
  };
}
window.initGeetest = (c, ready) => ready(widget({ geetest_challenge: c.challenge + c.offline, geetest_validate: c.gt, geetest_seccode: 's', more: 'x' }));
window.initGeetest4 = (c, ready) => ready(widget({ captcha_id: c.captchaId, lot_number: 'l', captcha_output: 'o', pass_token: 'p', gen_time: 17 }));
`

func TestGeetestInABrowser(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	script := func(text string) string {
		vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, text)
		}))
		t.Cleanup(vendor.Close)
		return vendor.URL
	}
	allow := func(origin string) string {
		return strings.Replace(contentSecurityPolicy(facts{}), "script-src 'self'", "script-src 'self' "+origin, 1)
	}
	vendor := script(widgets)
	puzzles := map[string]string{
		"geetest_v3": `{"type":"geetest_v3","data":{"gt":"G","challenge":"C","new_captcha":true,"success":1,"state":"S","script":"` + vendor + `/gt.js"}}`,
		"geetest_v4": `{"type":"geetest_v4","data":{"captchaId":"G","state":"S","script":"` + vendor + `/gt4.js"}}`,
	}
	for kind, want := range map[string]string{
		"geetest_v3": `{"state":"S","geetest_challenge":"Cfalse","geetest_validate":"G","geetest_seccode":"s"}`,
		"geetest_v4": `{"state":"S","lot_number":"l","captcha_output":"o","pass_token":"p","gen_time":"17"}`,
	} {
		t.Run(kind, func(t *testing.T) {
			h := newHumanPage(t, "geetest.js", puzzles[kind], allow(vendor))
			tb := h.open(t, parent)
			tb.sees("#posted")
			if posts := h.posted(); len(posts) != 1 || posts[0] != want {
				t.Errorf("posted %q", posts)
			}
		})
		for how, policy := range map[string]string{"blocked": contentSecurityPolicy(facts{}), "broken": ""} {
			t.Run(kind+" "+how, func(t *testing.T) {
				puzzle := puzzles[kind]
				if how == "broken" {
					broken := script("throw new Error('broken')")
					puzzle, policy = strings.ReplaceAll(puzzle, vendor, broken), allow(broken)
				}
				h := newHumanPage(t, "geetest.js", puzzle, policy)
				tb := h.open(t, parent)
				tb.until("document.getElementById('human-check').dataset.state === 'failed'")
				tb.wants("document.getElementById('human-typed').hidden", "false")
			})
		}
	}
}

// Loaded only where a check is shown, and small even then.
func TestCheckScriptsStayLight(t *testing.T) {
	for name, most := range map[string]int{"pow.js": 2500, "geetest.js": 1500} {
		body, err := files.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if b.Len() > most {
			t.Errorf("%s has %d bytes, compressed", name, b.Len())
		}
		if bytes.Contains(body, []byte("http://")) || bytes.Contains(body, []byte("geetest.com")) {
			t.Errorf("%s names a host", name)
		}
	}
}
