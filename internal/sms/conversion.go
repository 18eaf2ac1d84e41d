package sms

import (
	"encoding/base64"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// ripe is how old a message must be before it is held against anybody that
	// its code was not used: no code lives longer after its first message.
	ripe = 10 * time.Minute
	// The two windows over ripe messages.
	shortWindow = 15 * time.Minute
	longWindow  = time.Hour
	// memory is how far back messages matter at all.
	memory = ripe + longWindow

	// How many challenges make a rate of a prefix, of a region or client, or of
	// all. A prefix is judged by so many as strangers get there without a human
	// check in ten minutes: what a region, a client and everybody are judged by
	// later is then without it.
	enoughOfPrefix = 10
	enoughOfScope  = 20
	enoughOfWhole  = 50

	// patienceOfCheck is how long a human check may take to mend a rate.
	patienceOfCheck = 10 * time.Minute
	// After a pause so many strangers are let through until their codes are ripe.
	trialSends = 10
	trialTime  = 15 * time.Minute

	// mostSources bounds what is kept apart; beyond it prefixes are not told
	// apart any more, but clients and regions are.
	mostSources = 50_000
)

// Kinds of scope.
const (
	ofPrefix = "prefix"
	ofRegion = "region"
	ofClient = "client"
	ofWhole  = "whole"
)

// scope is one part of the traffic whose codes are asked for and used, or not.
type scope struct{ kind, name string }

// scopesOf are the scopes of a source, the narrowest first.
func scopesOf(s source) [4]scope {
	return [4]scope{{ofPrefix, s.prefix}, {ofRegion, s.region}, {ofClient, s.client}, {ofWhole, ""}}
}

// source is where challenges come from, as far as they are told apart. An empty
// prefix is any.
type source struct{ prefix, region, client string }

// nameOfPrefix makes Number.prefixIndex printable.
func nameOfPrefix(index []byte) string { return base64.RawURLEncoding.EncodeToString(index) }

// tally counts the challenges of a source whose first message was sent in one minute.
type tally struct {
	minute                   int64 // since 1970
	sent, used               int32
	byStrangers, strangersIn int32 // of those, asked for by strangers, and used
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// conversion judges whether codes that are sent are used. Every server folds the
// same rows of the ledger into windows of its own, so all come to the same
// verdict within a moment, and none is lost with a cache or a restart.
//
// A prefix that is checked or paused is left out of the wider scopes: what is
// contained there must not pause a region, a client or everybody.
type conversion struct {
	policy struct {
		scopePercent, wholePercent int
		pause                      time.Duration
		noCheck                    bool
	}

	work      sync.Mutex // one at a time folds and judges
	after     cursor
	tallies   map[source][]tally
	standings map[scope]*standing
	rates     map[scope]*rates // of the wider scopes when they were judged last

	verdicts atomic.Pointer[map[scope]standing] // what requests look at
}

// fold adds a ripe challenge.
func (c *conversion) fold(s source, sentAt time.Time, stranger, used bool) {
	if _, ok := c.tallies[s]; !ok && len(c.tallies) >= mostSources {
		s.prefix = ""
	}
	list := c.tallies[s]
	minute := minuteOf(sentAt)
	if n := len(list); n == 0 || list[n-1].minute != minute {
		list = append(list, tally{minute: minute})
	}
	t := &list[len(list)-1]
	t.sent++
	if used {
		t.used++
	}
	if stranger {
		t.byStrangers++
		if used {
			t.strangersIn++
		}
	}
	if c.tallies == nil {
		c.tallies = make(map[source][]tally)
	}
	c.tallies[s] = list
}

// rate is how many challenges there were and how many codes were used.
type rate struct{ sent, used int }

func (r rate) below(percent, enough int) bool {
	return r.sent >= enough && r.used*100 < percent*r.sent
}

// rates are those of one scope now: in both windows, and of the strangers let
// through on trial.
type rates struct{ short, long, trial rate }

func (r *rates) add(t tally, newest int64) {
	if t.minute > newest-int64(shortWindow/time.Minute) {
		r.short.sent += int(t.sent)
		r.short.used += int(t.used)
	}
	r.long.sent += int(t.sent)
	r.long.used += int(t.used)
	r.trial.sent += int(t.byStrangers)
	r.trial.used += int(t.strangersIn)
}

// judge drops what is too old and comes to a verdict about every scope. It
// returns those whose verdict changed.
func (c *conversion) judge(now time.Time) []ScopeChanged {
	newest := minuteOf(now.Add(-ripe))
	oldest := newest - int64(longWindow/time.Minute) + 1
	for s, list := range c.tallies {
		i := slices.IndexFunc(list, func(t tally) bool { return t.minute >= oldest })
		switch {
		case i < 0:
			delete(c.tallies, s)
		case i > 0:
			c.tallies[s] = slices.Clone(list[i:])
		}
	}
	prefixes, wider := make(map[scope]*rates), make(map[scope]*rates)
	count := func(to map[scope]*rates, sc scope, t tally) {
		if st := c.standings[sc]; st != nil && t.minute < st.from {
			return
		}
		r := to[sc]
		if r == nil {
			r = &rates{}
			to[sc] = r
		}
		r.add(t, newest)
	}
	for s, list := range c.tallies {
		for _, t := range list {
			if s.prefix != "" {
				count(prefixes, scopesOf(s)[0], t)
			}
		}
	}
	changes := c.step(prefixes, func(kind string) bool { return kind == ofPrefix }, now)
	for s, list := range c.tallies {
		scopes := scopesOf(s)
		contained := c.standings[scopes[0]]
		if contained != nil && contained.state != Normal {
			continue
		}
		for _, t := range list {
			if contained != nil && t.minute < contained.from {
				continue
			}
			for _, sc := range scopes[1:] {
				count(wider, sc, t)
			}
		}
	}
	changes = append(changes, c.step(wider, func(kind string) bool { return kind != ofPrefix }, now)...)
	c.rates = wider
	published := make(map[scope]standing, len(c.standings))
	for sc, st := range c.standings {
		published[sc] = *st
	}
	c.verdicts.Store(&published)
	return changes
}

// step moves every scope of the kinds on, those with a rate and those with a
// standing alone.
func (c *conversion) step(all map[scope]*rates, kinds func(string) bool, now time.Time) (changes []ScopeChanged) {
	scopes := maps.Clone(all)
	for sc := range c.standings {
		if kinds(sc.kind) && scopes[sc] == nil {
			if scopes == nil {
				scopes = make(map[scope]*rates)
			}
			scopes[sc] = &rates{}
		}
	}
	for sc, r := range scopes {
		st := c.standings[sc]
		if st == nil {
			st = &standing{state: Normal}
		}
		before := st.state
		c.next(sc, st, r, now)
		if st.state != before {
			changes = append(changes, ScopeChanged{Kind: sc.kind, Name: publicName(sc), State: st.state})
		}
		switch {
		case st.state == Normal && st.from < minuteOf(now.Add(-memory)):
			delete(c.standings, sc)
		case c.standings == nil:
			c.standings = map[scope]*standing{sc: st}
		default:
			c.standings[sc] = st
		}
	}
	return changes
}

// publicName is a scope's name as far as it may be shown.
func publicName(s scope) string {
	if s.kind == ofPrefix {
		return ""
	}
	return s.name
}
