package sms

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// process is a service with a database handle of its own. When it dies nothing
// more of it reaches the database.
type process struct {
	*fixture
	database  *db.DB
	providers []*recorder
}

func startProcess(t *testing.T, url string) *process {
	t.Helper()
	d, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	providers, route := trio()
	return &process{newFixtureOn(t, d, roomyStore{}, Config{Routes: route}), d, providers}
}

func (p *process) die() { _ = p.database.Close() }

func (p *process) calls() (n int) {
	for _, r := range p.providers {
		n += len(r.sent())
	}
	return n
}

// S-08, I4: wherever a process dies, no message is sent again by itself, each
// provider was called once at most, and the number's budget is what it was.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	type life struct {
		*process
		t       *testing.T
		request Request
		release chan struct{} // closed at the end of the test
	}
	dies := func(l life, at int, then func(context.Context, Message) (string, error)) {
		l.providers[at].set(func(ctx context.Context, m Message) (string, error) {
			l.die()
			return then(ctx, m)
		})
	}
	send := func(l life) { _, _ = l.Send(context.Background(), l.request) }
	accepts := func(context.Context, Message) (string, error) { return "ref", nil }
	for name, test := range map[string]struct {
		live  func(l life)
		calls int
		rows  []string
	}{
		"before the call": {func(l life) {
			if _, err := l.prepare(context.Background(), l.request, "CN", false); err != nil {
				l.t.Error(err)
			}
			l.die()
		}, 0, []string{"one reserved "}},
		"during the call": {func(l life) {
			dies(l, 0, func(context.Context, Message) (string, error) { <-l.release; return "", nil })
			send(l)
		}, 1, []string{"one reserved "}},
		"before the answer is stored": {func(l life) { dies(l, 0, accepts); send(l) }, 1, []string{"one reserved "}},
		"before a refusal is stored": {func(l life) {
			dies(l, 0, fails(BadNumber, "x"))
			send(l)
		}, 1, []string{"one reserved "}},
		"between two providers": {func(l life) { dies(l, 0, fails(Failover, "dial")); send(l) }, 2, []string{"one reserved "}},
		"during the call of the next": {func(l life) {
			l.providers[0].set(fails(Failover, "dial"))
			dies(l, 1, func(context.Context, Message) (string, error) { <-l.release; return "", nil })
			send(l)
		}, 2, []string{"one reserved "}},
		"in doubt": {func(l life) { dies(l, 0, fails(Ambiguous, "timeout")); send(l) }, 1, []string{"one reserved "}},
		"before the second message": {func(l life) {
			r, err := l.prepare(context.Background(), l.request, "CN", false)
			if err != nil {
				l.t.Fatal(err)
			}
			l.finish(context.Background(), r, outcome{state: unknown, provider: "one", reason: "A timeout"}, 0)
			if _, ok, err := l.reserveSecond(context.Background(), r, "two"); !ok || err != nil {
				l.t.Error(ok, err)
			}
			l.die()
		}, 0, []string{"one unknown A timeout", "two reserved "}},
		"during the second message": {func(l life) {
			l.providers[0].set(fails(Ambiguous, "timeout"))
			dies(l, 1, accepts)
			send(l)
		}, 2, []string{"one unknown A timeout", "two reserved "}},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, url string) {
				old := startProcess(t, url)
				l := life{old, t, login(t, "+8613800138080", "a"), make(chan struct{})}
				defer old.sending.Wait()
				defer close(l.release)
				test.live(l)
				if n := old.calls(); n != test.calls {
					t.Errorf("%d calls, want %d", n, test.calls)
				}

				next := startProcess(t, url)
				defer next.die()
				defer next.closeIt()
				want := fmt.Sprint(test.rows)
				if got := fmt.Sprint(rows(t, next.database)); got != want {
					t.Errorf("ledger %s, want %s", got, want)
				}
				wantFault(t, second(next.Send(t.Context(), l.request)), ErrTooSoon)
				for range 4 - len(test.rows) + 1 { // what is left of five an hour
					age(t, next.database, (61 * time.Second).Microseconds())
					next.send(t, l.request)
				}
				age(t, next.database, (61 * time.Second).Microseconds())
				wantFault(t, second(next.Send(t.Context(), l.request)), ErrHourlyLimit)
				if n, s := next.calls(), states(t, next.database); n != 5-len(test.rows) || s["reserved"] != 1 {
					t.Errorf("%d calls after the restart, ledger %v", n, s)
				}
				if got := fmt.Sprint(rows(t, next.database)[:len(test.rows)]); got != want || old.calls() != test.calls {
					t.Errorf("later: ledger %s, %d calls", got, old.calls())
				}
			})
		})
	}
}
