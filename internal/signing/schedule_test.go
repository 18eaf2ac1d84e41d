package signing_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
)

const day = 24 * time.Hour

// shortly is a schedule that a test can live through.
var shortly = signing.Policy{Every: 3 * day, Publish: time.Hour, Keep: day, Remember: 2 * day}

// lag is how late a replica notices what another one changed; far later than
// in a server, to show that nothing depends on it.
const lag = time.Minute

// bubble runs rings on one SQLite database under a clock of their own.
func bubble(t *testing.T, replicas int, p signing.Policy, f func(t *testing.T, d *db.DB, rings []*signing.Ring)) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		v := openVault(t, d, signing.GenerateMaster())
		rings := make([]*signing.Ring, replicas)
		for i := range rings {
			rings[i] = openRing(t, d, v, p)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		for _, r := range rings {
			wait.Go(func() { r.Run(ctx) })
			wait.Go(func() {
				d.Watch(ctx, lag, func(string) error {
					err := r.Reload(ctx)
					if err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					return err
				})
			})
		}
		synctest.Wait()
		f(t, d, rings)
		stop()
		wait.Wait()
	})
}

func TestReplicasRotateOnceOnSchedule(t *testing.T) {
	bubble(t, 2, shortly, func(t *testing.T, d *db.DB, rings []*signing.Ring) {
		time.Sleep(2 * lag)
		first := map[signing.Algorithm]string{}
		for _, alg := range signing.Algorithms() {
			first[alg] = activeKey(t, rings[0], alg)
			if got := keys(t, rings[0], alg, signing.Next); len(got) != 1 {
				t.Fatalf("%s: %d next keys after the start", alg, len(got))
			}
		}
		time.Sleep(3*day - 5*time.Minute)
		for alg, kid := range first {
			if activeKey(t, rings[0], alg) != kid {
				t.Errorf("%s: rotated early", alg)
			}
		}
		tokens := map[signing.Algorithm]string{}
		for alg := range first {
			tokens[alg] = sign(t, rings[0], alg)
		}
		time.Sleep(10 * time.Minute)
		for alg, kid := range first {
			retired := keys(t, rings[0], alg, signing.Retired)
			if len(retired) != 1 || retired[0].ID != kid {
				t.Errorf("%s: retired keys %+v", alg, retired)
			}
			for i, r := range rings {
				if _, err := r.Verify(tokens[alg]); err != nil {
					t.Errorf("%s: ring %d refuses a token of the retired key: %v", alg, i, err)
				}
			}
		}
		var recorded int
		if err := d.QueryRow(t.Context(), `SELECT count(*) FROM audit WHERE event = 'key.rotated'`).Scan(&recorded); err != nil || recorded != len(first) {
			t.Errorf("%d rotations recorded, %v", recorded, err)
		}
	})
}

func TestRetiredKeysAreDeletedInTwoSteps(t *testing.T) {
	bubble(t, 2, shortly, func(t *testing.T, d *db.DB, rings []*signing.Ring) {
		time.Sleep(2 * time.Hour) // published by now
		token := sign(t, rings[0], signing.ES256)
		before, _ := rings[1].Verify(token)
		if err := rings[0].Rotate(t.Context(), signing.ES256); err != nil {
			t.Fatal(err)
		}
		time.Sleep(day - time.Minute)
		if _, err := rings[1].Verify(token); err != nil {
			t.Errorf("within Keep: %v", err)
		}
		time.Sleep(5 * time.Minute)
		for i, r := range rings {
			if _, err := r.Verify(token); !errors.Is(err, signing.ErrInvalidToken) {
				t.Errorf("ring %d after Keep: %v", i, err)
			}
			if slices.Contains(publishedIDs(t, r), before.KeyID) {
				t.Errorf("ring %d still publishes the key", i)
			}
			if hint, err := r.VerifyHint(token); err != nil || hint.KeyID != before.KeyID {
				t.Errorf("ring %d refuses a hint after Keep: %v", i, err)
			}
		}
		time.Sleep(day)
		for i, r := range rings {
			if _, err := r.VerifyHint(token); !errors.Is(err, signing.ErrInvalidToken) {
				t.Errorf("ring %d after Remember: %v", i, err)
			}
		}
		if left := keys(t, rings[0], signing.ES256, signing.Retired); len(left) != 0 {
			t.Errorf("not deleted: %+v", left)
		}
	})
}

// A ring that nobody runs or reloads refuses and hides a key when its time is over.
func TestRetiredKeyIsRefusedWithoutHousekeeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		r := openRing(t, d, openVault(t, d, signing.GenerateMaster()), shortly)
		token := sign(t, r, signing.EdDSA)
		if err := r.RotateNow(t.Context(), signing.EdDSA); err != nil {
			t.Fatal(err)
		}
		time.Sleep(day - time.Second)
		verified, err := r.Verify(token)
		if err != nil {
			t.Errorf("within Keep: %v", err)
		}
		_, tag := r.JWKS()
		if !slices.Contains(publishedIDs(t, r), verified.KeyID) {
			t.Error("within Keep: not published")
		}
		time.Sleep(time.Second)
		if _, err := r.Verify(token); !errors.Is(err, signing.ErrInvalidToken) {
			t.Errorf("after Keep: %v", err)
		}
		if _, later := r.JWKS(); slices.Contains(publishedIDs(t, r), verified.KeyID) || later == tag {
			t.Errorf("after Keep: published under %s, before %s", later, tag)
		}
		if ids := publishedIDs(t, r); len(ids) != len(signing.Algorithms())+1 { // RotateNow made a next key
			t.Errorf("after Keep: %d keys are published", len(ids))
		}
		time.Sleep(day - time.Second)
		if _, err := r.VerifyHint(token); err != nil {
			t.Errorf("hint within Remember: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := r.VerifyHint(token); !errors.Is(err, signing.ErrInvalidToken) {
			t.Errorf("hint after Remember: %v", err)
		}
	})
}

// A client that caches the JWKS for 50 minutes, where keys are published for an
// hour, never meets a key that it does not know, however often somebody asks
// for a rotation; and a token verifies for Keep, less what replicas lag.
func TestClientsAlwaysKnowTheKey(t *testing.T) {
	p := signing.Policy{Every: 3 * time.Hour, Publish: time.Hour, Keep: 2 * time.Hour}
	bubble(t, 2, p, func(t *testing.T, d *db.DB, rings []*signing.Ring) {
		time.Sleep(p.Publish)
		cached := publishedIDs(t, rings[0])
		type issued struct {
			token string
			at    time.Time
		}
		var tokens []issued
		for minute := range 24 * 60 {
			time.Sleep(time.Minute)
			token := sign(t, rings[minute%2], signing.ES256)
			if kid := keyOf(t, token); !slices.Contains(cached, kid) {
				t.Fatalf("minute %d: signed with %s, which was not published an hour ago", minute, kid)
			}
			if minute%50 == 0 {
				cached = publishedIDs(t, rings[(minute+1)%2]) // from the other replica
			}
			if minute%13 == 0 { // an impatient operator
				if err := rings[0].Rotate(t.Context(), signing.ES256); err != nil && !errors.Is(err, signing.ErrNotPublished) {
					t.Fatal(err)
				}
			}
			tokens = append(tokens, issued{token, time.Now()})
			for len(tokens) > 0 && time.Since(tokens[0].at) >= p.Keep-lag {
				tokens = tokens[1:]
			}
			if _, err := rings[minute%2].Verify(tokens[0].token); err != nil {
				t.Fatalf("minute %d: token of %v ago: %v", minute, time.Since(tokens[0].at), err)
			}
		}
	})
}

func TestRunGoesOnAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		r := openRing(t, d, openVault(t, d, signing.GenerateMaster()), shortly)
		if _, err := d.Exec(t.Context(), `ALTER TABLE signing_keys RENAME TO away`); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { r.Run(ctx) })
		time.Sleep(time.Minute)
		if _, err := r.Verify(sign(t, r, signing.ES256)); err != nil {
			t.Errorf("during the outage: %v", err)
		}
		if _, err := d.Exec(t.Context(), `ALTER TABLE away RENAME TO signing_keys`); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := keys(t, r, signing.ES256, signing.Next); len(got) != 1 {
			t.Errorf("%d next keys after the outage", len(got))
		}
		stop()
		wait.Wait()
	})
}

func publishedIDs(t testing.TB, r *signing.Ring) []string {
	t.Helper()
	body, _ := r.JWKS()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	ids := make([]string, len(set.Keys))
	for i, k := range set.Keys {
		ids[i] = k.KeyID
	}
	return ids
}

func keyOf(t testing.TB, token string) string {
	t.Helper()
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	return jws.Signatures[0].Protected.KeyID
}
