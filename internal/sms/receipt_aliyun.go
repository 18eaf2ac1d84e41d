package sms

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// aliyunReport is one entry of an SmsReport push, of either kind: inside
// mainland China the first members, outside the others. Nothing signs it.
type aliyunReport struct {
	PhoneNumber *string         `json:"phone_number"`
	Success     json.RawMessage `json:"success"`
	ErrCode     json.RawMessage `json:"err_code"`
	ReportTime  json.RawMessage `json:"report_time"`
	BizID       json.RawMessage `json:"biz_id"`
	OutID       json.RawMessage `json:"out_id"`

	To          *string
	Status      json.RawMessage
	ErrorCode   json.RawMessage
	ReceiveDate json.RawMessage
	MessageID   json.RawMessage `json:"MessageId"`
	TaskID      json.RawMessage `json:"TaskId"`
}

// Receipts reads an SmsReport push (Receiver).
func (a *Aliyun) Receipts(_ http.Header, body []byte) ([]Report, string, error) {
	const answer = `{"code":0,"msg":"接收成功"}`
	entries, err := receiptArray[aliyunReport](body)
	if err != nil {
		return nil, "", err
	}
	classes := classesOf(AliyunReceiptCodes())
	reports := make([]Report, 0, len(entries))
	for i, e := range entries {
		read := e.inside
		if e.PhoneNumber == nil {
			read = e.outside
		}
		report, wrong := read(classes)
		if wrong != "" {
			return nil, "", malformed(i, wrong)
		}
		reports = append(reports, report)
	}
	return reports, answer, nil
}

// inside reads an entry about a number of mainland China; wrong names a member.
func (e aliyunReport) inside(classes map[string]Class) (r Report, wrong string) {
	var ok bool
	if r.Numbers, ok = reportedNumbers(*e.PhoneNumber); !ok {
		return Report{}, "phone_number"
	}
	r.MessageID, r.Ref = ourID(scalar(e.OutID)), reportedRef(scalar(e.BizID))
	r.At = reportedAt(scalar(e.ReportTime), time.DateTime)
	code := scalar(e.ErrCode)
	var success bool
	switch {
	case json.Unmarshal(e.Success, &success) != nil:
		return Report{}, "success"
	case success:
		r.Status = StatusDelivered
	case onItsWay(code):
		r.Status = StatusSent
	default:
		r.Status, r.Reason = StatusUndelivered, undeliveredBecause(classes, code)
	}
	return r, ""
}

// outside reads an entry about any other number.
func (e aliyunReport) outside(classes map[string]Class) (r Report, wrong string) {
	if e.To == nil {
		return Report{}, "phone_number or To"
	}
	var ok bool
	if r.Numbers, ok = reportedNumbers(*e.To); !ok {
		return Report{}, "To"
	}
	r.MessageID, r.Ref = ourID(scalar(e.TaskID)), reportedRef(scalar(e.MessageID))
	r.At = reportedAt(scalar(e.ReceiveDate), time.RFC1123Z, time.DateTime)
	switch scalar(e.Status) {
	case "1":
		r.Status = StatusDelivered
	case "2":
		r.Status, r.Reason = StatusUndelivered, undeliveredBecause(classes, scalar(e.ErrorCode))
	case "6":
		r.Status, r.Reason = StatusUndelivered, undeliveredBecause(classes, "EXPIRED")
	default:
		return Report{}, "Status"
	}
	return r, ""
}

// Query asks for the messages of the day on which one was sent (Querier), and of
// the day after where that began meanwhile.
func (a *Aliyun) Query(ctx context.Context, to Number, sent time.Time) ([]Report, error) {
	reports, err := a.queryDay(ctx, to, sent)
	next := sent.Add(deliverTime)
	if err != nil || sameDay(sent, next) {
		return reports, err
	}
	more, err := a.queryDay(ctx, to, next)
	return append(reports, more...), err
}

func sameDay(a, b time.Time) bool {
	return a.In(beijing()).Format(time.DateOnly) == b.In(beijing()).Format(time.DateOnly)
}

// details reads the answer. Its member Content, which holds the code, is not
// looked at.
func (a *Aliyun) details(x *exchange, to Number) ([]Report, error) {
	if failed := x.trouble(a.client); failed != nil {
		return nil, failed
	}
	var reply struct {
		Code              string
		SmsSendDetailDTOs struct { //nolint:revive // the vendor's word
			SmsSendDetailDTO []struct {
				SendStatus  json.RawMessage
				ErrCode     string
				ReceiveDate string
				OutID       string `json:"OutId"`
			}
		}
	}
	if json.Unmarshal(x.body, &reply) != nil || reply.Code == "" || reply.Code == "OK" && x.status != http.StatusOK {
		return nil, x.unreadable(a.client)
	}
	if reply.Code != "OK" {
		return nil, refusal(a.client, a.classes, reply.Code)
	}
	classes := classesOf(AliyunReceiptCodes())
	var reports []Report
	for _, d := range reply.SmsSendDetailDTOs.SmsSendDetailDTO {
		r := Report{MessageID: ourID(d.OutID), Numbers: []Number{to}, Status: StatusSent, At: reportedAt(d.ReceiveDate, time.DateTime)}
		switch scalar(d.SendStatus) {
		case "3":
			r.Status = StatusDelivered
		case "2":
			r.Status, r.Reason = StatusUndelivered, undeliveredBecause(classes, d.ErrCode)
		}
		if r.MessageID != "" {
			reports = append(reports, r)
		}
	}
	return reports, nil
}
