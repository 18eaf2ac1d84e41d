package sms

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestStatusCountsWhatBecameOfMessages(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{Cooldown: time.Nanosecond})
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := d.Exec(t.Context(), query, args...); err != nil {
				t.Fatal(err)
			}
		}
		// An hour ago: one code typed, of two messages; one never typed.
		typed, ref := f.send(t, login(t, "+8613800138000", "a"))
		if _, err := f.Resend(t.Context(), ref, Again{Address: login(t, "+8613800138000", "a").Address}); err != nil {
			t.Fatal(err)
		}
		proof, err := f.Check(t.Context(), ref, f.provider.code(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.Consume(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.send(t, login(t, "+8613800138001", "b"))
		age(t, d, time.Hour.Microseconds())
		exec(`UPDATE sms_ledger SET receipt = 'delivered', cost = 45000 WHERE challenge_id = $1`, typed.ID)
		// Now: one that may still be typed, one refused, one that nobody knows about.
		f.send(t, login(t, "+8613800138002", "c"))
		f.provider.set(fails(Failover, "balance"))
		_, err = f.Send(t.Context(), login(t, "+8613800138003", "d"))
		wantFault(t, err, ErrProviderUnavailable)
		f.provider.set(fails(Ambiguous, "timeout"))
		f.send(t, login(t, "+8613800138004", "e"))
		// And two days ago.
		exec(`INSERT INTO sms_ledger (id, challenge_id, lookup, purpose, client_id, region, prefix, known_device,
			state, provider, provider_ref, reason, reserved_at) VALUES ('old', '', $1, 'login', 'web', 'HK', $1, FALSE, 'accepted', 'other', '', '', $2)`,
			[]byte("x"), db.Micros(time.Now().Add(-48*time.Hour)))
		exec(`UPDATE sms_numbers SET consecutive = 100 WHERE lookup = $1`, number(t, "+8613800138004").Index(f.vault))
		opened, long := time.UnixMicro(1_700_000_000_000_000).UTC(), db.Time(db.Micros(time.Now().Add(time.Hour)))
		exec(`INSERT INTO sms_providers (name, state, reason, until_at, changed_at) VALUES ('fake', 'open', 'C SignatureDoesNotMatch', $2, $1), ('other', 'closed', '', 0, $1),
			('shut', 'open', 'F balance', $3, $1)`, db.Micros(opened), db.Micros(opened.Add(10*time.Minute)), db.Micros(long))

		since := time.Now().Add(-24 * time.Hour)
		got, err := ReadStatus(t.Context(), d, since, 100)
		if err != nil {
			t.Fatal(err)
		}
		want := Status{
			Since: since, Today: 5, Stopped: 1,
			Providers: []ProviderState{
				// Nobody may have asked it since, or the server may have been started again.
				{Name: "fake", State: "half-open", Reason: "C SignatureDoesNotMatch", Until: opened.Add(10 * time.Minute), ChangedAt: opened},
				{Name: "other", State: "closed", ChangedAt: opened},
				{Name: "shut", State: "open", Reason: "F balance", Until: long, ChangedAt: opened},
			},
			Sends: []Sends{{Provider: "fake", Region: "CN", Messages: 6, Accepted: 4, Rejected: 1, Unknown: 1,
				Delivered: 2, Codes: 2, Verified: 1, Cost: 90000}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if share, ok := got.Sends[0].Conversion(); !ok || share != 0.5 {
			t.Errorf("conversion %v, %v", share, ok)
		}
		week, err := ReadStatus(t.Context(), d, time.Now().Add(-7*24*time.Hour), 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(week.Sends) != 2 || week.Sends[1].Provider != "other" || week.Sends[1].Region != "HK" || week.Today != 5 {
			t.Errorf("a week: %+v", week)
		}
		if _, ok := week.Sends[1].Conversion(); ok {
			t.Error("a conversion without a code")
		}
	})
}

func TestStatusOfNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		got, err := ReadStatus(context.Background(), d, time.Now().Add(-time.Hour), 100)
		if err != nil || len(got.Sends) != 0 || len(got.Providers) != 0 || got.Today != 0 || got.Stopped != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
