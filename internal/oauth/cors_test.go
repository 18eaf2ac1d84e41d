package oauth

import (
	"net/http"
	"net/url"
	"testing"
)

// T-43
func TestOnlyOriginsOfTheClientReadItsAnswers(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	q := ask("spa", "https://spa.example/cb")
	tokens := b.tokens(q)
	for origin, want := range map[string]string{
		"https://spa.example": "https://spa.example", "https://evil.example": "", "null": "", "http://spa.example": "", "https://spa.example:8443": "",
	} {
		for name, r := range map[string]reply{
			"token, refused": b.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {"spa"}}, "Origin", origin),
			"revoke":         b.post("/oauth2/revoke", url.Values{"token": {"x"}, "client_id": {"spa"}}, "Origin", origin),
			"userinfo":       b.get("/oauth2/userinfo", "Authorization", "Bearer "+tokens.text("access_token"), "Origin", origin),
		} {
			if got := r.header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s from %s: %q", name, origin, got)
			}
			if r.header.Get("Access-Control-Allow-Credentials") != "" || r.header.Get("Vary") == "" {
				t.Errorf("%s from %s: %v", name, origin, r.header)
			}
		}
	}
	r := b.call("/oauth2/introspect", "web", url.Values{"token": {"x"}})
	if r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("introspection is not for browsers")
	}
}

// Before the client is known there is nothing to hide, and an app in a browser has to
// see that its token expired.
func TestErrorsWithoutAClientAreReadableFromAnywhere(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	origin := []string{"Origin", "https://spa.example"}
	for name, r := range map[string]reply{
		"userinfo, no token":     b.get("/oauth2/userinfo", origin...),
		"userinfo, bad token":    b.get("/oauth2/userinfo", append(origin, "Authorization", "Bearer x")...),
		"userinfo, token in URL": b.get("/oauth2/userinfo?access_token=x", origin...),
		"token, nobody":          b.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {"nobody"}}, origin...),
		"token, wrong secret":    b.post("/oauth2/token", url.Values{}, append(origin, "Authorization", basic("web", "x"))...),
		"token, no form":         b.do(http.MethodPost, "/oauth2/token", "{}", append(origin, "Content-Type", "application/json")...),
		"revoke, nobody":         b.post("/oauth2/revoke", url.Values{"token": {"x"}, "client_id": {"nobody"}}, origin...),
	} {
		h := r.header
		if r.status < 400 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Expose-Headers") != "WWW-Authenticate, Retry-After" ||
			h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Vary") == "" {
			t.Errorf("%s: %d %v", name, r.status, h)
		}
	}
}

func TestPreflight(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for path, methods := range map[string]string{"/oauth2/token": "POST", "/oauth2/revoke": "POST", "/oauth2/userinfo": "GET, POST"} {
		r := b.do(http.MethodOptions, path, "", "Origin", "https://spa.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
		if r.status != http.StatusNoContent || r.header.Get("Access-Control-Allow-Origin") != "*" || r.header.Get("Access-Control-Allow-Methods") != methods ||
			r.header.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type" || r.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v", path, r.status, r.header)
		}
		r = b.do(http.MethodOptions, path, "", "Origin", "null", "Access-Control-Request-Method", "POST")
		if r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s from null: %v", path, r.header)
		}
	}
	for _, path := range []string{"/oauth2/introspect", "/v1/sms/challenges", "/oauth2/authorize", "/consent", "/logout"} {
		r := b.do(http.MethodOptions, path, "", "Origin", "https://spa.example", "Access-Control-Request-Method", "POST")
		if r.status != http.StatusMethodNotAllowed || r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", path, r.status, r.header)
		}
	}
}
