package sms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// S-07, F-01: a definite refusal gives the send back, and the code before stays valid.
func TestRejectedSendIsGivenBack(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		rejections, messages := 0, 0
		for i, test := range []struct {
			class Class
			want  *fault.Error
		}{{Failover, ErrProviderUnavailable}, {Misconfigured, ErrProviderUnavailable}, {BadNumber, ErrRejected}, {NumberLimited, ErrHourlyLimit}} {
			r := login(t, fmt.Sprintf("+861380013801%d", i), "a")
			f.provider.set(nil)
			c, ref := f.send(t, r)
			code := f.provider.code(t)
			age(t, d, (61 * time.Second).Microseconds())
			f.provider.set(fails(test.class, "isv.SOMETHING"))
			for range 3 { // no cooldown between them
				f.mend()
				wantFault(t, second(f.Resend(t.Context(), ref, Again{Address: r.Address})), test.want)
			}
			messages, rejections = messages+1, rejections+3
			if s := states(t, d); s["accepted"] != messages || s["rejected"] != rejections || len(s) != 2 {
				t.Errorf("%s: ledger %v", test.class, s)
			}
			if got, err := f.Get(t.Context(), ref); err != nil || got.Status != StatusSent || got.ResendAt.After(time.Now()) {
				t.Errorf("%s: Get: %+v, %v", test.class, got, err)
			}
			if _, err := f.Check(t.Context(), ref, code); err != nil {
				t.Errorf("%s: the code sent before: %v", test.class, err)
			}
			f.provider.set(nil)
			f.mend()
			if again, err := f.Resend(t.Context(), ref, Again{Address: r.Address}); err != nil || again.ID != c.ID || f.provider.code(t) != code {
				t.Errorf("%s: after the refusals: %v", test.class, err)
			}
			messages++
		}
	})
}

func TestFirstSendRejectedLeavesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		f.provider.set(fails(Failover, "isv.AMOUNT_NOT_ENOUGH"))
		r := login(t, "+8613800138007", "a")
		for range 7 {
			f.mend()
			wantFault(t, second(f.Send(t.Context(), r)), ErrProviderUnavailable)
		}
		f.provider.set(nil)
		f.mend()
		f.send(t, r)
		wantFault(t, second(f.Send(t.Context(), r)), ErrTooSoon)
	})
}

// F-02: what may have been sent counts, is not repeated, and its code is good.
func TestUnknownOutcomeCountsAndItsCodeIsGood(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		first := &recorder{name: "fake", answer: fails(Ambiguous, "http_500")}
		f := newFixture(t, d, Config{Routes: map[string]Route{"CN": {Providers: []Provider{first}}}})
		r := login(t, "+8613800138008", "a")
		c, err := f.Send(t.Context(), r)
		if err != nil || c.Status != StatusUnknown {
			t.Fatalf("%+v, %v", c, err)
		}
		if len(first.sent()) != 1 {
			t.Errorf("%d calls", len(first.sent()))
		}
		if got, err := f.Get(t.Context(), refOf(c, r)); err != nil || got.Status != StatusUnknown {
			t.Errorf("Get: %+v, %v", got, err)
		}
		wantFault(t, second(f.Send(t.Context(), r)), ErrTooSoon)
		if _, err := f.Check(t.Context(), refOf(c, r), first.code(t)); err != nil {
			t.Error(err)
		}
		if s := states(t, d); s["unknown"] != 1 || len(s) != 1 {
			t.Errorf("ledger %v", s)
		}
	})
}

func TestBlockedNumberLooksLikeSuccessAndCounts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		f.provider.set(fails(Blocked, "isv.BLACK_KEY_CONTROL_LIMIT"))
		r := login(t, "+8613800138009", "a")
		c, err := f.Send(t.Context(), r)
		if err != nil || c.Status != StatusSent {
			t.Fatalf("%+v, %v", c, err)
		}
		if got, err := f.Get(t.Context(), refOf(c, r)); err != nil || got.Status != StatusSent {
			t.Errorf("Get: %+v, %v", got, err)
		}
		wantFault(t, second(f.Send(t.Context(), r)), ErrTooSoon)
		var reason string
		if err := d.QueryRow(t.Context(), `SELECT reason FROM sms_ledger`).Scan(&reason); err != nil || reason != "B isv.BLACK_KEY_CONTROL_LIMIT" {
			t.Errorf("reason %q, %v", reason, err)
		}
	})
}

// A row is settled once: what was written first stands.
func TestSettledMessageIsNotSettledAgain(t *testing.T) {
	d := dbtest.Open(t)
	f := newFixture(t, d, Config{})
	f.provider.set(func(ctx context.Context, _ Message) (string, error) {
		_, err := d.Exec(ctx, `UPDATE sms_ledger SET state = 'unknown'`)
		return "", err
	})
	if c, _ := f.send(t, login(t, "+8613800138015", "a")); c.Status != StatusSent {
		t.Errorf("%+v", c)
	}
	if s := states(t, d); s["unknown"] != 1 || len(s) != 1 || !strings.Contains(f.logs.String(), "settle a message") {
		t.Errorf("ledger %v, log %s", s, f.logs)
	}
}

func TestProviderReferenceIsKeptAsFarAsARowCan(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		f.provider.set(func(context.Context, Message) (string, error) { return "a\x00\xffb" + strings.Repeat("短", 100), nil })
		f.send(t, login(t, "+8613800138015", "a"))
		var ref string
		if err := d.QueryRow(t.Context(), `SELECT provider_ref FROM sms_ledger WHERE state = 'accepted'`).Scan(&ref); err != nil || !strings.HasPrefix(ref, "ab短短") || len(ref) > 128 {
			t.Errorf("%q, %v", ref, err)
		}
	})
}

func TestDefiniteFailureFailsOverWithTheSameCode(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		one := &recorder{name: "one", answer: fails(Failover, "dial")}
		two := &recorder{name: "two"}
		three := &recorder{name: "three"}
		f := newFixture(t, d, Config{Routes: map[string]Route{"CN": {Providers: []Provider{one, two, three}}, "*": {Providers: []Provider{three}}}})
		r := login(t, "+8613800138010", "a")
		c, err := f.Send(t.Context(), r)
		if err != nil || c.Status != StatusSent {
			t.Fatalf("%+v, %v", c, err)
		}
		if one.code(t) != two.code(t) || one.sent()[0].ID != two.sent()[0].ID || len(three.sent()) != 0 {
			t.Error("the second provider got another message, or a third was asked")
		}
		var provider, reason, state string
		if err := d.QueryRow(t.Context(), `SELECT provider, reason, state FROM sms_ledger`).Scan(&provider, &reason, &state); err != nil ||
			provider != "two" || reason != "F dial" || state != "accepted" {
			t.Errorf("ledger: %s, %s, %s, %v", provider, reason, state, err)
		}
		two.set(fails(Misconfigured, "isv.SIGN"))
		three.set(fails(Misconfigured, "isv.SIGN"))
		age(t, d, (61 * time.Second).Microseconds())
		wantFault(t, second(f.Send(t.Context(), r)), ErrProviderUnavailable)
		if len(one.sent()) != 2 || len(two.sent()) != 1 || len(three.sent()) != 1 {
			t.Error("a third provider was asked")
		}
	})
}

func TestNumberRefusalsDoNotFailOver(t *testing.T) {
	for _, class := range []Class{BadNumber, NumberLimited, Blocked} {
		next := &recorder{name: "next"}
		f := newFixture(t, dbtest.Open(t), Config{Routes: map[string]Route{"*": {Providers: []Provider{&recorder{name: "fake", answer: fails(class, "x")}, next}}}})
		f.Send(t.Context(), login(t, "+8613800138011", "a"))
		if len(next.sent()) != 0 {
			t.Errorf("class %s reached the next provider", class)
		}
	}
}

func TestProvidersOwnLimitIsWordedLikeOurs(t *testing.T) {
	f := newFixture(t, dbtest.Open(t), Config{})
	for after, want := range map[time.Duration]struct {
		fault *fault.Error
		after time.Duration
	}{
		0: {ErrHourlyLimit, time.Hour}, 30 * time.Second: {ErrTooSoon, 30 * time.Second},
		10 * time.Minute: {ErrHourlyLimit, 10 * time.Minute}, 5 * time.Hour: {ErrDailyLimit, 5 * time.Hour},
	} {
		f.provider.set(func(context.Context, Message) (string, error) {
			return "", &SendError{Class: NumberLimited, Provider: "fake", Code: "x", RetryAfter: after}
		})
		if got := wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138016", "a"))), want.fault); got.RetryAfter != want.after {
			t.Errorf("%v: Retry-After %v", after, got.RetryAfter)
		}
	}
}

func TestStrangeProvidersAreAmbiguous(t *testing.T) {
	for name, answer := range map[string]func(context.Context, Message) (string, error){
		"panic":       func(_ context.Context, m Message) (string, error) { panic("sending " + m.Code + " to " + m.To.E164()) },
		"other error": func(_ context.Context, m Message) (string, error) { return "", errors.New(m.Code + m.To.E164()) },
		"typed nil":   func(context.Context, Message) (string, error) { var e *SendError; return "", e },
	} {
		d := dbtest.Open(t)
		f := newFixture(t, d, Config{})
		f.provider.set(answer)
		c, err := f.Send(t.Context(), login(t, "+8613800138012", "a"))
		if err != nil || c.Status != StatusUnknown || states(t, d)["unknown"] != 1 {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}
