package web

import (
	"compress/gzip"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func fetch(s *Site, method, path string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.Assets().ServeHTTP(w, r)
	return w
}

func TestAssetsAreServedForEver(t *testing.T) {
	s := newSite(t, Options{})
	for name, contentType := range map[string]string{
		"dialtone.css": "text/css; charset=utf-8", "dialtone.js": "text/javascript; charset=utf-8",
		"formpost.js": "text/javascript; charset=utf-8", "pow.js": "text/javascript; charset=utf-8", "passkey.js": "text/javascript; charset=utf-8", "mark.svg": "image/svg+xml",
	} {
		want, err := files.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		path, err := s.assets.url(name)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^/assets/[a-z]+\.[0-9a-f]{12}\.[a-z]+$`).MatchString(path) {
			t.Errorf("path %s", path)
		}
		w := fetch(s, http.MethodGet, path, nil)
		if w.Code != http.StatusOK || w.Body.String() != string(want) {
			t.Errorf("%s: status %d, %d bytes", name, w.Code, w.Body.Len())
		}
		for header, want := range map[string]string{
			"Content-Type": contentType, "Cache-Control": "public, max-age=31536000, immutable",
			"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s: %q, want %q", name, header, got, want)
			}
		}
		if again := fetch(s, http.MethodGet, path, map[string]string{"If-None-Match": `"x", W/` + w.Header().Get("ETag")}); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s: asked again: %d", name, again.Code)
		}
		if head := fetch(s, http.MethodHead, path, nil); head.Body.Len() != 0 || head.Header().Get("Content-Length") != strconv.Itoa(len(want)) {
			t.Errorf("%s: HEAD: %d bytes, length %s", name, head.Body.Len(), head.Header().Get("Content-Length"))
		}
		if post := fetch(s, http.MethodPost, path, nil); post.Code != http.StatusMethodNotAllowed || post.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: POST: %d", name, post.Code)
		}
	}
	for _, path := range []string{"/assets/", "/assets/dialtone.css", "/assets/dialtone.00000000000.css", "/assets/dialtone.00000000000x.css", "/assets/nothing.000000000000.css", "/elsewhere/dialtone.000000000000.css", "/assets/../site.go", "/dialtone.css", ""} {
		if w := fetch(s, http.MethodGet, "http://id.example.com"+path, nil); w.Code != http.StatusNotFound || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d, %v", path, w.Code, w.Header())
		}
	}
}

// While replicas of two releases serve, the page of one asks the other for its sheet:
// it gets the one that is there, and nobody keeps that under the wrong name.
func TestAssetsOfAnotherReleaseAreTheCurrentOnes(t *testing.T) {
	s := newSite(t, Options{})
	path, err := s.assets.url("dialtone.css")
	if err != nil {
		t.Fatal(err)
	}
	current := fetch(s, http.MethodGet, path, nil)
	w := fetch(s, http.MethodGet, "/assets/dialtone.000000000000.css", nil)
	if w.Code != http.StatusOK || w.Body.String() != current.Body.String() || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
}

func TestAssetsAreCompressedForWhoAsks(t *testing.T) {
	s := newSite(t, Options{})
	path, err := s.assets.url("dialtone.css")
	if err != nil {
		t.Fatal(err)
	}
	plain := fetch(s, http.MethodGet, path, nil)
	for _, accept := range []string{"gzip", "gzip, deflate, br, zstd", "br;q=1.0, GZIP;q=0.5", "deflate,gzip; q=0.1"} {
		w := fetch(s, http.MethodGet, path, map[string]string{"Accept-Encoding": accept})
		if w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("ETag") == plain.Header().Get("ETag") {
			t.Errorf("%s: %v", accept, w.Header())
			continue
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(z); err != nil || string(body) != plain.Body.String() {
			t.Errorf("%s: unpacks to %d bytes, %v", accept, len(body), err)
		}
		if w.Header().Get("Content-Length") == plain.Header().Get("Content-Length") {
			t.Errorf("%s: length of the wrong variant", accept)
		}
	}
	for _, accept := range []string{"", "br", "gzip;q=0", "gzip;q=0.000", "x-gzip-not", "gzip;q=abc"} {
		if w := fetch(s, http.MethodGet, path, map[string]string{"Accept-Encoding": accept}); w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%q got gzip", accept)
		}
	}
}

func TestFaviconIsTheMark(t *testing.T) {
	s := newSite(t, Options{})
	w := httptest.NewRecorder()
	s.Favicon().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/favicon.ico", nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(w.Body.String(), "<svg") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if got := w.Header().Get("Cache-Control"); strings.Contains(got, "immutable") {
		t.Errorf("a name without a hash is kept for ever: %s", got)
	}
}

// What a cold visit costs: the page, one style sheet, one script.
func TestPagesStayLight(t *testing.T) {
	s := newSite(t, Options{ICP: "沪ICP备00000000号"})
	size := func(name string) int {
		body, err := files.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return len(body)
	}
	css, js, passkeys := size("dialtone.css"), size("dialtone.js"), size("passkey.js")
	if css > 14<<10 || js > 12<<10 || passkeys > 4<<10 {
		t.Errorf("style sheet %d bytes, scripts %d and %d bytes", css, js, passkeys)
	}
	js += passkeys // most pages do without
	for name, p := range samples() {
		for _, lang := range s.Languages() {
			w := render(t, s, p, lang)
			if total := w.Body.Len() + css + js; total > 40<<10 {
				t.Errorf("%s in %s: %d bytes", name, lang, total)
			}
			doc := parseHTML(t, w)
			loads := find(doc, func(n *html.Node) bool {
				return n.Data == "script" || n.Data == "link" && attr(n, "rel") == "stylesheet"
			})
			most := 2
			if p.facts().check.script() != "" {
				most = 3 // and what solves the check
			}
			if len(loads) > most {
				t.Errorf("%s: %d further requests", name, len(loads))
			}
			for _, n := range loads {
				if path := attr(n, "src") + attr(n, "href"); fetch(s, http.MethodGet, path, nil).Code != http.StatusOK {
					t.Errorf("%s: %s does not exist", name, path)
				}
			}
		}
	}
	for _, name := range []string{"dialtone.css", "dialtone.js", "passkey.js", "formpost.js", "pow.js", "qr.js"} {
		body, err := files.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`https?://|url\(|@import|import\(`).Match(body) {
			t.Errorf("%s loads something from elsewhere", name)
		}
	}
}

// Text reaches WCAG AA on every ground that it stands on, running text AAA; the
// edge of a control and the focus ring 3:1 (WCAG 2.2, 1.4.3, 1.4.6, 1.4.11).
func TestColoursHaveContrast(t *testing.T) {
	css, err := files.ReadFile("static/dialtone.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := regexp.MustCompile(`(?s):root \{([^}]*--paper[^}]*)\}`).FindAllSubmatch(css, -1)
	if len(themes) != 2 {
		t.Fatalf("%d themes", len(themes))
	}
	for i, theme := range themes {
		colour := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]+);`).FindAllSubmatch(theme[1], -1) {
			colour[string(m[1])] = string(m[2])
		}
		for _, pair := range []struct {
			front, back string
			least       float64
		}{
			{"ink", "paper", 7}, {"ink", "surface", 7}, {"ink", "sunken", 7},
			{"ink-2", "paper", 4.5}, {"ink-2", "surface", 4.5}, {"ink-2", "sunken", 4.5},
			{"accent", "paper", 4.5}, {"accent", "surface", 4.5}, {"accent", "sunken", 4.5},
			{"on-accent", "accent", 4.5}, {"on-accent", "accent-2", 4.5},
			{"danger", "paper", 4.5}, {"danger", "surface", 4.5}, {"danger", "danger-soft", 4.5},
			{"edge", "paper", 3}, {"edge", "surface", 3}, {"accent", "paper", 3}, {"accent", "surface", 3},
		} {
			got := contrast(t, colour[pair.front], colour[pair.back])
			if got < pair.least {
				t.Errorf("theme %d: %s on %s: %.2f, want %.1f", i, pair.front, pair.back, got, pair.least)
			}
		}
	}
}

// contrast is the contrast ratio of WCAG 2.2.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	digits := strings.TrimPrefix(colour, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	if len(digits) != 6 {
		t.Fatalf("colour %q", colour)
	}
	total := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(v) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		total += weight * c
	}
	return total
}
