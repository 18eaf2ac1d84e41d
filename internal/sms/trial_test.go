package sms

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestTrialSendsOneMessageAndSaysWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		dead, good, after := &recorder{name: "dead"}, &recorder{name: "good"}, &recorder{name: "after"}
		dead.set(fails(Misconfigured, "SignatureDoesNotMatch"))
		for i, c := range []struct {
			answer   func(context.Context, Message) (string, error)
			outcome  string
			class    Class
			ledger   string
			attempts int
		}{
			{nil, "accepted", "", "accepted", 2},
			{fails(Ambiguous, "timeout"), "unknown", Ambiguous, "unknown", 2},
			{fails(NumberLimited, "x"), "rejected", NumberLimited, "rejected", 2},
			{fails(BadNumber, "x"), "rejected", BadNumber, "rejected", 2},
			{fails(Blocked, "x"), "rejected", Blocked, "unknown", 2},
			{fails(Failover, "x"), "accepted", "", "accepted", 3},
		} {
			good.set(c.answer)
			trial := Trial{Number: number(t, fmt.Sprintf("+86138001380%02d", i)), Purpose: Login, Providers: []Provider{dead, good, after}}
			before := len(after.sent())
			got, err := trial.Send(t.Context(), Config{}, d, f.vault, f.audit)
			if err != nil {
				t.Fatal(err)
			}
			last := got.Attempts[len(got.Attempts)-1]
			if got.Outcome != c.outcome || last.Class != c.class || len(got.Attempts) != c.attempts || got.Attempts[0].Code != "SignatureDoesNotMatch" {
				t.Errorf("%d: %+v", i, got)
			}
			if n := len(after.sent()) - before; n != c.attempts-2 {
				t.Errorf("%d: the third provider got %d messages", i, n)
			}
			var state, audited string
			if err := d.QueryRow(t.Context(), `SELECT l.state, a.actor FROM sms_ledger l JOIN audit a ON a.event = 'sms.trial' AND a.detail LIKE $2
				WHERE l.id = $1`, got.MessageID, "%"+got.MessageID+"%").Scan(&state, &audited); err != nil {
				t.Fatal(err)
			}
			if state != c.ledger || audited != "operator" {
				t.Errorf("%d: the ledger says %s, the audit log %s", i, state, audited)
			}
		}
		if _, err := f.Check(t.Context(), Ref{ID: "x", Purpose: Login, ClientID: "", Flow: flow("")}, good.code(t)); err == nil {
			t.Error("a trial's code is good for something")
		}
	})
}

// Whoever can run trials still cannot bomb a number: at once, and over a day.
func TestTrialsTakeTheNumbersBudget(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		p := &recorder{name: "good"}
		trial := Trial{Number: number(t, "+8613800138000"), Purpose: Login, Providers: []Provider{p}}
		try := func() error {
			_, err := trial.Send(context.Background(), Config{}, d, f.vault, f.audit)
			return err
		}
		var wait sync.WaitGroup
		for range 16 {
			wait.Go(func() { _ = try() }) // most are refused
		}
		wait.Wait()
		if n := len(p.sent()); n != 1 {
			t.Fatalf("%d messages at once", n)
		}
		wantFault(t, try(), ErrTooSoon)
		for range 30 {
			age(t, d, (61 * time.Minute / 4).Microseconds())
			_ = try()
		}
		if n := len(p.sent()); n != 6 {
			t.Errorf("%d messages in 8 hours, strangers have 6 a day", n)
		}
		wantFault(t, try(), ErrDailyLimit)
		_, err := f.Send(t.Context(), login(t, "+8613800138000", "a"))
		if err != nil {
			t.Errorf("the owner on a recognised device: %v", err)
		}
	})
}

func TestTrialRefusesTestNumbers(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	p := &recorder{name: "good"}
	trial := Trial{Number: number(t, "+8613800138000"), Purpose: Login, Providers: []Provider{p}}
	_, err := trial.Send(t.Context(), Config{TestNumbers: map[string]string{"+8613800138000": "246810"}}, d, vaultOf(t, d), audit.New(d))
	if err == nil || len(p.sent()) != 0 {
		t.Errorf("%v, %d messages", err, len(p.sent()))
	}
}

func TestMeaningOfCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ vendor, code, has string }{
		{"aliyun", "isv.SMS_TEMPLATE_ILLEGAL", "template"},
		{"aliyun", "Throttling.User", "too often"},
		{"tencent", "LimitExceeded.PhoneNumberDailyLimit", "2 until raised"},
		{"tencent", "AuthFailure.SomethingNew", "secret_id"},
		{"yuntongxun", "111130", "set up wrongly"},
		{"yuntongxun", "160040", "for a day"},
		{"netease", "414", "checksum"},
		{"webhook", "timeout", "in time"},
		{"aliyun", "http_502", "status"},
		{"tencent", "Nobody.Knows", ""},
		{"webhook", "isv.SMS_TEMPLATE_ILLEGAL", ""},
	} {
		if got := Meaning(c.vendor, c.code); !strings.Contains(got, c.has) || (c.has == "") != (got == "") {
			t.Errorf("%s %s: %q", c.vendor, c.code, got)
		}
	}
}
