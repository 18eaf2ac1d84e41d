package signing

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
)

// Policy says when keys rotate. Zero fields take the default.
type Policy struct {
	Every    time.Duration // how long a key signs (default 90 days)
	Publish  time.Duration // how long a key is in the JWKS before it signs (default 1 h; longer than the JWKS may be cached)
	Keep     time.Duration // how long a retired key verifies and is in the JWKS (default 24 h; longer than the longest token life by some seconds)
	Remember time.Duration // how long hints under a retired key are read (default 31 days; at least Keep, and longer than a session lives)
}

// defaultRemember outlives the browser sessions, so that an app can end one with
// the ID token that it got when the session began.
const defaultRemember = 31 * 24 * time.Hour

func (p Policy) withDefaults() (Policy, error) {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&p.Every, 90 * 24 * time.Hour}, {&p.Publish, time.Hour}, {&p.Keep, 24 * time.Hour},
		{&p.Remember, max(defaultRemember, p.Keep)},
	} {
		if *d.value < 0 {
			return p, errors.New("key rotation policy: a duration is negative")
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if p.Every <= p.Publish {
		return p, errors.New("key rotation policy: a key must sign for longer than the next one is published ahead")
	}
	if p.Remember < p.Keep {
		return p, errors.New("key rotation policy: a retired key must be remembered for as long as it verifies")
	}
	return p, nil
}

// Ring signs with the active key of an algorithm and verifies with any key it
// still keeps. Keys stay parsed in memory: signing and verifying touch no
// database and take no lock. It is safe for concurrent use.
type Ring struct {
	db     *db.DB
	vault  *Vault
	audit  *audit.Log
	policy Policy

	mu   sync.Mutex // one load or change at a time, so that no older load replaces a newer one
	keys atomic.Pointer[keySet]
}

// keySet is what the ring knew at one moment. It never changes.
type keySet struct {
	keys   []*ringKey // ordered by algorithm and age
	byID   map[string]*ringKey
	active map[Algorithm]*ringKey
	next   map[Algorithm]*ringKey
	jwks   []byte
	etag   string
	until  time.Time // when the next retired key leaves the JWKS, zero if none is in it
}

// OpenRing reads the keys. At the first start it creates the active key of
// every algorithm; of several replicas that start at once one stores them and
// all read the same. The next keys are made by Run. Keys that are sealed under
// an older master are sealed anew. [ErrWrongMaster] says that one does not open.
func OpenRing(ctx context.Context, d *db.DB, v *Vault, a *audit.Log, p Policy) (*Ring, error) {
	p, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Ring{db: d, vault: v, audit: a, policy: p}
	r.keys.Store(&keySet{})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	var missing []Algorithm
	for _, alg := range Algorithms() {
		if r.keys.Load().active[alg] == nil {
			missing = append(missing, alg)
		}
	}
	if len(missing) == 0 {
		return r, nil
	}
	if err := r.create(ctx, Active, missing); err != nil {
		return nil, err
	}
	return r, r.load(ctx)
}

// Reload reads the keys again; call it when topic "keys" changed. On an error
// the ring goes on with what it has.
func (r *Ring) Reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.load(ctx)
}

// JWKS is the prepared RFC 7517 document with the public part of every key that
// signs, will sign, or retired no longer than Policy.Keep ago, and its strong ETag,
// quotes included. It may be cached for somewhat less than Policy.Publish. The
// caller must not change body.
func (r *Ring) JWKS() (body []byte, etag string) {
	set, now := r.keys.Load(), time.Now()
	if !set.until.IsZero() && !now.Before(set.until) {
		// A key's time is over, which is no change of the database. If somebody
		// stores another set meanwhile, that one is as good or better.
		if fresh, err := newKeySet(set.keys, r.policy.Keep, now); err == nil {
			r.keys.CompareAndSwap(set, fresh)
			set = fresh
		}
	}
	return set.jwks, set.etag
}

// ActiveSince is since when the oldest of the keys that sign has signed.
func (r *Ring) ActiveSince() time.Time {
	var oldest time.Time
	for _, k := range r.keys.Load().active {
		if oldest.IsZero() || k.ActivatedAt.Before(oldest) {
			oldest = k.ActivatedAt
		}
	}
	return oldest
}

// Sign makes a compact JWS of a JSON payload, with alg, kid and typ in the
// header. Types are constants of the program, such as "at+jwt".
func (r *Ring) Sign(alg Algorithm, typ string, payload []byte) (string, error) {
	k := r.keys.Load().active[alg]
	if k == nil {
		return "", fmt.Errorf("sign %s: no key for algorithm %q", typ, alg)
	}
	signer := k.signer(typ)
	if signer.err != nil {
		return "", fmt.Errorf("sign %s: %w", typ, signer.err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", typ, err)
	}
	return jws.CompactSerialize()
}

// newKeySet sorts keys, which come ordered by algorithm and age, and prepares
// the JWKS as of now.
func newKeySet(keys []*ringKey, keep time.Duration, now time.Time) (*keySet, error) {
	set := &keySet{
		keys:   keys,
		byID:   make(map[string]*ringKey, len(keys)),
		active: make(map[Algorithm]*ringKey),
		next:   make(map[Algorithm]*ringKey),
	}
	public := jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, 0, len(keys))}
	for _, k := range keys {
		set.byID[k.ID] = k
		switch k.State {
		case Active:
			set.active[k.Algorithm] = k
		case Next:
			set.next[k.Algorithm] = k
		case Retired:
			end := k.RetiredAt.Add(keep)
			if !now.Before(end) {
				continue
			}
			if set.until.IsZero() || end.Before(set.until) {
				set.until = end
			}
		}
		public.Keys = append(public.Keys, k.jwk())
	}
	var err error
	if set.jwks, err = json.Marshal(public); err != nil {
		return nil, fmt.Errorf("encode the JWKS: %w", err)
	}
	sum := sha256.Sum256(set.jwks)
	set.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return set, nil
}
