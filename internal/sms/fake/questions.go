package fake

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// details is the call QuerySendDetails: what became of a number's messages of
// one day of Beijing.
func (a *Aliyun) details(params map[string]string) reply {
	number := params["PhoneNumber"]
	switch inside := mainland.FindStringSubmatch(number); {
	case inside != nil:
		number = "+86" + inside[1]
	case abroad.MatchString(number):
		number = "+" + number
	default:
		return aliyunAnswer("isv.MOBILE_NUMBER_ILLEGAL", "非法手机号", "")
	}
	const layout = "20060102"
	date, err := time.ParseInLocation(layout, params["SendDate"], beijing)
	size, badSize := strconv.Atoi(params["PageSize"])
	page, badPage := strconv.Atoi(params["CurrentPage"])
	if err != nil || badSize != nil || badPage != nil || size < 1 || size > 50 || page < 1 || a.now().Sub(date) > 31*24*time.Hour {
		return aliyunAnswer("isv.INVALID_PARAMETERS", "参数异常", "")
	}
	type detail struct {
		PhoneNum, SendDate, ReceiveDate, ErrCode, TemplateCode, Content string
		OutID                                                           string `json:"OutId"`
		SendStatus                                                      int
	}
	var all []detail
	for _, r := range a.known(number) {
		m := r.Message
		if m.At.In(beijing).Format(layout) != params["SendDate"] || params["BizId"] != "" && params["BizId"] != m.Ref {
			continue
		}
		d := detail{
			PhoneNum: strings.TrimPrefix(m.To, "+86"), SendDate: m.At.In(beijing).Format(time.DateTime), ErrCode: r.word("DELIVERED", "", "MOBILE_NOT_ON_SERVICE"),
			TemplateCode: m.Template, Content: m.Text, OutID: m.MessageID, SendStatus: 1,
		}
		if !r.Pending {
			d.SendStatus, d.ReceiveDate = 2, r.At.In(beijing).Format(time.DateTime)
			if r.Delivered {
				d.SendStatus = 3
			}
		}
		all = append(all, d)
	}
	from := min((page-1)*size, len(all))
	body, _ := json.Marshal(map[string]any{
		"Code": "OK", "Message": "OK", "RequestId": requestID(), "TotalCount": strconv.Itoa(len(all)),
		"SmsSendDetailDTOs": map[string]any{"SmsSendDetailDTO": all[from:min(from+size, len(all))]},
	})
	return reply{http.StatusOK, "application/json;charset=utf-8", body}
}

const tencentPull = "PullSmsSendStatusByPhoneNumber"

// pull is the call of that name: the verdicts on a number's messages, those on
// their way left out.
func (t *Tencent) pull(body []byte, o Outcome) reply {
	var q struct {
		BeginTime, EndTime, Offset, Limit int64
		PhoneNumber                       string
		SmsSdkAppID                       string `json:"SmsSdkAppId"`
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	switch {
	case strict.Decode(&q) != nil:
		return tencentError("UnknownParameter", "The request has a parameter that is not recognized.")
	case q.BeginTime == 0 || q.Limit == 0 || q.PhoneNumber == "" || q.SmsSdkAppID == "":
		return tencentError("MissingParameter", "The request is missing a parameter.")
	case q.Offset != 0 || q.Limit < 0 || q.Limit > 100 || !plus.MatchString(q.PhoneNumber) || t.now().Sub(time.Unix(q.BeginTime, 0)) > 7*24*time.Hour:
		return tencentError("InvalidParameterValue", "A parameter has a value that is not allowed.")
	case o.Code != "":
		return tencentError(o.Code, o.Message)
	case len(t.apps) > 0 && !slices.Contains(t.apps, q.SmsSdkAppID):
		return tencentError("UnauthorizedOperation.SmsSdkAppIdVerifyFail", "smssdkappid verify fail")
	}
	set := []map[string]any{}
	for _, r := range t.known(q.PhoneNumber) {
		m := r.Message
		if r.Pending || m.At.Unix() < q.BeginTime || q.EndTime != 0 && m.At.Unix() > q.EndTime || int64(len(set)) == q.Limit {
			continue
		}
		code, rest := split(m.To)
		status, session := "FAIL", ""
		if r.Delivered {
			status = "SUCCESS"
		}
		if t.echo.Load() {
			session = m.MessageID
		}
		set = append(set, map[string]any{
			"UserReceiveTime": r.At.Unix(), "CountryCode": code, "SubscriberNumber": rest, "PhoneNumber": m.To, "SerialNo": m.Ref,
			"ReportStatus": status, "Description": r.word("DELIVRD", "", "UNDELIV"), "SessionContext": session,
		})
	}
	return tencentAnswer(map[string]any{"PullSmsSendStatusSet": set, "RequestId": strings.ToLower(requestID())})
}
