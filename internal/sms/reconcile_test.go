package sms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// elapsed is how far behind us the fakes' clocks are, since rows are made older.
const elapsed = 40 * time.Second

// querying is a receiving service whose vendor can be asked, with clocks apart so
// that a message sent now is old enough to be asked about.
func querying(t *testing.T, d *db.DB, vendor int) *receiving {
	t.Helper()
	start := time.Now()
	return newReceiving(t, d, reportingVendors(t, fake.Config{Now: func() time.Time { return start.Add(-elapsed).Add(time.Since(start)) }})[vendor])
}

// doubtful sends a message whose answer is lost, and lets time pass.
func (f *receiving) doubtful(t *testing.T, e164, flow string) (Ref, fake.Received) {
	t.Helper()
	f.core.Script(fake.Outcome{Fault: fake.Truncated})
	ref, m := f.sendOne(t, e164, flow)
	if got := f.row(t, m.MessageID); got.State != unknown || got.Ref != "" {
		t.Fatalf("row %+v", got)
	}
	_, err := f.db.Exec(t.Context(), `UPDATE sms_ledger SET reserved_at = reserved_at - $2 WHERE id = $1`, m.MessageID, elapsed.Microseconds())
	if err == nil {
		_, err = f.db.Exec(t.Context(), `UPDATE sms_challenges SET created_at = created_at - $2 WHERE id = $1`, ref.ID, elapsed.Microseconds())
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref, m
}

func (f *receiving) reconcile(t *testing.T) {
	t.Helper()
	if err := f.Reconcile(t.Context(), time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// A message that was taken without an answer is found at the vendor.
func TestReconcileAliyun(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := querying(t, d, 0)
		ref, m := f.doubtful(t, "+8613800138020", "a")
		f.wantStatus(t, ref, StatusUnknown, "")
		f.reconcile(t)
		f.wantStatus(t, ref, StatusSent, "")
		if got := f.row(t, m.MessageID); got.State != accepted || got.Receipt != "" || got.Reason != "A reply" {
			t.Errorf("on its way: %+v", got)
		}
		calls := f.core.Calls()
		f.reconcile(t)
		if f.core.Calls() != calls {
			t.Error("a settled message was asked about")
		}

		ref, m = f.doubtful(t, "+8613800138021", "b")
		f.core.Tell(fake.Report{Message: m, Delivered: true})
		f.reconcile(t)
		f.wantStatus(t, ref, StatusDelivered, "")

		ref, m = f.doubtful(t, "+12025550121", "c")
		f.core.Tell(fake.Report{Message: m, Code: "INVALID_NUMBER"})
		f.reconcile(t)
		f.wantStatus(t, ref, StatusUndelivered, "number")
		if got := f.row(t, m.MessageID); got.State != accepted || got.Code != "U INVALID_NUMBER" {
			t.Errorf("undelivered: %+v", got)
		}

		// One that the vendor does not know stays open, and is not given back.
		f.core.Script(fake.Outcome{Fault: fake.HTTP500})
		ref, _ = f.send2(t, "+8613800138022", "d")
		f.reconcile(t)
		f.wantStatus(t, ref, StatusUnknown, "")
		if n := states(t, d); n[unknown] != 1 || n[accepted] != 3 || n[rejected] != 0 {
			t.Errorf("%v", n)
		}
	})
}

// send2 sends what no vendor takes, and lets time pass.
func (f *receiving) send2(t *testing.T, e164, flow string) (Ref, Challenge) {
	t.Helper()
	c, ref := f.send(t, login(t, e164, flow))
	age(t, f.db, elapsed.Microseconds())
	return ref, c
}

// A process died between the call and the answer: the next start finds out.
func TestReconcileAfterACrash(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := querying(t, d, 0)
		ref, m := f.doubtful(t, "+8613800138023", "a")
		if _, err := d.Exec(t.Context(), `UPDATE sms_ledger SET state = 'reserved', reason = '', settled_at = NULL`); err != nil {
			t.Fatal(err)
		}
		f.core.Tell(fake.Report{Message: m, Delivered: true})
		f.reconcile(t)
		f.wantStatus(t, ref, StatusDelivered, "")
		if got := f.row(t, m.MessageID); got.State != accepted {
			t.Errorf("%+v", got)
		}
	})
}

// Tencent brings our id back on request alone; without it the one report that
// can be the message's is taken.
func TestReconcileTencent(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := querying(t, d, 1)
		const e164 = "+8613800138024"
		_, known := f.sendOne(t, e164, "known")
		f.core.Tell(fake.Report{Message: known})
		ref, m := f.doubtful(t, e164, "a")
		f.reconcile(t) // no verdict yet
		f.wantStatus(t, ref, StatusUnknown, "")
		f.core.Tell(fake.Report{Message: m, Delivered: true})
		f.reconcile(t)
		f.wantStatus(t, ref, StatusDelivered, "")
		if got := f.row(t, m.MessageID); got.State != accepted || got.Ref != m.Ref {
			t.Errorf("%+v", got)
		}
		if got := f.row(t, known.MessageID); got.Receipt != StatusUndelivered {
			t.Errorf("the other message: %+v", got)
		}

		// Of two open messages nobody can say which is which.
		const other = "+8613800138025"
		first, one := f.doubtful(t, other, "b")
		second, two := f.doubtful(t, other, "c")
		f.core.Tell(fake.Report{Message: one, Delivered: true}, fake.Report{Message: two})
		f.reconcile(t)
		f.wantStatus(t, first, StatusUnknown, "")
		f.wantStatus(t, second, StatusUnknown, "")
	})
}

func TestReconcileTencentSessions(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	f := querying(t, d, 1)
	f.fake.(*fake.Tencent).EchoSessions()
	first, one := f.doubtful(t, "+8613800138026", "b")
	second, two := f.doubtful(t, "+8613800138026", "c")
	f.core.Tell(fake.Report{Message: one, Delivered: true}, fake.Report{Message: two})
	f.reconcile(t)
	f.wantStatus(t, first, StatusDelivered, "")
	f.wantStatus(t, second, StatusUndelivered, "off")
}

// A message is asked about at a few ages, not in every round; a blacklisted one
// and one that is still under way are not asked about at all.
func TestReconcilePace(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		q := &querier{recorder: recorder{name: "asked", answer: fails(Ambiguous, "timeout")}}
		f := newFixture(t, d, Config{Routes: map[string]Route{"*": {Providers: []Provider{q}}}})
		f.send(t, login(t, "+8613800138027", "a"))
		q.set(fails(Blocked, "list"))
		f.send(t, login(t, "+8613800138028", "b"))
		q.set(nil)
		f.send(t, login(t, "+8613800138029", "c"))
		if _, err := d.Exec(t.Context(), `UPDATE sms_ledger SET state = 'reserved' WHERE state = 'accepted'`); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if err := f.Reconcile(t.Context(), time.Time{}, now); err != nil || q.asked != 0 {
			t.Errorf("%d questions at once, %v", q.asked, err)
		}
		if _, err := d.Exec(t.Context(), `DELETE FROM sms_ledger WHERE state = 'reserved'`); err != nil {
			t.Fatal(err)
		}
		last := now
		for at := now.Add(time.Minute); at.Before(now.Add(26 * time.Hour)); at = at.Add(7 * time.Minute) {
			if err := f.Reconcile(t.Context(), last, at); err != nil {
				t.Fatal(err)
			}
			last = at
		}
		if q.asked != len(askedAt()) {
			t.Errorf("%d questions in a day, want %d", q.asked, len(askedAt()))
		}
		if err := f.Reconcile(t.Context(), time.Time{}, now.Add(23*time.Hour)); err != nil || q.asked != len(askedAt())+1 {
			t.Errorf("after a restart: %d questions, %v", q.asked, err)
		}
	})
}

// querier is a provider that knows nothing.
type querier struct {
	recorder
	asked int
	fail  error
}

func (q *querier) Query(context.Context, Number, time.Time) ([]Report, error) {
	q.asked++
	return nil, q.fail
}

// A vendor that fails is asked once a round, others go on, and nothing is said of
// whom it was about. A round has an end.
func TestReconcileFailures(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	bad := &querier{recorder: recorder{name: "bad", answer: fails(Ambiguous, "timeout")}, fail: &SendError{Class: Misconfigured, Provider: "bad", Code: "AuthFailure"}}
	good := &querier{recorder: recorder{name: "good", answer: fails(Ambiguous, "timeout")}}
	f := newFixture(t, d, Config{Regions: []string{"CN", "US"}, Routes: map[string]Route{"CN": {Providers: []Provider{bad}}, "US": {Providers: []Provider{good}}}})
	for i := range 3 {
		f.send(t, login(t, fmt.Sprintf("+86138001380%02d", 30+i), fmt.Sprint(i)))
		f.send(t, login(t, fmt.Sprintf("+120255501%02d", 30+i), fmt.Sprint(i)))
	}
	age(t, d, elapsed.Microseconds())
	err := f.Reconcile(t.Context(), time.Time{}, time.Now())
	if err == nil || bad.asked != 1 || good.asked != 3 {
		t.Errorf("%v after %d and %d questions", err, bad.asked, good.asked)
	}
	refuse(t, fmt.Sprintf("%v %+v", err, err)+f.logs.String(), "a number", "13800138030", "13800138031", "13800138032", "2025550130")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Reconcile(ended, time.Time{}, time.Now()); err == nil {
		t.Error("a round in an ended context")
	}
	// Nobody to ask: no statement at all.
	mute := newFixture(t, dbtest.Open(t), Config{})
	before := mute.Service.db.Counters()
	if err := mute.Reconcile(t.Context(), time.Time{}, time.Now()); err != nil || mute.Service.db.Counters() != before {
		t.Errorf("%v, %+v", err, mute.Service.db.Counters())
	}
}

// Answers to questions hold the code. Neither they nor the faults of their
// vendors are repeated.
func TestQueriesShowNothing(t *testing.T) { // alone: it listens to the default logger
	for vendor := range 2 {
		f := querying(t, dbtest.Open(t), vendor)
		said := &lockedBuffer{}
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})))
		defer slog.SetDefault(before)
		_, m := f.doubtful(t, "+8613800138034", "a")
		code := m.Values[0]
		querier := f.sender.(Querier)
		ask := func() {
			ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
			defer cancel()
			reports, err := querier.Query(ctx, number(t, "+8613800138034"), time.Now().Add(-elapsed))
			fmt.Fprintf(said, "%v %+v %#v %v %+v %#v\n", reports, reports, reports, err, err, err)
		}
		f.core.Tell(fake.Report{Message: m, Code: code})
		ask()
		for _, fault := range fake.Faults() {
			f.core.Script(fake.Outcome{Fault: fault})
			ask()
		}
		for _, answer := range []string{code, "13800138034", "isv." + code, "LimitExceeded.PhoneNumberDailyLimit", "SignatureDoesNotMatch"} {
			f.core.Script(fake.Outcome{Code: answer, Message: code + " for 13800138034"})
			ask()
		}
		f.reconcile(t)
		text := said.String() + f.logs.String() + dump(t, f.db)
		refuse(t, text, "a number", "13800138034")
		refuseCode(t, text, code)
	}
}

// Around midnight in Beijing the vendor may have the message on the next day.
func TestAliyunQueriesBothDays(t *testing.T) {
	t.Parallel()
	v := reportingVendors(t, fake.Config{})[0]
	now := time.Now().In(beijing())
	for at, calls := range map[time.Time]int{
		time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, beijing()).Add(-time.Second): 2,
		time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, beijing()):                   1,
	} {
		before := v.core.Calls()
		if _, err := v.sender.(Querier).Query(t.Context(), number(t, "+8613800138035"), at); err != nil || v.core.Calls()-before != calls {
			t.Errorf("%v: %d calls, %v", at, v.core.Calls()-before, err)
		}
	}
}

// A question is signed like a message, and a wrong secret is the vendor's to refuse.
func TestQueriesAreSigned(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]sdkVendor{"aliyun": aliyunVendor(), "tencent": tencentVendor()} {
		p, core := v.begin(t, fake.Config{})
		together(64, func(i int) {
			if _, err := p.(Querier).Query(t.Context(), number(t, fmt.Sprintf("+86138001380%02d", i)), time.Now()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if core.Calls() < 64 {
			t.Errorf("%s: %d calls", name, core.Calls())
		}
		v.secret += "x"
		p, _ = v.begin(t, fake.Config{})
		_, err := p.(Querier).Query(t.Context(), number(t, "+8613800138000"), time.Now())
		var failed *SendError
		if !errors.As(err, &failed) || failed.Class != Misconfigured || failed.Code != v.wrongKey {
			t.Errorf("%s: %v", name, err)
		}
	}
}
