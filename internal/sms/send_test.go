package sms

import (
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
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
		wantFault(t, second(f.Resend(t.Context(), ref, Again{Locale: "en", Address: r.Address})), ErrTooSoon)
		age(t, d, (61 * time.Second).Microseconds())
		again, err := f.Resend(t.Context(), ref, Again{Locale: "en", Address: r.Address})
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
		wantFault(t, second(f.Resend(t.Context(), ref, Again{Address: r.Address})), ErrCodeExpired)
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
			again, err := f.Resend(t.Context(), ref, Again{Address: r.Address})
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
		fresh, err := f.Resend(t.Context(), ref, Again{Address: r.Address}) // half a minute is not worth repeating
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
		next, err := f.Resend(t.Context(), ref, Again{Address: r.Address})
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
		last, err := f.Resend(t.Context(), ref, Again{Address: r.Address})
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

func TestSendNeedsARouteAndAnAllowedRegion(t *testing.T) {
	d := dbtest.Open(t)
	f := newFixture(t, d, Config{Routes: map[string]Route{"US": {Providers: []Provider{&recorder{name: "x"}}}}})
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
		again, err := f.Resend(t.Context(), ref, Again{})
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

// second drops a result whose error is what the test is about.
func second[T any](_ T, err error) error { return err }
