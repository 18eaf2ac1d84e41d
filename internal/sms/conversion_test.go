package sms

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// traffic is a fixture in a bubble that Watch looks at.
type traffic struct {
	*fixture
	t    *testing.T
	next int
	end  func()
}

func newTraffic(t *testing.T, c Config) *traffic {
	f := newFixture(t, dbtest.Open(t), c)
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		f.Watch(ctx)
		close(watched)
	}()
	return &traffic{fixture: f, t: t, end: func() {
		cancel()
		<-watched
		f.closeIt()
	}}
}

// ask sends one code to the next number of a prefix and perhaps uses it.
func (tr *traffic) ask(prefix string, uses bool, change func(*Request)) error {
	tr.t.Helper()
	tr.next++
	r := stranger(tr.t, tr.next)
	r.Number = number(tr.t, fmt.Sprintf("+86%s%04d", prefix, tr.next))
	if change != nil {
		change(&r)
	}
	c, err := tr.Send(tr.t.Context(), r)
	if err == nil && uses {
		tr.use(refOf(c, r))
	}
	return err
}

func (tr *traffic) use(ref Ref) {
	tr.t.Helper()
	p, err := tr.Check(tr.t.Context(), ref, tr.provider.code(tr.t))
	if err == nil {
		err = tr.db.Tx(tr.t.Context(), p.Consume)
	}
	if err != nil {
		tr.t.Fatal(err)
	}
}

// many sends n codes of which the first used are used.
func (tr *traffic) many(n, used int, prefix func(i int) string, change func(*Request)) {
	tr.t.Helper()
	for i := range n {
		if err := tr.ask(prefix(i), i < used, change); err != nil {
			tr.t.Fatalf("message %d: %v", i, err)
		}
	}
}

func one(prefix string) func(int) string { return func(int) string { return prefix } }

// each is a prefix of its own for every number.
func each(i int) string { return fmt.Sprintf("138%04d", 1000+i) }

func human(r *Request) { r.Human = levelBreaker }
func known(r *Request) { r.KnownDevice = true }

// until is what Watch has seen when all that was sent is ripe.
func (tr *traffic) ripen() { time.Sleep(ripe + lookEvery + time.Second) }

// P-15, the whole course of it, for a prefix: checked, paused to the second,
// tried, and back, or paused again.
func TestPrefixIsCheckedPausedAndTried(t *testing.T) {
	for _, good := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			tr := newTraffic(t, Config{})
			defer tr.end()
			tr.many(20, 2, one("1380013"), nil)
			time.Sleep(ripe - time.Minute)
			if err := tr.ask("1380013", false, nil); err != nil {
				t.Fatalf("before the codes are ripe: %v", err)
			}
			time.Sleep(time.Minute + lookEvery + time.Second)
			checked := time.Now()
			if f := wantFault(t, tr.ask("1380013", false, nil), ErrHumanCheckRequired); f.Params["level"] != "3" {
				t.Errorf("level %s", f.Params["level"])
			}
			tr.seen.wantRefusal(t, "prefix", "conversion", true)
			for what, change := range map[string]func(*Request){"a person": human, "a known device": known} {
				if err := tr.ask("1380013", false, change); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := tr.ask("1390013", false, nil); err != nil {
				t.Errorf("another prefix: %v", err)
			}

			time.Sleep(patienceOfCheck)
			f := wantFault(t, tr.ask("1380013", false, human), ErrRateLimited)
			if paused := time.Since(checked) - patienceOfCheck; f.RetryAfter > 30*time.Minute || f.RetryAfter < 30*time.Minute-paused-lookEvery-time.Second {
				t.Errorf("Retry-After %v", f.RetryAfter)
			}
			if err := tr.ask("1380013", false, known); err != nil {
				t.Errorf("a known device meets the pause: %v", err)
			}
			if err := tr.ask("1390013", false, nil); err != nil {
				t.Errorf("another prefix meets the pause: %v", err)
			}
			time.Sleep(f.RetryAfter - time.Second)
			if w := wantFault(t, tr.ask("1380013", false, human), ErrRateLimited).RetryAfter; w != time.Second {
				t.Errorf("a second before the end: %v", w)
			}

			time.Sleep(time.Second)
			wantFault(t, tr.ask("1380013", false, nil), ErrHumanCheckRequired)
			tr.many(trialSends, map[bool]int{true: 8, false: 1}[good], one("1380013"), human)
			wantFault(t, tr.ask("1380013", false, human), ErrRateLimited)
			tr.ripen()
			if good {
				if err := tr.ask("1380013", false, nil); err != nil {
					t.Errorf("after good trials: %v", err)
				}
			} else if w := wantFault(t, tr.ask("1380013", false, human), ErrRateLimited).RetryAfter; w < 29*time.Minute {
				t.Errorf("after bad trials: %v", w)
			}
		})
	}
}

// The edges of the numbers: 15 % of 10 for a prefix and of 20 for a region or
// client, 30 % of 50 for all.
func TestConversionThresholds(t *testing.T) {
	for name, test := range map[string]struct {
		sent, used int
		prefix     func(int) string
		change     func(*Request)
		want       string // kind of the scope that is checked
	}{
		"one too few":             {9, 0, one("1380013"), nil, ""},
		"just bad":                {10, 1, one("1380013"), nil, ofPrefix},
		"just good enough":        {10, 2, one("1380013"), nil, ""},
		"region, one too few":     {19, 0, each, nil, ""},
		"region and client":       {20, 2, each, nil, ofClient},
		"region, just good":       {20, 3, each, nil, ""},
		"whole, one too few":      {49, 14, each, nil, ""},
		"whole, just bad":         {50, 14, each, nil, ofWhole},
		"whole, just good enough": {50, 15, each, nil, ""},
		"a contained prefix":      {60, 0, one("1380013"), nil, ofPrefix},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTraffic(t, Config{})
				defer tr.end()
				tr.many(test.sent, test.used, test.prefix, test.change)
				tr.ripen()
				worst := ""
				for _, row := range tr.Conversion() {
					if row.State != Normal && (worst == "" || row.Kind != ofRegion) {
						worst = row.Kind
					}
				}
				if worst != test.want {
					t.Errorf("checked: %q, want %q: %+v", worst, test.want, tr.Conversion())
				}
				changed := slices.ContainsFunc(tr.seen.scopes, func(c ScopeChanged) bool { return c.Kind == test.want && c.State == Checked })
				if (test.want != "") != changed {
					t.Errorf("the observer was told %+v", tr.seen.scopes)
				}
			})
		})
	}
}

// With nobody to ask for a human check, strangers are paused at once.
func TestConversionWithoutHumanCheckPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTraffic(t, Config{NoHumanCheck: true})
		defer tr.end()
		tr.many(20, 0, one("1380013"), nil)
		tr.ripen()
		w := wantFault(t, tr.ask("1380013", false, nil), ErrRateLimited).RetryAfter
		time.Sleep(w)
		tr.many(trialSends, trialSends, one("1380013"), nil)
		wantFault(t, tr.ask("1380013", false, nil), ErrRateLimited)
	})
}

// A verdict that the store does not remember: another server comes to it by the
// same rows, also one that has just started.
func TestVerdictsAreReadFromTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTraffic(t, Config{})
		defer tr.end()
		tr.many(30, 0, one("1380013"), nil)
		time.Sleep(memory - time.Minute)
		fresh := newFixtureOn(t, tr.db, tr.store, Config{})
		defer fresh.closeIt()
		if err := fresh.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := stranger(t, 900)
		r.Number = number(t, "+8613800139999")
		wantFault(t, second(fresh.Send(t.Context(), r)), ErrHumanCheckRequired)
		time.Sleep(2 * time.Minute) // now they are out of both windows
		if err := fresh.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		fresh.send(t, r)
	})
}

// What counts: a challenge once, with its first message that was not rejected.
func TestWhatCountsAsSentAndUsed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		tr := &traffic{fixture: newFixture(t, d, Config{PerHour: 40, PerDay: 40, Cooldown: time.Nanosecond}), t: t}
		r := stranger(t, 1)
		_, ref := tr.send(t, r)
		for range 3 { // three messages, one challenge, used
			if _, err := tr.Resend(t.Context(), ref, Again{Address: r.Address}); err != nil {
				t.Fatal(err)
			}
		}
		tr.use(ref)
		tr.provider.set(fails(Failover, "dial"))
		for i := range 5 { // not sent
			tr.mend()
			_ = tr.ask(each(i), false, nil)
		}
		tr.mend()
		again := stranger(t, 2) // not sent, then sent in the same challenge, not used
		_, _ = tr.Send(t.Context(), again)
		tr.provider.set(nil)
		tr.mend()
		tr.send(t, again)
		age(t, d, (10*time.Minute + time.Second).Microseconds())
		_ = tr.ask(each(8), false, nil) // not ripe
		for range 3 {                   // folded once
			if err := tr.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		rows := tr.Conversion()
		want := []ConversionRate{
			{ofClient, "web", Normal, 2, 1, 2, 1}, {ofRegion, "CN", Normal, 2, 1, 2, 1}, {ofWhole, "", Normal, 2, 1, 2, 1},
		}
		if !slices.Equal(rows, want) {
			t.Errorf("%+v, want %+v", rows, want)
		}
	})
}

// Rows are read in batches, each once, however many have the same time.
func TestRipeRowsAreReadInBatches(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{})
		const n = 2*ripeBatch + 300
		at := db.Micros(time.Now().Add(-20 * time.Minute))
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			for i := range n {
				id, when := fmt.Sprintf("%06d", i), at+int64(i/500)
				_, err := d.Exec(ctx, `INSERT INTO sms_challenges (id, lookup, sealed, purpose, client_id, flow, known_device, code_mac,
					tries, max_tries, sends, created_at, sent_at, expires_at, consumed_at)
					VALUES ($1, $2, $2, 'login', 'web', $2, FALSE, $2, 0, 5, 1, $3, $3, $3, $3)`, id, []byte(id), when)
				if err == nil {
					_, err = d.Exec(ctx, `INSERT INTO sms_ledger (id, challenge_id, lookup, purpose, client_id, region, prefix, known_device,
						state, provider, provider_ref, reason, reserved_at) VALUES ($1, $1, $2, 'login', 'web', 'CN', $2, FALSE, 'accepted', 'fake', '', '', $3)`,
						id, []byte(id), when)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := f.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			if rows := f.Conversion(); len(rows) != 3 || rows[2].Sent60m != n || rows[2].Used60m != n {
				t.Fatalf("%+v, want %d", rows, n)
			}
		}
		if total := f.day.sum(time.Now(), messagesOf); total != n {
			t.Errorf("%d messages on the day's account", total)
		}
	})
}

// However many prefixes there are, what is remembered is bounded, and what is
// not told apart still counts for the wider scopes.
func TestConversionMemoryIsBounded(t *testing.T) {
	var c conversion
	c.policy.scopePercent, c.policy.wholePercent, c.policy.pause = 15, 30, time.Minute
	now := time.Now()
	const n = mostSources + 5000
	for i := range n {
		c.fold(source{fmt.Sprint("prefix ", i), "CN", "web"}, now.Add(-20*time.Minute), true, true)
	}
	if len(c.tallies) > mostSources+1 {
		t.Errorf("%d sources", len(c.tallies))
	}
	c.judge(now)
	if r := c.rates[scope{ofWhole, ""}]; r == nil || r.long.sent != n {
		t.Errorf("%+v of %d", r, n)
	}
	c.judge(now.Add(2 * time.Hour))
	if len(c.tallies)+len(c.standings) != 0 {
		t.Errorf("%d sources and %d standings stay", len(c.tallies), len(c.standings))
	}
}
