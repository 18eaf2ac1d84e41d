//go:build unix

package ephemeral

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// BenchmarkStore measures each store with two callers per core.
func BenchmarkStore(b *testing.B) {
	stores := map[string]func() Store{
		"sqlite": func() Store { return onSQL(b, sqlite(b)) },
	}
	if dbtest.HasPostgres(b) {
		stores["postgres"] = func() Store { return onSQL(b, dbtest.OpenPostgres(b)) }
	}
	if hasRedis(b) {
		stores["redis"] = func() Store { return onRedis(b, redisURL()) }
		stores["failover"] = func() Store {
			return New(context.Background(), onSQL(b, sqlite(b)), onRedis(b, redisURL()), quiet())
		}
	}
	value := make([]byte, 300)
	ctx := context.Background()
	for name, open := range stores {
		s := open()
		b.Run("Put/"+name, func(b *testing.B) {
			parallel(b, func(int) error {
				_, err := s.Put(ctx, "bench", value, time.Minute)
				return err
			})
		})
		b.Run("PutTake/"+name, func(b *testing.B) {
			parallel(b, func(int) error {
				id, err := s.Put(ctx, "bench", value, time.Minute)
				if err == nil {
					_, err = s.Take(ctx, "bench", id, value[:16], time.Minute)
				}
				return err
			})
		})
		b.Run("Mark/"+name, func(b *testing.B) {
			parallel(b, func(i int) error {
				_, err := s.Mark(ctx, "bench", fmt.Sprint(b.N, i), time.Minute)
				return err
			})
		})
		b.Run("Add/"+name, func(b *testing.B) {
			parallel(b, func(i int) error {
				_, err := s.Add(ctx, fmt.Sprint(i%100), 1, time.Minute)
				return err
			})
		})
		// The limits of one message: address, client and service, two windows each.
		b.Run("Spend/"+name, func(b *testing.B) {
			parallel(b, func(i int) error {
				address := fmt.Sprint("address ", i%1000)
				_, err := s.Spend(ctx, []Limit{
					{Key: address, Max: 20, Per: time.Hour}, {Key: address, Max: 100, Per: 24 * time.Hour},
					{Key: "client", Max: 6_000_000, Per: time.Hour}, {Key: "client", Max: 50_000_000, Per: 24 * time.Hour},
					{Key: "service", Max: 100_000, Per: time.Second}, {Key: "service", Max: 100_000_000, Per: 24 * time.Hour},
				})
				return err
			})
		})
	}
}

func parallel(b *testing.B, f func(i int) error) {
	b.SetParallelism(2)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(int(next.Add(1))); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
