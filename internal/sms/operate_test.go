package sms

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
)

func TestPurgeDeletesWhatNothingNeeds(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40})
		for i := range 3 {
			f.send(t, login(t, fmt.Sprintf("+86138001380%02d", i), "a"))
		}
		for column, e164 := range map[string]string{"consecutive": "+8613800138000", "known_consecutive": "+8613800138001"} {
			if _, err := d.Exec(t.Context(), `UPDATE sms_numbers SET `+column+` = 100 WHERE lookup = $1`, number(t, e164).Index(f.vault)); err != nil {
				t.Fatal(err)
			}
		}
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			for i := range 2*purgeBatch + 200 {
				if _, err := d.Exec(ctx, `INSERT INTO sms_ledger (id, challenge_id, lookup, purpose, client_id, region, prefix, known_device,
					state, provider, provider_ref, reason, reserved_at) VALUES ($1, '', $2, '', '', '', $2, FALSE, 'accepted', '', '', '', 1)`, fmt.Sprint(i), []byte("x")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		for _, step := range []struct {
			after                       time.Duration
			purged                      int64
			challenges, ledger, numbers int
		}{
			{0, 1200, 3, 3, 3},
			{23 * time.Hour, 0, 3, 3, 3},
			{25 * time.Hour, 3, 0, 3, 3},
			{179 * day, 0, 0, 3, 3},
			{182 * day, 4, 0, 0, 2}, // the stopped numbers stay
			{1000 * day, 0, 0, 0, 2},
		} {
			n, err := f.Purge(t.Context(), now.Add(step.after))
			if err != nil || n != step.purged {
				t.Errorf("after %v: %d purged, %v", step.after, n, err)
			}
			var challenges, ledger, numbers int
			if err := d.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM sms_challenges), (SELECT count(*) FROM sms_ledger), (SELECT count(*) FROM sms_numbers)`).
				Scan(&challenges, &ledger, &numbers); err != nil {
				t.Fatal(err)
			}
			if challenges != step.challenges || ledger != step.ledger || numbers != step.numbers {
				t.Errorf("after %v: %d challenges, %d messages, %d numbers are left", step.after, challenges, ledger, numbers)
			}
		}
	})
}

// The cost of a sign-in's SMS part: four commits and one read, whatever the engine.
func TestCostOfAChallenge(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		store := &countingStore{}
		f := newFixtureOn(t, d, store, Config{TestNumbers: map[string]string{"+12025550101": "246810"}})
		r := login(t, "+8613800138095", "a")
		before := d.Counters()
		spent := func(what string, commits, txStatements, reads int64) {
			t.Helper()
			now := d.Counters()
			if now.Commits-before.Commits != commits || now.TxStatements-before.TxStatements != txStatements || now.Reads-before.Reads != reads {
				t.Errorf("%s: %d commits, %d statements inside, %d reads; want %d, %d, %d", what, now.Commits-before.Commits,
					now.TxStatements-before.TxStatements, now.Reads-before.Reads, commits, txStatements, reads)
			}
			before = now
		}
		_, ref := f.send(t, r)
		spent("Send", 2, 4, 0) // lock, count, challenge, ledger; settle
		if store.calls != 1 {
			t.Errorf("%d round trips to the limits", store.calls)
		}
		if _, err := f.Get(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		spent("Get", 0, 0, 1)
		code := f.provider.code(t)
		f.Check(t.Context(), ref, wrong(code))
		spent("wrong Check", 2, 2, 0) // and its record
		f.Check(t.Context(), ref, "12345")
		spent("malformed Check", 0, 0, 1)
		p, err := f.Check(t.Context(), ref, code)
		if err != nil {
			t.Fatal(err)
		}
		spent("right Check", 1, 2, 0)
		if err := p.Consume(t.Context()); err != nil {
			t.Fatal(err)
		}
		spent("Consume", 1, 2, 0) // joins the caller's transaction: no commit of its own there
		age(t, d, (61 * time.Second).Microseconds())
		before = d.Counters()
		_, ref = f.send(t, login(t, "+8613800138095", "b"))
		spent("Send after another", 2, 5, 0)
		age(t, d, (61 * time.Second).Microseconds())
		before = d.Counters()
		if _, err := f.Resend(t.Context(), ref, "", r.Address); err != nil {
			t.Fatal(err)
		}
		spent("Resend", 2, 4, 1)

		r = login(t, "+12025550101", "t")
		before = d.Counters()
		_, ref = f.send(t, r)
		spent("Send to a test number", 1, 0, 0)
		if p, err = f.Check(t.Context(), ref, "246810"); err != nil {
			t.Fatal(err)
		}
		spent("Check of a test number", 1, 2, 0)
		if err := p.Consume(t.Context()); err != nil {
			t.Fatal(err)
		}
		spent("Consume of a test number", 1, 1, 0)
	})
}

// countingStore has room and counts how often it is asked.
type countingStore struct {
	roomyStore
	calls int
}

func (s *countingStore) Spend(context.Context, []ephemeral.Limit) (ephemeral.Decision, error) {
	s.calls++
	return ephemeral.Decision{Allowed: true}, nil
}
