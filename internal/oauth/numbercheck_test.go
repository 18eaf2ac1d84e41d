package oauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
)

func (b *browser) checkNumber(body map[string]any, header ...string) reply {
	b.t.Helper()
	raw, err := json.Marshal(body)
	must(b.t, err)
	return b.do(http.MethodPost, "/v1/sms/numbers/check", string(raw), append([]string{"Content-Type", "application/json"}, header...)...)
}

// By default every number, and whatever else is sent, gets the same answer.
func TestNumbersAreNotToldByDefault(t *testing.T) {
	w := newWorld(t)
	b, taken := w.browser(t), newNumber()
	w.holderOf(t, taken, "openid")
	want := b.checkNumber(map[string]any{"client_id": "own", "phone": taken})
	wantProblem(t, want, http.StatusNotFound, "not_found")
	for _, body := range []map[string]any{{"client_id": "own", "phone": newNumber()}, {"client_id": "nobody"}, {"phone": 1}, {}} {
		if r := b.checkNumber(body); r.status != want.status || r.body != want.body {
			t.Errorf("%v: %d %s", body, r.status, r.body)
		}
	}
}

func TestNumbersAreToldBehindAHumanCheck(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		check := &gate{}
		w.server.tellTaken, w.server.captcha = true, check
		b, taken, free := w.browser(t), newNumber(), newNumber()
		w.holderOf(t, taken, "openid")
		for number, want := range map[string]string{taken: `{"taken":true}`, free: `{"taken":false}`} {
			body := map[string]any{"client_id": "own", "phone": number}
			proof := puzzleOf(t, b.checkNumber(body), "captcha_required")
			other := map[string]any{"client_id": "own", "phone": newNumber(), "captcha": proof}
			puzzleOf(t, b.checkNumber(other), "captcha_failed") // it is bound to its number
			body["captcha"] = proof
			var (
				mu    sync.Mutex
				wait  sync.WaitGroup
				told  int
				first reply
			)
			for range 5 {
				wait.Go(func() {
					r := b.checkNumber(body)
					mu.Lock()
					defer mu.Unlock()
					if r.status == http.StatusOK {
						told++
						first = r
					}
				})
			}
			wait.Wait()
			if told != 1 || first.body != want+"\n" || first.header.Get("Cache-Control") != "no-store" {
				t.Errorf("told %d times: %s", told, first.body)
			}
		}
		if n := w.events(t, "user.viewed"); n != 0 { // by operator, as the person would read it
			t.Errorf("%d records of a question in the record of whom it was about", n)
		}
		if check.levels[0] != 2 {
			t.Errorf("level %d", check.levels[0])
		}
		wantProblem(t, b.checkNumber(map[string]any{"client_id": "third", "phone": free}, "Authorization", basic("third", secret)), http.StatusBadRequest, "unauthorized_client")
		wantProblem(t, b.checkNumber(map[string]any{"client_id": "web", "phone": free}), http.StatusUnauthorized, "invalid_client")
		wantProblem(t, b.checkNumber(map[string]any{"client_id": "own", "phone": "12345"}), http.StatusUnprocessableEntity, "phone_invalid")
	})
}

// Requests are counted before anything is answered, by number and by address.
func TestAskingAboutNumbersIsLimited(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.server.tellTaken, w.server.captcha = true, &gate{}
		b, number := w.browser(t), newNumber()
		count := func(requests int, body func(int) map[string]any, header func(int) []string) (asked int, refused reply) {
			t.Helper()
			var mu sync.Mutex
			var wait sync.WaitGroup
			for i := range requests {
				wait.Go(func() {
					r := b.checkNumber(body(i), header(i)...)
					mu.Lock()
					defer mu.Unlock()
					if r.status == http.StatusForbidden {
						asked++
					} else {
						refused = r
					}
				})
			}
			wait.Wait()
			return asked, refused
		}
		asked, refused := count(15, func(int) map[string]any { return map[string]any{"client_id": "own", "phone": number} },
			func(i int) []string { return []string{"Test-Address", fmt.Sprintf("198.51.100.%d", i+1)} })
		wantProblem(t, refused, http.StatusTooManyRequests, "rate_limited")
		if asked != checksPerNumber || refused.header.Get("Retry-After") == "" {
			t.Errorf("%d of 15 about one number", asked)
		}
		asked, refused = count(45, func(int) map[string]any { return map[string]any{"client_id": "own", "phone": newNumber()} },
			func(int) []string { return []string{"Test-Address", "203.0.113.9"} })
		wantProblem(t, refused, http.StatusTooManyRequests, "rate_limited")
		if asked != checksPerAddress {
			t.Errorf("%d of 45 from one address", asked)
		}
	})
}

// Only a human check costs the app anything: others, who know its client_id, cannot use up what it may ask.
func TestAskingWithoutAProofCostsTheAppNothing(t *testing.T) {
	w := newWorld(t)
	w.server.tellTaken, w.server.captcha = true, &gate{}
	b := w.browser(t)
	question := func(i int) (map[string]any, []string) {
		return map[string]any{"client_id": "own", "phone": newNumber()}, []string{"Test-Address", fmt.Sprintf("198.51.%d.%d", i/200, i%200+1)}
	}
	for i := range checksPerClient {
		body, from := question(i)
		puzzleOf(t, b.checkNumber(body, from...), "captcha_required")
	}
	body, from := question(0)
	body["captcha"] = puzzleOf(t, b.checkNumber(body, from...), "captcha_required")
	if r := b.checkNumber(body, from...); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}
