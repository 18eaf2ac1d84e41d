package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// browser keeps cookies and stops at every redirect.
type browser struct {
	t testing.TB
	w *world
	c *http.Client

	failing bool // answers with 5xx are no surprise
}

func (w *world) browser(t testing.TB) *browser {
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{t: t, w: w, c: &http.Client{Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// reply is an answer read to its end.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   string
	asked  string // method and path
}

func (b *browser) do(method, path, body string, header ...string) reply {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.w.url + path
	}
	r, err := http.NewRequest(method, path, strings.NewReader(body))
	must(b.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := b.c.Do(r)
	must(b.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(b.t, err)
	if res.StatusCode >= 500 && !b.failing {
		b.t.Errorf("%s %s: %d %s", method, r.URL.Path, res.StatusCode, text)
	}
	return reply{b.t, res.StatusCode, res.Header, string(text), method + " " + r.URL.Path}
}

func (b *browser) get(path string, header ...string) reply {
	b.t.Helper()
	return b.do(http.MethodGet, path, "", header...)
}

func (b *browser) post(path string, form url.Values, header ...string) reply {
	b.t.Helper()
	return b.do(http.MethodPost, path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

func (r reply) location() *url.URL {
	r.t.Helper()
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.status != http.StatusSeeOther || r.header.Get("Location") == "" {
		r.t.Fatalf("no redirect but %d: %s", r.status, r.body)
	}
	return u
}

func (r reply) json() map[string]any {
	r.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		r.t.Fatalf("%d, not JSON: %s", r.status, r.body)
	}
	return v
}

func (r reply) text(name string) string {
	r.t.Helper()
	s, _ := r.json()[name].(string)
	return s
}

// wantPage checks that this is one of our pages and no redirect.
func (r reply) wantPage(status int, marker string) {
	r.t.Helper()
	if r.status != status || !strings.Contains(r.body, `id="`+marker+`"`) || r.header.Get("Location") != "" {
		r.t.Fatalf("want page %s with %d, got %d %v %s", marker, status, r.status, r.header.Get("Location"), r.body)
	}
}

// request is an authorize request as a careful client makes it.
type request struct {
	url.Values
	verifier string
}

func ask(clientID, redirect string, extra ...string) request {
	q := request{verifier: rand.Text() + rand.Text()}
	sum := sha256.Sum256([]byte(q.verifier))
	q.Values = url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirect}, "scope": {"openid phone offline_access"},
		"state": {rand.Text()}, "nonce": {rand.Text()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	return q.with(extra...)
}

// with returns a copy with parameters set; an empty value removes one.
func (q request) with(extra ...string) request {
	out := request{verifier: q.verifier, Values: url.Values{}}
	for k, v := range q.Values {
		out.Values[k] = v
	}
	for i := 0; i+1 < len(extra); i += 2 {
		if extra[i+1] == "" {
			out.Del(extra[i])
		} else {
			out.Set(extra[i], extra[i+1])
		}
	}
	return out
}

func webRequest(extra ...string) request { return ask("web", "https://rp.example/cb", extra...) }

func (b *browser) authorize(q request) reply {
	b.t.Helper()
	return b.get("/oauth2/authorize?" + q.Encode())
}

// signIn answers the login pages that a reply redirects to and returns what follows.
func (b *browser) signIn(r reply, number string) reply {
	b.t.Helper()
	to := r.location()
	if to.Path != "/login" {
		b.t.Fatalf("expected the login page, got %s", to)
	}
	flow := to.Query().Get("flow")
	sent := b.post("/login", url.Values{"flow": {flow}, "phone": {number}, "agree": {"1"}}).location().Query()
	return b.post("/login/code", url.Values{"flow": {flow}, "challenge": {sent.Get("challenge")}, "code": {b.w.inbox.code(b.t, number)}})
}

// wantCode checks a success of this request and returns the authorization code.
func (q request) wantCode(r reply) string {
	r.t.Helper()
	to := r.location()
	v := to.Query()
	if !strings.HasPrefix(to.String(), q.Get("redirect_uri")) || v.Get("code") == "" || v.Get("state") != q.Get("state") || v.Get("iss") == "" {
		r.t.Fatalf("no success: %s", to)
	}
	return v.Get("code")
}

// wantError checks that the client is told the code, with its state and our name.
func (q request) wantError(r reply, issuer, code string) {
	r.t.Helper()
	to := r.location()
	v := to.Query()
	if got := to.Scheme + "://" + to.Host + to.Path; got != q.Get("redirect_uri") {
		r.t.Fatalf("went to %s", to)
	}
	if v.Get("error") != code || v.Get("state") != q.Get("state") || v.Has("state") != q.Has("state") || v.Get("iss") != issuer || v.Has("code") {
		r.t.Fatalf("want %s, got %s", code, to)
	}
}

// credentialsOf are the form values and headers with which a client authenticates.
func credentialsOf(clientID string, form url.Values) []string {
	switch clientID {
	case "web2", "app-post":
		form.Set("client_id", clientID)
		form.Set("client_secret", secret)
	case "spa", "native", "app", "phone-app", "phone-app2", "own", "own-native":
		form.Set("client_id", clientID)
	default:
		return []string{"Authorization", basic(clientID, secret)}
	}
	return nil
}

// call posts to an endpoint as an authenticated client.
func (b *browser) call(path, clientID string, form url.Values) reply {
	b.t.Helper()
	return b.post(path, form, credentialsOf(clientID, form)...)
}

func (b *browser) redeem(q request, code string) reply {
	b.t.Helper()
	return b.call("/oauth2/token", q.Get("client_id"), url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {q.Get("redirect_uri")}, "code_verifier": {q.verifier}})
}

// tokens signs a new person in for a request and redeems the code.
func (b *browser) tokens(q request) reply {
	b.t.Helper()
	r := b.redeem(q, q.wantCode(b.signIn(b.authorize(q), newNumber())))
	if r.status != http.StatusOK {
		b.t.Fatalf("tokens: %d %s", r.status, r.body)
	}
	return r
}

func (b *browser) introspect(token string) map[string]any {
	b.t.Helper()
	caller := "resource"
	if isRefreshToken(token) { // of which only its owner learns
		caller = "web"
	}
	return b.call("/oauth2/introspect", caller, url.Values{"token": {token}}).json()
}

func (b *browser) userinfo(token string) reply {
	b.t.Helper()
	return b.get("/oauth2/userinfo", "Authorization", "Bearer "+token)
}

// claims decodes a JWT's payload without verifying it.
func claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("not a JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	var v map[string]any
	must(t, json.Unmarshal(raw, &v))
	return v
}
