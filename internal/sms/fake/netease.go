package fake

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the vendor's choice
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// NetEaseConfig is what the fake of NetEase Yunxin is told.
type NetEaseConfig struct {
	Config
	Apps    map[string]string // AppSecret by AppKey
	Older   bool              // an account from before 2025-11-05: authCode, and no template needed
	Strings bool              // answers with strings where numbers are usual and the other way round; the vendor has done both
}

// NetEase stands in for sms.yunxinapi.com: POST /sms/sendcode.action.
type NetEase struct {
	*Core
	apps    map[string]string
	older   bool
	strings bool
	ids     atomic.Int64
	mobile  *regexp.Regexp
	abroad  *regexp.Regexp
	value   *regexp.Regexp
}

// NewNetEase starts with an empty inbox and the vendor's limits: 10 messages a
// day for a number, 3 of the same text in a minute and 5 in a day.
func NewNetEase(c NetEaseConfig) *NetEase {
	const over, text = "416", "sms send too frequently"
	return &NetEase{
		Core: newCore(c.Config, "netease", []Limit{
			{Count: 3, Within: time.Minute, Same: true, Code: over, Message: text},
			{Count: 5, Same: true, Code: over, Message: text},
			{Count: 10, Code: over, Message: text},
		}),
		apps: c.Apps, older: c.Older, strings: c.Strings,
		mobile: regexp.MustCompile(`^1[3-9][0-9]{9}$`),
		abroad: regexp.MustCompile(`^\+[1-9][0-9]{0,2}-[0-9]{4,14}$`),
		value:  regexp.MustCompile(`^[0-9A-Za-z]{4,10}$`),
	}
}

// ServeHTTP is the vendor's API.
func (n *NetEase) ServeHTTP(w http.ResponseWriter, r *http.Request) { n.serve(w, r, n.judge) }

func (n *NetEase) judge(r *http.Request, body []byte, o Outcome) reply {
	switch {
	case r.URL.Path != "/sms/sendcode.action":
		return reply{http.StatusNotFound, "text/html", []byte("<html><head><title>404 Not Found</title></head></html>")}
	case r.Method != http.MethodPost:
		return reply{http.StatusMethodNotAllowed, "text/html", []byte("<html><head><title>405 Not Allowed</title></head></html>")}
	}
	if problem := n.authenticate(r.Header); problem != "" {
		return n.header(problem)
	}
	if o.Code != "" {
		return n.refuse(o.Code, o.Message)
	}
	form, problem := n.form(r, body)
	if problem != "" {
		return n.refuse("414", problem)
	}
	m, code, refusal := n.read(form)
	if refusal != nil {
		return *refusal
	}
	id := 87 + n.ids.Add(1)
	m.Ref = strconv.FormatInt(id, 10)
	if over := n.deliver(m); over != nil {
		return n.refuse(over.Code, over.Message)
	}
	if n.strings {
		// obj stays as it is: zeros in front of a code count.
		return n.answer(map[string]any{"code": "200", "msg": id, "obj": code})
	}
	return n.answer(map[string]any{"code": 200, "msg": m.Ref, "obj": code})
}

// authenticate returns what is wrong with the headers, "" if nothing. Nonces
// may repeat: the vendor keeps none.
func (n *NetEase) authenticate(h http.Header) (problem string) {
	const window = 5 * time.Minute
	key, nonce, curTime, sum := h.Get("AppKey"), h.Get("Nonce"), h.Get("CurTime"), h.Get("CheckSum")
	for _, name := range []string{"AppKey", "Nonce", "CurTime", "CheckSum"} {
		if len(h.Values(name)) != 1 {
			return "bad http header"
		}
	}
	at, err := strconv.ParseUint(curTime, 10, 40)
	secret, known := n.apps[key]
	want := netEaseCheckSum(secret, nonce, curTime)
	switch {
	case nonce == "" || len(nonce) > 128, err != nil: // 1700000000.5 is no integer
		return "bad http header"
	case subtle.ConstantTimeCompare([]byte(want), []byte(sum)) != 1 || !known:
		return "checksum error"
	case n.now().Sub(time.Unix(int64(at), 0)).Abs() > window:
		return "curtime expired"
	}
	return ""
}

func netEaseCheckSum(secret, nonce, curTime string) string {
	sum := sha1.Sum([]byte(secret + nonce + curTime)) //nolint:gosec // the vendor's choice
	return hex.EncodeToString(sum[:])
}

// form reads the body; every field at most once, and none that is unknown.
func (n *NetEase) form(r *http.Request, body []byte) (form url.Values, problem string) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || kind != "application/x-www-form-urlencoded" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, "bad content type"
	}
	form, err = url.ParseQuery(string(body))
	if err != nil || r.URL.RawQuery != "" {
		return nil, "bad form"
	}
	known := []string{"mobile", "templateid", "codeLen", "paramMap"}
	if n.older {
		known = append(known, "authCode", "deviceId", "needUp")
	}
	for name, values := range form {
		if len(values) != 1 || !slices.Contains(known, name) {
			return nil, "bad parameter " + name
		}
	}
	return form, ""
}

// read makes a message of the form. code is what the vendor repeats as obj.
func (n *NetEase) read(form url.Values) (m Received, code string, refusal *reply) {
	refuse := func(code, text string) (Received, string, *reply) {
		r := n.refuse(code, text)
		return Received{}, "", &r
	}
	mobile := form.Get("mobile")
	abroad := n.abroad.MatchString(mobile)
	switch {
	case n.mobile.MatchString(mobile):
		m.To = "+86" + mobile
	case abroad && !strings.HasPrefix(mobile, "+86-"):
		m.To = strings.Replace(mobile, "-", "", 1)
	default:
		return refuse("414", "bad mobile")
	}
	m.Template = form.Get("templateid")
	t, found := n.template(m.Template)
	if m.Template == "" && n.older && form.Has("authCode") { // a template of the vendor's
		t, found = Template{Text: "您的验证码是#{code}", Params: []Param{{Name: "code"}}, Both: true}, true
	}
	if !found || !t.Serves(abroad) {
		return refuse("404", "template not found")
	}
	values, ok := n.values(form, t)
	if !ok {
		return refuse("414", "bad paramMap or authCode")
	}
	m.Values = values
	m.Text = t.Render(func(_ int, name string) string { return "#{" + name + "}" }, values)
	return m, values[max(0, slices.IndexFunc(t.Params, func(p Param) bool { return p.Name == "code" }))], nil
}

// values is one for each parameter of the template, the code among them.
func (n *NetEase) values(form url.Values, t Template) ([]string, bool) {
	given := map[string]string{}
	switch {
	case form.Has("paramMap") == form.Has("authCode"):
		return nil, false
	case form.Has("authCode"):
		given["code"] = form.Get("authCode")
	default:
		d := json.NewDecoder(strings.NewReader(form.Get("paramMap")))
		if d.Decode(&given) != nil || d.Decode(new(json.RawMessage)) != io.EOF {
			return nil, false
		}
	}
	if !n.value.MatchString(given["code"]) || len(given) != len(t.Params) {
		return nil, false
	}
	var values []string
	for _, p := range t.Params {
		v, ok := given[p.Name]
		if !ok || p.Pattern != nil && !p.Pattern.MatchString(v) {
			return nil, false
		}
		values = append(values, v)
	}
	return values, true
}

// refuse is the answer of a business error.
func (n *NetEase) refuse(code, text string) reply {
	if text == "" {
		text = "error"
	}
	return n.answer(map[string]any{"code": n.number(code), "msg": text, "obj": nil})
}

// header is the answer to headers that are wrong, which has another shape.
func (n *NetEase) header(problem string) reply {
	return n.answer(map[string]any{"code": n.number("414"), "desc": problem})
}

func (n *NetEase) number(code string) any {
	if i, err := strconv.Atoi(code); err == nil && !n.strings {
		return i
	}
	return code
}

func (n *NetEase) answer(v map[string]any) reply {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(v) // strings and numbers have no errors
	return reply{http.StatusOK, "application/json;charset=UTF-8", b.Bytes()}
}
