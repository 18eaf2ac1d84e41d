package sms

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func names(providers []Provider) string {
	var all []string
	for _, p := range providers {
		all = append(all, p.Name())
	}
	return strings.Join(all, " ")
}

func TestWeightedRouteIsDrawnByWeight(t *testing.T) {
	a, b, c := &recorder{name: "a"}, &recorder{name: "b"}, &recorder{name: "c"}
	r := Route{Providers: []Provider{a, b, c}, Weights: []int{3, 1, 6}}
	const draws = 20_000
	first := map[string]int{}
	for range draws {
		order := r.draw()
		first[order[0].Name()]++
		if rest := names(order); !slices.Contains([]string{"a c b", "b c a", "c a b"}, rest) {
			t.Fatalf("order %s", rest)
		}
	}
	for name, share := range map[string]float64{"a": .3, "b": .1, "c": .6} {
		// Six standard deviations.
		if got, off := float64(first[name])/draws, 6*math.Sqrt(share*(1-share)/draws); math.Abs(got-share) > off {
			t.Errorf("%s is first in %.3f, want %.3f", name, got, share)
		}
	}
	ordered := Route{Providers: r.Providers}
	for range 100 {
		if got := names(ordered.draw()); got != "a b c" {
			t.Fatal(got)
		}
	}
	if names(r.Providers) != "a b c" {
		t.Error("drawing changes the route")
	}
}

func TestRoutesAreChecked(t *testing.T) {
	p := &recorder{name: "p"}
	for name, r := range map[string]Route{
		"nil provider": {Providers: []Provider{nil}}, "few weights": {Providers: []Provider{p, p}, Weights: []int{1}},
		"zero": {Providers: []Provider{p}, Weights: []int{0}}, "many": {Providers: []Provider{p}, Weights: []int{1, 2}},
	} {
		if _, err := New(Config{Regions: []string{"CN"}, Routes: map[string]Route{"*": r}}, nil, nil, nil, nil); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// choosy is a provider for some numbers and purposes.
type choosy struct {
	recorder
	serves func(Number, Purpose) bool
}

func (c *choosy) Serves(n Number, p Purpose) bool { return c.serves(n, p) }

// Whom a provider does not serve it is not asked for, whatever breakers say.
func TestRouteLeavesOutWhoDoesNotServe(t *testing.T) {
	never := &choosy{recorder: recorder{name: "never"}, serves: func(Number, Purpose) bool { return false }}
	logins := &choosy{recorder: recorder{name: "logins"}, serves: func(_ Number, p Purpose) bool { return p == Login }}
	f := newFixture(t, dbtest.Open(t), Config{Routes: map[string]Route{"*": {Providers: []Provider{never, logins}, Weights: []int{9, 1}}}})
	for i := range 5 {
		f.send(t, login(t, fmt.Sprintf("+861380013804%d", i), "a"))
	}
	r := login(t, "+8613800138046", "a")
	r.Purpose = Delete
	wantFault(t, second(f.Send(t.Context(), r)), ErrProviderUnavailable)
	if len(logins.sent()) != 5 || len(never.sent()) != 0 {
		t.Errorf("%d and %d calls", len(logins.sent()), len(never.sent()))
	}
	pass(f.breakers["logins"], false, broken)
	f.send(t, login(t, "+8613800138047", "a")) // on trial: nobody else serves it
}

// A refusal to serve is no attempt.
func TestThreeProvidersOfWhichOneDoesNotServe(t *testing.T) {
	for _, code := range []string{codeInternational, codeNoTemplate} {
		one, two, three := &recorder{name: "one", answer: fails(Failover, code)}, &recorder{name: "two", answer: fails(Failover, "dial")}, &recorder{name: "three"}
		f := newFixture(t, dbtest.Open(t), Config{Routes: map[string]Route{"*": {Providers: []Provider{one, two, three}}}})
		f.send(t, login(t, "+8613800138045", "a"))
		if len(three.sent()) != 1 {
			t.Error("the third was not asked")
		}
	}
}

// An open breaker's provider is passed over while another can be asked.
func TestOpenBreakerIsPassedOver(t *testing.T) {
	one, two := &recorder{name: "one"}, &recorder{name: "two"}
	d := dbtest.Open(t)
	f := newFixture(t, d, Config{Routes: map[string]Route{"*": {Providers: []Provider{one, two}}}})
	pass(f.breakers["one"], false, broken)
	f.send(t, login(t, "+8613800138048", "a"))
	if len(one.sent()) != 0 || len(two.sent()) != 1 {
		t.Errorf("%d and %d calls", len(one.sent()), len(two.sent()))
	}
	two.set(fails(Failover, "dial"))
	f.send(t, login(t, "+8613800138049", "a")) // now nobody else can be asked
	if len(one.sent()) != 1 {
		t.Error("the open one was not tried after the other")
	}
}

// A person's re-send goes through the provider that had no turn, or whose turn
// was the longest ago, unless the carrier says that the message arrived.
func TestResendPrefersAnotherProvider(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		turns := func(t *testing.T, f *fixture, sent *[]string, e164 string, receipt string, breaks int) string {
			*sent = nil
			r := login(t, e164, "a")
			_, ref := f.send(t, r)
			for i := range 4 {
				if receipt != "" {
					if _, err := d.Exec(t.Context(), `UPDATE sms_ledger SET receipt = $1`, receipt); err != nil {
						t.Fatal(err)
					}
				}
				if i == breaks {
					pass(f.breakers["two"], false, broken)
				}
				if i%2 == 0 {
					if _, err := f.Resend(t.Context(), ref, Again{Address: r.Address}); err != nil {
						t.Fatal(err)
					}
				} else {
					f.send(t, r)
				}
			}
			return strings.Join(*sent, " ")
		}
		var sent []string
		note := func(name string) *recorder {
			return &recorder{name: name, answer: func(context.Context, Message) (string, error) {
				sent = append(sent, name)
				return "", nil
			}}
		}
		f := newFixture(t, d, Config{
			Cooldown: time.Nanosecond, PerHour: 40, PerDay: 40,
			Routes: map[string]Route{"*": {Providers: []Provider{note("one"), note("two"), note("three")}}},
		})
		for i, test := range []struct {
			receipt string
			breaks  int
			want    string
		}{
			{"", -1, "one two three one two"},
			{"undelivered", -1, "one two three one two"},
			{"delivered", -1, "one one one one one"},
			{"", 0, "one three one three one"},
		} {
			if got := turns(t, f, &sent, fmt.Sprintf("+861380013805%d", i), test.receipt, test.breaks); got != test.want {
				t.Errorf("receipt %q: %s, want %s", test.receipt, got, test.want)
			}
		}
		// Another challenge knows nothing of this.
		f.mend()
		sent = nil
		f.send(t, login(t, "+8613800138050", "other flow"))
		if strings.Join(sent, " ") != "one" {
			t.Error(sent)
		}
	})
}
