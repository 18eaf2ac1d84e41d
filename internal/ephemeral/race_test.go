//go:build unix

package ephemeral

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// race runs f many times at once.
func race(n int, f func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

const racers = 64

func oneOfManyTakesWins(t *testing.T, s Store) {
	for _, keep := range []time.Duration{time.Minute, 0} {
		id := put(t, s, "race", "value", time.Minute)
		var won, lost atomic.Int64
		race(racers, func(int) {
			got, err := s.Take(t.Context(), "race", id, []byte("tombstone"), keep)
			switch {
			case err == nil && string(got) == "value":
				won.Add(1)
			case keep > 0 && errors.Is(err, ErrUsed) && string(got) == "tombstone",
				keep == 0 && errors.Is(err, ErrNotFound):
				lost.Add(1)
			default:
				t.Errorf("%q, %v", got, err)
			}
		})
		if won.Load() != 1 || lost.Load() != racers-1 {
			t.Fatalf("%d took it, %d came too late", won.Load(), lost.Load())
		}
	}
}

func oneOfManySwapsWins(t *testing.T, s Store) {
	id := put(t, s, "race", "0", time.Minute)
	for round := range byte(3) {
		var won atomic.Int64
		race(racers, func(int) {
			swapped, err := s.Swap(t.Context(), "race", id, []byte{'0' + round}, []byte{'1' + round})
			if err != nil {
				t.Error(err)
			}
			if swapped {
				won.Add(1)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("round %d: %d swapped", round, won.Load())
		}
	}
}

func oneOfManyMarksWins(t *testing.T, s Store) {
	for range 2 { // once over a new mark, once over an expired one
		var won atomic.Int64
		race(racers, func(int) {
			first, err := s.Mark(t.Context(), "race", "mark", time.Minute)
			if err != nil {
				t.Error(err)
			}
			if first {
				won.Add(1)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("%d marks were first", won.Load())
		}
		expireMarks(t, s)
	}
}

// expireMarks ages the marks of stores that keep the time themselves; the
// others keep theirs, so the next race is over another key.
func expireMarks(t *testing.T, s Store) {
	t.Helper()
	if f, ok := s.(*Failover); ok {
		s = f.sql
	}
	switch s := s.(type) {
	case *SQL:
		if _, err := s.db.Exec(t.Context(), `UPDATE ephemeral_marks SET expires_at = 1`); err != nil {
			t.Fatal(err)
		}
	case *Redis:
		if err := s.client.Del(t.Context(), s.prefix+"m:"+keyOf("race", "mark")).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func noAddIsLost(t *testing.T, s Store) {
	var sum, largest atomic.Int64
	race(racers, func(i int) {
		total, err := s.Add(t.Context(), "race", int64(i), time.Minute)
		if err != nil {
			t.Error(err)
		}
		sum.Add(int64(i))
		for seen := largest.Load(); total > seen && !largest.CompareAndSwap(seen, total); seen = largest.Load() {
		}
	})
	if total, err := s.Add(t.Context(), "race", 0, time.Minute); total != sum.Load() || largest.Load() != total || err != nil {
		t.Fatalf("total %d, largest seen %d, %v; want %d", total, largest.Load(), err, sum.Load())
	}
}
