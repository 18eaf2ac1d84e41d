package fake

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Office is all vendors behind one address, with an inbox to look into, for an
// operator who tries a configuration without an account:
//
//	GET /        the inbox as a page that renews itself
//	GET /inbox   the inbox as JSON
//	the rest     the vendors' calls, told apart by path and headers
type Office struct {
	Inbox   *Inbox
	vendors map[string]vendor
	remote  bool
}

// vendor is one of the fakes.
type vendor interface {
	http.Handler
	Always(o Outcome)
}

// OfficeConfig is how an office is set up.
type OfficeConfig struct {
	Remote    bool // answer whatever name the office is called by, not loopback names alone
	Unlimited bool // without the vendors' limits for one number
}

// What the fakes of an Office know. It is public, so it is worth nothing elsewhere.
const (
	officeID     = "fake0id0fake0id0fake0id0fake0id0"
	officeSecret = "fake0key0fake0key0fake0key0fake0" //nolint:gosec // protects nothing
	officeApp    = "1400000001"
	officeSign   = "示例签名"
)

// NewOffice starts with an empty inbox.
func NewOffice(c OfficeConfig) *Office {
	f := &Office{Inbox: NewInbox(), remote: c.Remote}
	code, minutes := Param{Name: "code"}, Param{Name: "minutes"}
	config := func(id, text string, params ...Param) Config {
		var limits []Limit // the vendor's
		if c.Unlimited {
			limits = []Limit{}
		}
		return Config{Inbox: f.Inbox, Signs: []string{officeSign}, Limits: limits,
			Templates: []Template{{ID: id, Text: text, Params: params, Both: true}}}
	}
	keys := map[string]string{officeID: officeSecret}
	f.vendors = map[string]vendor{
		"aliyun": NewAliyun(AliyunConfig{Config: config("SMS_100000001", "您的验证码为${code}，请勿告诉他人。", code), Keys: keys}),
		"tencent": NewTencent(TencentConfig{Config: config("1110", "{1}为您的验证码，{2}分钟内有效，请勿告诉他人。", code, minutes),
			Keys: keys, Apps: []string{officeApp}}),
		"netease": NewNetEase(NetEaseConfig{Config: config("3001", "您的验证码是#{code}，请勿告诉他人。", code), Apps: keys}),
		"yuntongxun": NewYuntongxun(YuntongxunConfig{Config: config("1", "您的验证码是{1}，请于{2}分钟内输入。", code, minutes),
			Accounts: map[string]YuntongxunAccount{officeID: {Token: officeSecret, Apps: []string{officeApp}}}}),
	}
	return f
}

// Settings is the part of a configuration that sends through an office at an
// address such as http://127.0.0.1:9199.
func (f *Office) Settings(address string) string {
	return fmt.Sprintf(`sms:
  regions: [CN]
  routes: {CN: [aliyun, tencent, netease, yuntongxun]}
  providers:
    aliyun: {type: aliyun, endpoint: %[1]q, access_key_id: %[2]s, access_key_secret: %[3]s, sign_name: %[5]s,
      template_code: SMS_100000001, template_code_international: SMS_100000001}
    tencent: {type: tencent, endpoint: %[1]q, secret_id: %[2]s, secret_key: %[3]s, sdk_app_id: %[4]q, sign_name: %[5]s,
      template_id: "1110", template_id_international: "1110"}
    netease: {type: netease, endpoint: %[1]q, app_key: %[2]s, app_secret: %[3]s, template_id: "3001", template_id_international: "3001"}
    yuntongxun: {type: yuntongxun, endpoint: %[1]q, account_sid: %[2]s, auth_token: %[3]s, app_id: %[4]q, template_id: "1"}
`, address, officeID, officeSecret, officeApp, officeSign)
}

// Fail lets every call to a vendor end in one of Faults, or in a refusal with a
// code of the vendor's.
func (f *Office) Fail(name, what string) error {
	v, ok := f.vendors[name]
	if !ok || what == "" {
		return fmt.Errorf("%s=%s: the vendors are aliyun, tencent, netease and yuntongxun, and each fails with a code or a fault", name, what)
	}
	o := Outcome{Code: what}
	if fault := Fault(what); slices.Contains(Faults(), fault) {
		o = Outcome{Fault: fault}
	}
	v.Always(o)
	return nil
}

// ServeHTTP answers vendors' calls and shows the inbox (http.Handler). Called by
// a name that is not this machine's it refuses, unless it is to be remote: a web
// page elsewhere could have its own name point here and read the codes.
func (f *Office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !f.remote && !loopbackName(r.Host):
		http.Error(w, "this is served to loopback addresses alone", http.StatusMisdirectedRequest)
	case r.Method == http.MethodGet && r.URL.Path == "/" && r.URL.RawQuery == "":
		f.show(w)
	case r.Method == http.MethodGet && r.URL.Path == "/inbox":
		f.list(w)
	default:
		f.vendors[vendorOf(r)].ServeHTTP(w, r)
	}
}

func vendorOf(r *http.Request) string {
	switch {
	case strings.HasPrefix(r.URL.Path, "/sms/"):
		return "netease"
	case strings.HasPrefix(r.URL.Path, "/2013-12-26/"):
		return "yuntongxun"
	case strings.HasPrefix(r.Header.Get("Authorization"), tc3), r.Header.Get("X-TC-Action") != "":
		return "tencent"
	}
	return "aliyun"
}

func loopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// shown is how many messages the page has.
const shown = 100

// newest is the inbox, the newest first.
func (f *Office) newest() []Received {
	all := f.Inbox.Messages()
	slices.Reverse(all)
	return all
}

func (f *Office) show(w http.ResponseWriter) {
	all := f.newest()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	_ = f.page().Execute(w, struct {
		Total    int
		Messages []Received
	}{len(all), all[:min(len(all), shown)]})
}

func (f *Office) page() *template.Template {
	return template.Must(template.New("inbox").Funcs(template.FuncMap{
		"clock": func(t time.Time) string { return t.Format(time.TimeOnly) },
		"code":  Received.Code,
	}).Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width">
<title>{{.Total}} messages</title>
<h1>Messages that nobody was sent</h1>
<p>{{.Total}} so far. This page renews itself every two seconds.</p>
<table border="1" cellpadding="6">
<tr><th>time</th><th>vendor</th><th>number</th><th>code</th><th>text</th></tr>
{{range .Messages}}<tr><td>{{clock .At}}</td><td>{{.Provider}}</td><td>{{.To}}</td><td><b>{{code .}}</b></td><td>{{.Text}}</td></tr>
{{end}}</table>
</html>
`))
}

func (f *Office) list(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(f.newest())
}

// Code is the first value of the template, where codes are by custom.
func (m Received) Code() string {
	if len(m.Values) == 0 {
		return ""
	}
	return m.Values[0]
}
