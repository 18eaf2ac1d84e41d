package sms

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

const (
	yuntongxunSID   = "0123456789abcdef0123456789abcdef"
	yuntongxunToken = "fedcba9876543210fedcba9876543210"
	yuntongxunApp   = "8a216da8000000000000000000000001"
)

func yuntongxunUnderTest(c fake.YuntongxunConfig) vendorUnderTest {
	c.Accounts = map[string]fake.YuntongxunAccount{yuntongxunSID: {Token: yuntongxunToken, Apps: []string{yuntongxunApp}}}
	c.Templates = []fake.Template{{ID: "1", Text: "您的验证码是{1},{2}分钟内有效", Params: make([]fake.Param, 2)}}
	f := fake.NewYuntongxun(c)
	return vendorUnderTest{
		make: func(endpoint, secret string, authorities *tls.Config) (Provider, error) {
			return NewYuntongxun(YuntongxunConfig{
				Name: "vendor", Endpoint: endpoint, AccountSID: yuntongxunSID, AuthToken: secret, AppID: yuntongxunApp, TLS: authorities,
				Templates: map[TemplateUse]VendorTemplate{{}: {ID: "1"}},
			})
		},
		fake: f, core: f.Core, secret: yuntongxunToken, secrets: []string{yuntongxunSID, yuntongxunToken, yuntongxunApp},
		signed: func(r *http.Request) []string {
			return []string{r.URL.Query().Get("sig"), r.Header.Get("Authorization")}
		},
		codes: YuntongxunCodes(), refused: "111109",
	}
}

func TestYuntongxunAgainstItsFake(t *testing.T) {
	testVendor(t, func() vendorUnderTest { return yuntongxunUnderTest(fake.YuntongxunConfig{}) })
}

func TestYuntongxunMessage(t *testing.T) {
	v := yuntongxunUnderTest(fake.YuntongxunConfig{})
	m := vendorMessage(t, "+8613800138020", 1)
	m.TTL -= time.Second
	ref, err := v.start(t).Send(t.Context(), m)
	if err != nil || ref == "" {
		t.Fatalf("%q, %v", ref, err)
	}
	got := v.core.Inbox().Messages()[0]
	want := fake.Received{
		Provider: "yuntongxun", To: "+8613800138020", Template: "1", Values: []string{vendorCode, "5"}, Text: "您的验证码是048213,5分钟内有效",
		MessageID: "019a9b1c000070008000000000000001", Ref: ref, At: got.At,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestYuntongxunServesTheMainlandAlone(t *testing.T) {
	v := yuntongxunUnderTest(fake.YuntongxunConfig{})
	p := v.start(t)
	for _, to := range []string{"+12025550101"} {
		_, err := p.Send(t.Context(), vendorMessage(t, to, 1))
		wantFailure(t, to, err, Failover, "international")
	}
	if v.core.Calls() != 0 {
		t.Errorf("%d calls", v.core.Calls())
	}
}

// A message that the vendor has taken before is not sent again, and counts as accepted.
func TestYuntongxunTakesAMessageOnce(t *testing.T) {
	v := yuntongxunUnderTest(fake.YuntongxunConfig{})
	p := v.start(t)
	for range 3 {
		if _, err := p.Send(t.Context(), vendorMessage(t, "+8613800138021", 1)); err != nil {
			t.Error(err)
		}
	}
	if n := len(v.core.Inbox().Messages()); n != 1 || v.core.Calls() != 3 {
		t.Errorf("%d messages, %d calls", n, v.core.Calls())
	}
	_, err := p.Send(t.Context(), vendorMessage(t, "+8613800138021", 2))
	wantFailure(t, "another message at once", err, NumberLimited, "160038")
}

func TestYuntongxunKeysOfMessages(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []string{"019a9b1c-0000-7000-8000-000000000001", "0199-id", "0199id", "019a9b1c-0000-7000-8000-00000000000/", strings.Repeat("x", 40)} {
		key := yuntongxunRequest(id)
		if len(key) != 32 || !alphanumeric(key) || key != yuntongxunRequest(id) || seen[key] {
			t.Errorf("%s: %s", id, key)
		}
		seen[key] = true
	}
	if !seen["019a9b1c000070008000000000000001"] {
		t.Error("a UUID does not keep its digits")
	}
	m := vendorMessage(t, "+8613800138022", 1)
	m.ID = ""
	v := yuntongxunUnderTest(fake.YuntongxunConfig{})
	_, err := v.start(t).Send(t.Context(), m)
	wantFailure(t, "no id", err, Misconfigured, "message_id")
}

func TestYuntongxunClock(t *testing.T) {
	for ahead, ok := range map[time.Duration]bool{23 * time.Hour: true, -23 * time.Hour: true, 25 * time.Hour: false, -25 * time.Hour: false} {
		v := yuntongxunUnderTest(fake.YuntongxunConfig{Config: fake.Config{Now: func() time.Time { return time.Now().Add(ahead) }}})
		_, err := v.start(t).Send(t.Context(), vendorMessage(t, "+8613800138023", 1))
		if ok && err != nil {
			t.Errorf("%v: %v", ahead, err)
		} else if !ok {
			wantFailure(t, ahead.String(), err, Misconfigured, "111106")
		}
	}
}

func TestYuntongxunRequestIsTheVendorsOwn(t *testing.T) {
	bodies := make(chan map[string]any, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/2013-12-26/Accounts/"+yuntongxunSID+"/SMS/TemplateSMS" || r.Header.Get("Content-Type") != "application/json;charset=utf-8" || r.Header.Get("Accept") != "application/json" {
			t.Errorf("%s %s %v", r.Method, r.URL.Path, r.Header)
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		bodies <- body
		io.WriteString(w, `{"statusCode":"000000","TemplateSMS":{"smsMessageSid":"abc","dateCreated":"20210517152744"}}`)
	}))
	defer srv.Close()
	p, err := NewYuntongxun(YuntongxunConfig{
		Name: "vendor", Endpoint: srv.URL + "/", AccountSID: yuntongxunSID, AuthToken: yuntongxunToken, AppID: "app",
		Templates: map[TemplateUse]VendorTemplate{{}: {ID: "7"}, {Purpose: ChangePhone}: {ID: "8", Params: []TemplateParam{{Value: "{{minutes}}"}, {Value: "<{{code}}>"}, {Value: "x"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for purpose, want := range map[Purpose]map[string]any{
		Login:       {"to": "13800138024", "appId": "app", "templateId": "7", "datas": []any{vendorCode, "5"}, "reqId": "019a9b1c000070008000000000000001"},
		ChangePhone: {"to": "13800138024", "appId": "app", "templateId": "8", "datas": []any{"5", "<048213>", "x"}, "reqId": "019a9b1c000070008000000000000001"},
	} {
		m := vendorMessage(t, "+8613800138024", 1)
		m.Purpose = purpose
		if ref, err := p.Send(t.Context(), m); err != nil || ref != "abc" {
			t.Fatal(ref, err)
		}
		if diff := cmp.Diff(want, <-bodies); diff != "" {
			t.Error(diff)
		}
	}
}

func TestYuntongxunReplies(t *testing.T) {
	var answer atomic.Pointer[string]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, *answer.Load()) }))
	defer srv.Close()
	p := yuntongxunUnderTest(fake.YuntongxunConfig{}).provider(t, srv.URL)
	for _, body := range []string{"", "null", "{}", "[]", `{"statusCode":0}`, `{"statusCode":"0"}`, `{"statusCode":null}`, `<Response/>`, `{"statusCode":"000000"`} {
		answer.Store(&body)
		_, err := p.Send(t.Context(), vendorMessage(t, "+8613800138025", 1))
		wantFailure(t, body, err, Ambiguous, "")
	}
	for body, want := range map[string]Class{`{"statusCode":160038}`: NumberLimited, `{"statusCode":"172001"}`: Failover, `{"statusCode":"111142","statusMsg":"x","templateSMS":null}`: Failover} {
		answer.Store(&body)
		_, err := p.Send(t.Context(), vendorMessage(t, "+8613800138025", 1))
		wantFailure(t, body, err, want, "")
	}
	for body, ref := range map[string]string{`{"statusCode":"000000"}`: "", `{"statusCode":"000000","templateSMS":{"smsMessageSid":17}}`: "17", `{"statusCode":"160054"}`: "", `{"statusCode":"000000","templateSMS":{"smsMessageSid":"<b>"}}`: ""} {
		answer.Store(&body)
		if got, err := p.Send(t.Context(), vendorMessage(t, "+8613800138025", 1)); err != nil || got != ref {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
}

// The table as the vendor's documentation has it, apart from the code's.
func TestYuntongxunClasses(t *testing.T) {
	wantClasses(t, YuntongxunCodes(), map[Class]string{
		"":            "000000 160054",
		Failover:      "111000 111050 111099 111111 111139 111142 160000 160001 160005 160010 160012 160014 160016 160050 160063 160064 112302 112314 112326",
		BadNumber:     "112300 112306 112316 112319 112328 160013 160042 160044 160058 160060 160062",
		NumberLimited: "160015 160021 160056 160022 160038 160039 160040 160041",
		Blocked:       "112317 160034 160051 160068 160072 160073 160074",
		Misconfigured: "111100 111106 111107 111109 111110 111113 111115 160053 111128 111133 111138 111140 111141 111143 111169 111171 111176 111182 111212 " +
			"112303 112305 112310 113302 112307 112308 112311 112315 112318 112323 160011 160018 160033 160049 160019 160030 160031 160032 " +
			"160035 160036 160037 160043 160048 160052 160055 160057 160065 160069",
	})
}

// The vector was computed apart from this code.
func TestYuntongxunSignature(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	stamp := yuntongxunStamp(at)
	if stamp != "20260102110405" {
		t.Error(stamp)
	}
	if got := yuntongxunSignature(yuntongxunSID, yuntongxunToken, stamp); got != "F0ED27FDF15B55478E3CF5AB65BE7B61" {
		t.Error(got)
	}
	if got := base64.StdEncoding.EncodeToString([]byte(yuntongxunSID + ":" + stamp)); got != "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY6MjAyNjAxMDIxMTA0MDU=" {
		t.Error(got)
	}
}

func TestNewYuntongxunRefusesBadConfiguration(t *testing.T) {
	good := map[TemplateUse]VendorTemplate{{}: {ID: "1"}}
	for name, c := range map[string]YuntongxunConfig{
		"no account":       {AuthToken: "t", AppID: "a", Templates: good},
		"no token":         {AccountSID: "s", AppID: "a", Templates: good},
		"no application":   {AccountSID: "s", AuthToken: "t", Templates: good},
		"account as a way": {AccountSID: "../x", AuthToken: "t", AppID: "a", Templates: good},
		"no template":      {AccountSID: "s", AuthToken: "t", AppID: "a"},
		"abroad":           {AccountSID: "s", AuthToken: "t", AppID: "a", Templates: map[TemplateUse]VendorTemplate{{}: {ID: "1"}, {International: true}: {ID: "1"}}},
		"names":            {AccountSID: "s", AuthToken: "t", AppID: "a", Templates: map[TemplateUse]VendorTemplate{{}: {ID: "1", Params: []TemplateParam{{"code", "{{code}}"}}}}},
	} {
		if _, err := NewYuntongxun(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
