package server_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// The cost budget of the design: what a flow may ask of the stores. Counted where
// every statement passes, summed over the replicas.
func TestCostBudget(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		a := newAgent(t, s)
		s.settle(t)
		for _, client := range []string{"web", "machine"} {
			for range s.replicas { // each caches its clients
				a.token(client, url.Values{"grant_type": {"client_credentials"}})
			}
		}

		q := newRequest("web", "https://rp.example/cb")
		var answer map[string]any
		signIn := s.cost(func() { answer = a.redeem(q, a.signIn(q, newNumber())).json(t) })
		t.Logf("sign-in with code exchange and refresh token: %+v", signIn)
		if signIn.Commits > 5 || signIn.roundTrips > 8 {
			t.Errorf("a sign-in costs %d commits (budget 5) and %d round trips (budget 8)", signIn.Commits, signIn.roundTrips)
		}

		var next map[string]any
		refresh := s.cost(func() { next = a.refresh("web", text(answer, "refresh_token")).json(t) })
		if refresh.Reads != 1 || refresh.Writes != 1 || refresh.Commits != 1 || refresh.TxStatements != 0 || refresh.roundTrips != 0 {
			t.Errorf("a refresh costs %+v, budget 1 read and 1 write", refresh)
		}
		if c := s.cost(func() { a.userinfo(text(next, "access_token")) }); c.Reads != 1 || c.Commits != 0 || c.roundTrips != 0 {
			t.Errorf("userinfo costs %+v, budget 1 read", c)
		}
		if c := s.cost(func() { a.introspect(text(next, "access_token")) }); c.Reads != 1 || c.Commits != 0 || c.roundTrips != 0 {
			t.Errorf("introspection costs %+v, budget 1 read", c)
		}
		m := s.cost(func() {
			if r := a.token("machine", map[string][]string{"grant_type": {"client_credentials"}, "scope": {"read"}}); r.status != 200 {
				t.Fatalf("client credentials: %d %s", r.status, r.body)
			}
		})
		if m.Reads != 0 || m.Commits != 0 || m.roundTrips != 0 {
			t.Errorf("client credentials cost %+v, budget nothing", m)
		}
	})
}

// settle waits until a new installation has made its next signing keys, which it
// does in the background.
func (s *stack) settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		before := s.spent()
		time.Sleep(500 * time.Millisecond)
		if s.spent() == before {
			return
		}
	}
	t.Fatal("the servers do not come to rest")
}

type cost struct {
	db.Counters
	roundTrips int64
}

func (s *stack) cost(do func()) (c cost) {
	before := s.spent()
	do()
	after := s.spent()
	return cost{roundTrips: after.roundTrips - before.roundTrips, Counters: db.Counters{
		Reads: after.Reads - before.Reads, Writes: after.Writes - before.Writes,
		TxStatements: after.TxStatements - before.TxStatements, Commits: after.Commits - before.Commits}}
}

func (s *stack) spent() (c cost) {
	for _, r := range s.replicas {
		n, trips := r.Spent()
		c.Reads += n.Reads
		c.Writes += n.Writes
		c.TxStatements += n.TxStatements
		c.Commits += n.Commits
		c.roundTrips += trips
	}
	return c
}
