package sms

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the vendor's choice
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const netEaseEndpoint = "https://sms.yunxinapi.com"

// NetEaseConfig is an account with NetEase Yunxin (网易云信).
type NetEaseConfig struct {
	Name      string
	Endpoint  string // replaces scheme, host and port; older accounts have https://api.netease.im
	AppKey    string
	AppSecret string

	// ParamStyle is how the vendor is given our code: NetEaseParamMap, also if
	// empty, or NetEaseAuthCode for accounts from before 2025-11-05.
	ParamStyle string

	// Templates need an ID with NetEaseParamMap. A use without a template is not
	// served, with NetEaseAuthCode by the vendor's own choice. A template without
	// Params gets {"code": "{{code}}"}.
	Templates map[TemplateUse]VendorTemplate

	TLS *tls.Config // nil for the system's authorities
}

// The values of NetEaseConfig.ParamStyle.
const (
	NetEaseParamMap = "paramMap"
	NetEaseAuthCode = "authCode"
)

// NetEase sends through sendcode.action, which takes one number a call. The
// code is ours: what the vendor would make itself could not fail over to
// another provider.
type NetEase struct {
	client    *vendorClient
	appKey    string
	sign      func(nonce, curTime string) string // in a closure no print shows the secret
	style     string
	templates map[TemplateUse]VendorTemplate
	classes   map[string]Class
}

// NewNetEase checks the configuration; it connects to nothing.
func NewNetEase(c NetEaseConfig) (*NetEase, error) {
	client, err := newVendorClient(c.Name, cmp.Or(c.Endpoint, netEaseEndpoint), c.TLS)
	if err != nil {
		return nil, err
	}
	style := cmp.Or(c.ParamStyle, NetEaseParamMap)
	switch {
	case c.AppKey == "" || c.AppSecret == "":
		err = errors.New("app_key and app_secret are needed")
	case !printable(c.AppKey):
		err = errors.New("app_key has characters that no header can carry")
	case style == NetEaseParamMap:
		err = checkTemplates(c.Templates, true)
	case style != NetEaseAuthCode:
		err = fmt.Errorf("param_style must be %s or %s", NetEaseParamMap, NetEaseAuthCode)
	default:
		err = withoutParams(c.Templates)
	}
	if err != nil {
		return nil, fmt.Errorf("sms provider %s: %w", c.Name, err)
	}
	secret := c.AppSecret
	return &NetEase{
		client: client, appKey: c.AppKey, style: style, classes: classesOf(NetEaseCodes()),
		sign:      func(nonce, curTime string) string { return netEaseCheckSum(secret, nonce, curTime) },
		templates: withParams(c.Templates, TemplateParam{Name: "code", Value: "{{code}}"}),
	}, nil
}

// withoutParams refuses parameters that would go nowhere.
func withoutParams(templates map[TemplateUse]VendorTemplate) error {
	for _, t := range templates {
		if t.ID == "" || len(t.Params) > 0 {
			return errors.New("with param_style authCode a template has an id and no parameters")
		}
	}
	return nil
}

// Name is the one in the configuration (Provider).
func (n *NetEase) Name() string { return n.client.name }

// Serves says whether there is a template for the number and the purpose (Provider).
func (n *NetEase) Serves(to Number, p Purpose) bool {
	return n.style == NetEaseAuthCode || serves(n.templates, to, p)
}

// Send hands the message to the vendor (Provider).
func (n *NetEase) Send(ctx context.Context, m Message) (string, error) {
	form, failed := n.form(m)
	if failed != nil {
		return "", failed
	}
	// The sum does not cover the body, which is why there is no plain http.
	nonce, curTime := rand.Text(), strconv.FormatInt(time.Now().Unix(), 10)
	header := http.Header{}
	header.Set("Content-Type", "application/x-www-form-urlencoded;charset=utf-8")
	header.Set("AppKey", n.appKey)
	header.Set("Nonce", nonce)
	header.Set("CurTime", curTime)
	header.Set("CheckSum", n.sign(nonce, curTime))
	body, failed := n.client.post(ctx, "/sms/sendcode.action", header, form.Encode())
	if failed != nil {
		return "", failed
	}
	return n.judge(body, m)
}

// netEaseCheckSum proves the secret for five minutes from curTime, in Unix seconds.
func netEaseCheckSum(secret, nonce, curTime string) string {
	sum := sha1.Sum([]byte(secret + nonce + curTime)) //nolint:gosec // the vendor's choice
	return hex.EncodeToString(sum[:])
}

// form is the body of the request, for exactly one number.
func (n *NetEase) form(m Message) (url.Values, *SendError) {
	mobile, abroad, ok := netEaseMobile(m.To)
	switch {
	case !ok:
		return nil, n.client.fail(BadNumber, "number")
	case len(m.Code) < 4 || len(m.Code) > 10 || !allDigits(m.Code):
		return nil, n.client.fail(Misconfigured, "code")
	}
	form := url.Values{"mobile": {mobile}}
	template, ok := templateFor(n.templates, m.Purpose, abroad)
	switch {
	case ok:
		form.Set("templateid", template.ID)
	case n.style == NetEaseParamMap:
		return nil, n.client.unserved(abroad)
	}
	if n.style == NetEaseAuthCode {
		form.Set("authCode", m.Code)
	} else {
		form.Set("paramMap", orderedObject(template, m))
	}
	return form, nil
}

// netEaseMobile is eleven digits for mainland China, "+1-2025550100" for others.
func netEaseMobile(to Number) (mobile string, abroad, ok bool) {
	if mobile, ok := mainlandMobile(to); ok {
		return mobile, false, true
	}
	digits, ok := strings.CutPrefix(to.E164(), "+")
	code := callingCode(digits)
	if !ok || code == "" || code == "86" || len(code) == len(digits) || !allDigits(digits) {
		return "", false, false
	}
	return "+" + code + "-" + digits[len(code):], true, true
}

// judge reads the answer. Its member obj, the code in clear, is not looked at.
func (n *NetEase) judge(body []byte, m Message) (string, error) {
	var reply struct {
		Code json.RawMessage `json:"code"`
		Msg  json.RawMessage `json:"msg"`
		Desc json.RawMessage `json:"desc"` // instead of msg where the headers are refused
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return "", n.client.fail(Ambiguous, "reply")
	}
	code, msg := scalar(reply.Code), scalar(reply.Msg)
	if code == "200" {
		return vendorRef(msg, m), nil
	}
	if code == "414" && namesTheNumber(msg+scalar(reply.Desc)) {
		return "", n.client.fail(BadNumber, code)
	}
	return "", n.client.refused(n.classes, code, m)
}

// namesTheNumber tells a refused number from the checksum, the clock and the
// other parameters, which have the same code.
func namesTheNumber(msg string) bool {
	msg = strings.ToLower(msg)
	return strings.Contains(msg, "mobile") || strings.Contains(msg, "phone") || strings.Contains(msg, "手机")
}

// NetEaseCodes is what the vendor's codes mean.
func NetEaseCodes() []VendorCode {
	return []VendorCode{
		{"200", "", "accepted"},
		{"301", BadNumber, "no such request for this number (verification only, unconfirmed)"},
		{"315", Misconfigured, "the address of the caller is not on the list of allowed ones"},
		{"400", Misconfigured, "malformed request"},
		{"403", Misconfigured, "SMS is not enabled for the application, or shut because the account is in arrears"},
		{"404", Misconfigured, "no such template or object"},
		{"412", Blocked, "the number is blacklisted or has unsubscribed"},
		{"413", Failover, "the code is wrong or expired (verification only; a refusal like any other if it answers sending)"},
		{"414", Misconfigured, "wrong parameter or checksum, or the clock is off by more than five minutes; class U if the text names the number"},
		{"416", NumberLimited, "too many messages to this number, or its country is disabled"},
		{"419", Failover, "a limit of the account (unconfirmed)"},
		{"426", Misconfigured, "callers from abroad are not allowed"},
		{"431", Failover, "duplicate request (unconfirmed)"},
		{"500", Ambiguous, "error of the server"},
		{"501-502", Ambiguous, "error of the server"},
		{"503", Failover, "the server is busy (unconfirmed)"},
		{"504-599", Ambiguous, "error of the server"},
		{"601", Misconfigured, "the text was refused as spam"},
		{"*", Failover, "every other code is a refusal for reasons unknown"},
	}
}
