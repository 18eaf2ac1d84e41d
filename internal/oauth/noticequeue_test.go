package oauth

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Who came through a client once is known to it, however long ago its grant ended.
func TestAClientOfOneSignInIsToldToo(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		rc := newReceiver(t)
		w.listen(t, rc, "web", "third")
		b, q := w.browser(t), webRequest()
		first := b.redeem(q, q.wantCode(b.signIn(b.authorize(q), newNumber())))
		subject, _ := sid(t, first)
		for _, gone := range []string{`DELETE FROM grants WHERE user_id = $1`, `DELETE FROM agreements WHERE user_id = $1`} {
			_, err := w.db.Exec(t.Context(), gone, subject)
			must(t, err)
		}
		must(t, w.users.Delete(t.Context(), subject))
		if n := w.waiting(t); n != 1 {
			t.Errorf("%d wait", n)
		}
	})
}

// A client that is disabled may be enabled again, and learns of it then.
func TestADisabledClientIsToldLater(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		rc := newReceiver(t)
		w.listen(t, rc, "own")
		c := w.courier(t, rc)
		able := func(yes bool) {
			t.Helper()
			own, err := w.clients.Read(t.Context(), "own")
			must(t, err)
			own.Disabled = !yes
			must(t, w.clients.Update(t.Context(), own))
		}
		deliver := func(after time.Duration, want int) {
			t.Helper()
			if n, err := c.Deliver(t.Context(), time.Now().Add(after)); n != want || err != nil {
				t.Errorf("%d arrived, %v", n, err)
			}
		}
		before, during := w.holder(t, accountScopes), w.holder(t, accountScopes)
		must(t, w.users.Delete(t.Context(), before.subject))
		able(false)
		must(t, w.users.Delete(t.Context(), during.subject))
		deliver(0, 0)
		if n := w.waiting(t); n != 2 {
			t.Fatalf("%d wait", n)
		}
		able(true)
		deliver(time.Minute, 2)

		must(t, w.users.Delete(t.Context(), w.holder(t, accountScopes).subject))
		able(false)
		deliver(8*24*time.Hour, 0)
		if n := w.waiting(t); n != 0 || len(rc.answer(http.StatusAccepted)) != 2 {
			t.Errorf("%d wait after a week", n)
		}
	})
}

// slowReceiver holds up what it is told under /own, and says how much at once.
type slowReceiver struct {
	*receiver
	mu        sync.Mutex
	now, most int
	at        []time.Time
	other     time.Time // when somebody else was told
	hold      time.Duration
}

func newSlowReceiver(t *testing.T, hold time.Duration) *slowReceiver {
	s := &slowReceiver{receiver: newReceiver(t), hold: hold}
	prompt := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/own" {
			s.mu.Lock()
			s.other = time.Now()
			s.mu.Unlock()
			prompt.ServeHTTP(w, r)
			return
		}
		s.mu.Lock()
		s.now++
		s.most, s.at = max(s.most, s.now), append(s.at, time.Now())
		s.mu.Unlock()
		time.Sleep(s.hold)
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
		w.WriteHeader(http.StatusInternalServerError)
	})
	return s
}

// A receiver that hangs delays its own notices alone, and each is one server's for
// half a minute from when it was taken.
func TestAHangingReceiverDelaysNobodyElse(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		rc := newSlowReceiver(t, time.Second)
		w.listen(t, rc.receiver, "own", "web2")
		for range 6 {
			must(t, w.users.Delete(t.Context(), w.holder(t, accountScopes).subject))
		}
		h, q := w.holder(t, accountScopes), ask("web2", "https://rp2.example/cb")
		h.redeem(q, q.wantCode(h.authorize(q)))
		must(t, w.users.Delete(t.Context(), h.subject))

		begun := time.Now()
		if n, err := w.courier(t, rc.receiver).Deliver(context.Background(), time.Now()); n != 1 || err != nil {
			t.Errorf("%d arrived, %v", n, err)
		}
		rc.mu.Lock()
		defer rc.mu.Unlock()
		if after := rc.other.Sub(begun); after > 900*time.Millisecond {
			t.Errorf("somebody else was told after %v", after)
		}
		if rc.most > 2 || len(rc.at) != 7 {
			t.Errorf("%d at once, %d in all", rc.most, len(rc.at))
		}
		var last int64
		must(t, w.db.QueryRow(t.Context(), `SELECT MAX(due_at) FROM outbox`).Scan(&last))
		if left := db.Time(last).Sub(rc.at[len(rc.at)-1]); left < 29500*time.Millisecond {
			t.Errorf("the last one was taken for %v", left)
		}
		if text := w.log.String(); !strings.Contains(text, "could not be told") {
			t.Errorf("the log says %s", text)
		}
	})
}

// What a receiver's address has in its query may be a secret.
func TestTheQueryOfAReceiverIsNotLogged(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		rc := newReceiver(t)
		w.setReceiver(t, "own", rc.URL+"/own?key=geheim")
		c := w.courier(t, rc)
		rc.Close()
		must(t, w.users.Delete(t.Context(), w.holder(t, accountScopes).subject))
		if n, err := c.Deliver(t.Context(), time.Now()); n != 0 || err != nil {
			t.Errorf("%d arrived, %v", n, err)
		}
		if text := w.log.String(); strings.Contains(text, "geheim") || !strings.Contains(text, "could not be told") {
			t.Errorf("the log says %s", text)
		}
	})
}
