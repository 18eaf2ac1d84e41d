package sms

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/dysmsapi"
)

const aliyunEndpoint = "https://dysmsapi.aliyuncs.com"

// AliyunConfig names an account of Aliyun's SMS service.
type AliyunConfig struct {
	Name            string
	Endpoint        string // replaces scheme, host and port; http for loopback alone
	Region          string // "" for cn-hangzhou
	AccessKeyID     string
	AccessKeySecret string
	SignName        string
	SignNameAbroad  string // for numbers outside mainland China; "" for SignName

	// Templates without Params get {"code": "{{code}}"}: verification templates
	// take one variable and no more. A use without a template is not served.
	Templates map[TemplateUse]VendorTemplate

	TLS *tls.Config // nil for the system's authorities
}

// Aliyun sends through the SendSms call (version 2017-05-25) of Aliyun's SDK,
// of which it takes the request and its signature, and nothing else: the SDK
// knows no context, writes to clients that are shared, and puts number and code
// into URLs, errors and answers.
type Aliyun struct {
	client    *vendorClient
	region    string
	keys      func() *credentials.AccessKeyCredential // in a closure no print shows the secret
	sign      string
	signAway  string // for numbers outside mainland China
	templates map[TemplateUse]VendorTemplate
	classes   map[string]Class
}

// NewAliyun checks the configuration; it connects to nothing.
func NewAliyun(c AliyunConfig) (*Aliyun, error) {
	client, err := newVendorClient(c.Name, cmp.Or(c.Endpoint, aliyunEndpoint), c.TLS)
	if err != nil {
		return nil, err
	}
	templates := withParams(c.Templates, TemplateParam{Name: "code", Value: "{{code}}"})
	switch err = checkTemplates(templates, true); {
	case c.AccessKeyID == "" || c.AccessKeySecret == "":
		err = errors.New("access_key_id and access_key_secret are needed")
	case c.SignName == "":
		err = errors.New("sign_name is needed")
	case err == nil && !distinctNames(templates):
		err = errors.New("the parameters of a template need different names")
	case slices.Contains(strings.Split(os.Getenv("DEBUG"), ","), "sdk"):
		err = errors.New("with DEBUG=sdk in the environment the vendor's SDK prints codes: unset it")
	}
	if err != nil {
		return nil, fmt.Errorf("sms provider %s: %w", c.Name, err)
	}
	id, secret := c.AccessKeyID, c.AccessKeySecret
	a := &Aliyun{
		client: client, region: cmp.Or(c.Region, "cn-hangzhou"), sign: c.SignName, signAway: cmp.Or(c.SignNameAbroad, c.SignName),
		keys:      func() *credentials.AccessKeyCredential { return credentials.NewAccessKeyCredential(id, secret) },
		templates: templates, classes: classesOf(AliyunCodes()),
	}
	if _, err := a.sdk(context.Background()); err != nil {
		return nil, fmt.Errorf("sms provider %s: region must be letters, digits, - and _", c.Name)
	}
	return a, nil
}

func distinctNames(templates map[TemplateUse]VendorTemplate) bool {
	for _, t := range templates {
		seen := map[string]bool{}
		for _, p := range t.Params {
			if seen[p.Name] {
				return false
			}
			seen[p.Name] = true
		}
	}
	return true
}

// Name is the one in the configuration (Provider).
func (a *Aliyun) Name() string { return a.client.name }

// Serves says whether there is a template for the number and the purpose, and
// whether the vendor can tell the number from others (Provider).
func (a *Aliyun) Serves(to Number, p Purpose) bool {
	return !aliyunNamesake(to) && serves(a.templates, to, p)
}

// Send hands the message to the vendor (Provider).
func (a *Aliyun) Send(ctx context.Context, m Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return "", a.client.fail(Failover, cause(err))
	}
	req, failed := a.request(m)
	if failed != nil {
		return "", failed
	}
	ctx, x := begin(ctx)
	client, err := a.sdk(ctx)
	if err != nil {
		return "", a.client.fail(Misconfigured, "sdk")
	}
	_, _ = client.SendSms(req) // repeats what must not be seen; the exchange has it all
	return a.judge(x, m)
}

// request is for exactly one number.
func (a *Aliyun) request(m Message) (*dysmsapi.SendSmsRequest, *SendError) {
	number, abroad, ok := aliyunNumber(m.To)
	if !ok {
		return nil, a.client.fail(BadNumber, "number")
	}
	if aliyunNamesake(m.To) {
		return nil, a.client.unserved(true)
	}
	if failed := a.client.unfit(m); failed != nil {
		return nil, failed
	}
	t, ok := templateFor(a.templates, m.Purpose, abroad)
	if !ok {
		return nil, a.client.unserved(abroad)
	}
	req := dysmsapi.CreateSendSmsRequest()
	req.Scheme, req.Domain, _ = strings.Cut(a.client.base, "://") // plain HTTP is the SDK's default
	req.PhoneNumbers, req.TemplateCode, req.TemplateParam, req.OutId = number, t.ID, orderedObject(t, m), m.ID
	req.SignName = cmp.Or(t.Sign, a.sign)
	if abroad {
		req.SignName = cmp.Or(t.Sign, a.signAway)
	}
	return req, nil
}

// sdk is a client for a single call, since calls write to it. It is made without
// the SDK's own constructor, which fills a map of endpoints that all share.
func (a *Aliyun) sdk(ctx context.Context) (*dysmsapi.Client, error) {
	config := sdk.NewConfig().WithScheme("HTTPS").WithAutoRetry(false).WithMaxRetryTime(0).WithTimeout(2 * attemptTime)
	config.Transport = &aliyunCall{ctx: ctx, wire: wire{a.client.http.Transport}}
	client := &dysmsapi.Client{}
	if err := client.InitWithOptions(a.region, config, a.keys()); err != nil {
		return nil, err
	}
	client.SetCloseTrace(true) // a tracer would be given the code
	// The SDK reads proxies from the environment in its own way and stumbles over
	// some of them. These stop it; the transport is ours and asks nobody else.
	client.SetHttpProxy("http://unused.invalid")
	client.SetHttpsProxy("http://unused.invalid")
	client.SetNoProxy("unused.invalid")
	return client, nil
}

// aliyunCall carries the caller's context past the SDK, and the parameters
// from the URL, which proxies and servers log, into the body. The signature is
// the same for both.
type aliyunCall struct {
	ctx  context.Context
	wire wire
}

func (c *aliyunCall) RoundTrip(req *http.Request) (*http.Response, error) {
	form := []byte(req.URL.RawQuery)
	out := req.Clone(c.ctx)
	out.URL.RawQuery = ""
	out.Header.Del("Accept-Encoding") // the SDK's "identity" would leave compressed answers to it
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(form)), int64(len(form))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(form)), nil }
	return c.wire.RoundTrip(out)
}

// judge reads the answer. Business errors come with status 200, those of the
// gateway with 4xx, both in the same members.
func (a *Aliyun) judge(x *exchange, m Message) (string, error) {
	if failed := x.trouble(a.client); failed != nil {
		return "", failed
	}
	var reply struct {
		Code, Message string
		BizID         string `json:"BizId"`
	}
	if json.Unmarshal(x.body, &reply) != nil || reply.Code == "" || reply.Code == "OK" && x.status != http.StatusOK {
		return "", x.unreadable(a.client)
	}
	if reply.Code == "OK" {
		return wireRef(reply.BizID, m), nil
	}
	failed := refusal(a.client, a.classes, reply.Code)
	if failed.Class == NumberLimited {
		failed.RetryAfter = aliyunWait(reply.Message)
	}
	return "", failed
}

// aliyunNumber is exactly one number: 11 digits in mainland China, calling code
// and number elsewhere.
func aliyunNumber(to Number) (number string, abroad, ok bool) {
	if mobile, ok := mainlandMobile(to); ok {
		return mobile, false, true
	}
	e164 := to.E164()
	if !shapedE164(e164) || strings.HasPrefix(e164, "+86") {
		return "", false, false
	}
	return e164[1:], true, true
}

// aliyunNamesake reports whether a number abroad reads like a mobile of mainland
// China in the vendor's form, which has no plus sign: +1 310 555 0101 would be
// 131 0555 0101. The vendor does not document which of the two it would text.
func aliyunNamesake(to Number) bool {
	digits := strings.TrimPrefix(to.E164(), "+")
	return len(digits) == 11 && digits[0] == '1' && digits[1] >= '3'
}

// aliyunWait reads from a limit's message which window is full; its length is
// the longest that the number may have to wait.
func aliyunWait(message string) time.Duration {
	switch {
	case strings.Contains(message, "分钟级"):
		return time.Minute
	case strings.Contains(message, "小时级"):
		return time.Hour
	case strings.Contains(message, "天级"):
		return 24 * time.Hour
	}
	return 0
}

// queryDay asks for the messages to a number on one day, Beijing's.
func (a *Aliyun) queryDay(ctx context.Context, to Number, day time.Time) ([]Report, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	number, _, ok := aliyunNumber(to)
	if !ok {
		return nil, a.client.fail(BadNumber, "number")
	}
	req := dysmsapi.CreateQuerySendDetailsRequest()
	req.Scheme, req.Domain, _ = strings.Cut(a.client.base, "://")
	req.PhoneNumber, req.SendDate = number, day.In(beijing()).Format("20060102")
	req.PageSize, req.CurrentPage = requests.NewInteger(50), requests.NewInteger(1)
	ctx, x := begin(ctx)
	client, err := a.sdk(ctx)
	if err != nil {
		return nil, a.client.fail(Misconfigured, "sdk")
	}
	_, _ = client.QuerySendDetails(req) // repeats what must not be seen; the exchange has it all
	return a.details(x, to)
}
