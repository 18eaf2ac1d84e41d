package sms

import (
	"encoding/json"
	"net/http"
	"time"
)

// tencentReport is one entry of the callback. Nothing signs it, and it does not
// bring our id back.
type tencentReport struct {
	UserReceiveTime json.RawMessage `json:"user_receive_time"`
	NationCode      json.RawMessage `json:"nationcode"`
	Mobile          json.RawMessage `json:"mobile"`
	ReportStatus    string          `json:"report_status"`
	ErrMsg          json.RawMessage `json:"errmsg"`
	SID             string          `json:"sid"`
}

// Receipts reads the callback for delivery reports (Receiver).
func (p *Tencent) Receipts(_ http.Header, body []byte) ([]Report, string, error) {
	const answer = `{"result":0,"errmsg":"OK"}`
	entries, err := receiptArray[tencentReport](body)
	if err != nil {
		return nil, "", err
	}
	classes := classesOf(TencentReceiptCodes())
	reports := make([]Report, 0, len(entries))
	for i, e := range entries {
		r := Report{Ref: reportedRef(e.SID), At: reportedAt(scalar(e.UserReceiveTime), time.DateTime)}
		var ok bool
		if r.Numbers, ok = reportedNumbers("+" + scalar(e.NationCode) + scalar(e.Mobile)); !ok {
			return nil, "", malformed(i, "nationcode and mobile")
		}
		if r.Status, r.Reason = tencentVerdict(classes, e.ReportStatus, scalar(e.ErrMsg)); r.Status == "" {
			return nil, "", malformed(i, "report_status")
		}
		reports = append(reports, r)
	}
	return reports, answer, nil
}

// tencentVerdict is the status, "" for a word that is none of the vendor's.
func tencentVerdict(classes map[string]Class, word, code string) (status, reason string) {
	switch word {
	case "SUCCESS":
		return StatusDelivered, ""
	case "FAIL":
		return StatusUndelivered, undeliveredBecause(classes, code)
	}
	return "", ""
}

// pulled reads the answer.
func (p *Tencent) pulled(x *exchange, to Number) ([]Report, error) {
	if failed := x.trouble(p.client); failed != nil {
		return nil, failed
	}
	var reply struct {
		Response struct {
			Error                struct{ Code string }
			PullSmsSendStatusSet []struct {
				UserReceiveTime                                     int64
				SerialNo, ReportStatus, Description, SessionContext string
			}
			RequestID string `json:"RequestId"`
		}
	}
	if json.Unmarshal(x.body, &reply) != nil {
		return nil, x.unreadable(p.client)
	}
	answer := reply.Response
	switch {
	case answer.Error.Code != "":
		return nil, refusal(p.client, p.classes, answer.Error.Code)
	case answer.RequestID == "" || x.status != http.StatusOK:
		return nil, x.unreadable(p.client)
	}
	classes := classesOf(TencentReceiptCodes())
	var reports []Report
	for _, d := range answer.PullSmsSendStatusSet {
		r := Report{MessageID: ourID(d.SessionContext), Ref: reportedRef(d.SerialNo), Numbers: []Number{to}, At: time.Unix(d.UserReceiveTime, 0)}
		r.Status, r.Reason = tencentVerdict(classes, d.ReportStatus, d.Description)
		if r.Status != "" {
			reports = append(reports, r)
		}
	}
	return reports, nil
}
