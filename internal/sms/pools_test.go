package sms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// as is a request of a flow of a recognised device or of a stranger.
func as(t testing.TB, known bool, e164, flowName string) Request {
	t.Helper()
	r := login(t, e164, flowName)
	r.KnownDevice = known
	return r
}

// guess has n challenges of r's device ended by wrong codes.
func (f *fixture) guess(t testing.TB, r Request, n int) {
	t.Helper()
	for range n {
		_, ref := f.send(t, r)
		code := f.provider.code(t)
		for range f.config.MaxTries {
			if _, err := f.Check(t.Context(), ref, wrong(code)); err == nil {
				t.Fatal("a wrong code was right")
			}
		}
	}
}

// signIn asks for a code, types it and uses it.
func (f *fixture) signIn(t testing.TB, r Request) {
	t.Helper()
	_, ref := f.send(t, r)
	p, err := f.Check(t.Context(), ref, f.provider.code(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Consume(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// P-04, P-07: wrong codes of strangers refuse a recognised device neither a
// message nor a try, whichever window they filled, and the reverse.
func TestWrongCodesOfOthersRefuseNothing(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"strangers guess": false, "a known device guesses": true} {
		for window, config := range map[string]Config{
			"hour": {}, "day": {FailuresPerHour: 1000, FailuresPerDay: 10},
		} {
			t.Run(name+", "+window, func(t *testing.T) {
				dbtest.Each(t, func(t *testing.T, d *db.DB) {
					config.Cooldown, config.PerHour, config.PerDay = time.Nanosecond, 40, 40
					f := newFixture(t, d, config)
					guesser, other := as(t, known, "+8613800138021", "g"), as(t, !known, "+8613800138021", "o")
					_, before := f.send(t, other)
					code := f.provider.code(t)
					_, left := f.send(t, as(t, known, "+8613800138021", "left"))
					f.guess(t, guesser, 2)
					wantFault(t, second(f.Send(t.Context(), guesser)), ErrTriesLimited)
					wantFault(t, second(f.Check(t.Context(), left, "000000")), ErrTriesLimited)

					wantFault(t, second(f.Check(t.Context(), before, wrong(code))), ErrCodeIncorrect)
					if _, err := f.Check(t.Context(), before, code); err != nil {
						t.Errorf("the other's code: %v", err)
					}
					f.signIn(t, other)
					// That gave nothing back of what was guessed.
					wantFault(t, second(f.Send(t.Context(), guesser)), ErrTriesLimited)
					if got := f.failures(t, d); len(got.of(known).newestFirst()) != 10 || len(got.of(!known).newestFirst()) != 2 {
						t.Errorf("%+v", got)
					}
				})
			})
		}
	}
}

// Promise 4: a hundred wrong codes of one pool stop that pool alone, and a
// right code of the other, which proves the number, lets it go on.
func TestStopOfOnePoolLeavesTheOther(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"strangers guess": false, "a known device guesses": true} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *db.DB) {
				f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40, FailuresPerHour: 1000, FailuresPerDay: 1000, MaxTries: 10})
				guesser, other := as(t, known, "+8613800138022", "g"), as(t, !known, "+8613800138022", "o")
				_, left := f.send(t, as(t, known, "+8613800138022", "left"))
				f.guess(t, guesser, 10)
				wantFault(t, second(f.Send(t.Context(), guesser)), ErrSignInStopped)
				wantFault(t, second(f.Check(t.Context(), left, "000000")), ErrSignInStopped)
				if got := records(t, d, "sms.sign_in_stopped"); len(got) != 1 || !strings.Contains(got[0], `"known_device":"`+fmt.Sprint(known)+`"`) || !strings.Contains(got[0], `"challenge":"`) {
					t.Errorf("%v", got)
				}
				f.signIn(t, other)
				f.signIn(t, guesser)
			})
		})
	}
}

// I5: each pool compares its ten an hour, exactly, and no more.
func TestParallelGuessesCompareTenOfEachPool(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40})
		refs, codes := make([]Ref, 8), make([]string, 8)
		for i := range refs {
			_, refs[i] = f.send(t, as(t, i%2 == 0, "+8613800138023", fmt.Sprint(i)))
			codes[i] = f.provider.code(t)
		}
		together(120, func(i int) {
			if _, err := f.Check(t.Context(), refs[i%8], wrong(codes[i%8])); err == nil {
				t.Error("a wrong code was right")
			}
		})
		if n := f.compared.Load(); n != 20 {
			t.Errorf("%d compared", n)
		}
		for _, known := range []bool{true, false} {
			if got := f.failures(t, d).of(known); got.consecutive != 10 || len(got.newestFirst()) != 10 {
				t.Errorf("known %v: %+v", known, got)
			}
		}
	})
}

// A code belongs to the pool that asked for it: a flow whose device is
// recognised meanwhile begins anew.
func TestCodeIsRepeatedWithinItsPoolAlone(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40})
		stranger, _ := f.send(t, as(t, false, "+8613800138024", "a"))
		known, ref := f.send(t, as(t, true, "+8613800138024", "a"))
		if known.ID == stranger.ID {
			t.Error("a stranger's challenge became a known device's")
		}
		for range 3 {
			f.Check(t.Context(), ref, wrong(f.provider.code(t)))
		}
		if again, _ := f.send(t, as(t, true, "+8613800138024", "a")); again.ID != known.ID || again.TriesLeft != 2 {
			t.Errorf("%+v", again)
		}
		if got := f.failures(t, d); got.of(false).failures != "" || len(got.of(true).newestFirst()) != 3 {
			t.Errorf("%+v", got)
		}
	})
}

// An operator unblocks a number beside the server, both pools of it.
func TestUnblockClearsBothPools(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40, FailuresTotal: 10})
		n := number(t, "+8613800138025")
		unblock := func() error { return Unblock(t.Context(), d, f.vault, audit.New(d), n) }
		if err := unblock(); !errors.Is(err, db.ErrNotFound) || strings.Contains(err.Error(), "8025") && strings.Contains(err.Error(), "1380013") {
			t.Errorf("a number that was never written to: %v", err)
		}
		if got := records(t, d, "sms.number_unblocked"); len(got) != 0 {
			t.Errorf("%v", got)
		}
		for _, known := range []bool{true, false} {
			f.guess(t, as(t, known, n.E164(), "g"), 2)
			wantFault(t, second(f.Send(t.Context(), as(t, known, n.E164(), "g"))), ErrSignInStopped)
		}
		for range 2 { // the second time is no error
			if err := unblock(); err != nil {
				t.Fatal(err)
			}
		}
		for _, known := range []bool{true, false} {
			if got := f.failures(t, d).of(known); got != (tries{}) {
				t.Errorf("known %v: %+v", known, got)
			}
			f.signIn(t, as(t, known, n.E164(), "g"))
		}
		if got := records(t, d, "sms.number_unblocked"); len(got) != 2 || !strings.HasPrefix(got[0], "operator ") {
			t.Errorf("%v", got)
		}
	})
}

// N-40: every refused code is on record, with its client and where it came from,
// without number or code; a request that hangs up does not escape.
func TestWrongCodeIsOnRecord(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		r := login(t, "+8613800138026", "a")
		r.Purpose = StepUp
		_, ref := f.send(t, r)
		ref.Address = r.Address
		code := f.provider.code(t)
		for range 8 {
			f.Check(t.Context(), ref, wrong(code))
		}
		f.Check(t.Context(), ref, "12345")
		f.Check(t.Context(), ref, code)
		got := records(t, d, "login.code_refused")
		want := `system web 192.0.2.1 {"challenge":"` + ref.ID + `","purpose":"step_up"}`
		if len(got) != 5 || got[0] != want || got[4] != want {
			t.Errorf("%d records: %v, want %s", len(got), got, want)
		}

		right := login(t, "+8613800138027", "b")
		f.signIn(t, right)
		_, ref = f.send(t, login(t, "+8613800138028", "c"))
		f.Check(t.Context(), ref, wrong(f.provider.code(t)))
		got = records(t, d, "login.code_refused")
		if len(got) != 6 || !strings.HasPrefix(got[5], "system web  {") { // no address is no address
			t.Errorf("%v", got)
		}

		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		f.recordRefused(gone, ref, try{})
		if got = records(t, d, "login.code_refused"); len(got) != 7 {
			t.Errorf("%d records after a request that hung up", len(got))
		}
	})
}

// records are the audit lines of one name, oldest first.
func records(t testing.TB, d *db.DB, name string) []string {
	t.Helper()
	rows, err := d.Query(context.Background(), `SELECT actor, client_id, ip, detail FROM audit WHERE event = $1 ORDER BY at, id`, name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var actor, client, ip, detail string
		if err := rows.Scan(&actor, &client, &ip, &detail); err != nil {
			t.Fatal(err)
		}
		list = append(list, actor+" "+client+" "+ip+" "+detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}
