package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What a caller may tell apart. They arrive wrapped: match with errors.Is.
var (
	ErrNotFound    = errors.New("ephemeral: not found")     // never there, expired, taken without a tombstone, or lost
	ErrUsed        = errors.New("ephemeral: already taken") // beside the tombstone
	ErrUnavailable = errors.New("ephemeral: unavailable")   // the store cannot be reached; whether the step was done is unknown
)

// Store is short-lived shared state. It is safe for many goroutines, and for
// many processes on the same database or Redis.
//
// A kind is a constant of the program, such as "par", that keeps one use of the
// store from another's ids and keys.
type Store interface {
	// Put stores value and returns the id to find it by: random, 128 bits, and it says which store holds the item.
	Put(ctx context.Context, kind string, value []byte, ttl time.Duration) (id string, err error)
	// Get reads an item; ErrNotFound, or the tombstone and ErrUsed, if there is none any more.
	Get(ctx context.Context, kind, id string) ([]byte, error)
	// Take reads and removes in one step. For keep, tombstone stays in its place: a second Take returns it with ErrUsed.
	// With keep zero nothing stays. After ErrUnavailable the item may be gone.
	Take(ctx context.Context, kind, id string, tombstone []byte, keep time.Duration) ([]byte, error)
	// Swap replaces old by next, keeping the item's expiry; false if the item is no longer old.
	Swap(ctx context.Context, kind, id string, old, next []byte) (bool, error)
	// Mark remembers key for ttl; first is true for exactly one caller.
	Mark(ctx context.Context, kind, key string, ttl time.Duration) (first bool, err error)
	// Marked says whether key is marked now, without marking it. Who must be the only one asks Mark.
	Marked(ctx context.Context, kind, key string) (bool, error)
	// Add adds n to a counter that lives for life from its first Add, and returns the total.
	Add(ctx context.Context, key string, n int64, life time.Duration) (int64, error)
	// Spend takes one from every limit, or from none. One round trip on Redis, one transaction on SQL.
	Spend(ctx context.Context, limits []Limit) (Decision, error)
	// Refund gives back what an allowed Spend of the same limits took. It is for once.
	Refund(ctx context.Context, limits []Limit, d Decision) error
	Ping(ctx context.Context) error
	// RoundTrips counts what was sent to the store so far: commands, scripts, statements, BEGIN and COMMIT.
	RoundTrips() int64
	Close() error
}

// Limit allows Max spends in any window of Per, whenever the window begins.
//
// Up to 128 spends are remembered one by one. Of a larger Max, moments are
// rounded up to Per/128, so that one key never needs more than a few kilobytes:
// an allowance may then come back that much late, never early.
type Limit struct {
	Key  string // no personal data in clear; the same Key with another Per is another limit
	Max  int64
	Per  time.Duration
	Soft int64 // at most Max: how far this very call may go, others go on to Max; 0 for Max
}

// Decision says whether every limit had room; else which one will have none for
// longest. As long as a Max stands in the way of a call no Soft is spoken of.
type Decision struct {
	Allowed    bool
	Refused    int           // index of the limit without room that takes longest, the first of equals
	Soft       bool          // there is room below every Max, and none below the Soft of Refused
	RetryAfter time.Duration // until it and all others have room, if nobody else spends

	store byte    // where it was taken from
	at    []int64 // the moment that each limit's log has it under
}

// errForeignDecision is a mistake of the caller.
var errForeignDecision = errors.New("ephemeral: refund of a decision that these limits did not allow here")

func checkLife(name string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("ephemeral: %s must be positive", name)
	}
	return nil
}
