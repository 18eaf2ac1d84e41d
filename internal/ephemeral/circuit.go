package ephemeral

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	probeInterval = 500 * time.Millisecond
	probeTimeout  = time.Second
	// A Redis that goes away again this soon after it came back is tried less
	// often, up to longestProbeInterval.
	stableAfter          = 10 * time.Second
	longestProbeInterval = 8 * time.Second
)

// circuit remembers that Redis is away, so that no request waits for it, and
// finds out by itself when it is back.
type circuit struct {
	probe func(context.Context) error
	log   *slog.Logger

	mu         sync.Mutex
	away       bool
	generation int // how often it has come back; a failure from before says nothing
	since      time.Time
	interval   time.Duration

	life    context.Context
	stop    context.CancelFunc
	probing sync.WaitGroup
}

func newCircuit(log *slog.Logger, probe func(context.Context) error) *circuit {
	c := &circuit{probe: probe, log: log, interval: probeInterval}
	c.life, c.stop = context.WithCancel(context.Background())
	return c
}

// enter reports whether Redis may be asked, and the generation to tell trip.
func (c *circuit) enter() (generation int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation, !c.away
}

func (c *circuit) isAway() bool {
	_, ok := c.enter()
	return !ok
}

// trip opens the circuit, unless Redis has come back since the failing call
// entered.
func (c *circuit) trip(generation int, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away || generation != c.generation || c.life.Err() != nil {
		return
	}
	if c.generation > 0 && time.Since(c.since) < stableAfter {
		c.interval = min(2*c.interval, longestProbeInterval)
	} else {
		c.interval = probeInterval
	}
	c.away, c.since = true, time.Now()
	c.log.Warn("redis is away, the database takes over", "error", cause)
	c.probing.Go(func() { c.probeUntilBack(c.interval) })
}

func (c *circuit) probeUntilBack(interval time.Duration) {
	for {
		pause := time.NewTimer(interval)
		select {
		case <-c.life.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		ctx, cancel := context.WithTimeout(c.life, probeTimeout)
		err := c.probe(ctx)
		cancel()
		if err == nil {
			c.close()
			return
		}
	}
}

func (c *circuit) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Info("redis is back", "away", time.Since(c.since).Round(time.Millisecond))
	c.away, c.since = false, time.Now()
	c.generation++
}

// end stops probing for good.
func (c *circuit) end() {
	c.mu.Lock()
	c.stop() // no trip starts another probe
	c.mu.Unlock()
	c.probing.Wait()
}
