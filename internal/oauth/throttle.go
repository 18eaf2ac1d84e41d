package oauth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// Failed client authentications that a client and an address together may have in
// one minute.
const (
	maxFailures   = 20
	failureWindow = time.Minute
)

var errTooManyFailures = fault.New(http.StatusTooManyRequests, "rate_limited", "too many failed attempts to authenticate this client")

// throttle slows down the guessing of client secrets; clients without one do not
// come here. Failures are counted in
// the shared store; whoever went too far is remembered here until the minute ends, so
// that refusing costs no round trip. A restart forgets that, the count does not.
type throttle struct {
	store ephemeral.Store
	vault *signing.Vault
	now   func() time.Time

	mu    sync.Mutex
	until map[string]time.Time
}

func newThrottle(store ephemeral.Store, vault *signing.Vault) *throttle {
	return &throttle{store: store, vault: vault, now: time.Now, until: make(map[string]time.Time)}
}

// key names a client and an address (an IPv6 network of 64 bits) without
// showing either.
func (t *throttle) key(clientID string, address netip.Addr) string {
	address = address.Unmap()
	if address.Is6() {
		if network, err := address.WithZone("").Prefix(64); err == nil {
			address = network.Addr()
		}
	}
	digest := t.vault.Index("client authentication", []byte(clientID+"\x00"+address.String()))
	return base64.RawURLEncoding.EncodeToString(digest[:16])
}

// refused says how long the key has to wait, 0 if it need not.
func (t *throttle) refused(key string) time.Duration {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.until[key]
	if !ok {
		return 0
	}
	if !now.Before(until) {
		delete(t.until, key)
		return 0
	}
	return until.Sub(now)
}

// count adds failures, or takes one back, and says how long the key has to wait if they
// are too many, and whether this is the first of them.
func (t *throttle) count(ctx context.Context, key string, delta int64) (wait time.Duration, first bool, err error) {
	if wait := t.refused(key); wait > 0 && delta > 0 {
		return wait, false, nil
	}
	now := t.now()
	minute := now.Truncate(failureWindow)
	total, err := t.store.Add(ctx, "client-auth:"+key+":"+strconv.FormatInt(minute.Unix(), 36), delta, 2*failureWindow)
	if err != nil || total <= maxFailures {
		return 0, false, err
	}
	end := minute.Add(failureWindow)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.until) >= 10_000 { // somebody tries many names; the past ones go first
		for k, until := range t.until {
			if !now.Before(until) {
				delete(t.until, k)
			}
		}
	}
	if len(t.until) < 10_000 {
		t.until[key] = end
	}
	return end.Sub(now), total == maxFailures+1, nil
}
