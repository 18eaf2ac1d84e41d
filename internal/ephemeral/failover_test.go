//go:build unix

package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// journal is a log handler that keeps the messages.
type journal struct {
	mu       sync.Mutex
	messages []string
}

func (*journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler     { return j }
func (j *journal) WithGroup(string) slog.Handler          { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.messages = append(j.messages, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		j.messages[len(j.messages)-1] += " " + a.String()
		return true
	})
	return nil
}

func (j *journal) count(text string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range j.messages {
		if strings.Contains(m, text) {
			n++
		}
	}
	return n
}

// onServer is a Failover over its own redis-server.
func onServer(t *testing.T, d *db.DB, s *server) (*Failover, *journal) {
	t.Helper()
	r, err := OpenRedis(s.url(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{}
	f := New(t.Context(), onSQL(t, d), r, slog.New(j))
	t.Cleanup(func() { f.Close() })
	return f, j
}

func wantDegraded(t *testing.T, f *Failover, want bool) {
	t.Helper()
	eventually(t, fmt.Sprint("degraded is ", want), 10*time.Second, func() bool { return f.Degraded() == want })
}

func TestSQLTakesOverWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	if !hasRedisServer(t) {
		return
	}
	for name, hurt := range map[string]struct{ away, back func(s *server) }{
		"killed":    {(*server).kill, func(s *server) { s.start() }},
		"frozen":    {(*server).freeze, (*server).thaw},
		"full":      {func(s *server) { s.do("CONFIG", "SET", "maxmemory", "1") }, func(s *server) { s.do("CONFIG", "SET", "maxmemory", "0") }},
		"read-only": {func(s *server) { s.do("REPLICAOF", "127.0.0.1", 1) }, func(s *server) { s.do("REPLICAOF", "NO", "ONE") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t).start()
			f, log := onServer(t, sqlite(t), s)
			limits := []Limit{{Key: "key", Max: 1, Per: time.Hour}}
			inRedisItem := put(t, f, "kind", "in redis", time.Minute)
			spent := wantSpend(t, f, limits, true)
			if f.Degraded() || inRedisItem[0] != inRedis {
				t.Fatalf("degraded %v, id %s", f.Degraded(), inRedisItem)
			}

			hurt.away(s)
			inSQLItem := put(t, f, "kind", "in sql", time.Minute)
			if !f.Degraded() || inSQLItem[0] != inSQL {
				t.Fatalf("degraded %v, id %s", f.Degraded(), inSQLItem)
			}
			if _, err := f.Take(t.Context(), "kind", inRedisItem, nil, 0); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("take from a store that is away: %v", err)
			}
			if swapped, err := f.Swap(t.Context(), "kind", inRedisItem, []byte("in redis"), nil); swapped || !errors.Is(err, ErrUnavailable) {
				t.Fatalf("swap in a store that is away: %v, %v", swapped, err)
			}
			if err := f.Refund(t.Context(), limits, spent); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("refund to a store that is away: %v", err)
			}
			wantSpend(t, f, limits, true) // SQL's own account
			wantSpend(t, f, limits, false)
			if total, err := f.Add(t.Context(), "key", 2, time.Minute); total != 2 || err != nil {
				t.Fatal(total, err)
			}
			if err := f.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}

			hurt.back(s)
			wantDegraded(t, f, false)
			got, err := f.Take(t.Context(), "kind", inSQLItem, nil, 0)
			wantItem(t, got, err, "in sql", nil)
			got, err = f.Take(t.Context(), "kind", inRedisItem, nil, 0)
			if name == "killed" {
				wantItem(t, got, err, "", ErrNotFound)
			} else {
				wantItem(t, got, err, "in redis", nil)
			}
			if id := put(t, f, "kind", "value", time.Minute); id[0] != inRedis {
				t.Fatalf("new item is not in Redis: %s", id)
			}
			if away, back := log.count("redis is away"), log.count("redis is back"); away != 1 || back != 1 {
				t.Fatalf("%d switches away, %d back in the log", away, back)
			}
		})
	}
}

func TestDeadRedisCostsNothingPerRequest(t *testing.T) {
	if !hasRedisServer(t) {
		return
	}
	f, _ := onServer(t, sqlite(t), newServer(t))
	if !f.Degraded() {
		t.Fatal("a Redis that was never there is not away")
	}
	item := newID(inRedis)
	start, before := time.Now(), f.redis.RoundTrips()
	for range 500 {
		put(t, f, "kind", "value", time.Minute)
		if _, err := f.Get(t.Context(), "kind", item); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	probes := int64(time.Since(start)/probeInterval) + 1
	if asked := f.redis.RoundTrips() - before; asked > probes {
		t.Fatalf("asked a dead Redis %d times in %v", asked, time.Since(start))
	}
}

// A burst finds the failure together, and still every request is answered by SQL.
func TestBurstIntoAFrozenRedisIsServed(t *testing.T) {
	if !hasRedisServer(t) {
		return
	}
	s := newServer(t).start()
	f, log := onServer(t, sqlite(t), s)
	s.freeze()
	start := time.Now()
	race(200, func(int) {
		if id, err := f.Put(t.Context(), "kind", nil, time.Minute); err != nil || id[0] != inSQL {
			t.Errorf("%q, %v", id, err)
		}
	})
	if took := time.Since(start); took > 3*time.Second {
		t.Fatalf("took %v", took)
	}
	if n := log.count("redis is away"); n != 1 {
		t.Fatalf("%d switches in the log", n)
	}
}

// A script whose answer is late has run all the same, so it must not be sent again.
func TestUnansweredScriptRunsOnce(t *testing.T) {
	t.Parallel()
	if !hasRedisServer(t) {
		return
	}
	for name, start := range map[string]func() (*server, string){
		"single": func() (*server, string) {
			s := newServer(t).start()
			return s, s.url()
		},
		"cluster": func() (*server, string) {
			s, url, ready := startCluster(t)
			ready()
			return s, url
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, url := start()
			r, err := OpenRedis(url+"?timeout=100ms", Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			// Spare connections make it easy to send it again.
			race(8, func(int) {
				if _, err := r.Add(t.Context(), "key", 1, time.Minute); err != nil {
					t.Error(err)
				}
			})
			s.freeze()
			_, err = r.Add(t.Context(), "key", 1, time.Minute)
			s.thaw()
			if !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			eventually(t, "the late script has run", 5*time.Second, func() bool {
				total, err := r.Add(t.Context(), "key", 0, time.Minute)
				if total > 9 {
					t.Fatalf("it ran %d times", total-8)
				}
				return total == 9 && err == nil
			})
		})
	}
}

// What was taken after the snapshot is in the snapshot still.
func TestRestartFromOldSnapshotRevivesNothing(t *testing.T) {
	t.Parallel()
	if !hasRedisServer(t) {
		return
	}
	s := newServer(t).start()
	f, _ := onServer(t, sqlite(t), s)
	ids := make(map[string]string)
	for _, name := range []string{"taken", "taken with tombstone", "taken before", "swapped", "left"} {
		ids[name] = put(t, f, "kind", name, time.Minute)
	}
	take := func(name, tombstone string, keep time.Duration) ([]byte, error) {
		return f.Take(t.Context(), "kind", ids[name], []byte(tombstone), keep)
	}
	if _, err := take("taken before", "tombstone", time.Minute); err != nil {
		t.Fatal(err)
	}
	s.do("SAVE")
	for name, keep := range map[string]time.Duration{"taken": 0, "taken with tombstone": time.Minute} {
		got, err := take(name, "tombstone", keep)
		wantItem(t, got, err, name, nil)
	}
	if swapped, err := f.Swap(t.Context(), "kind", ids["swapped"], []byte("swapped"), []byte("new")); !swapped || err != nil {
		t.Fatal(swapped, err)
	}
	s.kill()
	s.start()
	if n := s.do("DBSIZE"); n.(int64) < 5 {
		t.Fatalf("the snapshot was not read: %v keys", n)
	}
	for name := range ids {
		var got []byte
		eventually(t, "Redis answers", 5*time.Second, func() (served bool) {
			var err error
			got, err = take(name, "", 0)
			switch {
			case errors.Is(err, ErrUnavailable):
				return false
			case name == "taken before":
				wantItem(t, got, err, "tombstone", ErrUsed)
			default:
				wantItem(t, got, err, "", ErrNotFound)
			}
			return true
		})
	}
}

func TestBadSettingsOfRedisAreReportedOnce(t *testing.T) {
	t.Parallel()
	if !hasRedisServer(t) {
		return
	}
	for name, c := range map[string]struct {
		set  []any
		want string
	}{
		"good":     {[]any{"PING"}, ""},
		"eviction": {[]any{"CONFIG", "SET", "maxmemory-policy", "allkeys-lru"}, "allkeys-lru"},
		"no INFO":  {[]any{"ACL", "SETUSER", "default", "-info", "-config"}, "run id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t).start()
			s.do(c.set...)
			f, log := onServer(t, sqlite(t), s)
			if err := f.probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := log.count("not set up well"); n != min(1, len(c.want)) || c.want != "" && log.count(c.want) != 1 {
				t.Fatalf("%q", log.messages)
			}
			itemIsReadAndTakenOnce(t, f)
		})
	}
}

func TestFlappingRedisIsTriedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(quiet(), func(context.Context) error { return nil })
		defer c.end()
		lose := func() time.Duration {
			generation, ok := c.enter()
			if !ok {
				t.Fatal("away already")
			}
			start := time.Now()
			c.trip(generation, errors.New("lost"))
			c.trip(generation, errors.New("lost again, says another request"))
			for c.isAway() {
				time.Sleep(time.Millisecond)
			}
			away := time.Since(start)
			c.trip(generation, errors.New("a late answer from before"))
			if c.isAway() {
				t.Fatal("a failure from before the return counts")
			}
			return away.Round(10 * time.Millisecond)
		}
		for i, want := range []time.Duration{500, 1000, 2000, 4000, 8000, 8000} {
			if got := lose(); got != want*time.Millisecond {
				t.Fatalf("loss %d lasted %v, want %v ms", i, got, want)
			}
		}
		time.Sleep(stableAfter)
		if got := lose(); got != probeInterval {
			t.Fatalf("after a stable time a loss lasted %v", got)
		}
	})
}

func TestCircuitProbesUntilRedisIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int64
		c := newCircuit(quiet(), func(context.Context) error {
			if probes.Add(1) < 10 {
				return errors.New("still away")
			}
			return nil
		})
		generation, _ := c.enter()
		c.trip(generation, errors.New("lost"))
		time.Sleep(9*probeInterval + time.Millisecond)
		synctest.Wait()
		if n := probes.Load(); n != 9 || !c.isAway() {
			t.Fatalf("%d probes, away %v", n, c.isAway())
		}
		time.Sleep(probeInterval)
		synctest.Wait()
		if n := probes.Load(); n != 10 || c.isAway() {
			t.Fatalf("%d probes, away %v", n, c.isAway())
		}
		c.end()
		generation, _ = c.enter()
		c.trip(generation, errors.New("closed connections are no outage"))
		if c.isAway() {
			t.Fatal("a closed store starts to probe")
		}
	})
}

func TestLimitsNeverExceedOneAccountPerStore(t *testing.T) {
	t.Parallel()
	if !hasRedisServer(t) {
		return
	}
	s := newServer(t).start()
	f, _ := onServer(t, sqlite(t), s)
	const most = 5
	limits := []Limit{{Key: "key", Max: most, Per: time.Hour}}
	allowed := 0
	for range 2 { // any number of switches
		for _, step := range []func(){s.freeze, s.thaw} {
			for range 2 * most {
				d, err := f.Spend(t.Context(), limits)
				if err != nil {
					t.Fatal(err)
				}
				if d.Allowed {
					allowed++
				}
			}
			step()
			if f.Degraded() {
				wantDegraded(t, f, false)
			}
		}
		if allowed != 2*most {
			t.Fatalf("%d allowed", allowed)
		}
	}
}
