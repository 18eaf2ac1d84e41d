package sms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// A message's report comes to the page that waits for it.
func TestReportsTellThePage(t *testing.T) {
	off := map[string]string{"aliyun-main": "MOBILE_NOT_ON_SERVICE", "tencent-main": "UNDELIV", "netease-main": "UNDELIV"}
	eachReceiving(t, fake.Config{}, func(t *testing.T, f *receiving) {
		for i, e164 := range []string{"+8613800138010", "+12025550110"} {
			ref, m := f.sendOne(t, e164, "a")
			f.wantStatus(t, ref, StatusSent, "")
			f.push(t, fake.Report{Message: m, Delivered: true})
			f.wantStatus(t, ref, StatusDelivered, "")
			if got := f.row(t, m.MessageID); got.State != accepted || got.Receipt != StatusDelivered || got.Code != "" {
				t.Errorf("row %+v", got)
			}
			if i > 0 {
				continue
			}
			ref, m = f.sendOne(t, e164, "b")
			f.push(t, fake.Report{Message: m})
			f.wantStatus(t, ref, StatusUndelivered, "off")
			for code, reason := range map[string]string{
				"MK:0001": "number", "UNDELIV": "off", "EXPIRED": "off", "MBBLACK": "", "REJECTD": "", "UNHEARD": "", "MK:9999": "", "13800138010": "",
			} {
				ref, m = f.sendOne(t, e164, code)
				f.push(t, fake.Report{Message: m, Code: code})
				f.wantStatus(t, ref, StatusUndelivered, reason)
			}
			// Another message for the same challenge has its own fate.
			f.send(t, login(t, e164, "b"))
			f.wantStatus(t, f.last(t, "b"), StatusSent, "")
		}
		var code string
		err := f.db.QueryRow(t.Context(), `SELECT receipt_code FROM sms_ledger WHERE receipt = 'undelivered' ORDER BY reserved_at LIMIT 1`).Scan(&code)
		if err != nil || code != "O "+off[f.name] {
			t.Errorf("receipt_code %q, %v", code, err)
		}
	})
}

// What a page asks while it waits stays one SELECT.
func TestStatusOfAReportCostsOneRead(t *testing.T) {
	eachReceiving(t, fake.Config{}, func(t *testing.T, f *receiving) {
		ref, m := f.sendOne(t, "+8613800138011", "a")
		f.push(t, fake.Report{Message: m, Delivered: true})
		before := f.db.Counters()
		f.wantStatus(t, ref, StatusDelivered, "")
		after := f.db.Counters()
		if after.Reads-before.Reads != 1 || after.Commits != before.Commits || after.Writes != before.Writes {
			t.Errorf("before %+v, after %+v", before, after)
		}
	})
}

// The newer verdict stands, in whatever order they come, and a late "on its way"
// changes nothing.
func TestReportsOutOfOrder(t *testing.T) {
	eachReceiving(t, fake.Config{}, func(t *testing.T, f *receiving) {
		now := time.Now()
		at := func(seconds int) time.Time {
			return now.Add(time.Duration(seconds) * time.Second).Truncate(time.Second)
		}
		for i, test := range []struct {
			name    string
			reports []fake.Report
			want    string
		}{
			{"delivered, then an older failure", []fake.Report{{Delivered: true, At: at(-2)}, {At: at(-4)}}, StatusDelivered},
			{"a failure, then delivered later", []fake.Report{{At: at(-4)}, {Delivered: true, At: at(-2)}}, StatusDelivered},
			{"the same, reordered", []fake.Report{{Delivered: true, At: at(-2)}, {At: at(-4)}}, StatusDelivered},
			{"delivered, then a later failure", []fake.Report{{Delivered: true, At: at(-4)}, {At: at(-2)}}, StatusUndelivered},
			{"the first of one second", []fake.Report{{At: at(-3)}, {Delivered: true, At: at(-3)}}, StatusUndelivered},
			{"pending last", []fake.Report{{Delivered: true, At: at(-3)}, {Pending: true, At: at(-1)}}, StatusDelivered},
			{"times in the future count as now", []fake.Report{{At: at(3600)}, {Delivered: true, At: at(7200)}}, StatusDelivered},
		} {
			ref, m := f.sendOne(t, fmt.Sprintf("+86138001380%02d", 20+i), fmt.Sprint(i))
			if _, err := f.db.Exec(t.Context(), `UPDATE sms_ledger SET reserved_at = reserved_at - 10000000`); err != nil {
				t.Fatal(err)
			}
			if _, err := f.db.Exec(t.Context(), `UPDATE sms_challenges SET created_at = created_at - 10000000`); err != nil {
				t.Fatal(err)
			}
			for _, r := range test.reports {
				r.Message = m
				f.push(t, r)
			}
			c, err := f.Get(t.Context(), ref)
			if err != nil || c.Status != test.want {
				t.Errorf("%s: %s, %v; want %s", test.name, c.Status, err, test.want)
			}
		}
	})
}

// F-05: of 64 equal pushes at once one changes each row, whatever their order.
func TestParallelDuplicatesChangeOnce(t *testing.T) {
	eachReceiving(t, fake.Config{}, func(t *testing.T, f *receiving) {
		_, m := f.sendOne(t, "+8613800138012", "a")
		_, other := f.sendOne(t, "+8613800138013", "b")
		both := []fake.Report{{Message: m, Delivered: true, At: time.Now()}, {Message: other, At: time.Now()}}
		together(64, func(i int) {
			reports := slices.Clone(both)
			if i%2 == 1 {
				slices.Reverse(reports)
			}
			f.push(t, reports...)
		})
		f.push(t, both...) // the vendor did not hear the answer
		want := map[string]int{"push delivered": 1, "push undelivered": 1, "push duplicate": 128}
		if got := f.seen.reports(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// A message that was never answered for is known to be sent by its report, and
// one that was given back stays given back.
func TestReportsSettle(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newReceiving(t, d, reportingVendors(t, fake.Config{})[0]) // Aliyun, which brings our id back
		for i, test := range []struct {
			fault fake.Fault
			state string // what the row is made before the report
			age   time.Duration
			want  entryOf
		}{
			{fault: fake.Truncated, want: entryOf{State: accepted, Reason: "A reply", Receipt: StatusDelivered}},
			{state: rejected, want: entryOf{State: rejected}},
			{state: reserved, want: entryOf{State: reserved, Receipt: StatusDelivered}},
			{state: reserved, age: time.Minute, want: entryOf{State: accepted, Receipt: StatusDelivered}},
		} {
			f.core.Script(fake.Outcome{Fault: test.fault})
			_, m := f.sendOne(t, fmt.Sprintf("+86138001380%02d", 30+i), fmt.Sprint(i))
			if test.state != "" {
				_, err := d.Exec(t.Context(), `UPDATE sms_ledger SET state = $2, reserved_at = reserved_at - $3 WHERE id = $1`, m.MessageID, test.state, test.age.Microseconds())
				if err != nil {
					t.Fatal(err)
				}
			}
			f.push(t, fake.Report{Message: m, Delivered: true})
			got := f.row(t, m.MessageID)
			got.Provider, got.Ref = "", ""
			if got != test.want {
				t.Errorf("%d: %+v, want %+v", i, got, test.want)
			}
		}
		// What is on its way has been taken.
		f.core.Script(fake.Outcome{Fault: fake.Truncated})
		ref, m := f.sendOne(t, "+8613800138040", "p")
		f.wantStatus(t, ref, StatusUnknown, "")
		f.push(t, fake.Report{Message: m, Pending: true})
		f.wantStatus(t, ref, StatusSent, "")
		if got := f.row(t, m.MessageID); got.State != accepted || got.Ref != m.Ref || got.Receipt != "" {
			t.Errorf("pending: %+v", got)
		}
	})
}

// A wrong secret and a provider without reports are the same nothing.
func TestReceiptPaths(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		vendors := reportingVendors(t, fake.Config{})
		f := newFixture(t, d, Config{Routes: map[string]Route{"CN": {Providers: []Provider{vendors[0].sender}}, "*": {Providers: []Provider{vendors[1].sender, &recorder{name: "mute"}}}}})
		secrets := map[string]string{}
		for _, name := range []string{"aliyun-main", "tencent-main", "mute", "nobody"} {
			path := ReceiptPath(f.vault, name)
			prefix := "/v1/sms/receipts/" + name + "/"
			if !strings.HasPrefix(path, prefix) || len(path)-len(prefix) < 43 {
				t.Fatal(path)
			}
			secrets[name] = path[len(prefix):]
			own, ok := f.ReceiptPath(name)
			if ok != strings.HasSuffix(name, "-main") || ok && own != path {
				t.Errorf("%s: %q, %v", name, own, ok)
			}
		}
		receive := func(s *Service, provider, secret string) error {
			_, err := s.Receive(t.Context(), provider, secret, http.Header{}, strings.NewReader("[]"))
			return err
		}
		if err := receive(f.Service, "aliyun-main", secrets["aliyun-main"]); err != nil {
			t.Fatal(err)
		}
		nothing := receive(f.Service, "nobody", secrets["nobody"])
		wantFault(t, nothing, errNoReceipts)
		spoiled := []string{"", "x", "*", secrets["tencent-main"], secrets["aliyun-main"] + "A", secrets["aliyun-main"][:47], secrets["aliyun-main"] + "=", strings.Repeat("A", 48), strings.Repeat("A", 9999)}
		for i := range secrets["aliyun-main"] {
			b := []byte(secrets["aliyun-main"])
			b[i] ^= 1
			spoiled = append(spoiled, string(b))
		}
		for _, secret := range spoiled {
			if err := receive(f.Service, "aliyun-main", secret); err == nil || err.Error() != nothing.Error() {
				t.Errorf("%q: %v", secret, err)
			}
		}
		if err := receive(f.Service, "mute", secrets["mute"]); err == nil || err.Error() != nothing.Error() {
			t.Errorf("a provider without reports: %v", err)
		}
		if n := f.seen.reports(); len(n) != 0 {
			t.Errorf("counted %v", n)
		}
		// The path changes with the master secret; the old one stays good as long as that.
		f.Service.vault = rotate(t, d)
		if ReceiptPath(f.vault, "aliyun-main") == "/v1/sms/receipts/aliyun-main/"+secrets["aliyun-main"] {
			t.Error("the path is the same under a new master")
		}
		if err := receive(f.Service, "aliyun-main", secrets["aliyun-main"]); err != nil {
			t.Errorf("the path of the old master: %v", err)
		}
	})
}

// Reports about what is not theirs change nothing: other numbers, providers,
// references, messages long gone.
func TestForeignReports(t *testing.T) {
	eachReceiving(t, fake.Config{}, func(t *testing.T, f *receiving) {
		ref, m := f.sendOne(t, "+8613800138014", "a")
		foreign := func(change func(*fake.Received)) fake.Report {
			r := fake.Report{Message: m, Delivered: true}
			change(&r.Message)
			return r
		}
		f.push(t,
			foreign(func(m *fake.Received) { m.To = "+8613800138015" }),
			foreign(func(m *fake.Received) { m.Ref, m.MessageID = "12345", db.NewID() }),
			foreign(func(m *fake.Received) { m.Ref, m.MessageID = "", "" }),
			foreign(func(m *fake.Received) { m.Ref, m.MessageID = strings.Repeat("9", 200), "not-an-id" }),
			foreign(func(m *fake.Received) { m.Ref, m.MessageID = "\x00\xff", "\x00" }),
		)
		f.wantStatus(t, ref, StatusSent, "")
		// Asked of another provider since then: its word counts now.
		set := func(query string) {
			t.Helper()
			if _, err := f.db.Exec(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
		set(`UPDATE sms_ledger SET provider = 'mute'`)
		f.push(t, foreign(func(*fake.Received) {}))
		f.wantStatus(t, ref, StatusSent, "")
		set(`UPDATE sms_ledger SET provider = '` + f.name + `'`)
		age(t, f.db, (73 * time.Hour).Microseconds())
		f.push(t, foreign(func(*fake.Received) {}))
		f.wantStatus(t, ref, StatusSent, "")
		if got := f.seen.reports(); got["push unmatched"] != 7 || len(got) != 1 {
			t.Errorf("%v", got)
		}
		age(t, f.db, -(70 * time.Hour).Microseconds())
		f.push(t, foreign(func(*fake.Received) {}))
		f.wantStatus(t, ref, StatusDelivered, "")
	})
}

// I4: whoever knows the path, and with NetEase the secret, can say what became of
// messages, and that is all: budgets, tries, codes and stops are as before.
func TestReportsTouchNothingElse(t *testing.T) {
	eachReceiving(t, fake.Config{}, func(t *testing.T, f *receiving) {
		rest := func() string {
			if _, err := f.db.Exec(t.Context(), `UPDATE sms_ledger SET receipt = '', receipt_code = '', receipt_at = NULL`); err != nil {
				t.Fatal(err)
			}
			return dump(t, f.db)
		}
		var all []fake.Received
		var refs []Ref
		const e164 = "+8613800138016"
		for i := range 5 {
			ref, m := f.sendOne(t, e164, fmt.Sprint(i))
			refs, all = append(refs, ref), append(all, m)
			if _, err := f.Check(t.Context(), ref, wrong(m.Values[0])); err == nil {
				t.Fatal("a wrong code")
			}
		}
		f.config.PerHour, f.config.PerDay, f.config.KnownReserve = 5, 5, 1
		before := sortedLines(rest())
		for _, delivered := range []bool{true, false} {
			var reports []fake.Report
			for i, m := range all {
				reports = append(reports, fake.Report{Message: m, Delivered: delivered, At: time.Now().Add(time.Duration(i) * time.Hour)})
			}
			f.push(t, reports...)
			if _, err := f.Send(t.Context(), login(t, e164, "z")); !errors.Is(err, ErrHourlyLimit) && !errors.Is(err, ErrDailyLimit) {
				t.Errorf("a sixth message: %v", err)
			}
		}
		if after := sortedLines(rest()); after != before {
			t.Errorf("changed:\n%s\n\nwas:\n%s", after, before)
		}
		// A report is no proof: the code still is.
		if _, err := f.Check(t.Context(), refs[0], all[0].Values[0]); err != nil {
			t.Error(err)
		}
	})
}

func sortedLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// A push that fails on our side is pushed again and taken then.
func TestReportsAreTakenOnRetry(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	f := newReceiving(t, d, reportingVendors(t, fake.Config{})[1])
	ref, m := f.sendOne(t, "+8613800138017", "a")
	failures := 2
	inner := receiptHandler(t, f.Service)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failures--; failures >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	defer srv.Close()
	path, _ := f.ReceiptPath(f.name)
	p := &fake.Pusher{Vendor: f.fake, URL: srv.URL + path, Retry: []time.Duration{0, 0}}
	if err := p.Push(t.Context(), fake.Report{Message: m, Delivered: true}); err != nil {
		t.Fatal(err)
	}
	f.wantStatus(t, ref, StatusDelivered, "")
}

// A database that is away is no fault of the vendor's, which pushes again.
func TestReportsWithoutADatabase(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	f := newReceiving(t, d, reportingVendors(t, fake.Config{})[0])
	_, m := f.sendOne(t, "+8613800138018", "a")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, body := f.fake.Receipts(fake.Report{Message: m, Delivered: true, At: time.Now()})
	path, _ := f.ReceiptPath(f.name)
	_, err := f.Receive(gone, f.name, path[strings.LastIndexByte(path, '/')+1:], http.Header{}, strings.NewReader(string(body)))
	if f := fault.From(err); f == nil || f.Status != http.StatusInternalServerError {
		t.Errorf("%v", err)
	}
}
