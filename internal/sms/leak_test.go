package sms

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
)

// S-13, S-15, T-71: over every path, no log line, no error, no observation and
// no column of the database shows a number or a code.
func TestNothingShowsNumbersOrCodes(t *testing.T) { // alone: it listens to the default logger
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		said := &lockedBuffer{}
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})))
		defer slog.SetDefault(before)
		note := func(v any, err error) {
			fmt.Fprintf(said, "%v %+v %#v %v %+v %#v\n", v, v, v, err, err, err)
			for e := err; e != nil; e = errors.Unwrap(e) {
				fmt.Fprintf(said, "%#v\n", e)
			}
		}
		next := &recorder{name: "next"}
		first := &recorder{name: "first"}
		f := newFixture(t, d, Config{
			Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40, FailuresPerHour: 30, FailuresPerDay: 40, FailuresTotal: 40,
			Routes: map[string]Route{"*": {Providers: []Provider{first, next}}}, TestNumbers: map[string]string{"+12025550101": "246810"},
		})
		numbers := []string{"+8613800138090", "+8613800138091", "+12025550101"}
		talkative := func(class Class) func(context.Context, Message) (string, error) {
			return func(_ context.Context, m Message) (string, error) {
				return "", fmt.Errorf("post https://x/?to=%s&code=%s: %w", m.To.E164(), m.Code,
					&SendError{Class: class, Provider: "first", Code: "sent " + m.Code + " to " + m.To.E164()})
			}
		}
		codes := []string{"246810"}
		for _, e164 := range numbers[:2] {
			for i, answer := range []func(context.Context, Message) (string, error){
				nil, talkative(Failover), talkative(BadNumber), talkative(NumberLimited), talkative(Blocked), talkative(Misconfigured), talkative(Ambiguous), talkative("?"),
				func(_ context.Context, m Message) (string, error) { panic(m.Code + m.To.E164()) },
				func(_ context.Context, m Message) (string, error) { return "", errors.New(m.Code + m.To.E164()) },
			} {
				first.set(answer)
				r := login(t, e164, fmt.Sprint(i))
				c, err := f.Send(t.Context(), r)
				note(c, err)
				code := first.code(t)
				codes = append(codes, code)
				ref := refOf(c, r)
				for _, typed := range []string{wrong(code), "x" + code, code[:5]} {
					p, err := f.Check(t.Context(), ref, typed)
					note(p, err)
				}
				note(f.Get(t.Context(), ref))
				note(f.Resend(t.Context(), ref, Again{Address: r.Address}))
				p, err := f.Check(t.Context(), ref, code)
				note(p, err)
				note(nil, p.Consume(t.Context()))
				note(nil, p.Consume(t.Context()))
				note(r, nil)
			}
			for range 50 {
				r := login(t, e164, "z")
				c, err := f.Send(t.Context(), r)
				note(c, err)
				note(f.Check(t.Context(), refOf(c, r), "000000"))
			}
			note(f.ParseNumber(e164))
			note(f.ParseNumber(e164 + "," + e164))
			note(f.ParseNumber("+1" + e164))
			note(nil, Unblock(t.Context(), d, f.vault, audit.New(d), number(t, e164)))
		}
		for _, m := range append(first.sent(), next.sent()...) {
			codes = append(codes, m.Code)
			fmt.Fprintf(said, "%v %+v %#v\n", m, m, []Message{m})
		}
		r := login(t, numbers[2], "t")
		c, err := f.Send(t.Context(), r)
		note(c, err)
		note(f.Check(t.Context(), refOf(c, r), "246811"))
		note(f.Check(t.Context(), refOf(c, r), "246810"))
		fmt.Fprintf(said, "%+v\n%+v\n", f.seen.sends, f.seen.checks)

		// A database that is gone, and rows that do not open.
		_, err = d.Exec(t.Context(), `UPDATE sms_challenges SET sealed = code_mac`)
		note(nil, err)
		note(f.Get(t.Context(), refOf(c, r)))
		note(f.Resend(t.Context(), refOf(c, r), Again{Address: r.Address}))
		note(f.Check(t.Context(), refOf(c, r), "246810"))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		note(f.Send(gone, login(t, "+8613800138092", "g")))
		note(f.Check(gone, refOf(c, r), "246810"))

		text := said.String() + f.logs.String() + dump(t, d)
		if !strings.Contains(text, "a message met trouble") || !strings.Contains(text, "sms_challenges") {
			t.Fatal("the scan misses logs or rows")
		}
		for _, e164 := range append(numbers, "+8613800138092") {
			refuse(t, text, "a number", e164[1:], e164[3:])
		}
		for _, code := range codes {
			if code != "000000" { // typed above by the test itself, and common
				refuseCode(t, text, code)
			}
		}
	})
}

// refuse looks for a secret in the clear and in the encodings of a dump.
func refuse(t *testing.T, text, what string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if i := strings.Index(text, form); i >= 0 {
				t.Fatalf("%s shows: ...%s...", what, text[max(0, i-200):min(len(text), i+60)])
			}
		}
	}
}

// refuseCode takes six digits for a code only where no digit stands beside them:
// times and ids are full of six digits.
func refuseCode(t *testing.T, text, code string) {
	t.Helper()
	for at := 0; ; {
		i := strings.Index(text[at:], code)
		if i < 0 {
			return
		}
		i += at
		at = i + 1
		before, after := text[max(0, i-1):i], text[i+6:min(len(text), i+7)]
		if !strings.ContainsAny(before, "0123456789abcdef.-") && !strings.ContainsAny(after, "0123456789abcdefZ-") {
			t.Fatalf("a code shows: ...%s...", text[max(0, i-200):min(len(text), i+60)])
		}
	}
}

// dump is every value of the tables that this package writes.
func dump(t *testing.T, d *db.DB) string {
	t.Helper()
	var out strings.Builder
	for table, columns := range map[string]int{"sms_numbers": 6, "sms_challenges": 15, "sms_ledger": 18, "audit": 8} {
		fmt.Fprintln(&out, table)
		rows, err := d.Query(t.Context(), "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, into := make([]any, columns), make([]any, columns)
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if b, ok := v.([]byte); ok {
					v = hex.EncodeToString(b)
				}
				fmt.Fprintf(&out, "[%v] ", v)
			}
			fmt.Fprintln(&out)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// The store of coarse limits, a cache that others may read, gets no number, no
// address and no name.
func TestCoarseLimitsShowNoNumberAndNoAddress(t *testing.T) {
	keys := &keptKeys{}
	f := newFixtureOn(t, dbtest.Open(t), keys, Config{})
	r := login(t, "+8613800138093", "a")
	r.KnownDevice, r.Device = false, "a browser of somebody"
	f.send(t, r)
	r.Number, r.Flow, r.Address = number(t, "+8613800138094"), flow("b"), netip.MustParseAddr("2001:db8:7::1")
	f.send(t, r)
	text := strings.Join(keys.keys, "\n")
	for _, scope := range []string{"address", "network", "device", "device_numbers", "block", "prefix", "client", "service"} {
		if !strings.Contains(text, "sms:"+scope+":") {
			t.Errorf("no limit of scope %s", scope)
		}
	}
	refuse(t, text, "a number or address", "8613800138093", "13800138093", "1380013", "192.0.2.1", "\xc0\x00\x02\x01", "2001:db8", "a browser")
}

type keptKeys struct {
	roomyStore
	keys []string
}

func (k *keptKeys) Spend(_ context.Context, limits []ephemeral.Limit) (ephemeral.Decision, error) {
	for _, l := range limits {
		k.keys = append(k.keys, l.Key)
	}
	return ephemeral.Decision{Allowed: true}, nil
}
