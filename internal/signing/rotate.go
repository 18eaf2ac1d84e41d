package signing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
)

// Every replica runs the same schedule. A step is decided on what the replica
// remembers and done by a conditional write that names the keys it was decided
// on; who comes second changes nothing and reads again. Keys are generated
// before the transaction, since that may take long.

// ErrNotPublished is what Rotate fails with while the next key has not been in
// the JWKS for long enough: clients that cache it could not verify new tokens.
var ErrNotPublished = errors.New("the next key has not been published for long enough")

// errLost says that another replica rotated first.
var errLost = errors.New("another process changed the keys")

const (
	longestSleep  = time.Minute // a clock that jumped is noticed by then
	shortestSleep = 100 * time.Millisecond
	pauseOnError  = 5 * time.Second
)

// Run makes next keys, rotates on schedule and deletes retired keys, until ctx
// ends. What fails is tried again; an outage is logged once.
func (r *Ring) Run(ctx context.Context) {
	failing := false
	for {
		pause := pauseOnError
		err := r.maintain(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			_, wake := r.policy.plan(r.keys.Load(), time.Now())
			pause = min(max(time.Until(wake), shortestSleep), longestSleep)
			if failing {
				slog.InfoContext(ctx, "maintaining the signing keys again")
			}
		case !failing:
			slog.WarnContext(ctx, "cannot maintain the signing keys, trying on", "error", err)
		}
		failing = err != nil
		// Jitter spares replicas from generating keys that only one will store.
		timer := time.NewTimer(pause + rand.N(pause/10+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// step is something that the schedule asks for now.
type step struct {
	do  func(r *Ring, ctx context.Context, alg Algorithm) error
	alg Algorithm
}

// plan says what is due and when to look again.
func (p Policy) plan(set *keySet, now time.Time) (due []step, wake time.Time) {
	wake = now.Add(longestSleep)
	at := func(when time.Time, s step) {
		if !when.After(now) {
			due = append(due, s)
		} else if when.Before(wake) {
			wake = when
		}
	}
	for _, alg := range Algorithms() {
		active, next := set.active[alg], set.next[alg]
		switch {
		case next == nil:
			at(now, step{(*Ring).publishNext, alg})
		case active != nil:
			at(p.rotation(active, next), step{(*Ring).rotateDue, alg})
		}
	}
	for _, k := range set.keys {
		if k.State == Retired {
			at(k.RetiredAt.Add(p.Remember), step{(*Ring).deleteRetired, k.Algorithm})
		}
	}
	return due, wake
}

// rotation is when next takes over from active.
func (p Policy) rotation(active, next *ringKey) time.Time {
	due, published := active.ActivatedAt.Add(p.Every), next.CreatedAt.Add(p.Publish)
	if published.After(due) {
		return published
	}
	return due
}

// maintain does every step that is due and returns the first error: the others
// are most likely the same.
func (r *Ring) maintain(ctx context.Context) error {
	due, _ := r.policy.plan(r.keys.Load(), time.Now())
	var first error
	for _, s := range due {
		if err := s.do(r, ctx, s.alg); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (r *Ring) publishNext(ctx context.Context, alg Algorithm) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ensureNext(ctx, alg)
}

// ensureNext returns with a next key of alg in the key set. r.mu is held.
func (r *Ring) ensureNext(ctx context.Context, alg Algorithm) error {
	if r.keys.Load().next[alg] != nil {
		return nil
	}
	// Another replica may have published one that is not noticed here yet.
	if err := r.load(ctx); err != nil || r.keys.Load().next[alg] != nil {
		return err
	}
	if err := r.create(ctx, Next, []Algorithm{alg}); err != nil {
		return err
	}
	return r.load(ctx)
}

func (r *Ring) rotateDue(ctx context.Context, alg Algorithm) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	// An earlier step may have loaded what another replica did meanwhile.
	active, next := r.keys.Load().active[alg], r.keys.Load().next[alg]
	if active == nil || next == nil || r.policy.rotation(active, next).After(time.Now()) {
		return nil
	}
	return r.swap(ctx, alg, "system", active, next)
}

// Rotate makes the next key of alg active and the active one retired, by
// compare-and-set: of two callers at once one rotates, the other sees it done
// and succeeds as well. It fails with [ErrNotPublished] and says how long to
// wait if the next key has not been published for Policy.Publish.
func (r *Ring) Rotate(ctx context.Context, alg Algorithm) error {
	return r.rotate(ctx, alg, false)
}

// RotateNow is Rotate without regard to publication: for a key that must not
// sign any more. Clients that cache the JWKS refuse new tokens until they
// fetch it again. The retired key still verifies, see Distrust.
func (r *Ring) RotateNow(ctx context.Context, alg Algorithm) error {
	return r.rotate(ctx, alg, true)
}

// Distrust is RotateNow for a key that somebody else may have: it and every other
// retired key of alg are deleted, so that what they signed verifies nowhere, not even as a
// hint. A caller that fears for the next key as well calls it twice.
func (r *Ring) Distrust(ctx context.Context, alg Algorithm) error {
	if err := r.rotate(ctx, alg, true); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.db.Tx(ctx, func(ctx context.Context) error {
		n, err := r.db.Exec(ctx, `DELETE FROM signing_keys WHERE alg = $1 AND state = 'retired'`, string(alg))
		if err != nil {
			return err
		}
		if err := r.db.Touch(ctx, topic); err != nil {
			return err
		}
		return r.audit.Record(ctx, audit.Event{Name: "key.distrusted", Actor: "operator", Detail: map[string]string{
			"alg": string(alg), "deleted": strconv.FormatInt(n, 10),
		}})
	})
	if err != nil {
		return fmt.Errorf("delete retired %s keys: %w", alg, err)
	}
	return r.load(ctx)
}

func (r *Ring) rotate(ctx context.Context, alg Algorithm, force bool) error {
	// What the caller wants replaced is the key of this moment: if another
	// process or goroutine replaces it first, the wish is fulfilled.
	expected := r.keys.Load().active[alg]
	if expected == nil {
		return fmt.Errorf("rotate: no key for algorithm %q", alg)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(ctx); err != nil {
		return err
	}
	if active := r.keys.Load().active[alg]; active == nil || active.ID != expected.ID {
		return nil
	}
	if err := r.ensureNext(ctx, alg); err != nil {
		return err
	}
	set := r.keys.Load()
	next := set.next[alg]
	if next == nil {
		return fmt.Errorf("rotate %s: %w: try again", alg, errLost)
	}
	if wait := time.Until(next.CreatedAt.Add(r.policy.Publish)); wait > 0 && !force {
		return fmt.Errorf("rotate %s: %w: wait %s", alg, ErrNotPublished, roundUp(wait))
	}
	return r.swap(ctx, alg, "operator", expected, next)
}

// roundUp is d in whole seconds, or as it is below one.
func roundUp(d time.Duration) time.Duration {
	if d < time.Second {
		return d
	}
	return (d + time.Second - 1).Truncate(time.Second)
}

// swap retires active, activates next and publishes a new next, all or
// nothing, provided that both are still what the database holds. If they are
// not, another process did it. r.mu is held; the keys are loaded afterwards.
func (r *Ring) swap(ctx context.Context, alg Algorithm, actor string, active, next *ringKey) error {
	fresh, err := r.makeKeys([]Algorithm{alg})
	if err != nil {
		return err
	}
	err = r.db.Tx(ctx, func(ctx context.Context) error {
		now := db.Micros(time.Now())
		n, err := r.db.Exec(ctx, `
			UPDATE signing_keys SET state = 'retired', retired_at = $1 WHERE kid = $2 AND state = 'active'`, now, active.ID)
		if err != nil || n != 1 {
			return lost(err)
		}
		n, err = r.db.Exec(ctx, `
			UPDATE signing_keys SET state = 'active', activated_at = $1 WHERE kid = $2 AND state = 'next'`, now, next.ID)
		if err != nil || n != 1 {
			return lost(err)
		}
		if err := r.insert(ctx, fresh[0], Next); err != nil {
			return err
		}
		if err := r.db.Touch(ctx, topic); err != nil {
			return err
		}
		return r.audit.Record(ctx, audit.Event{Name: "key.rotated", Actor: actor, Detail: map[string]string{
			"alg": string(alg), "retired": active.ID, "active": next.ID, "next": fresh[0].kid,
		}})
	})
	if err != nil && !errors.Is(err, errLost) {
		return fmt.Errorf("rotate %s: %w", alg, err)
	}
	return r.load(ctx)
}

// lost is err, or errLost where a conditional write changed nothing.
func lost(err error) error {
	if err == nil {
		return errLost
	}
	return err
}

// deleteRetired deletes the keys of alg under which not even hints are read any more.
func (r *Ring) deleteRetired(ctx context.Context, alg Algorithm) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.db.Tx(ctx, func(ctx context.Context) error {
		n, err := r.db.Exec(ctx, `
			DELETE FROM signing_keys WHERE alg = $1 AND state = 'retired' AND retired_at <= $2`,
			string(alg), db.Micros(time.Now().Add(-r.policy.Remember)))
		if err != nil || n == 0 {
			return err
		}
		return r.db.Touch(ctx, topic)
	})
	if err != nil {
		return fmt.Errorf("delete retired %s keys: %w", alg, err)
	}
	return r.load(ctx)
}
