package oauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

const smsGrant = "urn:dialtone:params:oauth:grant-type:sms-code"

func (b *browser) challenge(body map[string]any, header ...string) reply {
	b.t.Helper()
	raw, err := json.Marshal(body)
	must(b.t, err)
	return b.do(http.MethodPost, "/v1/sms/challenges", string(raw), append([]string{"Content-Type", "application/json"}, header...)...)
}

func agreed(number string) map[string]any {
	return map[string]any{"client_id": "app", "phone": number, "agreement_version": "2026-11"}
}

func (b *browser) redeemSMS(clientID, challenge, code string) reply {
	b.t.Helper()
	return b.call("/oauth2/token", clientID, url.Values{"grant_type": {smsGrant}, "challenge_id": {challenge}, "code": {code},
		"scope": {"openid phone offline_access"}})
}

func TestNativeSignIn(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b, number := w.browser(t), newNumber()
		r := b.challenge(agreed(number), "Accept", "application/cbor, text/html;q=0.5")
		if r.status != http.StatusCreated || r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Link") != "" {
			t.Fatalf("%d %v %s", r.status, r.header, r.body)
		}
		if got := r.json()["masked_phone"]; got != "+86 138****"+number[len(number)-4:] {
			t.Errorf("masked as %v", got)
		}
		wantGolden(t, "challenge.json", shape(t, normal(t, r.body)))
		id := r.text("challenge_id")

		wrong := "000000"
		if w.inbox.code(t, number) == wrong {
			wrong = "000001"
		}
		for name, c := range map[string][3]string{
			"wrong code": {"app", id, wrong}, "malformed code": {"app", id, "1"}, "unknown challenge": {"app", "x", "123456"},
			"foreign client": {"app-basic", id, w.inbox.code(t, number)},
		} {
			r := b.redeemSMS(c[0], c[1], c[2])
			if r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" && r.text("error") != "invalid_scope" {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		ok := b.redeemSMS("app", id, w.inbox.code(t, number))
		if ok.status != http.StatusOK || ok.json()["user_created"] != true {
			t.Fatalf("%d %s", ok.status, ok.body)
		}
		if got := b.userinfo(ok.text("access_token")).text("phone_number"); got != number {
			t.Errorf("userinfo: %q", got)
		}
		said := claims(t, ok.text("id_token"))
		if said["sid"] != nil || said["acr"] != "1" || fmt.Sprint(said["amr"]) != "[sms otp]" {
			t.Errorf("ID token: %v", said)
		}
		if used := b.redeemSMS("app", id, w.inbox.code(t, number)); used.status != http.StatusBadRequest || used.text("error") != "invalid_grant" {
			t.Errorf("used: %d %s", used.status, used.body)
		}

		// What was agreed to travelled with the challenge.
		var version, locale string
		must(t, w.db.QueryRow(t.Context(), `SELECT version, locale FROM agreements WHERE client_id = 'app'`).Scan(&version, &locale))
		if version != "2026-11" || locale != "zh-CN" {
			t.Errorf("agreement %q, %q", version, locale)
		}
	})
}

// normal replaces the seconds, which depend on when they are looked at.
func normal(t *testing.T, body string) string {
	t.Helper()
	var v map[string]any
	must(t, json.Unmarshal([]byte(body), &v))
	expires, _ := v["expires_in"].(float64)
	resend, _ := v["resend_after"].(float64)
	if expires < 290 || expires > 300 || resend < 50 || resend > 60 {
		t.Errorf("expires in %v, again after %v", expires, resend)
	}
	v["expires_in"], v["resend_after"] = 300, 60
	out, err := json.Marshal(v)
	must(t, err)
	return string(out)
}

// Every refusal of a code sounds the same, whatever the reason.
func TestRefusedCodesSoundAlike(t *testing.T) {
	w := newWorld(t)
	b, number := w.browser(t), newNumber()
	id := b.challenge(agreed(number)).text("challenge_id")
	wrong := "000000"
	if w.inbox.code(t, number) == wrong {
		wrong = "000001"
	}
	unknown := b.redeemSMS("app", "0198c0de-0000-7000-8000-000000000000", wrong)
	for i := range 7 { // wrong, wrong..., exhausted
		if r := b.redeemSMS("app", id, wrong); r.status != unknown.status || r.body != unknown.body {
			t.Fatalf("try %d: %d %s, unlike %s", i, r.status, r.body, unknown.body)
		}
	}
	if r := b.redeemSMS("app", id, w.inbox.code(t, number)); r.body != unknown.body {
		t.Fatalf("exhausted: %d %s", r.status, r.body)
	}

	first := b.redeemSMS("app-basic", "", "") // a malformed request is something else
	if first.text("error") == "invalid_grant" {
		t.Errorf("%s", first.body)
	}
}

func TestDisabledPersonGetsNoTokens(t *testing.T) {
	w := newWorld(t)
	b, number := w.browser(t), "+8613800138088"
	id := b.challenge(agreed(number)).text("challenge_id")
	ok := b.redeemSMS("app", id, "246810")
	sub, _ := claims(t, ok.text("id_token"))["sub"].(string)
	must(t, w.users.Disable(t.Context(), sub))
	id = b.challenge(agreed(number)).text("challenge_id")
	if r := b.redeemSMS("app", id, "246810"); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" || strings.Contains(r.body, "disabled") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestOneNativeCodeSignsInOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b, number := w.browser(t), newNumber()
		id := b.challenge(agreed(number)).text("challenge_id")
		code := w.inbox.code(t, number)
		var (
			mu     sync.Mutex
			wait   sync.WaitGroup
			counts = map[string]int{}
		)
		for range 30 {
			wait.Go(func() {
				r := b.redeemSMS("app", id, code)
				outcome := "ok"
				if r.status != http.StatusOK {
					outcome = r.text("error")
				}
				mu.Lock()
				counts[outcome]++
				mu.Unlock()
			})
		}
		wait.Wait()
		if counts["ok"] != 1 || counts["invalid_grant"] != 29 {
			t.Fatalf("%v", counts)
		}
	})
}

func TestNativeClientAuthentication(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	body := func(kv ...any) map[string]any {
		m := agreed(newNumber())
		for i := 0; i+1 < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	for name, c := range map[string]struct {
		body   map[string]any
		auth   string
		status int
		code   string
	}{
		"basic":                     {body("client_id", "app-basic"), basic("app-basic", secret), 201, ""},
		"in the body":               {body("client_id", "app-post", "client_secret", secret), "", 201, ""},
		"basic, wrong secret":       {body("client_id", "app-basic"), basic("app-basic", "x"), 401, "invalid_client"},
		"basic of another":          {body("client_id", "app-basic"), basic("app-post", secret), 400, "invalid_request"},
		"both":                      {body("client_id", "app-basic", "client_secret", secret), basic("app-basic", secret), 400, "invalid_request"},
		"by the other method":       {body("client_id", "app-basic", "client_secret", secret), "", 401, "invalid_client"},
		"no secret":                 {body("client_id", "app-basic"), "", 401, "invalid_client"},
		"public with a secret":      {body("client_secret", "x"), "", 401, "invalid_client"},
		"unknown":                   {body("client_id", "nobody"), "", 401, "invalid_client"},
		"nobody":                    {body("client_id", ""), "", 400, "invalid_request"},
		"without the grant":         {body("client_id", "spa"), "", 400, "unauthorized_client"},
		"third party":               {body("client_id", "native"), "", 400, "unauthorized_client"},
		"without the agreement":     {body("agreement_version", ""), "", 422, "agreement_required"},
		"endless agreement":         {body("agreement_version", strings.Repeat("x", 65)), "", 422, "agreement_required"},
		"agreement with line break": {body("agreement_version", "a\nb"), "", 422, "agreement_required"},
		"another purpose":           {body("purpose", "delete"), "", 422, "invalid_request"},
		"purpose login":             {body("purpose", "login", "locale", "en", "captcha", "x"), "", 201, ""},
		"odd locale":                {body("locale", "<svg>"), "", 422, "invalid_request"},
		"no phone":                  {body("phone", ""), "", 422, "invalid_request"},
		"bad phone":                 {body("phone", "12345"), "", 422, "phone_invalid"},
		"two phones":                {body("phone", "+8613800138001,+8613800138002"), "", 422, "phone_invalid"},
		"phone abroad":              {body("phone", "+12025550101"), "", 422, "phone_region_unsupported"},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			if c.auth != "" {
				header = []string{"Authorization", c.auth}
			}
			r := b.challenge(c.body, header...)
			if r.status != c.status {
				t.Fatalf("%d %s, want %d %s", r.status, r.body, c.status, c.code)
			}
			if c.code != "" {
				wantProblem(t, r, c.status, c.code)
			}
			if phone, _ := c.body["phone"].(string); len(phone) > 4 && strings.Contains(r.body, strings.TrimPrefix(phone, "+86")) {
				t.Error("the answer repeats the number")
			}
			if (r.header.Get("WWW-Authenticate") != "") != (r.status == 401) {
				t.Errorf("WWW-Authenticate %q", r.header.Get("WWW-Authenticate"))
			}
		})
	}
}

// wantProblem checks the form of RFC 9457.
func wantProblem(t *testing.T, r reply, status int, code string) {
	t.Helper()
	var p struct {
		Type, Title, Code, Detail string
		Status                    int
		Params                    map[string]string
	}
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || r.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%s: %v %s", r.header.Get("Content-Type"), err, r.body)
	}
	if p.Status != status || r.status != status || p.Code != code || p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("%d: %+v", r.status, p)
	}
	wantDescribed(t, r)
}

func TestMalformedChallenges(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	const number = "+8613800138001"
	for name, c := range map[string]struct {
		contentType, body string
		status            int
		code              string
	}{
		"form":            {"application/x-www-form-urlencoded", "client_id=app&phone=" + number, 415, "unsupported_media_type"},
		"no type":         {"", `{}`, 415, "unsupported_media_type"},
		"problem JSON":    {"application/problem+json", `{}`, 415, "unsupported_media_type"},
		"not JSON":        {"application/json", "phone=" + number, 400, "invalid_request"},
		"nothing":         {"application/json", "", 400, "invalid_request"},
		"two objects":     {"application/json", `{"client_id":"app"}{"phone":"` + number + `"}`, 400, "invalid_request"},
		"two phones":      {"application/json", `{"client_id":"app","phone":"` + number + `","phone":"+8613800138002"}`, 400, "invalid_request"},
		"array of phones": {"application/json", `{"client_id":"app","phone":["` + number + `"]}`, 422, "invalid_request"},
		"number":          {"application/json", `{"client_id":"app","phone":8613800138001}`, 422, "invalid_request"},
		"unknown member":  {"application/json", `{"client_id":"app","phone":"` + number + `","verified":"1"}`, 422, "invalid_request"},
		"huge":            {"application/json", `{"client_id":"` + strings.Repeat("x", 9<<10) + `"}`, 413, "request_too_large"},
		"charset":         {"application/json; charset=utf-8", `{"client_id":"app","phone":"x","agreement_version":"1"}`, 422, "phone_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/v1/sms/challenges", "/v1/sms/challenges/x/resend"} {
				if path != "/v1/sms/challenges" && (name == "charset" || name == "unknown member") {
					continue
				}
				var header []string
				if c.contentType != "" {
					header = []string{"Content-Type", c.contentType}
				}
				r := b.do(http.MethodPost, path, c.body, header...)
				if strings.Contains(path, "resend") && strings.Contains(c.body, `"phone"`) && c.status == 400 && name == "two phones" {
					c.status = 422 // phone is no member of a re-send
				}
				wantProblem(t, r, c.status, c.code)
				if strings.Contains(r.body, "138001380") {
					t.Error("the answer repeats the number")
				}
			}
		})
	}
	if w.inbox.sent.Load() != 0 {
		t.Error("a message was sent")
	}
}

func TestResend(t *testing.T) {
	w := newWorld(t)
	b, number := w.browser(t), newNumber()
	id := b.challenge(agreed(number)).text("challenge_id")
	resend := func(id, clientID string, header ...string) reply {
		t.Helper()
		return b.do(http.MethodPost, "/v1/sms/challenges/"+id+"/resend", `{"client_id":"`+clientID+`"}`, append([]string{"Content-Type", "application/json"}, header...)...)
	}
	r := resend(id, "app")
	wantProblem(t, r, http.StatusTooManyRequests, "sms_too_soon")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	wantProblem(t, resend("x", "app"), http.StatusUnprocessableEntity, "code_expired")
	wantProblem(t, resend(id, "app-basic", "Authorization", basic("app-basic", secret)), http.StatusUnprocessableEntity, "code_expired")
	wantProblem(t, resend(id, "nobody"), http.StatusUnauthorized, "invalid_client")

	// A test number has no cooldown: the same challenge goes on.
	id = b.challenge(agreed("+8613800138088")).text("challenge_id")
	if r := resend(id, "app"); r.status != http.StatusOK || r.text("challenge_id") != id {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestChallengesArePosted(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/v1/sms/challenges", "/v1/sms/challenges/x/resend"} {
		r := w.browser(t).get(path)
		wantProblem(t, r, http.StatusMethodNotAllowed, "method_not_allowed")
		if r.header.Get("Allow") != "POST" {
			t.Errorf("Allow %q", r.header.Get("Allow"))
		}
	}
}

// Whoever asks for a number that somebody else is signing in with gets a
// challenge of their own: neither names the other's.
func TestNativeChallengeBelongsToWhoAskedForIt(t *testing.T) {
	w := newWorld(t)
	b, number := w.browser(t), "+8613800138088" // a test number, which has no cooldown
	w.inbox.codes[number] = "246810"
	mine := b.challenge(agreed(number)).text("challenge_id")
	theirs := b.challenge(agreed(number)).text("challenge_id")
	id, key, _ := strings.Cut(mine, ".")
	otherID, otherKey, _ := strings.Cut(theirs, ".")
	if id == otherID || key == otherKey || len(key) < 26 {
		t.Fatal("two people share a challenge")
	}
	for _, forged := range []string{id, id + ".", id + "." + otherKey} {
		if r := b.redeemSMS("app", forged, "246810"); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
			t.Errorf("a forged name: %d %s", r.status, r.body)
		}
	}
	if r := b.redeemSMS("app", mine, "246810"); r.status != http.StatusOK {
		t.Errorf("my own: %d %s", r.status, r.body)
	}
}
