//go:build unix

package ephemeral

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// eachStore runs f on every kind of store that can be had here.
func eachStore(t *testing.T, f func(t *testing.T, s Store)) {
	t.Helper()
	run := func(name string, open func(t *testing.T) Store) {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
	postgres, shared, own := dbtest.HasPostgres(t), hasRedis(t), hasRedisServer(t)
	var cluster string
	var clusterReady func()
	if own {
		_, cluster, clusterReady = startCluster(t)
	}
	run("sqlite", func(t *testing.T) Store { return onSQL(t, sqlite(t)) })
	run("failover-none", func(t *testing.T) Store { return New(t.Context(), onSQL(t, sqlite(t)), nil, nil) })
	if postgres {
		run("postgres", func(t *testing.T) Store { return onSQL(t, dbtest.OpenPostgres(t)) })
	}
	if shared {
		run("redis", func(t *testing.T) Store { return onRedis(t, redisURL()) })
		run("failover-sqlite", func(t *testing.T) Store {
			return New(t.Context(), onSQL(t, sqlite(t)), onRedis(t, redisURL()), quiet())
		})
	}
	if shared && postgres {
		run("failover-postgres", func(t *testing.T) Store {
			return New(t.Context(), onSQL(t, dbtest.OpenPostgres(t)), onRedis(t, redisURL()), quiet())
		})
	}
	if own {
		run("redis-sentinel", func(t *testing.T) Store { return onRedis(t, startSentinel(t)) })
		run("failover-away", func(t *testing.T) Store { // what a Redis that is down from the start leaves
			return New(t.Context(), onSQL(t, sqlite(t)), onRedis(t, newServer(t).url()), quiet())
		})
		run("redis-cluster", func(t *testing.T) Store {
			clusterReady()
			return onRedis(t, cluster)
		})
		run("failover-cluster", func(t *testing.T) Store {
			f := New(t.Context(), onSQL(t, sqlite(t)), onRedis(t, cluster), quiet())
			if f.Degraded() {
				t.Fatal("the cluster does not answer the probe")
			}
			return f
		})
	}
}

// sqlite is the second file that a server opens.
func sqlite(t testing.TB) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "ephemeral.db"), db.Relaxed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func onSQL(t testing.TB, d *db.DB) *SQL {
	t.Helper()
	s, err := OpenSQL(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// onRedis keeps to keys of its own on a shared server, and waits for a busy machine.
func onRedis(t testing.TB, url string) *Redis {
	t.Helper()
	r, err := OpenRedis(url+"?timeout=5s", Options{Prefix: "test-" + rand.Text() + ":"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func redisURL() string { return os.Getenv("DIALTONE_TEST_REDIS") }

func hasRedis(t testing.TB) bool {
	t.Helper()
	if redisURL() == "" && os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
		t.Fatal("DIALTONE_TEST_REQUIRE=1 but DIALTONE_TEST_REDIS is not set")
	}
	return redisURL() != ""
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// eventually asks until it is so. For what real servers need real time for.
func eventually(t testing.TB, what string, within time.Duration, isSo func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !isSo() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in %v: %s", within, what)
		}
	}
}

// clock is a time that only a test moves.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{t: time.UnixMicro(1_790_000_000_123_457)} }

func (c *clock) now() time.Time { return c.t }

// set puts a store on another clock.
func (c *clock) set(s Store) {
	switch s := s.(type) {
	case *SQL:
		s.now = c.now
	case *Redis:
		s.now = c.now
	case *Failover:
		s.sql.now = c.now
		if s.redis != nil {
			s.redis.now = c.now
		}
	}
}

// realTime puts a store on the real clock again.
func realTime(s Store) {
	switch s := s.(type) {
	case *SQL:
		s.now = time.Now
	case *Redis:
		s.now = time.Now
	case *Failover:
		s.sql.now = time.Now
		if s.redis != nil {
			s.redis.now = time.Now
		}
	}
}
