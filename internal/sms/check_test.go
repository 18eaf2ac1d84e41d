package sms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// S-01, T-01: nothing was sent, so nothing is right, whatever is typed.
func TestCheckWithoutAChallengeIsUniformlyRefused(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		r := login(t, "+8613800138030", "a")
		_, real := f.send(t, r)
		for _, ref := range []Ref{
			{}, {ID: uuid.NewString(), Purpose: Login, ClientID: "web", Flow: flow("a")},
			{ID: "", Purpose: Login, ClientID: "web", Flow: flow("a")},
			{ID: strings.Repeat("x", 36), Purpose: Login, ClientID: "web", Flow: flow("a")},
			{ID: "urn:uuid:" + real.ID, Purpose: Login, ClientID: "web", Flow: flow("a")},
			{ID: strings.ToUpper(real.ID), Purpose: Login, ClientID: "web", Flow: flow("a")},
			{ID: real.ID + "\x00", Purpose: Login, ClientID: "web", Flow: flow("a")},
			{ID: "' OR 1=1 --", Purpose: Login, ClientID: "web", Flow: flow("a")},
			{ID: real.ID, Purpose: Login, ClientID: "web"},
			{ID: real.ID, Purpose: "", ClientID: "web", Flow: flow("a")},
		} {
			for _, code := range []string{"", "000000", "null", "123456", f.provider.code(t), strings.Repeat("1", 1000), "\x00"} {
				wantFault(t, second(f.Check(t.Context(), ref, code)), ErrCodeExpired)
			}
			wantFault(t, second(f.Get(t.Context(), ref)), ErrCodeExpired)
			wantFault(t, second(f.Resend(t.Context(), ref, Again{Address: r.Address})), ErrCodeExpired)
		}
		if n := f.compared.Load(); n != 0 {
			t.Errorf("%d codes compared", n)
		}
		wantFault(t, Proof{}.Consume(t.Context()), ErrCodeExpired)
	})
}

// T-12, T-13, C-02: bound to purpose, client and flow; a mismatch is no challenge
// and costs the owner nothing.
func TestCodeIsBoundToPurposeClientAndFlow(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		_, ref := f.send(t, login(t, "+8613800138031", "a"))
		code := f.provider.code(t)
		for _, change := range []func(*Ref){
			func(r *Ref) { r.Purpose = StepUp }, func(r *Ref) { r.Purpose = ChangePhone }, func(r *Ref) { r.Purpose = Delete },
			func(r *Ref) { r.ClientID = "web2" }, func(r *Ref) { r.ClientID = "" }, func(r *Ref) { r.Flow = flow("b") }, func(r *Ref) { r.Flow = r.Flow[:31] },
		} {
			foreign := ref
			change(&foreign)
			wantFault(t, second(f.Check(t.Context(), foreign, code)), ErrCodeExpired)
			wantFault(t, second(f.Get(t.Context(), foreign)), ErrCodeExpired)
			wantFault(t, second(f.Resend(t.Context(), foreign, Again{Address: login(t, "+8613800138031", "a").Address})), ErrCodeExpired)
		}
		if got, err := f.Get(t.Context(), ref); err != nil || got.TriesLeft != 5 {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := f.Check(t.Context(), ref, code); err != nil {
			t.Error(err)
		}
	})
}

// A row that somebody rewrote proves nothing: the code's MAC covers what it is bound to.
func TestRewrittenRowProvesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		r := login(t, "+8613800138032", "a")
		_, ref := f.send(t, r)
		code := f.provider.code(t)
		if _, err := d.Exec(t.Context(), `UPDATE sms_challenges SET client_id = 'web2', purpose = 'delete'`); err != nil {
			t.Fatal(err)
		}
		wantFault(t, second(f.Check(t.Context(), Ref{ID: ref.ID, Purpose: Delete, ClientID: "web2", Flow: ref.Flow}, code)), ErrCodeIncorrect)
		other := login(t, "+8613800138033", "a")
		_, otherRef := f.send(t, other)
		if _, err := d.Exec(t.Context(), `UPDATE sms_challenges SET sealed = (SELECT sealed FROM sms_challenges WHERE id = $1) WHERE id = $2`, ref.ID, otherRef.ID); err != nil {
			t.Fatal(err)
		}
		if p, err := f.Check(t.Context(), otherRef, f.provider.code(t)); err == nil {
			t.Errorf("a moved secret proved %v", p.Number)
		}
	})
}

// C-21: a code is compared, not only its challenge found.
func TestWrongCodesCountDownAndEndTheChallenge(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		_, ref := f.send(t, login(t, "+8613800138034", "a"))
		code := f.provider.code(t)
		for i, want := range []struct {
			fault *fault.Error
			tries string
		}{{ErrCodeIncorrect, ""}, {ErrCodeIncorrect, ""}, {ErrCodeIncorrectLast, "2"}, {ErrCodeIncorrectLast, "1"}, {ErrAttemptsExceeded, ""}, {ErrAttemptsExceeded, ""}} {
			got := wantFault(t, second(f.Check(t.Context(), ref, wrong(code))), want.fault)
			if got.Params["tries"] != want.tries {
				t.Errorf("%d: tries %q, want %q", i, got.Params["tries"], want.tries)
			}
		}
		wantFault(t, second(f.Check(t.Context(), ref, code)), ErrAttemptsExceeded)
		if n := f.compared.Load(); n != 5 {
			t.Errorf("%d compared", n)
		}
	})
}

// T-02: at most one try each; what cannot be a guess costs none.
func TestMalformedCodesCostNoTry(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		_, ref := f.send(t, login(t, "+8613800138035", "a"))
		code := f.provider.code(t)
		for _, typed := range []string{"", "12345", "1234567", "+123456", "0x1E240", "1e5", code + "\n", code[:3] + "\u200b" + code[3:], "null", code + "\x00"} {
			wantFault(t, second(f.Check(t.Context(), ref, typed)), ErrCodeIncorrect)
		}
		if got, err := f.Get(t.Context(), ref); err != nil || got.TriesLeft != 5 {
			t.Errorf("%+v, %v", got, err)
		}
		if f.compared.Load() != 0 {
			t.Error("something was compared")
		}
		wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, code)
		if _, err := f.Check(t.Context(), ref, " "+wide[:9]+" "+wide[9:]); err != nil {
			t.Errorf("full-width digits and spaces: %v", err)
		}
	})
}

// S-03: single use.
func TestProofIsConsumedOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		r := login(t, "+8613800138036", "a")
		_, ref := f.send(t, r)
		code := f.provider.code(t)
		first, err := f.Check(t.Context(), ref, code)
		if err != nil {
			t.Fatal(err)
		}
		rolledBack := errors.New("the caller failed later")
		err = d.Tx(t.Context(), func(ctx context.Context) error {
			if err := first.Consume(ctx); err != nil {
				return err
			}
			return rolledBack
		})
		if !errors.Is(err, rolledBack) {
			t.Fatal(err)
		}
		again, err := f.Check(t.Context(), ref, code) // nothing happened, so the code is still good
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Tx(t.Context(), again.Consume); err != nil {
			t.Fatal(err)
		}
		for _, p := range []Proof{first, again} {
			wantFault(t, d.Tx(t.Context(), p.Consume), ErrCodeExpired)
		}
		wantFault(t, second(f.Check(t.Context(), ref, code)), ErrCodeExpired)
		if first.Note != r.Note || first.Number != r.Number {
			t.Errorf("%+v", first)
		}
	})
}

func TestProofExpiresWithItsChallenge(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		_, ref := f.send(t, login(t, "+8613800138037", "a"))
		p, err := f.Check(t.Context(), ref, f.provider.code(t))
		if err != nil {
			t.Fatal(err)
		}
		age(t, d, (5*time.Minute + time.Second).Microseconds())
		wantFault(t, p.Consume(t.Context()), ErrCodeExpired)
	})
}

// C-18: what Check charged stays charged although the request fails; a right code
// gives back its own try and the row of wrong ones, and no other failure.
func TestFailuresOfANumber(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40})
		_, ref := f.send(t, login(t, "+8613800138038", "a"))
		code := f.provider.code(t)
		for range 3 {
			f.Check(t.Context(), ref, wrong(code))
		}
		if got := f.failures(t, d).of(true); got.consecutive != 3 || len(got.newestFirst()) != 3 {
			t.Errorf("%+v", got)
		}
		p, err := f.Check(t.Context(), ref, code)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.failures(t, d).of(true); got.consecutive != 4 || len(got.newestFirst()) != 4 { // charged until the proof is used
			t.Errorf("%+v", got)
		}
		if err := p.Consume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.failures(t, d).of(true); got.consecutive != 0 || len(got.newestFirst()) != 3 {
			t.Errorf("%+v", got)
		}
	})
}

// P-04, C-01, C-06: ten an hour over challenges, purposes and clients; then
// neither compared nor charged, and no code is sent that could not be used.
func TestWrongCodesOfANumberAreLimitedOverItsChallenges(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40})
		var refs []Ref
		var codes []string
		for i, purpose := range []Purpose{Login, StepUp, Delete} {
			r := login(t, "+8613800138039", fmt.Sprint(i))
			r.Purpose, r.ClientID = purpose, fmt.Sprint("client-", i)
			_, ref := f.send(t, r)
			refs, codes = append(refs, ref), append(codes, f.provider.code(t))
		}
		for i := range 10 {
			f.Check(t.Context(), refs[i/5], wrong(codes[i/5]))
		}
		for range 20 {
			got := wantFault(t, second(f.Check(t.Context(), refs[2], codes[2])), ErrTriesLimited)
			if got.RetryAfter <= 59*time.Minute || got.RetryAfter > time.Hour {
				t.Fatalf("Retry-After %v", got.RetryAfter)
			}
		}
		if n := f.compared.Load(); n != 10 {
			t.Errorf("%d compared", n)
		}
		if got := f.failures(t, d).of(true); got.consecutive != 10 || len(got.newestFirst()) != 10 {
			t.Errorf("%+v", got)
		}
		if got, err := f.Get(t.Context(), refs[2]); err != nil || got.TriesLeft != 5 {
			t.Errorf("a refused try was charged: %+v, %v", got, err)
		}
		wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138039", "x"))), ErrTriesLimited)
		other := login(t, "+8613800138040", "x")
		_, ref := f.send(t, other)
		if _, err := f.Check(t.Context(), ref, f.provider.code(t)); err != nil {
			t.Errorf("another number: %v", err)
		}
	})
}

// N-32: a hundred in a row stop the number until an operator lets it go on; the
// stop is recorded without the number.
func TestHundredWrongCodesInARowStopTheNumber(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40, FailuresPerHour: 1000, FailuresPerDay: 1000, MaxTries: 10})
		r := login(t, "+8613800138041", "a")
		for i := range 10 {
			_, ref := f.send(t, r)
			code := f.provider.code(t)
			for range 10 {
				f.Check(t.Context(), ref, wrong(code))
			}
			if i == 8 {
				age(t, d, time.Hour.Microseconds())
			}
		}
		wantFault(t, second(f.Send(t.Context(), r)), ErrSignInStopped)
		if n := f.compared.Load(); n != 100 {
			t.Fatalf("%d compared", n)
		}
		// A challenge that was there before stops as well, right code or not.
		if _, err := d.Exec(t.Context(), `UPDATE sms_challenges SET tries = 0, expires_at = $1`, db.Micros(time.Now().Add(time.Minute))); err != nil {
			t.Fatal(err)
		}
		var id string
		if err := d.QueryRow(t.Context(), `SELECT id FROM sms_challenges ORDER BY created_at DESC LIMIT 1`).Scan(&id); err != nil {
			t.Fatal(err)
		}
		ref := Ref{ID: id, Purpose: r.Purpose, ClientID: r.ClientID, Flow: r.Flow}
		wantFault(t, second(f.Check(t.Context(), ref, f.provider.code(t))), ErrSignInStopped)
		for range 2 { // the second time is no error
			if err := Unblock(t.Context(), d, f.vault, audit.New(d), r.Number); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Check(t.Context(), ref, f.provider.code(t)); err != nil {
			t.Errorf("after Unblock: %v", err)
		}
		var stops, unblocks int
		var details string
		if err := d.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM audit WHERE event = 'sms.sign_in_stopped'),
			(SELECT count(*) FROM audit WHERE event = 'sms.number_unblocked'), (SELECT min(detail) FROM audit)`).Scan(&stops, &unblocks, &details); err != nil {
			t.Fatal(err)
		}
		if stops != 1 || unblocks != 2 || strings.Contains(details, "138") && strings.Contains(details, "8041") {
			t.Errorf("%d stops, %d unblocks, %s", stops, unblocks, details)
		}
	})
}

// A test number that is one no more has no fixed code either.
func TestFixedCodeEndsWithItsTestNumber(t *testing.T) {
	d := dbtest.Open(t)
	f := newFixture(t, d, Config{TestNumbers: map[string]string{"+8613800138043": "246810"}})
	r := login(t, "+8613800138043", "a")
	_, ref := f.send(t, r)
	real := newFixture(t, d, Config{})
	wantFault(t, second(real.Check(t.Context(), ref, "246810")), ErrCodeExpired)
	real.send(t, r)
	if real.provider.code(t) == "246810" && len(real.provider.sent()) == 1 {
		t.Error("the fixed code was sent to the number") // or one in a million
	}
	p, err := f.Check(t.Context(), ref, "246810") // a server that was not restarted yet
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Consume(t.Context()); err != nil {
		t.Error(err)
	}
}

// Codes sealed under the old master are checked after a rotation.
func TestCheckAfterMasterSecretRotation(t *testing.T) {
	d := dbtest.Open(t)
	f := newFixture(t, d, Config{})
	_, ref := f.send(t, login(t, "+8613800138042", "a"))
	rotated := rotate(t, d)
	f.Service.vault = rotated
	if _, err := f.Check(t.Context(), ref, f.provider.code(t)); err != nil {
		t.Error(err)
	}
}

// failures reads the one number of the database.
func (f *fixture) failures(t *testing.T, d *db.DB) record {
	t.Helper()
	var got record
	if err := d.QueryRow(t.Context(), `SELECT failures, consecutive, known_failures, known_consecutive FROM sms_numbers`).Scan(got.fields()...); err != nil {
		t.Fatal(err)
	}
	return got
}
