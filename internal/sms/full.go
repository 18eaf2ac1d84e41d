package sms

import (
	"sync"
	"time"
)

const (
	// believe is how long a server repeats by itself that a limit is full:
	// another one may have given something back.
	believe = 15 * time.Second
	// believeSettled is the same where all that counts is settled: only a late
	// receipt could still give something back.
	believeSettled = 5 * time.Minute
	// mostStops bounds the memory of full limits.
	mostStops = 10_000
)

// stop is a limit and how far a call could go in it.
type stop struct {
	key  string
	most int64
}

// stops remember which limits were full moments ago. Under an attack nearly
// every request is refused by a limit that has refused others before; those
// cost no store anything.
type stops struct {
	mu    sync.Mutex
	until map[stop]fullness
	swept time.Time // of what is old
}

type fullness struct {
	room    time.Time // when there will be room
	believe time.Time // and until when that is repeated without asking
}

// add remembers that there is no room for that long, and to repeat it for a while.
func (m *stops) add(s stop, now time.Time, room, while time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.until == nil {
		m.until = make(map[stop]fullness)
	}
	if len(m.until) >= mostStops && now.Sub(m.swept) >= time.Second {
		m.swept = now
		for s, f := range m.until {
			if !f.believe.After(now) {
				delete(m.until, s)
			}
		}
	}
	if len(m.until) >= mostStops {
		return
	}
	m.until[s] = fullness{room: now.Add(room), believe: now.Add(min(room, while))}
}

// wait is how long there will be no room, zero if that is not known.
func (m *stops) wait(s stop, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.until[s]
	if !ok || !f.believe.After(now) {
		return 0
	}
	return f.room.Sub(now)
}

// remove forgets: something was given back.
func (m *stops) remove(all ...stop) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range all {
		delete(m.until, s)
	}
}
