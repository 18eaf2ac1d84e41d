package sms

import (
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// A fixed code must open nobody's account: a number that texts were sent to is
// refused as a test number, and the operator learns which and what to do.
func TestNumberInUseIsNoTestNumber(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		config := func(numbers ...string) Config {
			c := Config{Regions: []string{"CN"}, TestNumbers: map[string]string{}}
			for _, n := range numbers {
				c.TestNumbers[n] = "246810"
			}
			return c
		}
		start := func(numbers ...string) error {
			return second(New(config(numbers...), d, roomyStore{}, vaultOf(t, d), audit.New(d)))
		}
		unused := []string{"+12025550101", "+12025550102", "+8613800138012"}
		if err := start(append(unused, "+8613800138011")...); err != nil {
			t.Fatal(err)
		}
		f := newFixture(t, d, Config{})
		f.send(t, login(t, "+8613800138011", "a"))
		refused := func() {
			t.Helper()
			err := start(append(unused, "+8613800138011")...)
			if err == nil {
				t.Fatal("a number in use became a test number")
			}
			for _, part := range []string{number(t, "+8613800138011").String(), "sms.test_numbers"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %s", err, part)
				}
			}
			refuse(t, err.Error(), "a number or code", "13800138011", "246810")
		}
		refused()
		if _, err := d.Exec(t.Context(), `DELETE FROM sms_ledger`); err != nil { // the number's row may outlive the ledger
			t.Fatal(err)
		}
		refused()

		// Test numbers in use by tests are none in use by people.
		test := newFixtureOn(t, d, roomyStore{}, config(unused...))
		r := login(t, unused[0], "a")
		c, err := test.Send(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		f.Check(t.Context(), refOf(c, r), "000000")
		if err := start(unused...); err != nil {
			t.Error(err)
		}
		before := d.Counters()
		if err := start(); err != nil || d.Counters().Reads-before.Reads > 1 {
			t.Errorf("%v", err)
		}
	})
}

// Wrong codes of a test number neither run out nor stop it, not even on a server
// that was there before the number came into use.
func TestTestNumbersHaveNoWrongTryWindows(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		f := newFixture(t, d, Config{TestNumbers: map[string]string{"+8613800138010": "246810"}})
		_, err := d.Exec(t.Context(), `
			INSERT INTO sms_numbers (lookup, touched_at, failures, consecutive, known_failures, known_consecutive)
			VALUES ($1, 0, '', 96, '', 96)`, number(t, "+8613800138010").Index(f.vault))
		if err != nil {
			t.Fatal(err)
		}
		for _, known := range []bool{true, false} {
			for range 12 { // 48 wrong codes, more than a day's
				_, ref := f.send(t, as(t, known, "+8613800138010", "a"))
				for range 4 {
					if _, err := f.Check(t.Context(), ref, "000000"); !isIncorrect(err) {
						t.Fatalf("got %v, want a wrong code", err)
					}
				}
				p, err := f.Check(t.Context(), ref, "246810")
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Consume(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := records(t, d, "sms.sign_in_stopped"); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}
