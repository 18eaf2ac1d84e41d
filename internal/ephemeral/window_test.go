package ephemeral

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSpendNeverExceedsMax checks the decision against a list of every moment
// at which a spend was allowed.
func TestSpendNeverExceedsMax(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limit{
			Key: "key",
			Max: rapid.Int64Range(1, 400).Draw(t, "max"),
			Per: time.Duration(rapid.Int64Range(1000, 86_400_000_000).Draw(t, "per")) * time.Microsecond,
		}
		now := newClock().t
		var log spendLog
		var allowed []time.Time
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, l.Per.Microseconds()/3).Draw(t, "µs")) * time.Microsecond)
			for range rapid.IntRange(1, int(l.Max)+1).Draw(t, "times") {
				before := inWindow(allowed, now, l.Per)
				d := try(t, l, &log, now)
				if d.Allowed {
					allowed = append(allowed, now)
				}
				if d.Allowed && before >= l.Max {
					t.Fatalf("spend %d of %d in one window", before+1, l.Max)
				}
				if l.Max <= exactSpends && !d.Allowed && before < l.Max {
					t.Fatalf("refused with %d of %d spent", before, l.Max)
				}
				if !d.Allowed {
					checkRetryAfter(t, l, log, now, d.RetryAfter)
					break
				}
			}
			if len(log) > exactSpends+2 {
				t.Fatalf("a log of %d moments", len(log))
			}
		}
	})
}

// checkRetryAfter wants room exactly then, and never more than the window and
// one step of rounding away.
func checkRetryAfter(t *rapid.T, l Limit, log spendLog, now time.Time, wait time.Duration) {
	step := time.Duration(0)
	if l.Max > exactSpends {
		step = l.Per/exactSpends + time.Microsecond
	}
	if wait <= 0 || wait > l.Per+step {
		t.Fatalf("wait %v in a window of %v", wait, l.Per)
	}
	early, late := clone(log), clone(log)
	if try(t, l, &early, now.Add(wait-time.Microsecond)).Allowed {
		t.Fatal("there was room before RetryAfter")
	}
	if !try(t, l, &late, now.Add(wait)).Allowed {
		t.Fatal("there is no room after RetryAfter")
	}
}

func clone(l spendLog) spendLog { return append(spendLog(nil), l...) }

// try spends from one log, through its stored form.
func try(t *rapid.T, l Limit, log *spendLog, now time.Time) Decision {
	rules, err := rulesOf([]Limit{l}, now)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := parseLog(log.String())
	if err != nil {
		t.Fatal(err)
	}
	logs := []spendLog{stored}
	d, _ := spend(rules, logs, now.UnixMicro())
	*log = logs[0]
	return d
}

func inWindow(moments []time.Time, now time.Time, per time.Duration) (n int64) {
	for _, m := range moments {
		if now.Sub(m) < per {
			n++
		}
	}
	return n
}

func TestWrongClockDoesNotCloseALimit(t *testing.T) {
	l := Limit{Key: "key", Max: 2, Per: time.Hour}
	now := newClock().t
	ahead := now.AddDate(1, 0, 0)
	log := spendLog{{at: ahead.UnixMicro(), count: 2}}
	rules, err := rulesOf([]Limit{l}, now)
	if err != nil {
		t.Fatal(err)
	}
	logs := []spendLog{log}
	d, changed := spend(rules, logs, now.UnixMicro())
	if d.Allowed || d.RetryAfter != time.Hour || !changed[0] {
		t.Fatalf("%+v, changed %v; want a refusal for one window, remembered", d, changed)
	}
}

func TestDamagedLogIsAnError(t *testing.T) {
	for _, text := range []string{"x", "1", "1:", ":1", "1:2 3", "1:2:3", "99999999999999999999:1"} {
		if l, err := parseLog(text); err == nil {
			t.Errorf("%q is %v", text, l)
		}
	}
}
