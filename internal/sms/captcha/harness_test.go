package captcha

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"sync"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// fixture is a checker that tells what it has observed and logged.
type fixture struct {
	*Checker
	mu   sync.Mutex
	seen map[string]int // "kind result"
	logs bytes.Buffer
}

func (f *fixture) observe(kind, result string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[kind+" "+result]++
}

func (f *fixture) observed() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.seen)
}

func vaultOf(t testing.TB, d *db.DB) *signing.Vault {
	t.Helper()
	v, err := signing.OpenVault(context.Background(), d, [][]byte{[]byte("a master secret of the tests, long enough")})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// newFixture is a checker on a SQLite database of its own.
func newFixture(t testing.TB, c Config) *fixture {
	t.Helper()
	d := dbtest.Open(t)
	return newFixtureOn(t, c, vaultOf(t, d), sqlStore(t, d))
}

func newFixtureOn(t testing.TB, c Config, v *signing.Vault, e ephemeral.Store) *fixture {
	t.Helper()
	f := &fixture{seen: map[string]int{}}
	c.Observe, c.Log = f.observe, slog.New(slog.NewTextHandler(&f.logs, nil))
	k, err := New(c, v, e)
	if err != nil {
		t.Fatal(err)
	}
	f.Checker = k
	return f
}

func sqlStore(t testing.TB, d *db.DB) *ephemeral.SQL {
	t.Helper()
	s, err := ephemeral.OpenSQL(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// eachStore runs f on both engines, alone and with Redis in front.
func eachStore(t *testing.T, f func(t *testing.T, v *signing.Vault, e ephemeral.Store)) {
	t.Helper()
	url := os.Getenv("DIALTONE_TEST_REDIS")
	if url == "" && os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
		t.Fatal("DIALTONE_TEST_REQUIRE=1 but DIALTONE_TEST_REDIS is not set")
	}
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		v, sql := vaultOf(t, d), sqlStore(t, d)
		t.Run("alone", func(t *testing.T) { f(t, v, sql) })
		if url == "" {
			return
		}
		t.Run("redis in front", func(t *testing.T) {
			r, err := ephemeral.OpenRedis(url+"?timeout=5s", ephemeral.Options{Prefix: "test-" + rand.Text() + ":"})
			if err != nil {
				t.Fatal(err)
			}
			front := ephemeral.New(t.Context(), sql, r, slog.New(slog.NewTextHandler(io.Discard, nil)))
			t.Cleanup(func() { front.Close() })
			if front.Degraded() {
				t.Fatal("Redis does not answer")
			}
			f(t, v, front)
		})
	})
}

// someone is a binding like those of package user.
func someone() Binding {
	return Binding{Flow: bytes.Repeat([]byte{1}, 32), Number: bytes.Repeat([]byte{2}, 32), Action: "login"}
}

func (f *fixture) puzzle(t testing.TB, b Binding, level int) Puzzle {
	t.Helper()
	p, err := f.Puzzle(t.Context(), b, level)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func challengeOf(t testing.TB, p Puzzle) challenge {
	t.Helper()
	var c challenge
	if err := json.Unmarshal(p.Data, &c); err != nil || p.Type != "pow" {
		t.Fatalf("%s %s: %v", p.Type, p.Data, err)
	}
	return c
}

// work does what a browser does.
func work(t testing.TB, p Puzzle) solution {
	t.Helper()
	c := challengeOf(t, p)
	for n := range c.MaxNumber + 1 {
		if powDigest(c.Salt, n) == c.Challenge {
			return solution{Algorithm: c.Algorithm, Challenge: c.Challenge, Number: n, Salt: c.Salt, Signature: c.Signature, Took: 12.5}
		}
	}
	t.Fatal("there is no solution")
	return solution{}
}

func (s solution) proof(t testing.TB) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}

// wants verifies an answer and says what should be observed of it.
func (f *fixture) wants(t testing.TB, b Binding, a Answer, kind, result string) {
	t.Helper()
	before := f.observed()[kind+" "+result]
	_, err := f.Verify(t.Context(), b, a)
	switch {
	case result == "passed" && err != nil:
		t.Errorf("not passed: %v", err)
	case result != "passed" && !errors.Is(err, ErrFailed):
		t.Errorf("got %v, want a failed check", err)
	}
	if got := f.observed(); got[kind+" "+result] != before+1 {
		t.Errorf("observed %v, want one more %s %s", got, kind, result)
	}
}
