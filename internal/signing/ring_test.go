package signing_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// claims stand for a token's payload.
var claims = []byte(`{"iss":"https://id.example.com","sub":"7c0b4be4-6f3a-4ad6-9c86-0f8a2d1f0b53","aud":["https://id.example.com"],` +
	`"client_id":"web","iat":1700000000,"exp":1700000600,"jti":"01234567-89ab-7def-8123-456789abcdef","scope":"openid profile phone",` +
	`"auth_time":1700000000,"acr":"1","amr":["sms","otp"],"sid":"01234567-89ab-7def-8123-456789abcdef"}`)

// eager lets keys rotate at once.
var eager = signing.Policy{Every: time.Hour, Publish: time.Nanosecond, Keep: time.Hour}

func openRing(t testing.TB, d *db.DB, v *signing.Vault, p signing.Policy) *signing.Ring {
	t.Helper()
	r, err := signing.OpenRing(t.Context(), d, v, audit.New(d), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sign(t testing.TB, r *signing.Ring, alg signing.Algorithm) string {
	t.Helper()
	token, err := r.Sign(alg, "at+jwt", claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// keys lists the stored keys of alg in a state.
func keys(t testing.TB, r *signing.Ring, alg signing.Algorithm, state string) []signing.Key {
	t.Helper()
	all, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(k signing.Key) bool { return k.Algorithm != alg || k.State != state })
}

func activeKey(t testing.TB, r *signing.Ring, alg signing.Algorithm) string {
	t.Helper()
	active := keys(t, r, alg, signing.Active)
	if len(active) != 1 {
		t.Fatalf("%d active %s keys", len(active), alg)
	}
	return active[0].ID
}

func TestTokensVerifyForOthersAndForUs(t *testing.T) {
	d := dbtest.Open(t)
	r := openRing(t, d, openVault(t, d, signing.GenerateMaster()), eager)
	body, _ := r.JWKS()
	var published jose.JSONWebKeySet
	if err := json.Unmarshal(body, &published); err != nil {
		t.Fatal(err)
	}
	for _, alg := range signing.Algorithms() {
		token := sign(t, r, alg)
		got, err := r.Verify(token)
		if err != nil || got.Algorithm != alg || got.Type != "at+jwt" || string(got.Payload) != string(claims) {
			t.Errorf("%s: Verify = %+v, %v", alg, got, err)
		}
		// As a client does it: with the published key of that kid.
		jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
		if err != nil {
			t.Fatal(err)
		}
		jwk := published.Key(jws.Signatures[0].Protected.KeyID)
		if len(jwk) != 1 || jwk[0].Algorithm != string(alg) || jwk[0].Use != "sig" || got.KeyID != jwk[0].KeyID {
			t.Fatalf("%s: published keys %+v", alg, jwk)
		}
		if _, err := jws.Verify(jwk[0]); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		checkStrength(t, alg, jwk[0].Key)
	}
	if _, err := r.Sign("HS256", "JWT", claims); err == nil {
		t.Error("signed with an algorithm that the ring does not have")
	}
}

func checkStrength(t *testing.T, alg signing.Algorithm, key any) {
	t.Helper()
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() != 2048 {
			t.Errorf("%s: %d bits", alg, k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if k.Params().Name != "P-256" {
			t.Errorf("%s: curve %s", alg, k.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		t.Errorf("%s: key of type %T", alg, key)
	}
}

func TestJWKSHoldsEveryPublicKeyAndNothingElse(t *testing.T) {
	d := dbtest.Open(t)
	v := openVault(t, d, signing.GenerateMaster())
	r := openRing(t, d, v, eager)
	_, before := r.JWKS()
	for _, alg := range signing.Algorithms() {
		if err := r.Rotate(t.Context(), alg); err != nil {
			t.Fatal(err)
		}
	}
	body, etag := r.JWKS()
	if etag == before || !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) || len(etag) < 12 {
		t.Errorf("ETag %s after %s", etag, before)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	kids := map[any]bool{}
	for _, k := range set.Keys {
		kids[k["kid"]] = true
		for member := range k {
			if !slices.Contains([]string{"kty", "kid", "alg", "use", "n", "e", "crv", "x", "y"}, member) {
				t.Errorf("member %q is published", member)
			}
		}
	}
	// Next, active and retired, for each of four algorithms.
	if len(set.Keys) != 12 || len(kids) != 12 {
		t.Errorf("%d keys with %d kids", len(set.Keys), len(kids))
	}
	// Every replica publishes the same bytes.
	if again, tag := openRing(t, d, v, eager).JWKS(); string(again) != string(body) || tag != etag {
		t.Error("another ring on the same database publishes something else")
	}
}

func TestReplicasThatStartAtOnceShareTheirKeys(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		master := signing.GenerateMaster()
		rings := make([]*signing.Ring, 4)
		var wait sync.WaitGroup
		for i := range rings {
			d := dbtest.OpenURL(t, url)
			v := openVault(t, d, master)
			wait.Go(func() {
				var err error
				if rings[i], err = signing.OpenRing(t.Context(), d, v, audit.New(d), eager); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if t.Failed() {
			return
		}
		for _, alg := range signing.Algorithms() {
			for i, r := range rings {
				if _, err := rings[0].Verify(sign(t, r, alg)); err != nil {
					t.Errorf("%s token of ring %d: %v", alg, i, err)
				}
			}
			activeKey(t, rings[0], alg)
		}
	})
}

func TestConcurrentRotationsRotateOnce(t *testing.T) {
	const rounds = 20
	dbtest.EachURL(t, func(t *testing.T, url string) {
		master := signing.GenerateMaster()
		rings := make([]*signing.Ring, 4)
		for i := range rings {
			d := dbtest.OpenURL(t, url)
			rings[i] = openRing(t, d, openVault(t, d, master), eager)
		}
		alg := signing.ES256
		for round := range rounds {
			before := activeKey(t, rings[0], alg)
			token := sign(t, rings[round%len(rings)], alg)
			var wait sync.WaitGroup
			errs := make([]error, len(rings))
			for i, r := range rings {
				wait.Go(func() { errs[i] = r.Rotate(t.Context(), alg) })
			}
			wait.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			if got := len(keys(t, rings[0], alg, signing.Retired)); got != round+1 {
				t.Fatalf("%d keys retired after %d rounds", got, round+1)
			}
			if len(keys(t, rings[0], alg, signing.Next)) != 1 || activeKey(t, rings[0], alg) == before {
				t.Fatal("no new active and next key")
			}
			for i, r := range rings {
				if _, err := r.Verify(token); err != nil {
					t.Fatalf("ring %d refuses a token from before the rotation: %v", i, err)
				}
				if got, err := rings[0].Verify(sign(t, r, alg)); err != nil || got.KeyID != activeKey(t, rings[0], alg) {
					t.Fatalf("ring %d signs with %s, %v", i, got.KeyID, err)
				}
			}
		}
		// Each rotation was recorded, once.
		d := dbtest.OpenURL(t, url)
		var recorded int
		if err := d.QueryRow(t.Context(), `SELECT count(*) FROM audit WHERE event = 'key.rotated'`).Scan(&recorded); err != nil || recorded != rounds {
			t.Errorf("%d rotations recorded, %v", recorded, err)
		}
	})
}

// Signing and verifying go on, without a failure, while keys rotate.
func TestRotationUnderLoad(t *testing.T) {
	d := dbtest.Open(t)
	r := openRing(t, d, openVault(t, d, signing.GenerateMaster()), eager)
	done := make(chan struct{})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := r.Verify(sign(t, r, signing.EdDSA)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		if err := r.Rotate(t.Context(), signing.EdDSA); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wait.Wait()
}

func TestReloadNoticesAnotherProcess(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		master := signing.GenerateMaster()
		server := openRing(t, d, openVault(t, d, master), eager)
		cli := openRing(t, d, openVault(t, d, master), eager)
		if err := cli.Rotate(t.Context(), signing.ES256); err != nil {
			t.Fatal(err)
		}
		var version int64
		if err := d.QueryRow(t.Context(), `SELECT version FROM changes WHERE topic = 'keys'`).Scan(&version); err != nil || version == 0 {
			t.Fatalf("changes of keys: %d, %v", version, err)
		}
		if err := server.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := server.Verify(sign(t, server, signing.ES256))
		if err != nil || got.KeyID != activeKey(t, cli, signing.ES256) {
			t.Errorf("the server signs with %s, %v", got.KeyID, err)
		}
	})
}

func TestRotateWaitsForPublication(t *testing.T) {
	d := dbtest.Open(t)
	r := openRing(t, d, openVault(t, d, signing.GenerateMaster()), signing.Policy{})
	before := activeKey(t, r, signing.ES256)
	err := r.Rotate(t.Context(), signing.ES256)
	if !errors.Is(err, signing.ErrNotPublished) || !strings.Contains(err.Error(), "wait 1h0m0s") {
		t.Errorf("Rotate = %v", err)
	}
	if activeKey(t, r, signing.ES256) != before {
		t.Error("rotated nevertheless")
	}
	token := sign(t, r, signing.ES256)
	if err := r.RotateNow(t.Context(), signing.ES256); err != nil {
		t.Fatal(err)
	}
	if activeKey(t, r, signing.ES256) == before {
		t.Error("RotateNow did not rotate")
	}
	if _, err := r.Verify(token); err != nil {
		t.Errorf("a token of the retired key: %v", err)
	}
	if err := r.Rotate(t.Context(), "HS256"); err == nil {
		t.Error("rotated an unknown algorithm")
	}
}

func TestPolicyIsChecked(t *testing.T) {
	d := dbtest.Open(t)
	v := openVault(t, d, signing.GenerateMaster())
	for name, p := range map[string]signing.Policy{
		"negative":                   {Keep: -time.Hour},
		"remembered too briefly":     {Keep: 2 * time.Hour, Remember: time.Hour},
		"published longer than used": {Every: time.Hour, Publish: time.Hour},
	} {
		if _, err := signing.OpenRing(t.Context(), d, v, audit.New(d), p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// A long Keep needs no Remember to go with it.
	openRing(t, d, v, signing.Policy{Keep: 1000 * time.Hour})
}

func TestKeysFollowTheMasterSecret(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		first, second := signing.GenerateMaster(), signing.GenerateMaster()
		token := sign(t, openRing(t, d, openVault(t, d, first), eager), signing.RS256)
		openRing(t, d, openVault(t, d, second, first), eager) // seals every key anew
		r := openRing(t, d, openVault(t, d, second), eager)
		if _, err := r.Verify(token); err != nil {
			t.Errorf("a token from before: %v", err)
		}
	})
}

func TestAlteredKeyRowIsRefused(t *testing.T) {
	d := dbtest.Open(t)
	v := openVault(t, d, signing.GenerateMaster())
	openRing(t, d, v, eager)
	for name, statement := range map[string]string{
		"another key's private part": `UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE alg = 'PS256') WHERE alg = 'RS256'`,
		"another algorithm":          `UPDATE signing_keys SET alg = 'RS256', state = 'retired', retired_at = 1 WHERE alg = 'PS256'`,
		"another kid":                `UPDATE signing_keys SET kid = 'mine' WHERE alg = 'RS256'`,
		"a foreign master":           `UPDATE signing_keys SET sealed = '0123456789012345678901234567890123456789' WHERE alg = 'EdDSA'`,
	} {
		t.Run(name, func(t *testing.T) {
			undo := errors.New("undo")
			err := d.Tx(t.Context(), func(ctx context.Context) error {
				if n, err := d.Exec(ctx, statement); err != nil || n != 1 {
					t.Fatalf("%d rows, %v", n, err)
				}
				if _, err := signing.OpenRing(ctx, d, v, audit.New(d), eager); err == nil {
					t.Error("the ring opened")
				}
				return undo
			})
			if !errors.Is(err, undo) {
				t.Fatal(err)
			}
		})
	}
}

func TestKeysOfANewerReleaseAreLeftAlone(t *testing.T) {
	d := dbtest.Open(t)
	v := openVault(t, d, signing.GenerateMaster())
	_, err := d.Exec(t.Context(), `
		INSERT INTO signing_keys (kid, alg, state, sealed, public_jwk, created_at) VALUES ('k', 'ML-DSA-65', 'active', $1, '{}', 1)`, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	r := openRing(t, d, v, eager)
	if body, _ := r.JWKS(); strings.Contains(string(body), `"k"`) {
		t.Error("published a key that this release cannot use")
	}
}
