package server_test

import (
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/config"
)

func nothingIsNoCode(t *testing.T, s *stack) {
	a := newAgent(t, s)
	flow := a.flow()
	for _, form := range []url.Values{
		{"flow": {flow}}, {"flow": {flow}, "code": {""}}, {"flow": {flow}, "challenge": {""}, "code": {""}},
		{"flow": {flow}, "challenge": {"null"}, "code": {"null"}}, {"flow": {flow}, "challenge": {"x"}, "code": {"000000"}},
	} {
		if r := a.post("/login/code", form); r.status == http.StatusSeeOther || a.signedIn() {
			t.Errorf("%v: %d", form, r.status)
		}
	}
	for _, challenge := range []string{"", "x", "null", "."} {
		for _, code := range []string{"", "null", "000000"} {
			if r := a.smsGrant(challenge, code); r.status != http.StatusBadRequest {
				t.Errorf("challenge %q, code %q: %d", challenge, code, r.status)
			}
		}
	}
	// Nor is a challenge that exists opened by a code that does not.
	w := a.begin(newRequest("web", "https://rp.example/cb"), newNumber())
	for _, code := range []string{"", " ", "null", "undefined"} {
		w.code = code
		if r := a.finish(w); r.status == http.StatusSeeOther || a.signedIn() {
			t.Errorf("code %q: %d", code, r.status)
		}
	}
}

func codesAreSixDigits(t *testing.T, s *stack) {
	a, seen := newAgent(t, s), map[string]int{}
	for range 40 {
		number := newNumber()
		if r := a.ask(map[string]any{"client_id": "app", "phone": number}); r.status != http.StatusCreated {
			t.Fatalf("%d %s", r.status, r.body)
		}
		code := s.sink.last(t, number)
		if !regexp.MustCompile(`^[0-9]{6}$`).MatchString(code) {
			t.Errorf("a code of %d characters", len(code))
		}
		seen[code]++
	}
	if len(seen) < 38 { // more collisions than that once in a million runs
		t.Errorf("only %d different codes of 40", len(seen))
	}
}

func codesWorkOnce(t *testing.T, s *stack) {
	a, number := newAgent(t, s), newNumber()
	c := text(a.ask(map[string]any{"client_id": "app", "phone": number}).json(t), "challenge_id")
	code := s.sink.last(t, number)
	var wait sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for range 20 {
		wait.Go(func() {
			r := newAgent(t, s).smsGrant(c, code)
			mu.Lock()
			defer mu.Unlock()
			if r.status == http.StatusOK {
				granted++
			}
		})
	}
	wait.Wait()
	if granted != 1 {
		t.Errorf("a code was good for %d sign-ins", granted)
	}
	if r := a.smsGrant(c, code); r.status != http.StatusBadRequest {
		t.Errorf("afterwards: %d", r.status)
	}
}

func triesAndSendsHaveLimits(t *testing.T, s *stack) {
	a, number := newAgent(t, s), newNumber()
	w := a.begin(newRequest("web", "https://rp.example/cb"), number)
	right := w.code
	w.code = wrongOf(right)
	for range 5 {
		a.finish(w)
	}
	w.code = right
	if r := a.finish(w); r.status == http.StatusSeeOther || a.signedIn() {
		t.Errorf("the right code after five wrong ones: %d", r.status)
	}
	for range 3 {
		b := newAgent(t, s)
		if r := b.post("/login", values("flow", b.flow(), "phone", number)); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
			t.Errorf("a second message at once: %d", r.status)
		}
	}
	if n := len(s.sink.codes(number)); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func strangersBurnNothing(t *testing.T, s *stack) {
	a := newAgent(t, s)
	q := newRequest("web", "https://rp.example/cb")
	w := a.begin(q, newNumber())
	for range 10 {
		b := newAgent(t, s)
		for _, flow := range []string{w.flow, b.flow()} {
			for _, code := range []string{wrongOf(w.code), w.code} {
				if r := b.post("/login/code", values("flow", flow, "challenge", w.challenge, "code", code)); r.status == http.StatusSeeOther {
					t.Fatalf("a stranger used the challenge: %d", r.status)
				}
			}
		}
	}
	a.codeOf(q, a.finish(w))
}

func sendsAtOnceAreOne(t *testing.T, s *stack) {
	number := newNumber()
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() { newAgent(t, s).ask(map[string]any{"client_id": "app", "phone": number}) })
	}
	wait.Wait()
	if n := len(s.sink.codes(number)); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// refusing lets the provider refuse every message until the test ends.
func (s *sink) refusing(t *testing.T) (stop func()) {
	set := func(f func(http.ResponseWriter) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fault = f
	}
	set(func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadRequest); return true })
	stop = sync.OnceFunc(func() { set(nil) })
	t.Cleanup(stop)
	return stop
}

func failuresAreTold(t *testing.T, s *stack) {
	a, number := newAgent(t, s), newNumber()
	stop := s.sink.refusing(t)
	if r := a.ask(map[string]any{"client_id": "app", "phone": number}); r.status < 400 || r.json(t)["challenge_id"] != nil {
		t.Errorf("the provider refused, and we said %d", r.status)
	}
	if r := a.post("/login", values("flow", a.flow(), "phone", number)); r.status < 400 {
		t.Errorf("the provider refused, and the page went on with %d", r.status)
	}
	stop()
	if r := a.ask(map[string]any{"client_id": "app", "phone": number}); r.status != http.StatusCreated {
		t.Errorf("a refused message was charged: %d", r.status)
	}
}

// A code that was sent stays good when the next message is refused.
func failedSendsReplaceNothing(t *testing.T, _ *stack) {
	s := startWith(t, modes[0], options{limits: ", cooldown: 1s"})
	a := newAgent(t, s)
	q := newRequest("web", "https://rp.example/cb")
	w := a.begin(q, newNumber())
	stop := s.sink.refusing(t)
	time.Sleep(1100 * time.Millisecond) // the pause between two messages, which no setting makes shorter
	if r := a.post("/login/code/resend", values("flow", w.flow, "challenge", w.challenge)); r.status == http.StatusSeeOther {
		t.Errorf("a refused re-send is taken for one: %d", r.status)
	}
	if n := len(s.sink.codes(w.number)); n != 1 {
		t.Fatalf("%d messages", n)
	}
	stop()
	a.codeOf(q, a.finish(w))
}

// An address that asks too often is sent nothing more, whatever it says about a
// human check: with none passed there is no way around one.
func noCheckIsNoPass(t *testing.T, _ *stack) {
	s := startWith(t, modes[0], options{adjust: func(c *config.Config) { c.SMS.Limits.PerAddressHour = 1 }})
	a := newAgent(t, s)
	refused := 0
	for i := range 12 {
		body := map[string]any{"client_id": "app", "phone": newNumber()}
		if i%2 == 0 {
			body["captcha"] = `{"geetest_challenge":"x","geetest_validate":"x","geetest_seccode":"x|jordan"}`
		}
		switch r := a.ask(body); r.status {
		case http.StatusForbidden, http.StatusTooManyRequests, http.StatusUnprocessableEntity, http.StatusBadRequest:
			refused++
		}
	}
	if n := s.sink.total(); n > 5 || refused < 7 {
		t.Errorf("%d messages, %d refusals", n, refused)
	}
}
