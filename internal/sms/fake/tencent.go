package fake

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// TencentConfig is an account of Tencent Cloud's SMS service. Placeholders of
// its templates are {1}, {2} and so on.
type TencentConfig struct {
	Config
	Keys map[string]string // secret keys by secret id
	Apps []string          // SmsSdkAppIds of the account; empty for any
}

// Tencent is Tencent Cloud's SMS service, version 2021-01-11, with the calls
// SendSms and PullSmsSendStatusByPhoneNumber, signed by TC3-HMAC-SHA256. It answers everything with status 200.
type Tencent struct {
	*Core
	keys map[string]string
	apps []string
	echo atomic.Bool
}

// NewTencent makes one. Without other limits a number gets the same text once
// in 30 seconds, and two messages a day, as applications do until their limits
// are raised in the console.
func NewTencent(c TencentConfig) *Tencent {
	return &Tencent{Core: newCore(c.Config, "tencent", []Limit{
		{Count: 1, Within: 30 * time.Second, Same: true, Code: "LimitExceeded.PhoneNumberThirtySecondLimit", Message: "the number of sms messages sent from a single mobile number within 30 seconds exceeds the upper limit"},
		{Count: 2, Code: "LimitExceeded.PhoneNumberDailyLimit", Message: "the number of sms messages sent from a single mobile number every day exceeds the upper limit"},
	}), keys: c.Keys, apps: c.Apps}
}

// EchoSessions has PullSmsSendStatusByPhoneNumber bring the SessionContext back,
// which the vendor does for those who ask.
func (t *Tencent) EchoSessions() { t.echo.Store(true) }

// ServeHTTP answers one call (http.Handler).
func (t *Tencent) ServeHTTP(w http.ResponseWriter, r *http.Request) { t.serve(w, r, t.call) }

// tencentRequest is the body of SendSms.
type tencentRequest struct {
	PhoneNumberSet   []string
	SmsSdkAppID      string `json:"SmsSdkAppId"`
	TemplateID       string `json:"TemplateId"`
	SignName         string
	TemplateParamSet []string
	ExtendCode       string
	SessionContext   string
	SenderID         string `json:"SenderId"`
}

// call is what the vendor does once it has the request.
func (t *Tencent) call(r *http.Request, body []byte, o Outcome) reply {
	if code, message := t.verify(r, body); code != "" {
		return tencentError(code, message)
	}
	switch {
	case r.Header.Get("X-TC-Version") != "2021-01-11":
		return tencentError("NoSuchVersion", "The specified version does not exist.")
	case r.Header.Get("X-TC-Action") != "SendSms" && r.Header.Get("X-TC-Action") != tencentPull:
		return tencentError("InvalidAction", "The specified action does not exist.")
	case r.Header.Get("X-TC-Region") == "":
		return tencentError("MissingParameter", "The request is missing the parameter Region.")
	case r.Header.Get("X-TC-Action") == tencentPull:
		return t.pull(body, o)
	}
	var q tencentRequest
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if strict.Decode(&q) != nil {
		return tencentError("UnknownParameter", "The request has a parameter that is not recognized.")
	}
	switch {
	case len(q.PhoneNumberSet) == 0 || q.SmsSdkAppID == "" || q.TemplateID == "":
		return tencentError("MissingParameter", "The request is missing a parameter.")
	case len(q.PhoneNumberSet) > 200:
		return tencentError("LimitExceeded.PhoneNumberCountLimit", "the number of mobile numbers exceeds 200")
	case len(q.SessionContext) >= 512:
		return tencentError("InvalidParameterValue", "SessionContext is too long.")
	case o.Code != "" && !ofNumber(o.Code):
		return tencentError(o.Code, o.Message)
	case len(t.apps) > 0 && !slices.Contains(t.apps, q.SmsSdkAppID):
		return tencentError("UnauthorizedOperation.SmsSdkAppIdVerifyFail", "smssdkappid verify fail")
	}
	statuses := make([]tencentStatus, 0, len(q.PhoneNumberSet))
	for _, number := range q.PhoneNumberSet {
		s := tencentStatus{PhoneNumber: number, SessionContext: q.SessionContext, Code: o.Code, Message: o.Message}
		if o.Code == "" {
			s = t.send(q, number)
		}
		statuses = append(statuses, s)
	}
	return tencentAnswer(map[string]any{"SendStatusSet": statuses, "RequestId": strings.ToLower(requestID())})
}

// verify checks the signature, for which it takes the list of headers that the
// request names.
func (t *Tencent) verify(r *http.Request, body []byte) (code, message string) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || err != nil || kind != "application/json" || r.URL.Path != "/" || r.URL.RawQuery != "" {
		return "UnsupportedProtocol", "The fake serves POST with application/json alone."
	}
	auth := authorization(r.Header.Get("Authorization"), tc3)
	credential := strings.Split(auth["Credential"], "/")
	signed := strings.Split(auth["SignedHeaders"], ";")
	if len(credential) != 4 || credential[2] != "sms" || credential[3] != "tc3_request" || auth["Signature"] == "" ||
		!slices.Contains(signed, "content-type") || !slices.Contains(signed, "host") || !slices.IsSorted(signed) {
		return "AuthFailure.InvalidAuthorization", "authorization of the request is invalid"
	}
	stamp := r.Header.Get("X-TC-Timestamp")
	unix, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return "MissingParameter", "The request is missing the parameter Timestamp."
	}
	at := time.Unix(unix, 0).UTC()
	if t.now().Sub(at).Abs() > 5*time.Minute {
		return "AuthFailure.SignatureExpire", "The provided timestamp is expired, please check the local clock."
	}
	secret, ok := t.keys[credential[0]]
	if !ok {
		return "AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure that your SecretId is correct."
	}
	sum := sha256.Sum256(body)
	canonical := canonicalRequest(r, "", signed, hex.EncodeToString(sum[:]))
	want := tc3Signature(canonical, stamp, at.Format(time.DateOnly), "sms", secret)
	if credential[1] != at.Format(time.DateOnly) || subtle.ConstantTimeCompare([]byte(want), []byte(auth["Signature"])) != 1 {
		return "AuthFailure.SignatureFailure", "The provided credentials could not be validated. Please check your signature is correct."
	}
	return "", ""
}

const tc3 = "TC3-HMAC-SHA256"

// tc3Signature is what TC3-HMAC-SHA256 makes of a canonical request; date is
// the UTC day of the timestamp.
func tc3Signature(canonical, timestamp, date, service, secret string) string {
	text := tc3 + "\n" + timestamp + "\n" + date + "/" + service + "/tc3_request\n" + hex256(canonical)
	key := hmac256(hmac256(hmac256([]byte("TC3"+secret), date), service), "tc3_request")
	return hex.EncodeToString(hmac256(key, text))
}

// tencentStatus is what became of one number.
type tencentStatus struct {
	SerialNo, PhoneNumber, SessionContext, Code, Message, IsoCode string
	Fee                                                           int
}

var (
	verification = regexp.MustCompile(`^[0-9]{0,6}$`) // what its templates take, if they say nothing else
	plus         = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// send is the message for one number with the refusals that its status tells.
func (t *Tencent) send(q tencentRequest, number string) tencentStatus {
	s := tencentStatus{PhoneNumber: number, SessionContext: q.SessionContext}
	inside := mainland.FindStringSubmatch(number)
	e164 := number
	if inside != nil {
		e164, s.IsoCode = "+86"+inside[1], "CN"
	}
	template, ok := t.template(q.TemplateID)
	s.Code, s.Message = t.refusal(q, template, ok, e164, inside != nil)
	if s.Code != "" {
		return s
	}
	sign := q.SignName
	text := template.Render(func(i int, _ string) string { return "{" + strconv.Itoa(i+1) + "}" }, q.TemplateParamSet)
	if sign != "" {
		text = "【" + sign + "】" + text
	}
	serial := fmt.Sprintf("5000:%028d", rand.Uint64())
	over := t.deliver(Received{
		To: e164, Sign: sign, Template: template.ID, Values: slices.Clone(q.TemplateParamSet),
		Text: text, MessageID: q.SessionContext, Ref: serial,
	})
	if over != nil {
		s.Code, s.Message = over.Code, over.Message
		return s
	}
	s.SerialNo, s.Fee, s.Code, s.Message = serial, 1, "Ok", "send success"
	return s
}

// refusal is why a number gets nothing; "" if it does.
func (t *Tencent) refusal(q tencentRequest, template Template, approved bool, e164 string, inside bool) (code, message string) {
	switch {
	case !plus.MatchString(e164) || !inside && strings.HasPrefix(e164, "+86"):
		return "InvalidParameterValue.IncorrectPhoneNumber", "phone number format is incorrect"
	case !approved:
		return "FailedOperation.TemplateIncorrectOrUnapproved", "template is incorrect or unapproved"
	case inside && !template.Serves(false):
		return "UnsupportedOperation.GlobalTemplateToChineseMainlandPhone", "global template cannot be sent to mainland"
	case !inside && !template.Serves(true):
		return "UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone", "mainland template cannot be sent abroad"
	case (inside || q.SignName != "") && !t.signed(q.SignName):
		return "FailedOperation.SignatureIncorrectOrUnapproved", "signature is incorrect or unapproved"
	case len(q.TemplateParamSet) != len(template.Params):
		return "FailedOperation.TemplateParamSetNotMatchApprovedTemplate", "template parameters do not match"
	}
	for i, p := range template.Params {
		pattern := p.Pattern
		if pattern == nil {
			pattern = verification
		}
		if !pattern.MatchString(q.TemplateParamSet[i]) {
			return "InvalidParameterValue.TemplateParameterFormatError", "template parameter format error"
		}
	}
	return "", ""
}

// ofNumber reports whether a code comes in the status of a number.
func ofNumber(code string) bool {
	for _, family := range []string{"FailedOperation.", "LimitExceeded.", "InvalidParameterValue.", "UnsupportedOperation.", "InternalError."} {
		if strings.HasPrefix(code, family) {
			return true
		}
	}
	return false
}

// tencentError refuses the request as a whole.
func tencentError(code, message string) reply {
	return tencentAnswer(map[string]any{
		"Error":     map[string]string{"Code": code, "Message": message},
		"RequestId": strings.ToLower(requestID()),
	})
}

func tencentAnswer(response map[string]any) reply {
	body, _ := json.Marshal(map[string]any{"Response": response})
	return reply{http.StatusOK, "application/json", body}
}
