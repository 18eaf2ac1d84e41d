package password

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// How long a caller waits for its turn, and for that of a heavy hash: no longer than
// leaves time for the work before a refusal is due.
const (
	patience      = 2 * time.Second
	heavyPatience = 300 * time.Millisecond
)

var errBusy = errors.New("all turns at password hashing are taken")

// ErrHeavy is what a fault.Unavailable wraps where another hash that needs more
// memory than ours is being verified.
var ErrHeavy = errors.New("the turn at hashes that need much memory is taken")

// Hasher hashes and verifies, so many at once that the processors are used and
// the memory is bounded: 19 MiB a turn, and one imported hash at a time that
// needs more, 128 MiB at most.
type Hasher struct {
	turns chan struct{}
	heavy chan struct{}
	decoy argon2Hash // of no password: what an account without one is compared with
}

// NewHasher makes one with so many turns; 0 means one for each processor.
func NewHasher(turns int) *Hasher {
	if turns <= 0 {
		turns = runtime.GOMAXPROCS(0)
	}
	return &Hasher{
		turns: make(chan struct{}, turns), heavy: make(chan struct{}, 1),
		decoy: argon2Hash{kib: ourMemory, passes: ourPasses, lanes: ourLanes, salt: make([]byte, saltSize), key: make([]byte, keySize)},
	}
}

// Hash is the argon2id hash of a password that Check let pass, as a PHC string.
// The error is fault.Unavailable with RetryAfter, or the context's.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	var made argon2Hash
	err := h.turn(ctx, ourMemory, func() { made = newArgon2(password) })
	if err != nil {
		return "", err
	}
	return made.String(), nil
}

// Verify says whether password is the one that hash was made of. An empty hash
// stands for no password: nothing matches it, at the cost of one that exists. A
// password of more than MaxBytes matches nothing either. Errors are those of
// Hash, and ErrHash; that of a heavy hash whose turn is taken is ErrHeavy.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (bool, error) {
	var with scheme = h.decoy
	if hash != "" {
		var err error
		if with, err = parse(hash); err != nil {
			return false, err
		}
	}
	typed := []byte(password[:min(len(password), MaxBytes)])
	var same bool
	if err := h.turn(ctx, with.memory(), func() { same = with.matches(typed) }); err != nil {
		return false, err
	}
	return same && hash != "" && len(password) <= MaxBytes, nil
}

// turn runs work when there is a place for it.
func (h *Hasher) turn(ctx context.Context, kib uint32, work func()) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	wait := func(places chan struct{}, until <-chan time.Time, busy error) error {
		select {
		case places <- struct{}{}:
			return nil
		case <-until:
			return fault.Unavailable.Because(busy).After(patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if kib > ourMemory {
		if err := wait(h.heavy, time.After(heavyPatience), ErrHeavy); err != nil {
			return err
		}
		defer func() { <-h.heavy }()
	}
	if err := wait(h.turns, timer.C, errBusy); err != nil {
		return err
	}
	defer func() { <-h.turns }()
	work()
	return nil
}
