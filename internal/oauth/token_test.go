package oauth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
)

func TestTokenAnswersAreNotKept(t *testing.T) {
	w := newWorld(t)
	r := w.browser(t).tokens(webRequest())
	for name, want := range map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": "application/json"} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	body := r.json()
	if body["token_type"] != "Bearer" || body["expires_in"] != float64(600) || body["scope"] != "openid phone offline_access" {
		t.Errorf("%v", body)
	}
}

// T-21: one code, however many redeem it at once.
func TestOneCodeIsRedeemedOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b, q := w.browser(t), webRequest()
		code := q.wantCode(b.signIn(b.authorize(q), newNumber()))
		var (
			mu     sync.Mutex
			wait   sync.WaitGroup
			counts = map[string]int{}
			access string
		)
		for range 50 {
			wait.Go(func() {
				r := b.redeem(q, code)
				mu.Lock()
				defer mu.Unlock()
				if r.status == http.StatusOK {
					counts["ok"]++
					access = r.text("access_token")
					return
				}
				counts[r.text("error")]++
			})
		}
		wait.Wait()
		if counts["ok"] != 1 || counts["invalid_grant"] != 49 {
			t.Fatalf("%v", counts)
		}
		if b.introspect(access)["active"] != false {
			t.Error("the tokens of a replayed code still stand")
		}
	})
}

// T-20, T-22, T-29
func TestCodesAreBoundToWhatTheyWereAskedWith(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.tokens(webRequest())
	other := rand43()
	for name, c := range map[string]struct {
		change  func(url.Values)
		client  string
		code    string
		status  int
		usable  bool // by its owner afterwards
		corrupt bool
	}{
		"verifier missing":           {func(f url.Values) { f.Del("code_verifier") }, "web", "invalid_grant", 400, false, false},
		"verifier wrong":             {func(f url.Values) { f.Set("code_verifier", other) }, "web", "invalid_grant", 400, false, false},
		"redirect_uri missing":       {func(f url.Values) { f.Del("redirect_uri") }, "web", "invalid_grant", 400, true, false},
		"redirect_uri of another":    {func(f url.Values) { f.Set("redirect_uri", "https://rp2.example/cb") }, "web", "invalid_grant", 400, true, false},
		"another client":             {func(url.Values) {}, "web2", "invalid_grant", 400, true, false},
		"a public client":            {func(url.Values) {}, "spa", "invalid_grant", 400, true, false},
		"code missing":               {func(f url.Values) { f.Del("code") }, "web", "invalid_request", 400, true, false},
		"last character of the code": {func(f url.Values) { f.Set("code", flipLast(f.Get("code"))) }, "web", "invalid_grant", 400, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			q := webRequest()
			code := q.wantCode(b.authorize(q))
			form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {q.Get("redirect_uri")}, "code_verifier": {q.verifier}}
			c.change(form)
			if r := b.call("/oauth2/token", c.client, form); r.status != c.status || r.text("error") != c.code {
				t.Fatalf("%d %s, want %s", r.status, r.body, c.code)
			}
			if r := b.redeem(q, code); (r.status == http.StatusOK) != c.usable {
				t.Errorf("afterwards: %d %s", r.status, r.body)
			}
		})
	}
}

func rand43() string { return webRequest().Get("code_challenge") }

func flipLast(s string) string {
	last := byte('A')
	if s[len(s)-1] == last {
		last = 'B'
	}
	return s[:len(s)-1] + string(last)
}

// T-28
func TestMalformedTokenRequests(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	const form = "application/x-www-form-urlencoded"
	good := basic("machine", secret)
	for name, c := range map[string]struct {
		method, path, contentType, body, auth string
		status                                int
		code                                  string
	}{
		"password grant":             {"POST", "", form, "grant_type=password&username=a&password=b", good, 400, "unsupported_grant_type"},
		"implicit":                   {"POST", "", form, "grant_type=implicit", good, 400, "unsupported_grant_type"},
		"unknown grant":              {"POST", "", form, "grant_type=x", good, 400, "unsupported_grant_type"},
		"no grant":                   {"POST", "", form, "scope=read", good, 400, "invalid_request"},
		"grant without a value":      {"POST", "", form, "grant_type=", good, 400, "invalid_request"},
		"grant twice":                {"POST", "", form, "grant_type=client_credentials&grant_type=client_credentials", good, 400, "invalid_request"},
		"grant of others":            {"POST", "", form, "grant_type=authorization_code&code=x", good, 400, "unauthorized_client"},
		"scope of others":            {"POST", "", form, "grant_type=client_credentials&scope=admin", good, 400, "invalid_scope"},
		"GET":                        {"GET", "?grant_type=client_credentials", "", "", good, 405, "invalid_request"},
		"PUT":                        {"PUT", "", form, "grant_type=client_credentials", good, 405, "invalid_request"},
		"JSON":                       {"POST", "", "application/json", `{"grant_type":"client_credentials"}`, good, 400, "invalid_request"},
		"no content type":            {"POST", "", "", "grant_type=client_credentials", good, 400, "invalid_request"},
		"parameters in the URL":      {"POST", "?grant_type=client_credentials", form, "", good, 400, "invalid_request"},
		"credentials in the URL":     {"POST", "?client_id=machine&client_secret=x", form, "grant_type=client_credentials", "", 400, "invalid_request"},
		"huge":                       {"POST", "", form, "x=" + string(make([]byte, 1<<20)), good, 413, "invalid_request"},
		"bad escape":                 {"POST", "", form, "grant_type=%zz", good, 400, "invalid_request"},
		"header and body":            {"POST", "", form, "grant_type=client_credentials&client_id=machine&client_secret=" + url.QueryEscape(secret), good, 400, "invalid_request"},
		"another client in the body": {"POST", "", form, "grant_type=client_credentials&client_id=web", good, 400, "invalid_request"},
		"nobody":                     {"POST", "", form, "grant_type=client_credentials", "", 401, "invalid_client"},
		"wrong secret":               {"POST", "", form, "grant_type=client_credentials", basic("machine", "x"), 401, "invalid_client"},
		"empty secret":               {"POST", "", form, "grant_type=client_credentials", basic("machine", ""), 401, "invalid_client"},
		"unknown client":             {"POST", "", form, "grant_type=client_credentials", basic("nobody", secret), 401, "invalid_client"},
		"without its secret":         {"POST", "", form, "grant_type=client_credentials&client_id=machine", "", 401, "invalid_client"},
		"by the other method":        {"POST", "", form, "grant_type=client_credentials&client_id=machine&client_secret=" + url.QueryEscape(secret), "", 401, "invalid_client"},
		"post client with Basic":     {"POST", "", form, "grant_type=refresh_token&refresh_token=x", basic("web2", secret), 401, "invalid_client"},
		"public client with secret":  {"POST", "", form, "grant_type=refresh_token&refresh_token=x&client_id=spa&client_secret=x", "", 401, "invalid_client"},
		"bearer":                     {"POST", "", form, "grant_type=client_credentials", "Bearer x", 401, "invalid_client"},
		"refresh token of nobody":    {"POST", "", form, "grant_type=refresh_token&refresh_token=rt.x.1.y&client_id=spa", "", 400, "invalid_grant"},
		"resource of others":         {"POST", "", form, "grant_type=client_credentials&resource=https://api.example", basic("machine", secret), 400, "invalid_target"},
		"refresh token missing":      {"POST", "", form, "grant_type=refresh_token&client_id=spa", "", 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			if c.contentType != "" {
				header = append(header, "Content-Type", c.contentType)
			}
			if c.auth != "" {
				header = append(header, "Authorization", c.auth)
			}
			r := b.do(c.method, "/oauth2/token"+c.path, c.body, header...)
			if r.status != c.status || r.text("error") != c.code {
				t.Fatalf("%d %s, want %d %s", r.status, r.body, c.status, c.code)
			}
			if (r.header.Get("WWW-Authenticate") != "") != (c.status == 401) {
				t.Errorf("WWW-Authenticate %q", r.header.Get("WWW-Authenticate"))
			}
			if (r.header.Get("Allow") == "POST") != (c.status == 405) {
				t.Errorf("Allow %q", r.header.Get("Allow"))
			}
			if r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control %q", r.header.Get("Cache-Control"))
			}
		})
	}
}

// Nobody learns which clients exist.
func TestUnknownClientAndWrongSecretAreAlike(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	try := func(id string) reply {
		return b.post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic(id, "x"))
	}
	wrong, unknown := try("machine"), try("nobody")
	wrong.header.Del("Date")
	unknown.header.Del("Date")
	if wrong.status != unknown.status || wrong.body != unknown.body {
		t.Fatalf("%d %s and %d %s", wrong.status, wrong.body, unknown.status, unknown.body)
	}
	for name := range wrong.header {
		if wrong.header.Get(name) != unknown.header.Get(name) {
			t.Errorf("%s: %q and %q", name, wrong.header.Get(name), unknown.header.Get(name))
		}
	}
}

// Design section 9: 20 failures a minute for a client and an address.
func TestGuessingClientSecretsIsThrottled(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	now := time.Now() // stands still: twenty failures are within one minute
	w.server.guesses.now = func() time.Time { return now }
	try := func(clientID, with, address string) reply {
		return b.post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic(clientID, with), "Test-Address", address)
	}
	const weak = "short-secret"
	_, err := w.clients.Create(t.Context(), client.Client{ID: "weak", TokenEndpointAuthMethod: client.AuthClientSecretBasic,
		GrantTypes: []string{client.GrantClientCredentials}, Scope: "read"}, weak, client.SourceOperator)
	must(t, err)
	for _, id := range []string{"machine", "weak"} {
		for i := range maxFailures {
			if r := try(id, "wrong", "198.51.100.1"); r.status != http.StatusUnauthorized {
				t.Fatalf("%s: failure %d: %d", id, i, r.status)
			}
		}
		r := try(id, "wrong", "198.51.100.1")
		if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" || r.text("error") != "temporarily_unavailable" {
			t.Fatalf("%s: after %d failures: %d %s", id, maxFailures, r.status, r.body)
		}
	}
	// Nobody guesses a long secret, so its owner is not locked out; a short one might have been guessed.
	if r := try("machine", secret, "198.51.100.1"); r.status != http.StatusOK {
		t.Errorf("the right strong secret after %d failures: %d", maxFailures, r.status)
	}
	if r := try("weak", weak, "198.51.100.1"); r.status != http.StatusTooManyRequests {
		t.Errorf("the right weak secret after %d failures: %d", maxFailures, r.status)
	}
	if r := try("weak", weak, "198.51.100.2"); r.status != http.StatusOK {
		t.Errorf("from elsewhere: %d", r.status)
	}
	if r := try("resource", secret, "198.51.100.1"); r.status != http.StatusOK {
		t.Errorf("another client: %d", r.status)
	}
	for i := range maxFailures {
		try("machine", "wrong", "2001:db8:1:2::"+string(rune('1'+i%9)))
	}
	if r := try("machine", "wrong", "2001:db8:1:2:3:4:5:6"); r.status != http.StatusTooManyRequests {
		t.Errorf("the same network: %d", r.status)
	}
	if r := try("machine", "wrong", "2001:db8:1:3::1"); r.status != http.StatusUnauthorized {
		t.Errorf("another network: %d", r.status)
	}
	now = now.Add(failureWindow)
	if r := try("weak", weak, "198.51.100.1"); r.status != http.StatusOK {
		t.Errorf("a minute later: %d", r.status)
	}
}

// However many come at once: as many guesses are compared as failures are allowed. Those
// who know the secret are not counted, however many they are.
func TestABurstOfGuessesIsCountedBeforeItIsCompared(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	now := time.Now()
	w.server.guesses.now = func() time.Time { return now }
	const weak = "short-secret"
	_, err := w.clients.Create(t.Context(), client.Client{ID: "weak", TokenEndpointAuthMethod: client.AuthClientSecretBasic,
		GrantTypes: []string{client.GrantClientCredentials}, Scope: "read"}, weak, client.SourceOperator)
	must(t, err)
	burst := func(n int, with, address string) map[int]int {
		var mu sync.Mutex
		got := map[int]int{}
		var wait sync.WaitGroup
		for range n {
			wait.Go(func() {
				r := b.post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic("weak", with), "Test-Address", address)
				mu.Lock()
				defer mu.Unlock()
				got[r.status]++
			})
		}
		wait.Wait()
		return got
	}
	if got := burst(100, weak, "198.51.100.2"); got[http.StatusOK] != 100 {
		t.Errorf("the right secret: %v", got)
	}
	if got := burst(300, "wrong", "198.51.100.1"); got[http.StatusUnauthorized] != maxFailures || got[http.StatusTooManyRequests] != 300-maxFailures {
		t.Errorf("guesses: %v", got)
	}
}

func TestEveryAuthenticationMethodWorks(t *testing.T) {
	w := newWorld(t)
	for _, q := range []request{webRequest(), ask("web2", "https://rp2.example/cb"), ask("spa", "https://spa.example/cb")} {
		w.browser(t).tokens(q)
	}
}

// C-50, T-32
func TestNothingIsIssuedOnceTheGroundIsGone(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for name, take := range map[string]func(sub string) error{
			"person disabled": func(sub string) error { return w.users.Disable(ctx, sub) },
			"consent revoked": func(sub string) error {
				_, err := w.grants.RevokeUserClient(ctx, sub, "web")
				return err
			},
			"client disabled": func(string) error {
				c, err := w.clients.Read(ctx, "web")
				c.Disabled = true
				return orUpdate(w, c, err)
			},
			"client deleted": func(string) error { return w.clients.Delete(ctx, "web") },
		} {
			b := w.browser(t)
			r := b.tokens(webRequest())
			sub, _ := claims(t, r.text("id_token"))["sub"].(string)
			must(t, take(sub))
			w.clients.Forget()
			if b.introspect(r.text("access_token"))["active"] != false || b.introspect(r.text("refresh_token"))["active"] == true {
				t.Errorf("%s: a token is active", name)
			}
			if r := b.userinfo(r.text("access_token")); r.status != http.StatusUnauthorized {
				t.Errorf("%s: userinfo says %d", name, r.status)
			}
			if again := b.call("/oauth2/token", "web", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}}); again.status == http.StatusOK {
				t.Errorf("%s: refreshed", name)
			}
			if c, err := w.clients.Read(ctx, "web"); err != nil || c.Disabled {
				if err == nil {
					must(t, w.clients.Delete(ctx, "web"))
				}
				_, err := w.clients.Create(ctx, testClients()[0], secret, client.SourceOperator)
				must(t, err)
				w.clients.Forget()
			}
		}
	})
}

func TestTokenResponseGolden(t *testing.T) {
	w := newWorld(t)
	wantGolden(t, "token.json", shape(t, w.browser(t).tokens(webRequest()).body))
	r := w.browser(t).call("/oauth2/token", "machine", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}})
	wantGolden(t, "token_client_credentials.json", shape(t, r.body))
	r = w.browser(t).call("/oauth2/token", "machine", url.Values{"grant_type": {"x"}})
	wantGolden(t, "token_error.json", shape(t, r.body))
}

// shape is a JSON object with the values replaced that differ from run to run.
func shape(t testing.TB, body string) string {
	t.Helper()
	var v map[string]any
	must(t, json.Unmarshal([]byte(body), &v))
	for name, value := range v {
		switch name {
		case "access_token", "refresh_token", "id_token", "sub", "jti", "sid", "iss", "challenge_id", "phone_number", "masked_phone":
			v[name] = "…"
		case "exp", "iat", "auth_time", "updated_at":
			if n, ok := value.(float64); !ok || n != float64(int64(n)) {
				t.Errorf("%s is %v", name, value)
			}
			v[name] = 0
		case "aud":
			v[name] = []string{"…"}
		}
	}
	out, err := json.MarshalIndent(v, "", "  ")
	must(t, err)
	return string(out) + "\n"
}
