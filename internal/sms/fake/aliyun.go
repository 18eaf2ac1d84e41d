package fake

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// AliyunConfig is an account of Aliyun's SMS service. Placeholders of its
// templates are ${name}.
type AliyunConfig struct {
	Config
	Keys map[string]string // secrets by access key id
}

// Aliyun is Aliyun's Dysmsapi, version 2017-05-25, with the calls
// SendSms and QuerySendDetails: by GET or POST, its parameters in the query or in a form, signed by version 1.0
// (HMAC-SHA1) or by ACS3-HMAC-SHA256.
type Aliyun struct {
	*Core
	keys map[string]string
}

// NewAliyun makes one. Without other limits a number gets one message a minute,
// five an hour, ten in 24 hours.
func NewAliyun(c AliyunConfig) *Aliyun {
	const code = "isv.BUSINESS_LIMIT_CONTROL"
	return &Aliyun{Core: newCore(c.Config, "aliyun", []Limit{
		{Count: 1, Within: time.Minute, Code: code, Message: "触发分钟级流控Permits:1"},
		{Count: 5, Within: time.Hour, Code: code, Message: "触发小时级流控Permits:5"},
		{Count: 10, Within: 24 * time.Hour, Code: code, Message: "触发天级流控Permits:10"},
	}), keys: c.Keys}
}

// ServeHTTP answers one call (http.Handler).
func (a *Aliyun) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.serve(w, r, a.call) }

// call is what the vendor does once it has the request.
func (a *Aliyun) call(r *http.Request, body []byte, o Outcome) reply {
	params, bad := aliyunParams(r, body)
	if bad != nil {
		return *bad
	}
	q := &aliyunCall{r: r, body: body, params: params, host: r.Host}
	verify := a.verifyV1
	if strings.HasPrefix(r.Header.Get("Authorization"), acs3) {
		verify = a.verifyACS3
	}
	if refused := verify(q); refused != nil {
		return *refused
	}
	switch {
	case q.version != "2017-05-25":
		return aliyunRefuse(q, http.StatusBadRequest, "InvalidVersion", "Specified parameter Version is not valid.")
	case q.action != "SendSms" && q.action != "QuerySendDetails":
		return aliyunRefuse(q, http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
	case o.Code != "":
		return aliyunScripted(q, o)
	case q.action == "QuerySendDetails":
		return a.details(params)
	}
	code, message, ref := a.send(params)
	return aliyunAnswer(code, message, ref)
}

// aliyunCall is one request and what its signature says of it.
type aliyunCall struct {
	r               *http.Request
	body            []byte
	params          map[string]string
	host            string
	action, version string
}

// aliyunParams is the parameters of query and form, each given once.
func aliyunParams(r *http.Request, body []byte) (map[string]string, *reply) {
	refuse := func(status int, code, message string) (map[string]string, *reply) {
		bad := aliyunRefuse(&aliyunCall{host: r.Host}, status, code, message)
		return nil, &bad
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, "UnsupportedHTTPMethod", "This http method is not supported.")
	}
	if r.URL.Path != "/" {
		return refuse(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "InvalidParameter", "The specified parameter is not valid.")
	}
	if len(body) > 0 {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		form, bad := url.ParseQuery(string(body))
		if err != nil || bad != nil || kind != "application/x-www-form-urlencoded" {
			return refuse(http.StatusUnsupportedMediaType, "UnsupportedContentType", "The content type is not supported.")
		}
		for name, given := range form {
			values[name] = append(values[name], given...)
		}
	}
	params := map[string]string{}
	for name, given := range values {
		if len(given) != 1 {
			return refuse(http.StatusBadRequest, "InvalidParameter."+name, "The specified parameter is given twice.")
		}
		params[name] = given[0]
	}
	return params, nil
}

var (
	aliyunTemplate = regexp.MustCompile(`^SMS_[0-9]+$`)
	mainland       = regexp.MustCompile(`^(?:\+86|0086|86)?(1[3-9][0-9]{9})$`)
	abroad         = regexp.MustCompile(`^[1-9][0-9]{6,14}$`)
)

// send is the call SendSms with the service's own refusals.
func (a *Aliyun) send(params map[string]string) (code, message, ref string) {
	for _, name := range []string{"PhoneNumbers", "SignName", "TemplateCode"} {
		if params[name] == "" {
			return "isv.INVALID_PARAMETERS", "参数异常:" + name, ""
		}
	}
	numbers := strings.Split(params["PhoneNumbers"], ",")
	if len(numbers) > 1000 {
		return "isv.MOBILE_COUNT_OVER_LIMIT", "手机号码数量超过限制", ""
	}
	t, ok := a.template(params["TemplateCode"])
	if !ok || !aliyunTemplate.MatchString(t.ID) {
		return "isv.SMS_TEMPLATE_ILLEGAL", "模版不合法(不存在或被拉黑)", ""
	}
	if !a.signed(params["SignName"]) {
		return "isv.SMS_SIGNATURE_ILLEGAL", "签名不合法(不存在或被拉黑)", ""
	}
	values, code, message := aliyunValues(t, params["TemplateParam"])
	if code != "" {
		return code, message, ""
	}
	for i, number := range numbers {
		if numbers[i], code, message = aliyunNumber(t, number); code != "" {
			return code, message, ""
		}
	}
	ref = fmt.Sprintf("9%017d^0", rand.Uint64N(1e17))
	text := t.Render(func(_ int, name string) string { return "${" + name + "}" }, values)
	for _, number := range numbers {
		over := a.deliver(Received{
			To: number, Sign: params["SignName"], Template: t.ID, Values: values, Ref: ref,
			Text: "【" + params["SignName"] + "】" + text, MessageID: params["OutId"],
		})
		if over != nil {
			return over.Code, over.Message, ""
		}
	}
	return "OK", "OK", ref
}

// aliyunValues is what goes into the template, in its order.
func aliyunValues(t Template, given string) (values []string, code, message string) {
	params := map[string]json.RawMessage{}
	if given != "" && json.Unmarshal([]byte(given), &params) != nil {
		return nil, "isv.INVALID_JSON_PARAM", "参数格式错误,请修改为字符串值"
	}
	for _, p := range t.Params {
		raw, ok := params[p.Name]
		if !ok {
			return nil, "isv.TEMPLATE_MISSING_PARAMETERS", "模版缺少变量"
		}
		var value string
		if json.Unmarshal(raw, &value) != nil {
			return nil, "isv.INVALID_JSON_PARAM", "参数格式错误,请修改为字符串值"
		}
		if p.Pattern != nil && !p.Pattern.MatchString(value) {
			return nil, "isv.TEMPLATE_PARAMS_ILLEGAL", "模版变量里包含非法关键字"
		}
		values = append(values, value)
	}
	return values, "", ""
}

// aliyunNumber reads a number as the template's side of the border has it.
func aliyunNumber(t Template, given string) (e164, code, message string) {
	inside := mainland.FindStringSubmatch(given)
	switch {
	case inside != nil && t.Serves(false):
		return "+86" + inside[1], "", ""
	case abroad.MatchString(given) && t.Serves(true) && !strings.HasPrefix(given, "86"):
		return "+" + given, "", ""
	case inside != nil:
		return "", "isv.DOMESTIC_NUMBER_NOT_SUPPORTED", "国际/港澳台消息模板不支持发送境内号码"
	}
	return "", "isv.MOBILE_NUMBER_ILLEGAL", "非法手机号"
}

// aliyunAnswer is the service's own answer, always with status 200.
func aliyunAnswer(code, message, ref string) reply {
	body, _ := json.Marshal(struct {
		Message   string
		RequestID string `json:"RequestId"`
		Code      string
		BizID     string `json:"BizId,omitempty"`
	}{message, requestID(), code, ref})
	return reply{http.StatusOK, "application/json;charset=utf-8", body}
}

// aliyunRefuse is the gateway's answer.
func aliyunRefuse(q *aliyunCall, status int, code, message string) reply {
	body, _ := json.Marshal(struct {
		RequestID                string `json:"RequestId"`
		HostID                   string `json:"HostId"`
		Code, Message, Recommend string
	}{
		requestID(), q.host, code, message, "https://api.aliyun.com/troubleshoot?q=" + code,
	})
	return reply{status, "application/json;charset=utf-8", body}
}

// aliyunScripted answers a code as whoever has it would: service or gateway.
func aliyunScripted(q *aliyunCall, o Outcome) reply {
	message := o.Message
	if message == "" {
		message = "scripted"
	}
	status := http.StatusBadRequest
	switch {
	case strings.HasPrefix(o.Code, "isv."), strings.HasPrefix(o.Code, "isp."), strings.HasPrefix(o.Code, "SIGNATURE_"), strings.HasPrefix(o.Code, "PORT_"), o.Code == "OK":
		return aliyunAnswer(o.Code, message, "")
	case strings.HasSuffix(o.Code, ".NotFound"):
		status = http.StatusNotFound
	case strings.HasPrefix(o.Code, "Forbidden"):
		status = http.StatusForbidden
	case o.Code == "ServiceUnavailable":
		status = http.StatusServiceUnavailable
	case o.Code == "InternalError":
		status = http.StatusInternalServerError
	}
	return aliyunRefuse(q, status, o.Code, message)
}

// requestID looks like one of the vendors'.
func requestID() string {
	return fmt.Sprintf("%08X-%04X-5%03X-A%03X-%012X", rand.Uint32(), rand.N(1<<16), rand.N(1<<12), rand.N(1<<12), rand.Int64N(1<<48))
}

// sortedKeys is the names of m in the order of their bytes.
func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
