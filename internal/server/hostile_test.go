package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Bad input gets a precise 4xx: never a 5xx, never a redirect to where it points.
func TestHostileRequests(t *testing.T) {
	s := start(t, modes[0])
	good := newRequest("web", "https://rp.example/cb").values()
	with := func(kv ...string) string {
		v := cloneValues(good)
		for i := 0; i+1 < len(kv); i += 2 {
			v[kv[i]] = []string{kv[i+1]}
		}
		return "/oauth2/authorize?" + v.Encode()
	}
	long := strings.Repeat("x", 10<<10)
	for name, c := range map[string]struct {
		method, path, contentType, body string
		status                          int
	}{
		"duplicate client_id":           {"GET", with() + "&client_id=web", "", "", 400},
		"duplicate state":               {"GET", with() + "&state=x", "", "", 400},
		"unknown client":                {"GET", with("client_id", "nobody"), "", "", 400},
		"foreign redirect":              {"GET", with("redirect_uri", "https://evil.example/cb"), "", "", 400},
		"redirect with userinfo":        {"GET", with("redirect_uri", "https://rp.example@evil.example/cb"), "", "", 400},
		"redirect with newline":         {"GET", with("redirect_uri", "https://rp.example/cb\n"), "", "", 400},
		"bad escape":                    {"GET", "/oauth2/authorize?client_id=%zz", "", "", 400},
		"NUL":                           {"GET", with("state", "a\x00b"), "", "", 400},
		"bad UTF-8":                     {"GET", "/oauth2/authorize?client_id=%ff%fe", "", "", 400},
		"authorize with DELETE":         {"DELETE", "/oauth2/authorize", "", "", 405},
		"token with GET":                {"GET", "/oauth2/token?grant_type=client_credentials", "", "", 405},
		"token with JSON":               {"POST", "/oauth2/token", "application/json", `{"grant_type":"password"}`, 400},
		"token without a body":          {"POST", "/oauth2/token", "application/x-www-form-urlencoded", "", 401},
		"token with a huge body":        {"POST", "/oauth2/token", "application/x-www-form-urlencoded", "a=" + strings.Repeat("x", 1<<20), 413},
		"token with parameters in URL":  {"POST", "/oauth2/token?client_id=web", "application/x-www-form-urlencoded", "grant_type=client_credentials", 400},
		"token with repeated grant":     {"POST", "/oauth2/token", "application/x-www-form-urlencoded", "grant_type=client_credentials&grant_type=password&client_id=native", 400},
		"challenge that is not JSON":    {"POST", "/v1/sms/challenges", "application/json", "phone=1", 400},
		"challenge with an array":       {"POST", "/v1/sms/challenges", "application/json", `{"client_id":"app","phone":["+8613800138000"]}`, 422},
		"challenge with two phones":     {"POST", "/v1/sms/challenges", "application/json", `{"client_id":"app","phone":"+8613800138000","phone":"+8613800138001"}`, 400},
		"challenge as a form":           {"POST", "/v1/sms/challenges", "application/x-www-form-urlencoded", "client_id=app", 415},
		"challenge of an unknown app":   {"POST", "/v1/sms/challenges", "application/json", `{"client_id":"nobody","phone":"+8613800138000"}`, 401},
		"challenge of a foreign client": {"POST", "/v1/sms/challenges", "application/json", `{"client_id":"third","phone":"+8613800138000"}`, 400},
		"login with a forged flow":      {"POST", "/login", "application/x-www-form-urlencoded", "flow=forged&phone=13800138000", 400},
		"code page of nothing":          {"GET", "/login/code?flow=forged&challenge=x", "", "", 400},
		"consent of nothing":            {"GET", "/consent?flow=forged", "", "", 400},
		"unknown page":                  {"GET", "//evil.example/", "", "", 404},
		"traversal":                     {"GET", "/login/../../admin", "", "", 404},
		"revoke without client":         {"POST", "/oauth2/revoke", "application/x-www-form-urlencoded", "token=x", 401},
		"introspect without client":     {"POST", "/oauth2/introspect", "application/x-www-form-urlencoded", "token=x", 401},
		"userinfo without token":        {"GET", "/oauth2/userinfo", "", "", 401},
		"userinfo with token in query":  {"GET", "/oauth2/userinfo?access_token=x", "", "", 400},
		"huge parameter":                {"GET", with("nonce", long), "", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, s)
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			req, err := http.NewRequest(c.method, s.issuer+c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			if c.contentType != "" {
				req.Header.Set("Content-Type", c.contentType)
			}
			r := a.do(req)
			if r.status != c.status {
				t.Errorf("status %d, want %d: %.200s", r.status, c.status, r.body)
			}
			if to := r.header.Get("Location"); to != "" {
				t.Errorf("redirected to %s", to)
			}
			if r.status == http.StatusUnauthorized && r.header.Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
		})
	}
	if n := s.sink.total(); n != 0 {
		t.Errorf("%d messages went out", n)
	}
}

// Numbers as attackers and careless people write them: refused, or the one number
// that they mean; never two numbers, never a message to another.
func TestHostileNumbers(t *testing.T) {
	s := start(t, modes[0])
	for _, bad := range []string{
		"", " ", "abc", "1", "138001380001", "12345678901", "+86", "+8613800138000,+8613800138001", "13800138000;13800138001",
		"13800138000 13800138001", "13800138000\n13800138001", "13800138000、13800138001", "13800138000|13800138001",
		"13800138000\x00", "138\u200b00138000", "\u202e13800138000", "١٣٨٠٠١٣٨٠٠٠", "0x1E240", "1e10", "+1 202 555 0101",
		"+86 010 8888 8888", "110", "12306", "+86 106 9000 0000", strings.Repeat("1", 5000), "<svg onload=alert(1)>", "13800138000' OR 1=1",
		"{\"$ne\":1}", "%31%33%38", "13800138000 ext 1", "tel:13800138000",
	} {
		a := newAgent(t, s)
		flow := a.authorize(newRequest("web", "https://rp.example/cb")).location(t).Query().Get("flow")
		r := a.post("/login", url.Values{"flow": {flow}, "phone": {bad}})
		if r.status < 400 || r.status >= 500 {
			t.Errorf("%q: %d", bad, r.status)
		}
		if strings.Contains(r.body, "<svg onload") {
			t.Errorf("%q comes back unescaped", bad)
		}
	}
	if n := s.sink.total(); n != 0 {
		t.Fatalf("%d messages went out", n)
	}
	for i, spelling := range []string{"%s", "+86%s", "0086%s", "86%s", "+86 %s", "+86-%s", "  %s  "} {
		national := fmt.Sprintf("1380013%04d", 9000+i)
		a := newAgent(t, s)
		flow := a.authorize(newRequest("web", "https://rp.example/cb")).location(t).Query().Get("flow")
		r := a.post("/login", url.Values{"flow": {flow}, "phone": {fmt.Sprintf(spelling, national)}})
		if r.status != http.StatusSeeOther {
			t.Errorf("%q: %d", spelling, r.status)
			continue
		}
		if s.sink.last(t, "+86"+national) == "" {
			t.Errorf("%q: no message", spelling)
		}
	}
}

// No number, code or token of a whole run is in anything that was logged,
// measured or shown as an error.
func TestNothingLeaks(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		secrets := []string{clientSecret, sinkSecret, masterSecret}
		a, number := newAgent(t, s), newNumber()
		q := newRequest("web", "https://rp.example/cb")
		w := a.begin(q, number)
		bad := w
		bad.code = wrongOf(w.code)
		shown := a.finish(bad).body
		shown += a.post("/login", url.Values{"flow": {w.flow}, "phone": {number}}).body
		code := a.codeOf(q, a.finish(w))
		first := a.redeem(q, code)
		answer := first.json(t)
		shown += a.redeem(q, code).body + a.refresh("web", text(answer, "refresh_token")+"x").body
		shown += a.token("web", url.Values{"grant_type": {"password"}, "username": {number}, "password": {w.code}}).body
		secrets = append(secrets, s.sink.all()...)
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			secrets = append(secrets, text(answer, name))
		}
		secrets = append(secrets, code)

		logged := s.log.String()
		for _, operator := range s.metrics {
			logged += a.get(operator + "/metrics").body
		}
		s.stop()
		logged += s.log.String()
		if !strings.Contains(logged, "dialtone_http_request_duration_seconds") || len(logged) < 1000 {
			t.Fatal("there is nothing to scan")
		}
		for _, secret := range secrets {
			if secret == "" {
				t.Fatal("an empty secret proves nothing")
			}
			if len(secret) == 6 { // six digits may stand in a duration by chance; look for them as a word
				if containsWord(logged, secret) {
					t.Error("a code is in the log")
				}
				continue
			}
			if strings.Contains(logged, secret) {
				t.Errorf("a secret of %d characters is in the log or the metrics", len(secret))
			}
			if secret != number && secret != strings.TrimPrefix(number, "+86") && strings.Contains(shown, secret) {
				t.Errorf("a secret of %d characters is in an error", len(secret))
			}
		}
	})
}

func containsWord(s, word string) bool {
	for {
		i := strings.Index(s, word)
		if i < 0 {
			return false
		}
		before, after := i == 0 || !isWord(s[i-1]), i+len(word) == len(s) || !isWord(s[i+len(word)])
		if before && after {
			return true
		}
		s = s[i+len(word):]
	}
}

func isWord(c byte) bool {
	return c == '.' || c == '-' || c == '_' || c == '+' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
