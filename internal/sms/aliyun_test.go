package sms

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

func aliyunVendor() sdkVendor {
	const id, secret = "LTAItestkeyid", "a secret key of tests"
	return sdkVendor{
		id: id, secret: secret, codes: AliyunCodes(), wrongKey: "SignatureDoesNotMatch",
		serve: func(c fake.Config) (http.Handler, *fake.Core) {
			params := []fake.Param{{Name: "code"}}
			c.Signs = []string{"示例签名"}
			c.Templates = []fake.Template{
				{ID: "SMS_100000001", Text: "您的验证码是${code}。", Params: params},
				{ID: "SMS_100000002", Text: "${code} is your code.", Params: params, Abroad: true},
			}
			f := fake.NewAliyun(fake.AliyunConfig{Config: c, Keys: map[string]string{id: secret}})
			return f, f.Core
		},
		open: func(endpoint, secret string, trust *tls.Config) (Provider, error) {
			return NewAliyun(aliyunSettings(endpoint, id, secret, trust))
		},
	}
}

func aliyunSettings(endpoint, id, secret string, trust *tls.Config) AliyunConfig {
	return AliyunConfig{
		Name: "aliyun-main", Endpoint: endpoint, AccessKeyID: id, AccessKeySecret: secret, SignName: "示例签名", TLS: trust,
		Templates: map[TemplateUse]VendorTemplate{{}: {ID: "SMS_100000001"}, {International: true}: {ID: "SMS_100000002"}},
	}
}

func TestAliyun(t *testing.T) { aliyunVendor().all(t) }

// C-19: without its plus sign a number of North America may read like a mobile of
// mainland China, which is somebody else's.
func TestAliyunSendsNoCodeToANamesake(t *testing.T) {
	f := fake.NewAliyun(fake.AliyunConfig{Keys: map[string]string{"LTAItestkeyid": "s"}, Config: fake.Config{
		Templates: []fake.Template{{ID: "SMS_1", Text: "${code}", Params: []fake.Param{{Name: "code"}}, Both: true}},
	}})
	srv := httptest.NewServer(f)
	defer srv.Close()
	c := aliyunSettings(srv.URL, "LTAItestkeyid", "s", nil)
	c.Templates = map[TemplateUse]VendorTemplate{{}: {ID: "SMS_1"}, {International: true}: {ID: "SMS_1"}}
	p, err := NewAliyun(c)
	if err != nil {
		t.Fatal(err)
	}
	for e164, served := range map[string]bool{
		"+1" + "3105550101": false, "+1" + "9175550101": false, "+12025550101": true, "+8613800138001": true, "+8529123456": true,
	} {
		ref, err := p.Send(t.Context(), sdkMessage(t, e164, 0))
		var failed *SendError
		if got := f.Inbox().To(e164); (len(got) == 1) != served || (ref != "") != served || !served && (!errors.As(err, &failed) || !failed.unserved()) {
			t.Errorf("%s: %d messages, %v", e164, len(got), err)
		}
		if p.Serves(number(t, e164), Login) != served {
			t.Errorf("%s: a route asks otherwise", e164)
		}
	}
	if n := len(f.Inbox().Messages()); n != 3 {
		t.Errorf("%d messages", n)
	}
}

// S-15: what stands in a URL stands in the logs of whoever is between us.
func TestAliyunKeepsTheURLEmpty(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		form, bad := url.ParseQuery(string(body))
		if err != nil || bad != nil || r.Method != http.MethodPost || r.RequestURI != "/" {
			t.Errorf("%s %s: %v, %v", r.Method, r.RequestURI, err, bad)
		}
		if form.Get("TemplateParam") != `{"min":"5","code":"013579"}` || form.Get("PhoneNumbers") != "13800138080" ||
			form.Get("OutId") != "0199-message-0" || form.Get("RegionId") != "cn-hangzhou" {
			t.Errorf("form %v", form)
		}
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, " "), "013579") {
				t.Errorf("header %s", name)
			}
		}
		io.WriteString(w, `{"Message":"OK","RequestId":"1","Code":"OK","BizId":"900619746936498440^0"}`)
	}))
	defer srv.Close()
	c := aliyunSettings(srv.URL, "LTAItestkeyid", "a secret key of tests", nil)
	c.Templates[TemplateUse{}] = VendorTemplate{ID: "SMS_100000001", Params: []TemplateParam{{"min", "{{minutes}}"}, {"code", "{{code}}"}}}
	p, err := NewAliyun(c)
	if err != nil {
		t.Fatal(err)
	}
	if ref, err := p.Send(t.Context(), sdkMessage(t, "+8613800138080", 0)); err != nil || ref != "900619746936498440^0" {
		t.Errorf("reference %q, %v", ref, err)
	}
}

// Plain HTTP is what the SDK does unless told.
func TestAliyunForcesHTTPS(t *testing.T) {
	p, err := NewAliyun(aliyunSettings("", "LTAItestkeyid", "a secret key of tests", nil))
	if err != nil {
		t.Fatal(err)
	}
	req, failed := p.request(sdkMessage(t, "+8613800138080", 0))
	if failed != nil || req.Scheme != "https" || req.Domain != "dysmsapi.aliyuncs.com" || req.SignName != "示例签名" {
		t.Errorf("%v %s://%s", failed, req.Scheme, req.Domain)
	}
}

// Variables of the environment that the SDK would stumble over or print by.
func TestAliyunIgnoresTheSDKsEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1/%zz")
	t.Setenv("NO_PROXY", "[,(")
	p, core := aliyunVendor().begin(t, fake.Config{})
	if failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", 0)); failed != nil || core.Calls() != 1 {
		t.Errorf("%v after %d calls", failed, core.Calls())
	}
	t.Setenv("DEBUG", "other,sdk")
	if _, err := NewAliyun(aliyunSettings("", "LTAItestkeyid", "a secret key of tests", nil)); err == nil {
		t.Error("the SDK may print codes")
	}
}

func TestAliyunLimits(t *testing.T) {
	p, core := aliyunVendor().begin(t, fake.Config{})
	if failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", 0)); failed != nil {
		t.Fatal(failed)
	}
	failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", 1))
	if failed == nil || failed.Class != NumberLimited || failed.RetryAfter != time.Minute {
		t.Errorf("%+v", failed)
	}
	for message, wait := range map[string]time.Duration{"触发小时级流控Permits:5": time.Hour, "触发天级流控Permits:10": 24 * time.Hour, "": 0} {
		core.Script(fake.Outcome{Code: "isv.BUSINESS_LIMIT_CONTROL", Message: message})
		if failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138081", 1)); failed == nil || failed.RetryAfter != wait {
			t.Errorf("%s: %+v", message, failed)
		}
	}
}

func TestAliyunRefusesConfigurations(t *testing.T) {
	for name, spoil := range map[string]func(*AliyunConfig){
		"access_key_id":     func(c *AliyunConfig) { c.AccessKeyID = "" },
		"access_key_secret": func(c *AliyunConfig) { c.AccessKeySecret = "" },
		"sign_name":         func(c *AliyunConfig) { c.SignName = "" },
		"region":            func(c *AliyunConfig) { c.Region = "cn hangzhou" },
		"no template":       func(c *AliyunConfig) { c.Templates = nil },
		"nameless": func(c *AliyunConfig) {
			c.Templates[TemplateUse{}] = VendorTemplate{ID: "1", Params: []TemplateParam{{"", "{{code}}"}}}
		},
		"one name twice": func(c *AliyunConfig) {
			c.Templates[TemplateUse{}] = VendorTemplate{ID: "1", Params: []TemplateParam{{"code", "{{code}}"}, {"code", "{{minutes}}"}}}
		},
	} {
		c := aliyunSettings("", "LTAItestkeyid", "a secret key of tests", nil)
		spoil(&c)
		if _, err := NewAliyun(c); err == nil || strings.Contains(err.Error(), "a secret key of tests") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
