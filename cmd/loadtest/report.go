package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// result of one scenario. Latencies are milliseconds; Failures are counted, not
// measured, and the first of them is told.
type result struct {
	Scenario   string  `json:"scenario"`
	PerSecond  float64 `json:"per_second"`
	P50        float64 `json:"p50_ms"`
	P95        float64 `json:"p95_ms"`
	P99        float64 `json:"p99_ms"`
	Done       int     `json:"done"`
	Failures   int     `json:"failures"`
	FirstError string  `json:"first_error,omitempty"`
}

func drive(ctx context.Context, o options) error {
	l, err := newLoad(ctx, o.sink)
	if err != nil {
		return err
	}
	defer l.sink.close()
	failed := false
	for _, s := range scenarios {
		if o.scenarios != "all" && !slices.Contains(strings.Split(o.scenarios, ","), s.name) {
			continue
		}
		r, err := measure(ctx, l, s, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		failed = failed || r.Failures > 0
		if err := print(r, o.json); err != nil {
			return err
		}
	}
	if failed {
		return fmt.Errorf("there were failures")
	}
	return nil
}

func print(r result, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	_, err := fmt.Printf("%-20s %8.0f/s   p50 %7.2f ms   p95 %7.2f ms   p99 %7.2f ms   %d done, %d failed %s\n",
		r.Scenario, r.PerSecond, r.P50, r.P95, r.P99, r.Done, r.Failures, r.FirstError)
	return err
}

// measure runs a scenario on all connections. Requests that end within the
// measured time count.
func measure(ctx context.Context, l *load, s scenario, o options) (result, error) {
	steps := make([]step, o.connections)
	for i := range steps {
		c, err := dial(o.issuer)
		if err != nil {
			return result{}, err
		}
		defer c.close()
		if steps[i], err = s.prepare(l, c); err != nil {
			return result{}, err
		}
	}
	from := time.Now().Add(o.warmup)
	until := from.Add(o.duration)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()

	var (
		wait     sync.WaitGroup
		mu       sync.Mutex
		took     []time.Duration
		failures int
		first    string
	)
	for _, do := range steps {
		wait.Go(func() {
			var mine []time.Duration
			for ctx.Err() == nil {
				start := time.Now()
				err := do()
				end := time.Now()
				if err != nil {
					mu.Lock()
					failures++
					if first == "" {
						first = err.Error()
					}
					mu.Unlock()
					return // the connection's state is unknown
				}
				if end.After(from) && end.Before(until) {
					mine = append(mine, end.Sub(start))
				}
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	wait.Wait()
	slices.Sort(took)
	return result{Scenario: s.name, PerSecond: float64(len(took)) / o.duration.Seconds(),
		P50: percentile(took, 50), P95: percentile(took, 95), P99: percentile(took, 99),
		Done: len(took), Failures: failures, FirstError: first}, nil
}

func percentile(sorted []time.Duration, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, len(sorted)*p/100)]) / float64(time.Millisecond)
}
