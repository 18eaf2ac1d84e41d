package fake

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A vector that was computed apart from this code: its time, secret and sum for
// the nonce nonce-0001.
const (
	netEaseAt     = 1700000000
	netEaseSecret = "yunxin-test-secret"
	netEaseVector = "2b86bba233c5756c688e7d48ad25d348ebcdf53b"
)

func netEaseFake(older bool) *NetEase {
	return NewNetEase(NetEaseConfig{
		Apps: map[string]string{"key": netEaseSecret}, Older: older,
		Config: Config{
			Now: func() time.Time { return time.Unix(netEaseAt, 0) },
			Templates: []Template{
				{ID: "1", Text: "【签名】#{time}内输入#{code}", Params: []Param{{Name: "time"}, {Name: "code", Pattern: regexp.MustCompile(`^[0-9]{6}$`)}}},
				{ID: "2", Text: "#{code}", Params: []Param{{Name: "code"}}, Abroad: true},
			},
		},
	})
}

// netEaseCall is a request that the vendor takes, until it is changed.
func netEaseCall() (http.Header, url.Values) {
	h := http.Header{}
	h.Set("Content-Type", "application/x-www-form-urlencoded;charset=utf-8")
	h.Set("AppKey", "key")
	h.Set("Nonce", "nonce-0001")
	h.Set("CurTime", strconv.Itoa(netEaseAt))
	h.Set("CheckSum", netEaseVector)
	return h, url.Values{"mobile": {"13800138000"}, "templateid": {"1"}, "paramMap": {`{"code":"012345","time":"5m"}`}}
}

func vendorAnswer(h http.Handler, method, target string, header http.Header, body string) (status int, kind, answer string) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Body)
	return w.Code, w.Header().Get("Content-Type"), strings.TrimSpace(string(b))
}

func TestNetEaseTakesTheVector(t *testing.T) {
	n := netEaseFake(false)
	h, form := netEaseCall()
	if _, _, got := vendorAnswer(n, "POST", "/sms/sendcode.action", h, form.Encode()); got != `{"code":200,"msg":"88","obj":"012345"}` {
		t.Error(got)
	}
	want := []Received{{
		Provider: "netease", To: "+8613800138000", Template: "1", Values: []string{"5m", "012345"}, Text: "【签名】5m内输入012345",
		Ref: "88", At: time.Unix(netEaseAt, 0),
	}}
	if diff := cmp.Diff(want, n.Inbox().Messages()); diff != "" {
		t.Error(diff)
	}
}

func TestNetEaseRefusesHeaders(t *testing.T) {
	sum := func(h http.Header, nonce, curTime string) {
		h.Set("Nonce", nonce)
		h.Set("CurTime", curTime)
		h.Set("CheckSum", netEaseCheckSum(netEaseSecret, nonce, curTime))
	}
	for name, change := range map[string]func(http.Header){
		"upper case":  func(h http.Header) { h.Set("CheckSum", strings.ToUpper(netEaseVector)) },
		"last digit":  func(h http.Header) { h.Set("CheckSum", netEaseVector[:39]+"a") },
		"short":       func(h http.Header) { h.Set("CheckSum", netEaseVector[:39]) },
		"no sum":      func(h http.Header) { h.Del("CheckSum") },
		"two sums":    func(h http.Header) { h.Add("CheckSum", netEaseVector) },
		"no key":      func(h http.Header) { h.Del("AppKey") },
		"unknown key": func(h http.Header) { h.Set("AppKey", "other") },
		"unknown, no sum": func(h http.Header) {
			h.Set("AppKey", "other")
			h.Set("CheckSum", netEaseCheckSum("", "nonce-0001", "1700000000"))
		},
		"other nonce":       func(h http.Header) { h.Set("Nonce", "nonce-0002") },
		"no nonce":          func(h http.Header) { sum(h, "", "1700000000") },
		"long nonce":        func(h http.Header) { sum(h, strings.Repeat("n", 129), "1700000000") },
		"fraction":          func(h http.Header) { sum(h, "n", "1700000000.5") },
		"milliseconds":      func(h http.Header) { sum(h, "n", "1700000000000") },
		"too early":         func(h http.Header) { sum(h, "n", "1699999699") },
		"too late":          func(h http.Header) { sum(h, "n", "1700000301") },
		"negative":          func(h http.Header) { sum(h, "n", "-1700000000") },
		"padded with blank": func(h http.Header) { h["Curtime"] = []string{" 1700000000"} },
	} {
		n := netEaseFake(false)
		h, form := netEaseCall()
		change(h)
		if status, _, got := vendorAnswer(n, "POST", "/sms/sendcode.action", h, form.Encode()); status != 200 || !strings.HasPrefix(got, `{"code":414,"desc":`) || len(n.Inbox().Messages()) != 0 {
			t.Errorf("%s: %d %s", name, status, got)
		}
	}
	for _, curTime := range []string{"1699999700", "1700000300"} {
		h, form := netEaseCall()
		sum(h, strings.Repeat("n", 128), curTime)
		if _, _, got := vendorAnswer(netEaseFake(false), "POST", "/sms/sendcode.action", h, form.Encode()); !strings.HasPrefix(got, `{"code":200,`) {
			t.Errorf("%s: %s", curTime, got)
		}
	}
}

func TestNetEaseRefusesForms(t *testing.T) {
	for name, test := range map[string]struct {
		change func(http.Header, url.Values)
		code   string
	}{
		"JSON": {func(h http.Header, _ url.Values) { h.Set("Content-Type", "application/json") }, "414"},
		"charset": {func(h http.Header, _ url.Values) {
			h.Set("Content-Type", "application/x-www-form-urlencoded;charset=gbk")
		}, "414"},
		"no type":           {func(h http.Header, _ url.Values) { h.Del("Content-Type") }, "414"},
		"two numbers":       {func(_ http.Header, f url.Values) { f.Add("mobile", "13800138001") }, "414"},
		"list of numbers":   {func(_ http.Header, f url.Values) { f.Set("mobile", "13800138000,13800138001") }, "414"},
		"plus 86":           {func(_ http.Header, f url.Values) { f.Set("mobile", "+8613800138000") }, "414"},
		"plus 86 hyphen":    {func(_ http.Header, f url.Values) { f.Set("mobile", "+86-13800138000") }, "414"},
		"no hyphen":         {func(_ http.Header, f url.Values) { f.Set("mobile", "+12025550101") }, "414"},
		"unknown":           {func(_ http.Header, f url.Values) { f.Set("x", "1") }, "414"},
		"authCode":          {func(_ http.Header, f url.Values) { f.Del("paramMap"); f.Set("authCode", "012345") }, "414"},
		"no template":       {func(_ http.Header, f url.Values) { f.Del("templateid") }, "404"},
		"unknown template":  {func(_ http.Header, f url.Values) { f.Set("templateid", "3") }, "404"},
		"template abroad":   {func(_ http.Header, f url.Values) { f.Set("templateid", "2") }, "404"},
		"number abroad":     {func(_ http.Header, f url.Values) { f.Set("mobile", "+1-2025550101") }, "404"},
		"no parameters":     {func(_ http.Header, f url.Values) { f.Del("paramMap") }, "414"},
		"one is missing":    {func(_ http.Header, f url.Values) { f.Set("paramMap", `{"code":"012345"}`) }, "414"},
		"one too many":      {func(_ http.Header, f url.Values) { f.Set("paramMap", `{"code":"012345","time":"5m","x":"y"}`) }, "414"},
		"array":             {func(_ http.Header, f url.Values) { f.Set("paramMap", `["012345","5m"]`) }, "414"},
		"number for a text": {func(_ http.Header, f url.Values) { f.Set("paramMap", `{"code":123456,"time":"5m"}`) }, "414"},
		"pattern":           {func(_ http.Header, f url.Values) { f.Set("paramMap", `{"code":"01234x","time":"5m"}`) }, "414"},
		"short code":        {func(_ http.Header, f url.Values) { f.Set("paramMap", `{"code":"012","time":"5m"}`) }, "414"},
	} {
		n := netEaseFake(false)
		h, form := netEaseCall()
		test.change(h, form)
		if status, _, got := vendorAnswer(n, "POST", "/sms/sendcode.action", h, form.Encode()); status != 200 || !strings.HasPrefix(got, `{"code":`+test.code+`,"msg":`) || len(n.Inbox().Messages()) != 0 {
			t.Errorf("%s: %d %s", name, status, got)
		}
	}
	h, form := netEaseCall()
	if status, _, _ := vendorAnswer(netEaseFake(false), "GET", "/sms/sendcode.action?"+form.Encode(), h, ""); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
	if status, _, _ := vendorAnswer(netEaseFake(false), "POST", "/sms/other.action", h, form.Encode()); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
}

func TestNetEaseOlderAccounts(t *testing.T) {
	for body, want := range map[string]string{
		"mobile=13800138000&authCode=012345":                                  `{"code":200,"msg":"88","obj":"012345"}`,
		"mobile=%2B1-2025550101&authCode=012345&templateid=2":                 `{"code":200,"msg":"88","obj":"012345"}`,
		"mobile=13800138000&authCode=012":                                     `{"code":414,`,
		"mobile=13800138000":                                                  `{"code":404,`,
		"mobile=13800138000&authCode=012345&paramMap=%7B%22code%22%3A%221%22": `{"code":414,`,
	} {
		h, _ := netEaseCall()
		if _, _, got := vendorAnswer(netEaseFake(true), "POST", "/sms/sendcode.action", h, body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", body, got)
		}
	}
}

func TestNetEaseLimits(t *testing.T) {
	n := netEaseFake(false)
	now := time.Unix(netEaseAt, 0)
	n.config.Now = func() time.Time { return now }
	send := func(code string) string {
		h, form := netEaseCall()
		curTime := strconv.FormatInt(now.Unix(), 10)
		h.Set("CurTime", curTime)
		h.Set("CheckSum", netEaseCheckSum(netEaseSecret, "nonce-0001", curTime))
		form.Set("paramMap", fmt.Sprintf(`{"code":%q,"time":"5m"}`, code))
		_, _, got := vendorAnswer(n, "POST", "/sms/sendcode.action", h, form.Encode())
		return got[len(`{"code":`):len(`{"code":200`)]
	}
	var got []string
	for range 4 {
		got = append(got, send("000001"))
	}
	now = now.Add(2 * time.Minute)
	for range 3 {
		got = append(got, send("000001"))
	}
	for i := range 6 {
		got = append(got, send(fmt.Sprintf("00001%d", i)))
	}
	if diff := cmp.Diff(strings.Fields("200 200 200 416 200 200 416 200 200 200 200 200 416"), got); diff != "" {
		t.Error(diff)
	}
}
