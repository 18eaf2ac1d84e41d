//go:build unix

package ephemeral

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

// TestContract holds every store to the same behaviour.
func TestContract(t *testing.T) {
	contract := []struct {
		name string
		test func(t *testing.T, s Store)
	}{
		{"ItemIsReadAndTakenOnce", itemIsReadAndTakenOnce},
		{"TombstoneStays", tombstoneStays},
		{"AnyBytesAreValues", anyBytesAreValues},
		{"KindsAreSeparate", kindsAreSeparate},
		{"ForeignIDsAreNotFound", foreignIDsAreNotFound},
		{"SwapNeedsTheOldValue", swapNeedsTheOldValue},
		{"EverythingExpires", everythingExpires},
		{"LivesMustBePositive", livesMustBePositive},
		{"MarkIsGrantedOnce", markIsGrantedOnce},
		{"CounterCounts", counterCounts},
		{"SpendIsAllOrNothing", spendIsAllOrNothing},
		{"SpendSaysWhenThereIsRoom", spendSaysWhenThereIsRoom},
		{"SoftStopsThisCallAlone", softStopsThisCallAlone},
		{"RefundGivesBack", refundGivesBack},
		{"BadLimitsAreRefused", badLimitsAreRefused},
		{"OneOfManyTakesWins", oneOfManyTakesWins},
		{"OneOfManySwapsWins", oneOfManySwapsWins},
		{"OneOfManyMarksWins", oneOfManyMarksWins},
		{"NoAddIsLost", noAddIsLost},
		{"ManySpendsGetExactlyMax", manySpendsGetExactlyMax},
		{"ManySoftSpendsGetExactlySoft", manySoftSpendsGetExactlySoft},
		{"EndedContextIsUnavailable", endedContextIsUnavailable},
		{"RoundTripsAreCounted", roundTripsAreCounted},
	}
	eachStore(t, func(t *testing.T, s Store) {
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range contract {
			t.Run(c.name, func(t *testing.T) { c.test(t, s) })
		}
	})
}

func put(t *testing.T, s Store, kind, value string, ttl time.Duration) string {
	t.Helper()
	id, err := s.Put(t.Context(), kind, []byte(value), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// wantItem checks what Get or Take returned.
func wantItem(t *testing.T, got []byte, err error, want string, wantErr error) {
	t.Helper()
	if string(got) != want || !errors.Is(err, wantErr) {
		t.Fatalf("got %q, %v; want %q, %v", got, err, want, wantErr)
	}
}

func itemIsReadAndTakenOnce(t *testing.T, s Store) {
	id, other := put(t, s, "once", "value", time.Minute), put(t, s, "once", "other", time.Minute)
	if id == other {
		t.Fatal("two items have one id")
	}
	for range 2 {
		got, err := s.Get(t.Context(), "once", id)
		wantItem(t, got, err, "value", nil)
	}
	got, err := s.Take(t.Context(), "once", id, []byte("unused"), 0)
	wantItem(t, got, err, "value", nil)
	got, err = s.Take(t.Context(), "once", id, nil, 0)
	wantItem(t, got, err, "", ErrNotFound)
	got, err = s.Get(t.Context(), "once", id)
	wantItem(t, got, err, "", ErrNotFound)
	got, err = s.Get(t.Context(), "once", other)
	wantItem(t, got, err, "other", nil)
}

func tombstoneStays(t *testing.T, s Store) {
	for _, tombstone := range []string{"grant 7", ""} {
		id := put(t, s, "tomb", "value", time.Minute)
		got, err := s.Take(t.Context(), "tomb", id, []byte(tombstone), time.Minute)
		wantItem(t, got, err, "value", nil)
		got, err = s.Take(t.Context(), "tomb", id, []byte("another"), time.Minute)
		wantItem(t, got, err, tombstone, ErrUsed)
		got, err = s.Take(t.Context(), "tomb", id, nil, 0)
		wantItem(t, got, err, tombstone, ErrUsed)
		got, err = s.Get(t.Context(), "tomb", id)
		wantItem(t, got, err, tombstone, ErrUsed)
		if swapped, err := s.Swap(t.Context(), "tomb", id, []byte("value"), []byte("new")); swapped || err != nil {
			t.Fatalf("a tombstone was swapped: %v, %v", swapped, err)
		}
	}
}

func anyBytesAreValues(t *testing.T, s Store) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, value := range [][]byte{nil, {}, {0}, every, []byte("t"), bytes.Repeat(every, 256)} {
		id, err := s.Put(t.Context(), "bytes", value, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), "bytes", id); !bytes.Equal(got, value) || err != nil {
			t.Fatalf("put %d bytes, got %d, %v", len(value), len(got), err)
		}
		if swapped, err := s.Swap(t.Context(), "bytes", id, value, every); !swapped || err != nil {
			t.Fatalf("swap %d bytes: %v, %v", len(value), swapped, err)
		}
		if got, err := s.Take(t.Context(), "bytes", id, value, time.Minute); !bytes.Equal(got, every) || err != nil {
			t.Fatalf("took %d bytes, %v", len(got), err)
		}
		if got, err := s.Get(t.Context(), "bytes", id); !bytes.Equal(got, value) || !errors.Is(err, ErrUsed) {
			t.Fatalf("tombstone of %d bytes came back as %d, %v", len(value), len(got), err)
		}
	}
}

func kindsAreSeparate(t *testing.T, s Store) {
	id := put(t, s, "one", "value", time.Minute)
	_, err := s.Get(t.Context(), "two", id)
	wantItem(t, nil, err, "", ErrNotFound)
	_, err = s.Take(t.Context(), "two", id, nil, time.Minute)
	wantItem(t, nil, err, "", ErrNotFound)
	if swapped, err := s.Swap(t.Context(), "two", id, []byte("value"), nil); swapped || err != nil {
		t.Fatalf("swapped across kinds: %v, %v", swapped, err)
	}
	for _, kind := range []string{"one", "two"} {
		if first, err := s.Mark(t.Context(), kind, "key of both", time.Minute); !first || err != nil {
			t.Fatalf("mark of kind %s: %v, %v", kind, first, err)
		}
	}
	got, err := s.Take(t.Context(), "one", id, nil, 0)
	wantItem(t, got, err, "value", nil)
}

func foreignIDsAreNotFound(t *testing.T, s Store) {
	id := put(t, s, "foreign", "value", time.Minute)
	for _, bad := range []string{
		"", "s", "r", "x", id[1:], id + "A", id[:len(id)-1], "x" + id[1:], id + "\x00", id[:5] + "\n" + id[6:],
		id[:5] + "}" + id[6:], id[:5] + "\xff" + id[6:], newID(inSQL), newID(inRedis), "s' OR 1=1 --",
	} {
		want := ErrNotFound
		if f, ok := s.(*Failover); ok && f.Degraded() && isID(inRedis, bad) {
			want = ErrUnavailable // it may be there, who knows
		}
		if _, err := s.Get(t.Context(), "foreign", bad); !errors.Is(err, want) {
			t.Fatalf("get %q: %v", bad, err)
		}
		if _, err := s.Take(t.Context(), "foreign", bad, nil, 0); !errors.Is(err, want) {
			t.Fatalf("take %q: %v", bad, err)
		}
		if swapped, _ := s.Swap(t.Context(), "foreign", bad, []byte("value"), nil); swapped {
			t.Fatalf("swapped %q", bad)
		}
	}
}

func swapNeedsTheOldValue(t *testing.T, s Store) {
	id := put(t, s, "swap", "pending", time.Minute)
	for _, step := range []struct {
		old, new string
		want     bool
	}{{"approved", "denied", false}, {"", "denied", false}, {"pending", "approved", true}, {"pending", "denied", false}, {"approved", "", true}, {"", "done", true}} {
		swapped, err := s.Swap(t.Context(), "swap", id, []byte(step.old), []byte(step.new))
		if swapped != step.want || err != nil {
			t.Fatalf("%q to %q: %v, %v", step.old, step.new, swapped, err)
		}
	}
	got, err := s.Take(t.Context(), "swap", id, nil, 0)
	wantItem(t, got, err, "done", nil)
	if swapped, err := s.Swap(t.Context(), "swap", id, []byte("done"), nil); swapped || err != nil {
		t.Fatalf("swapped what is gone: %v, %v", swapped, err)
	}
}

// everythingExpires needs real time, since servers keep their own.
func everythingExpires(t *testing.T, s Store) {
	const short = 50 * time.Millisecond
	item, swapped, taken := put(t, s, "old", "value", short), put(t, s, "old", "value", short), put(t, s, "old", "value", time.Hour)
	if ok, err := s.Swap(t.Context(), "old", swapped, []byte("value"), []byte("new")); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := s.Take(t.Context(), "old", taken, []byte("tombstone"), short); err != nil {
		t.Fatal(err)
	}
	if first, err := s.Mark(t.Context(), "old", "mark", short); !first || err != nil {
		t.Fatal(first, err)
	}
	if total, err := s.Add(t.Context(), "old", 5, short); total != 5 || err != nil {
		t.Fatal(total, err)
	}
	limits := []Limit{{Key: "old", Max: 1, Per: short}}
	if d, err := s.Spend(t.Context(), limits); !d.Allowed || err != nil {
		t.Fatal(d, err)
	}
	for _, id := range []string{item, swapped, taken} {
		eventually(t, "item expires", time.Second, func() bool {
			_, err := s.Get(t.Context(), "old", id)
			return errors.Is(err, ErrNotFound)
		})
		_, err := s.Take(t.Context(), "old", id, []byte("late"), time.Minute)
		wantItem(t, nil, err, "", ErrNotFound)
	}
	eventually(t, "mark expires", time.Second, func() bool {
		if marked, err := s.Marked(t.Context(), "old", "mark"); marked || err != nil {
			return false
		}
		first, err := s.Mark(t.Context(), "old", "mark", time.Minute)
		return first && err == nil
	})
	eventually(t, "counter starts again", time.Second, func() bool {
		total, err := s.Add(t.Context(), "old", 1, time.Minute)
		return total == 1 && err == nil
	})
	eventually(t, "limit has room again", time.Second, func() bool {
		d, err := s.Spend(t.Context(), limits)
		return d.Allowed && err == nil
	})
}

func livesMustBePositive(t *testing.T, s Store) {
	for _, d := range []time.Duration{0, -time.Second} {
		if _, err := s.Put(t.Context(), "life", nil, d); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("put for %v: %v", d, err)
		}
		if _, err := s.Mark(t.Context(), "life", "key", d); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("mark for %v: %v", d, err)
		}
		if _, err := s.Add(t.Context(), "life", 1, d); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("add for %v: %v", d, err)
		}
	}
	// Less than Redis can count in is rounded up, not down to nothing.
	put(t, s, "life", "value", time.Microsecond)
}

func markIsGrantedOnce(t *testing.T, s Store) {
	long := string(bytes.Repeat([]byte("k"), 10_000))
	for _, key := range []string{"jti", "", "jti ", long, long + "l", "\x00\xff{}"} {
		for i := range 3 {
			if marked, err := s.Marked(t.Context(), "once", key); marked != (i > 0) || err != nil {
				t.Fatalf("before mark %d of %.10q: %v, %v", i, key, marked, err)
			}
			first, err := s.Mark(t.Context(), "once", key, time.Minute)
			if first != (i == 0) || err != nil {
				t.Fatalf("mark %d of %.10q: %v, %v", i, key, first, err)
			}
		}
	}
}

func counterCounts(t *testing.T, s Store) {
	for _, step := range []struct{ n, want int64 }{{1, 1}, {1, 2}, {-2, 0}, {5, 5}, {0, 5}} {
		total, err := s.Add(t.Context(), "count", step.n, time.Minute)
		if total != step.want || err != nil {
			t.Fatalf("added %d: %d, %v; want %d", step.n, total, err, step.want)
		}
	}
}

func endedContextIsUnavailable(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	id := put(t, s, "ended", "value", time.Minute)
	cancel()
	if _, err := s.Take(ctx, "ended", id, nil, 0); err != nil && !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if _, err := s.Spend(ctx, []Limit{{Key: "ended", Max: 1, Per: time.Minute}}); err != nil && !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if _, err := s.Mark(ctx, "ended", "key", time.Minute); err != nil && !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if f, ok := s.(*Failover); ok && f.redis != nil && f.Degraded() != (f.redis.Ping(t.Context()) != nil) {
		t.Error("a caller who hung up has switched the store")
	}
}

// roundTripsAreCounted is the cost of each step, which budgets elsewhere build on.
func roundTripsAreCounted(t *testing.T, s Store) {
	f, _ := s.(*Failover)
	if f != nil && f.Degraded() {
		return // the probes are counted as well
	}
	_, sql := s.(*SQL)
	sql = sql || f != nil && f.redis == nil
	limits := []Limit{{Key: "trips", Max: 1, Per: time.Hour}, {Key: "trips", Max: 1, Per: time.Minute}}
	var id string
	var d Decision
	for _, step := range []struct {
		name       string
		redis, sql int64
		do         func() error
	}{
		{"put", 1, 1, func() (err error) { id, err = s.Put(t.Context(), "trips", nil, time.Minute); return err }},
		{"get", 1, 1, func() error { _, err := s.Get(t.Context(), "trips", id); return err }},
		{"swap", 1, 1, func() error { _, err := s.Swap(t.Context(), "trips", id, nil, nil); return err }},
		{"take", 1, 1, func() error { _, err := s.Take(t.Context(), "trips", id, nil, time.Minute); return err }},
		{"mark", 1, 1, func() error { _, err := s.Mark(t.Context(), "trips", "key", time.Minute); return err }},
		{"marked", 1, 1, func() error { _, err := s.Marked(t.Context(), "trips", "key"); return err }},
		{"add", 1, 1, func() error { _, err := s.Add(t.Context(), "trips", 1, time.Minute); return err }},
		{"spend", 1, 4, func() (err error) { d, err = s.Spend(t.Context(), limits); return err }},
		{"refund", 1, 4, func() error { return s.Refund(t.Context(), limits, d) }},
	} {
		before := s.RoundTrips()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		want := step.redis
		if sql {
			want = step.sql
		}
		if got := s.RoundTrips() - before; got != want {
			t.Errorf("%s took %d round trips, want %d", step.name, got, want)
		}
	}
}
