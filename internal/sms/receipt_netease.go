package sms

import (
	"crypto/md5" //nolint:gosec // the vendor's choice
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// netEaseReport is one entry of a push (unconfirmed: it is known from several
// parsers of third parties).
type netEaseReport struct {
	Mobile     json.RawMessage `json:"mobile"`
	SendID     json.RawMessage `json:"sendid"`
	Result     json.RawMessage `json:"result"`
	ReportTime json.RawMessage `json:"reportTime"`
}

// Receipts checks the signature and reads a push of delivery reports (Receiver).
// Pushes of other events, such as texts that people sent, are acknowledged and
// left alone.
func (n *NetEase) Receipts(header http.Header, body []byte) ([]Report, string, error) {
	const answer = `{"code":200}`
	const eventReports = "11"
	if !n.signedReceipts(header, body) {
		return nil, "", errReceiptsForged
	}
	var push struct {
		EventType json.RawMessage `json:"eventType"`
		Objects   []netEaseReport `json:"objects"`
	}
	if err := readReceipts(body, &push); err != nil {
		return nil, "", err
	}
	switch event := scalar(push.EventType); {
	case event == "":
		return nil, "", errReceiptsMalformed.Describe("the push has no eventType")
	case event != eventReports:
		return nil, answer, nil
	case len(push.Objects) > maxReceiptCount:
		return nil, "", errReceiptsTooLarge
	case push.Objects == nil:
		return nil, "", errReceiptsMalformed.Describe("the push has no objects")
	}
	classes := classesOf(NetEaseReceiptCodes())
	reports := make([]Report, 0, len(push.Objects))
	for i, e := range push.Objects {
		r := Report{Ref: reportedRef(scalar(e.SendID)), Status: StatusDelivered, At: reportedAt(scalar(e.ReportTime), time.DateTime)}
		var ok bool
		if r.Numbers, ok = reportedNumbers(scalar(e.Mobile)); !ok {
			return nil, "", malformed(i, "mobile")
		}
		switch result := scalar(e.Result); {
		case result == "":
			return nil, "", malformed(i, "result")
		case onItsWay(result):
			r.Status = StatusSent
		case result != "DELIVRD":
			r.Status, r.Reason = StatusUndelivered, undeliveredBecause(classes, result)
		}
		reports = append(reports, r)
	}
	return reports, answer, nil
}

// signedReceipts reports whether the push is the vendor's: MD5 is that of the
// body, and CheckSum the SHA-1 of the secret, MD5 and CurTime. A push may be
// replayed, which changes nothing, so CurTime may be of any age.
func (n *NetEase) signedReceipts(header http.Header, body []byte) bool {
	const longest = 20 // of CurTime, in milliseconds
	curTime := header.Get("CurTime")
	if key := header.Get("AppKey"); key != "" && key != n.appKey || len(curTime) > longest || !allDigits(curTime) {
		return false
	}
	sum := md5.Sum(body) //nolint:gosec // the vendor's choice
	digest := hex.EncodeToString(sum[:])
	whole := subtle.ConstantTimeCompare([]byte(digest), []byte(strings.ToLower(header.Get("MD5"))))
	proof := subtle.ConstantTimeCompare([]byte(n.sign(digest, curTime)), []byte(strings.ToLower(header.Get("CheckSum"))))
	return whole&proof == 1
}
