package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func TestAuthSessionIsOneClients(t *testing.T) {
	w := newWorld(t)
	a := w.app(t)
	code := a.textCode(newNumber())
	thief := *a
	thief.client = "phone-app2"
	thief.give("code", code).wantRefusal(http.StatusBadRequest, "invalid_session")
	got := a.give("code", code).wantAppCode() // no try was lost
	if r := thief.exchange(got); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := a.exchange(got, "redirect_uri", "com.example.phone:/cb"); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
		t.Errorf("with a redirect URI: %d %s", r.status, r.body)
	}
	if r := a.exchange(got); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestAuthSessionIsOneKeys(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.app(t)
		a.key = newKey(t)
		code := a.textCode(newNumber())
		for name, key := range map[string]*ecdsa.PrivateKey{"another key": newKey(t), "no key": nil} {
			thief := *a
			thief.key = key
			if r := thief.give("code", code); r.status != http.StatusBadRequest || r.text("error") != "invalid_session" {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		form := url.Values{"client_id": {a.client}, "auth_session": {a.session}, "code": {code}}
		used := a.proof(pathChallenge)
		if r := a.post(pathChallenge, form, a.proof(pathToken)...); r.status != http.StatusBadRequest || r.text("error") != "invalid_dpop_proof" {
			t.Errorf("a proof for another endpoint: %d %s", r.status, r.body)
		}
		r := a.post(pathChallenge, form, used...)
		got := r.wantAppCode()
		if r := a.post(pathChallenge, form, used...); r.status != http.StatusBadRequest || r.text("error") != "invalid_dpop_proof" {
			t.Errorf("a used proof: %d %s", r.status, r.body)
		}
		for name, key := range map[string]*ecdsa.PrivateKey{"another key": newKey(t), "no key": nil} {
			thief := *a
			thief.key = key
			if r := thief.exchange(got); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		if r := a.exchange(got); r.status != http.StatusOK {
			t.Errorf("the key itself: %d %s", r.status, r.body)
		}

		b := w.app(t) // a key cannot be brought later either
		b.give().wantMore(atFirst...)
		b.key = newKey(t)
		b.give().wantRefusal(http.StatusBadRequest, "invalid_session")
	})
}

func TestAuthSessionGivesOneCode(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		id, number := w.account(t)
		w.setPassword(t, id)
		a := w.app(t)
		a.give().wantMore(atFirst...)
		a.give("identifier", number, "password", aPassword).wantAppCode()
		a.give("identifier", number, "password", aPassword).wantRefusal(http.StatusBadRequest, "invalid_session")
	})
}

func TestAuthSessionEnds(t *testing.T) {
	w := newWorld(t)
	a := w.app(t)
	code := a.textCode(newNumber())
	c, err := w.clients.Get(t.Context(), a.client)
	must(t, err)
	for age, valid := range map[time.Duration]bool{authSessionLife - 5*time.Second: true, authSessionLife + time.Second: false, -2 * time.Minute: false} {
		opened, err := w.server.openAuthSession(a.session, c, "")
		must(t, err)
		opened.Request.RequestedAt = time.Now().Add(-age).UnixMicro()
		late := *a
		late.session, err = w.server.sealAuthSession(opened)
		must(t, err)
		if r := late.give(); valid {
			r.wantMore(afterCode...)
		} else {
			r.wantRefusal(http.StatusBadRequest, "invalid_session")
		}
	}
	for name, session := range map[string]string{
		"made up": "x", "not base64url": "?", "altered": flipLast(a.session), "line break": a.session + "\n", "long": strings.Repeat("A", maxAuthSession+1),
		"a code": a.give("code", code).wantAppCode(),
	} {
		other := *a
		other.session = session
		if r := other.give(); r.status != http.StatusBadRequest || r.text("error") != "invalid_session" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

func TestChallengeIsForOurNativeApps(t *testing.T) {
	w := newWorld(t)
	_, err := w.clients.Create(t.Context(), client.Client{
		ID: "sms-only", TokenEndpointAuthMethod: client.AuthNone, FirstParty: true, ApplicationType: "native", GrantTypes: []string{client.GrantSMSCode},
	}, "", client.SourceOperator)
	must(t, err)
	for name, want := range map[string]string{
		"native": "unauthorized_client", "spa": "unauthorized_client", "sms-only": "unauthorized_client", "nobody": "invalid_client", "web": "invalid_client",
	} {
		a := w.app(t)
		a.client = name
		if r := a.give("identifier", "somebody", "password", aPassword); r.text("error") != want || r.text("auth_session") != "" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

func TestChallengeRefusesWhatAnAuthorizeRequestMayNotBe(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		pairs []string
		error string
	}{
		"no PKCE":            {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"plain PKCE":         {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"no response_type":   {[]string{"response_type", ""}, "invalid_request"},
		"another type":       {[]string{"response_type", "token"}, "unsupported_response_type"},
		"foreign scope":      {[]string{"scope", "openid admin"}, "invalid_scope"},
		"no scope":           {[]string{"scope", ""}, "invalid_scope"},
		"redirect_uri":       {[]string{"redirect_uri", "com.example.phone:/cb"}, "invalid_request"},
		"another's resource": {[]string{"resource", "https://api.example"}, "invalid_target"},
		"prompt=none":        {[]string{"prompt", "none"}, "login_required"},
		"prompt=consent":     {[]string{"prompt", "consent"}, "redirect_to_web"},
		"request_uri":        {[]string{"request_uri", "urn:x"}, "request_uri_not_supported"},
	} {
		r := w.app(t, c.pairs...).give()
		if r.status < 400 || r.status > 403 || r.text("error") != c.error || r.text("auth_session") != "" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	a := w.app(t)
	a.give("phone", newNumber(), "password", "x").wantRefusal(http.StatusBadRequest, "invalid_request", atFirst...)
	a.give("phone", newNumber()).wantRefusal(http.StatusUnprocessableEntity, "agreement_required", atFirst...)
	a.give("phone", "12", "agreement_version", "1").wantRefusal(http.StatusUnprocessableEntity, "phone_invalid", atFirst...)
	a.give("resend", "1").wantRefusal(http.StatusUnprocessableEntity, "code_expired", atFirst...)
	a.give("code", "123456").wantRefusal(http.StatusBadRequest, "invalid_grant", atFirst...)
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		if r := a.do(method, pathChallenge, ""); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d %v", method, r.status, r.header)
		}
	}
	if r := a.do(http.MethodPost, pathChallenge, `{"client_id":"phone-app"}`, "Content-Type", "application/json"); r.text("error") != "invalid_request" {
		t.Errorf("JSON: %d %s", r.status, r.body)
	}
	if r := a.do(http.MethodPost, pathChallenge, "client_id=phone-app&client_id=phone-app", "Content-Type", "application/x-www-form-urlencoded"); r.text("error") != "invalid_request" {
		t.Errorf("twice: %d %s", r.status, r.body)
	}
}

// A page of somebody else cannot have its visitors' browsers send messages: a form needs no preflight.
func TestChallengeTakesNothingFromWebPages(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		header []string
		taken  bool
	}{
		"an app":               {nil, true},
		"our own origin":       {[]string{"Sec-Fetch-Site", "same-origin", "Origin", w.url}, true},
		"typed by hand":        {[]string{"Sec-Fetch-Site", "none"}, true},
		"another site":         {[]string{"Sec-Fetch-Site", "cross-site"}, false},
		"a sister site":        {[]string{"Sec-Fetch-Site", "same-site", "Origin", w.url}, false},
		"another site, old":    {[]string{"Origin", "https://evil.example"}, false},
		"a sandboxed one, old": {[]string{"Origin", "null"}, false},
	} {
		before, number := w.inbox.sent.Load(), newNumber()
		form := ask("phone-app", "", "redirect_uri", "", "state", "", "phone", number, "agreement_version", "2026-11").Values
		r := w.browser(t).post(pathChallenge, form, c.header...)
		if sent := w.inbox.sent.Load() > before; sent != c.taken {
			t.Errorf("%s: sent %v, %d %s", name, sent, r.status, r.body)
		}
		if !c.taken {
			r.wantRefusal(http.StatusBadRequest, "invalid_request")
		}
	}
}

// What needs a decision of the person is made on our pages.
func TestAppSendsSomePeopleToTheBrowser(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		id, number := w.account(t)
		w.setPassword(t, id)
		w.forget(t)
		_, err := w.db.Exec(t.Context(), `UPDATE users SET seen_at = 1, created_at = 1 WHERE id = $1`, id)
		must(t, err)
		_, err = w.db.Exec(t.Context(), `DELETE FROM grants WHERE user_id = $1`, id)
		must(t, err)
		a := w.app(t)
		r := a.give("code", a.textCode(number)).wantRefusal(http.StatusBadRequest, "redirect_to_web")
		if !strings.HasPrefix(r.text("error_description"), "number_recycled: ") {
			t.Errorf("%s", r.body)
		}
		_, err = w.users.RequestDeletion(t.Context(), id)
		must(t, err)
		w.forget(t)
		b := w.app(t)
		r = b.give("code", b.textCode(number)).wantRefusal(http.StatusBadRequest, "redirect_to_web")
		if !strings.HasPrefix(r.text("error_description"), "account_closing: ") {
			t.Errorf("%s", r.body)
		}
		c := w.app(t)
		c.give("identifier", number, "password", aPassword).wantRefusal(http.StatusBadRequest, "redirect_to_web")

		disabled, number := w.account(t)
		must(t, w.users.Disable(t.Context(), disabled))
		w.forget(t)
		d := w.app(t)
		code := d.textCode(number)
		d.give("code", code).wantRefusal(http.StatusBadRequest, "invalid_grant", afterCode...)
	})
}

func TestAppCodesDieWithTheSignIn(t *testing.T) {
	w := newWorld(t)
	id, number := w.account(t)
	w.setPassword(t, id)
	a := w.app(t)
	code := a.give("identifier", number, "password", aPassword).wantAppCode()
	must(t, w.users.Disable(t.Context(), id))
	if r := a.exchange(code); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// FuzzAuthSession holds that nothing but the very auth_session, for its client and key, opens.
func FuzzAuthSession(f *testing.F) {
	w := newWorld(f)
	c, err := w.clients.Get(f.Context(), "phone-app")
	must(f, err)
	sealed, err := w.server.sealAuthSession(newAuthSession(authRequest{ClientID: c.ID, RequestedAt: time.Now().UnixMicro()}, "key"))
	must(f, err)
	f.Add(sealed, "key")
	f.Add(sealed, "")
	f.Add(sealed+"=", "key")
	f.Add(strings.ToLower(sealed), "key")
	f.Fuzz(func(t *testing.T, raw, key string) {
		a, err := w.server.openAuthSession(raw, c, key)
		if (err == nil) != (raw == sealed && key == "key") {
			t.Fatalf("%q with %q: %v", raw, key, err)
		}
		if err == nil && (a.key != "key" || a.Request.client != c) {
			t.Fatalf("%+v", a)
		}
	})
}
