package oauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"

	"github.com/dialtone-id/dialtone/internal/user"
)

const (
	patient  = "+8613800138088" // a test number, which has no cooldown
	password = "kx7Fq2wZ-blau"
)

var byOperator = user.By{Actor: "operator"}

// member is a browser in which the patient number signed in, with its account.
func (w *world) member(t *testing.T) (b *browser, userID string) {
	t.Helper()
	w.inbox.codes[patient] = "246810"
	b = w.browser(t)
	q := webRequest()
	r := b.redeem(q, q.wantCode(b.signIn(b.authorize(q), patient)))
	userID, _ = claims(t, r.text("id_token"))["sub"].(string)
	return b, userID
}

// second shows the password as a second proof, once the reply asks for one.
func (b *browser) second(r reply) reply {
	b.t.Helper()
	to := r.location()
	if to.Path != "/login/second" {
		b.t.Fatalf("expected the page for a second proof, got %s", to)
	}
	b.get(to.String()+"&by=password").wantPage(http.StatusOK, "page-second")
	return b.post("/login/second", url.Values{"flow": {to.Query().Get("flow")}, "by": {"password"}, "typed": {password}})
}

// verified is an ID token as a client's library reads it, signature and all.
func (w *world) verified(t *testing.T, q request, raw string) map[string]any {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), w.url)
	must(t, err)
	token, err := provider.Verifier(&oidc.Config{ClientID: q.Get("client_id")}).Verify(t.Context(), raw)
	must(t, err)
	if token.Nonce != q.Get("nonce") {
		t.Error("the nonce is another")
	}
	var all map[string]any
	must(t, token.Claims(&all))
	return all
}

func TestACRValuesAskForASecondProof(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b, userID := w.member(t)
		must(t, w.users.SetPassword(t.Context(), userID, password, byOperator))
		q := webRequest()
		earlier := b.redeem(q, q.wantCode(b.authorize(q)))
		first := w.verified(t, q, earlier.text("id_token"))
		if first["acr"] != "1" {
			t.Fatalf("a code is worth %v", first["acr"])
		}

		q = webRequest("acr_values", "urn:example:phishing 2 1")
		r := b.redeem(q, q.wantCode(b.second(b.authorize(q))))
		id, access := w.verified(t, q, r.text("id_token")), claims(t, r.text("access_token"))
		told := b.introspect(r.text("access_token"))
		for name, got := range map[string]map[string]any{"ID token": id, "access token": access, "introspection": told} {
			if got["acr"] != "2" || !cmp.Equal(got["amr"], []any{"sms", "otp", "pwd", "mfa"}) || got["sid"] != first["sid"] || got["sub"] != userID {
				t.Errorf("%s: %v", name, got)
			}
			// Both proofs are as young as this at least, and no younger is claimed.
			if got["auth_time"] != first["auth_time"] {
				t.Errorf("%s: auth_time %v, signed in at %v", name, got["auth_time"], first["auth_time"])
			}
		}
		// What was granted before says what it said, and still stands.
		if told := b.introspect(earlier.text("access_token")); told["active"] != true || told["acr"] != "1" {
			t.Errorf("the earlier token: %v", told)
		}
		if n := w.events(t, "login.stepped_up"); n != 1 {
			t.Errorf("%d records", n)
		}
		// The session keeps it, for every client.
		q = ask("web2", "https://rp2.example/cb", "acr_values", "2", "prompt", "none")
		if id := w.verified(t, q, b.redeem(q, q.wantCode(b.authorize(q))).text("id_token")); id["acr"] != "2" {
			t.Errorf("the next client hears %v", id["acr"])
		}
	})
}

// A stranger's sign-in is asked for both, in one go.
func TestACRValuesOfAStrangerAskForBoth(t *testing.T) {
	w := newWorld(t)
	_, userID := w.member(t)
	must(t, w.users.SetPassword(t.Context(), userID, password, byOperator))
	b, q := w.browser(t), ask("third", "https://third.example/cb", "acr_values", "2")
	to := b.second(b.signIn(b.authorize(q), patient)).location()
	if to.Path != "/consent" {
		t.Fatalf("led to %s", to)
	}
	page := b.get(to.String())
	form := url.Values{"flow": {to.Query().Get("flow")}, "session": {hidden(t, page.body, "session")}, "decision": {"allow"}}
	if id := w.verified(t, q, b.redeem(q, q.wantCode(b.post("/consent", form))).text("id_token")); id["acr"] != "2" {
		t.Errorf("acr %v", id["acr"])
	}
}

func TestWhatIsWishedForAndWhatIsDemanded(t *testing.T) {
	w := newWorld(t)
	b, userID := w.member(t)
	essential := func(acr string) string {
		return `{"userinfo":{"name":null},"id_token":{"auth_time":null,"acr":` + acr + `}}`
	}
	const (
		second = "second"
		unmet  = "unmet_authentication_requirements"
	)
	for _, has := range []struct {
		what  string
		makes func()
	}{
		{"nothing more", func() {}},
		{"a password", func() { must(t, w.users.SetPassword(t.Context(), userID, password, byOperator)) }},
		{"two factors", func() {
			q := webRequest("acr_values", "2")
			q.wantCode(b.second(b.authorize(q)))
		}},
	} {
		has.makes()
		for _, c := range []struct {
			extra []string
			want  map[string]string // by what the account has: an acr, second or an error
		}{
			{nil, map[string]string{"nothing more": "1", "a password": "1", "two factors": "2"}},
			{[]string{"acr_values", "2"}, map[string]string{"nothing more": "1", "a password": second, "two factors": "2"}},
			{[]string{"acr_values", "2 1"}, map[string]string{"nothing more": "1", "a password": second, "two factors": "2"}},
			{[]string{"acr_values", "1 2"}, map[string]string{"nothing more": "1", "a password": "1", "two factors": "2"}},
			{[]string{"acr_values", "3"}, map[string]string{"nothing more": "1", "a password": "1", "two factors": "2"}},
			{[]string{"acr_values", "2", "prompt", "none"}, map[string]string{"nothing more": "1", "a password": "login_required", "two factors": "2"}},
			{[]string{"claims", essential(`{"values":["2"]}`)}, map[string]string{"nothing more": "1", "a password": second, "two factors": "2"}},
			{[]string{"claims", essential(`{"essential":true,"values":["2"]}`)}, map[string]string{"nothing more": unmet, "a password": second, "two factors": "2"}},
			{[]string{"claims", essential(`{"essential":true,"value":"2"}`), "acr_values", "1"}, map[string]string{"nothing more": unmet, "a password": second, "two factors": "2"}},
			{[]string{"claims", essential(`{"essential":true,"values":["2"]}`), "prompt", "none"}, map[string]string{"nothing more": unmet, "a password": "login_required", "two factors": "2"}},
			{[]string{"claims", essential(`{"essential":true,"values":["2","1"]}`)}, map[string]string{"nothing more": "1", "a password": second, "two factors": "2"}},
			{[]string{"claims", essential(`{"essential":true,"value":"1"}`)}, map[string]string{"nothing more": "1", "a password": "1", "two factors": "1"}},
			{[]string{"claims", essential(`{"essential":true}`)}, map[string]string{"nothing more": "1", "a password": "1", "two factors": "2"}},
			{[]string{"claims", essential(`{"essential":true}`), "acr_values", "2"}, map[string]string{"nothing more": "1", "a password": second, "two factors": "2"}},
			{[]string{"claims", essential(`null`)}, map[string]string{"nothing more": "1", "a password": "1", "two factors": "2"}},
			{[]string{"claims", essential(`{"essential":true,"values":["urn:x"]}`)}, map[string]string{"nothing more": unmet, "a password": unmet, "two factors": unmet}},
			{[]string{"claims", `{"id_token":{"acr":"2"}}`}, map[string]string{"nothing more": "invalid_request", "a password": "invalid_request", "two factors": "invalid_request"}},
		} {
			q := webRequest(c.extra...)
			r, want := b.authorize(q), c.want[has.what]
			name := fmt.Sprintf("%s, %v", has.what, c.extra)
			switch {
			case want == second:
				if to := r.location(); to.Path != "/login/second" {
					t.Errorf("%s: led to %s", name, to)
				}
			case len(want) > 1:
				if v := r.location().Query(); v.Get("error") != want || v.Get("state") != q.Get("state") || v.Get("iss") != w.url {
					t.Errorf("%s: %v", name, v)
				}
			default:
				if id := claims(t, b.redeem(q, q.wantCode(r)).text("id_token")); id["acr"] != want {
					t.Errorf("%s: acr %v, want %s", name, id["acr"], want)
				}
			}
		}
	}
}

// A fresh proof is a fresh proof of everything that is asked for.
func TestFreshnessAndASecondProof(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b, userID := w.member(t)
		must(t, w.users.SetPassword(t.Context(), userID, password, byOperator))
		ages := func() {
			const day = int64(24 * time.Hour / time.Microsecond)
			_, err := w.db.Exec(t.Context(), `UPDATE sessions SET auth_time = auth_time - $1 WHERE user_id = $2`, day, userID)
			must(t, err)
			_, err = w.db.Exec(t.Context(), `UPDATE users SET grants_after = 0 WHERE id = $1`, userID)
			must(t, err)
		}
		young := func(id map[string]any) bool {
			at, _ := id["auth_time"].(float64)
			return time.Since(time.Unix(int64(at), 0)) < time.Hour
		}
		// An old session that steps up stays an old one.
		ages()
		q := webRequest("acr_values", "2", "max_age", "100000")
		if id := w.verified(t, q, b.redeem(q, q.wantCode(b.second(b.authorize(q)))).text("id_token")); id["acr"] != "2" || young(id) {
			t.Errorf("stepped up: %v at %v", id["acr"], id["auth_time"])
		}
		for _, extra := range [][]string{{"max_age", "3600"}, {"prompt", "login"}, {"max_age", "0"}} {
			q := webRequest(append(extra, "acr_values", "2")...)
			r := b.signIn(b.authorize(q), patient)
			id := w.verified(t, q, b.redeem(q, q.wantCode(b.second(r))).text("id_token"))
			if id["acr"] != "2" || !young(id) {
				t.Errorf("%v: %v at %v", extra, id["acr"], id["auth_time"])
			}
			// The second proof of before does for nothing by itself.
			ages()
			q = webRequest(extra...)
			if to := b.authorize(q).location(); to.Path != "/login" {
				t.Errorf("%v: led to %s", extra, to)
			}
		}
		q = webRequest("max_age", "3600", "acr_values", "2", "prompt", "none")
		q.wantError(b.authorize(q), w.url, "login_required")
	})
}

func TestCancelledSecondProofIsToldToTheClient(t *testing.T) {
	w := newWorld(t)
	b, userID := w.member(t)
	must(t, w.users.SetPassword(t.Context(), userID, password, byOperator))
	q := webRequest("acr_values", "2")
	flow := b.authorize(q).location().Query().Get("flow")
	// No way around: every page of the flow leads back to it.
	if to := b.get("/consent?flow=" + flow).location(); to.Path != "/login/second" {
		t.Errorf("led to %s", to)
	}
	form := url.Values{"flow": {flow}, "decision": {"allow"}}
	if to := b.post("/consent", form).location(); to.Path != "/login/second" {
		t.Errorf("led to %s", to)
	}
	q.wantError(b.post("/login/cancel", url.Values{"flow": {flow}}), w.url, "access_denied")
	q = webRequest() // the session is what it was
	q.wantCode(b.authorize(q))
}

func TestAnAppIsAskedForOnAStrangeDevice(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b, userID := w.member(t)
		app, err := w.users.EnrolTOTP(t.Context(), userID, "id.example", "somebody")
		must(t, err)
		code := func(steps int) string {
			text, err := totp.GenerateCode(app.Secret, time.Now().Add(time.Duration(steps)*30*time.Second))
			must(t, err)
			return text
		}
		_, err = w.users.ConfirmTOTP(t.Context(), userID, code(0), byOperator)
		must(t, err)

		// The device is known since the app was set up: a code does, and it is one factor.
		_, err = w.db.Exec(t.Context(), `UPDATE totp SET confirmed_at = confirmed_at - 3600000000`)
		must(t, err)
		q := webRequest("prompt", "login")
		if id := w.verified(t, q, b.redeem(q, q.wantCode(b.signIn(b.authorize(q), patient))).text("id_token")); id["acr"] != "1" {
			t.Errorf("acr %v", id["acr"])
		}
		b, q = w.browser(t), webRequest("acr_values", "2")
		to := b.signIn(b.authorize(q), patient).location()
		if to.Path != "/login/second" {
			t.Fatalf("led to %s", to)
		}
		flow := to.Query().Get("flow")
		if to := b.get("/consent?flow=" + flow).location(); to.Path != "/login" { // nobody is signed in
			t.Errorf("led to %s", to)
		}
		r := b.post("/login/second", url.Values{"flow": {flow}, "by": {"totp"}, "typed": {code(1)}})
		id := w.verified(t, q, b.redeem(q, q.wantCode(r)).text("id_token"))
		if id["acr"] != "2" || !cmp.Equal(id["amr"], []any{"sms", "otp", "mfa"}) || id["sub"] != userID {
			t.Errorf("%v", id)
		}

		// What has no pages is sent to them.
		text, err := json.Marshal(map[string]string{"client_id": "app", "phone": patient, "agreement_version": "2026-11"})
		must(t, err)
		asked := b.do(http.MethodPost, "/v1/sms/challenges", string(text), "Content-Type", "application/json")
		answer := b.call("/oauth2/token", "app", url.Values{
			"grant_type": {"urn:dialtone:params:oauth:grant-type:sms-code"}, "challenge_id": {asked.text("challenge_id")}, "code": {"246810"}, "scope": {"openid"},
		})
		if answer.status != http.StatusBadRequest || answer.text("error") != "invalid_grant" || !strings.HasPrefix(answer.text("error_description"), "second_factor_required:") {
			t.Errorf("the SMS-code grant: %d %s", answer.status, answer.body)
		}
	})
}
