package ephemeral

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// exactSpends is the largest Max that is counted from exact moments, and the
	// number of steps that a longer window is cut into.
	exactSpends = 128
	// logSlack keeps a log longer than it is needed, for clocks that disagree.
	logSlack = time.Minute
)

// rule is a Limit in the terms of its log, at one moment. Times are Unix
// microseconds.
type rule struct {
	key string
	max int64
	own int64 // how far this call may go: Soft, or max
	per int64
	at  int64 // what a spend now is remembered under: now, rounded up to the step
}

// rulesOf checks the limits and prepares them for one Spend.
func rulesOf(limits []Limit, now time.Time) ([]rule, error) {
	rules := make([]rule, len(limits))
	seen := make(map[string]bool, len(limits))
	for i, l := range limits {
		if l.Max < 1 || l.Per < time.Millisecond {
			return nil, fmt.Errorf("ephemeral: limit %d allows nothing", i)
		}
		if l.Soft < 0 || l.Soft > l.Max {
			return nil, fmt.Errorf("ephemeral: limit %d: Soft is not between 0 and Max", i)
		}
		r := rule{key: limitKey(l), max: l.Max, own: cmp.Or(l.Soft, l.Max), per: l.Per.Microseconds()}
		if seen[r.key] {
			return nil, fmt.Errorf("ephemeral: limit %d is there twice", i)
		}
		seen[r.key] = true
		step := int64(1)
		if l.Max > exactSpends {
			step = (r.per + exactSpends - 1) / exactSpends
		}
		r.at = (now.UnixMicro() + step - 1) / step * step
		rules[i] = r
	}
	return rules, nil
}

// spendLog is what was spent from one limit, oldest first.
type spendLog []spends

// spends is how many were spent at one moment.
type spends struct {
	at    int64
	count int64
}

// live drops what has left the window, and returns what is left with its sum. A
// moment further ahead than the window is long comes from a clock that was
// wrong; it counts as now, or the limit would be closed until then.
func (l spendLog) live(r rule, now int64) (kept spendLog, sum int64, healed bool) {
	last := int64(0)
	for _, s := range l {
		if s.at > r.at+r.per {
			s.at, healed = max(r.at, last), true
		}
		last = s.at
		if s.at+r.per > now {
			kept = append(kept, s)
			sum += s.count
		}
	}
	return kept, sum, healed
}

// wait is how long until one more makes no more than most, zero if it is so now.
func (l spendLog) wait(most, per, sum, now int64) int64 {
	over := sum - most + 1
	if over <= 0 {
		return 0
	}
	for _, s := range l {
		if over -= s.count; over <= 0 {
			return s.at + per - now
		}
	}
	return per
}

// add remembers one spend, and says under which moment. The log stays sorted
// even if this process's clock is behind another's.
func (l spendLog) add(at int64) (spendLog, int64) {
	if n := len(l); n > 0 && l[n-1].at >= at {
		l[n-1].count++
		return l, l[n-1].at
	}
	return append(l, spends{at: at, count: 1}), at
}

// remove forgets one spend of that moment; false if there is none.
func (l spendLog) remove(at int64) (spendLog, bool) {
	for i, s := range l {
		if s.at != at {
			continue
		}
		if s.count > 1 {
			l[i].count--
			return l, true
		}
		return append(l[:i:i], l[i+1:]...), true
	}
	return l, false
}

// String is how SQL keeps a log: "moment:count moment:count".
func (l spendLog) String() string {
	var b strings.Builder
	for i, s := range l {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.FormatInt(s.at, 10))
		b.WriteByte(':')
		b.WriteString(strconv.FormatInt(s.count, 10))
	}
	return b.String()
}

func parseLog(text string) (spendLog, error) {
	var l spendLog
	for field := range strings.FieldsSeq(text) {
		at, count, _ := strings.Cut(field, ":")
		var s spends
		var err error
		if s.at, err = strconv.ParseInt(at, 10, 64); err == nil {
			s.count, err = strconv.ParseInt(count, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("ephemeral: a log of spends is damaged")
		}
		l = append(l, s)
	}
	return l, nil
}

// spend decides over all rules and, if allowed, adds one to each log. It
// changes logs in place and reports which of them have to be written.
// The script spendScript does the same inside Redis.
func spend(rules []rule, logs []spendLog, now int64) (d Decision, changed []bool) {
	changed = make([]bool, len(rules))
	var hard, soft refusal
	for i, r := range rules {
		kept, sum, healed := logs[i].live(r, now)
		logs[i], changed[i] = kept, healed
		hard.add(i, kept.wait(r.max, r.per, sum, now))
		soft.add(i, kept.wait(r.own, r.per, sum, now))
	}
	switch {
	case hard.longest > 0:
		return hard.decision(), changed
	case soft.longest > 0:
		d = soft.decision()
		d.Soft = true
		return d, changed
	}
	d = Decision{Allowed: true, at: make([]int64, len(rules))}
	for i, r := range rules {
		logs[i], d.at[i] = logs[i].add(r.at)
		changed[i] = true
	}
	return d, changed
}

// refusal is the limit without room that takes longest, in microseconds.
type refusal struct {
	limit   int
	longest int64
}

func (r *refusal) add(i int, wait int64) {
	if wait > r.longest {
		r.limit, r.longest = i, wait
	}
}

func (r *refusal) decision() Decision {
	return Decision{Refused: r.limit, RetryAfter: time.Duration(r.longest) * time.Microsecond}
}
