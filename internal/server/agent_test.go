package server_test

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

// agent is a browser without JavaScript: it keeps cookies, sends what a browser
// sends, and stops at every redirect so that a test sees it.
type agent struct {
	t      *testing.T
	s      *stack
	client *http.Client
}

func newAgent(t *testing.T, s *stack) *agent {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &agent{t: t, s: s, client: &http.Client{Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) location(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.header.Get("Location") == "" {
		t.Fatalf("no redirect but %d: %s", r.status, r.body)
	}
	return u
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("not JSON (%d): %s", r.status, r.body)
	}
	return v
}

func (a *agent) do(req *http.Request) reply {
	a.t.Helper()
	res, err := a.client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if res.StatusCode >= 500 {
		a.t.Errorf("%s %s: %d %s", req.Method, req.URL.Path, res.StatusCode, body)
	}
	return reply{res.StatusCode, res.Header, string(body)}
}

func (a *agent) get(path string) reply {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodGet, a.absolute(path), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.do(req)
}

// post sends a form as one of our own pages would.
func (a *agent) post(path string, form url.Values, header ...string) reply {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodPost, a.absolute(path), strings.NewReader(form.Encode()))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return a.do(req)
}

func (a *agent) absolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return a.s.issuer + path
	}
	return path
}

// request is an authorize request with everything a careful client sends.
type request struct {
	client, redirect, scope, state, nonce, verifier string
	extra                                           url.Values
}

func newRequest(client, redirect string) request {
	return request{client: client, redirect: redirect, scope: "openid phone offline_access",
		state: rand.Text(), nonce: rand.Text(), verifier: rand.Text() + rand.Text()}
}

func (q request) values() url.Values {
	sum := sha256.Sum256([]byte(q.verifier))
	v := url.Values{
		"response_type": {"code"}, "client_id": {q.client}, "redirect_uri": {q.redirect}, "scope": {q.scope},
		"state": {q.state}, "nonce": {q.nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for k, vs := range q.extra {
		if vs == nil {
			v.Del(k)
		} else {
			v[k] = vs
		}
	}
	return v
}

func (a *agent) authorize(q request) reply { return a.get("/oauth2/authorize?" + q.values().Encode()) }

// waiting is a sign-in whose code was sent.
type waiting struct{ flow, challenge, number, code string }

// begin walks from the authorize request to the code page.
func (a *agent) begin(q request, number string) waiting {
	a.t.Helper()
	to := a.authorize(q).location(a.t)
	if to.Path != "/login" {
		a.t.Fatalf("expected the number page, got %s", to)
	}
	if page := a.get(to.String()); page.status != http.StatusOK || !strings.Contains(page.body, `id="page-login"`) {
		a.t.Fatalf("number page: %d %s", page.status, page.body)
	}
	flow := to.Query().Get("flow")
	form := url.Values{"flow": {flow}, "phone": {number}}
	if q.client == "third" {
		form.Set("agree", "1")
	}
	to = a.post("/login", form).location(a.t)
	if page := a.get(to.String()); page.status != http.StatusOK || !strings.Contains(page.body, `id="page-code"`) {
		a.t.Fatalf("code page: %d %s", page.status, page.body)
	}
	return waiting{flow: flow, challenge: to.Query().Get("challenge"), number: number, code: a.s.sink.last(a.t, number)}
}

// finish types the code.
func (a *agent) finish(w waiting) reply {
	a.t.Helper()
	return a.post("/login/code", url.Values{"flow": {w.flow}, "challenge": {w.challenge}, "code": {w.code}})
}

// signIn is begin and finish; it returns the authorization code after checking
// state and iss.
func (a *agent) signIn(q request, number string) string {
	a.t.Helper()
	return a.codeOf(q, a.finish(a.begin(q, number)))
}

func (a *agent) codeOf(q request, r reply) string {
	a.t.Helper()
	to := r.location(a.t)
	v := to.Query()
	if got := to.Scheme + "://" + to.Host + to.Path; got != q.redirect || v.Get("state") != q.state || v.Get("iss") != a.s.issuer || v.Get("code") == "" {
		a.t.Fatalf("not a success of this request: %s", to)
	}
	return v.Get("code")
}

// redeem exchanges a code as the client that asked.
func (a *agent) redeem(q request, code string) reply {
	a.t.Helper()
	return a.token(q.client, url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {q.redirect}, "code_verifier": {q.verifier}})
}

// token authenticates the client the way it is registered.
func (a *agent) token(client string, form url.Values) reply {
	a.t.Helper()
	form = cloneValues(form)
	switch client {
	case "web", "legacy", "machine":
		return a.post("/oauth2/token", form, "Authorization", basicAuth(client))
	case "web2":
		form.Set("client_secret", clientSecret)
	}
	form.Set("client_id", client)
	return a.post("/oauth2/token", form)
}

func (a *agent) refresh(client, token string) reply {
	a.t.Helper()
	return a.token(client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (a *agent) introspect(token string) map[string]any {
	a.t.Helper()
	return a.post("/oauth2/introspect", url.Values{"token": {token}}, "Authorization", basicAuth("machine")).json(a.t)
}

func (a *agent) userinfo(token string) reply {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodGet, a.s.issuer+"/oauth2/userinfo", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return a.do(req)
}

func basicAuth(client string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(client+":"+clientSecret))
}

func cloneValues(v url.Values) url.Values {
	c := url.Values{}
	for k, vs := range v {
		c[k] = append([]string(nil), vs...)
	}
	return c
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}
