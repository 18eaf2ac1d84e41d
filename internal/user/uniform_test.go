package user

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// samples is how many requests of each kind of person are compared.
const samples = 60

// trait is somebody who must not be told from the others.
type trait struct {
	times []time.Duration
}

// difference says how far two samples of times are apart: that of the medians, its
// part of their median, and the standard score of the rank sums (Mann and Whitney).
func difference(a, b []time.Duration) (apart time.Duration, part, z float64) {
	median := func(list []time.Duration) time.Duration {
		list = slices.Sorted(slices.Values(list))
		return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
	}
	apart = median(a) - median(b)
	part = float64(apart) / float64(median(slices.Concat(a, b)))
	wins := 0.0
	for _, x := range a {
		for _, y := range b {
			switch {
			case x > y:
				wins++
			case x == y:
				wins += 0.5
			}
		}
	}
	n, m := float64(len(a)), float64(len(b))
	return apart, part, (wins - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
}

// telling reports whether a difference of times could tell somebody something: all
// but certain, and of a size that a network leaves to be seen, or so large that no
// statistics are needed.
func telling(apart time.Duration, part, z float64) bool {
	part, z = math.Abs(part), math.Abs(z)
	return z > 3.5 && part > 0.05 || part > 0.25 && apart.Abs() > 3*time.Millisecond
}

// nobodyStandsOut makes requests for people of all the given kinds, in no order,
// and wants one answer in content and time. ask makes the request of the i-th
// person of a kind and returns the answer without what has to differ; no i comes
// twice. A machine that is busy with something else may slow one kind by chance:
// what shows three times in a row, the same way round, is none.
func nobodyStandsOut(t *testing.T, kinds []string, ask func(kind, i int) (seen string, took time.Duration)) {
	t.Helper()
	const rounds = 3
	worst := map[string][]float64{}
	want := ""
	for round := range rounds {
		traits := make([]trait, len(kinds))
		runtime.GC()
		for i := range samples + 3 {
			for _, kind := range rand.Perm(len(kinds)) {
				seen, took := ask(kind, round*(samples+3)+i)
				if want == "" {
					want = seen
				}
				if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(seen, "\n")); diff != "" {
					t.Fatalf("%s, another answer (-want +got):\n%s", kinds[kind], diff)
				}
				if i >= 3 { // the first ones find nothing warm
					traits[kind].times = append(traits[kind].times, took)
				}
			}
		}
		again := false
		for a := range kinds {
			for b := range a {
				apart, part, z := difference(traits[a].times, traits[b].times)
				pair := kinds[a] + " against " + kinds[b]
				t.Logf("%s: %v apart, %.1f %% of the median, z %.1f", pair, apart, 100*part, z)
				if telling(apart, part, z) {
					worst[pair] = append(worst[pair], z)
				}
				again = again || len(worst[pair]) == round+1
			}
		}
		if !again {
			return
		}
	}
	for pair, z := range worst {
		if len(z) == rounds && (slices.Min(z) > 0 || slices.Max(z) < 0) {
			t.Errorf("%s: told apart by time, standard scores %.1f", pair, z)
		}
	}
}

func TestDifferencesAreFound(t *testing.T) {
	around := func(middle time.Duration) (times []time.Duration) {
		for range samples {
			times = append(times, middle+time.Duration(rand.NormFloat64()*float64(middle)/8))
		}
		return times
	}
	base := around(4 * time.Millisecond)
	if apart, part, z := difference(base, base); apart != 0 || part != 0 || z != 0 {
		t.Errorf("from itself: %v %v %v", apart, part, z)
	}
	for _, slower := range []time.Duration{4800 * time.Microsecond, 8 * time.Millisecond} {
		if apart, part, z := difference(around(slower), base); !telling(apart, part, z) || z < 0 || apart < 0 {
			t.Errorf("%v: %v %v %v", slower, apart, part, z)
		}
	}
	missed := 0
	for range 100 {
		if apart, part, z := difference(around(4*time.Millisecond), around(4*time.Millisecond)); telling(apart, part, z) {
			missed++
		}
	}
	if missed > 5 { // one in two thousand is to be expected
		t.Errorf("%d of 100 equal ones differ", missed)
	}
}

// kinds of people.
const (
	stranger = iota
	withPassword
	withoutPassword
)

// crowd is a house in which many are known and as many are not.
func crowd(t *testing.T, d *db.DB) *house {
	h := newHouse(t, d)
	hash, err := h.users.passwords.Hash(t.Context(), goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	rows := "phone,password_hash\n"
	for i := range 3 * (samples + 3) {
		rows += one(withPassword, i) + ",\"" + hash + "\"\n" + one(withoutPassword, i) + ",\n"
	}
	outcomes, err := h.users.Import(t.Context(), csvRows(t, rows))
	if err != nil || outcomes[0].Result != RowCreated || outcomes[1].Result != RowCreated {
		t.Fatal(outcomesOf(outcomes[:2]), err)
	}
	return h
}

// one is the number of somebody; all of a crowd are far apart.
func one(kind, i int) string { return fmt.Sprintf("+86138%08d", (3*i+kind)*104729%100_000_000) }

// away gives the next request an address of its own.
func (h *house) away(kind, i int) {
	h.now.set(netip.AddrFrom4([4]byte{10, byte(kind), byte(i >> 8), byte(i)}))
}

// timed measures one answer.
func timed(do func() reply) (reply, time.Duration) {
	start := time.Now()
	r := do()
	return r, time.Since(start)
}

// delivered is the page about a code once its message is out; before that the page
// says that it is on its way.
func (b *browser) delivered(path string) reply {
	b.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		if page := b.get(path); strings.Contains(page.body, `data-state="sent"`) {
			return page
		}
	}
	b.t.Fatal("no message")
	return reply{}
}

// mask is how a page shows a number.
func mask(number string) string { return "138****" + number[len(number)-4:] }

var people = []string{"nobody", "an owner with a password", "an owner without"}

// N-36, T-14: sending, for a sign-in or a registration.
func TestSendingTellsNobody(t *testing.T) {
	for _, path := range []string{"/login", "/register"} {
		t.Run(path[1:], func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *db.DB) {
				h := crowd(t, d)
				visit := h.online()
				nobodyStandsOut(t, people, func(kind, i int) (string, time.Duration) {
					h.away(kind, i)
					b := visit()
					flow := b.get("/start").to(t).Query().Get("flow")
					form := url.Values{"flow": {flow}, "phone": {one(kind, i)}, "agree": {"1"}}
					r, took := timed(func() reply { return b.post(path, form) })
					challenge := r.to(t).Query().Get("challenge")
					page := b.delivered(r.header.Get("Location"))
					return r.bare(flow, challenge) + page.bare(flow, challenge, mask(one(kind, i))), took
				})
			})
		})
	}
}

// T-108: wrong codes; who forgot a password comes this way, too.
func TestWrongCodesTellNobody(t *testing.T) {
	for _, path := range []string{"/login/code", "/register"} {
		t.Run(strings.ReplaceAll(path[1:], "/", "-"), func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *db.DB) {
				h := crowd(t, d)
				visit := h.online()
				nobodyStandsOut(t, people, func(kind, i int) (string, time.Duration) {
					h.away(kind, i)
					b := visit()
					flow := b.get("/start").to(t).Query().Get("flow")
					to := b.ask(flow, one(kind, i)).to(t)
					b.delivered(to.String())
					challenge, wrong := to.Query().Get("challenge"), "000000"
					if h.sink.last(one(kind, i)) == wrong {
						wrong = "000001"
					}
					form := url.Values{"flow": {flow}, "challenge": {challenge}, "code": {wrong}, "password": {otherPassword}}
					r, took := timed(func() reply { return b.post(path, form) })
					r.wants(t, 422, "code-error")
					return r.bare(flow, challenge, mask(one(kind, i))), took
				})
			})
		})
	}
}

// T-41, T-108: the work alone; a refusal takes longer than that, and as long whoever
// it is (see RefusalTime).
func TestWrongPasswordsTellNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := crowd(t, d)
		visit := h.online()
		nobodyStandsOut(t, people, func(kind, i int) (string, time.Duration) {
			h.away(kind, i)
			b := visit()
			flow := b.openPassword("/start")
			r, took := timed(func() reply { return b.byPassword(flow, one(kind, i), otherPassword) })
			r.wants(t, 422, "page-password")
			return r.bare(flow, one(kind, i)[1:]), took
		})
	})
}

// S-11: even the right code says nothing to whoever watches the answers.
func TestRegisteringTellsNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := crowd(t, d)
		visit := h.online()
		nobodyStandsOut(t, people, func(kind, i int) (string, time.Duration) {
			h.away(kind, i)
			b := visit()
			flow, challenge := b.beginRegister("/start", one(kind, i))
			b.delivered("/register?flow=" + flow + "&challenge=" + challenge)
			code := h.sink.last(one(kind, i))
			r, took := timed(func() reply { return b.register(flow, challenge, code, otherPassword) })
			r.to(t)
			return r.bare(flow, challenge), took
		})
	})
}

// What is too little to be seen in the times is counted: before its code is right
// nothing is asked of the database because of whose a number is.
func TestNoNumberCostsMoreThanAnother(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.signIn(fixture(withoutPassword))
		h.withPassword(withPassword, "anna")
		steps := map[string]func(b *browser, flow, challenge string) reply{
			"/login/code": func(b *browser, flow, challenge string) reply { return b.finish(flow, challenge, "000000") },
			"/register": func(b *browser, flow, challenge string) reply {
				return b.register(flow, challenge, "000000", otherPassword)
			},
			"/register, a common password": func(b *browser, flow, challenge string) reply {
				return b.register(flow, challenge, testCode, "woaini1314")
			},
			"/login/code/resend": func(b *browser, flow, challenge string) reply {
				return b.post("/login/code/resend", url.Values{"flow": {flow}, "challenge": {challenge}})
			},
			"/register/resend": func(b *browser, flow, challenge string) reply {
				return b.post("/register/resend", url.Values{"flow": {flow}, "challenge": {challenge}})
			},
		}
		for name, step := range steps {
			for _, path := range []string{"/login", "/register"} {
				costs := make([][2]db.Counters, len(people))
				for kind := range people {
					b := h.browser()
					flow := b.get("/start").to(t).Query().Get("flow")
					before := d.Counters()
					to := b.post(path, url.Values{"flow": {flow}, "phone": {fixture(kind)}, "agree": {"1"}}).to(t)
					costs[kind][0] = spent(d, before)
					before = d.Counters()
					step(b, flow, to.Query().Get("challenge"))
					costs[kind][1] = spent(d, before)
				}
				if costs[stranger][0].Commits == 0 || costs[withPassword] != costs[stranger] || costs[withoutPassword] != costs[stranger] {
					t.Errorf("%s and %s: %+v", path, name, costs)
				}
			}
		}
	})
}

func spent(d *db.DB, before db.Counters) db.Counters {
	now := d.Counters()
	return db.Counters{
		Reads: now.Reads - before.Reads, Writes: now.Writes - before.Writes,
		TxStatements: now.TxStatements - before.TxStatements, Commits: now.Commits - before.Commits,
	}
}
