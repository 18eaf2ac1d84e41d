package sms

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

func tencentVendor() sdkVendor {
	const id, secret = "AKIDtestkeyid", "a secret key of tests"
	return sdkVendor{
		id: id, secret: secret, codes: TencentCodes(), wrongKey: "AuthFailure.SignatureFailure",
		serve: func(c fake.Config) (http.Handler, *fake.Core) {
			params := []fake.Param{{}, {}}
			c.Signs = []string{"示例签名"}
			c.Templates = []fake.Template{
				{ID: "1110", Text: "验证码{1},{2}分钟内有效。", Params: params},
				{ID: "1111", Text: "{1} is your code for {2} minutes.", Params: params, Abroad: true},
			}
			f := fake.NewTencent(fake.TencentConfig{Config: c, Keys: map[string]string{id: secret}, Apps: []string{"1400000001"}})
			return f, f.Core
		},
		open: func(endpoint, secret string, trust *tls.Config) (Provider, error) {
			return NewTencent(tencentSettings(endpoint, id, secret, trust))
		},
	}
}

func tencentSettings(endpoint, id, secret string, trust *tls.Config) TencentConfig {
	return TencentConfig{
		Name: "tencent-main", Endpoint: endpoint, SecretID: id, SecretKey: secret, SDKAppID: "1400000001", SignName: "示例签名", TLS: trust,
		Templates: map[TemplateUse]VendorTemplate{{}: {ID: "1110"}, {International: true}: {ID: "1111"}},
	}
}

func TestTencent(t *testing.T) { tencentVendor().all(t) }

func TestTencentText(t *testing.T) {
	p, core := tencentVendor().begin(t, fake.Config{})
	for _, e164 := range []string{"+8613800138080", "+12025550101"} {
		if _, err := p.Send(t.Context(), sdkMessage(t, e164, 0)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, m := range core.Inbox().Messages() {
		got = append(got, m.Text)
	}
	if diff := cmp.Diff([]string{"【示例签名】验证码013579,5分钟内有效。", "013579 is your code for 5 minutes."}, got); diff != "" {
		t.Error(diff)
	}
}

// The vendor's own limits for a number are answered as ours are.
func TestTencentLimits(t *testing.T) {
	p, _ := tencentVendor().begin(t, fake.Config{})
	for i, want := range []string{"", "", "LimitExceeded.PhoneNumberDailyLimit"} {
		failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", i))
		switch {
		case want == "" && failed != nil:
			t.Errorf("message %d: %v", i, failed)
		case want != "" && (failed == nil || failed.Class != NumberLimited || failed.Code != want || failed.RetryAfter <= 0 || failed.RetryAfter > 24*time.Hour):
			t.Errorf("message %d: %v", i, failed)
		}
	}
	if failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138081", 1)); failed != nil {
		t.Errorf("another number: %v", failed)
	}
	failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138081", 1))
	if failed == nil || failed.Code != "LimitExceeded.PhoneNumberThirtySecondLimit" || failed.RetryAfter != 30*time.Second {
		t.Errorf("the same text at once: %+v", failed)
	}
}

func TestTencentRefusesConfigurations(t *testing.T) {
	for name, spoil := range map[string]func(*TencentConfig){
		"secret_id":  func(c *TencentConfig) { c.SecretID = "" },
		"header":     func(c *TencentConfig) { c.SecretID = "a\nb" },
		"secret_key": func(c *TencentConfig) { c.SecretKey = "" },
		"sdk_app_id": func(c *TencentConfig) { c.SDKAppID = "" },
		"sign_name":  func(c *TencentConfig) { c.SignName = "" },
		"sign_name of a purpose": func(c *TencentConfig) {
			c.SignName, c.Templates = "", map[TemplateUse]VendorTemplate{{Purpose: Login}: {ID: "1", Sign: "x"}, {Purpose: Delete}: {ID: "2"}}
		},
		"no template": func(c *TencentConfig) { c.Templates = nil },
		"no id":       func(c *TencentConfig) { c.Templates = map[TemplateUse]VendorTemplate{{}: {}} },
		"purpose":     func(c *TencentConfig) { c.Templates[TemplateUse{Purpose: "x"}] = VendorTemplate{ID: "1"} },
		"named": func(c *TencentConfig) {
			c.Templates[TemplateUse{}] = VendorTemplate{ID: "1", Params: []TemplateParam{{"code", "{{code}}"}}}
		},
		"codeless": func(c *TencentConfig) {
			c.Templates[TemplateUse{}] = VendorTemplate{ID: "1", Params: []TemplateParam{{"", "{{minutes}}"}}}
		},
		"unknown thing": func(c *TencentConfig) {
			c.Templates[TemplateUse{}] = VendorTemplate{ID: "1", Params: []TemplateParam{{"", "{{code}} {{x}}"}}}
		},
	} {
		c := tencentSettings("", "AKIDtestkeyid", "a secret key of tests", nil)
		spoil(&c)
		if _, err := NewTencent(c); err == nil || strings.Contains(err.Error(), c.SecretKey) && c.SecretKey != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A side of the border or a purpose without a template is another provider's business.
func TestTencentTemplates(t *testing.T) {
	c := tencentSettings("http://127.0.0.1:1", "AKIDtestkeyid", "a secret key of tests", nil)
	c.Templates = map[TemplateUse]VendorTemplate{{Purpose: ChangePhone}: {ID: "1"}}
	p, err := NewTencent(c)
	if err != nil {
		t.Fatal(err)
	}
	for e164, code := range map[string]string{"+8613800138080": "no_template", "+12025550101": "international"} {
		if failed := judged(t.Context(), t, p, sdkMessage(t, e164, 0)); failed == nil || failed.Class != Failover || failed.Code != code {
			t.Errorf("%s: %v", code, failed)
		}
	}
	if failed := judged(t.Context(), t, p, Message{ID: "x", Code: "013579", Purpose: ChangePhone}); failed == nil || failed.Class != BadNumber {
		t.Errorf("no number: %v", failed)
	}
}
