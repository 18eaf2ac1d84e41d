//go:build unix

package ephemeral

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestSpendTwinsAgree drives SQL, Redis and a plain list of moments with the
// same random histories of spends, refunds and a clock that may also go back,
// and compares what they answer and what they remember.
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
		plain := model{}
		// Windows of a minute and more: the keys of Redis live by real time.
		pool := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Limit {
			return Limit{
				Key: fmt.Sprint(history, "/", rapid.IntRange(0, 3).Draw(t, "key")),
				Max: rapid.SampledFrom([]int64{1, 2, 3, 5, 128, 129, 150, 1000}).Draw(t, "max"),
				Per: time.Duration(rapid.SampledFrom([]int64{60_000_000, 60_000_001, 3_600_000_000, 86_400_000_000}).Draw(t, "per")) * time.Microsecond,
			}
		}), 1, 5).Draw(t, "pool")
		some := rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 1, min(3, len(distinct(pool))), limitKey)
		choose := rapid.Custom(func(t *rapid.T) []Limit {
			limits := some.Draw(t, "limits")
			for i, l := range limits {
				limits[i].Soft = rapid.SampledFrom([]int64{0, 0, 1, l.Max/2 + 1, l.Max}).Draw(t, "soft")
			}
			return limits
		})
		compareSpend := func(t *rapid.T, limits []Limit) (a, b Decision) {
			a, b = compareSpend(t, sql, redis, limits)
			want := plain.spend(limits, c.t)
			want.store, want.at = a.store, a.at
			if diff := gocmp.Diff(want, a, gocmp.AllowUnexported(Decision{})); diff != "" {
				t.Fatalf("not what a plain count says of %+v:\n%s", limits, diff)
			}
			return a, b
		}
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
					plain.refund(s.limits, s.sql)
				}
			case "burst":
				limits := choose.Draw(t, "limits")
				for range rapid.SampledFrom([]int{2, 3, 5, 130}).Draw(t, "times") {
					if a, _ := compareSpend(t, limits); !a.Allowed {
						wait = a.RetryAfter
						break
					}
				}
			case "spend":
				limits := choose.Draw(t, "limits")
				a, b := compareSpend(t, limits)
				if a.Allowed {
					refundable = append(refundable, spent{limits, a, b})
				} else {
					wait = a.RetryAfter
				}
			}
		}
		for _, l := range pool {
			compareLogs(t, sql, redis, plain, l)
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
	if diff := gocmp.Diff(a, same, gocmp.AllowUnexported(Decision{})); diff != "" {
		t.Fatalf("SQL and Redis disagree over %+v:\n%s", limits, diff)
	}
	return a, b
}

// compareLogs looks at what is left inside.
func compareLogs(t *rapid.T, sql *SQL, redis *Redis, plain model, l Limit) {
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
	log, err := parseLog(inSQL)
	if err != nil {
		t.Fatal(err)
	}
	var moments []int64
	for _, s := range log {
		moments = append(moments, slices.Repeat([]int64{s.at}, int(s.count))...)
	}
	if want := plain[limitKey(l)]; !slices.Equal(moments, want) {
		t.Fatalf("the stores remember %v, want %v", moments, want)
	}
	if len(inSQL) > 8<<10 {
		t.Fatalf("a log of %d bytes", len(inSQL))
	}
}

// model is the moments of all spends by limit, and a Spend by counting them.
type model map[string][]int64

func (m model) spend(limits []Limit, now time.Time) Decision {
	next := make([][]int64, len(limits)) // the moments still in each window
	healed := make([]bool, len(limits))
	var hard, soft []time.Duration
	for i, l := range limits {
		at := roundUp(l, now)
		last := int64(0)
		for _, moment := range m[limitKey(l)] {
			if moment > at+l.Per.Microseconds() { // from a clock that was wrong
				moment, healed[i] = max(at, last), true
			}
			last = moment
			if moment+l.Per.Microseconds() > now.UnixMicro() {
				next[i] = append(next[i], moment)
			}
		}
		hard = append(hard, until(next[i], l.Max, l.Per, now))
		soft = append(soft, until(next[i], cmp.Or(l.Soft, l.Max), l.Per, now))
	}
	d := Decision{Allowed: true}
	for waits, isSoft := range map[*[]time.Duration]bool{&hard: false, &soft: true} {
		if longest := slices.Max(*waits); longest > 0 && (!isSoft || slices.Max(hard) == 0) {
			d = Decision{Refused: slices.Index(*waits, longest), Soft: isSoft, RetryAfter: longest}
		}
	}
	for i, l := range limits {
		if d.Allowed {
			at := roundUp(l, now)
			if n := len(next[i]); n > 0 {
				at = max(at, next[i][n-1])
			}
			next[i] = append(next[i], at)
		}
		if d.Allowed || healed[i] {
			m[limitKey(l)] = next[i]
		}
	}
	return d
}

// refund forgets one spend of the moment that the decision has it under.
func (m model) refund(limits []Limit, d Decision) {
	for i, l := range limits {
		if j := slices.Index(m[limitKey(l)], d.at[i]); j >= 0 {
			m[limitKey(l)] = slices.Delete(m[limitKey(l)], j, j+1)
		}
	}
}

// roundUp is the moment under which a spend is remembered, see Limit.
func roundUp(l Limit, now time.Time) int64 {
	us := now.UnixMicro()
	if l.Max <= 128 {
		return us
	}
	for step := (l.Per.Microseconds() + 127) / 128; us%step != 0; {
		us += step - us%step
	}
	return us
}

// until is how long it takes until fewer than most of the moments are in the window.
func until(moments []int64, most int64, per time.Duration, now time.Time) time.Duration {
	if int64(len(moments)) < most {
		return 0
	}
	return time.UnixMicro(moments[int64(len(moments))-most]).Add(per).Sub(now)
}
