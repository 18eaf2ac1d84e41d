package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// choose posts the footer's form and returns the answer.
func choose(s *Site, chosen, to string) *http.Response {
	form := url.Values{"theme": {chosen}, "to": {to}}
	r := httptest.NewRequest(http.MethodPost, "/theme", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.SetTheme().ServeHTTP(w, r)
	return w.Result()
}

func TestChosenThemeIsRemembered(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := newSite(t, Options{Secure: secure})
		for chosen, want := range map[string]struct{ sheet, scheme string }{
			"light": {"light.css", "light"}, "dark": {"dark.css", "dark"}, "system": {"dialtone.css", "light dark"},
		} {
			res := choose(s, chosen, "/login?flow=F")
			if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/login?flow=F" {
				t.Errorf("%s: %d to %s", chosen, res.StatusCode, res.Header.Get("Location"))
			}
			cookies := res.Cookies()
			if len(cookies) != 1 {
				t.Fatalf("%s: %d cookies", chosen, len(cookies))
			}
			c := cookies[0]
			if !c.HttpOnly || c.Secure != secure || strings.HasPrefix(c.Name, "__Host-") != secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
				t.Errorf("%s: cookie %v", chosen, c)
			}
			if chosen == "system" && c.MaxAge >= 0 || chosen != "system" && c.MaxAge < 180*24*3600 {
				t.Errorf("%s: kept for %d seconds", chosen, c.MaxAge)
			}
			r := httptest.NewRequest(http.MethodGet, "/login?lang=en", nil)
			if c.MaxAge > 0 {
				r.AddCookie(c)
			}
			w := httptest.NewRecorder()
			s.Render(w, r, http.StatusOK, Login{})
			doc := parseHTML(t, w)
			path, err := s.assets.url(want.sheet)
			if err != nil {
				t.Fatal(err)
			}
			if len(find(doc, func(n *html.Node) bool { return attr(n, "rel") == "stylesheet" && attr(n, "href") == path })) != 1 {
				t.Errorf("%s: the page links to another sheet", chosen)
			}
			if len(find(doc, func(n *html.Node) bool { return attr(n, "name") == "color-scheme" && attr(n, "content") == want.scheme })) != 1 {
				t.Errorf("%s: another color-scheme", chosen)
			}
			on := find(doc, func(n *html.Node) bool { return attr(n, "name") == "theme" && attr(n, "aria-pressed") == "true" })
			if len(on) != 1 || attr(on[0], "value") != chosen {
				t.Errorf("%s: %d buttons are on", chosen, len(on))
			}
		}
	}
}

func TestThemeLeadsNowhereElse(t *testing.T) {
	s := newSite(t, Options{})
	for _, to := range []string{"", "https://evil.example/", "//evil.example", `/\evil.example`, "javascript:alert(1)", "login", strings.Repeat("/a", 9<<10)} {
		if got := choose(s, "dark", to).Header.Get("Location"); got != "/" {
			t.Errorf("%.40q leads to %s", to, got)
		}
	}
	if got := len(choose(s, "purple", "/login").Cookies()); got != 0 {
		t.Errorf("a theme that does not exist sets %d cookies", got)
	}
}

// The form knows the GET of the page that it is on.
func TestThemeComesBackToThePage(t *testing.T) {
	s := newSite(t, Options{})
	for _, tt := range []struct {
		method, target string
		page           Page
		want           string
	}{
		{http.MethodGet, "/login?flow=F&lang=en", Login{Flow: "F"}, "/login?flow=F"},
		{http.MethodGet, "/legal/terms", Legal{Kind: "terms"}, "/legal/terms"},
		{http.MethodPost, "/login", Login{Flow: "F"}, "/login?flow=F"},
		{http.MethodPost, "/login/code/resend", Code{Flow: "F", Challenge: "C"}, "/login/code?flow=F&challenge=C"},
	} {
		w := httptest.NewRecorder()
		s.Render(w, httptest.NewRequest(tt.method, tt.target, nil), http.StatusOK, tt.page)
		to := find(parseHTML(t, w), func(n *html.Node) bool { return attr(n, "name") == "to" })
		if len(to) != 1 || attr(to[0], "value") != tt.want {
			t.Errorf("%s %s: the form leads to %q, want %s", tt.method, tt.target, attr(to[0], "value"), tt.want)
		}
	}
}

// A fixed theme is the same sheet with its one query decided.
func TestFixedThemesAreTheSameSheet(t *testing.T) {
	s := newSite(t, Options{})
	both := string(s.assets.byName["dialtone.css"].body)
	if n := strings.Count(both, darkQuery); n != 1 {
		t.Fatalf("%d queries for a dark theme, want 1", n)
	}
	for name, query := range map[string]string{"light.css": "@media not all", "dark.css": "@media all"} {
		one := string(s.assets.byName[name].body)
		if strings.Contains(one, "prefers-color-scheme") || !strings.Contains(one, query) || strings.Contains(one, bothSchemes) {
			t.Errorf("%s does not decide", name)
		}
		if len(one) > len(both) {
			t.Errorf("%s is longer", name)
		}
	}
}
