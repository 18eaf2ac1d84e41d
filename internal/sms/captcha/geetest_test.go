package captcha

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// Vectors with made-up keys, computed elsewhere.
func TestGeetestVectors(t *testing.T) {
	v, _, err := newGeetest(Config{Type: "geetest_v3", ID: "id", Key: "dialtone-geetest-v3-test-key"})
	if err != nil {
		t.Fatal(err)
	}
	v3 := v.(*geetestV3)
	challenge := v3.digest("0123456789abcdef0123456789abcdef")
	if challenge != "b4c8cc680183e9682dd6015da63f2f2e" {
		t.Errorf("challenge %s", challenge)
	}
	validate := v3.expect(challenge)
	if validate != "b5bbe3400d266e57f8c686011f278129" {
		t.Errorf("validate %s", validate)
	}
	if reply := md5Hex(validate + "|jordan"); reply != "f7853c30f17ceaaa170534ddb74ec3d5" {
		t.Errorf("reply %s", reply)
	}
	proof := func(validate string) []byte {
		return fmt.Appendf(nil, `{"geetest_challenge":%q,"geetest_validate":%q,"geetest_seccode":%q}`, challenge, validate, validate+"|jordan")
	}
	if _, _, ok := v3.read(proof(validate), challenge); !ok {
		t.Error("the vendor's proof is refused")
	}
	if _, _, ok := v3.read(proof("2bf14f9e227fc86c6b52dc6050149d1f"), challenge); ok {
		t.Error("the offline mode's proof is accepted")
	}
	if got := geetestSign("dialtone-geetest-v4-test-key", "fedcba9876543210fedcba9876543210"); got != "9011c5156b013b6da27eaa39f952b5029b19f14a025024b60034c87b278a2bd4" {
		t.Errorf("sign_token %s", got)
	}
}

// onGeetest is a checker whose vendor is the fake.
func onGeetest(t testing.TB, kind string, g *geetest) *fixture {
	t.Helper()
	f := newFixture(t, Config{Type: kind, ID: geetestID, Key: geetestKey, Endpoint: g.URL})
	f.hurry()
	return f
}

// hurry has the checker wait for the vendor for a moment only.
func (f *fixture) hurry() {
	switch v := f.vendor.(type) {
	case *geetestV3:
		v.timeout = 300 * time.Millisecond
	case *geetestV4:
		v.timeout = 300 * time.Millisecond
	}
}

func widgetOf(t testing.TB, p Puzzle) map[string]any {
	t.Helper()
	var w map[string]any
	if err := json.Unmarshal(p.Data, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// solve does what widget and script do: the proof with the puzzle's state.
func (g *geetest) solve(t testing.TB, p Puzzle) map[string]string {
	t.Helper()
	w := widgetOf(t, p)
	var proof map[string]string
	switch p.Type {
	case "geetest_v3":
		proof = g.solveV3(w["challenge"].(string))
	case "geetest_v4":
		proof = g.solveV4()
	default:
		t.Fatalf("a puzzle of type %s", p.Type)
	}
	proof["state"] = w["state"].(string)
	return proof
}

func sent(t testing.TB, proof map[string]string) Answer {
	t.Helper()
	text, err := json.Marshal(proof)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{Proof: string(text)}
}

func eachGeetest(t *testing.T, f func(t *testing.T, kind string)) {
	for _, kind := range []string{"geetest_v3", "geetest_v4"} {
		t.Run(kind, func(t *testing.T) { f(t, kind) })
	}
}

func TestGeetestPassesOnce(t *testing.T) {
	eachGeetest(t, func(t *testing.T, kind string) {
		g := newGeetestFake(t)
		f := onGeetest(t, kind, g)
		p := f.puzzle(t, someone(), 1)
		w := widgetOf(t, p)
		if p.Type != kind || p.Ticket == "" || !strings.HasPrefix(w["script"].(string), g.URL+"/") || w["gt"] != geetestID && w["captchaId"] != geetestID {
			t.Errorf("%+v %v", p, w)
		}
		if strings.Contains(string(p.Data), geetestKey) || strings.Contains(fmt.Sprintf("%+v %#v", f.vendor, f.vendor), geetestKey) {
			t.Error("the key shows")
		}
		a := sent(t, g.solve(t, p))
		f.wants(t, someone(), a, kind, "passed")
		before := g.called()
		f.wants(t, someone(), a, kind, "replayed")
		if g.called() != before {
			t.Error("the vendor was asked about a used proof")
		}
		// The picture takes the widget's place for who cannot use it.
		p = f.puzzle(t, someone(), 1)
		f.wants(t, someone(), Answer{Ticket: p.Ticket, Typed: typed(t, f, p.Ticket)}, "picture", "passed")
	})
}

func TestGeetestIsForItsBindingAlone(t *testing.T) {
	eachGeetest(t, func(t *testing.T, kind string) {
		g := newGeetestFake(t)
		f := onGeetest(t, kind, g)
		a := sent(t, g.solve(t, f.puzzle(t, someone(), 1)))
		for _, b := range []Binding{{}, {Flow: someone().Flow, Number: []byte("another"), Action: "login"}, {Flow: []byte("another"), Number: someone().Number, Action: "login"}} {
			f.wants(t, b, a, kind, "failed")
		}
		f.wants(t, someone(), a, kind, "passed")
	})
}

func TestForgedGeetestProofs(t *testing.T) {
	eachGeetest(t, func(t *testing.T, kind string) {
		g := newGeetestFake(t)
		f := onGeetest(t, kind, g)
		other := g.solve(t, f.puzzle(t, someone(), 1))
		for name, forge := range map[string]func(p map[string]string){
			"no state":         func(p map[string]string) { delete(p, "state") },
			"nonsense state":   func(p map[string]string) { p["state"] = "x" },
			"picture's ticket": func(p map[string]string) { p["state"] = f.puzzle(t, someone(), 1).Ticket },
			"nothing else":     func(p map[string]string) { maps.DeleteFunc(p, func(k, _ string) bool { return k != "state" }) },
			"oversized":        func(p map[string]string) { p["more"] = strings.Repeat("x", maxProof) },
			// Version 3.
			"offline mode": func(p map[string]string) {
				p["geetest_validate"] = md5Hex(p["geetest_challenge"])
				p["geetest_seccode"] = p["geetest_validate"] + "|jordan"
				p["lot_number"] = strings.Repeat("0", 32)
			},
			"another's challenge": func(p map[string]string) {
				for _, name := range []string{"geetest_challenge", "geetest_validate", "geetest_seccode"} {
					p[name] = other[name]
				}
				p["lot_number"] = "short"
			},
			"seccode":       func(p map[string]string) { p["geetest_seccode"] = "x|jordan"; p["pass_token"] = "" },
			"longer suffix": func(p map[string]string) { p["geetest_challenge"] += "abc"; p["gen_time"] = "" },
			// Version 4; what is wrong for version 3 as well is so by another member.
			"pass token": func(p map[string]string) { p["pass_token"] = "ANOTHER"; p["geetest_validate"] = "x" },
			"gen time":   func(p map[string]string) { p["gen_time"] = "tomorrow"; p["geetest_validate"] = "x" },
			"no token":   func(p map[string]string) { p["captcha_output"] = "<script>"; p["geetest_validate"] = "x" },
			"upper case lot": func(p map[string]string) {
				p["lot_number"] = strings.ToUpper(p["lot_number"][:min(len(p["lot_number"]), 31)]) + "A"
				p["geetest_validate"] = "x"
			},
		} {
			p := g.solve(t, f.puzzle(t, someone(), 1))
			forge(p)
			t.Run(name, func(t *testing.T) { f.wants(t, someone(), sent(t, p), kind, "failed") })
		}
		f.wants(t, someone(), Answer{Proof: "{"}, kind, "failed")
		f.wants(t, someone(), sent(t, other), kind, "passed")
		if p := f.puzzle(t, someone(), 1); p.Type != kind {
			t.Error("forged proofs took the vendor away")
		}
	})
}

// A vendor that says no, and an account that the vendor does not know.
func TestGeetestSaysNo(t *testing.T) {
	eachGeetest(t, func(t *testing.T, kind string) {
		g := newGeetestFake(t)
		f := onGeetest(t, kind, g)
		a := g.solve(t, f.puzzle(t, someone(), 1))
		g.mu.Lock()
		clear(g.solved) // as if the person had failed
		g.mu.Unlock()
		f.wants(t, someone(), sent(t, a), kind, "failed")

		a = g.solve(t, f.puzzle(t, someone(), 1))
		stranger := newFixtureOn(t, Config{Type: kind, ID: geetestID, Key: "a wrong key", Endpoint: g.URL}, f.vault, f.marks)
		stranger.wants(t, someone(), sent(t, a), kind, "failed")
	})
	g := newGeetestFake(t)
	f := newFixture(t, Config{Type: "geetest_v3", ID: "unknown", Key: geetestKey, Endpoint: g.URL})
	if p := f.puzzle(t, someone(), 1); p.Type != "pow" || f.observed()["geetest_v3 vendor_down"] != 1 {
		t.Errorf("%+v, observed %v", p, f.observed())
	}
}

// Whatever goes wrong, nothing passes, and the next puzzle can be solved.
func TestGeetestAwayIsAProofOfWork(t *testing.T) {
	eachGeetest(t, func(t *testing.T, kind string) {
		for _, fault := range []string{"hang", "reset", "status 500", "redirect", "huge", "<html>", `{"status":"succ`, "{}", "null", `"success"`, "[]"} {
			t.Run(fault, func(t *testing.T) {
				g := newGeetestFake(t)
				f := onGeetest(t, kind, g)
				answer := sent(t, g.solve(t, f.puzzle(t, someone(), 1)))
				g.fail(fault)
				f.wants(t, someone(), answer, kind, "vendor_down")
				calls := g.called()

				p := f.puzzle(t, someone(), 1)
				if c := challengeOf(t, p); c.MaxNumber != maxNumber(2) {
					t.Errorf("instead of a person's work only %d numbers", c.MaxNumber)
				}
				f.wants(t, someone(), Answer{Proof: work(t, p).proof(t)}, "pow", "passed")
				if g.called() != calls {
					t.Error("the vendor was asked again at once")
				}

				// The vendor is back, but the answer was used.
				g.fail("")
				f.wants(t, someone(), answer, kind, "replayed")
				if p := f.puzzle(t, someone(), 1); p.Type != "pow" {
					t.Errorf("a puzzle of type %s within the minute", p.Type)
				}
				f.down.Add(-int64(vendorRest)) // a minute later
				f.wants(t, someone(), sent(t, g.solve(t, f.puzzle(t, someone(), 1))), kind, "passed")

				logs := f.logs.String()
				if strings.Count(logs, "\n") != 1 || strings.Contains(logs, geetestID) || strings.Contains(logs, g.URL) || strings.Contains(logs, geetestKey) {
					t.Errorf("logged %q", logs)
				}
			})
		}
	})
}

func TestGeetestV3AwayAtRegistration(t *testing.T) {
	for _, fault := range []string{"hang", "reset", "status 500", "<html>", `{"challenge":"0"}`, `{"challenge":""}`, "0"} {
		g := newGeetestFake(t)
		f := onGeetest(t, "geetest_v3", g)
		g.fail(fault)
		for range 3 {
			if p := f.puzzle(t, someone(), 3); p.Type != "pow" || challengeOf(t, p).MaxNumber != maxNumber(3) {
				t.Errorf("%s: %+v", fault, p)
			}
		}
		if got := f.observed()["geetest_v3 vendor_down"]; got != 1 || g.called() != 1 {
			t.Errorf("%s: observed %d times, called %d times", fault, got, g.called())
		}
	}
	f := newFixture(t, Config{Type: "geetest_v3", ID: geetestID, Key: geetestKey, Endpoint: deadEndpoint(t)})
	if p := f.puzzle(t, someone(), 1); p.Type != "pow" {
		t.Errorf("%+v", p)
	}
}

// Who hangs up does not take the vendor away from the others.
func TestHangingUpIsNoOutage(t *testing.T) {
	eachGeetest(t, func(t *testing.T, kind string) {
		g := newGeetestFake(t)
		f := newFixture(t, Config{Type: kind, ID: geetestID, Key: geetestKey, Endpoint: g.URL})
		answer := sent(t, g.solve(t, f.puzzle(t, someone(), 1)))
		g.fail("hang")
		gone := func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 100*time.Millisecond)
		}
		ctx, cancel := gone()
		defer cancel()
		if _, err := f.Verify(ctx, someone(), answer); err == nil || errors.Is(err, ErrFailed) {
			t.Errorf("got %v", err)
		}
		if kind == "geetest_v3" {
			ctx, cancel := gone()
			defer cancel()
			if _, err := f.Puzzle(ctx, someone(), 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		g.fail("")
		if p := f.puzzle(t, someone(), 1); p.Type != kind {
			t.Errorf("a puzzle of type %s", p.Type)
		}
	})
}

func TestOneOfManyGeetestReplaysPasses(t *testing.T) {
	eachStore(t, func(t *testing.T, v *signing.Vault, e ephemeral.Store) {
		for _, kind := range []string{"geetest_v3", "geetest_v4"} {
			g := newGeetestFake(t)
			f := newFixtureOn(t, Config{Type: kind, ID: geetestID, Key: geetestKey, Endpoint: g.URL}, v, e)
			answer := sent(t, g.solve(t, f.puzzle(t, someone(), 1)))
			if n := f.race(t, someone(), answer); n != 1 || f.observed()[kind+" replayed"] != 63 {
				t.Errorf("%s: %d of 64 passed, observed %v", kind, n, f.observed())
			}
		}
	})
}

func TestConfigurationOfTheCheck(t *testing.T) {
	f := newFixture(t, Config{Type: "none"})
	if f.Enabled() || f.Origins() != nil {
		t.Error("none is enabled")
	}
	if _, err := f.Puzzle(t.Context(), someone(), 1); !errors.Is(err, ErrFailed) {
		t.Errorf("puzzle: %v", err)
	}
	if _, err := f.Verify(t.Context(), someone(), Answer{Proof: "x"}); !errors.Is(err, ErrFailed) {
		t.Errorf("verify: %v", err)
	}
	for want, c := range map[string]Config{
		"type is unknown":       {Type: "altcha"},
		"are a vendor's":        {Type: "pow", Key: "x"},
		"needs id and key":      {Type: "geetest_v3", ID: "x"},
		"must be https":         {Type: "geetest_v4", ID: "x", Key: "y", Endpoint: "http://geetest.example"},
		"must be scheme, host":  {Type: "geetest_v4", ID: "x", Key: "y", Endpoint: "https://geetest.example/validate"},
		"is not an absolute":    {Type: "geetest_v4", ID: "x", Key: "y", Endpoint: "geetest.example"},
		"scheme, host and port": {Type: "geetest_v3", ID: "x", Key: "y", Endpoint: "https://user:secret@geetest.example"},
	} {
		if _, err := New(c, f.vault, f.marks); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for kind, origins := range map[string]int{"pow": 0, "geetest_v3": 3, "geetest_v4": 3} {
		c := Config{Type: kind}
		if origins > 0 {
			c.ID, c.Key = "x", "y"
		}
		k, err := New(c, f.vault, f.marks)
		if err != nil || !k.Enabled() || len(k.Origins()) != origins {
			t.Errorf("%s: %v, %v", kind, k, err)
		}
	}
}

// believing is a vendor that says yes as often as it is asked.
type believing struct{ geetestV4 }

func (*believing) validate(context.Context, url.Values, string) (bool, error) { return true, nil }

// A lot of version 4 is bound to no puzzle, so it must not come back with a later
// one, for another number, after the puzzle that it was first used for is gone.
func TestALotIsNoAnswerToALaterPuzzle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{Type: "geetest_v4", ID: geetestID, Key: geetestKey})
		f.vendor = &believing{geetestV4{id: geetestID, sign: func(string) string { return "" }}}
		lot := map[string]string{"lot_number": strings.Repeat("0a", 16), "captcha_output": "x", "pass_token": "y", "gen_time": "1795000000"}
		with := func(p Puzzle) Answer {
			lot["state"] = widgetOf(t, p)["state"].(string)
			return sent(t, lot)
		}
		old := f.puzzle(t, someone(), 1)
		time.Sleep(vendorLife - time.Second)
		f.wants(t, someone(), with(old), "geetest_v4", "passed")
		other := someone()
		other.Number = []byte("another number")
		for range 12 {
			time.Sleep(vendorLife)
			f.wants(t, other, with(f.puzzle(t, other, 1)), "geetest_v4", "replayed")
		}
	})
}

// Whoever has one puzzle has the vendor asked, and a row made, once.
func TestAPuzzleAsksTheVendorOnce(t *testing.T) {
	g := newGeetestFake(t)
	f := onGeetest(t, "geetest_v4", g)
	p := f.puzzle(t, someone(), 1)
	forged := g.solve(t, p)
	forged["pass_token"] = "x"
	f.wants(t, someone(), sent(t, forged), "geetest_v4", "failed")
	calls := g.called()
	f.wants(t, someone(), sent(t, g.solve(t, p)), "geetest_v4", "replayed")
	if g.called() != calls {
		t.Error("the vendor was asked again for a used puzzle")
	}
}
