//go:build unix

package ephemeral

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// namer is the part of a store that knows names.
type namer interface {
	Store
	Name(ctx context.Context, kind, name, id string, ttl time.Duration) (bool, error)
	Named(ctx context.Context, kind, name string) (string, error)
}

func eachNamer(t *testing.T, f func(t *testing.T, s namer)) {
	t.Run("sqlite", func(t *testing.T) { f(t, onSQL(t, sqlite(t))) })
	if dbtest.HasPostgres(t) {
		t.Run("postgres", func(t *testing.T) { f(t, onSQL(t, dbtest.OpenPostgres(t))) })
	}
	if hasRedis(t) {
		t.Run("failover", func(t *testing.T) {
			f(t, New(t.Context(), onSQL(t, sqlite(t)), onRedis(t, redisURL()), quiet()))
		})
	}
}

func TestANameLeadsToOneItem(t *testing.T) {
	eachNamer(t, func(t *testing.T, s namer) {
		ctx, clock := t.Context(), newClock()
		clock.set(s)
		if _, err := s.Named(ctx, "k", "BCDF"); !errors.Is(err, ErrNotFound) {
			t.Fatalf("a name that nobody gave: %v", err)
		}
		named, err := s.Name(ctx, "k", "BCDF", "one", time.Minute)
		if !named || err != nil {
			t.Fatalf("%v, %v", named, err)
		}
		if named, err := s.Name(ctx, "k", "BCDF", "two", time.Minute); named || err != nil {
			t.Errorf("a name was given twice: %v", err)
		}
		if named, err := s.Name(ctx, "other", "BCDF", "three", time.Minute); !named || err != nil {
			t.Errorf("kinds share names: %v", err)
		}
		if id, err := s.Named(ctx, "k", "BCDF"); id != "one" || err != nil {
			t.Errorf("leads to %q, %v", id, err)
		}
		clock.t = clock.t.Add(time.Minute)
		if _, err := s.Named(ctx, "k", "BCDF"); !errors.Is(err, ErrNotFound) {
			t.Errorf("after its time: %v", err)
		}
		if named, err := s.Name(ctx, "k", "BCDF", "two", time.Minute); !named || err != nil {
			t.Errorf("a name whose time is over stays taken: %v", err)
		}
		if id, err := s.Named(ctx, "k", "BCDF"); id != "two" || err != nil {
			t.Errorf("leads to %q, %v", id, err)
		}
		if _, err := s.Name(ctx, "k", "N", "id", 0); err == nil {
			t.Error("a name without a life")
		}
	})
}

func TestANameIsGivenOnceToMany(t *testing.T) {
	eachNamer(t, func(t *testing.T, s namer) {
		var given atomic.Int64
		var wait sync.WaitGroup
		for range 32 {
			wait.Go(func() {
				if named, err := s.Name(t.Context(), "k", "BCDF", "id", time.Minute); err != nil {
					t.Error(err)
				} else if named {
					given.Add(1)
				}
			})
		}
		wait.Wait()
		if n := given.Load(); n != 1 {
			t.Errorf("given %d times", n)
		}
	})
}

func TestANameIsNoItem(t *testing.T) {
	eachNamer(t, func(t *testing.T, s namer) {
		if _, err := s.Name(t.Context(), "k", "BCDF", "id", time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "k", nameKey("k", "BCDF")); !errors.Is(err, ErrNotFound) {
			t.Errorf("read as an item: %v", err)
		}
		if _, err := s.Take(t.Context(), "k", nameKey("k", "BCDF"), nil, 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("taken as an item: %v", err)
		}
	})
}
