package simulate

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms"
)

var solvers = flag.Int("solvers", 50, "percent of the human checks that the pumping attacker solves") //nolint:gochecknoglobals // a flag

// TestSimulate plays every campaign; -v prints the table.
func TestSimulate(t *testing.T) {
	for name, play := range map[string]func(t *testing.T){
		"pumping":  func(t *testing.T) { pumping(t, *solvers, 1500) },
		"quiet":    func(t *testing.T) { pumping(t, 0, 200) },
		"bombing":  bombing,
		"guessing": guessing,
		"spraying": spraying,
		"morning":  morning,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			synctest.Test(t, play)
			t.Logf("played in %v", time.Since(began).Round(time.Millisecond))
		})
	}
}

// attack is what an attacker does and gets.
type attack struct {
	requests, messages, checks, solved, refused, guesses int
}

// ask sends a request as an attacker who can solve a human check, or cannot.
func (w *world) ask(a *attack, r sms.Request, solves bool) (sms.Challenge, error) {
	a.requests++
	c, err := w.service.Send(w.ctx, r)
	if is(err, sms.ErrHumanCheckRequired) {
		a.checks++
		if !solves {
			return c, err
		}
		a.solved++
		r.Human = hardestCheck
		c, err = w.service.Send(w.ctx, r)
	}
	if err != nil {
		a.refused++
		return c, err
	}
	a.messages++
	return c, nil
}

func (w *world) attackRequest(n sms.Number, place int) sms.Request {
	return sms.Request{Number: n, Purpose: sms.Login, ClientID: clients[0], Flow: w.newFlow(), Locale: "zh-CN", Address: address(3, place)}
}

// pumping: every number of ten prefixes within an hour, while ordinary people
// sign in with numbers of other prefixes. solvers percent of the human checks are
// solved by the attacker; people are few or many.
func pumping(t *testing.T, solvers, people int) {
	const (
		before  = 20 * time.Minute // so that the windows know the ordinary load
		numbers = 100_000
		places  = 5_000
	)
	w := newWorld(t)
	defer w.close()
	w.signIns(crowd{from: 0, to: before + time.Hour, count: people, prefix: w.anyPrefix, known: 50, shared: 20, perPlace: 8})
	var a attack
	order := w.random.Perm(numbers)
	for i := range numbers {
		w.after(before+time.Duration(i)*time.Hour/numbers, func() {
			k := order[i]
			n := w.number(fmt.Sprintf("+86147%04d%04d", 2000+k%10, k/10)) // a range of its own
			_, _ = w.ask(&a, w.attackRequest(n, w.random.IntN(places)), w.chance(solvers))
		})
	}
	w.run()
	pumped := w.carrier.count(func(d delivery) bool { return strings.HasPrefix(d.to.E164(), "+86147") })
	w.report(fmt.Sprintf("pumping %d, %d %% solved", people, solvers), fmt.Sprintf("%d of %d requests sent, %d checks solved of %d", pumped, a.requests, a.solved, a.checks))
	if pumped > 300 {
		t.Errorf("pumping got %d messages", pumped)
	}
	w.wantUnhindered()
}

// wantUnhindered: at most one in a thousand real people sees a human check, and
// none is refused.
func (w *world) wantUnhindered() {
	p := &w.people
	if p.checked*1000 > p.came || p.refused > 0 || p.signedIn < p.came*85/100 {
		w.t.Errorf("of %d people %d saw a check, %d were refused, %d signed in: %v", p.came, p.checked, p.refused, p.signedIn, p.why)
	}
}

// bombing: one victim, a day long, who signs in on a known device all the same.
func bombing(t *testing.T) {
	const requests, places = 20_000, 10_000
	w := newWorld(t)
	defer w.close()
	victim := w.number("+8613800138000")
	var a attack
	for i := range requests {
		w.after(time.Duration(i)*24*time.Hour/requests, func() {
			_, _ = w.ask(&a, w.attackRequest(victim, i%places), w.chance(50))
		})
	}
	for _, hour := range []int{0, 3, 9, 21} {
		w.after(time.Duration(hour)*time.Hour+30*time.Minute, func() {
			w.signIn(person{number: victim, from: address(1, 1), device: "the owner's", client: clients[1], known: true, uses: true})
		})
	}
	w.run()
	w.report("bombing", fmt.Sprintf("%d messages of %d requests, %d checks solved", a.messages, a.requests, a.solved))
	if a.messages > 6 {
		t.Errorf("the victim was sent %d messages", a.messages)
	}
	if w.people.signedIn != 4 || w.people.checked > 0 {
		t.Errorf("the owner signed in %d times of 4: %v", w.people.signedIn, w.people.why)
	}
}

// guess tries wrong codes until no more is compared; true if sign-in is stopped.
func (w *world) guess(a *attack, r sms.Request, c sms.Challenge) (stopped bool) {
	ref := sms.Ref{ID: c.ID, Purpose: r.Purpose, ClientID: r.ClientID, Flow: r.Flow}
	for range 10 {
		_, err := w.service.Check(w.ctx, ref, other(w.carrier.code(r.Number)))
		switch {
		case is(err, sms.ErrCodeIncorrect), is(err, sms.ErrCodeIncorrectLast):
			a.guesses++
		case is(err, sms.ErrAttemptsExceeded): // the last try of a challenge, or one too many
			a.guesses++
			return false
		default:
			return is(err, sms.ErrSignInStopped)
		}
	}
	return false
}

// guessing: codes of one number, until its sign-in stops.
func guessing(t *testing.T) {
	w := newWorld(t)
	defer w.close()
	victim := w.number("+8613800138000")
	var a attack
	stopped := time.Duration(0)
	var attempt func()
	attempt = func() {
		r := w.attackRequest(victim, w.random.IntN(10_000))
		c, err := w.ask(&a, r, true)
		if err == nil && w.guess(&a, r, c) || is(err, sms.ErrSignInStopped) {
			stopped = time.Since(w.begin)
			return
		}
		if time.Since(w.begin) < 10*24*time.Hour {
			w.in(10*time.Minute, attempt)
		}
	}
	w.after(0, attempt)
	w.run()
	w.signIn(person{number: victim, from: address(1, 1), device: "the owner's", client: clients[1], known: true, uses: true})
	w.run()
	w.report("guessing", fmt.Sprintf("%d guesses in %v, chance %.0e", a.guesses, stopped.Round(time.Minute), float64(a.guesses)/1e6))
	if stopped == 0 || a.guesses > 100 || a.guesses < 50 {
		t.Errorf("%d guesses, stopped after %v", a.guesses, stopped)
	}
	if w.people.signedIn != 1 {
		t.Errorf("the owner cannot sign in: %v", w.people.why)
	}
}

// spraying: five guesses at each of many numbers, all over the country.
func spraying(t *testing.T) {
	const numbers, places = 3_000, 3_000
	w := newWorld(t)
	defer w.close()
	var a attack
	for i := range numbers {
		w.after(time.Duration(i)*2*time.Hour/numbers, func() {
			n := w.number(fmt.Sprintf("+86%s%04d", w.anyPrefix(i), w.random.IntN(10_000)))
			r := w.attackRequest(n, i%places)
			if c, err := w.ask(&a, r, w.chance(50)); err == nil {
				w.guess(&a, r, c)
			}
		})
	}
	w.run()
	w.report("spraying", fmt.Sprintf("%d guesses at %d numbers, %.4f accounts expected", a.guesses, a.messages, float64(a.guesses)/1e6))
	if a.guesses > 5*a.messages || a.guesses > 5_000 {
		t.Errorf("%d guesses with %d messages", a.guesses, a.messages)
	}
}

// morning: nobody attacks.
func morning(t *testing.T) {
	w := newWorld(t)
	defer w.close()
	w.signIns(crowd{from: 0, to: 2 * time.Hour, count: 3000, prefix: w.anyPrefix, known: 50, shared: 20, perPlace: 8})
	w.run()
	w.report("morning", "-")
	w.wantUnhindered()
}
