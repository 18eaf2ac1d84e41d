package sms

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// The steps of a day's budget, in percent of it.
const (
	alertPercent   = 50
	checkPercent   = 80 // strangers pass a human check
	stopPercent    = 100
	reservePercent = 10 // on top, for recognised devices
)

const (
	slice       = time.Minute      // what the day is cut into
	settledWell = 30 * time.Minute // after that a row does not change any more
)

// spent is what left in one slice of the day.
type spent struct {
	slice          int64 // since 1970
	messages, cost int64
}

// dayTotal is what the last 24 hours have cost by the ledger: counted from its rows
// every few seconds, with what this server sends added in between. A slice
// leaves when all of it has, so that the sum is never too low.
type dayTotal struct {
	mu     sync.Mutex
	slices []spent // oldest first
	read   bool    // from the ledger, once at least

	told map[string]int // the steps that are known, by budget; for steps alone
}

func sliceOf(us int64) int64 { return us / slice.Microseconds() }

// live drops what has left the day; mu is held.
func (d *dayTotal) live(now time.Time) []spent {
	oldest := sliceOf(db.Micros(now.Add(-day)))
	i, _ := slices.BinarySearchFunc(d.slices, oldest, func(s spent, n int64) int { return int(s.slice - n) })
	d.slices = d.slices[i:]
	return d.slices
}

// add counts what this server sends itself, until the ledger is read again.
func (d *dayTotal) add(now time.Time, messages, cost int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := sliceOf(db.Micros(now))
	if n := len(d.slices); n == 0 || d.slices[n-1].slice < at {
		d.slices = append(d.slices, spent{slice: at})
	}
	last := &d.slices[len(d.slices)-1]
	last.messages += messages
	last.cost += cost
}

// replace puts what the ledger says in the place of all slices from one on.
func (d *dayTotal) replace(from int64, read []spent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, _ := slices.BinarySearchFunc(d.slices, from, func(s spent, n int64) int { return int(s.slice - n) })
	d.slices, d.read = append(slices.Clone(d.slices[:i]), read...), true
}

// unread is the first slice that has to be read again.
func (d *dayTotal) unread(now time.Time) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.read {
		return sliceOf(db.Micros(now.Add(-day)))
	}
	return sliceOf(db.Micros(now.Add(-settledWell)))
}

func messagesOf(s spent) int64 { return s.messages }
func costOf(s spent) int64     { return s.cost }

// empty reports whether nothing was sent from one time to another.
func (d *dayTotal) empty(from, to int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(d.slices, func(s spent) bool {
		return s.messages != 0 && s.slice >= sliceOf(from) && s.slice <= sliceOf(to)
	})
}

// sum is the day's total.
func (d *dayTotal) sum(now time.Time, of func(spent) int64) (total int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.live(now) {
		total += of(s)
	}
	return total
}

// wait is how long it takes until the day's total is below most, zero if it is.
func (d *dayTotal) wait(now time.Time, most int64, of func(spent) int64) time.Duration {
	over := d.sum(now, of) - most
	if over < 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.live(now) {
		if over -= of(s); over < 0 {
			return db.Time((s.slice + 1) * slice.Microseconds()).Add(day).Sub(now)
		}
	}
	return day
}

// readDay counts the part of the day that may have changed.
func (s *Service) readDay(ctx context.Context, now time.Time) error {
	from := s.day.unread(now)
	rows, err := s.db.Query(ctx, `
		SELECT reserved_at / $2, count(*), CAST(sum(cost) AS BIGINT) FROM sms_ledger
		WHERE reserved_at >= $1 AND state <> 'rejected' GROUP BY 1 ORDER BY 1`, from*slice.Microseconds(), slice.Microseconds())
	if err != nil {
		return fmt.Errorf("count the day's messages: %w", err)
	}
	defer rows.Close()
	var read []spent
	for rows.Next() {
		var p spent
		if err := rows.Scan(&p.slice, &p.messages, &p.cost); err != nil {
			return fmt.Errorf("count the day's messages: %w", err)
		}
		read = append(read, p)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("count the day's messages: %w", err)
	}
	s.day.replace(from, read)
	return nil
}

// budget is one of the two that a day has.
type budget struct {
	of    string // "messages" or "money"
	most  int64  // 0 for no such budget
	spent func(spent) int64
}

func (c *Config) messages() budget { return budget{"messages", int64(c.PerServiceDay), messagesOf} }
func (c *Config) money() budget    { return budget{"money", int64(c.BudgetPerDay), costOf} }

// steps are the steps that the day's budgets have reached since they were asked
// for last.
func (d *dayTotal) steps(c *Config, now time.Time) (reached []BudgetStep) {
	for _, b := range []budget{c.messages(), c.money()} {
		if b.most == 0 {
			continue
		}
		total, at := d.sum(now, b.spent), 0
		for _, p := range []int{alertPercent, checkPercent, stopPercent} {
			if total >= share(b.most, p) {
				at = p
			}
		}
		if d.told == nil {
			d.told = make(map[string]int)
		}
		if at > d.told[b.of] {
			reached = append(reached, BudgetStep{Of: b.of, Percent: at})
		}
		d.told[b.of] = at
	}
	return reached
}

// share is so many percent of n, rounded up.
func share(n int64, percent int) int64 { return (n/100)*int64(percent) + (n%100*int64(percent)+99)/100 }

// refuseByMoney decides by the day's budget of money.
func (s *Service) refuseByMoney(a *asking) *denial { return s.refuseByBudget(a, s.config.money()) }

// refuseByMessages counts the day's messages once more, from the ledger, for the
// case that the counters elsewhere were lost.
func (s *Service) refuseByMessages(a *asking) *denial {
	return s.refuseByBudget(a, s.config.messages())
}

func (s *Service) refuseByBudget(a *asking, b budget) *denial {
	if b.most == 0 {
		return nil
	}
	most, now := b.most, time.Now()
	if !a.stranger() {
		most += share(b.most, reservePercent)
	}
	no := denial{scope: "budget_" + b.of, window: "day"}
	if no.wait = s.day.wait(now, most, b.spent); no.wait > 0 {
		return &no
	}
	if !a.stranger() {
		return nil
	}
	no.wait = s.day.wait(now, share(b.most, checkPercent), b.spent)
	switch {
	case no.wait == 0:
		return nil
	case s.config.NoHumanCheck:
		return &no
	case a.checkable(levelBreaker):
		no.level = levelBreaker
		return &no
	}
	return nil
}

// account corrects the day's account by what a settled message costs more or less
// than it was reserved with, and takes one off that was given back.
func (s *Service) account(o outcome, more Millionths) {
	var messages int64
	if o.state == rejected {
		messages = -1
	}
	s.day.add(time.Now(), messages, int64(more))
}
