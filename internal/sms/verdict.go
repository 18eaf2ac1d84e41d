package sms

import (
	"cmp"
	"slices"
	"time"
)

// Verdicts about a scope, in the order in which it gets worse and better:
//
//	normal --- rate bad ---> checked --- still bad 10 min later ---> paused
//	  ^  ^                      |                                     ^   |
//	  |  +---- rate good -------+               rate of trials bad    |   | 30 min
//	  |                                                               |   v
//	  +------------- rate of trials good, or nobody comes ------- probation
//
// Where no human check can be asked for, what would be checked is paused.
const (
	Normal    = "normal"
	Checked   = "checked"   // strangers pass a human check
	Paused    = "paused"    // strangers are refused
	Probation = "probation" // a few strangers pass a human check, and then it is seen what becomes of their codes
)

// standing is the verdict about one scope.
type standing struct {
	state string
	since time.Time // of Checked and Probation
	until time.Time // of Paused
	from  int64     // the minute from which on challenges count
}

// next moves a scope on by what its rates are now.
func (c *conversion) next(sc scope, st *standing, r *rates, now time.Time) {
	percent, enough := c.policy.scopePercent, enoughOfScope
	switch sc.kind {
	case ofPrefix:
		enough = enoughOfPrefix
	case ofWhole:
		percent, enough = c.policy.wholePercent, enoughOfWhole
	}
	bad := r.short.below(percent, enough) || r.long.below(percent, enough)
	pause := func() { *st = standing{state: Paused, until: now.Add(c.policy.pause), from: st.from} }
	switch st.state {
	case Normal:
		switch {
		case bad && c.policy.noCheck:
			pause()
		case bad:
			st.state, st.since = Checked, now
		}
	case Checked:
		switch {
		case !bad:
			st.state = Normal
		case now.Sub(st.since) >= patienceOfCheck:
			pause()
		}
	case Paused:
		if !now.Before(st.until) {
			*st = standing{state: Probation, since: now, from: minuteOf(st.until)}
		}
	case Probation:
		switch {
		case r.trial.below(percent, trialSends):
			pause()
		case r.trial.sent >= trialSends, now.Sub(st.since) >= memory:
			st.state = Normal
		}
	}
}

// ruling is what all standings together mean for one request.
type ruling struct {
	worst  string        // kind of the scope that is paused, else of one that asks for a check
	wait   time.Duration // until no scope of the request is paused
	check  bool
	trials []scope // that let only a few through
}

// of looks at the scopes of a request. It costs four looks into a map.
func (c *conversion) of(s source, now time.Time) (v ruling) {
	standings := c.verdicts.Load()
	if standings == nil || len(*standings) == 0 {
		return v
	}
	for _, sc := range scopesOf(s) {
		st, ok := (*standings)[sc]
		if !ok || st.state == Normal {
			continue
		}
		if w := st.until.Sub(now); st.state == Paused && w > 0 {
			if w > v.wait {
				v.worst, v.wait = sc.kind, w
			}
			continue
		}
		if v.wait == 0 {
			v.worst = cmp.Or(v.worst, sc.kind)
		}
		v.check = v.check || !c.policy.noCheck
		if st.state != Checked {
			v.trials = append(v.trials, sc)
		}
	}
	return v
}

// ConversionRate is how many challenges of a scope were sent, as far as they are
// over ten minutes old, and how many of their codes were used.
type ConversionRate struct {
	Kind, Name string // "region", "client" or "whole"; for "prefix" without a name see Conversion
	State      string // Normal, Checked, Paused or Probation

	Sent15m, Used15m int
	Sent60m, Used60m int
}

// Conversion shows what Watch saw last, by kind and name. Prefixes that are not
// normal have rows without a name and without numbers; what was sent to them is
// in no other row.
func (s *Service) Conversion() []ConversionRate {
	c := &s.conversion
	c.work.Lock()
	defer c.work.Unlock()
	rows := make([]ConversionRate, 0, len(c.rates))
	for sc, r := range c.rates {
		row := ConversionRate{
			Kind: sc.kind, Name: sc.name, State: Normal,
			Sent15m: r.short.sent, Used15m: r.short.used, Sent60m: r.long.sent, Used60m: r.long.used,
		}
		if st := c.standings[sc]; st != nil {
			row.State = st.state
		}
		rows = append(rows, row)
	}
	for sc, st := range c.standings {
		if c.rates[sc] == nil && st.state != Normal {
			rows = append(rows, ConversionRate{Kind: sc.kind, Name: publicName(sc), State: st.state})
		}
	}
	slices.SortFunc(rows, func(a, b ConversionRate) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.State, b.State))
	})
	return rows
}
