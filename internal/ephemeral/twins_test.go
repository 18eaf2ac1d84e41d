//go:build unix

package ephemeral

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestSpendTwinsAgree drives SQL and Redis with the same random histories of
// spends, refunds and a clock that may also go back, and compares what they
// answer and what they remember.
func TestSpendTwinsAgree(t *testing.T) {
	if !hasRedis(t) {
		return
	}
	sql, redis := onSQL(t, sqlite(t)), onRedis(t, redisURL())
	c := newClock()
	c.set(sql)
	c.set(redis)
	history := 0
	rapid.Check(t, func(t *rapid.T) {
		history++
		c.t = newClock().t
		// Windows of a minute and more: the keys of Redis live by real time.
		pool := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Limit {
			return Limit{
				Key: fmt.Sprint(history, "/", rapid.IntRange(0, 3).Draw(t, "key")),
				Max: rapid.SampledFrom([]int64{1, 2, 3, 5, 128, 129, 150, 1000}).Draw(t, "max"),
				Per: time.Duration(rapid.SampledFrom([]int64{60_000_000, 60_000_001, 3_600_000_000, 86_400_000_000}).Draw(t, "per")) * time.Microsecond,
			}
		}), 1, 5).Draw(t, "pool")
		choose := rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 1, min(3, len(distinct(pool))), limitKey)
		type spent struct {
			limits     []Limit
			sql, redis Decision
		}
		var refundable []spent
		var wait time.Duration // of the last refusal
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"spend", "spend", "burst", "later", "room", "room", "back", "refund"}).Draw(t, "step") {
			case "room": // the very moment, and the last one before it
				c.t = c.t.Add(max(0, wait-time.Duration(rapid.IntRange(0, 1).Draw(t, "µs"))*time.Microsecond))
				wait = 0
			case "later":
				c.t = c.t.Add(time.Duration(rapid.Int64Range(0, 2*3_600_000_000).Draw(t, "µs")) * time.Microsecond)
			case "back": // another replica's clock, or one that was set wrong
				c.t = c.t.Add(-time.Duration(rapid.SampledFrom([]int64{1, 5000, 90_000_000, 200_000_000_000}).Draw(t, "µs")) * time.Microsecond)
			case "refund":
				if len(refundable) > 0 {
					s := refundable[0]
					refundable = refundable[1:]
					if err := sql.Refund(t.Context(), s.limits, s.sql); err != nil {
						t.Fatal(err)
					}
					if err := redis.Refund(t.Context(), s.limits, s.redis); err != nil {
						t.Fatal(err)
					}
				}
			case "burst":
				limits := choose.Draw(t, "limits")
				for range rapid.SampledFrom([]int{2, 3, 5, 130}).Draw(t, "times") {
					if a, _ := compareSpend(t, sql, redis, limits); !a.Allowed {
						wait = a.RetryAfter
						break
					}
				}
			case "spend":
				limits := choose.Draw(t, "limits")
				a, b := compareSpend(t, sql, redis, limits)
				if a.Allowed {
					refundable = append(refundable, spent{limits, a, b})
				} else {
					wait = a.RetryAfter
				}
			}
		}
		for _, l := range pool {
			compareLogs(t, sql, redis, l)
		}
	})
}

func distinct(limits []Limit) map[string]bool {
	keys := make(map[string]bool)
	for _, l := range limits {
		keys[limitKey(l)] = true
	}
	return keys
}

func compareSpend(t *rapid.T, sql *SQL, redis *Redis, limits []Limit) (a, b Decision) {
	a, err := sql.Spend(t.Context(), limits)
	if err != nil {
		t.Fatal(err)
	}
	b, err = redis.Spend(t.Context(), limits)
	if err != nil {
		t.Fatal(err)
	}
	same := b
	same.store = a.store
	if diff := cmp.Diff(a, same, cmp.AllowUnexported(Decision{})); diff != "" {
		t.Fatalf("SQL and Redis disagree over %+v:\n%s", limits, diff)
	}
	return a, b
}

// compareLogs looks at what is left inside.
func compareLogs(t *rapid.T, sql *SQL, redis *Redis, l Limit) {
	var inSQL string
	rows, err := sql.db.Query(t.Context(), `SELECT log FROM ephemeral_limits WHERE key = $1`, limitKey(l))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&inSQL); err != nil {
			t.Fatal(err)
		}
	}
	inRedis, err := redis.client.Eval(t.Context(), `
local log, fields = cmsgpack.unpack(redis.call('GET', KEYS[1]) or '\144'), {}
for i = 1, #log, 2 do table.insert(fields, string.format('%.0f:%d', log[i], log[i+1])) end
return table.concat(fields, ' ')`, []string{redis.prefix + "{l}:" + limitKey(l)}).Text()
	if err != nil {
		t.Fatal(err)
	}
	if inSQL != inRedis {
		t.Fatalf("SQL remembers %q, Redis %q", inSQL, inRedis)
	}
	if len(inSQL) > 8<<10 {
		t.Fatalf("a log of %d bytes", len(inSQL))
	}
}
