package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

func TestLanguageIsChosenInOrder(t *testing.T) {
	s := newSite(t, Options{})
	now := time.Unix(1_790_000_000, 0)
	s.now = func() time.Time { return now }
	const fresh, old = "en.1789999000", "en.1789000000"
	tests := []struct {
		name, query, cookie string
		uiLocales           []string
		accept, want        string
	}{
		{name: "nothing known", want: "zh-CN"},
		{name: "Accept-Language", accept: "en-GB,en;q=0.9", want: "en"},
		{name: "Accept-Language by weight", accept: "en;q=0.5,zh;q=0.9", want: "zh-CN"},
		{name: "a language that we lack", accept: "fr,de;q=0.9", want: "zh-CN"},
		{name: "the next language where we lack the first", accept: "fr,en;q=0.3", want: "en"},
		{name: "traditional Chinese", accept: "zh-TW,en;q=0.1", want: "zh-CN"},
		{name: "nonsense", accept: ";;;q=x,,", want: "zh-CN"},
		{name: "an endless header", accept: "en" + strings.Repeat(",en", 1000), want: "zh-CN"},
		{name: "remembered choice", cookie: old, accept: "zh-CN", want: "en"},
		{name: "client before a remembered choice", cookie: old, uiLocales: []string{"zh-CN"}, want: "zh-CN"},
		{name: "choice of now before client", cookie: fresh, uiLocales: []string{"zh-CN"}, want: "en"},
		{name: "choice from the future is an old one", cookie: "en.1890000000", uiLocales: []string{"zh-CN"}, want: "zh-CN"},
		{name: "client", uiLocales: []string{"fr", "en-US", "zh-CN"}, accept: "zh-CN", want: "en"},
		{name: "client without a language of ours", uiLocales: []string{"fr", "x-klingon", "<svg>"}, accept: "en", want: "en"},
		{name: "link before everything", query: "?lang=zh-CN", cookie: fresh, uiLocales: []string{"en"}, accept: "en", want: "zh-CN"},
		{name: "link in another case", query: "?a=b&lang=EN", want: "en"},
		{name: "link to no language of ours", query: "?lang=fr", cookie: old, want: "en"},
		{name: "broken cookies", cookie: "fr.x", accept: "en", want: "en"},
		{name: "cookie without a time", cookie: "en", uiLocales: []string{"zh"}, want: "zh-CN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/login"+tt.query, nil)
			if tt.cookie != "" {
				r.AddCookie(&http.Cookie{Name: "dialtone_lang", Value: tt.cookie})
			}
			if tt.accept != "" {
				r.Header.Set("Accept-Language", tt.accept)
			}
			if got := s.Language(r, tt.uiLocales); got != tt.want {
				t.Errorf("Language %s, want %s", got, tt.want)
			}
			w := httptest.NewRecorder()
			s.Render(w, r, http.StatusOK, SignedOut{Common: Common{UILocales: tt.uiLocales}})
			if got := w.Header().Get("Content-Language"); got != tt.want {
				t.Errorf("page in %s, want %s", got, tt.want)
			}
		})
	}
	if got := s.Language(nil, []string{"en"}); got != "en" {
		t.Errorf("without a request: %s", got)
	}
	if got := s.Text(nil, []string{"en"}, "account_disabled", nil); !strings.Contains(got, "disabled") {
		t.Errorf("text without a request: %s", got)
	}
}

func TestChosenLanguageIsRemembered(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := newSite(t, Options{Secure: secure})
		s.now = func() time.Time { return time.Unix(1_790_000_000, 0) }
		w := httptest.NewRecorder()
		s.Render(w, httptest.NewRequest(http.MethodGet, "/login?lang=en", nil), http.StatusOK, Login{})
		cookies := w.Result().Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%d cookies", len(cookies))
		}
		name := "dialtone_lang"
		if secure {
			name = "__Host-dialtone_lang"
		}
		c := cookies[0]
		if c.Name != name || c.Value != "en.1790000000" || c.Path != "/" || !c.HttpOnly || c.Secure != secure ||
			c.SameSite != http.SameSiteLaxMode || c.MaxAge != 365*24*3600 || c.Domain != "" {
			t.Errorf("cookie %s", c)
		}
		r := httptest.NewRequest(http.MethodGet, "/account", nil)
		r.AddCookie(c)
		if got := s.Language(r, []string{"zh-CN"}); got != "en" {
			t.Errorf("the next page is in %s", got)
		}
	}
	s := newSite(t, Options{})
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodGet, "/login?lang=fr", nil),
		httptest.NewRequest(http.MethodPost, "/login?lang=en", nil),
	} {
		w := httptest.NewRecorder()
		s.Render(w, r, http.StatusOK, Login{})
		if got := w.Result().Cookies(); len(got) != 0 {
			t.Errorf("%s %s sets %v", r.Method, r.URL, got)
		}
	}
}

// switchTo is where the link to English leads from the address of the page.
func switchTo(t *testing.T, s *Site, r *http.Request, p Page) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Render(w, r, http.StatusOK, p)
	links := find(parseHTML(t, w), func(n *html.Node) bool { return attr(n, "hreflang") == "en" })
	if len(links) != 1 {
		t.Fatalf("%d links to English", len(links))
	}
	link, err := url.Parse(attr(links[0], "href"))
	if err != nil {
		t.Fatal(err)
	}
	base := &url.URL{Scheme: "https", Host: "id.example.com", Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	return base.ResolveReference(link).String()
}

func TestLanguageSwitchStaysOnThePage(t *testing.T) {
	s := newSite(t, Options{})
	post := func(path, form string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := r.ParseForm(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	get := func(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }
	const site = "https://id.example.com"
	tests := []struct {
		r    *http.Request
		page Page
		want string
	}{
		{get("/account"), Account{}, site + "/account?lang=en"},
		{get("/login?flow=F"), Login{Flow: "F"}, site + "/login?flow=F&lang=en"},
		{get("/login?lang=zh-CN&flow=F&lang=en"), Login{Flow: "F"}, site + "/login?flow=F&lang=en"},
		{
			get("/oauth2/authorize?redirect_uri=https://rp.example/cb&state=%22a+b%22&empty"), Error{Code: "invalid_request"},
			site + "/oauth2/authorize?redirect_uri=https://rp.example/cb&state=%22a+b%22&empty&lang=en",
		},
		{get("//evil.example/x"), Error{Code: "not_found"}, site + "//evil.example/x?lang=en"},
		{post("/login", "flow=F&phone=1"), Login{Flow: "F"}, site + "/login?flow=F&lang=en"},
		{post("/login/code", "flow=F&challenge=C&code=1"), Code{Flow: "F", Challenge: "C"}, site + "/login/code?flow=F&challenge=C&lang=en"},
		{post("/login/code/resend", "flow=F&challenge=C"), Code{Flow: "F", Challenge: "C"}, site + "/login/code?flow=F&challenge=C&lang=en"},
		{post("/login/code", "flow=F&challenge=C&code=123456"), Error{Code: "flow_expired"}, site + "/login/code?flow=F&challenge=C&lang=en"},
		{post("/login/cancel", "flow=F"), Error{Code: "flow_expired"}, site + "/login?flow=F&lang=en"},
		{post("/logout", "ticket=T&decision=yes"), Logout{Ticket: "T"}, site + "/logout?ticket=T&lang=en"},
		{post("/demo", ""), Demo{}, site + "/demo?lang=en"},
		{post("/login/closing", "flow=F&decision=x"), Error{Code: "server_error"}, site + "/login/closing?flow=F&lang=en"},
		{post("/account/picture", ""), Error{Code: "unsupported_media_type"}, site + "/account?lang=en"},
		{post("/account/security/passkeys", ""), Error{Code: "rate_limited"}, site + "/account/security?lang=en"},
		{post("/qr/s0199c4", "decision=allow"), Error{Code: "server_error"}, site + "/qr/s0199c4?lang=en"},
		{post("/demo/refresh", ""), Error{Code: "server_error"}, site + "/demo?lang=en"},
		{post("/accounting", ""), Error{Code: "not_found"}, site + "/accounting?lang=en"},
		{post("/oauth2/authorize", "client_id=x"), Error{Code: "invalid_request"}, site + "/oauth2/authorize?lang=en"},
		{post("//evil.example/login", "flow=F"), Error{Code: "not_found"}, site + "//evil.example/login?lang=en"},
	}
	for _, tt := range tests {
		if got := switchTo(t, s, tt.r, tt.page); got != tt.want {
			t.Errorf("%s %s: leads to %s, want %s", tt.r.Method, tt.r.URL, got, tt.want)
		}
	}
}

// A refused form survives a choice of language or theme and a reload: its page knows
// where GET shows it, whichever address took the form.
func TestRefusedFormsKnowTheirPage(t *testing.T) {
	s := newSite(t, Options{})
	for name, p := range samples() {
		f := p.facts()
		if f.problem == nil || f.template == "error" {
			continue
		}
		r := httptest.NewRequest(http.MethodPost, "/form/only", nil)
		if v := s.view(s.edition(r, nil), r, p, f); !strings.HasPrefix(v.Back, "/") || strings.HasPrefix(v.Back, "/form") {
			t.Errorf("%s: back is %q", name, v.Back)
		}
	}
}

// What the script of a page loads by itself is nobody's choice of a language.
func TestAPageThatLeavesByItselfChoosesNoLanguage(t *testing.T) {
	s := newSite(t, Options{})
	for name, p := range samples() {
		doc := parseHTML(t, render(t, s, p, "en"))
		for _, n := range find(doc, func(n *html.Node) bool { return attr(n, "data-page")+attr(n, "data-here")+attr(n, "data-renew") != "" }) {
			for _, to := range []string{attr(n, "data-page"), attr(n, "data-here"), attr(n, "data-renew")} {
				w := httptest.NewRecorder()
				s.Render(w, httptest.NewRequest(http.MethodGet, "https://id.example.com"+to, nil), http.StatusOK, p)
				if got := w.Result().Cookies(); len(got) != 0 {
					t.Errorf("%s: %s sets %v", name, to, got)
				}
			}
		}
	}
}
