package fake

import (
	"bytes"
	"cmp"
	"crypto/md5" //nolint:gosec // the vendor's choice
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// YuntongxunConfig is what the fake of Yuntongxun (cloopen) is told.
type YuntongxunConfig struct {
	Config
	Accounts map[string]YuntongxunAccount // by account SID
}

// YuntongxunAccount is one that may send.
type YuntongxunAccount struct {
	Token string   // auth token
	Apps  []string // application ids; empty for any
}

// Yuntongxun stands in for app.cloopen.com:8883:
// POST /2013-12-26/Accounts/{sid}/SMS/TemplateSMS, JSON or XML.
type Yuntongxun struct {
	*Core
	accounts map[string]YuntongxunAccount
	path     *regexp.Regexp
	mobile   *regexp.Regexp
	reqID    *regexp.Regexp
	ids      atomic.Int64

	mu    sync.Mutex
	day   string          // of Beijing, that taken belongs to
	taken map[string]bool // account and reqId
}

// NewYuntongxun starts with an empty inbox. The vendor's limits are set per
// template; by default a number gets one message in 30 s and ten in a day.
func NewYuntongxun(c YuntongxunConfig) *Yuntongxun {
	return &Yuntongxun{
		Core: newCore(c.Config, "yuntongxun", []Limit{
			{Count: 1, Within: 30 * time.Second, Code: "160038", Message: "短信验证码发送过频繁"},
			{Count: 10, Code: "160040", Message: "验证码超出同模板同号码天发送上限"},
		}),
		accounts: c.Accounts, taken: map[string]bool{},
		path:   regexp.MustCompile(`^/2013-12-26/Accounts/([0-9A-Za-z]+)/SMS/TemplateSMS$`),
		mobile: regexp.MustCompile(`^1[3-9][0-9]{9}$`),
		reqID:  regexp.MustCompile(`^[0-9A-Za-z]{1,32}$`),
	}
}

// ServeHTTP is the vendor's API.
func (y *Yuntongxun) ServeHTTP(w http.ResponseWriter, r *http.Request) { y.serve(w, r, y.judge) }

// yuntongxunRequest is the body of a request, with any root element in XML.
type yuntongxunRequest struct {
	To         string   `json:"to" xml:"to"`
	AppID      string   `json:"appId" xml:"appId"`
	TemplateID string   `json:"templateId" xml:"templateId"`
	Datas      []string `json:"datas" xml:"datas>data"`
	SubAppend  string   `json:"subAppend" xml:"subAppend"`
	ReqID      string   `json:"reqId" xml:"reqId"`
}

func (y *Yuntongxun) judge(r *http.Request, body []byte, o Outcome) reply {
	path := y.path.FindStringSubmatch(r.URL.Path)
	switch {
	case path == nil:
		return reply{http.StatusNotFound, "text/html", []byte("<html><head><title>404 Not Found</title></head></html>")}
	case r.Method != http.MethodPost:
		return reply{http.StatusMethodNotAllowed, "text/html", []byte("<html><head><title>405 Not Allowed</title></head></html>")}
	}
	in, out := y.formats(r.Header)
	if code, text := y.authenticate(path[1], r); code != "" {
		return out.refuse(code, text)
	}
	if o.Code != "" {
		return out.refuse(o.Code, cmp.Or(o.Message, "请求失败"))
	}
	var request yuntongxunRequest
	if !in.read(body, &request) {
		return out.refuse("160031", "参数解析失败")
	}
	messages, code, text := y.messages(y.accounts[path[1]], request)
	if code == "" {
		code, text = y.take(path[1]+" "+request.ReqID, messages)
	}
	if code != "" {
		return out.refuse(code, text)
	}
	return out.accept(messages[0].Ref, y.now().In(beijing).Format(yuntongxunTime))
}

// yuntongxunTime is how the vendor writes times, all of Beijing.
const yuntongxunTime = "20060102150405"

// authenticate returns the vendor's code for what is wrong, "" if nothing.
func (y *Yuntongxun) authenticate(sid string, r *http.Request) (code, text string) {
	const window = 24 * time.Hour
	raw, err := base64.StdEncoding.Strict().DecodeString(r.Header.Get("Authorization"))
	owner, stamp, ok := strings.Cut(string(raw), ":")
	account, known := y.accounts[sid]
	if err != nil || !ok || owner != sid || !known {
		return "111107", "请求包头Authorization参数中Account Sid与请求地址不一致"
	}
	at, err := time.ParseInLocation(yuntongxunTime, stamp, beijing)
	if err != nil || y.now().Sub(at).Abs() > window {
		return "111106", "请求包头Authorization参数中时间戳过期"
	}
	sig := r.URL.Query()["sig"]
	want := yuntongxunSignature(sid, account.Token, stamp)
	if len(sig) != 1 || subtle.ConstantTimeCompare([]byte(want), []byte(sig[0])) != 1 {
		return "111109", "请求地址Sig校验失败"
	}
	return "", ""
}

func yuntongxunSignature(sid, token, stamp string) string {
	sum := md5.Sum([]byte(sid + token + stamp)) //nolint:gosec // the vendor's choice
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// messages is one for each number of the request.
func (y *Yuntongxun) messages(account YuntongxunAccount, q yuntongxunRequest) (messages []Received, code, text string) {
	const most = 200
	t, found := y.template(q.TemplateID)
	numbers := strings.Split(q.To, ",")
	switch {
	case q.AppID == "" || len(account.Apps) > 0 && !slices.Contains(account.Apps, q.AppID):
		return nil, "111181", "应用不存在"
	case len(numbers) > most:
		return nil, "160031", "参数解析失败"
	case !found || !t.Serves(false):
		return nil, "160032", "短信模板无效"
	case len(q.Datas) != len(t.Params):
		return nil, "160031", "参数解析失败"
	case q.ReqID != "" && !y.reqID.MatchString(q.ReqID):
		return nil, "160052", "reqId格式错误"
	}
	for i, p := range t.Params {
		if p.Pattern != nil && !p.Pattern.MatchString(q.Datas[i]) {
			return nil, "160031", "参数解析失败"
		}
	}
	rendered := t.Render(func(i int, _ string) string { return fmt.Sprintf("{%d}", i+1) }, q.Datas)
	for _, number := range numbers {
		if !y.mobile.MatchString(number) {
			return nil, "160042", "号码格式有误"
		}
		messages = append(messages, Received{
			To: "+86" + number, Template: t.ID, Values: q.Datas, Text: rendered,
			MessageID: q.ReqID, Ref: fmt.Sprintf("%032x", y.ids.Add(1)),
		})
	}
	return messages, "", ""
}

// take delivers the messages of a request unless it was taken on the same day.
func (y *Yuntongxun) take(request string, messages []Received) (code, text string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if day := y.now().In(beijing).Format(time.DateOnly); day != y.day {
		y.day = day
		clear(y.taken)
	}
	if y.taken[request] {
		return "160054", "reqId重复"
	}
	for _, m := range messages {
		if over := y.deliver(m); over != nil {
			return over.Code, over.Message
		}
	}
	if messages[0].MessageID != "" {
		y.taken[request] = true
	}
	return "", ""
}

// yuntongxunFormat is how a body is written.
type yuntongxunFormat string

const (
	yuntongxunJSON yuntongxunFormat = "application/json"
	yuntongxunXML  yuntongxunFormat = "application/xml"
)

// formats reads both headers: Content-Type says how the request is written,
// Accept how the answer is to be; without it the answer is like the request.
func (y *Yuntongxun) formats(h http.Header) (in, out yuntongxunFormat) {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	in = yuntongxunFormat(kind)
	if charset := params["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		in = ""
	}
	accept, _, _ := mime.ParseMediaType(h.Get("Accept"))
	switch {
	case yuntongxunFormat(accept) == yuntongxunJSON, yuntongxunFormat(accept) == yuntongxunXML:
		return in, yuntongxunFormat(accept)
	case in == yuntongxunJSON:
		return in, yuntongxunJSON
	}
	return in, yuntongxunXML
}

// read reports whether the body is a request in this format and nothing else.
func (f yuntongxunFormat) read(body []byte, into *yuntongxunRequest) bool {
	switch f {
	case yuntongxunJSON:
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		return d.Decode(into) == nil && d.Decode(new(json.RawMessage)) == io.EOF
	case yuntongxunXML:
		return xml.Unmarshal(body, into) == nil
	}
	return false
}

// yuntongxunAnswer is both shapes; JSON spells the inner one in lower case.
type yuntongxunAnswer struct {
	XMLName    xml.Name         `json:"-" xml:"Response"`
	StatusCode string           `json:"statusCode" xml:"statusCode"`
	StatusMsg  string           `json:"statusMsg,omitempty" xml:"statusMsg,omitempty"`
	Template   *yuntongxunTaken `json:"templateSMS,omitempty" xml:"TemplateSMS,omitempty"`
}

type yuntongxunTaken struct {
	DateCreated   string `json:"dateCreated" xml:"dateCreated"`
	SmsMessageSid string `json:"smsMessageSid" xml:"smsMessageSid"`
}

func (f yuntongxunFormat) accept(ref, at string) reply {
	return f.write(yuntongxunAnswer{StatusCode: "000000", Template: &yuntongxunTaken{at, ref}})
}

func (f yuntongxunFormat) refuse(code, text string) reply {
	return f.write(yuntongxunAnswer{StatusCode: code, StatusMsg: text})
}

func (f yuntongxunFormat) write(a yuntongxunAnswer) reply {
	if f == yuntongxunJSON {
		body, _ := json.Marshal(a) // strings have no errors
		return reply{http.StatusOK, "application/json;charset=utf-8", body}
	}
	body, _ := xml.Marshal(a)
	return reply{http.StatusOK, "application/xml;charset=utf-8", append([]byte(xml.Header), body...)}
}
