package fake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The first is of the vendor's documentation.
func TestAliyunSignatureV1Vectors(t *testing.T) {
	send := map[string]string{
		"Action": "SendSms", "Format": "JSON", "OutId": "flow-1", "PhoneNumbers": "13800138000", "RegionId": "cn-hangzhou", "SignName": "示例签名",
		"SignatureNonce": "0123456789abcdef0123456789abcdef", "SignatureType": "", "TemplateCode": "SMS_100000001", "TemplateParam": `{"code":"123456"}`,
		"Timestamp": "2026-01-02T03:04:05Z", "Version": "2017-05-25", "AccessKeyId": "testid", "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0",
	}
	short := maps.Clone(send)
	delete(short, "SignatureType")
	for _, v := range []struct {
		method string
		params map[string]string
		want   string
	}{
		{"GET", map[string]string{
			"AccessKeyId": "testid", "Action": "DescribeRegions", "Format": "XML", "SignatureMethod": "HMAC-SHA1",
			"SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf", "SignatureVersion": "1.0", "Timestamp": "2016-02-23T12:46:24Z", "Version": "2014-05-26",
		}, "OLeaidS1JvxuMvnyHOwuJ+uX5qY="},
		{"POST", send, "id0eDFSZcMWyf5Cp5aixz1LMVRc="},
		{"POST", short, "a4AfygGGkex74jESRnw8yDHI6n4="},
	} {
		if got := aliyunSignature(aliyunStringToSign(v.method, v.params), "testsecret"); got != v.want {
			t.Errorf("signature %s, want %s", got, v.want)
		}
	}
}

func TestAliyunACS3Vector(t *testing.T) {
	q := url.Values{"PhoneNumbers": {"13800138000"}, "SignName": {"示例签名"}, "TemplateCode": {"SMS_100000001"}, "TemplateParam": {`{"code":"123456"}`}, "OutId": {"flow-1"}}
	r := acs3Request("https://dysmsapi.aliyuncs.com/?"+q.Encode(), "2026-01-02T03:04:05Z", "0123456789abcdef0123456789abcdef", "")
	canonical := acs3Canonical(r)
	if got := hex256(canonical); got != "4e43ec290e19f1201c30cb28301dcb5b81f8aa29d68219a8a2268c32ebc4681d" {
		t.Errorf("hash %s of\n%s", got, canonical)
	}
	if got := acs3Signature(canonical, "testsecret"); got != "73be9e0a3361fcac343ee417efdb362dbec2c4d456723bba59e4483cc2eab16c" {
		t.Errorf("signature %s", got)
	}
}

var acs3Signed = []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"}

func acs3Request(target, date, nonce, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	sum := sha256.Sum256([]byte(body))
	for name, value := range map[string]string{
		"x-acs-action": "SendSms", "x-acs-content-sha256": hex.EncodeToString(sum[:]), "x-acs-date": date,
		"x-acs-signature-nonce": nonce, "x-acs-version": "2017-05-25",
	} {
		r.Header.Set(name, value)
	}
	return r
}

func acs3Canonical(r *http.Request) string {
	query := map[string]string{}
	for name, given := range r.URL.Query() {
		query[name] = given[0]
	}
	return canonicalRequest(r, aliyunCanonical(query), acs3Signed, r.Header.Get("x-acs-content-sha256"))
}

// aliyunDesk is a fake with a clock to turn and requests to spoil.
type aliyunDesk struct {
	*Aliyun
	now time.Time
	n   int
}

func newAliyunDesk() *aliyunDesk {
	d := &aliyunDesk{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	d.Aliyun = NewAliyun(AliyunConfig{
		Config: Config{
			Now: func() time.Time { return d.now }, Signs: []string{"示例签名"},
			Templates: []Template{
				{ID: "SMS_1", Text: "验证码${code}", Params: []Param{{Name: "code"}}},
				{ID: "SMS_2", Text: "code ${code}", Params: []Param{{Name: "code"}}, Abroad: true},
			},
		},
		Keys: map[string]string{"testid": "testsecret"},
	})
	return d
}

func (d *aliyunDesk) params() map[string]string {
	d.n++
	return map[string]string{
		"Action": "SendSms", "Format": "JSON", "PhoneNumbers": "13800138080", "SignName": "示例签名", "TemplateCode": "SMS_1", "TemplateParam": `{"code":"123456"}`,
		"SignatureNonce": fmt.Sprint("nonce ", d.n), "Timestamp": d.now.Format(aliyunTime), "Version": "2017-05-25",
		"AccessKeyId": "testid", "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0",
	}
}

// post signs the parameters, lets the caller spoil them, and sends them.
func (d *aliyunDesk) post(inQuery bool, params map[string]string, spoil func(map[string]string)) (status int, code string) {
	method := http.MethodPost
	if inQuery {
		method = http.MethodGet
	}
	params["Signature"] = aliyunSignature(aliyunStringToSign(method, params), "testsecret")
	if spoil != nil {
		spoil(params)
	}
	form := url.Values{}
	for name, value := range params {
		form.Set(name, value)
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if inQuery {
		r = httptest.NewRequest(http.MethodGet, "/?"+form.Encode(), nil)
	}
	return answerOf(d, r)
}

func answerOf(h http.Handler, r *http.Request) (status int, code string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Body)
	var answer struct{ Code string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return w.Code, string(body)
	}
	return w.Code, answer.Code
}

func TestAliyunVerifies(t *testing.T) {
	set := func(name, value string) func(map[string]string) {
		return func(p map[string]string) { p[name] = value }
	}
	for name, c := range map[string]struct {
		before, after func(map[string]string)
		status        int
		code          string
	}{
		"right":           {nil, nil, 200, "OK"},
		"another number":  {nil, set("PhoneNumbers", "13800138081"), 400, "SignatureDoesNotMatch"},
		"another code":    {nil, set("TemplateParam", `{"code":"123457"}`), 400, "SignatureDoesNotMatch"},
		"one more":        {nil, set("SmsUpExtendCode", "1"), 400, "SignatureDoesNotMatch"},
		"no signature":    {nil, func(p map[string]string) { delete(p, "Signature") }, 400, "MissingSignature"},
		"unknown key":     {set("AccessKeyId", "other"), nil, 404, "InvalidAccessKeyId.NotFound"},
		"within":          {set("Timestamp", "2026-01-02T03:19:05Z"), nil, 200, "OK"},
		"too late":        {set("Timestamp", "2026-01-02T03:19:06Z"), nil, 400, "InvalidTimeStamp.Expired"},
		"too early":       {set("Timestamp", "2026-01-02T02:49:04Z"), nil, 400, "InvalidTimeStamp.Expired"},
		"not a time":      {set("Timestamp", "1767323045"), nil, 400, "InvalidTimeStamp.Format"},
		"action":          {set("Action", "SendSmss"), nil, 404, "InvalidAction.NotFound"},
		"version":         {set("Version", "2018-05-01"), nil, 400, "InvalidVersion"},
		"sign":            {set("SignName", "别的"), nil, 200, "isv.SMS_SIGNATURE_ILLEGAL"},
		"template":        {set("TemplateCode", "SMS_3"), nil, 200, "isv.SMS_TEMPLATE_ILLEGAL"},
		"no params":       {set("TemplateParam", `{}`), nil, 200, "isv.TEMPLATE_MISSING_PARAMETERS"},
		"number param":    {set("TemplateParam", `{"code":123456}`), nil, 200, "isv.INVALID_JSON_PARAM"},
		"number":          {set("PhoneNumbers", "12800138080"), nil, 200, "isv.MOBILE_NUMBER_ILLEGAL"},
		"abroad by SMS_1": {set("PhoneNumbers", "85212345678"), nil, 200, "isv.MOBILE_NUMBER_ILLEGAL"},
		"inside by SMS_2": {func(p map[string]string) { p["TemplateCode"], p["PhoneNumbers"] = "SMS_2", "8613800138080" }, nil, 200, "isv.DOMESTIC_NUMBER_NOT_SUPPORTED"},
	} {
		for _, inQuery := range []bool{false, true} {
			d := newAliyunDesk()
			params := d.params()
			if c.before != nil {
				c.before(params)
			}
			if status, code := d.post(inQuery, params, c.after); status != c.status || code != c.code {
				t.Errorf("%s (in the query %t): %d %s, want %d %s", name, inQuery, status, code, c.status, c.code)
			}
			if n := len(d.Inbox().Messages()); (n == 1) != (c.code == "OK") {
				t.Errorf("%s: %d messages", name, n)
			}
		}
	}
}

func TestAliyunNonceOnce(t *testing.T) {
	d := newAliyunDesk()
	params := d.params()
	if _, code := d.post(false, maps.Clone(params), nil); code != "OK" {
		t.Fatal(code)
	}
	if status, code := d.post(false, params, nil); status != 400 || code != "SignatureNonceUsed" {
		t.Errorf("%d %s", status, code)
	}
}

func TestAliyunLimitsOfANumber(t *testing.T) {
	d := newAliyunDesk()
	sent := func() string { _, code := d.post(false, d.params(), nil); return code }
	hours := map[int]int{}
	for minute := range 3 * 60 {
		if sent() == "OK" {
			hours[minute/60]++
		}
		if code := sent(); code != "isv.BUSINESS_LIMIT_CONTROL" {
			t.Fatalf("twice in minute %d: %s", minute, code)
		}
		d.now = d.now.Add(time.Minute)
	}
	if hours[0] != 5 || hours[1] != 5 || hours[2] != 0 {
		t.Errorf("by hour %v, want 5, 5 and none", hours)
	}
	d.now = d.now.Add(24 * time.Hour)
	if code := sent(); code != "OK" {
		t.Errorf("a day later: %s", code)
	}
}

func TestAliyunACS3(t *testing.T) {
	target := "/?" + url.Values{"PhoneNumbers": {"85212345678"}, "SignName": {"示例签名"}, "TemplateCode": {"SMS_2"}, "TemplateParam": {`{"code":"123456"}`}}.Encode()
	for name, c := range map[string]struct {
		spoil func(*http.Request)
		code  string
	}{
		"right":   {func(*http.Request) {}, "OK"},
		"host":    {func(r *http.Request) { r.Host = "elsewhere.example" }, "SignatureDoesNotMatch"},
		"query":   {func(r *http.Request) { r.URL.RawQuery += "&OutId=x" }, "SignatureDoesNotMatch"},
		"nonce":   {func(r *http.Request) { r.Header.Set("x-acs-signature-nonce", "y") }, "SignatureDoesNotMatch"},
		"date":    {func(r *http.Request) { r.Header.Set("x-acs-date", "2026-01-02T04:04:05Z") }, "InvalidTimeStamp.Expired"},
		"hash":    {func(r *http.Request) { r.Header.Set("x-acs-content-sha256", hex256("x")) }, "IncompleteSignature"},
		"missing": {func(r *http.Request) { r.Header.Del("x-acs-version") }, "IncompleteSignature"},
		"unsigned": {func(r *http.Request) {
			h := r.Header.Get("Authorization")
			r.Header.Set("Authorization", strings.Replace(h, ";x-acs-version", "", 1))
		}, "IncompleteSignature"},
	} {
		d := newAliyunDesk()
		r := acs3Request(target, d.now.Format(aliyunTime), "x", "")
		r.Header.Set("Authorization", acs3+" Credential=testid,SignedHeaders="+strings.Join(acs3Signed, ";")+",Signature="+acs3Signature(acs3Canonical(r), "testsecret"))
		c.spoil(r)
		if _, code := answerOf(d, r); code != c.code {
			t.Errorf("%s: %s, want %s", name, code, c.code)
		}
	}
}
