package oauth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
)

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func raw(userinfo string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo))
}

func TestExactlyOneWayOfClientAuthentication(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		body   string
		want   credentials
		fails  string // code
	}{
		"basic":                       {[]string{basic("web", "s")}, "", credentials{client.AuthClientSecretBasic, "web", "s"}, ""},
		"basic, lower-case scheme":    {[]string{strings.Replace(basic("web", "s"), "Basic", "basic", 1)}, "", credentials{client.AuthClientSecretBasic, "web", "s"}, ""},
		"basic, form-encoded first":   {[]string{basic("a:b c", "p%+ü:")}, "", credentials{client.AuthClientSecretBasic, "a:b c", "p%+ü:"}, ""},
		"basic and the same id":       {[]string{basic("web", "s")}, "client_id=web", credentials{client.AuthClientSecretBasic, "web", "s"}, ""},
		"post":                        {nil, "client_id=web&client_secret=s", credentials{client.AuthClientSecretPost, "web", "s"}, ""},
		"none":                        {nil, "client_id=spa", credentials{client.AuthNone, "spa", ""}, ""},
		"empty secret is none":        {nil, "client_id=spa&client_secret=", credentials{client.AuthNone, "spa", ""}, ""},
		"basic and post":              {[]string{basic("web", "s")}, "client_id=web&client_secret=s", credentials{}, "invalid_request"},
		"basic and another id":        {[]string{basic("web", "s")}, "client_id=web2", credentials{}, "invalid_request"},
		"two headers":                 {[]string{basic("web", "s"), basic("web", "s")}, "", credentials{}, "invalid_request"},
		"nobody":                      {nil, "grant_type=x", credentials{}, "invalid_client"},
		"bearer":                      {[]string{"Bearer x"}, "client_id=web", credentials{}, "invalid_client"},
		"not base64":                  {[]string{"Basic !!!"}, "", credentials{}, "invalid_client"},
		"no colon":                    {[]string{raw("web")}, "", credentials{}, "invalid_client"},
		"bad escape":                  {[]string{raw("web:%zz")}, "", credentials{}, "invalid_client"},
		"NUL":                         {[]string{raw("web:%00")}, "", credentials{}, "invalid_client"},
		"empty id":                    {[]string{raw(":s")}, "", credentials{}, "invalid_client"},
		"endless id":                  {nil, "client_id=" + strings.Repeat("x", 300), credentials{}, "invalid_client"},
		"assertion":                   {nil, "client_id=web&client_assertion=x&client_assertion_type=y", credentials{}, "invalid_client"},
		"assertion type without more": {nil, "client_id=web&client_assertion_type=y", credentials{}, "invalid_client"},
	} {
		p, err := parseParams(c.body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readCredentials(http.Header{"Authorization": c.header}, p)
		switch {
		case c.fails == "" && (err != nil || got != c.want):
			t.Errorf("%s: %+v, %v", name, got, err)
		case c.fails != "" && (err == nil || fault.From(err).Code != c.fails):
			t.Errorf("%s: %v, want %s", name, err, c.fails)
		}
	}
}

// A public client has nothing to guess, so nobody can deny it to the others behind an address.
func TestPublicClientsAreNeverThrottled(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	now := time.Now() // stands still: all of it is within one minute
	w.server.guesses.now = func() time.Time { return now }
	refresh := func(clientID string, header ...string) reply {
		return b.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {clientID}}, header...)
	}
	for range maxFailures + 5 {
		if r := refresh("spa", "Authorization", basic("spa", "x")); r.status != http.StatusUnauthorized {
			t.Fatalf("a public client with a secret: %d %s", r.status, r.body)
		}
		if r := refresh("web"); r.status != http.StatusUnauthorized {
			t.Fatalf("a confidential client without a secret: %d %s", r.status, r.body)
		}
	}
	if r := refresh("spa"); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
		t.Errorf("the public client afterwards: %d %s", r.status, r.body)
	}
	if r := b.call("/oauth2/token", "machine", url.Values{"grant_type": {"client_credentials"}}); r.status != http.StatusOK {
		t.Errorf("another client: %d %s", r.status, r.body)
	}
	if r := b.call("/oauth2/introspect", "web", url.Values{"token": {"x"}}); r.status != http.StatusOK {
		t.Errorf("the confidential client afterwards: %d %s", r.status, r.body)
	}
	// A stranger is refused as a client with a secret is, so that both look alike.
	for range maxFailures {
		refresh("nobody", "Authorization", basic("nobody", "x"))
	}
	if r := refresh("nobody", "Authorization", basic("nobody", "x")); r.status != http.StatusTooManyRequests {
		t.Errorf("an unknown client: %d %s", r.status, r.body)
	}
}

func TestFailedClientAuthenticationIsLoggedOnce(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	const odd = "13800138000-nobody"
	for name, c := range map[string]struct {
		path, header, client string
	}{
		"wrong secret":       {"/oauth2/token", basic("web", "wrong-secret"), " client_id=web"},
		"wrong method":       {"/oauth2/token", basic("web2", "wrong-secret"), " client_id=web2"},
		"public with secret": {"/oauth2/revoke", basic("spa", "wrong-secret"), " client_id=spa"},
		"unknown":            {"/oauth2/token", basic(odd, "wrong-secret"), ""},
		"no Basic":           {"/oauth2/token", "Bearer wrong-secret", ""},
	} {
		before := len(w.log.String())
		b.post(c.path, url.Values{"grant_type": {"client_credentials"}, "token": {"x"}}, "Authorization", c.header)
		logged := w.log.String()[before:]
		if strings.Count(logged, "\n") != 1 || !strings.Contains(logged, `level=INFO msg="client authentication failed" request_id=request-of-the-tests`+c.client+"\n") {
			t.Errorf("%s: logged %q", name, logged)
		}
		if strings.Contains(logged, "wrong-secret") || strings.Contains(logged, odd) {
			t.Errorf("%s: logged what a stranger sent: %q", name, logged)
		}
	}
}

func TestOnlyFlatObjectsOfStringsPass(t *testing.T) {
	members := []string{"client_id", "phone"}
	for body, status := range map[string]int{
		`{"client_id":"app","phone":"1"}`:       0,
		` {"client_id" : "app"} ` + "\n":        0,
		`{}`:                                    0,
		``:                                      400,
		`[]`:                                    400,
		`"x"`:                                   400,
		`null`:                                  400,
		`{"client_id":"app"`:                    400,
		`{"client_id":"app"}{}`:                 400,
		`{"client_id":"app"} x`:                 400,
		`{"client_id":"app",}`:                  400,
		`phone=1`:                               400,
		"{\"phone\":\"\xff\"}":                  400,
		`{"phone":"1","phone":"2"}`:             400,
		`{"phone":"1","\u0070hone":"2"}`:        400,
		`{"phone":1}`:                           422,
		`{"phone":["1"]}`:                       422,
		`{"phone":{"x":1}}`:                     422,
		`{"phone":null}`:                        422,
		`{"phone":true}`:                        422,
		`{"Phone":"1"}`:                         422,
		`{"phone_number_verified":"true"}`:      422,
		strings.Repeat(`{"phone":`, 5000) + `1`: 422,
		`{"phone":` + strings.Repeat("[", 8000) + `1`: 422,
	} {
		err := checkObject([]byte(body), members, nil, false)
		if status == 0 && err != nil || status != 0 && (err == nil || fault.From(err).Status != status) {
			t.Errorf("%.40q: %v, want %d", body, err, status)
		}
	}
}

func TestOriginsBelongToRedirectURIs(t *testing.T) {
	c := &client.Client{RedirectURIs: []string{"https://RP.example:443/cb", "http://127.0.0.1:4711/cb", "com.example.app:/cb"}}
	for origin, want := range map[string]bool{
		"https://rp.example": true, "http://127.0.0.1:4711": true,
		"null": false, "": false, "https://rp.example:8443": false, "http://rp.example": false, "https://evil.example": false,
		"http://127.0.0.1": false, "com.example.app:": false, "https://rp.example/": false, "https://rp.example.evil": false,
	} {
		if got := ownsOrigin(c, origin); got != want {
			t.Errorf("%q: %v", origin, got)
		}
	}
}

func TestEntityTagsAreComparedWeakly(t *testing.T) {
	for header, want := range map[string]bool{
		`"a"`: true, `W/"a"`: true, `"b", "a"`: true, `*`: true, `"b"`: false, ``: false, `a`: false,
	} {
		if matchesTag([]string{header}, `"a"`) != want {
			t.Errorf("%s: not %v", header, want)
		}
	}
}
