package sms

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

func receiverOf(t testing.TB, p Provider) Receiver {
	t.Helper()
	r, ok := p.(Receiver)
	if !ok {
		t.Fatalf("%s takes no reports", p.Name())
	}
	return r
}

// Pushes as the vendors' documentation has them.
func TestVendorsOwnExamples(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time { return reportedAt(text, time.DateTime) }
	vendors := reportingVendors(t, fake.Config{})
	id := db.NewID()
	for _, test := range []struct {
		vendor int
		body   string
		want   Report
	}{
		{0, `[{"phone_number":"1381111****","send_time":"2017-01-01 00:00:00","report_time":"2017-01-01 00:00:00","success":true,"err_code":"DELIVERED","err_msg":"用户接收成功","sms_size":"1","biz_id":"12345","out_id":"67890"}]`,
			Report{Ref: "12345", Status: StatusDelivered, At: at("2017-01-01 00:00:00")}},
		{0, `[{"phone_number":"13800138000","success":false,"err_code":"REQUEST_SUCCESS","biz_id":"900619746936498440^0","out_id":"` + id + `"}]`,
			Report{MessageID: id, Ref: "900619746936498440^0", Status: StatusSent}},
		{0, `[{"phone_number":"13800138000","success":false,"err_code":"MOBILE_SEND_LIMIT","biz_id":1}]`,
			Report{Ref: "1", Status: StatusUndelivered, Reason: "R MOBILE_SEND_LIMIT"}},
		{0, `[{"To":"8521111****","SendDate":"Thu, 25 Nov 2021 10:25:00 +0800","ReceiveDate":"Thu, 25 Nov 2021 10:25:33 +0800","Status":"1","ErrorCode":"success","ErrorDescription":"success","TaskId":"67890","SmsSize":"2","MessageId":"123450000"}]`,
			Report{Ref: "123450000", Status: StatusDelivered, At: at("2021-11-25 10:25:33")}},
		{0, `[{"To":"12025550100","Status":2,"ErrorCode":"REJECTD","MessageId":"9"}]`, Report{Ref: "9", Status: StatusUndelivered, Reason: "C REJECTD"}},
		{0, `[{"To":"12025550100","Status":"6","ErrorCode":"","MessageId":"9"}]`, Report{Ref: "9", Status: StatusUndelivered, Reason: "O EXPIRED"}},
		{1, `[{"user_receive_time":"2015-10-17 08:03:04","nationcode":"86","mobile":"13800138000","report_status":"SUCCESS","errmsg":"DELIVRD","description":"用户短信送达成功","sid":"5000:1045710669157053657849499619"}]`,
			Report{Ref: "5000:1045710669157053657849499619", Status: StatusDelivered, At: at("2015-10-17 08:03:04")}},
		{1, `[{"nationcode":"1","mobile":"2025550100","report_status":"FAIL","errmsg":"1025","sid":"x"}]`, Report{Ref: "x", Status: StatusUndelivered, Reason: "R 1025"}},
	} {
		reports, _, err := receiverOf(t, vendors[test.vendor].sender).Receipts(http.Header{}, []byte(test.body))
		if err != nil || len(reports) != 1 {
			t.Errorf("%s: %v, %v", test.body, reports, err)
			continue
		}
		got := reports[0]
		if len(got.Numbers) == 0 != strings.Contains(test.body, "*") {
			t.Errorf("%s: numbers %v", test.body, got.Numbers)
		}
		if got.MessageID != test.want.MessageID || got.Ref != test.want.Ref || got.Status != test.want.Status || got.Reason != test.want.Reason || !got.At.Equal(test.want.At) {
			t.Errorf("%s: %+v, want %+v", test.body, got, test.want)
		}
	}
}

// The vector of the protocol notes: MD5 of the raw body, then the sum.
func TestNetEaseReceiptVector(t *testing.T) {
	t.Parallel()
	const body = `{"eventType":"11","objects":[{"mobile":"13800138000","sendid":"88","result":"DELIVRD","sendTime":"2023-11-14 22:13:20","reportTime":"2023-11-14 22:13:25","spliced":"1"}]}`
	p, err := NewNetEase(NetEaseConfig{Name: "n", AppKey: "key", AppSecret: "yunxin-test-secret", Templates: map[TemplateUse]VendorTemplate{{}: {ID: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	signed := func() http.Header {
		h := http.Header{}
		h.Set("CurTime", "1700000000000")
		h.Set("MD5", "2dd0e50512f11a111c4cad8743beba07")
		h.Set("CheckSum", "2abfd640dcdbbfba05de6466a6a19cc673dd4489")
		return h
	}
	reports, answer, err := p.Receipts(signed(), []byte(body))
	if err != nil || answer != `{"code":200}` || len(reports) != 1 || reports[0].Ref != "88" || reports[0].Status != StatusDelivered || reports[0].Numbers[0] != number(t, "+8613800138000") {
		t.Fatalf("%+v, %s, %v", reports, answer, err)
	}
	refused := func(what string, h http.Header, body string) {
		t.Helper()
		if reports, answer, err := p.Receipts(h, []byte(body)); !errors.Is(err, errReceiptsForged) || reports != nil || answer != "" {
			t.Errorf("%s: %v, %q, %v", what, reports, answer, err)
		}
	}
	for i := range body {
		spoiled := []byte(body)
		spoiled[i] ^= 1
		refused("a changed body", signed(), string(spoiled))
	}
	for _, name := range []string{"CurTime", "MD5", "CheckSum"} {
		for i := range signed().Get(name) {
			h := signed()
			spoiled := []byte(h.Get(name))
			spoiled[i] ^= 1
			h.Set(name, string(spoiled))
			refused(name, h, body)
		}
		h := signed()
		h.Del(name)
		refused("no "+name, h, body)
	}
	h := signed()
	h.Set("AppKey", "other")
	refused("another application's", h, body)
}

// Other events of the same address are acknowledged and left alone.
func TestNetEaseOtherEvents(t *testing.T) {
	t.Parallel()
	v := reportingVendors(t, fake.Config{})[2]
	for _, body := range []string{`{"eventType":"12","objects":[{"mobile":"13800138000","content":"TD"}]}`, `{"eventType":12}`, `{"eventType":"1","body":"hello"}`} {
		h := http.Header{}
		v.fake.(*fake.NetEase).Sign(h, []byte(body))
		if reports, answer, err := receiverOf(t, v.sender).Receipts(h, []byte(body)); err != nil || len(reports) != 0 || answer != `{"code":200}` {
			t.Errorf("%s: %v, %q, %v", body, reports, answer, err)
		}
	}
}

// pushBody pushes bytes as they are, signed where the vendor signs.
func (f *receiving) pushBody(t *testing.T, body string) error {
	t.Helper()
	h := http.Header{}
	if n, ok := f.fake.(*fake.NetEase); ok {
		n.Sign(h, []byte(body))
	}
	path, _ := f.ReceiptPath(f.name)
	_, err := f.Receive(t.Context(), f.name, path[strings.LastIndexByte(path, '/')+1:], h, strings.NewReader(body))
	return err
}

// What is no push of the vendor's is refused as a whole with 4xx, and the
// refusal repeats none of it.
func TestMalformedReports(t *testing.T) {
	good := map[string]string{
		"aliyun-main":  `{"phone_number":"13800138000","success":true,"err_code":"DELIVERED","biz_id":"1"}`,
		"tencent-main": `{"nationcode":"86","mobile":"13800138000","report_status":"SUCCESS","errmsg":"DELIVRD","sid":"1"}`,
		"netease-main": `{"mobile":"13800138000","sendid":"1","result":"DELIVRD"}`,
	}
	bad := map[string][]string{
		"aliyun-main": {
			`{"phone_number":"13800138000"}`, `{"phone_number":"13800138000","success":"yes"}`, `{"phone_number":"","success":true}`, `{"phone_number":"138x","success":true}`,
			`{"phone_number":13800138000,"success":true}`, `{"To":"12025550100"}`, `{"To":"12025550100","Status":"3"}`, `{"To":"x","Status":"1"}`, `{}`, `7`, `"x"`,
		},
		"tencent-main": {
			`{"nationcode":"86","mobile":"13800138000"}`, `{"nationcode":"86","mobile":"13800138000","report_status":"success"}`, `{"mobile":"","report_status":"SUCCESS"}`,
			`{"nationcode":"x","mobile":"13800138000","report_status":"SUCCESS"}`, `{"nationcode":"86","mobile":{},"report_status":7}`, `[]`,
		},
		"netease-main": {`{"mobile":"13800138000"}`, `{"sendid":"1","result":"DELIVRD"}`, `{"mobile":"1380013800013800138000138001380","result":"DELIVRD"}`, `[]`, `7`},
	}
	eachReceiving(t, fake.Config{}, func(t *testing.T, f *receiving) {
		_, m := f.sendOne(t, "+8613800138019", "a")
		wrap := func(entries ...string) string {
			list := "[" + strings.Join(entries, ",") + "]"
			if f.name == "netease-main" {
				return `{"eventType":"11","objects":` + list + `}`
			}
			return list
		}
		_, about := f.fake.Receipts(fake.Report{Message: m, Delivered: true, At: time.Now()})
		var entry string
		{
			var list []json.RawMessage
			var object struct{ Objects []json.RawMessage }
			if json.Unmarshal(about, &list) != nil && json.Unmarshal(about, &object) != nil {
				t.Fatal("no entry")
			}
			entry = string(append(list, object.Objects...)[0])
		}
		if err := f.pushBody(t, wrap()); err != nil {
			t.Errorf("an empty push: %v", err)
		}
		if err := f.pushBody(t, wrap(good[f.name])); err != nil {
			t.Errorf("a good entry: %v", err)
		}
		want := func(body string, status int) {
			t.Helper()
			err := f.pushBody(t, body)
			got := fault.From(err)
			shown := body[:min(len(body), 100)]
			if got == nil || got.Status != status || strings.ContainsAny(strings.ReplaceAll(got.Description, "256", ""), "\"\\{}[]") || strings.Contains(got.Error(), "138") {
				t.Errorf("%s: %v, want status %d", shown, err, status)
			}
		}
		for _, body := range []string{
			"", " ", "null", "true", "7", `"x"`, "{", "[", "[[", `[{]`, wrap() + wrap(), wrap() + "x", "\xff", strings.Repeat("[", 20_000), "a=b", "<xml/>",
			`{"eventType":"11"}`, `{"objects":[]}`, `{"eventType":"11","objects":null}`,
		} {
			want(body, http.StatusBadRequest)
		}
		for _, one := range bad[f.name] {
			want(wrap(entry, one), http.StatusBadRequest)
		}
		many := make([]string, maxReceiptCount+1)
		for i := range many {
			many[i] = good[f.name]
		}
		want(wrap(many...), http.StatusRequestEntityTooLarge)
		want(wrap(good[f.name])+strings.Repeat(" ", maxReceipts), http.StatusRequestEntityTooLarge)
		if got := f.row(t, m.MessageID); got.Receipt != "" {
			t.Errorf("a refused push changed the row: %+v", got)
		}
		if err := f.pushBody(t, wrap(many[1:]...)); err != nil {
			t.Errorf("%d reports: %v", len(many)-1, err)
		}
		if n := f.seen.reports(); n["push unmatched"] != maxReceiptCount+1 || n["push refused"] < 20 || n["push delivered"] != 0 {
			t.Errorf("%v", n)
		}
	})
}

// A forged push is 403, counted, and changes nothing.
func TestForgedReports(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newReceiving(t, d, reportingVendors(t, fake.Config{})[2])
		ref, m := f.sendOne(t, "+8613800138019", "a")
		f.pusher.Tamper = func(h http.Header, body []byte) []byte {
			h.Set("CheckSum", strings.Repeat("0", 40))
			return body
		}
		if err := f.pusher.Push(t.Context(), fake.Report{Message: m, Delivered: true}); !errors.Is(err, fake.ErrNotAcknowledged) || !strings.Contains(err.Error(), "403") {
			t.Errorf("%v", err)
		}
		f.pusher.Tamper = func(_ http.Header, body []byte) []byte {
			return []byte(strings.Replace(string(body), "DELIVRD", "UNDELIV", 1))
		}
		if err := f.pusher.Push(t.Context(), fake.Report{Message: m, Delivered: true}); err == nil {
			t.Error("a changed body was taken")
		}
		f.wantStatus(t, ref, StatusSent, "")
		if n := f.seen.reports(); n["push refused"] != 2 || len(n) != 1 {
			t.Errorf("%v", n)
		}
	})
}

// The tables are what operators read.
func TestReceiptCodes(t *testing.T) {
	t.Parallel()
	for name, codes := range map[string][]VendorCode{"aliyun": AliyunReceiptCodes(), "tencent": TencentReceiptCodes(), "netease": NetEaseReceiptCodes()} {
		seen := map[string]bool{}
		for _, c := range codes {
			if c.Means == "" {
				t.Errorf("%s: %s means nothing", name, c.Code)
			}
			for code := range classesOf([]VendorCode{c}) {
				if seen[code] {
					t.Errorf("%s: %s is listed twice", name, code)
				}
				seen[code] = true
			}
		}
		if !seen["*"] || !seen["DELIVRD"] {
			t.Errorf("%s: no rest", name)
		}
	}
	wantClasses(t, AliyunReceiptCodes(), map[Class]string{
		"": "DELIVERED DELIVRD REQUEST_SUCCESS", Unreachable: "MOBILE_NOT_ON_SERVICE MOBILE_ACCOUNT_ABNORMAL MOBLLE_TERMINAL_ERROR", BadNumber: "INVALID_NUMBER",
		NumberLimited: "MOBILE_SEND_LIMIT", Blocked: "MOBILE_IN_BLACK USER_REJECT", Failover: "IS_CLOSE NO_ROUTE SP_UNKNOWN_ERROR SP_NOT_BY_INTER_SMS",
		Misconfigured: "CONTENT_KEYWORD CONTENT_ERROR PARAMS_ILLEGAL",
	})
	wantClasses(t, TencentReceiptCodes(), map[Class]string{
		Misconfigured: "1001 1012 1014 1038", Blocked: "1015", BadNumber: "1016", NumberLimited: "1013 1023 1024 1025 1026", Failover: "1022 1031 1033", Ambiguous: "60008",
	})
	classes := classesOf(TencentReceiptCodes())
	for code, want := range map[string]string{
		"UNDELIV": "O UNDELIV", "MK:0001": "U MK:0001", "1025": "R 1025", "DELIVRD": "A DELIVRD", "": "A other", "XX:1234": "A XX:1234", "E12345": "A other",
		"048213": "A other", "13800138000": "A other", "a b": "A other", "x\x00": "A other", "用户": "A other", strings.Repeat("x", 65): "A other", "*": "A *",
	} {
		if got := undeliveredBecause(classes, code); got != want {
			t.Errorf("%q: %q, want %q", code, got, want)
		}
	}
	for code, want := range map[string]string{"O X": "off", "U X": "number", "R X": "limited", "B X": "", "F X": "", "C X": "", "A X": "", "": "", "X": ""} {
		if got := undeliveredReason(code); got != want {
			t.Errorf("%q: %q, want %q", code, got, want)
		}
	}
}

func TestReportedNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"13800138000": "+8613800138000 +13800138000", "+8613800138000": "+8613800138000", "8613800138000": "+8613800138000", "008613800138000": "+8613800138000",
		"+1-2025550100": "+12025550100", "12025550100": "+12025550100", "1381111****": "", "*": "",
		"abc": "!", "": "!", "+": "!", "123": "!", "+86 138 0013 8000 ext. 1": "!", "0": "!", strings.Repeat("1", 25): "!", "１３８００１３８０００": "!",
	} {
		numbers, ok := reportedNumbers(text)
		var got []string
		for _, n := range numbers {
			got = append(got, n.E164())
		}
		if joined := strings.Join(got, " "); ok != (want != "!") || ok && joined != want {
			t.Errorf("%q: %q, %v; want %q", text, joined, ok, want)
		}
	}
}

// Nothing of what vendors, or those who pretend to be one, put into reports gets
// into logs, errors, observations or the database.
func TestReportsShowNothing(t *testing.T) {
	const told, code = "13800138099", "739164"
	eachReceiving(t, fake.Config{}, func(t *testing.T, f *receiving) {
		said := &lockedBuffer{}
		_, m := f.sendOne(t, "+86"+told, "a")
		for _, form := range []string{
			`[{"phone_number":"%[1]s","success":false,"err_code":"%[2]s","err_msg":"%[2]s for %[1]s","biz_id":"%[3]s","out_id":"%[4]s"}]`,
			`[{"phone_number":"%[1]s","success":false,"err_code":"%[1]s","biz_id":"%[1]s","out_id":"%[4]s"}]`,
			`[{"To":"86%[1]s","Status":"2","ErrorCode":"%[2]s","MessageId":"%[3]s","TaskId":"%[4]s"}]`,
			`[{"phone_number":"%[1]s %[2]s","success":true}]`, `[{"phone_number":"%[1]s","success":"%[2]s"}]`,
			`[{"nationcode":"86","mobile":"%[1]s","report_status":"FAIL","errmsg":"%[2]s","sid":"%[3]s"}]`,
			`[{"nationcode":"86","mobile":"%[1]s","report_status":"%[2]s","errmsg":"%[2]s","sid":"%[3]s"}]`,
			`{"eventType":"11","objects":[{"mobile":"%[1]s","sendid":"%[3]s","result":"%[2]s","reason":"%[1]s"}]}`,
			`{"eventType":"%[1]s","objects":[{"mobile":"%[1]s","sendid":"%[3]s","result":"%[2]s"}]}`, `%[1]s%[2]s`, `{"%[1]s":"%[2]s"`,
		} {
			err := f.pushBody(t, fmt.Sprintf(form, told, code, m.Ref, m.MessageID))
			fmt.Fprintf(said, "%v %+v %#v\n", err, err, err)
		}
		fmt.Fprintf(said, "%+v", f.seen.receipts)
		if row := f.row(t, m.MessageID); row.Receipt != StatusUndelivered || row.Code != "A other" {
			t.Errorf("%+v", row)
		}
		text := said.String() + f.logs.String() + dump(t, f.db)
		refuse(t, text, "a number", told)
		refuseCode(t, text, code)
	})
}
