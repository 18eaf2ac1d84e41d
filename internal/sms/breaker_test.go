package sms

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// lone is a breaker that keeps what it tells.
func lone() (*breaker, *[]string) {
	var told []string
	b := newBreaker("p", func(_ *breaker, now BreakerChanged) { told = append(told, strings.TrimSpace(now.State+" "+now.Reason)) })
	return b, &told
}

// pass has the breaker see one call; false if it lets none through.
func pass(b *breaker, trial bool, v verdict) bool {
	leave, ok := b.enter(trial)
	if ok {
		leave(v, map[verdict]string{sick: "F dial", broken: "C key"}[v])
	}
	return ok
}

func wantTold(t *testing.T, told *[]string, want ...string) {
	t.Helper()
	if got := strings.Join(*told, ", "); got != strings.Join(want, ", ") {
		t.Errorf("told %s, want %s", got, strings.Join(want, ", "))
	}
	*told = nil
}

func TestBreakerOpensAfterThreeFailuresInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, told := lone()
		for _, v := range []verdict{sick, sick, healthy, sick, silent, sick} {
			if !pass(b, false, v) {
				t.Fatal("it is not closed")
			}
		}
		wantTold(t, told)
		pass(b, false, sick)
		wantTold(t, told, "open F dial")
		if pass(b, false, healthy) {
			t.Error("it lets calls through")
		}
	})
}

func TestBreakerOpensWhenMoreThanHalfFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, told := lone()
		for range 5 { // one in two
			pass(b, false, healthy)
			pass(b, false, sick)
		}
		wantTold(t, told)
		pass(b, false, sick)
		wantTold(t, told, "open F dial")

		b, told = lone()
		for range 40 { // old failures are forgotten
			pass(b, false, sick)
			time.Sleep(time.Second)
			pass(b, false, healthy)
			time.Sleep(tripWindow)
		}
		wantTold(t, told)
	})
}

// The pause doubles from 15 s to 5 min, and one success ends it all.
func TestBreakerLifeCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, told := lone()
		for range tripRow {
			pass(b, false, sick)
		}
		wantTold(t, told, "open F dial")
		for _, pause := range []time.Duration{15, 30, 60, 120, 240, 300, 300} {
			time.Sleep(pause*time.Second - 1)
			if pass(b, false, sick) {
				t.Errorf("open for less than %d s", pause)
			}
			time.Sleep(2 * time.Nanosecond)
			leave, ok := b.enter(false)
			if !ok {
				t.Fatalf("open for more than %d s", pause)
			}
			if pass(b, false, sick) || pass(b, true, sick) {
				t.Error("two calls try it at once")
			}
			leave(sick, "F dial")
			wantTold(t, told, "half-open F dial", "open F dial")
		}
		time.Sleep(longestPause + 1)
		if !pass(b, false, silent) || !pass(b, false, healthy) { // the number's own trouble says nothing
			t.Error("no try")
		}
		wantTold(t, told, "half-open F dial", "closed")
		for range tripRow {
			pass(b, false, sick)
		}
		wantTold(t, told, "open F dial")
		time.Sleep(firstPause + 1) // from the start again
		if !pass(b, false, healthy) {
			t.Error("the pause is not the first again")
		}
	})
}

func TestBreakerOpensAtOnceForTenMinutesIfSetUpWrongly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, told := lone()
		pass(b, false, healthy)
		pass(b, false, broken)
		wantTold(t, told, "open C key")
		time.Sleep(10 * time.Minute)
		if pass(b, false, healthy) {
			t.Error("open for less than 10 minutes")
		}
		time.Sleep(1 * time.Nanosecond)
		pass(b, false, broken)
		wantTold(t, told, "half-open C key", "open C key")
		time.Sleep(10*time.Minute + 1)
		pass(b, false, healthy)
		wantTold(t, told, "half-open C key", "closed")
	})
}

// What began before the breaker opened neither closes it nor prolongs it.
func TestBreakerIgnoresLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, told := lone()
		var late []func(verdict, string)
		for range 6 {
			leave, _ := b.enter(false)
			late = append(late, leave)
		}
		for range tripRow {
			pass(b, false, sick)
		}
		time.Sleep(firstPause - 1)
		for i, v := range []verdict{healthy, sick, broken, healthy, sick} {
			late[i](v, "F dial")
		}
		wantTold(t, told, "open F dial")
		time.Sleep(2 * time.Nanosecond)
		late[5](healthy, "")
		if state, wait := b.look(); state != gobreaker.StateHalfOpen || wait != 0 {
			t.Errorf("%v after %v", state, wait)
		}
		if !pass(b, false, healthy) {
			t.Error("the pause was prolonged")
		}
	})
}

// Without anybody to stand in, one message at a time is on trial: the first at
// once, then more and more seldom, never less than every 15 seconds.
func TestOpenBreakerGivesTrials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, told := lone()
		pass(b, false, broken)
		leave, ok := b.enter(true)
		if !ok || pass(b, true, healthy) {
			t.Fatal("not one trial")
		}
		leave(broken, "C key")
		for _, wait := range []time.Duration{1, 2, 4, 8, 15, 15, 15} {
			if _, w := b.look(); w != wait*time.Second {
				t.Errorf("%v to wait, want %d s", w, wait)
			}
			time.Sleep(wait*time.Second - 1)
			if pass(b, true, broken) {
				t.Errorf("a trial before %d s", wait)
			}
			time.Sleep(1 * time.Nanosecond)
			if !pass(b, true, broken) {
				t.Fatalf("no trial after %d s", wait)
			}
		}
		time.Sleep(longestTrial)
		if !pass(b, true, silent) || !pass(b, true, healthy) {
			t.Error("no trial")
		}
		wantTold(t, told, "open C key", "closed")
	})
}

// One flaky answer of the only provider costs that one message.
func TestOnlyProviderIsNotGivenUp(t *testing.T) {
	for _, class := range []Class{Misconfigured, Failover, Ambiguous} {
		d := dbtest.Open(t)
		f := newFixture(t, d, Config{})
		f.provider.set(fails(class, "x"))
		_, err := f.Send(t.Context(), login(t, "+8613800138030", "a"))
		if (err == nil) != (class == Ambiguous) {
			t.Errorf("%s: %v", class, err)
		}
		f.provider.set(nil)
		for _, e164 := range []string{"+8613800138031", "+8613800138032"} {
			f.send(t, login(t, e164, "a"))
		}
	}
}

// While every provider is known to be down people are told at once when to come
// back, and nothing is reserved.
func TestAllProvidersDownRefusesBeforeReserving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		one, two := &recorder{name: "one", answer: fails(Misconfigured, "x")}, &recorder{name: "two", answer: fails(Misconfigured, "x")}
		f := newFixture(t, d, Config{Routes: map[string]Route{"*": {Providers: []Provider{one, two}}}})
		defer f.closeIt()
		wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138033", "a"))), ErrProviderUnavailable)
		wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138033", "a"))), ErrProviderUnavailable) // both on trial
		f.sending.Wait()
		before, calls := states(t, d), len(one.sent())+len(two.sent())
		got := wantFault(t, second(f.Send(t.Context(), login(t, "+8613800138033", "a"))), ErrProviderUnavailable)
		if got.RetryAfter != time.Second || states(t, d)["rejected"] != before["rejected"] || calls != 4 || len(one.sent())+len(two.sent()) != 4 {
			t.Errorf("Retry-After %v, ledger %v and %v, %d calls", got.RetryAfter, before, states(t, d), calls)
		}
		two.set(nil)
		time.Sleep(time.Second)
		f.send(t, login(t, "+8613800138033", "a"))
		f.send(t, login(t, "+8613800138034", "a"))
		if len(two.sent()) != 4 || len(one.sent()) != 3 {
			t.Errorf("%d and %d calls", len(one.sent()), len(two.sent()))
		}
	})
}

// Operators see the state in the table and learn of each change once, and
// people's own trouble is none of a provider.
func TestBreakerIsTold(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		one, two := &recorder{name: "one"}, &recorder{name: "two"}
		f := newFixture(t, d, Config{Routes: map[string]Route{"*": {Providers: []Provider{one, two}}}, Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40})
		row := func(name string) (state, reason string, until int64) {
			t.Helper()
			f.sending.Wait()
			err := d.QueryRow(t.Context(), `SELECT state, reason, until_at FROM sms_providers WHERE name = $1`, name).Scan(&state, &reason, &until)
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				t.Fatal(err)
			}
			return state, reason, until
		}
		for i, class := range []Class{BadNumber, NumberLimited, Blocked, BadNumber} {
			one.set(fails(class, "x"))
			_, _ = f.Send(t.Context(), login(t, "+8613800138035", string(rune('a'+i))))
		}
		one.set(fails(Failover, codeInternational))
		for i := range 4 {
			_, _ = f.Send(t.Context(), login(t, "+8613800138035", string(rune('k'+i))))
		}
		if state, _, _ := row("one"); state != "" {
			t.Errorf("it is %s for what says nothing about it", state)
		}
		one.set(fails(Misconfigured, "SignatureDoesNotMatch"))
		for i := range 3 {
			f.send(t, login(t, "+8613800138036", string(rune('a'+i))))
		}
		state, reason, until := row("one")
		if left := time.Until(db.Time(until)); state != "open" || reason != "C SignatureDoesNotMatch" || left < 9*time.Minute || left > 10*time.Minute {
			t.Errorf("%s because of %s for %v", state, reason, left)
		}
		if len(two.sent()) != 4+3 || strings.Count(f.logs.String(), "level=ERROR") != 1 {
			t.Errorf("%d calls, log %s", len(two.sent()), f.logs)
		}
		want := []BreakerChanged{{"one", "closed", ""}, {"two", "closed", ""}, {"one", "open", "C SignatureDoesNotMatch"}}
		f.seen.mu.Lock()
		got := f.seen.breakers
		f.seen.mu.Unlock()
		if len(got) != len(want) || got[2] != want[2] || got[0].State != "closed" || got[1].State != "closed" {
			t.Errorf("observed %v", got)
		}
		f.mend()
		if state, reason, until := row("one"); state != "closed" || reason != "" || until != 0 {
			t.Errorf("%s because of %q until %d", state, reason, until)
		}
	})
}

// Our own end is not the provider's fault.
func TestBrokenOffCallsSayNothingAboutAProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, dbtest.Open(t), Config{})
		f.provider.set(func(ctx context.Context, _ Message) (string, error) {
			<-ctx.Done()
			return "", &SendError{Class: Ambiguous, Provider: "fake", Code: "canceled"}
		})
		for _, e164 := range []string{"+8613800138037", "+8613800138038", "+8613800138039", "+8613800138040"} {
			go f.Send(t.Context(), login(t, e164, "a"))
		}
		time.Sleep(time.Second)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Close(ended); err == nil {
			t.Error("nothing was under way")
		}
		if state, _ := f.breakers["fake"].look(); state != gobreaker.StateClosed {
			t.Error(state)
		}
	})
}
