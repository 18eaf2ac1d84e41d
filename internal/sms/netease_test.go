package sms

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

const (
	neteaseKey    = "netease-app-key-1"
	neteaseSecret = "netease-app-secret-1"
)

func netEaseUnderTest(c fake.NetEaseConfig) vendorUnderTest {
	c.Apps = map[string]string{neteaseKey: neteaseSecret}
	if c.Templates == nil {
		c.Templates = []fake.Template{
			{ID: "1001", Text: "您的验证码是#{code}", Params: []fake.Param{{Name: "code"}}},
			{ID: "2001", Text: "Your code is #{code}", Params: []fake.Param{{Name: "code"}}, Abroad: true},
		}
	}
	f := fake.NewNetEase(c)
	return vendorUnderTest{
		make: func(endpoint, secret string, authorities *tls.Config) (Provider, error) {
			return NewNetEase(NetEaseConfig{
				Name: "vendor", Endpoint: endpoint, AppKey: neteaseKey, AppSecret: secret, TLS: authorities,
				Templates: map[TemplateUse]VendorTemplate{{}: {ID: "1001"}, {International: true}: {ID: "2001"}},
			})
		},
		fake: f, core: f.Core, secret: neteaseSecret, secrets: []string{neteaseKey, neteaseSecret},
		signed: func(r *http.Request) []string { return []string{r.Header.Get("CheckSum"), r.Header.Get("Nonce")} },
		codes:  NetEaseCodes(), refused: "414",
	}
}

func TestNetEaseAgainstItsFake(t *testing.T) {
	testVendor(t, func() vendorUnderTest { return netEaseUnderTest(fake.NetEaseConfig{}) })
}

func TestNetEaseMessages(t *testing.T) {
	for name, test := range map[string]struct {
		to, template, text string
	}{
		"mainland":      {"+8613800138009", "1001", "您的验证码是048213"},
		"United States": {"+12025550101", "2001", "Your code is 048213"},
	} {
		for _, strings := range []bool{false, true} {
			v := netEaseUnderTest(fake.NetEaseConfig{Strings: strings})
			ref, err := v.start(t).Send(t.Context(), vendorMessage(t, test.to, 1))
			if err != nil || ref != "88" {
				t.Errorf("%s: %q, %v", name, ref, err)
				continue
			}
			got := v.core.Inbox().Messages()[0]
			if got.To != test.to || got.Template != test.template || got.Text != test.text {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}

func TestNetEaseFormsAreTheVendorsOwn(t *testing.T) {
	forms := make(chan url.Values, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.URL.Path != "/sms/sendcode.action" || r.URL.RawQuery != "" {
			t.Errorf("%s %v", r.URL, err)
		}
		forms <- r.PostForm
		io.WriteString(w, `{"code":200,"msg":"88","obj":"1908"}`)
	}))
	defer srv.Close()
	ordered := []TemplateParam{{"time", "{{minutes}} min"}, {"code", "{{code}}"}, {"a", `"`}}
	all := map[TemplateUse]VendorTemplate{{}: {ID: "1"}, {Purpose: StepUp}: {ID: "2", Params: ordered}, {International: true}: {ID: "3"}, {Delete, true}: {ID: "4"}}
	for _, test := range []struct {
		style     string
		templates map[TemplateUse]VendorTemplate
		to        string
		purpose   Purpose
		want      url.Values
	}{
		{"", all, "+8613800138010", Login, url.Values{"mobile": {"13800138010"}, "templateid": {"1"}, "paramMap": {`{"code":"048213"}`}}},
		{"", all, "+8613800138010", Delete, url.Values{"mobile": {"13800138010"}, "templateid": {"1"}, "paramMap": {`{"code":"048213"}`}}},
		{"", all, "+8613800138010", StepUp, url.Values{"mobile": {"13800138010"}, "templateid": {"2"}, "paramMap": {`{"time":"5 min","code":"048213","a":"\""}`}}},
		{"paramMap", all, "+12025550101", StepUp, url.Values{"mobile": {"+1-2025550101"}, "templateid": {"3"}, "paramMap": {`{"code":"048213"}`}}},
		{"", all, "+12025550101", Delete, url.Values{"mobile": {"+1-2025550101"}, "templateid": {"4"}, "paramMap": {`{"code":"048213"}`}}},
		{"authCode", nil, "+8613800138010", Login, url.Values{"mobile": {"13800138010"}, "authCode": {"048213"}}},
		{"authCode", map[TemplateUse]VendorTemplate{{}: {ID: "5"}}, "+8613800138010", Login, url.Values{"mobile": {"13800138010"}, "templateid": {"5"}, "authCode": {"048213"}}},
		{"authCode", map[TemplateUse]VendorTemplate{{}: {ID: "5"}}, "+12025550101", Login, url.Values{"mobile": {"+1-2025550101"}, "authCode": {"048213"}}},
	} {
		p, err := NewNetEase(NetEaseConfig{Name: "vendor", Endpoint: srv.URL, AppKey: "k", AppSecret: "s", ParamStyle: test.style, Templates: test.templates})
		if err != nil {
			t.Fatal(err)
		}
		m := vendorMessage(t, test.to, 1)
		m.Purpose, m.TTL = test.purpose, 5*time.Minute-time.Second
		if ref, err := p.Send(t.Context(), m); err != nil || ref != "88" {
			t.Fatal(ref, err)
		}
		if diff := cmp.Diff(test.want, <-forms); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNetEaseAuthCodeAgainstItsFake(t *testing.T) {
	v := netEaseUnderTest(fake.NetEaseConfig{Older: true})
	srv := httptest.NewServer(v.fake)
	defer srv.Close()
	p, err := NewNetEase(NetEaseConfig{Name: "vendor", Endpoint: srv.URL, AppKey: neteaseKey, AppSecret: neteaseSecret, ParamStyle: NetEaseAuthCode})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"+8613800138011", "+12025550101"} {
		if _, err := p.Send(t.Context(), vendorMessage(t, to, 1)); err != nil {
			t.Error(err)
		}
		if got := v.core.Inbox().To(to); len(got) != 1 || got[0].Values[0] != vendorCode {
			t.Errorf("%+v", got)
		}
	}
}

func TestNetEaseServesNobodyAbroadWithoutATemplate(t *testing.T) {
	p, err := NewNetEase(NetEaseConfig{Name: "vendor", Endpoint: "http://127.0.0.1:1", AppKey: "k", AppSecret: "s", Templates: map[TemplateUse]VendorTemplate{{Purpose: Login}: {ID: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	m := vendorMessage(t, "+12025550101", 1)
	_, err = p.Send(t.Context(), m)
	wantFailure(t, "abroad", err, Failover, "international")
	m.To, m.Purpose = number(t, "+8613800138012"), Delete
	_, err = p.Send(t.Context(), m)
	wantFailure(t, "another purpose", err, Failover, "no_template")
}

// 414 is a wrong checksum, a wrong clock, a wrong parameter or a wrong number.
func TestNetEase414(t *testing.T) {
	v := netEaseUnderTest(fake.NetEaseConfig{})
	p := v.start(t)
	for text, want := range map[string]Class{"mobile format error": BadNumber, "illegal phone": BadNumber, "手机号码错误": BadNumber, "checksum": Misconfigured, "templateid": Misconfigured} {
		v.core.Script(fake.Outcome{Code: "414", Message: text})
		_, err := p.Send(t.Context(), vendorMessage(t, "+8613800138013", 1))
		wantFailure(t, text, err, want, "414")
	}
	late := netEaseUnderTest(fake.NetEaseConfig{Config: fake.Config{Now: func() time.Time { return time.Now().Add(6 * time.Minute) }}})
	_, err := late.start(t).Send(t.Context(), vendorMessage(t, "+8613800138013", 1))
	wantFailure(t, "a clock that is off", err, Misconfigured, "414")
}

func TestNetEaseLimitOfANumber(t *testing.T) {
	v := netEaseUnderTest(fake.NetEaseConfig{})
	p := v.start(t)
	for i := range 11 {
		m := vendorMessage(t, "+8613800138014", i)
		m.Code = fmt.Sprintf("%06d", i)
		_, err := p.Send(t.Context(), m)
		if i < 10 && err != nil {
			t.Fatal(err)
		}
		if i == 10 {
			wantFailure(t, "the eleventh", err, NumberLimited, "416")
		}
	}
}

func TestNetEaseRepliesThatSayNothing(t *testing.T) {
	var answer atomic.Pointer[string]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, *answer.Load()) }))
	defer srv.Close()
	p := netEaseUnderTest(fake.NetEaseConfig{}).provider(t, srv.URL)
	for _, body := range []string{"", "null", "{}", "[]", `"200"`, `{"code":null}`, `{"code":[200]}`, `{"code":true}`, `{"code":2e2}`, `{"code":200`, `<html>`, `{"code":200}{`} {
		answer.Store(&body)
		_, err := p.Send(t.Context(), vendorMessage(t, "+8613800138015", 1))
		wantFailure(t, body, err, Ambiguous, "")
	}
	for body, ref := range map[string]string{
		`{"code":200,"msg":"88","obj":"048213"}`: "88", `{"code":"200","msg":88,"obj":48213}`: "88", `{"code":200}`: "",
		`{"code":200,"msg":"048213"}`: "", `{"code":200,"msg":"+86 13800138015"}`: "", `{"code":200,"msg":"8613800138015"}`: "", `{"code":200,"msg":{"a":1}}`: "",
	} {
		answer.Store(&body)
		if got, err := p.Send(t.Context(), vendorMessage(t, "+8613800138015", 1)); err != nil || got != ref {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
}

// The table as the vendor's documentation has it, apart from the code's.
func TestNetEaseClasses(t *testing.T) {
	wantClasses(t, NetEaseCodes(), map[Class]string{
		"": "200", Misconfigured: "315 400 403 404 414 426 601", BadNumber: "301", Blocked: "412", NumberLimited: "416",
		Ambiguous: "500", Failover: "413 419 431 503",
	})
}

// The vector was computed apart from this code.
func TestNetEaseCheckSum(t *testing.T) {
	if got := netEaseCheckSum("yunxin-test-secret", "nonce-0001", "1700000000"); got != "2b86bba233c5756c688e7d48ad25d348ebcdf53b" {
		t.Error(got)
	}
}

func TestNewNetEaseRefusesBadConfiguration(t *testing.T) {
	good := map[TemplateUse]VendorTemplate{{}: {ID: "1"}}
	with := func(params ...TemplateParam) map[TemplateUse]VendorTemplate {
		return map[TemplateUse]VendorTemplate{{}: {ID: "1", Params: params}}
	}
	for name, c := range map[string]NetEaseConfig{
		"no key":              {AppSecret: "s", Templates: good},
		"no secret":           {AppKey: "k", Templates: good},
		"key with a line":     {AppKey: "k\r\n", AppSecret: "s", Templates: good},
		"style":               {AppKey: "k", AppSecret: "s", Templates: good, ParamStyle: "params"},
		"no template":         {AppKey: "k", AppSecret: "s"},
		"no id":               {AppKey: "k", AppSecret: "s", Templates: map[TemplateUse]VendorTemplate{{}: {}}},
		"purpose":             {AppKey: "k", AppSecret: "s", Templates: map[TemplateUse]VendorTemplate{{Purpose: "x"}: {ID: "1"}}},
		"placeholder":         {AppKey: "k", AppSecret: "s", Templates: with(TemplateParam{"code", "{{code}}{{x}}"})},
		"no code":             {AppKey: "k", AppSecret: "s", Templates: with(TemplateParam{"code", "{{minutes}}"})},
		"no name":             {AppKey: "k", AppSecret: "s", Templates: with(TemplateParam{"", "{{code}}"})},
		"authCode and params": {AppKey: "k", AppSecret: "s", Templates: with(TemplateParam{"code", "{{code}}"}), ParamStyle: NetEaseAuthCode},
	} {
		if _, err := NewNetEase(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
