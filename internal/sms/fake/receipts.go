package fake

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the vendor's choice
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Report is what a fake vendor says became of a message.
type Report struct {
	Message   Received
	Delivered bool
	Pending   bool      // on its way; Delivered counts for nothing then
	Code      string    // the carrier's word; "" for one that fits
	At        time.Time // of the verdict; zero for now
}

// Reporter is a fake of a vendor that reports deliveries.
type Reporter interface {
	// Receipts is the request with which the vendor pushes reports, all in one.
	Receipts(reports ...Report) (http.Header, []byte)
	// Acknowledged reports whether the answer keeps the vendor from pushing again.
	Acknowledged(status int, body []byte) bool

	core() *Core
}

// Tell sets what the vendor answers to questions about messages from now on.
// Before that a message is on its way.
func (c *Core) Tell(reports ...Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range reports {
		c.told[toldKey(r.Message)] = c.dated(r)
	}
}

func toldKey(m Received) string { return m.Ref + " " + m.To }

func (c *Core) core() *Core { return c }

// dated fills in the time.
func (c *Core) dated(r Report) Report {
	if r.At.IsZero() {
		r.At = c.now()
	}
	return r
}

// known is all messages to a number with what became of them, the newest first.
func (c *Core) known(number string) []Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	var reports []Report
	for _, m := range c.sent[number] {
		r, ok := c.told[toldKey(m)]
		if !ok {
			r = Report{Message: m, Pending: true}
		}
		reports = append([]Report{r}, reports...)
	}
	return reports
}

// Pusher pushes the delivery reports of a fake.
type Pusher struct {
	Vendor Reporter
	URL    string
	Client *http.Client // nil for http.DefaultClient

	Delay  time.Duration                                // between a message and its first report
	Plan   func(Received) []Report                      // the reports of a message in the order they are pushed, each by itself; nil for one of delivery
	Tamper func(header http.Header, body []byte) []byte // spoils a push; nil to leave it
	Retry  []time.Duration                              // waits before a push is repeated that was not acknowledged; nil for 1, 5 and 10 min
}

// ErrNotAcknowledged is what Push fails with when the last repetition was refused too.
var ErrNotAcknowledged = errors.New("the delivery reports were not acknowledged")

// Push sends reports in one request, again and again until it is acknowledged or
// Retry ends. Questions are answered by them from now on.
func (p *Pusher) Push(ctx context.Context, reports ...Report) error {
	for i := range reports {
		reports[i] = p.Vendor.core().dated(reports[i])
	}
	p.Vendor.core().Tell(reports...)
	header, body := p.Vendor.Receipts(reports...)
	if p.Tamper != nil {
		body = p.Tamper(header, body)
	}
	waits := p.Retry
	if waits == nil {
		waits = []time.Duration{time.Minute, 5 * time.Minute, 10 * time.Minute}
	}
	for i := 0; ; i++ {
		done, err := p.post(ctx, header, body)
		if done || i == len(waits) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(waits[i]):
		case <-ctx.Done():
			return fmt.Errorf("push delivery reports: %w", ctx.Err())
		}
	}
}

func (p *Pusher) post(ctx context.Context, header http.Header, body []byte) (acknowledged bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("push delivery reports: %w", err)
	}
	req.Header = header.Clone()
	client := p.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, fmt.Errorf("push delivery reports: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxRequest))
	if err != nil {
		return false, fmt.Errorf("push delivery reports: %w", err)
	}
	if !p.Vendor.Acknowledged(resp.StatusCode, answer) {
		return false, fmt.Errorf("%w: status %d", ErrNotAcknowledged, resp.StatusCode)
	}
	return true, nil
}

// Follow pushes the reports of every message that the vendor takes from now on,
// until ctx ends. wait returns once that is so and all pushes have ended.
func (p *Pusher) Follow(ctx context.Context) (wait func()) {
	var pushes sync.WaitGroup
	core := p.Vendor.core()
	core.watch(func(m Received) {
		if ctx.Err() != nil {
			return
		}
		pushes.Go(func() {
			select {
			case <-time.After(p.Delay):
			case <-ctx.Done():
				return
			}
			for _, r := range p.plan(m) {
				_ = p.Push(ctx, r) // a vendor tells nobody what it gave up
			}
		})
	})
	return func() {
		<-ctx.Done()
		core.mu.Lock() // whoever is called back now has seen ctx alive
		//lint:ignore SA2001 waiting is all
		core.mu.Unlock() //nolint:staticcheck // waiting is all
		pushes.Wait()
	}
}

func (p *Pusher) plan(m Received) []Report {
	if p.Plan == nil {
		return []Report{{Message: m, Delivered: true}}
	}
	return p.Plan(m)
}

// word is the report's code, or the one that fits.
func (r Report) word(delivered, pending, failed string) string {
	switch {
	case r.Code != "":
		return r.Code
	case r.Pending:
		return pending
	case r.Delivered:
		return delivered
	}
	return failed
}

// split is a number's calling code, or what may pass for it, and the rest.
func split(e164 string) (code, rest string) {
	digits := strings.TrimPrefix(e164, "+")
	if strings.HasPrefix(digits, "1") || strings.HasPrefix(digits, "7") {
		return digits[:1], digits[1:]
	}
	return digits[:2], digits[2:]
}

// numeric reports whether a JSON object has a number as this member, and which.
func numeric(body []byte, member string) (n float64, ok bool) {
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil {
		return 0, false
	}
	return n, json.Unmarshal(answer[member], &n) == nil
}

func pushed(body any) (http.Header, []byte) {
	content, _ := json.Marshal(body) // strings and numbers have no errors
	return http.Header{"Content-Type": {"application/json;charset=UTF-8"}}, content
}

// Receipts is an SmsReport push: of one kind of entry for mainland China, of
// another for the rest (Reporter).
func (a *Aliyun) Receipts(reports ...Report) (http.Header, []byte) {
	entries := make([]map[string]any, 0, len(reports))
	for _, r := range reports {
		m, at := r.Message, r.At.In(beijing)
		inside, mobile := strings.CutPrefix(m.To, "+86")
		if mobile {
			entries = append(entries, map[string]any{
				"phone_number": inside, "send_time": m.At.In(beijing).Format(time.DateTime), "report_time": at.Format(time.DateTime),
				"success": r.Delivered && !r.Pending, "err_code": r.word("DELIVERED", "REQUEST_SUCCESS", "MOBILE_NOT_ON_SERVICE"), "err_msg": "状态报告",
				"sms_size": "1", "biz_id": m.Ref, "out_id": m.MessageID,
			})
			continue
		}
		status := "2"
		if r.Delivered {
			status = "1"
		}
		entries = append(entries, map[string]any{
			"To": m.To[1:], "SendDate": m.At.In(beijing).Format(time.RFC1123Z), "ReceiveDate": at.Format(time.RFC1123Z),
			"Status": status, "ErrorCode": r.word("success", "", "UNDELIV"), "ErrorDescription": "report", "SmsSize": "1", "MessageId": m.Ref, "TaskId": "",
		})
	}
	return pushed(entries)
}

// Acknowledged asks for status 200 and a number as code (Reporter).
func (a *Aliyun) Acknowledged(status int, body []byte) bool {
	_, ok := numeric(body, "code")
	return status == http.StatusOK && ok
}

// Receipts is the callback for delivery reports, which has no entries for
// messages on their way (Reporter).
func (t *Tencent) Receipts(reports ...Report) (http.Header, []byte) {
	entries := make([]map[string]string, 0, len(reports))
	for _, r := range reports {
		if r.Pending {
			continue
		}
		code, rest := split(r.Message.To)
		status := "FAIL"
		if r.Delivered {
			status = "SUCCESS"
		}
		entries = append(entries, map[string]string{
			"user_receive_time": r.At.In(beijing).Format(time.DateTime), "nationcode": code, "mobile": rest, "report_status": status,
			"errmsg": r.word("DELIVRD", "", "UNDELIV"), "description": "状态报告", "sid": r.Message.Ref,
		})
	}
	return pushed(entries)
}

// Acknowledged asks for status 200 and the result 0 (Reporter).
func (t *Tencent) Acknowledged(status int, body []byte) bool {
	result, ok := numeric(body, "result")
	return status == http.StatusOK && ok && result == 0
}

// Receipts is a push of delivery reports, signed for the application with the
// first key (Reporter).
func (n *NetEase) Receipts(reports ...Report) (http.Header, []byte) {
	entries := make([]map[string]any, 0, len(reports))
	for _, r := range reports {
		mobile, inside := strings.CutPrefix(r.Message.To, "+86")
		if !inside {
			code, rest := split(r.Message.To)
			mobile = "+" + code + "-" + rest
		}
		entries = append(entries, map[string]any{
			"mobile": mobile, "sendid": r.Message.Ref, "result": r.word("DELIVRD", "ACCEPTD", "UNDELIV"), "spliced": "1", "templateId": 0,
			"sendTime": r.Message.At.In(beijing).Format(time.DateTime), "reportTime": r.At.In(beijing).Format(time.DateTime), "reason": "",
		})
	}
	header, body := pushed(map[string]any{"eventType": "11", "objects": entries})
	n.Sign(header, body)
	return header, body
}

// Sign puts the vendor's signature of a push into its header.
func (n *NetEase) Sign(header http.Header, body []byte) {
	keys := sortedKeys(n.apps)
	sum := md5.Sum(body) //nolint:gosec // the vendor's choice
	digest, curTime := hex.EncodeToString(sum[:]), strconv.FormatInt(n.now().UnixMilli(), 10)
	header.Set("AppKey", keys[0])
	header.Set("MD5", digest)
	header.Set("CurTime", curTime)
	header.Set("CheckSum", netEaseCheckSum(n.apps[keys[0]], digest, curTime))
}

// Acknowledged asks for status 200 and the code 200 (Reporter).
func (n *NetEase) Acknowledged(status int, body []byte) bool {
	code, ok := numeric(body, "code")
	return status == http.StatusOK && ok && code == http.StatusOK
}
