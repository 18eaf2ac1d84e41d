package user

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// The hashes of other systems cost up to ten times what ours do, these here less, for
// the race detector's sake. Who has one does not show: not one guess at a time, and not
// ten beside each other.
func TestDearHashesTellNobody(t *testing.T) {
	zeros := func(n int, b64 *base64.Encoding) string { return b64.EncodeToString(make([]byte, n)) }
	argon2 := "$argon2id$v=19$m=%d,t=%d,p=1$" + zeros(16, base64.RawStdEncoding) + "$" + zeros(32, base64.RawStdEncoding)
	hashes := []string{
		"", // a stranger
		"$2b$09$" + strings.Repeat("a", 53),
		"pbkdf2_sha256$150000$salt$" + zeros(32, base64.StdEncoding),
		fmt.Sprintf(argon2, 32<<10, 1),
	}
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		rows := "phone,password_hash\n"
		for i, hash := range hashes[1:] {
			rows += fixture(i+1) + ",\"" + hash + "\"\n"
		}
		rows += fixture(10) + ",$2b$13$" + strings.Repeat("a", 53) + "\n"
		outcomes, err := h.users.Import(t.Context(), csvRows(t, rows))
		if err != nil || outcomes[2].Result != RowCreated || outcomes[3].Result != RowRefused || outcomes[3].Reason == "" {
			t.Fatal(outcomesOf(outcomes), err)
		}
		pad := h.refusesAfter(hashes[1:]...)
		visit := h.online()
		var statuses []string
		var slowest []time.Duration
		for i := range hashes {
			h.away(0, i)
			one, oneTook := h.guesses(visit, fixture(i), 1)
			ten, tenTook := h.guesses(visit, fixture(i), 10)
			statuses = append(statuses, fmt.Sprint(one, ten))
			slowest = append(slowest, oneTook, tenTook)
		}
		if want := fmt.Sprint([]int{422}, []int{422, 429, 429, 429, 429, 429, 429, 429, 429, 429}); slices.ContainsFunc(statuses, func(s string) bool { return s != want }) {
			t.Errorf("answered %v", statuses)
		}
		if least, most := slices.Min(slowest), slices.Max(slowest); least < pad || most-least > pad/2 {
			t.Errorf("the slowest answers took %v", slowest)
		}
	})
}

// refusesAfter makes a refusal take the second that it takes by default, or three times
// the dearest of these hashes where the race detector makes that longer.
func (h *house) refusesAfter(hashes ...string) time.Duration {
	h.t.Helper()
	pad := time.Second
	for _, hash := range hashes {
		began := time.Now()
		if _, err := h.users.passwords.Verify(h.t.Context(), hash, otherPassword); err != nil {
			h.t.Fatal(err)
		}
		pad = max(pad, 3*time.Since(began))
	}
	h.users = h.users.With(RefusalTime(pad))
	h.pages.Users = h.users
	return pad
}

// guesses are n wrong passwords for a name at once: the statuses in order and the
// longest time.
func (h *house) guesses(visit func() *browser, name string, n int) (statuses []int, slowest time.Duration) {
	h.t.Helper()
	statuses = make([]int, n)
	times := make([]time.Duration, n)
	browsers, flows := make([]*browser, n), make([]string, n)
	for i := range n {
		browsers[i] = visit()
		flows[i] = browsers[i].openPassword("/start")
	}
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			var r reply
			r, times[i] = timed(func() reply { return browsers[i].byPassword(flows[i], name, otherPassword) })
			statuses[i] = r.status
		})
	}
	wait.Wait()
	slices.Sort(statuses)
	return statuses, slices.Max(times)
}

// A hash that needs much memory waits for its turn no longer than others take to be
// refused, and then says what they say.
func TestABusyTurnIsToldToNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		heavy := "$argon2id$v=19$m=65536,t=2,p=1$" + base64.RawStdEncoding.EncodeToString(make([]byte, 16)) + "$" + base64.RawStdEncoding.EncodeToString(make([]byte, 32))
		rows := "phone,password_hash\n"
		for i := range 8 {
			rows += fixture(i) + ",\"" + heavy + "\"\n"
		}
		if _, err := h.users.Import(t.Context(), csvRows(t, rows)); err != nil {
			t.Fatal(err)
		}
		pad := h.refusesAfter(heavy)
		visit := h.online()
		var wait sync.WaitGroup
		for i := range 9 {
			b := visit()
			flow := b.openPassword("/start")
			wait.Go(func() {
				r, took := timed(func() reply { return b.byPassword(flow, fixture(i), otherPassword) })
				if r.status != 422 || took < pad || took > pad+pad/2 {
					t.Errorf("%s: %d after %v", fixture(i), r.status, took)
				}
			})
		}
		wait.Wait()
	})
}
