package fake

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

const tencentBody = `{"PhoneNumberSet":["+8613800138000"],"SmsSdkAppId":"1400000001","TemplateId":"1110","SignName":"示例签名","TemplateParamSet":["123456","5"],"SessionContext":"flow-1"}`

// Signatures that were computed apart from this code.
func TestTencentVectors(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "https://sms.tencentcloudapi.com/", nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-TC-Action", "SendSms")
	sum := hex256(tencentBody)
	if sum != "f95dc7d288c1651c268ac55ab24283c9d9fe63ecb4d940fbce22818c69211441" {
		t.Errorf("body %s", sum)
	}
	canonical := canonicalRequest(r, "", []string{"content-type", "host"}, sum)
	if got := hex256(canonical); got != "c34da490b7a05ed2d4c039b5fbe4d446617f361bed597908742001988bbd8d91" {
		t.Errorf("hash %s", got)
	}
	for want, signed := range map[string][]string{
		"98ecec6425912351ab077b4acad40ab943885f73980af8ff7e5734f782f47583": {"content-type", "host"},
		"7d22f5864d973ee98b1cb5fa2d741f4fc30c43485cd716c44216fc34fcdb572b": {"content-type", "host", "x-tc-action"},
	} {
		if got := tc3Signature(canonicalRequest(r, "", signed, sum), "1700000000", "2023-11-14", "sms", "testkey"); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
	}
}

// tencentDesk is a fake with a clock to turn.
type tencentDesk struct {
	*Tencent
	now time.Time
}

func newTencentDesk() *tencentDesk {
	d := &tencentDesk{now: time.Unix(1700000000, 0)}
	d.Tencent = NewTencent(TencentConfig{
		Config: Config{
			Now: func() time.Time { return d.now }, Signs: []string{"示例签名"},
			Templates: []Template{
				{ID: "1110", Text: "{1},{2}分钟", Params: []Param{{}, {}}},
				{ID: "1111", Text: "{1} for {2} minutes", Params: []Param{{}, {}}, Abroad: true},
			},
		},
		Keys: map[string]string{"AKIDtest": "testkey"}, Apps: []string{"1400000001"},
	})
	return d
}

// send signs body, at the desk's time, and returns the code of request or number.
func (d *tencentDesk) send(t *testing.T, body string, spoil func(*http.Request)) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	stamp, date := strconv.FormatInt(d.now.Unix(), 10), d.now.UTC().Format(time.DateOnly)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-TC-Action": "SendSms", "X-TC-Version": "2021-01-11", "X-TC-Region": "ap-guangzhou", "X-TC-Timestamp": stamp,
	} {
		r.Header.Set(name, value)
	}
	signature := tc3Signature(canonicalRequest(r, "", []string{"content-type", "host", "x-tc-action"}, hex256(body)), stamp, date, "sms", "testkey")
	r.Header.Set("Authorization", tc3+" Credential=AKIDtest/"+date+"/sms/tc3_request, SignedHeaders=content-type;host;x-tc-action, Signature="+signature)
	if spoil != nil {
		spoil(r)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	var answer struct {
		Response struct {
			Error         struct{ Code string }
			SendStatusSet []struct{ Code, SerialNo, SessionContext string }
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d: %v", w.Code, err)
	}
	if s := answer.Response.SendStatusSet; len(s) == 1 {
		if (s[0].SerialNo != "") != (s[0].Code == "Ok") {
			t.Errorf("%+v", s[0])
		}
		return s[0].Code
	}
	return answer.Response.Error.Code
}

func TestTencentVerifies(t *testing.T) {
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	auth := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	for name, c := range map[string]struct {
		spoil func(*http.Request)
		code  string
	}{
		"right":        {nil, "Ok"},
		"host":         {func(r *http.Request) { r.Host = "elsewhere.example" }, "AuthFailure.SignatureFailure"},
		"content type": {header("Content-Type", "application/json; charset=utf-8"), "AuthFailure.SignatureFailure"},
		"action":       {header("X-TC-Action", "SendSmss"), "AuthFailure.SignatureFailure"},
		"unsigned":     {header("Authorization", ""), "AuthFailure.InvalidAuthorization"},
		"no host":      {auth("content-type;host;", "content-type;"), "AuthFailure.InvalidAuthorization"},
		"key":          {auth("AKIDtest", "AKIDtesu"), "AuthFailure.SecretIdNotFound"},
		"another day":  {auth("2023-11-14", "2023-11-15"), "AuthFailure.SignatureFailure"},
		"other time":   {header("X-TC-Timestamp", "1700000001"), "AuthFailure.SignatureFailure"},
		"skew":         {header("X-TC-Timestamp", "1699999699"), "AuthFailure.SignatureExpire"},
		"ahead":        {header("X-TC-Timestamp", "1700000301"), "AuthFailure.SignatureExpire"},
		"no time":      {header("X-TC-Timestamp", "now"), "MissingParameter"},
		"version":      {header("X-TC-Version", "2019-07-11"), "NoSuchVersion"},
		"region":       {header("X-TC-Region", ""), "MissingParameter"},
		"method":       {func(r *http.Request) { r.Method = http.MethodGet }, "UnsupportedProtocol"},
	} {
		d := newTencentDesk()
		if code := d.send(t, tencentBody, c.spoil); code != c.code {
			t.Errorf("%s: %s, want %s", name, code, c.code)
		}
		if n := len(d.Inbox().Messages()); (n == 1) != (c.code == "Ok") {
			t.Errorf("%s: %d messages", name, n)
		}
	}
}

func TestTencentRefusals(t *testing.T) {
	for name, c := range map[string]struct{ old, new, code string }{
		"number":        {"+8613800138000", "+8612800138000", "InvalidParameterValue.IncorrectPhoneNumber"},
		"other form":    {"+8613800138000", "008613800138000", "Ok"},
		"abroad":        {"+8613800138000", "+12025550101", "UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone"},
		"inside":        {"1110", "1111", "UnsupportedOperation.GlobalTemplateToChineseMainlandPhone"},
		"template":      {"1110", "1112", "FailedOperation.TemplateIncorrectOrUnapproved"},
		"sign":          {"示例签名", "别的", "FailedOperation.SignatureIncorrectOrUnapproved"},
		"arity":         {`,"5"`, "", "FailedOperation.TemplateParamSetNotMatchApprovedTemplate"},
		"seven digits":  {"123456", "1234567", "InvalidParameterValue.TemplateParameterFormatError"},
		"app":           {"1400000001", "1400000002", "UnauthorizedOperation.SmsSdkAppIdVerifyFail"},
		"unknown thing": {"SessionContext", "SessionContexts", "UnknownParameter"},
	} {
		if code := newTencentDesk().send(t, strings.Replace(tencentBody, c.old, c.new, 1), nil); code != c.code {
			t.Errorf("%s: %s, want %s", name, code, c.code)
		}
	}
}

// The vendor's day begins at midnight in Beijing.
func TestTencentLimitsOfANumber(t *testing.T) {
	d := newTencentDesk()
	d.now = time.Date(2026, 1, 2, 15, 50, 0, 0, time.UTC) // ten to midnight there
	for i, want := range []string{"Ok", "LimitExceeded.PhoneNumberThirtySecondLimit"} {
		if code := d.send(t, tencentBody, nil); code != want {
			t.Errorf("message %d: %s, want %s", i, code, want)
		}
	}
	d.now = d.now.Add(30 * time.Second)
	for i, want := range []string{"Ok", "LimitExceeded.PhoneNumberDailyLimit"} {
		if code := d.send(t, strings.Replace(tencentBody, "123456", "12345"+strconv.Itoa(i), 1), nil); code != want {
			t.Errorf("later message %d: %s, want %s", i, code, want)
		}
	}
	d.now = d.now.Add(10 * time.Minute)
	if code := d.send(t, tencentBody, nil); code != "Ok" {
		t.Errorf("the next day: %s", code)
	}
}
