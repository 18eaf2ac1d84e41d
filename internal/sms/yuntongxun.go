package sms

import (
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // the vendor's choice
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const yuntongxunEndpoint = "https://app.cloopen.com:8883"

// YuntongxunConfig is an account with Yuntongxun (容联云通讯, cloopen).
type YuntongxunConfig struct {
	Name       string
	Endpoint   string // replaces scheme, host and port; the sandbox is https://sandboxapp.cloopen.com:8883
	AccountSID string
	AuthToken  string
	AppID      string

	// Templates are for mainland China alone. Params fill {1}, {2} and so on, as
	// many as the template has; without any they are {{code}} and {{minutes}}.
	Templates map[TemplateUse]VendorTemplate

	TLS *tls.Config // nil for the system's authorities
}

// Yuntongxun sends by TemplateSMS with JSON, to one number a call. It serves
// mobile numbers of mainland China. The id of a message is its idempotency key:
// the vendor takes no id twice in a day.
type Yuntongxun struct {
	client    *vendorClient
	sid       string
	appID     string
	sign      func(stamp string) string // in a closure no print shows the token
	templates map[TemplateUse]VendorTemplate
	classes   map[string]Class
}

// NewYuntongxun checks the configuration; it connects to nothing.
func NewYuntongxun(c YuntongxunConfig) (*Yuntongxun, error) {
	client, err := newVendorClient(c.Name, cmp.Or(c.Endpoint, yuntongxunEndpoint), c.TLS)
	if err != nil {
		return nil, err
	}
	switch {
	case c.AccountSID == "" || c.AuthToken == "" || c.AppID == "":
		err = errors.New("account_sid, auth_token and app_id are needed")
	case !alphanumeric(c.AccountSID): // it is part of the path
		err = errors.New("account_sid must be letters and digits")
	default:
		err = checkTemplates(c.Templates, false)
	}
	for use := range c.Templates {
		if use.International {
			err = errors.New("templates are for mainland China alone")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sms provider %s: %w", c.Name, err)
	}
	sid, token := c.AccountSID, c.AuthToken
	return &Yuntongxun{
		client: client, sid: sid, appID: c.AppID, classes: classesOf(YuntongxunCodes()),
		sign:      func(stamp string) string { return yuntongxunSignature(sid, token, stamp) },
		templates: withParams(c.Templates, TemplateParam{Value: "{{code}}"}, TemplateParam{Value: "{{minutes}}"}),
	}, nil
}

// Name is the one in the configuration (Provider).
func (y *Yuntongxun) Name() string { return y.client.name }

// yuntongxunBody is what the vendor reads.
type yuntongxunBody struct {
	To         string   `json:"to"` // one number; the vendor would take a list
	AppID      string   `json:"appId"`
	TemplateID string   `json:"templateId"`
	Datas      []string `json:"datas"`
	ReqID      string   `json:"reqId"`
}

// Serves says whether there is a template for the number and the purpose (Provider).
func (y *Yuntongxun) Serves(to Number, p Purpose) bool { return serves(y.templates, to, p) }

// Send hands the message to the vendor (Provider).
func (y *Yuntongxun) Send(ctx context.Context, m Message) (string, error) {
	content, failed := y.content(m)
	if failed != nil {
		return "", failed
	}
	// The signature does not cover the body and is good for a day, which is why
	// there is no plain http.
	stamp := yuntongxunStamp(time.Now())
	header := http.Header{}
	header.Set("Accept", "application/json")
	header.Set("Content-Type", "application/json;charset=utf-8")
	header.Set("Authorization", base64.StdEncoding.EncodeToString([]byte(y.sid+":"+stamp)))
	path := "/2013-12-26/Accounts/" + y.sid + "/SMS/TemplateSMS?sig=" + y.sign(stamp)
	body, failed := y.client.post(ctx, path, header, content)
	if failed != nil {
		return "", failed
	}
	return y.judge(body, m)
}

// yuntongxunStamp is the wall clock of Beijing.
func yuntongxunStamp(now time.Time) string {
	return now.In(time.FixedZone("Asia/Shanghai", 8*60*60)).Format("20060102150405")
}

func yuntongxunSignature(sid, token, stamp string) string {
	sum := md5.Sum([]byte(sid + token + stamp)) //nolint:gosec // the vendor's choice
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// content is the body of the request, for exactly one number.
func (y *Yuntongxun) content(m Message) (string, *SendError) {
	mobile, ok := mainlandMobile(m.To)
	switch {
	case !ok && (m.To.IsZero() || strings.HasPrefix(m.To.E164(), "+86")):
		return "", y.client.fail(BadNumber, "number")
	case !ok:
		return "", y.client.unserved(true)
	case !allDigits(m.Code):
		return "", y.client.fail(Misconfigured, "code")
	case m.ID == "": // two messages without one would be the same to the vendor
		return "", y.client.fail(Misconfigured, "message_id")
	}
	template, ok := templateFor(y.templates, m.Purpose, false)
	if !ok {
		return "", y.client.unserved(false)
	}
	body := yuntongxunBody{To: mobile, AppID: y.appID, TemplateID: template.ID, ReqID: yuntongxunRequest(m.ID)}
	for _, p := range template.Params {
		body.Datas = append(body.Datas, fillValue(p.Value, m))
	}
	content, err := json.Marshal(body)
	if err != nil {
		return "", y.client.fail(Misconfigured, "encode")
	}
	return string(content), nil
}

// yuntongxunRequest makes an idempotency key, at most 32 letters and digits, of
// a message's id: a UUID without its dashes, of any other shape a digest.
func yuntongxunRequest(id string) string {
	key := strings.ReplaceAll(id, "-", "")
	if len(key) == 32 && alphanumeric(key) {
		return key
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// judge reads the answer.
func (y *Yuntongxun) judge(body []byte, m Message) (string, error) {
	var reply struct {
		StatusCode  json.RawMessage `json:"statusCode"`
		TemplateSMS struct {        // its name begins with either case
			SmsMessageSid json.RawMessage `json:"smsMessageSid"`
		} `json:"templateSMS"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return "", y.client.fail(Ambiguous, "reply")
	}
	code := scalar(reply.StatusCode)
	if class, known := y.classes[code]; known && class == "" { // 160054 has no sid
		return vendorRef(scalar(reply.TemplateSMS.SmsMessageSid), m), nil
	}
	return "", y.client.refused(y.classes, code, m)
}

// YuntongxunCodes is what the vendor's codes mean. The vendor documents them by
// the hundred; those that call for the same are listed together.
func YuntongxunCodes() []VendorCode {
	const (
		setup    = "something about the account, the application, the template or the request is set up wrongly"
		app      = "the application is missing, not online or not allowed to send"
		address  = "the address of the caller is not on the list of allowed ones"
		words    = "the text has banned words"
		tests    = "limits of an application under test: template 1 and registered numbers only"
		internal = "error inside the vendor"
		account  = "the account cannot send now"
		channel  = "the vendor's channel is busy or cannot send"
		number   = "the number is malformed, not in service or of a country that is not served"
		often    = "too many messages to this number"
		same     = "the same text was sent to this number a moment ago"
		list     = "the number is blacklisted or has unsubscribed"
	)
	return []VendorCode{
		{"000000", "", "accepted"},
		{"111000-111099", Failover, internal},
		{"111100-111105", Misconfigured, setup},
		{"111106", Misconfigured, "the time in the Authorization header is missing, or off by more than a day"},
		{"111107", Misconfigured, "the account in the Authorization header is not the one in the address"},
		{"111108", Misconfigured, setup},
		{"111109", Misconfigured, "wrong signature: account_sid or auth_token"},
		{"111110", Misconfigured, setup},
		{"111111", Failover, "too many requests at once"},
		{"111113", Misconfigured, setup},
		{"111115", Misconfigured, address},
		{"111128-111133", Misconfigured, setup},
		{"111138", Misconfigured, setup},
		{"111139", Failover, "the account is suspended"},
		{"111140", Misconfigured, "the account is suspended or set up wrongly"},
		{"111141", Misconfigured, setup},
		{"111142", Failover, "the balance is used up"},
		{"111143", Misconfigured, setup},
		{"111169-111171", Misconfigured, setup},
		{"111176-111182", Misconfigured, app},
		{"111212", Misconfigured, setup},
		{"112300", BadNumber, number},
		{"112302", Failover, account},
		{"112303", Misconfigured, setup},
		{"112305", Misconfigured, tests},
		{"112306", BadNumber, number},
		{"112307-112308", Misconfigured, setup},
		{"112310", Misconfigured, tests},
		{"112311", Misconfigured, setup},
		{"112314", Failover, "the account's limit for a day is reached"},
		{"112315", Misconfigured, setup},
		{"112316", BadNumber, number},
		{"112317", Blocked, list},
		{"112318", Misconfigured, setup},
		{"112319", BadNumber, number},
		{"112323", Misconfigured, setup},
		{"112326", Failover, account},
		{"112328", BadNumber, number},
		{"113302", Misconfigured, tests},
		{"160000-160010", Failover, channel},
		{"160011", Misconfigured, words},
		{"160012", Failover, channel},
		{"160013", BadNumber, number},
		{"160014", Failover, "the channel's balance is used up"},
		{"160015", NumberLimited, often},
		{"160016", Failover, "the account sends too fast"},
		{"160018", Misconfigured, words},
		{"160019", Misconfigured, "the signature (签名) is missing or not approved"},
		{"160021", NumberLimited, same},
		{"160022", NumberLimited, often},
		{"160030-160032", Misconfigured, setup},
		{"160033", Misconfigured, words},
		{"160034", Blocked, list},
		{"160035-160037", Misconfigured, setup},
		{"160038", NumberLimited, "messages to this number follow too closely; the template sets how closely they may"},
		{"160039-160040", NumberLimited, "the limit of this number for a day, set for the template, is reached"},
		{"160041", NumberLimited, often},
		{"160042", BadNumber, number},
		{"160043", Misconfigured, setup},
		{"160044", BadNumber, number},
		{"160048", Misconfigured, setup},
		{"160049", Misconfigured, words},
		{"160050", Failover, channel},
		{"160051", Blocked, list},
		{"160052", Misconfigured, setup},
		{"160053", Misconfigured, address},
		{"160054", "", "accepted before: the reqId is repeated"},
		{"160055", Misconfigured, setup},
		{"160056", NumberLimited, same},
		{"160057", Misconfigured, setup},
		{"160058-160062", BadNumber, number},
		{"160063-160064", Failover, channel},
		{"160065", Misconfigured, setup},
		{"160068", Blocked, list},
		{"160069", Misconfigured, setup},
		{"160072-160074", Blocked, list},
		{"*", Failover, "every other code is a refusal for reasons unknown"},
	}
}
