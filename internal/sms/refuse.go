package sms

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// denial is why a request gets no message now.
type denial struct {
	scope, window string
	level         int           // of the human check that would help, 0 for none
	wait          time.Duration // where no check helps
}

// refuse tells the observer and words the refusal.
func (s *Service) refuse(r denial) error {
	s.config.Observer.QuotaRefused(QuotaRefused{Scope: r.scope, Window: r.window, Human: r.level > 0})
	if r.level > 0 {
		return ErrHumanCheckRequired.With("level", strconv.Itoa(r.level))
	}
	return ErrRateLimited.After(r.wait)
}

// harder picks the one to tell: a refusal before a human check, the longest of
// several, the hardest check.
func harder(all ...*denial) (hardest *denial) {
	for _, d := range all {
		switch {
		case d == nil:
		case hardest == nil, hardest.level > 0 && (d.level == 0 || d.level > hardest.level):
			hardest = d
		case d.level == 0 && d.wait > hardest.wait:
			hardest = d
		}
	}
	return hardest
}

// refuseByVerdict decides by what became of other codes lately, and by the class
// of the number.
func (s *Service) refuseByVerdict(a *asking) *denial {
	if !a.stranger() {
		return nil
	}
	v := s.conversion.of(source{a.prefix, a.region, a.ClientID}, time.Now())
	a.trials = v.trials
	switch {
	case v.wait > 0:
		return &denial{v.worst, "conversion", 0, v.wait}
	case s.config.NoHumanCheck:
	case v.check && a.checkable(levelBreaker):
		return &denial{v.worst, "conversion", levelBreaker, 0}
	case a.checkable(levelSuspicion) && s.config.alwaysChecked(a.Number):
		return &denial{"class", "always", levelSuspicion, 0}
	}
	return nil
}

// alwaysChecked reports whether the number is of a class that is asked for a
// human check every time.
func (c *Config) alwaysChecked(n Number) bool {
	for _, prefix := range c.CheckedPrefixes {
		if strings.HasPrefix(n.E164(), prefix) {
			return true
		}
	}
	return false
}

// checkedPrefixes are the ranges of China's virtual operators (2026-11): numbers
// there are cheap to hold by the thousand.
func checkedPrefixes() []string {
	return []string{"+86162", "+86165", "+86167", "+86170", "+86171"}
}

// settledRefusal is a refusal by a number's windows in which nothing is under way,
// so that nothing can be given back: it stands until it heals.
type settledRefusal struct{ fault *fault.Error }

func (r settledRefusal) Error() string { return r.fault.Error() }
func (r settledRefusal) Unwrap() error { return r.fault }

// final reports whether the newest of a number's messages is settled.
func final(sends []sent, now time.Time) bool {
	return len(sends) > 0 && now.Sub(db.Time(sends[0].at)) > deliverTime+settleTime
}

// numberWindows are the windows of a number by the name an observer gets.
func numberWindows() map[string]*fault.Error {
	return map[string]*fault.Error{"cooldown": ErrTooSoon, "hour": ErrHourlyLimit, "day": ErrDailyLimit}
}

// numberStop is the memory of a number's full window.
func numberStop(a *asking, window string) stop {
	return stop{key: "number:" + strconv.FormatBool(a.KnownDevice) + ":" + window + ":" + string(a.lookup)}
}

// refuseNumberByMemory repeats what the ledger said about a number moments ago.
func (s *Service) refuseNumberByMemory(a *asking) error {
	for window, f := range numberWindows() {
		if w := s.full.wait(numberStop(a, window), time.Now()); w > 0 {
			s.config.Observer.QuotaRefused(QuotaRefused{Scope: "number", Window: window})
			return f.After(w)
		}
	}
	return nil
}

// noteNumber tells the observer of a refusal by the ledger, and remembers one that stands.
func (s *Service) noteNumber(a *asking, err error) {
	var f *fault.Error
	if !errors.As(err, &f) {
		return
	}
	for window, is := range numberWindows() {
		if f.Code != is.Code {
			continue
		}
		s.config.Observer.QuotaRefused(QuotaRefused{Scope: "number", Window: window})
		if errors.As(err, new(settledRefusal)) {
			s.full.add(numberStop(a, window), time.Now(), f.RetryAfter, believeSettled)
		}
	}
}
