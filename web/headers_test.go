package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPagesCarryTheirHeaders(t *testing.T) {
	s := newSite(t, Options{})
	for name, p := range samples() {
		w := httptest.NewRecorder()
		s.Render(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusTeapot, p)
		if w.Code != http.StatusTeapot {
			t.Errorf("%s: status %d", name, w.Code)
		}
		for header, want := range map[string]string{
			"Content-Type":                 "text/html; charset=utf-8",
			"Content-Language":             "zh-CN",
			"Cache-Control":                "no-store",
			"Vary":                         "Accept-Language, Cookie",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s: %q, want %q", name, header, got, want)
			}
		}
		if got := w.Header().Get("Permissions-Policy"); !strings.Contains(got, "otp-credentials=(self), publickey-credentials-get=(self)") {
			t.Errorf("%s: Permissions-Policy %q", name, got)
		}
		if len(w.Result().Cookies()) != 0 {
			t.Errorf("%s: sets a cookie unasked", name)
		}
	}
}

func TestPolicyAllowsTheClientAndNothingElse(t *testing.T) {
	const head = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
	const tail = "; frame-ancestors 'none'; base-uri 'none'"
	tests := []struct {
		page Page
		want string
	}{
		{Account{}, "img-src 'self'; form-action 'self'"},
		{Login{Client: &Client{LogoURI: "https://cdn.example/logo.png"}}, "img-src 'self' https:; form-action 'self'"},
		{Login{Client: &Client{LogoURI: "http://localhost:3000/l.png"}}, "img-src 'self' http://localhost:3000; form-action 'self'"},
		{Login{Client: &Client{LogoURI: "http://shop.example/l.png"}}, "img-src 'self'; form-action 'self'"},
		{Consent{Common: Common{FormAction: "https://rp.example"}}, "img-src 'self'; form-action 'self' https://rp.example https:"},
		{Consent{Common: Common{FormAction: "https://RP.example:8443/cb?x=1;y"}}, "img-src 'self'; form-action 'self' https://rp.example:8443 https:"},
		{Consent{Common: Common{FormAction: "http://127.0.0.1:4711"}}, "img-src 'self'; form-action 'self' http://127.0.0.1:4711 https: http://localhost:* http://127.0.0.1:*"},
		{Consent{Common: Common{FormAction: "http://[::1]:4711"}}, "img-src 'self'; form-action 'self' http: https: http://localhost:* http://127.0.0.1:*"},
		{Consent{Common: Common{FormAction: "https://例子.example"}}, "img-src 'self'; form-action 'self' https: https:"},
		{Consent{Common: Common{FormAction: "com.example.app:"}}, "img-src 'self'; form-action 'self' com.example.app:"},
		{Consent{Common: Common{FormAction: "com.example.app:/cb"}}, "img-src 'self'; form-action 'self' com.example.app:"},
		{Consent{Common: Common{FormAction: "javascript:"}}, "img-src 'self'; form-action 'self'"},
		{Consent{Common: Common{FormAction: "data:"}}, "img-src 'self'; form-action 'self'"},
		{Consent{Common: Common{FormAction: "x; script-src *:"}}, "img-src 'self'; form-action 'self'"},
		{Consent{Common: Common{FormAction: "*"}}, "img-src 'self'; form-action 'self'"},
		{Consent{Common: Common{FormAction: "'unsafe-inline':"}}, "img-src 'self'; form-action 'self'"},
		{FormPost{Action: "https://rp.example/cb", Common: Common{FormAction: "https://other.example"}}, "img-src 'self'; form-action 'self' https://rp.example https:"},
		{&FormPost{Action: "https://rp.example/cb"}, "img-src 'self'; form-action 'self' https://rp.example https:"},
	}
	s := newSite(t, Options{})
	for _, tt := range tests {
		got := render(t, s, tt.page, "en").Header().Get("Content-Security-Policy")
		if diff := cmp.Diff(head+tt.want+tail, got); diff != "" {
			t.Errorf("%T %+v (-want +got):\n%s", tt.page, tt.page.facts().common, diff)
		}
	}
}

// FuzzFormTargets: whatever a redirect URI holds, it adds sources to one
// directive and no directive, list or wildcard of its own.
func FuzzFormTargets(f *testing.F) {
	for _, seed := range []string{
		"https://rp.example", "http://127.0.0.1:4711", "http://[::1]", "com.example.app:", "https://a;script-src *",
		"https://a b", "https://a,b", "HTTPS://A", "https:", "http://*", "https://%3b", "a:\n", "https://u:p@h", "https://h:*",
	} {
		f.Add(seed)
	}
	source := regexp.MustCompile(`^(?: (?:https?://[a-z0-9._-]+(?::[0-9]*)?|[a-z][a-z0-9+.-]*:|http://localhost:\*|http://127\.0\.0\.1:\*))*$`)
	never := regexp.MustCompile(`(?:^| )(?:javascript|data|blob|file):`)
	f.Fuzz(func(t *testing.T, target string) {
		got := formTargets(target)
		if !source.MatchString(got) || never.MatchString(got) {
			t.Errorf("formTargets(%q) = %q", target, got)
		}
	})
}

// A client that runs the sign-in in a pop-up waits for its answer there; a page
// with same-origin would have cut it off for good.
func TestPopUpsOfClientsKeepTheirOpener(t *testing.T) {
	s := newSite(t, Options{})
	want := map[string]string{
		"login": "unsafe-none", "code": "unsafe-none", "consent": "unsafe-none", "logout": "unsafe-none",
		"signed-out": "unsafe-none", "error": "unsafe-none", "form-post": "unsafe-none",
		"login-direct": "same-origin", "account": "same-origin", "terms": "same-origin", "demo": "same-origin",
	}
	for name, policy := range want {
		if got := render(t, s, samples()[name], "en").Header().Get("Cross-Origin-Opener-Policy"); got != policy {
			t.Errorf("%s: %q, want %q", name, got, policy)
		}
	}
}

func TestRefusalsSayWhenToComeBack(t *testing.T) {
	s := newSite(t, Options{})
	for _, p := range []Page{
		Login{Problem: &Problem{Code: "sms_too_soon", RetryAfter: 41500 * time.Millisecond}},
		Error{Code: "rate_limited", RetryAfter: 42 * time.Second},
	} {
		if got := render(t, s, p, "en").Header().Get("Retry-After"); got != "42" {
			t.Errorf("%T: Retry-After %q", p, got)
		}
	}
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", "7")
	s.Render(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusTooManyRequests, Error{Code: "rate_limited", RetryAfter: time.Minute})
	if got := w.Header().Get("Retry-After"); got != "7" {
		t.Errorf("the handler's Retry-After became %q", got)
	}
}
