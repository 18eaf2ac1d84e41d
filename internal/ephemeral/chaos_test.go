//go:build unix

package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Two replicas share one database and one Redis, which is frozen, emptied,
// killed and restarted from an old snapshot while they work.
func TestNothingIsUsedTwiceWhateverHappensToRedis(t *testing.T) {
	t.Parallel()
	if !hasRedisServer(t) {
		return
	}
	eachSQL(t, func(t *testing.T, d *db.DB) {
		t.Parallel()
		s := newServer(t).start()
		a, _ := onServer(t, d, s)
		b, _ := onServer(t, d, s)
		ctx, stop := context.WithCancel(context.Background())
		var workers sync.WaitGroup
		var c chaosCount
		for i := range 16 {
			workers.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					c.useOnce(t, [2]*Failover{a, b}, fmt.Sprintf("%d/%d", i, n))
				}
			})
		}
		for _, hurt := range []func(){
			func() { s.do("SAVE") },
			func() { s.do("FLUSHALL") },
			s.freeze, s.thaw,
			func() { s.do("SAVE") },
			s.kill, func() { s.start() },
			func() { s.do("FLUSHALL") },
		} {
			hurt()
			pause(400 * time.Millisecond)
		}
		stop()
		workers.Wait()
		for _, f := range []*Failover{a, b} {
			wantDegraded(t, f, false)
			if id := put(t, f, "kind", "value", time.Minute); id[0] != inRedis {
				t.Error("a new item is not in Redis")
			}
		}
		t.Logf("%+v", &c)
		if c.inRedis.Load() == 0 || c.inSQL.Load() == 0 || c.won.Load() == 0 {
			t.Errorf("the run did not see both stores: %+v", &c)
		}
	})
}

// pause lets the world go on.
func pause(d time.Duration) { <-time.After(d) }

type chaosCount struct{ inRedis, inSQL, won, lost atomic.Int64 }

// useOnce lets both replicas race for one item and one mark, some time after
// they were made, and again when they did not get an answer.
func (c *chaosCount) useOnce(t *testing.T, replicas [2]*Failover, name string) {
	id, err := replicas[rand.N(2)].Put(t.Context(), "kind", []byte(name), time.Minute)
	if err != nil {
		t.Errorf("put: %v", err)
		return
	}
	if id[0] == inRedis {
		c.inRedis.Add(1)
	} else {
		c.inSQL.Add(1)
	}
	pause(rand.N(30 * time.Millisecond))
	var taken, marked atomic.Int64
	race(4, func(i int) {
		for try := range 4 {
			replica := replicas[(i+try)%2]
			got, err := replica.Take(t.Context(), "kind", id, []byte("tombstone"), time.Minute)
			switch {
			case err == nil && string(got) == name:
				taken.Add(1)
			case errors.Is(err, ErrNotFound), errors.Is(err, ErrUnavailable), errors.Is(err, ErrUsed) && string(got) == "tombstone":
			default:
				t.Errorf("take: %q, %v", got, err)
			}
			first, err := replica.Mark(t.Context(), "kind", name, time.Minute)
			if err != nil {
				t.Errorf("mark: %v", err)
			}
			if first {
				marked.Add(1)
			}
			pause(rand.N(40 * time.Millisecond))
		}
	})
	switch taken.Load() {
	case 0:
		c.lost.Add(1)
	case 1:
		c.won.Add(1)
	default:
		t.Errorf("item %s was taken %d times", id, taken.Load())
	}
	if marked.Load() != 1 {
		t.Errorf("mark was granted %d times", marked.Load())
	}
}
