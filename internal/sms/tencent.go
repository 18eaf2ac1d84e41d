package sms

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	tencent "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/sms/v20210111"
)

const tencentEndpoint = "https://sms.tencentcloudapi.com"

// TencentConfig names an application of Tencent Cloud's SMS service.
type TencentConfig struct {
	Name           string
	Endpoint       string // replaces scheme, host and port; http for loopback alone
	Region         string // "" for ap-guangzhou
	SecretID       string
	SecretKey      string
	SDKAppID       string
	SignName       string // needed for mainland China
	SignNameAbroad string // for other numbers, where the vendor needs none

	// Templates without Params get ["{{code}}", "{{minutes}}"]; how many there
	// are must be the template's number. A use without a template is not served.
	Templates map[TemplateUse]VendorTemplate

	TLS *tls.Config // nil for the system's authorities
}

// Tencent sends through the SendSms call (version 2021-01-11) of Tencent
// Cloud's SDK, of which it takes the request and its signature. What became of
// it the wire beneath tells: the SDK's errors are texts that have lost the
// status and repeat the answer.
type Tencent struct {
	client    *vendorClient
	sdk       *tencent.Client
	app       string
	sign      string
	signAway  string // for numbers outside mainland China
	templates map[TemplateUse]VendorTemplate
	classes   map[string]Class
}

// NewTencent checks the configuration; it connects to nothing.
func NewTencent(c TencentConfig) (*Tencent, error) {
	client, err := newVendorClient(c.Name, cmp.Or(c.Endpoint, tencentEndpoint), c.TLS)
	if err != nil {
		return nil, err
	}
	unsigned := false
	for use, t := range c.Templates {
		unsigned = unsigned || !use.International && t.Sign == "" && c.SignName == ""
	}
	switch err = checkTemplates(c.Templates, false); {
	case c.SecretID == "" || c.SecretKey == "" || c.SDKAppID == "":
		err = errors.New("secret_id, secret_key and sdk_app_id are needed")
	case !printable(c.SecretID) || !printable(c.Region):
		err = errors.New("secret_id or region has characters that no header can carry")
	case unsigned:
		err = errors.New("sign_name is needed for mainland China")
	}
	if err != nil {
		return nil, fmt.Errorf("sms provider %s: %w", c.Name, err)
	}
	sdk, err := tencent.NewClient(common.NewCredential(c.SecretID, c.SecretKey), cmp.Or(c.Region, "ap-guangzhou"), tencentProfile(client.base))
	if err != nil {
		return nil, fmt.Errorf("sms provider %s: the vendor's SDK refuses the configuration", c.Name)
	}
	sdk.WithHttpTransport(&wire{client.http.Transport})
	return &Tencent{
		client: client, sdk: sdk, app: c.SDKAppID, sign: c.SignName, signAway: c.SignNameAbroad,
		templates: withParams(c.Templates, TemplateParam{Value: "{{code}}"}, TemplateParam{Value: "{{minutes}}"}),
		classes:   classesOf(TencentCodes()),
	}, nil
}

// tencentProfile turns off what the SDK does on its own, so that nothing is
// sent twice. Time is ours to keep: the SDK counts whole seconds, 60 by default.
func tencentProfile(base string) *profile.ClientProfile {
	p := profile.NewClientProfile()
	scheme, host, _ := strings.Cut(base, "://")
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint = strings.ToUpper(scheme), host
	p.HttpProfile.ReqMethod = http.MethodPost
	p.HttpProfile.ReqTimeout = int(2 * attemptTime / time.Second)
	p.NetworkFailureMaxRetries, p.RateLimitExceededMaxRetries = 0, 0
	p.UnsafeRetryOnConnectionFailure = false
	p.DisableRegionBreaker = true
	p.Debug = false
	p.Language = "en-US"
	return p
}

// Name is the one in the configuration (Provider).
func (p *Tencent) Name() string { return p.client.name }

// Serves says whether there is a template for the number and the purpose (Provider).
func (p *Tencent) Serves(to Number, purpose Purpose) bool { return serves(p.templates, to, purpose) }

// Send hands the message to the vendor (Provider).
func (p *Tencent) Send(ctx context.Context, m Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return "", p.client.fail(Failover, cause(err))
	}
	req, failed := p.request(m)
	if failed != nil {
		return "", failed
	}
	ctx, x := begin(ctx)
	_, _ = p.sdk.SendSmsWithContext(ctx, req) // repeats what must not be seen; the exchange has it all
	return p.judge(x, m)
}

// request is for exactly one number.
func (p *Tencent) request(m Message) (*tencent.SendSmsRequest, *SendError) {
	number := m.To.E164()
	_, mainland := mainlandMobile(m.To)
	if !shapedE164(number) || !mainland && strings.HasPrefix(number, "+86") {
		return nil, p.client.fail(BadNumber, "number")
	}
	if failed := p.client.unfit(m); failed != nil {
		return nil, failed
	}
	t, ok := templateFor(p.templates, m.Purpose, !mainland)
	if !ok {
		return nil, p.client.unserved(!mainland)
	}
	sign := cmp.Or(t.Sign, p.sign)
	if !mainland {
		sign = cmp.Or(t.Sign, p.signAway)
	}
	req := tencent.NewSendSmsRequest()
	req.PhoneNumberSet = []*string{&number}
	req.SmsSdkAppId, req.TemplateId, req.SessionContext = &p.app, &t.ID, &m.ID
	if sign != "" {
		req.SignName = &sign
	}
	for _, param := range t.Params {
		value := fillValue(param.Value, m)
		req.TemplateParamSet = append(req.TemplateParamSet, &value)
	}
	return req, nil
}

// tencentReply is what both a refused request and a request that was taken
// look like; one that was taken may still hold a refused number.
type tencentReply struct {
	Response struct {
		Error         struct{ Code string }
		SendStatusSet []struct{ Code, SerialNo string }
	}
}

// judge reads the answer.
func (p *Tencent) judge(x *exchange, m Message) (string, error) {
	if failed := x.trouble(p.client); failed != nil {
		return "", failed
	}
	var reply tencentReply
	if json.Unmarshal(x.body, &reply) != nil {
		return "", x.unreadable(p.client)
	}
	code, sent := reply.Response.Error.Code, reply.Response.SendStatusSet
	if code == "" && len(sent) == 1 { // one number was given
		code = sent[0].Code
	}
	switch {
	case code == "", code == "Ok" && (len(sent) != 1 || x.status != http.StatusOK):
		return "", x.unreadable(p.client)
	case code == "Ok":
		return wireRef(sent[0].SerialNo, m), nil
	}
	failed := refusal(p.client, p.classes, code)
	if failed.Class == NumberLimited {
		failed.RetryAfter = tencentWait(code, time.Now())
	}
	return "", failed
}

// tencentWait is the longest that a number may have to wait. The vendor's day
// is that of Beijing.
func tencentWait(code string, now time.Time) time.Duration {
	switch {
	case strings.HasSuffix(code, "ThirtySecondLimit"):
		return 30 * time.Second
	case strings.HasSuffix(code, "OneHourLimit"):
		return time.Hour
	case strings.HasSuffix(code, "DailyLimit"):
		local := now.In(time.FixedZone("Asia/Shanghai", 8*60*60))
		y, month, d := local.Date()
		return time.Date(y, month, d+1, 0, 0, 0, 0, local.Location()).Sub(now)
	}
	return 0
}

// Query asks for the number's messages since one was sent (Querier), by
// PullSmsSendStatusByPhoneNumber, which takes nothing out of the vendor's queue
// of reports. It tells messages with a verdict alone.
func (p *Tencent) Query(ctx context.Context, to Number, sent time.Time) ([]Report, error) {
	const skew = time.Minute // between the vendor's clock and ours
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	number := to.E164()
	from, until := uint64(sent.Add(-skew).Unix()), uint64(time.Now().Add(skew).Unix()) //nolint:gosec // after 1970
	var offset, limit uint64 = 0, 100
	req := tencent.NewPullSmsSendStatusByPhoneNumberRequest()
	req.PhoneNumber, req.SmsSdkAppId = &number, &p.app
	req.BeginTime, req.EndTime, req.Offset, req.Limit = &from, &until, &offset, &limit
	ctx, x := begin(ctx)
	_, _ = p.sdk.PullSmsSendStatusByPhoneNumberWithContext(ctx, req) // repeats what must not be seen; the exchange has it all
	return p.pulled(x, to)
}
