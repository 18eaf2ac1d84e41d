package fake

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	yuntongxunSID   = "0123456789abcdef0123456789abcdef"
	yuntongxunToken = "fedcba9876543210fedcba9876543210"
	yuntongxunSig   = "F0ED27FDF15B55478E3CF5AB65BE7B61"
	yuntongxunAuth  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY6MjAyNjAxMDIxMTA0MDU="
	yuntongxunBody  = `{"to":"13800138000","appId":"app","templateId":"1","datas":["012345","5"],"reqId":"r1"}`
)

// yuntongxunNow is the time of the vector.
func yuntongxunNow() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func yuntongxunFake(limits ...Limit) *Yuntongxun {
	return NewYuntongxun(YuntongxunConfig{
		Accounts: map[string]YuntongxunAccount{yuntongxunSID: {Token: yuntongxunToken, Apps: []string{"app"}}, "other": {Token: yuntongxunToken}},
		Config: Config{Now: yuntongxunNow, Limits: limits, Templates: []Template{
			{ID: "1", Text: "【签名】{1},{2}分钟", Params: []Param{{Pattern: regexp.MustCompile(`^[0-9]{6}$`)}, {}}}, {ID: "2", Abroad: true},
		}},
	})
}

// yuntongxunCall is a request that the vendor takes, until it is changed.
func yuntongxunCall() (target string, h http.Header) {
	h = http.Header{}
	h.Set("Accept", "application/json")
	h.Set("Content-Type", "application/json;charset=utf-8")
	h.Set("Authorization", yuntongxunAuth)
	return "/2013-12-26/Accounts/" + yuntongxunSID + "/SMS/TemplateSMS?sig=" + yuntongxunSig, h
}

func TestYuntongxunTakesTheVector(t *testing.T) {
	y := yuntongxunFake()
	target, h := yuntongxunCall()
	status, kind, got := vendorAnswer(y, "POST", target, h, yuntongxunBody)
	want := `{"statusCode":"000000","templateSMS":{"dateCreated":"20260102110405","smsMessageSid":"00000000000000000000000000000001"}}`
	if status != 200 || kind != "application/json;charset=utf-8" || got != want {
		t.Errorf("%d %s %s", status, kind, got)
	}
	messages := []Received{{
		Provider: "yuntongxun", To: "+8613800138000", Template: "1", Values: []string{"012345", "5"}, Text: "【签名】012345,5分钟",
		MessageID: "r1", Ref: "00000000000000000000000000000001", At: yuntongxunNow(),
	}}
	if diff := cmp.Diff(messages, y.Inbox().Messages()); diff != "" {
		t.Error(diff)
	}
}

// Content-Type says how the request is written and Accept how the answer is.
func TestYuntongxunSpeaksXML(t *testing.T) {
	const body = `<TemplateSMS><to>13800138000</to><appId>app</appId><templateId>1</templateId><datas><data>012345</data><data>5&amp;</data></datas></TemplateSMS>`
	const taken = `<Response><statusCode>000000</statusCode><TemplateSMS><dateCreated>20260102110405</dateCreated><smsMessageSid>00000000000000000000000000000001</smsMessageSid></TemplateSMS></Response>`
	for _, test := range []struct{ kind, accept, body, want string }{
		{"application/xml;charset=utf-8", "application/xml;charset=utf-8", body, taken},
		{"application/xml", "", strings.ReplaceAll(body, "TemplateSMS>", "SubAccount>"), taken},
		{"application/json", "application/xml", yuntongxunBody, taken},
		{"application/xml", "application/json", body, `"statusCode":"000000"`},
		{"application/xml", "application/xml", yuntongxunBody, `<Response><statusCode>160031</statusCode><statusMsg>`},
		{"application/json", "application/json", body, `{"statusCode":"160031","statusMsg":"`},
		{"text/plain", "application/json", yuntongxunBody, `{"statusCode":"160031","statusMsg":"`},
		{"application/json;charset=gbk", "application/json", yuntongxunBody, `{"statusCode":"160031","statusMsg":"`},
	} {
		target, h := yuntongxunCall()
		h.Set("Content-Type", test.kind)
		h.Set("Accept", test.accept)
		if _, _, got := vendorAnswer(yuntongxunFake(), "POST", target, h, test.body); !strings.Contains(got, test.want) {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

func TestYuntongxunRefusesCredentials(t *testing.T) {
	auth := func(sid, stamp string) string { return base64.StdEncoding.EncodeToString([]byte(sid + ":" + stamp)) }
	path := "/2013-12-26/Accounts/" + yuntongxunSID + "/SMS/TemplateSMS"
	signed := func(stamp string) string {
		return path + "?sig=" + yuntongxunSignature(yuntongxunSID, yuntongxunToken, stamp)
	}
	for name, test := range map[string]struct{ target, auth, code string }{
		"lower case":       {path + "?sig=" + strings.ToLower(yuntongxunSig), yuntongxunAuth, "111109"},
		"last digit":       {path + "?sig=" + yuntongxunSig[:31] + "0", yuntongxunAuth, "111109"},
		"none":             {path, yuntongxunAuth, "111109"},
		"two":              {path + "?sig=" + yuntongxunSig + "&sig=" + yuntongxunSig, yuntongxunAuth, "111109"},
		"of another stamp": {signed("20260102110406"), yuntongxunAuth, "111109"},
		"other account":    {path + "?sig=" + yuntongxunSig, auth("other", "20260102110405"), "111107"},
		"other path":       {strings.Replace(path, yuntongxunSID, "other", 1) + "?sig=" + yuntongxunSig, yuntongxunAuth, "111107"},
		"unknown account":  {strings.Replace(path, yuntongxunSID, "x", 1) + "?sig=" + yuntongxunSig, auth("x", "20260102110405"), "111107"},
		"no header":        {path + "?sig=" + yuntongxunSig, "", "111107"},
		"scheme word":      {path + "?sig=" + yuntongxunSig, "Basic " + yuntongxunAuth, "111107"},
		"alphabet":         {signed("~~~?"), base64.URLEncoding.EncodeToString([]byte(yuntongxunSID + ":~~~?")), "111107"},
		"not Beijing":      {signed("20260101110404"), auth(yuntongxunSID, "20260101110404"), "111106"},
		"too late":         {signed("20260103110406"), auth(yuntongxunSID, "20260103110406"), "111106"},
		"no time":          {signed("2026"), auth(yuntongxunSID, "2026"), "111106"},
	} {
		y := yuntongxunFake()
		_, h := yuntongxunCall()
		h.Set("Authorization", test.auth)
		if status, _, got := vendorAnswer(y, "POST", test.target, h, yuntongxunBody); status != 200 || !strings.HasPrefix(got, `{"statusCode":"`+test.code+`","statusMsg":"`) || len(y.Inbox().Messages()) != 0 {
			t.Errorf("%s: %d %s", name, status, got)
		}
	}
	for _, stamp := range []string{"20260101110405", "20260103110405"} {
		_, h := yuntongxunCall()
		h.Set("Authorization", auth(yuntongxunSID, stamp))
		if _, _, got := vendorAnswer(yuntongxunFake(), "POST", signed(stamp), h, yuntongxunBody); !strings.Contains(got, `"000000"`) {
			t.Errorf("%s: %s", stamp, got)
		}
	}
}

func TestYuntongxunRefusesRequests(t *testing.T) {
	for old, test := range map[string]struct{ new, code string }{
		`"app"`:          {`"other"`, "111181"},
		`"appId":"app",`: {``, "111181"},
		`:"1"`:           {`:"2"`, "160032"},
		`Id":"1"`:        {`Id":"3"`, "160032"},
		`,"5"`:           {``, "160031"},
		`"012345"`:       {`"01234x"`, "160031"},
		`["012345",`:     {`[12345,`, "160031"},
		`13800138000`:    {`+8613800138000`, "160042"},
		`"to":"1380`:     {`"to":"1280`, "160042"},
		`"138`:           {`"13800138001,,138`, "160042"},
		`"r1"`:           {`"r-1"`, "160052"},
		`r1"`:            {strings.Repeat("r", 33) + `"`, "160052"},
		`{`:              {`{"x":1,`, "160031"},
		`}`:              {`}}`, "160031"},
	} {
		body := strings.Replace(yuntongxunBody, old, test.new, 1)
		y := yuntongxunFake()
		target, h := yuntongxunCall()
		if status, _, got := vendorAnswer(y, "POST", target, h, body); status != 200 || !strings.HasPrefix(got, `{"statusCode":"`+test.code+`"`) || len(y.Inbox().Messages()) != 0 {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
	target, h := yuntongxunCall()
	if status, _, _ := vendorAnswer(yuntongxunFake(), "GET", target, h, ""); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
	if status, _, _ := vendorAnswer(yuntongxunFake(), "POST", "/2013-12-26/Accounts?"+url.Values{"sig": {yuntongxunSig}}.Encode(), h, yuntongxunBody); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
}

// A list of numbers is taken like the vendor does, so that a client which sends
// one by mistake is seen.
func TestYuntongxunTakesLists(t *testing.T) {
	y := yuntongxunFake()
	target, h := yuntongxunCall()
	vendorAnswer(y, "POST", target, h, strings.Replace(yuntongxunBody, `"13800138000"`, `"13800138000,13800138001"`, 1))
	if n := len(y.Inbox().Messages()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestYuntongxunTakesAReqIDOnceADay(t *testing.T) {
	y := yuntongxunFake(Limit{Count: 100, Code: "160040"})
	target, h := yuntongxunCall()
	var (
		mu       sync.Mutex
		answers  = map[string]int{}
		wg       sync.WaitGroup
		together = 50
	)
	for range together {
		wg.Go(func() {
			_, _, got := vendorAnswer(y, "POST", target, h.Clone(), yuntongxunBody)
			mu.Lock()
			answers[got[len(`{"statusCode":"`):][:6]]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[string]int{"000000": 1, "160054": together - 1}, answers); diff != "" || len(y.Inbox().Messages()) != 1 {
		t.Errorf("%d messages, %s", len(y.Inbox().Messages()), diff)
	}
	y.config.Now = func() time.Time { return yuntongxunNow().Add(13 * time.Hour) } // after midnight in Beijing
	if _, _, got := vendorAnswer(y, "POST", target, h, yuntongxunBody); !strings.Contains(got, `"000000"`) {
		t.Errorf("the next day: %s", got)
	}
	for i := range 2 { // without an id every request is another
		body := strings.Replace(yuntongxunBody, `,"reqId":"r1"`, "", 1)
		if _, _, got := vendorAnswer(y, "POST", target, h, body); !strings.Contains(got, `"000000"`) {
			t.Errorf("%d: %s", i, got)
		}
	}
}

func TestYuntongxunLimits(t *testing.T) {
	y := yuntongxunFake()
	target, h := yuntongxunCall()
	var got []string
	for i := range 12 {
		at := yuntongxunNow().Add(time.Duration(i) * 31 * time.Second)
		y.config.Now = func() time.Time { return at }
		_, _, answer := vendorAnswer(y, "POST", target, h, strings.Replace(yuntongxunBody, `"r1"`, fmt.Sprintf(`"r%d"`, i), 1))
		got = append(got, answer[len(`{"statusCode":"`):][:6])
		if i == 0 {
			_, _, answer = vendorAnswer(y, "POST", target, h, strings.Replace(yuntongxunBody, `"r1"`, `"again"`, 1))
			got = append(got, answer[len(`{"statusCode":"`):][:6])
		}
	}
	want := strings.Fields("000000 160038 000000 000000 000000 000000 000000 000000 000000 000000 000000 160040 160040")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
