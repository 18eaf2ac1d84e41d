package sms

import (
	"net/http"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// FuzzReceipts: whatever is pushed, reading does not panic, refusals are 4xx and
// repeat nothing, and what is read is fit for the ledger.
func FuzzReceipts(f *testing.F) {
	for _, s := range []string{
		`[{"phone_number":"13800138000","success":true,"err_code":"DELIVERED","report_time":"2017-01-01 00:00:00","biz_id":"1^0","out_id":"0199"}]`,
		`[{"To":"12025550100","Status":"2","ErrorCode":"UNDELIV","ReceiveDate":"Thu, 25 Nov 2021 10:25:00 +0800","MessageId":"1"}]`,
		`[{"nationcode":"86","mobile":"13800138000","report_status":"FAIL","errmsg":"MK:0001","sid":"5000:1"}]`,
		`{"eventType":"11","objects":[{"mobile":"+1-2025550100","sendid":88,"result":"DELIVRD","reportTime":"2023-11-14 22:13:25"}]}`,
		`[{"phone_number":"","success":null}]`, `[null]`, `{"objects":[{}]}`, `[]`, `0`,
	} {
		f.Add([]byte(s))
	}
	template := map[TemplateUse]VendorTemplate{{}: {ID: "1"}}
	aliyun, err := NewAliyun(AliyunConfig{Name: "a", AccessKeyID: "x", AccessKeySecret: "y", SignName: "z", Templates: template})
	if err != nil {
		f.Fatal(err)
	}
	tencent, err := NewTencent(TencentConfig{Name: "t", SecretID: "x", SecretKey: "y", SDKAppID: "1", SignName: "z", Templates: template})
	if err != nil {
		f.Fatal(err)
	}
	netease, err := NewNetEase(NetEaseConfig{Name: "n", AppKey: "x", AppSecret: "y", Templates: template})
	if err != nil {
		f.Fatal(err)
	}
	signer := fake.NewNetEase(fake.NetEaseConfig{Apps: map[string]string{"x": "y"}})
	f.Fuzz(func(t *testing.T, body []byte) {
		h := http.Header{}
		signer.Sign(h, body)
		for _, r := range []Receiver{aliyun, tencent, netease} {
			reports, answer, err := r.Receipts(h, body)
			if err != nil {
				if f := fault.From(err); f.Status >= 500 || reports != nil || answer != "" {
					t.Fatalf("%v beside %v, %q", err, reports, answer)
				}
				continue
			}
			if answer == "" || len(reports) > maxReceiptCount {
				t.Fatalf("%d reports, answer %q", len(reports), answer)
			}
			for _, report := range reports {
				checkReport(t, report)
			}
		}
	})
}

func checkReport(t *testing.T, r Report) {
	t.Helper()
	if r.MessageID != "" && len(r.MessageID) != 36 || len(r.Ref) > 128 || !printable(r.Ref) {
		t.Fatalf("ids %q, %q", r.MessageID, r.Ref)
	}
	for _, n := range r.Numbers {
		if !shapedE164(n.E164()) {
			t.Fatalf("number %v", n)
		}
	}
	class, code, ok := strings.Cut(r.Reason, " ")
	switch r.Status {
	case StatusDelivered, StatusSent:
		ok = r.Reason == ""
	case StatusUndelivered:
		ok = ok && len(class) == 1 && len(code) <= 64 && printable(code) && code != ""
	default:
		ok = false
	}
	if !ok {
		t.Fatalf("status %q, reason %q", r.Status, r.Reason)
	}
}
