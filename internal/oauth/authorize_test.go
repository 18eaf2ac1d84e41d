package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// T-15: whatever is repeated, nobody is redirected anywhere.
func TestRepeatedParametersGetAPage(t *testing.T) {
	w := newWorld(t)
	b, q := w.browser(t), webRequest("prompt", "login")
	for name := range q.Values {
		for _, again := range []string{q.Get(name), "another", ""} {
			r := b.get("/oauth2/authorize?" + q.Encode() + "&" + url.Values{name: {again}}.Encode())
			r.wantPage(http.StatusBadRequest, "page-error")
			if !strings.Contains(r.body, "invalid_request") {
				t.Errorf("%s: %s", name, r.body)
			}
		}
	}
}

// T-16: only the registered string is ever redirected to.
func TestUnregisteredRedirectURIsGetAPage(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for _, uri := range []string{
		"https://rp.example/CB", "https://RP.example/cb", "https://rp.example/cb/", "https://rp.example/cb/..", "https://rp.example/..;/cb",
		"https://rp.example/%2e%2e/cb", "https://rp.example/cb?x=1", "https://rp.example/cb?", "https://rp.example/cb#", "https://rp.example/cb#x",
		"https://rp.example@evil.example/cb", `https://rp.example\@evil.example/cb`, "//evil.example/cb", "/cb", "cb",
		"https://rp.example.evil/cb", "https://rp.example:443/cb", "https://rр.example/cb", "https://rp.example/cb\t", "https://rp.example/cb\n",
		" https://rp.example/cb", "http://rp.example/cb", "https://user@rp.example/cb", "https://rp.example/%63b", "javascript:alert(1)",
		"https://rp2.example/cb",
	} {
		b.authorize(webRequest("redirect_uri", uri)).wantPage(http.StatusBadRequest, "page-error")
		// The URI is looked at before anything else that is wrong.
		b.authorize(webRequest("redirect_uri", uri, "response_type", "token", "prompt", "none")).wantPage(http.StatusBadRequest, "page-error")
	}
}

// T-17: a native app picks its port, nothing else.
func TestNativeLoopbackMayChangeThePortAlone(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for uri, ok := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://127.0.0.1:4711/cb": true, "http://127.0.0.1:65535/cb": true,
		"http://localhost:4711/cb": false, "http://127.0.0.2:4711/cb": false, "http://[::1]:4711/cb": false, "https://127.0.0.1:4711/cb": false,
		"http://user@127.0.0.1:4711/cb": false, "http://127.0.0.1:4711/%63b": false, "http://127.0.0.1:4711/other": false,
		"http://127.0.0.1:0/cb": false, "http://127.0.0.1:65536/cb": false, "http://127.0.0.1:/cb": false, "http://127.0.0.1:4711@evil.example/cb": false,
	} {
		q := ask("native", uri, "prompt", "none")
		if r := b.authorize(q); ok {
			q.wantError(r, w.url, "login_required")
		} else {
			r.wantPage(http.StatusBadRequest, "page-error")
		}
	}
}

func TestUnknownClientsGetAPage(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for _, id := range []string{"", "nobody", "WEB", "web ", strings.Repeat("x", 1000), "<svg onload=alert(1)>"} {
		r := b.authorize(webRequest("client_id", id))
		r.wantPage(http.StatusBadRequest, "page-error")
		if strings.Contains(r.body, "<svg onload") {
			t.Error("the page repeats what it was sent")
		}
	}
}

func TestOmittedRedirectURIStandsForTheOnlyOneOutsideOpenID(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	none := func(q request) request { return q.with("redirect_uri", "", "prompt", "none") }
	b.authorize(none(webRequest())).wantPage(http.StatusBadRequest, "page-error")
	b.authorize(none(ask("several", "https://several.example/a", "scope", "profile"))).wantPage(http.StatusBadRequest, "page-error")
	q := webRequest("scope", "profile", "prompt", "none")
	q.wantError(b.authorize(none(q)), w.url, "login_required")
}

// What is wrong with the rest goes back to the client, by the code that its
// specification names.
func TestRefusalsReachTheClient(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	long := strings.Repeat("x", maxState+1)
	for name, c := range map[string]struct {
		q    request
		code string
	}{
		"response_type missing":          {webRequest("response_type", ""), "invalid_request"},
		"response_type token":            {webRequest("response_type", "token"), "unsupported_response_type"},
		"response_type id_token":         {webRequest("response_type", "id_token"), "unsupported_response_type"},
		"response_type id_token token":   {webRequest("response_type", "id_token token"), "unsupported_response_type"},
		"response_type code token":       {webRequest("response_type", "code token"), "unsupported_response_type"},
		"response_type code id_token":    {webRequest("response_type", "code id_token"), "unsupported_response_type"},
		"response_type CODE":             {webRequest("response_type", "CODE"), "unsupported_response_type"},
		"response_type code code":        {webRequest("response_type", "code code"), "unsupported_response_type"},
		"response_mode unknown":          {webRequest("response_mode", "jwt"), "invalid_request"},
		"response_mode not registered":   {ask("several", "https://several.example/a", "response_mode", "form_post"), "invalid_request"},
		"scope missing":                  {webRequest("scope", ""), "invalid_scope"},
		"scope blank":                    {webRequest("scope", "  "), "invalid_scope"},
		"scope of others":                {webRequest("scope", "openid admin"), "invalid_scope"},
		"scope in capitals":              {webRequest("scope", "OPENID"), "invalid_scope"},
		"scope malformed":                {webRequest("scope", `openid "phone"`), "invalid_scope"},
		"PKCE missing":                   {webRequest("code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"PKCE plain":                     {webRequest("code_challenge_method", "plain"), "invalid_request"},
		"PKCE without method":            {webRequest("code_challenge_method", ""), "invalid_request"},
		"PKCE without challenge":         {webRequest("code_challenge", ""), "invalid_request"},
		"PKCE s256":                      {webRequest("code_challenge_method", "s256"), "invalid_request"},
		"PKCE of 42 characters":          {webRequest("code_challenge", strings.Repeat("A", 42)), "invalid_request"},
		"PKCE of 44 characters":          {webRequest("code_challenge", strings.Repeat("A", 44)), "invalid_request"},
		"PKCE with padding":              {webRequest("code_challenge", strings.Repeat("A", 42)+"="), "invalid_request"},
		"PKCE plain where it is not due": {ask("query", "https://query.example/cb?dummy1=lorem&dummy2=ipsum", "scope", "openid", "code_challenge_method", "plain"), "invalid_request"},
		"prompt unknown":                 {webRequest("prompt", "hello"), "invalid_request"},
		"prompt none and login":          {webRequest("prompt", "none login"), "invalid_request"},
		"max_age negative":               {webRequest("max_age", "-1"), "invalid_request"},
		"max_age signed":                 {webRequest("max_age", "+1"), "invalid_request"},
		"max_age a word":                 {webRequest("max_age", "x"), "invalid_request"},
		"max_age a fraction":             {webRequest("max_age", "1.5"), "invalid_request"},
		"max_age endless":                {webRequest("max_age", "99999999999999999999"), "invalid_request"},
		"id_token_hint garbage":          {webRequest("id_token_hint", "x.y.z"), "invalid_request"},
		"resource of others":             {webRequest("resource", "https://api.example"), "invalid_target"},
		"resource almost ours":           {webRequest("resource", w.url+"/"), "invalid_target"},
		"request object":                 {webRequest("request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"},
		"request_uri":                    {webRequest("request_uri", "http://127.0.0.1:1/"), "request_uri_not_supported"},
		"registration":                   {webRequest("registration", "{}"), "registration_not_supported"},
		"request alone":                  {webRequest("request", "x", "response_type", "", "scope", ""), "request_not_supported"},
		"state too long":                 {webRequest("state", long), "invalid_request"},
		"nonce too long":                 {webRequest("nonce", long), "invalid_request"},
		"nonce with a line break":        {webRequest("nonce", "a\r\nb"), "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.authorize(c.q)
			to := r.location()
			want := c.q.Get("redirect_uri")
			if !strings.HasPrefix(to.String(), want) || to.Query().Get("error") != c.code || to.Query().Get("state") != c.q.Get("state") || to.Query().Get("iss") != w.url {
				t.Fatalf("want %s, got %s", c.code, to)
			}
			if d := to.Query().Get("error_description"); d == "" || strings.ContainsAny(d, "\"\\") {
				t.Errorf("description %q", d)
			}
		})
	}
	if w.inbox.sent.Load() != 0 {
		t.Error("a message was sent")
	}
}

// T-124
func TestStateComesBackAsItWasOrNotAtAll(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for _, state := range []string{"x", `"><script>alert(1)</script>`, "a&code=evil", "a#b", "ü 验证码", strings.Repeat("s", 128), strings.Repeat("s", maxState)} {
		q := webRequest("state", state, "prompt", "none")
		q.wantError(b.authorize(q), w.url, "login_required")
	}
	q := webRequest("state", "", "prompt", "none")
	q.wantError(b.authorize(q), w.url, "login_required")
	to := b.authorize(webRequest("state", "a\r\nSet-Cookie: x=y")).location()
	if to.Query().Get("error") != "invalid_request" || to.Query().Has("state") {
		t.Fatalf("went to %s", to)
	}
}

func TestMalformedRequestsGetAPage(t *testing.T) {
	w := newWorld(t)
	b, q := w.browser(t), webRequest()
	for name, path := range map[string]string{
		"bad escape":   "?" + q.Encode() + "&x=%zz",
		"bad UTF-8":    "?" + q.Encode() + "&x=%ff",
		"NUL":          "?" + q.Encode() + "&x=%00",
		"10 KB":        "?" + q.Encode() + "&x=" + strings.Repeat("x", 10<<10),
		"hundreds":     "?" + q.Encode() + strings.Repeat("&x", 200),
		"nothing":      "",
		"wrong prefix": "?" + strings.ReplaceAll(q.Encode(), "client_id", "clientid"),
	} {
		r := b.get("/oauth2/authorize" + path)
		if r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
			t.Errorf("%s: %d %s", name, r.status, r.header.Get("Location"))
		}
	}
	r := b.do(http.MethodPut, "/oauth2/authorize?"+q.Encode(), "")
	if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "GET, POST" {
		t.Errorf("PUT: %d, Allow %q", r.status, r.header.Get("Allow"))
	}
}

func TestUnknownParametersAndOddHintsAreIgnored(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	q := webRequest("foo", "bar", "display", "popup", "ui_locales", "se xx-- zh-CN", "claims_locales", "se", "acr_values", "1 2",
		"login_hint", "someone@example.com", "claims", "{\n}", "resource", w.url)
	q.wantCode(b.signIn(b.authorize(q), newNumber()))
}

func TestResponseModes(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.tokens(webRequest()) // signs in

	q := webRequest("response_mode", "query")
	q.wantCode(b.authorize(q))

	q = webRequest("response_mode", "fragment")
	r := b.authorize(q)
	to := r.location()
	v, err := url.ParseQuery(to.Fragment)
	if err != nil || to.RawQuery != "" || v.Get("code") == "" || v.Get("state") != q.Get("state") || v.Get("iss") != w.url {
		t.Fatalf("fragment: %s", to)
	}
	q = webRequest("response_mode", "fragment", "scope", "nope")
	if to := b.authorize(q).location(); !strings.HasPrefix(to.Fragment, "error=invalid_scope&") || to.RawQuery != "" {
		t.Fatalf("fragment: %s", to)
	}

	q = webRequest("response_mode", "form_post")
	r = b.authorize(q)
	r.wantPage(http.StatusOK, "page-form-post")
	for _, want := range []string{
		`action="https://rp.example/cb"`, `name="code" value="`, `name="state" value="` + q.Get("state") + `"`, `name="iss" value="` + w.url + `"`,
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("form_post page lacks %s", want)
		}
	}
	if r.header.Get("Cache-Control") != "no-store" || !strings.Contains(r.header.Get("Content-Security-Policy"), "form-action") {
		t.Errorf("form_post headers: %v", r.header)
	}
	r = b.authorize(webRequest("response_mode", "form_post", "state", `"><script>`, "max_age", "x"))
	r.wantPage(http.StatusOK, "page-form-post")
	if strings.Contains(r.body, `"><script>`) || !strings.Contains(r.body, `name="error" value="invalid_request"`) {
		t.Error("form_post error page")
	}
}

func TestRegisteredQueryIsKept(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	q := ask("query", "https://query.example/cb?dummy1=lorem&dummy2=ipsum", "scope", "openid read", "code_challenge", "", "code_challenge_method", "")
	code := q.wantCode(b.signIn(b.authorize(q), newNumber()))
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {q.Get("redirect_uri")}}
	if r := b.call("/oauth2/token", "query", form); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
}

func TestAnswersAreNotKeptAndTellNobody(t *testing.T) {
	w := newWorld(t)
	r := w.browser(t).authorize(webRequest("prompt", "none"))
	if r.header.Get("Cache-Control") != "no-store" || r.header.Get("Referrer-Policy") != "no-referrer" || r.body != "" {
		t.Errorf("%v %s", r.header, r.body)
	}
}

// A POST from another site comes without the session cookie, yet is decided with it.
func TestPostedRequestsAreDecidedWithTheSession(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	post := func(q request) reply { return b.post("/oauth2/authorize", q.Values, "Origin", "https://rp.example") }

	q := webRequest()
	to := post(q).location()
	if to.Path != "/oauth2/authorize/resume" {
		t.Fatalf("went to %s", to)
	}
	resumed := b.get(to.String())
	q.wantCode(b.signIn(resumed, newNumber()))
	b.get(to.String()).wantPage(http.StatusGone, "page-error") // once

	q = webRequest("prompt", "none")
	q.wantCode(b.get(post(q).location().String()))
	q = webRequest("prompt", "login")
	if next := b.get(post(q).location().String()).location(); next.Path != "/login" {
		t.Fatalf("prompt=login led to %s", next)
	}
	stranger := w.browser(t)
	q = webRequest()
	stranger.get(post(q).location().String()).wantPage(http.StatusBadRequest, "page-error")

	q = webRequest("scope", "nope")
	q.wantError(post(q), w.url, "invalid_scope")
	b.post("/oauth2/authorize?x=1", webRequest().Values).wantPage(http.StatusBadRequest, "page-error")
	b.do(http.MethodPost, "/oauth2/authorize", "{}", "Content-Type", "application/json").wantPage(http.StatusBadRequest, "page-error")
	b.do(http.MethodPost, "/oauth2/authorize", webRequest().Encode()+"&state=again", "Content-Type", "application/x-www-form-urlencoded").
		wantPage(http.StatusBadRequest, "page-error")
	b.do(http.MethodPost, "/oauth2/authorize", strings.Repeat("x", 10<<10), "Content-Type", "application/x-www-form-urlencoded").
		wantPage(http.StatusRequestEntityTooLarge, "page-error")
}

// T-26: what waits for one browser is nothing to another.
func TestFlowsBelongToTheirBrowser(t *testing.T) {
	w := newWorld(t)
	b, other := w.browser(t), w.browser(t)
	login := b.authorize(ask("third", "https://third.example/cb"))
	other.get(login.location().String()).wantPage(http.StatusBadRequest, "page-error")
	consent := b.signIn(login, newNumber()).location()
	if consent.Path != "/consent" {
		t.Fatalf("went to %s", consent)
	}
	other.get(consent.String()).wantPage(http.StatusBadRequest, "page-error")
}

func TestClientThatChangedMeanwhileGetsNoCode(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for name, c := range map[string]struct {
		change func() error
		page   bool
		code   string
	}{
		"scope taken away": {func() error {
			c, err := w.clients.Read(ctx, "web")
			c.Scope = "openid"
			return orUpdate(w, c, err)
		}, false, "invalid_scope"},
		"redirect URI taken away": {func() error {
			c, err := w.clients.Read(ctx, "web2")
			c.RedirectURIs = []string{"https://moved.example/cb"}
			return orUpdate(w, c, err)
		}, true, ""},
		"deleted": {func() error { return w.clients.Delete(ctx, "third") }, true, ""},
		"disabled": {func() error {
			c, err := w.clients.Read(ctx, "spa")
			c.Disabled = true
			return orUpdate(w, c, err)
		}, true, ""},
	} {
		q := map[string]request{
			"scope taken away": webRequest(), "redirect URI taken away": ask("web2", "https://rp2.example/cb"),
			"deleted": ask("third", "https://third.example/cb"), "disabled": ask("spa", "https://spa.example/cb"),
		}[name]
		b := w.browser(t)
		login := b.authorize(q)
		must(t, c.change())
		w.clients.Forget()
		r := b.signIn(login, newNumber())
		if c.page {
			r.wantPage(http.StatusBadRequest, "page-error")
		} else {
			q.wantError(r, w.url, c.code)
		}
	}
}
