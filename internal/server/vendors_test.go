package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// A person signs in with a code that each vendor's fake delivered, signature
// checked; and with the second vendor's where the first cannot be reached.
func TestSignInThroughVendors(t *testing.T) {
	inbox := fake.NewInbox()
	one, two := []fake.Param{{Name: "code"}}, []fake.Param{{Name: "code"}, {Name: "minutes"}}
	config := func(id, text string, params []fake.Param) fake.Config {
		return fake.Config{Inbox: inbox, Templates: []fake.Template{{ID: id, Text: text, Params: params}}}
	}
	signed := func(c fake.Config, sign string) fake.Config {
		c.Signs = []string{sign}
		return c
	}
	const key, secret = "id-of-the-tests", "0123456789abcdef0123456789abcdef"
	at := func(h http.Handler) string { return serve(t, h.ServeHTTP) }
	vendors := map[string]string{
		"aliyun": fmt.Sprintf(`{type: aliyun, endpoint: %q, access_key_id: %s, access_key_secret: %s, sign_name: 示例签名, template_code: SMS_0,
      templates: {delete: {id: SMS_2}, login: {id: SMS_1, sign_name: 登录签名, params: {code: "{{code}}", min: "{{minutes}}"}}}}`,
			at(fake.NewAliyun(fake.AliyunConfig{Config: signed(config("SMS_1", "验证码${code}，${min}分钟内有效", []fake.Param{{Name: "code"}, {Name: "min"}}), "登录签名"), Keys: map[string]string{key: secret}})), key, secret),
		"tencent": fmt.Sprintf(`{type: tencent, endpoint: %q, secret_id: %s, secret_key: %s, sdk_app_id: "1400000001", sign_name: 示例签名, template_id: "1110"}`,
			at(fake.NewTencent(fake.TencentConfig{Config: config("1110", "验证码{1}，{2}分钟内有效", two), Keys: map[string]string{key: secret}})), key, secret),
		"netease": fmt.Sprintf(`{type: netease, endpoint: %q, app_key: %s, app_secret: %s, template_id: "3001"}`,
			at(fake.NewNetEase(fake.NetEaseConfig{Config: config("3001", "验证码#{code}", one), Apps: map[string]string{key: secret}})), key, secret),
		"cloopen": fmt.Sprintf(`{type: yuntongxun, endpoint: %q, account_sid: %q, auth_token: %q, app_id: app1, template_id: "1", params: ["{{code}}", "{{minutes}}分钟"]}`,
			at(fake.NewYuntongxun(fake.YuntongxunConfig{Config: config("1", "验证码{1}，{2}分钟内有效", two),
				Accounts: map[string]fake.YuntongxunAccount{secret: {Token: secret}}})), secret, secret),
		"dead": fmt.Sprintf(`{type: tencent, endpoint: "http://%s", secret_id: a, secret_key: b, sdk_app_id: c, sign_name: d, template_id: e}`, freeAddress(t)),
	}
	var members strings.Builder
	for name, v := range vendors {
		members.WriteString("\n    " + name + ": " + v)
	}
	for _, route := range []string{"aliyun", "tencent", "netease", "cloopen", "dead, aliyun"} {
		t.Run(route, func(t *testing.T) {
			s := startWith(t, modes[0], options{vendors: members.String(), route: route})
			a, number := newAgent(t, s), newNumber()
			q := newRequest("web", "https://rp.example/cb")
			flow := a.authorize(q).location(t).Query().Get("flow")
			to := a.post("/login", values("flow", flow, "phone", number)).location(t)
			var got []fake.Received
			for range 300 {
				if got = inbox.To(number); len(got) > 0 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if len(got) != 1 {
				t.Fatalf("%d messages: %s", len(got), s.log)
			}
			code := a.codeOf(q, a.finish(waiting{flow: flow, challenge: to.Query().Get("challenge"), number: number, code: got[0].Values[0]}))
			if r := a.redeem(q, code); r.status != http.StatusOK {
				t.Fatalf("redeem: %d %s", r.status, r.body)
			}
			if route != "dead, aliyun" {
				return
			}
			for range 2 { // and then the dead one is given up
				a, number := newAgent(t, s), newNumber()
				a.post("/login", values("flow", a.authorize(newRequest("web", "https://rp.example/cb")).location(t).Query().Get("flow"), "phone", number))
				if len(inbox.To(number)) != 1 {
					t.Errorf("%d messages", len(inbox.To(number)))
				}
			}
			metrics := a.get(s.metrics[0] + "/metrics").body
			for _, line := range []string{`dialtone_sms_breaker_state{provider="dead"} 2`, `dialtone_sms_breaker_state{provider="aliyun"} 0`} {
				if !strings.Contains(metrics, line) {
					t.Errorf("no %s in the metrics", line)
				}
			}
		})
	}
}

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}
