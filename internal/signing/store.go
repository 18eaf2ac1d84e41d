package signing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// load replaces the key set by what the database holds. r.mu is held.
func (r *Ring) load(ctx context.Context) error {
	rows, err := r.readRows(ctx)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	known := r.keys.Load().byID
	keys := make([]*ringKey, 0, len(rows))
	for _, row := range rows {
		k := &ringKey{Key: row.Key}
		if old := known[row.ID]; old != nil && old.Algorithm == row.Algorithm {
			k.material = old.material // parsing RSA keys costs milliseconds
		} else if k.material, err = r.vault.openKey(row.ID, row.Algorithm, row.sealed); err != nil {
			return err
		}
		if !r.vault.Current(row.sealed) {
			if err := r.reseal(ctx, row); err != nil {
				return err
			}
		}
		keys = append(keys, k)
	}
	set, err := newKeySet(keys, r.policy.Keep, time.Now())
	if err != nil {
		return err
	}
	r.keys.Store(set)
	return nil
}

// keyRow is a row of signing_keys.
type keyRow struct {
	Key
	sealed []byte
}

// readRows returns the keys that this release can use, in the order of the
// JWKS, which is the same on every replica.
func (r *Ring) readRows(ctx context.Context) ([]keyRow, error) {
	rows, err := r.db.Query(ctx, `
		SELECT kid, alg, state, sealed, created_at, activated_at, retired_at
		FROM signing_keys ORDER BY alg, created_at, kid`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []keyRow
	for rows.Next() {
		var row keyRow
		var created int64
		var activated, retired *int64
		if err := rows.Scan(&row.ID, &row.Algorithm, &row.State, &row.sealed, &created, &activated, &retired); err != nil {
			return nil, err
		}
		row.CreatedAt, row.ActivatedAt, row.RetiredAt = db.Time(created), timeOf(activated), timeOf(retired)
		// A newer release may have left keys of an algorithm that came later.
		if slices.Contains(Algorithms(), row.Algorithm) {
			out = append(out, row)
		}
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

func timeOf(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return db.Time(*us)
}

// reseal puts a key under the current master. Another replica may have been
// faster, which is as good.
func (r *Ring) reseal(ctx context.Context, row keyRow) error {
	aad := keyAAD(row.ID, row.Algorithm)
	der, err := r.vault.Open(keyLabel, row.sealed, aad)
	if err != nil {
		return fmt.Errorf("signing key %s: %w", row.ID, err)
	}
	_, err = r.db.Exec(ctx, `UPDATE signing_keys SET sealed = $1 WHERE kid = $2 AND sealed = $3`,
		r.vault.Seal(keyLabel, der, aad), row.ID, row.sealed)
	if err != nil {
		return fmt.Errorf("seal signing key %s anew: %w", row.ID, err)
	}
	return nil
}

// create makes one key of each algorithm in the given state, unless there is
// one already; the partial unique indexes let one replica win. The caller
// loads afterwards. r.mu is held.
func (r *Ring) create(ctx context.Context, state string, algs []Algorithm) error {
	keys, err := r.makeKeys(algs)
	if err != nil {
		return err
	}
	err = r.db.Tx(ctx, func(ctx context.Context) error {
		for _, k := range keys {
			if err := r.insert(ctx, k, state); err != nil {
				return err
			}
		}
		return r.db.Touch(ctx, topic)
	})
	if err != nil {
		return fmt.Errorf("store signing keys: %w", err)
	}
	return nil
}

// topic is what Touch says when keys changed.
const topic = "keys"

// insert stores a key unless its algorithm has one in that state.
func (r *Ring) insert(ctx context.Context, k newKey, state string) error {
	var activated *int64
	if state == Active {
		us := db.Micros(k.createdAt)
		activated = &us
	}
	_, err := r.db.Exec(ctx, `
		INSERT INTO signing_keys (kid, alg, state, sealed, public_jwk, created_at, activated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		k.kid, string(k.alg), state, k.sealed, k.publicJWK, db.Micros(k.createdAt), activated)
	return err
}

// makeKeys generates at once what takes long.
func (r *Ring) makeKeys(algs []Algorithm) ([]newKey, error) {
	keys := make([]newKey, len(algs))
	errs := make([]error, len(algs))
	now := time.Now()
	var wait sync.WaitGroup
	for i, alg := range algs {
		wait.Go(func() { keys[i], errs[i] = r.vault.makeKey(alg, now) })
	}
	wait.Wait()
	return keys, errors.Join(errs...)
}

// List reads every key that is kept from the database.
func (r *Ring) List(ctx context.Context) ([]Key, error) {
	rows, err := r.readRows(ctx)
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	keys := make([]Key, len(rows))
	for i, row := range rows {
		keys[i] = row.Key
	}
	return keys, nil
}
