package captcha

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// The published form, with values that were computed elsewhere.
func TestProofOfWorkVector(t *testing.T) {
	const (
		salt      = "46ba1e4737b16a2d8e4cb549?expires=1700000000&l=2&f=flow-1&"
		digest    = "9b9764ecc21eca46e1fe5a4ecef0be6c4998f02a8a19a0cf596f3db21b0686cb"
		signature = "5b5985d4966382a1783399d9539ac1c764abe9bae942cd23040e22d82e311e30"
	)
	if got := powDigest(salt, 12345); got != digest {
		t.Errorf("challenge %s", got)
	}
	if got := powSignature([]byte("secret"), digest); got != signature {
		t.Errorf("signature %s", got)
	}
	expires, level, binding, ok := readSalt(salt)
	if !ok || expires.Unix() != 1_700_000_000 || level != 2 || binding != "flow-1" {
		t.Errorf("the salt says %v %d %q %v", expires, level, binding, ok)
	}
	s, ok := readSolution(base64.StdEncoding.EncodeToString([]byte(
		`{"algorithm":"SHA-256","challenge":"` + digest + `","number":12345,"salt":"` + salt + `","signature":"` + signature + `","took":81}`)))
	if !ok || s.Number != 12345 || s.Salt != salt {
		t.Errorf("the payload reads %+v %v", s, ok)
	}
}

func TestProofOfWorkPassesOnce(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	for level, most := range map[int]int64{-1: 50_000, 0: 50_000, 1: 50_000, 2: 300_000, 3: 1_000_000, 9: 1_000_000} {
		p := f.puzzle(t, someone(), level)
		c := challengeOf(t, p)
		if c.MaxNumber != most || c.Algorithm != "SHA-256" || len(c.Challenge) != 64 || len(c.Signature) != 64 || !strings.HasSuffix(c.Salt, "&") {
			t.Errorf("level %d: %+v", level, c)
		}
		proof := work(t, p).proof(t)
		if got, err := f.Verify(t.Context(), someone(), Answer{Proof: proof}); err != nil || got != min(max(level, 1), 3) {
			t.Errorf("level %d was passed as %d: %v", level, got, err)
		}
		f.wants(t, someone(), Answer{Proof: proof}, "pow", "replayed")
	}
}

func TestPuzzlesNameNobody(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	b := Binding{Flow: []byte("flow-of-a-client"), Number: []byte("+8613800138000")}
	p := f.puzzle(t, b, 1)
	all, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"flow-of-a-client", "13800138000", p.Ticket, "ticket"} {
		if strings.Contains(strings.ToLower(string(all)), secret) {
			t.Errorf("%s holds %q", all, secret)
		}
	}
	if salts := challengeOf(t, f.puzzle(t, b, 1)).Salt; salts == challengeOf(t, p).Salt {
		t.Error("two puzzles have the same salt")
	}
}

func TestProofOfWorkIsForItsBindingAlone(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	proof := work(t, f.puzzle(t, someone(), 1)).proof(t)
	for name, change := range map[string]func(*Binding){
		"another number": func(b *Binding) { b.Number = []byte("another") },
		"another flow":   func(b *Binding) { b.Flow = []byte("another") },
		"another action": func(b *Binding) { b.Action = "change_phone" },
		"shifted fields": func(b *Binding) { b.Flow, b.Number = append(b.Flow, b.Number[0]), b.Number[1:] },
		"nobody":         func(b *Binding) { *b = Binding{} },
	} {
		b := someone()
		change(&b)
		t.Run(name, func(t *testing.T) { f.wants(t, b, Answer{Proof: proof}, "pow", "failed") })
	}
	f.wants(t, someone(), Answer{Proof: proof}, "pow", "passed") // nobody has used it up
}

func TestForgedProofsOfWork(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	s := work(t, f.puzzle(t, someone(), 1))
	other := work(t, f.puzzle(t, someone(), 1))
	later := strings.Replace(s.Salt, "?expires=", "?expires=9", 1)
	harder := strings.Replace(s.Salt, "&l=1&", "&l=3&", 1)
	for name, forge := range map[string]func(s *solution){
		"algorithm":            func(s *solution) { s.Algorithm = "SHA-1" },
		"no algorithm":         func(s *solution) { s.Algorithm = "" },
		"signature":            func(s *solution) { s.Signature = strings.Repeat("0", 64) },
		"no signature":         func(s *solution) { s.Signature = "" },
		"signature of another": func(s *solution) { s.Signature = other.Signature },
		"upper case":           func(s *solution) { s.Signature = strings.ToUpper(s.Signature) },
		"number":               func(s *solution) { s.Number++ },
		"negative number":      func(s *solution) { s.Number = -s.Number - 1 },
		"challenge":            func(s *solution) { s.Challenge = other.Challenge },
		"later expiry":         func(s *solution) { s.Salt = later },
		"higher level":         func(s *solution) { s.Salt, s.Challenge = harder, powDigest(harder, s.Number) },
		"later, worked anew":   func(s *solution) { s.Salt, s.Challenge = later, powDigest(later, s.Number) },
		"own puzzle": func(s *solution) {
			s.Number = 1
			s.Challenge = powDigest(s.Salt, 1)
			s.Signature = powSignature(nil, s.Challenge)
		},
		// The first digits of the number as the end of the salt: the hash stays (CVE-2025-68113).
		"spliced salt": func(s *solution) {
			n := fmt.Sprint(s.Number + 1_000_000) // whatever it is, it is long enough to be cut
			s.Salt += n[:1]
			fmt.Sscan(n[1:], &s.Number)
		},
	} {
		forged := s
		forge(&forged)
		t.Run(name, func(t *testing.T) { f.wants(t, someone(), Answer{Proof: forged.proof(t)}, "pow", "failed") })
	}
	f.wants(t, someone(), Answer{Proof: s.proof(t)}, "pow", "passed")
}

// A spliced salt has the hash and the signature of the true one; only its end
// tells it apart.
func TestSplicedSaltIsRefusedWithAValidSignature(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	expires := time.Now().Add(powLife)
	salt := powSalt([]byte("twelve bytes"), expires, 1, f.hash(someone()))
	digest := powDigest(salt, 123_456)
	s := solution{Algorithm: "SHA-256", Challenge: digest, Signature: f.sign(digest), Number: 23_456, Salt: salt + "1"}
	if powDigest(s.Salt, s.Number) != digest {
		t.Fatal("the splice is none")
	}
	f.wants(t, someone(), Answer{Proof: s.proof(t)}, "pow", "failed")
	s.Salt, s.Number = salt, 123_456
	f.wants(t, someone(), Answer{Proof: s.proof(t)}, "pow", "passed")
}

// maxnumber is advice to the solver. Whoever changes it changes nothing.
func TestMaxNumberIsNoPartOfTheAnswer(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	s := work(t, f.puzzle(t, someone(), 1))
	text := fmt.Sprintf(`{"algorithm":"SHA-256","challenge":%q,"number":%d,"salt":%q,"signature":%q,"took":1,"maxnumber":1}`, s.Challenge, s.Number, s.Salt, s.Signature)
	f.wants(t, someone(), Answer{Proof: base64.StdEncoding.EncodeToString([]byte(text))}, "pow", "failed")
	// A number beyond the hardest puzzle is none of ours, even if we had signed it.
	digest := powDigest(s.Salt, hardest+1)
	s.Number, s.Challenge, s.Signature = hardest+1, digest, f.sign(digest)
	f.wants(t, someone(), Answer{Proof: s.proof(t)}, "pow", "failed")
}

func TestOnlyOneWayToWriteASolution(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	s := work(t, f.puzzle(t, someone(), 1))
	text, err := base64.StdEncoding.DecodeString(s.proof(t))
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	for name, proof := range map[string]string{
		"no base64":     "!" + s.proof(t),
		"URL alphabet":  base64.URLEncoding.EncodeToString([]byte(strings.Replace(string(text), "}", `,"x":"~~~???"}`, 1))),
		"trailing data": encode(append(append([]byte{}, text...), "{}"...)),
		"array":         encode([]byte("[]")),
		"null":          encode([]byte("null")),
		"empty":         encode(nil) + "=",
		"fraction":      encode([]byte(strings.Replace(string(text), `"number":`, `"number":0.5e1`, 1))),
		"oversized":     encode([]byte(strings.Replace(string(text), "{", "{"+strings.Repeat(" ", 2000), 1))),
	} {
		t.Run(name, func(t *testing.T) { f.wants(t, someone(), Answer{Proof: proof}, "pow", "failed") })
	}
}

func TestProofOfWorkExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{Type: "pow"})
		first, second := work(t, f.puzzle(t, someone(), 1)), work(t, f.puzzle(t, someone(), 1))
		time.Sleep(powLife - 2*time.Second)
		f.wants(t, someone(), Answer{Proof: first.proof(t)}, "pow", "passed")
		time.Sleep(time.Second + 500*time.Millisecond)
		f.wants(t, someone(), Answer{Proof: first.proof(t)}, "pow", "replayed") // the mark is still there
		time.Sleep(time.Second)
		f.wants(t, someone(), Answer{Proof: second.proof(t)}, "pow", "expired")
		f.wants(t, someone(), Answer{Proof: first.proof(t)}, "pow", "expired")
	})
}

// A second replica has a vault and a handle of its own.
func TestProofOfWorkOfOneReplicaPassesAtAnother(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		open := func() *fixture {
			d := dbtest.OpenURL(t, url)
			return newFixtureOn(t, Config{Type: "pow"}, vaultOf(t, d), sqlStore(t, d))
		}
		one, two := open(), open()
		proof := work(t, one.puzzle(t, someone(), 1)).proof(t)
		two.wants(t, someone(), Answer{Proof: proof}, "pow", "passed")
		one.wants(t, someone(), Answer{Proof: proof}, "pow", "replayed")
	})
}

func TestOneOfManyReplaysPasses(t *testing.T) {
	eachStore(t, func(t *testing.T, v *signing.Vault, e ephemeral.Store) {
		f := newFixtureOn(t, Config{Type: "pow"}, v, e)
		p := f.puzzle(t, someone(), 1)
		proof, digits := work(t, p).proof(t), typed(t, f, p.Ticket)
		for kind, a := range map[string]Answer{"pow": {Proof: proof}, "picture": {Ticket: p.Ticket, Typed: digits}} {
			if n := f.race(t, someone(), a); n != 1 {
				t.Errorf("%s: %d of 64 passed", kind, n)
			}
			if got := f.observed(); got[kind+" passed"] != 1 || got[kind+" replayed"] != 63 {
				t.Errorf("observed %v", got)
			}
		}
	})
}

// race gives the same answer 64 times at once and returns how often it passed.
func (f *fixture) race(t *testing.T, b Binding, a Answer) int64 {
	t.Helper()
	var won atomic.Int64
	var wait sync.WaitGroup
	start := make(chan struct{})
	for range 64 {
		wait.Go(func() {
			<-start
			switch _, err := f.Verify(t.Context(), b, a); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrFailed):
				t.Error(err)
			}
		})
	}
	close(start)
	wait.Wait()
	return won.Load()
}

// Without the store nothing passes, and it is nobody's fault but ours.
func TestWithoutAStoreNothingPasses(t *testing.T) {
	d := dbtest.Open(t)
	v, e := vaultOf(t, d), sqlStore(t, d)
	f := newFixtureOn(t, Config{Type: "pow"}, v, e)
	proof := work(t, f.puzzle(t, someone(), 1)).proof(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Verify(ctx, someone(), Answer{Proof: proof}); err == nil || errors.Is(err, ErrFailed) {
		t.Errorf("got %v", err)
	}
	if got := f.observed(); len(got) != 0 {
		t.Errorf("observed %v", got)
	}
}

func FuzzVerify(f *testing.F) {
	k := newFixture(f, Config{Type: "geetest_v4", ID: "id", Key: "key", Endpoint: "http://127.0.0.1:1"})
	pow := newFixtureOn(f, Config{Type: "pow"}, k.vault, k.marks)
	p := pow.puzzle(f, someone(), 1)
	s := work(f, p)
	s.Signature = strings.Repeat("0", 64)
	f.Add(s.proof(f), "", "")
	f.Add(base64.StdEncoding.EncodeToString([]byte(`{"number":1e400}`)), "", "")
	f.Add(`{"state":"`+p.Ticket+`","lot_number":"0123456789abcdef0123456789abcdef"}`, "", "")
	f.Add("", p.Ticket[:len(p.Ticket)-1], "１２３ 456")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, proof, ticket, typed string) {
		if ticket == p.Ticket {
			return // one in a million guesses is right
		}
		for _, c := range []*fixture{k, pow} {
			if _, err := c.Verify(t.Context(), someone(), Answer{Proof: proof, Ticket: ticket, Typed: typed}); !errors.Is(err, ErrFailed) {
				t.Errorf("%q %q %q: %v", proof, ticket, typed, err)
			}
		}
	})
}

func BenchmarkVerifyProofOfWork(b *testing.B) {
	f := newFixture(b, Config{Type: "pow"})
	proof := work(b, f.puzzle(b, someone(), 1)).proof(b)
	other := Binding{Flow: []byte("another")} // everything but the mark
	for b.Loop() {
		_, _ = f.Verify(b.Context(), other, Answer{Proof: proof})
	}
}
