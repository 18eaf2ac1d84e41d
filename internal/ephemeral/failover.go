package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Failover is a Store on Redis that SQL takes over while Redis is away. The
// package comment says what that means for each operation. New makes one.
type Failover struct {
	sql     *SQL
	redis   *Redis // nil if there is none
	circuit *circuit
	log     *slog.Logger
	inspect sync.Once
}

// errAway is for items in a Redis that is not asked at the moment.
var errAway = fmt.Errorf("%w: redis is away", ErrUnavailable)

// New joins the two stores and owns them: Close closes both. A Redis that
// cannot be reached now is only logged. redis may be nil: then SQL does it all.
// Without log it is slog's default.
func New(ctx context.Context, sql *SQL, redis *Redis, log *slog.Logger) *Failover {
	if log == nil {
		log = slog.Default()
	}
	f := &Failover{sql: sql, redis: redis, log: log}
	f.circuit = newCircuit(log, f.probe)
	if redis == nil {
		return f
	}
	generation, _ := f.circuit.enter()
	if err := f.probe(ctx); err != nil {
		f.circuit.trip(generation, err)
	}
	return f
}

// probe finds out whether Redis is back, and looks at its settings the first time it is.
func (f *Failover) probe(ctx context.Context) error {
	if err := f.redis.Ping(ctx); err != nil {
		return err
	}
	f.inspect.Do(func() {
		for _, w := range f.redis.warnings(ctx) {
			f.log.Warn("redis is not set up well", "reason", w)
		}
	})
	return nil
}

// onRedis runs op unless Redis is away, and remembers if op finds it so. A
// caller who hung up says nothing about Redis.
func (f *Failover) onRedis(ctx context.Context, op func() error) error {
	if f.redis == nil {
		return errAway
	}
	generation, ok := f.circuit.enter()
	if !ok {
		return errAway
	}
	err := op()
	if errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
		f.circuit.trip(generation, err)
	}
	return err
}

// holds reports whether an item with this id would be in our Redis. Any other
// id is SQL's to judge.
func (f *Failover) holds(id string) bool { return f.redis != nil && isID(inRedis, id) }

// Put goes to Redis, and under another id to SQL if Redis does not confirm it.
func (f *Failover) Put(ctx context.Context, kind string, value []byte, ttl time.Duration) (string, error) {
	var id string
	err := f.onRedis(ctx, func() (err error) {
		id, err = f.redis.Put(ctx, kind, value, ttl)
		return err
	})
	if errors.Is(err, ErrUnavailable) {
		return f.sql.Put(ctx, kind, value, ttl)
	}
	return id, err
}

// Get asks the store that the id names.
func (f *Failover) Get(ctx context.Context, kind, id string) (value []byte, err error) {
	if !f.holds(id) {
		return f.sql.Get(ctx, kind, id)
	}
	err = f.onRedis(ctx, func() error {
		value, err = f.redis.Get(ctx, kind, id)
		return err
	})
	return value, err
}

// Take asks the store that the id names.
func (f *Failover) Take(ctx context.Context, kind, id string, tombstone []byte, keep time.Duration) (value []byte, err error) {
	if !f.holds(id) {
		return f.sql.Take(ctx, kind, id, tombstone, keep)
	}
	err = f.onRedis(ctx, func() error {
		value, err = f.redis.Take(ctx, kind, id, tombstone, keep)
		return err
	})
	return value, err
}

// Swap asks the store that the id names.
func (f *Failover) Swap(ctx context.Context, kind, id string, old, next []byte) (swapped bool, err error) {
	if !f.holds(id) {
		return f.sql.Swap(ctx, kind, id, old, next)
	}
	err = f.onRedis(ctx, func() error {
		swapped, err = f.redis.Swap(ctx, kind, id, old, next)
		return err
	})
	return swapped, err
}

// Mark always asks SQL: what Redis forgets could be granted again.
func (f *Failover) Mark(ctx context.Context, kind, key string, ttl time.Duration) (bool, error) {
	return f.sql.Mark(ctx, kind, key, ttl)
}

// Marked asks SQL, like Mark.
func (f *Failover) Marked(ctx context.Context, kind, key string) (bool, error) {
	return f.sql.Marked(ctx, kind, key)
}

// Add counts where it can. The other store's total is not known here.
func (f *Failover) Add(ctx context.Context, key string, n int64, life time.Duration) (total int64, err error) {
	err = f.onRedis(ctx, func() error {
		total, err = f.redis.Add(ctx, key, n, life)
		return err
	})
	if errors.Is(err, ErrUnavailable) {
		return f.sql.Add(ctx, key, n, life)
	}
	return total, err
}

// Spend spends where it can. What Redis may have spent without an answer stays spent.
func (f *Failover) Spend(ctx context.Context, limits []Limit) (d Decision, err error) {
	err = f.onRedis(ctx, func() error {
		d, err = f.redis.Spend(ctx, limits)
		return err
	})
	if errors.Is(err, ErrUnavailable) {
		return f.sql.Spend(ctx, limits)
	}
	return d, err
}

// Refund goes to the store that allowed the Spend. While that store is away
// nothing is given back.
func (f *Failover) Refund(ctx context.Context, limits []Limit, d Decision) error {
	if d.store != inRedis {
		return f.sql.Refund(ctx, limits, d)
	}
	return f.onRedis(ctx, func() error { return f.redis.Refund(ctx, limits, d) })
}

// Degraded reports whether there is a Redis and it is away.
func (f *Failover) Degraded() bool { return f.circuit.isAway() }

// Ping asks SQL, without which nothing goes; Degraded tells of Redis.
func (f *Failover) Ping(ctx context.Context) error { return f.sql.Ping(ctx) }

// RoundTrips is the sum of both stores.
func (f *Failover) RoundTrips() int64 {
	n := f.sql.RoundTrips()
	if f.redis != nil {
		n += f.redis.RoundTrips()
	}
	return n
}

// Close ends the probe and closes both stores.
func (f *Failover) Close() error {
	f.circuit.end()
	err := f.sql.Close()
	if f.redis != nil {
		err = errors.Join(err, f.redis.Close())
	}
	return err
}
