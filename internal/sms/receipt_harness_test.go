package sms

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// reportingVendor is a vendor with its fake.
type reportingVendor struct {
	name   string
	sender Provider
	fake   fake.Reporter
	core   *fake.Core
}

// reportingVendors are those that push, each before a fake of its own.
func reportingVendors(t *testing.T, c fake.Config) []reportingVendor {
	t.Helper()
	const id, secret = "LTAItestkeyid", "0123456789abcdef0123456789abcdef"
	serve := func(h http.Handler) string {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	open := func(p Provider, err error) Provider {
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if c.Limits == nil {
		c.Limits = []fake.Limit{}
	}
	one, two := []fake.Param{{Name: "code"}}, []fake.Param{{Name: "code"}, {Name: "minutes"}}
	use := map[TemplateUse]VendorTemplate{{}: {ID: "SMS_1"}, {International: true}: {ID: "SMS_1"}}
	c.Templates = []fake.Template{{ID: "SMS_1", Text: "验证码${code}", Params: one, Both: true}}
	aliyun := fake.NewAliyun(fake.AliyunConfig{Config: c, Keys: map[string]string{id: secret}})
	c.Templates = []fake.Template{{ID: "SMS_1", Text: "验证码{1}，{2}分钟内有效", Params: two, Both: true}}
	tencent := fake.NewTencent(fake.TencentConfig{Config: c, Keys: map[string]string{id: secret}})
	c.Templates = []fake.Template{{ID: "SMS_1", Text: "验证码#{code}", Params: one, Both: true}}
	netease := fake.NewNetEase(fake.NetEaseConfig{Config: c, Apps: map[string]string{id: secret}})
	return []reportingVendor{
		{"aliyun-main", open(NewAliyun(AliyunConfig{Name: "aliyun-main", Endpoint: serve(aliyun), AccessKeyID: id, AccessKeySecret: secret, SignName: "示例签名", Templates: use})), aliyun, aliyun.Core},
		{"tencent-main", open(NewTencent(TencentConfig{
			Name: "tencent-main", Endpoint: serve(tencent), SecretID: id, SecretKey: secret, SDKAppID: "1400000001", SignName: "示例签名", SignNameAbroad: "示例签名", Templates: use,
		})), tencent, tencent.Core},
		{"netease-main", open(NewNetEase(NetEaseConfig{Name: "netease-main", Endpoint: serve(netease), AppKey: id, AppSecret: secret, Templates: use})), netease, netease.Core},
	}
}

// receiving is a service whose only provider is a vendor, and an address for its reports.
type receiving struct {
	*fixture
	reportingVendor
	db     *db.DB
	url    string
	pusher *fake.Pusher
}

func newReceiving(t *testing.T, d *db.DB, v reportingVendor) *receiving {
	t.Helper()
	f := newFixture(t, d, Config{
		Regions: []string{"CN", "US"}, Routes: map[string]Route{"*": {Providers: []Provider{v.sender}}, "GB": {Providers: []Provider{&recorder{name: "mute"}}}},
		Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40,
	})
	srv := httptest.NewServer(receiptHandler(t, f.Service))
	t.Cleanup(srv.Close)
	path, ok := f.ReceiptPath(v.name)
	if !ok {
		t.Fatal("no path for reports")
	}
	return &receiving{fixture: f, reportingVendor: v, db: d, url: srv.URL, pusher: &fake.Pusher{Vendor: v.fake, URL: srv.URL + path, Retry: []time.Duration{}}}
}

// receiptHandler answers as the server does.
func receiptHandler(t *testing.T, s *Service) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/sms/receipts/{provider}/{secret}", func(w http.ResponseWriter, r *http.Request) {
		answer, err := s.Receive(r.Context(), r.PathValue("provider"), r.PathValue("secret"), r.Header, r.Body)
		if err != nil {
			f := fault.From(err)
			if f.Status >= 500 {
				t.Errorf("receive: %v", err)
			}
			w.WriteHeader(f.Status)
			io.WriteString(w, f.Code+": "+f.Description)
			return
		}
		io.WriteString(w, answer)
	})
	return mux
}

// sendOne sends a message and returns what the vendor took.
func (f *receiving) sendOne(t *testing.T, e164, flow string) (Ref, fake.Received) {
	t.Helper()
	_, ref := f.send(t, login(t, e164, flow))
	all := f.core.Inbox().To(e164)
	if len(all) == 0 {
		t.Fatal("nothing was taken")
	}
	m := all[len(all)-1]
	err := f.db.QueryRow(t.Context(), `SELECT id FROM sms_ledger ORDER BY reserved_at DESC LIMIT 1`).Scan(&m.MessageID) // NetEase is not given it
	if err != nil {
		t.Fatal(err)
	}
	return ref, m
}

func (f *receiving) push(t *testing.T, reports ...fake.Report) {
	t.Helper()
	if err := f.pusher.Push(t.Context(), reports...); err != nil {
		t.Fatal(err)
	}
}

func (f *receiving) wantStatus(t *testing.T, ref Ref, status, reason string) {
	t.Helper()
	c, err := f.Get(t.Context(), ref)
	if err != nil || c.Status != status || c.Reason != reason {
		t.Errorf("status %q, reason %q, %v; want %q, %q", c.Status, c.Reason, err, status, reason)
	}
}

// entry is the part of a ledger row that reports touch.
type entryOf struct{ State, Provider, Ref, Reason, Receipt, Code string }

func (f *receiving) row(t *testing.T, id string) (e entryOf) {
	t.Helper()
	err := f.db.QueryRow(t.Context(), `SELECT state, provider, provider_ref, reason, receipt, receipt_code FROM sms_ledger WHERE id = $1`, id).
		Scan(&e.State, &e.Provider, &e.Ref, &e.Reason, &e.Receipt, &e.Code)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (o *observed) reports() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := map[string]int{}
	for _, r := range o.receipts {
		n[r.Source+" "+r.Status]++
	}
	return n
}

func eachReceiving(t *testing.T, c fake.Config, test func(t *testing.T, f *receiving)) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for i, v := range reportingVendors(t, c) {
			t.Run(v.name, func(t *testing.T) {
				if i > 0 { // each vendor has numbers and rows of its own
					for _, table := range []string{"sms_ledger", "sms_challenges", "sms_numbers"} {
						if _, err := d.Exec(t.Context(), `DELETE FROM `+table); err != nil {
							t.Fatal(err)
						}
					}
				}
				f := newReceiving(t, d, v)
				defer f.closeIt()
				test(t, f)
			})
		}
	})
}

// last is the newest challenge of a flow.
func (f *receiving) last(t *testing.T, name string) Ref {
	t.Helper()
	var id string
	if err := f.db.QueryRow(t.Context(), `SELECT id FROM sms_challenges WHERE flow = $1 ORDER BY created_at DESC LIMIT 1`, flow(name)).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return Ref{ID: id, Purpose: Login, ClientID: "web", Flow: flow(name)}
}
