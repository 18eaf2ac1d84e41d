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

// The hashes of other systems cost up to ten times what ours do. Who has one does
// not show: not one guess at a time, and not ten beside each other.
func TestDearHashesTellNobody(t *testing.T) {
	zeros := func(n int, b64 *base64.Encoding) string { return b64.EncodeToString(make([]byte, n)) }
	argon2 := "$argon2id$v=19$m=%d,t=%d,p=1$" + zeros(16, base64.RawStdEncoding) + "$" + zeros(32, base64.RawStdEncoding)
	hashes := []string{
		"", // a stranger
		"$2b$12$" + strings.Repeat("a", 53),
		"pbkdf2_sha256$1000000$salt$" + zeros(32, base64.StdEncoding),
		fmt.Sprintf(argon2, 128<<10, 2),
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
		h.users = h.users.With(RefusalTime(time.Second))
		h.pages.Users = h.users
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
		if least, most := slices.Min(slowest), slices.Max(slowest); least < time.Second || most-least > 500*time.Millisecond {
			t.Errorf("the slowest answers took %v", slowest)
		}
	})
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
		heavy := "$argon2id$v=19$m=131072,t=2,p=1$" + base64.RawStdEncoding.EncodeToString(make([]byte, 16)) + "$" + base64.RawStdEncoding.EncodeToString(make([]byte, 32))
		rows := "phone,password_hash\n"
		for i := range 8 {
			rows += fixture(i) + ",\"" + heavy + "\"\n"
		}
		if _, err := h.users.Import(t.Context(), csvRows(t, rows)); err != nil {
			t.Fatal(err)
		}
		h.users = h.users.With(RefusalTime(time.Second))
		h.pages.Users = h.users
		visit := h.online()
		var wait sync.WaitGroup
		for i := range 9 {
			b := visit()
			flow := b.openPassword("/start")
			wait.Go(func() {
				r, took := timed(func() reply { return b.byPassword(flow, fixture(i), otherPassword) })
				if r.status != 422 || took < time.Second || took > 1800*time.Millisecond {
					t.Errorf("%s: %d after %v", fixture(i), r.status, took)
				}
			})
		}
		wait.Wait()
	})
}
