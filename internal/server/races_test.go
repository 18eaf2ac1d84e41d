package server_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// together runs do n times at once and counts the outcomes.
func together(n int, do func(i int) string) map[string]int {
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex
		start = make(chan struct{})
		count = map[string]int{}
	)
	for i := range n {
		wait.Go(func() {
			<-start
			outcome := do(i)
			mu.Lock()
			count[outcome]++
			mu.Unlock()
		})
	}
	close(start)
	wait.Wait()
	return count
}

func outcome(t *testing.T, r reply) string {
	if r.status == http.StatusOK {
		return "ok"
	}
	return text(r.json(t), "error")
}

func TestOneCodeFiftyRedemptions(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		a := newAgent(t, s)
		q := newRequest("web", "https://rp.example/cb")
		code := a.signIn(q, newNumber())
		var access string
		var mu sync.Mutex
		count := together(50, func(int) string {
			r := a.redeem(q, code)
			if r.status == http.StatusOK {
				mu.Lock()
				access = text(r.json(t), "access_token")
				mu.Unlock()
			}
			return outcome(t, r)
		})
		if count["ok"] != 1 || count["invalid_grant"] != 49 {
			t.Fatalf("outcomes: %v", count)
		}
		if said := a.introspect(access); said["active"] != false {
			t.Fatal("the grant of a replayed code still stands")
		}
	})
}

func TestOneRefreshTokenFiftyTimes(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		a := newAgent(t, s)
		q := newRequest("web", "https://rp.example/cb")
		first := text(a.redeem(q, a.signIn(q, newNumber())).json(t), "refresh_token")
		count := together(50, func(int) string {
			r := a.refresh("web", first)
			if r.status != http.StatusOK {
				return outcome(t, r)
			}
			return text(r.json(t), "refresh_token")
		})
		if len(count) != 1 {
			t.Fatalf("%d different outcomes", len(count))
		}
		for successor := range count {
			second := a.refresh("web", successor)
			if second.status != http.StatusOK {
				t.Fatalf("the successor: %d %s", second.status, second.body)
			}
			// The first is now a grandparent: the family ends.
			if r := a.refresh("web", first); r.json(t)["error"] != "invalid_grant" {
				t.Fatalf("grandparent: %d %s", r.status, r.body)
			}
			if r := a.refresh("web", text(second.json(t), "refresh_token")); r.json(t)["error"] != "invalid_grant" {
				t.Fatalf("after reuse the family still lives: %d %s", r.status, r.body)
			}
		}
	})
}

func TestEightyWrongGuessesFiveCompared(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		a := newAgent(t, s)
		w := a.begin(newRequest("web", "https://rp.example/cb"), newNumber())
		wrong := w
		wrong.code = wrongOf(w.code)
		count := together(80, func(int) string {
			r := a.finish(wrong)
			if r.status < 400 || r.status >= 500 {
				t.Errorf("a wrong code got %d", r.status)
			}
			return "refused"
		})
		if count["refused"] != 80 {
			t.Fatalf("outcomes: %v", count)
		}
		if r := a.finish(w); r.status < 400 || r.status >= 500 {
			t.Fatalf("the right code after 80 wrong ones: %d", r.status)
		}
	})
}

func TestOneCodeTypedFiftyTimesSignsInOnce(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		a := newAgent(t, s)
		w := a.begin(newRequest("web", "https://rp.example/cb"), newNumber())
		cookies := a.client.Jar
		count := together(50, func(int) string {
			b := newAgent(t, s)
			u, _ := url.Parse(s.issuer)
			b.client.Jar.SetCookies(u, cookies.Cookies(u))
			r := b.finish(w)
			if r.status == http.StatusSeeOther && r.location(t).Query().Get("code") != "" {
				return "signed in"
			}
			return "refused"
		})
		if count["signed in"] != 1 {
			t.Fatalf("outcomes: %v", count)
		}
	})
}

func TestThirtySendsOneMessage(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		number := newNumber()
		together(30, func(int) string {
			a := newAgent(t, s)
			flow := a.authorize(newRequest("web", "https://rp.example/cb")).location(t).Query().Get("flow")
			r := a.post("/login", url.Values{"flow": {flow}, "phone": {number}})
			if r.status == http.StatusSeeOther {
				return "sent"
			}
			return "refused"
		})
		time.Sleep(50 * time.Millisecond) // a second message would be a bug; give it time to show
		if n := len(s.sink.codes(number)); n != 1 {
			t.Fatalf("%d messages", n)
		}
	})
}
