package sms

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

func TestSendReachesProviderOnceAndIsInTheLedger(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		r := login(t, "+8613800138001", "a")
		start := time.Now()
		c, ref := f.send(t, r)
		if c.Status != StatusSent || c.Number != r.Number || c.TriesLeft != 5 || c.ID == "" {
			t.Errorf("challenge %+v", c)
		}
		for name, got := range map[string]time.Duration{"expiry less 5 min": c.ExpiresAt.Sub(start) - 5*time.Minute, "re-send less 60 s": c.ResendAt.Sub(start) - time.Minute} {
			if got < -time.Second || got > 5*time.Second {
				t.Errorf("%s: %v", name, got)
			}
		}
		sent := f.provider.sent()
		if len(sent) != 1 {
			t.Fatalf("%d messages", len(sent))
		}
		m := sent[0]
		if m.To != r.Number || m.Purpose != Login || m.Locale != "zh-CN" || m.TTL != 5*time.Minute || len(m.Code) != 6 || m.ID == "" {
			t.Error("the message is not what was asked for")
		}
		var row struct {
			challenge, purpose, client, region, state, provider, ref string
			lookup                                                   []byte
			known                                                    bool
		}
		err := d.QueryRow(t.Context(), `SELECT challenge_id, lookup, purpose, client_id, region, known_device, state, provider, provider_ref
			FROM sms_ledger WHERE id = $1`, m.ID).Scan(&row.challenge, &row.lookup, &row.purpose, &row.client, &row.region, &row.known, &row.state, &row.provider, &row.ref)
		if err != nil {
			t.Fatal(err)
		}
		if row.challenge != c.ID || row.purpose != "login" || row.client != "web" || row.region != "CN" || !row.known ||
			row.state != "accepted" || row.provider != "fake" || row.ref != "ref-"+m.ID || string(row.lookup) != string(r.Number.Index(f.vault)) {
			t.Errorf("ledger row %+v", row)
		}
		got, err := f.Get(t.Context(), ref)
		if err != nil || got.Number != r.Number || got.Status != StatusSent || got.TriesLeft != 5 ||
			!got.ExpiresAt.Equal(db.Time(db.Micros(c.ExpiresAt))) || !got.ResendAt.Equal(db.Time(db.Micros(c.ResendAt))) {
			t.Errorf("Get: %+v, %v; Send: %+v", got, err, c)
		}
		if len(f.seen.sends) != 1 || f.seen.sends[0].Result != "accepted" || f.seen.sends[0].Provider != "fake" || f.seen.sends[0].Region != "CN" {
			t.Errorf("observed %+v", f.seen.sends)
		}
	})
}

// T-10, N-31, C-08: the same code, the tries stay used.
func TestResendRepeatsTheCodeAndResetsNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		r := login(t, "+8613800138002", "a")
		c, ref := f.send(t, r)
		code := f.provider.code(t)
		for range 3 {
			_, err := f.Check(t.Context(), ref, wrong(code))
			if err == nil {
				t.Fatal("a wrong code was right")
			}
		}
		wantFault(t, second(f.Resend(t.Context(), ref, "en", r.Address)), ErrTooSoon)
		age(t, d, (61 * time.Second).Microseconds())
		again, err := f.Resend(t.Context(), ref, "en", r.Address)
		if err != nil {
			t.Fatal(err)
		}
		if again.ID != c.ID || again.TriesLeft != 2 || f.provider.code(t) != code {
			t.Errorf("re-sent: same challenge %v, %d tries left, same code %v", again.ID == c.ID, again.TriesLeft, f.provider.code(t) == code)
		}
		last := f.provider.sent()[1]
		if last.Locale != "en" || last.TTL != 5*time.Minute {
			t.Errorf("locale %q, life %v", last.Locale, last.TTL)
		}
		age(t, d, (61 * time.Second).Microseconds())
		if third, _ := f.send(t, r); third.ID != c.ID || f.provider.code(t) != code { // Send in the same flow does the same
			t.Error("Send of the same flow began anew")
		}
		wantFault(t, second(f.Check(t.Context(), ref, wrong(code))), ErrCodeIncorrectLast)
		p, err := f.Check(t.Context(), ref, code)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Consume(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantFault(t, second(f.Check(t.Context(), ref, code)), ErrCodeExpired) // dead after success
		wantFault(t, second(f.Resend(t.Context(), ref, "", r.Address)), ErrCodeExpired)
	})
}

func TestResendNeverKeepsACodeLongerThanTenMinutes(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{PerHour: 40, PerDay: 40})
		r := login(t, "+8613800138003", "a")
		c, ref := f.send(t, r)
		code := f.provider.code(t)
		created := c.ExpiresAt.Add(-5 * time.Minute)
		for elapsed := 4 * time.Minute; elapsed <= 8*time.Minute; elapsed += 4 * time.Minute {
			age(t, d, (4 * time.Minute).Microseconds())
			again, err := f.Resend(t.Context(), ref, "", r.Address)
			if err != nil || again.ID != c.ID || f.provider.code(t) != code {
				t.Fatalf("after %v: %+v, %v", elapsed, again, err)
			}
			if life := again.ExpiresAt.Sub(created.Add(-elapsed)); life > 10*time.Minute+time.Second {
				t.Errorf("after %v it lives %v in all", elapsed, life)
			}
		}
		if m := f.provider.sent()[2]; m.TTL > 2*time.Minute || m.TTL < 110*time.Second {
			t.Errorf("the third message says %v", m.TTL)
		}
		age(t, d, 90*time.Second.Microseconds())
		fresh, err := f.Resend(t.Context(), ref, "", r.Address) // half a minute is not worth repeating
		if err != nil || fresh.ID == c.ID || f.provider.code(t) == code && f.provider.sent()[3].Code == code {
			t.Errorf("a dying code was repeated: %v", err)
		}
		if _, err := f.Check(t.Context(), refOf(fresh, r), f.provider.code(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestResendOfAnExpiredOrExhaustedChallengeIsANewOne(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		r := login(t, "+8613800138004", "a")
		c, ref := f.send(t, r)
		age(t, d, (6 * time.Minute).Microseconds())
		if got, err := f.Get(t.Context(), ref); err != nil || got.ExpiresAt.After(time.Now()) || got.Number != r.Number {
			t.Fatalf("Get of an expired one: %+v, %v", got, err)
		}
		wantFault(t, second(f.Check(t.Context(), ref, f.provider.code(t))), ErrCodeExpired)
		next, err := f.Resend(t.Context(), ref, "", r.Address)
		if err != nil || next.ID == c.ID {
			t.Fatalf("%+v, %v", next, err)
		}
		code := f.provider.code(t)
		ref = refOf(next, r)
		for range 5 {
			_, err = f.Check(t.Context(), ref, wrong(code))
		}
		wantFault(t, err, ErrAttemptsExceeded)
		wantFault(t, second(f.Check(t.Context(), ref, code)), ErrAttemptsExceeded)
		if got, err := f.Get(t.Context(), ref); err != nil || got.TriesLeft != 0 {
			t.Errorf("Get of an exhausted one: %+v, %v", got, err)
		}
		age(t, d, (61 * time.Second).Microseconds())
		last, err := f.Resend(t.Context(), ref, "", r.Address)
		if err != nil || last.ID == next.ID || last.TriesLeft != 5 {
			t.Fatalf("%+v, %v", last, err)
		}
		p, err := f.Check(t.Context(), refOf(last, r), f.provider.code(t))
		if err != nil || p.Note != r.Note || p.Number != r.Number {
			t.Errorf("%v, %v", p, err)
		}
	})
}

// C-09, S-05: a stranger's flow neither shares nor voids another's code.
func TestChallengesOfTwoFlowsAreSeparate(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		mine, stranger := login(t, "+8613800138005", "mine"), login(t, "+8613800138005", "stranger")
		_, ref := f.send(t, mine)
		code := f.provider.code(t)
		age(t, d, (61 * time.Second).Microseconds())
		other, otherRef := f.send(t, stranger)
		if other.ID == ref.ID {
			t.Fatal("two flows share a challenge")
		}
		for range 5 {
			f.Check(t.Context(), otherRef, wrong(f.provider.code(t)))
		}
		if _, err := f.Check(t.Context(), ref, code); err != nil {
			t.Errorf("the first flow's code: %v", err)
		}
	})
}

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
				wantFault(t, second(f.Resend(t.Context(), ref, "", r.Address)), test.want)
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
			if again, err := f.Resend(t.Context(), ref, "", r.Address); err != nil || again.ID != c.ID || f.provider.code(t) != code {
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
			wantFault(t, second(f.Send(t.Context(), r)), ErrProviderUnavailable)
		}
		f.provider.set(nil)
		f.send(t, r)
		wantFault(t, second(f.Send(t.Context(), r)), ErrTooSoon)
	})
}

// F-02: what may have been sent counts, is not repeated, and its code is good.
func TestUnknownOutcomeCountsAndItsCodeIsGood(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		next := &recorder{name: "next"}
		first := &recorder{name: "fake", answer: fails(Ambiguous, "http_500")}
		f := newFixture(t, d, Config{Routes: map[string][]Provider{"CN": {first, next}}})
		r := login(t, "+8613800138008", "a")
		c, err := f.Send(t.Context(), r)
		if err != nil || c.Status != StatusUnknown {
			t.Fatalf("%+v, %v", c, err)
		}
		if len(first.sent()) != 1 || len(next.sent()) != 0 {
			t.Errorf("%d and %d calls", len(first.sent()), len(next.sent()))
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

func TestDefiniteFailureFailsOverWithTheSameCode(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		one := &recorder{name: "one", answer: fails(Failover, "dial")}
		two := &recorder{name: "two"}
		three := &recorder{name: "three"}
		f := newFixture(t, d, Config{Routes: map[string][]Provider{"CN": {one, two, three}, "*": {three}}})
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
		age(t, d, (61 * time.Second).Microseconds())
		wantFault(t, second(f.Send(t.Context(), r)), ErrProviderUnavailable)
		if len(three.sent()) != 0 {
			t.Error("a third provider was asked")
		}
	})
}

func TestNumberRefusalsDoNotFailOver(t *testing.T) {
	for _, class := range []Class{BadNumber, NumberLimited, Blocked, Ambiguous, "?"} {
		next := &recorder{name: "next"}
		f := newFixture(t, dbtest.Open(t), Config{Routes: map[string][]Provider{"*": {&recorder{name: "fake", answer: fails(class, "x")}, next}}})
		f.Send(t.Context(), login(t, "+8613800138011", "a"))
		if len(next.sent()) != 0 {
			t.Errorf("class %s reached the next provider", class)
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

func TestSendNeedsARouteAndAnAllowedRegion(t *testing.T) {
	d := dbtest.Open(t)
	f := newFixture(t, d, Config{Routes: map[string][]Provider{"US": {&recorder{name: "x"}}}})
	wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138013", "a"))), ErrProviderUnavailable)
	wantFault(t, second(f.Send(t.Context(), login(t, "+12025550101", "a"))), ErrRegionUnsupported)
	for name, r := range map[string]Request{
		"number": {Purpose: Login, Flow: flow("a")}, "flow": {Number: number(t, "+8613800138013"), Purpose: Login},
		"purpose": {Number: number(t, "+8613800138013"), Purpose: "x", Flow: flow("a")},
	} {
		if _, err := f.Send(t.Context(), r); err == nil {
			t.Errorf("a request without %s was taken", name)
		}
	}
	if len(states(t, d)) != 0 {
		t.Error("the ledger has rows")
	}
}

// Test numbers: no ledger, no limits, no provider; the tries of a challenge hold.
func TestTestNumbersReachNoProviderAndNoLimit(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{TestNumbers: map[string]string{"+12025550101": "246810"}, PerAddressNumbers: 1, PerServiceDay: 1})
		r := login(t, "+12025550101", "a")
		var ref Ref
		for i := range 20 {
			var c Challenge
			c, ref = f.send(t, r)
			if c.Status != StatusSent || c.TriesLeft != 5 {
				t.Fatalf("%d: %+v", i, c)
			}
		}
		if len(f.provider.sent()) != 0 || len(states(t, d)) != 0 {
			t.Error("something was sent or reserved")
		}
		var numbers int
		if err := d.QueryRow(t.Context(), `SELECT count(*) FROM sms_numbers`).Scan(&numbers); err != nil || numbers != 0 {
			t.Errorf("%d numbers, %v", numbers, err)
		}
		if got, err := f.Get(t.Context(), ref); err != nil || got.Status != StatusSent || got.Number != r.Number {
			t.Errorf("Get: %+v, %v", got, err)
		}
		for range 2 {
			wantFault(t, second(f.Check(t.Context(), ref, "000000")), ErrCodeIncorrect)
		}
		again, err := f.Resend(t.Context(), ref, "", netip.Addr{})
		if err != nil || again.ID != ref.ID || again.TriesLeft != 3 {
			t.Fatalf("re-sent: %+v, %v", again, err)
		}
		for _, want := range []*fault.Error{ErrCodeIncorrectLast, ErrCodeIncorrectLast, ErrAttemptsExceeded, ErrAttemptsExceeded} {
			wantFault(t, second(f.Check(t.Context(), ref, "000000")), want)
		}
		wantFault(t, second(f.Check(t.Context(), ref, "246810")), ErrAttemptsExceeded)
		for i := range 30 { // far beyond a number's failures per hour
			_, ref = f.send(t, r)
			wantFault(t, second(f.Check(t.Context(), ref, "000000")), ErrCodeIncorrect)
			p, err := f.Check(t.Context(), ref, "246810")
			if err != nil || p.Note != r.Note {
				t.Fatalf("%d: %v", i, err)
			}
			if err := p.Consume(t.Context()); err != nil {
				t.Fatalf("%d: %v", i, err)
			}
			wantFault(t, p.Consume(t.Context()), ErrCodeExpired)
		}
	})
}

func TestCoarseLimits(t *testing.T) {
	v4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}) }
	v6 := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)) } // one /64
	same := func(int) netip.Addr { return netip.MustParseAddr("::ffff:192.0.2.7") }
	for name, test := range map[string]struct {
		config  Config
		address func(int) netip.Addr
		resend  bool
		want    int
	}{
		"numbers of an address":   {Config{PerAddressNumbers: 2}, same, false, 10},
		"messages of an address":  {Config{PerAddressHour: 2}, same, false, 10},
		"messages a day":          {Config{PerAddressDay: 2}, same, false, 10},
		"one /64 is one address":  {Config{PerAddressHour: 2}, v6, false, 10},
		"other addresses go on":   {Config{PerAddressHour: 2}, v4, false, 25},
		"no address at all":       {Config{PerAddressHour: 2}, func(int) netip.Addr { return netip.Addr{} }, false, 10},
		"client per hour":         {Config{PerClientHour: 10}, v4, false, 10},
		"client per day":          {Config{PerClientDay: 10}, v4, false, 10},
		"service per day":         {Config{PerServiceDay: 10}, v4, false, 10},
		"re-sends name no number": {Config{PerAddressNumbers: 2}, same, true, 25},
	} {
		t.Run(name, func(t *testing.T) {
			d := dbtest.Open(t)
			test.config.PerHour, test.config.PerDay, test.config.Cooldown = 40, 40, time.Nanosecond
			f := newFixture(t, d, test.config)
			allowed := 0
			var ref Ref
			for i := range 25 {
				r := login(t, fmt.Sprintf("+86138001380%02d", i), "a")
				r.Address = test.address(i)
				var err error
				if test.resend && i > 0 {
					_, err = f.Resend(t.Context(), ref, "", r.Address)
				} else {
					var c Challenge
					c, err = f.Send(t.Context(), r)
					ref = refOf(c, r)
				}
				if err == nil {
					allowed++
				} else if fl := wantFault(t, err, ErrRateLimited); fl.RetryAfter <= 0 {
					t.Errorf("no Retry-After: %v", fl)
				}
			}
			if allowed != test.want || len(f.provider.sent()) != test.want {
				t.Errorf("%d allowed, %d sent, want %d", allowed, len(f.provider.sent()), test.want)
			}
		})
	}
}

// What the ledger refuses costs the address nothing.
func TestRefusedReservationGivesCoarseLimitsBack(t *testing.T) {
	f := newFixture(t, dbtest.Open(t), Config{PerAddressHour: 1, PerAddressNumbers: 1})
	f.send(t, login(t, "+8613800138014", "a"))
	for range 20 {
		wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138014", "a"))), ErrTooSoon)
	}
	for i := range 4 {
		f.send(t, login(t, fmt.Sprintf("+861380013802%d", i), "a"))
	}
	wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138029", "a"))), ErrRateLimited)
}

// C-12, F-06: with nothing to count in, nobody is served.
func TestSendWithoutLimitsStoreIsRefused(t *testing.T) {
	d := dbtest.Open(t)
	f := newFixtureOn(t, d, awayStore{}, Config{})
	got := wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138015", "a"))), fault.Unavailable)
	if got.RetryAfter <= 0 {
		t.Error("no Retry-After")
	}
	if len(f.provider.sent()) != 0 || len(states(t, d)) != 0 {
		t.Error("something was sent or reserved")
	}
}

// awayStore cannot be reached.
type awayStore struct{ ephemeral.Store }

func (awayStore) Spend(context.Context, []ephemeral.Limit) (ephemeral.Decision, error) {
	return ephemeral.Decision{}, ephemeral.ErrUnavailable
}

// second drops a result whose error is what the test is about.
func second[T any](_ T, err error) error { return err }
