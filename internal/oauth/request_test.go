package oauth

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
)

func TestParametersAreParsedStrictly(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		want map[string]string // nil means refused
	}{
		"nothing":                 {"", map[string]string{}},
		"plain":                   {"a=1&b=2", map[string]string{"a": "1", "b": "2"}},
		"plus and escapes":        {"a=x+y%2Bz%26", map[string]string{"a": "x y+z&"}},
		"empty means absent":      {"a=&b", map[string]string{"a": "", "b": ""}},
		"stray ampersands":        {"&&a=1&", map[string]string{"a": "1"}},
		"semicolons are data":     {"a=1;b=2", map[string]string{"a": "1;b=2"}},
		"equals sign in a value":  {"a=b=c", map[string]string{"a": "b=c"}},
		"same value twice":        {"a=1&a=1", nil},
		"another value":           {"a=1&a=2", nil},
		"once without a value":    {"a=&a=1", nil},
		"escaped to the same":     {"a=1&%61=2", nil},
		"bad escape":              {"a=%zz", nil},
		"cut escape":              {"a=%4", nil},
		"bad escape in a name":    {"%g=1", nil},
		"bad UTF-8":               {"a=%ff", nil},
		"NUL":                     {"a=x%00y", nil},
		"more than a hundred":     {strings.Repeat("x&", 1) + manyParams(maxParams), nil},
		"exactly a hundred":       {manyParams(maxParams), mapOf(maxParams)},
		"brackets are just names": {"a[]=1&a[]x=2", map[string]string{"a[]": "1", "a[]x": "2"}},
	} {
		p, err := parseParams(c.raw)
		if c.want == nil {
			if f := fault.From(err); err == nil || f.Code != "invalid_request" || f.Status != http.StatusBadRequest {
				t.Errorf("%s: %v, want invalid_request", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(p) != len(c.want) {
			t.Errorf("%s: got %v", name, p)
		}
		for k, v := range c.want {
			if p.get(k) != v {
				t.Errorf("%s: %s = %q, want %q", name, k, p.get(k), v)
			}
		}
	}
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("p" + string(rune('A'+i/26)) + string(rune('a'+i%26)) + "=1&")
	}
	return b.String()
}

func mapOf(n int) map[string]string {
	m := map[string]string{}
	for pair := range strings.SplitSeq(strings.TrimSuffix(manyParams(n), "&"), "&") {
		name, _, _ := strings.Cut(pair, "=")
		m[name] = "1"
	}
	return m
}

func TestFormsAreTakenFromTheBodyAlone(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		path, body string
		header     http.Header
		status     int // 0 means accepted
	}{
		"a form":                {"/x", "a=1", http.Header{"Content-Type": {form}}, 0},
		"with a charset":        {"/x", "a=1", http.Header{"Content-Type": {form + "; charset=UTF-8"}}, 0},
		"of another charset":    {"/x", "a=1", http.Header{"Content-Type": {form + "; charset=utf-7"}}, 400},
		"without a type":        {"/x", "a=1", http.Header{}, 400},
		"of two types":          {"/x", "a=1", http.Header{"Content-Type": {form, form}}, 400},
		"of a list of types":    {"/x", "a=1", http.Header{"Content-Type": {form + ", text/plain"}}, 400},
		"JSON":                  {"/x", `{"a":1}`, http.Header{"Content-Type": {"application/json"}}, 400},
		"multipart":             {"/x", "a=1", http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, 400},
		"compressed":            {"/x", "a=1", http.Header{"Content-Type": {form}, "Content-Encoding": {"gzip"}}, 400},
		"parameters in the URL": {"/x?b=1", "a=1", http.Header{"Content-Type": {form}}, 400},
		"too large":             {"/x", "a=" + strings.Repeat("x", maxFormBytes), http.Header{"Content-Type": {form}}, 413},
	} {
		r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
		r.Header = c.header
		p, err := formParams(httptest.NewRecorder(), r, maxFormBytes)
		switch {
		case c.status == 0 && (err != nil || p.get("a") != "1"):
			t.Errorf("%s: %v", name, err)
		case c.status != 0 && (err == nil || fault.From(err).Status != c.status):
			t.Errorf("%s: %v, want status %d", name, err, c.status)
		}
	}
}

// fuzzClient is registered for everything that an authorize request can ask for.
func fuzzClient() *client.Client {
	no := false
	return &client.Client{
		ID: "c", RedirectURIs: []string{"https://rp.example/cb"}, GrantTypes: []string{client.GrantAuthorizationCode},
		ResponseTypes: []string{"code"}, Scope: client.DefaultScope, TokenEndpointAuthMethod: client.AuthClientSecretBasic,
		RequirePKCE: &no,
	}
}

// Whatever arrives, the parser answers with a fault of a known code or with a
// request that keeps every promise the rest of the package builds on.
func FuzzAuthorizeRequest(f *testing.F) {
	for _, seed := range []string{
		"client_id=c&redirect_uri=https%3A%2F%2Frp.example%2Fcb&response_type=code&scope=openid&state=s&nonce=n",
		"client_id=c&redirect_uri=https://rp.example/cb&response_type=code&scope=openid+phone&code_challenge=" + strings.Repeat("A", 43) + "&code_challenge_method=S256",
		"redirect_uri=https://rp.example@evil.example/cb&response_type=code&scope=openid",
		"response_type=token&scope=openid&prompt=none+login&max_age=-1",
		"scope=profile&response_type=code&prompt=login+consent&max_age=0&ui_locales=zh-CN+en+se&login_hint=%2B8613800138000",
		"redirect_uri=https://rp.example/cb&response_mode=form_post&request=x&state=%22%3E%3Cscript%3E",
		"redirect_uri=https://rp.example/cb&state=%0d%0aSet-Cookie:x&scope=openid%22",
		"a=1&a=1", "%zz", "=&=&", "scope=+&response_type=code+code",
	} {
		f.Add(seed)
	}
	noHint := func(string) (engine.IDTokenHint, error) { return engine.IDTokenHint{}, errInvalidRequest }
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseParams(raw)
		if err != nil {
			wantTellable(t, err)
			return
		}
		for name, value := range p {
			if !utf8.ValidString(name+value) || strings.ContainsRune(name+value, 0) {
				t.Fatalf("parameter %q = %q", name, value)
			}
		}
		q := &authRequest{}
		if err := q.locate(fuzzClient(), p); err != nil {
			wantTellable(t, err)
			return
		}
		if q.RedirectURI != "https://rp.example/cb" || q.target == nil {
			t.Fatalf("redirect to %q", q.RedirectURI)
		}
		err = q.read(p, "https://id.example", noHint)
		if to, parseErr := url.Parse(answerURL(q.RedirectURI, q.Mode, []field{{"state", q.State}})); parseErr != nil || to.Host != "rp.example" || to.Path != "/cb" {
			t.Fatalf("an answer would go to %v", to)
		}
		if err != nil {
			wantTellable(t, err)
			return
		}
		if len(q.Scope) == 0 || len(q.State) > maxState || len(q.Nonce) > maxNonce || q.MaxAge != nil && *q.MaxAge < 0 ||
			hasControl(q.State) || hasControl(q.Nonce) || q.asks(promptNone) && len(q.Prompts) > 1 ||
			q.Challenge != "" && len(q.Challenge) != 43 || q.HintSubject != "" {
			t.Fatalf("accepted %+v", q)
		}
		if slices.ContainsFunc(q.Scope, func(s string) bool { return !q.client.AllowsScope(s) }) {
			t.Fatalf("accepted scope %q", q.Scope)
		}
		packed, err := q.pack()
		if err != nil {
			t.Fatal(err)
		}
		again, err := unpack(packed)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := again.pack(); err != nil || !bytes.Equal(packed, twice) {
			t.Fatalf("packing is not stable: %v", err)
		}
	})
}

// wantTellable checks what error_description may hold (RFC 6749 section 5.2).
func wantTellable(t *testing.T, err error) {
	t.Helper()
	f := fault.From(err)
	if f.Status < 400 || f.Status >= 500 || !oauthCodes[oauthCode(f)] {
		t.Fatalf("not a client's error: %v", err)
	}
	for i := range len(f.Description) {
		if c := f.Description[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			t.Fatalf("description %q", f.Description)
		}
	}
}

func TestAnswersKeepTheRedirectURIAsItIs(t *testing.T) {
	fields := []field{{"code", "a b&c"}, {"state", "é/?"}}
	const tail = "code=a+b%26c&state=%C3%A9%2F%3F"
	for redirect, want := range map[string]string{
		"https://rp.example/cb":               "https://rp.example/cb?" + tail,
		"https://rp.example/cb?x=a|b":         "https://rp.example/cb?x=a|b&" + tail,
		"https://rp.example/cb?":              "https://rp.example/cb?" + tail,
		"https://rp.example/cb?x=1&":          "https://rp.example/cb?x=1&" + tail,
		"com.example.app:/cb":                 "com.example.app:/cb?" + tail,
		"https://rp.example/%7Ea?dummy=lorem": "https://rp.example/%7Ea?dummy=lorem&" + tail,
	} {
		if got := answerURL(redirect, client.ModeQuery, fields); got != want {
			t.Errorf("%s: %s", redirect, got)
		}
	}
	if got := answerURL("https://rp.example/cb?x=1", client.ModeFragment, fields); got != "https://rp.example/cb?x=1#"+tail {
		t.Error(got)
	}
}

func TestFormActionIsAnOriginOrAScheme(t *testing.T) {
	for raw, want := range map[string]string{
		"https://rp.example:8443/cb?x": "https://rp.example:8443",
		"http://127.0.0.1:4711/cb":     "http://127.0.0.1:4711",
		"com.example.app:/cb":          "com.example.app:",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := formAction(u); got != want {
			t.Errorf("%s: %s", raw, got)
		}
	}
}

func TestLongRequestsArePackedSmall(t *testing.T) {
	// Base64url text is what long states are made of: six bits in a byte.
	long := strings.Repeat("kZ3xQ9v_L-0aYt7RfB2mC5nW8jE1hUdP", maxState/32)
	q := &authRequest{ClientID: "c", RedirectURI: "https://rp.example/cb", State: long, Scope: []string{"openid"}}
	packed, err := q.pack()
	if err != nil || len(packed) >= maxState {
		t.Fatalf("%d bytes, %v", len(packed), err)
	}
	again, err := unpack(packed)
	if err != nil || again.State != long {
		t.Fatalf("unpacked %v", err)
	}
	for _, bad := range []string{"", "x", "p{", "z\x00\x01", "{}"} {
		if _, err := unpack([]byte(bad)); err == nil {
			t.Errorf("%q was unpacked", bad)
		}
	}
}
