package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The whole of it: register by signing in, tokens, userinfo, refresh, a second
// client without a second code, logout.
func TestSignInRefreshSingleSignOnLogout(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		a, number := newAgent(t, s), newNumber()
		q := newRequest("web", "https://rp.example/cb")
		answer := a.redeem(q, a.signIn(q, number)).json(t)
		access, refresh := text(answer, "access_token"), text(answer, "refresh_token")
		if access == "" || refresh == "" || answer["token_type"] != "Bearer" || answer["expires_in"] != float64(600) {
			t.Fatalf("token response: %v", keys(answer))
		}
		id := claims(t, text(answer, "id_token"))
		if id["iss"] != s.issuer || id["aud"] != "web" || id["nonce"] != q.nonce || id["sid"] == nil || id["auth_time"] == nil {
			t.Fatalf("ID token: %v", id)
		}
		sub := text(id, "sub")
		if strings.Contains(sub, number[3:]) || len(sub) < 20 {
			t.Fatalf("sub %q", sub)
		}
		info := a.userinfo(access).json(t)
		if info["sub"] != sub || info["phone_number"] != number || info["phone_number_verified"] != true {
			t.Fatalf("userinfo lacks what scope phone promises: %v", keys(info))
		}
		if said := a.introspect(access); said["active"] != true || said["sub"] != sub || said["client_id"] != "web" {
			t.Fatalf("introspection: %v", said)
		}

		next := a.refresh("web", refresh).json(t)
		if text(next, "refresh_token") == refresh || text(next, "refresh_token") == "" {
			t.Fatal("the refresh token did not rotate")
		}
		again := claims(t, text(next, "id_token"))
		if again["sub"] != sub || again["auth_time"] != id["auth_time"] {
			t.Fatalf("ID token after refresh: %v", again)
		}

		// Another client: no page is shown, the person is the same.
		q2 := newRequest("web2", "https://rp2.example/cb")
		second := a.redeem(q2, a.codeOf(q2, a.authorize(q2))).json(t)
		if got := claims(t, text(second, "id_token")); got["sub"] != sub || got["sid"] != id["sid"] {
			t.Fatalf("single sign-on: %v", got)
		}

		// Logout with the ID token as hint: at once, back to the client.
		out := a.get("/oauth2/logout?" + url.Values{"id_token_hint": {text(next, "id_token")},
			"post_logout_redirect_uri": {"https://rp.example/bye"}, "state": {"x"}}.Encode())
		if to := out.location(t); to.String() != "https://rp.example/bye?state=x" {
			t.Fatalf("logout went to %s", to)
		}
		q3 := newRequest("web", "https://rp.example/cb")
		q3.extra = url.Values{"prompt": {"none"}}
		if e := a.authorize(q3).location(t).Query().Get("error"); e != "login_required" {
			t.Fatalf("after logout prompt=none says %q", e)
		}
	})
}

func TestKnownNumberIsTheSamePerson(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		number := "+8613800138999" // a test number: no limits
		var subs []string
		for range 2 {
			a := newAgent(t, s)
			q := newRequest("native", "http://127.0.0.1:4711/cb")
			to := a.authorize(q).location(t)
			flow := to.Query().Get("flow")
			sent := a.post("/login", url.Values{"flow": {flow}, "phone": {number}}).location(t)
			w := waiting{flow: flow, challenge: sent.Query().Get("challenge"), number: number, code: "246810"}
			answer := a.redeem(q, a.codeOf(q, a.finish(w))).json(t)
			subs = append(subs, text(claims(t, text(answer, "id_token")), "sub"))
		}
		if subs[0] != subs[1] {
			t.Fatal("one number, two people")
		}
		if n := len(s.sink.codes(number)); n != 0 {
			t.Fatalf("%d messages to a test number", n)
		}
	})
}

func TestNativeGrant(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		a, number := newAgent(t, s), newNumber()
		ask := func(body map[string]any) reply {
			raw, _ := json.Marshal(body)
			req, err := http.NewRequest(http.MethodPost, s.issuer+"/v1/sms/challenges", strings.NewReader(string(raw)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			return a.do(req)
		}
		r := ask(map[string]any{"client_id": "app", "phone": number})
		if r.status != http.StatusCreated {
			t.Fatalf("challenge: %d %s", r.status, r.body)
		}
		c := r.json(t)
		if c["challenge_id"] == "" || c["expires_in"] == nil || c["resend_after"] == nil || !strings.Contains(text(c, "masked_phone"), "****") {
			t.Fatalf("challenge: %v", c)
		}
		if again := ask(map[string]any{"client_id": "app", "phone": number}); again.status != http.StatusTooManyRequests || again.header.Get("Retry-After") == "" || again.json(t)["code"] != "sms_too_soon" {
			t.Fatalf("second challenge: %d %s", again.status, again.body)
		}
		form := url.Values{"grant_type": {"urn:dialtone:params:oauth:grant-type:sms-code"}, "challenge_id": {text(c, "challenge_id")},
			"code": {wrongOf(s.sink.last(t, number))}, "scope": {"openid phone offline_access"}}
		if bad := a.token("app", form); bad.status != http.StatusBadRequest || bad.json(t)["error"] != "invalid_grant" {
			t.Fatalf("wrong code: %d %s", bad.status, bad.body)
		}
		form.Set("code", s.sink.last(t, number))
		ok := a.token("app", form)
		answer := ok.json(t)
		if ok.status != http.StatusOK || answer["user_created"] != true || text(answer, "refresh_token") == "" || text(answer, "id_token") == "" {
			t.Fatalf("token: %d %v", ok.status, keys(answer))
		}
		if used := a.token("app", form); used.json(t)["error"] != "invalid_grant" {
			t.Fatalf("used code: %d %s", used.status, used.body)
		}
		if next := a.refresh("app", text(answer, "refresh_token")); next.status != http.StatusOK {
			t.Fatalf("refresh: %d %s", next.status, next.body)
		}
		if info := a.userinfo(text(answer, "access_token")).json(t); info["phone_number"] != number {
			t.Fatalf("userinfo: %v", keys(info))
		}
	})
}

func TestThirdPartyAsksForConsentOnceAndRemembers(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		a, number := newAgent(t, s), newNumber()
		q := newRequest("third", "https://third.example/cb")
		to := a.finish(a.begin(q, number)).location(t)
		if to.Path != "/consent" {
			t.Fatalf("expected consent, got %s", to)
		}
		page := a.get(to.String())
		for _, id := range []string{`id="page-consent"`, `id="consent-allow"`, `id="consent-deny"`, "Third Party"} {
			if !strings.Contains(page.body, id) {
				t.Fatalf("consent page lacks %s", id)
			}
		}
		form := url.Values{"flow": {to.Query().Get("flow")}, "session": {hidden(t, page.body, "session")}, "decision": {"allow"}}
		if r := a.redeem(q, a.codeOf(q, a.post("/consent", form))); r.status != http.StatusOK {
			t.Fatalf("redeem: %d %s", r.status, r.body)
		}
		q2 := newRequest("third", "https://third.example/cb")
		a.codeOf(q2, a.authorize(q2))

		q3 := newRequest("third", "https://third.example/cb")
		q3.extra = url.Values{"prompt": {"consent"}}
		to = a.authorize(q3).location(t)
		page = a.get(to.String())
		form = url.Values{"flow": {to.Query().Get("flow")}, "session": {hidden(t, page.body, "session")}, "decision": {"deny"}}
		if e := a.post("/consent", form).location(t).Query(); e.Get("error") != "access_denied" || e.Get("iss") != s.issuer || e.Get("state") != q3.state {
			t.Fatalf("denied: %v", e)
		}
	})
}

func TestAgreementComesBeforeTheMessage(t *testing.T) {
	s := start(t, modes[0])
	a, number := newAgent(t, s), newNumber()
	flow := a.authorize(newRequest("third", "https://third.example/cb")).location(t).Query().Get("flow")
	r := a.post("/login", url.Values{"flow": {flow}, "phone": {number}})
	if r.status != http.StatusUnprocessableEntity || !strings.Contains(r.body, `id="page-login"`) || !strings.Contains(r.body, `id="agree"`) {
		t.Fatalf("without agreement: %d", r.status)
	}
	if n := s.sink.total(); n != 0 {
		t.Fatalf("%d messages before the agreement", n)
	}
}

// hidden reads a hidden field's value from a page.
func hidden(t *testing.T, body, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `name="`+name+`" value="`)
	if !ok {
		t.Fatalf("no hidden field %s in %s", name, body)
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func wrongOf(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}
