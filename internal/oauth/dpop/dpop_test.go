package dpop_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/dpop"
)

const (
	issuer   = "https://id.example.com"
	endpoint = issuer + "/oauth2/challenge"
)

func newVerifier(t testing.TB) *dpop.Verifier {
	t.Helper()
	short, err := ephemeral.OpenSQL(t.Context(), dbtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := short.Close(); err != nil {
			t.Error(err)
		}
	})
	v, err := dpop.New(issuer, short)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func request(proofs ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://10.0.0.7:8080/oauth2/challenge", nil) // behind a proxy
	for _, p := range proofs {
		r.Header.Add("DPoP", p)
	}
	return r
}

// proof signs claims, with typ and the key in the header unless typ is empty.
func proof(t testing.TB, alg jose.SignatureAlgorithm, key any, typ string, claims map[string]any) string {
	t.Helper()
	options := &jose.SignerOptions{EmbedJWK: typ != ""}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options.WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func fresh() map[string]any {
	return map[string]any{"jti": rand.Text(), "htm": "POST", "htu": endpoint, "iat": time.Now().Unix()}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestProofsOfEveryKindOfKeyHold(t *testing.T) {
	v, ec := newVerifier(t), ecKey(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for alg, key := range map[jose.SignatureAlgorithm]any{jose.ES256: ec, jose.EdDSA: ed, jose.PS256: long} {
		first, err := v.Of(request(proof(t, alg, key, "dpop+jwt", fresh())))
		if err != nil || len(first) != 43 || seen[first] {
			t.Fatalf("%s: %q %v", alg, first, err)
		}
		seen[first] = true
		again, err := v.Of(request(proof(t, alg, key, "dpop+jwt", fresh())))
		if err != nil || again != first {
			t.Errorf("%s: another proof of one key is %q, not %q: %v", alg, again, first, err)
		}
	}
	if none, err := v.Of(request()); none != "" || err != nil {
		t.Errorf("no proof: %q %v", none, err)
	}
	for name, htu := range map[string]string{"query and fragment": endpoint + "?a=b#c", "default port": "HTTPS://ID.example.com:443/oauth2/challenge"} {
		c := fresh()
		c["htu"] = htu
		if _, err := v.Of(request(proof(t, jose.ES256, ec, "dpop+jwt", c))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProofsThatDoNotHold(t *testing.T) {
	v, key := newVerifier(t), ecKey(t)
	t.Setenv("GODEBUG", "rsa1024min=0")
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // to be refused
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Of(request(proof(t, jose.RS256, short, "dpop+jwt", fresh()))); !errors.Is(err, dpop.ErrInvalid) || !strings.Contains(err.Error(), "short") {
		t.Errorf("short RSA key: %v", err)
	}
	for name, change := range map[string]map[string]any{
		"no jti": {"jti": ""}, "long jti": {"jti": strings.Repeat("x", 257)}, "other method": {"htm": "GET"}, "no method": {"htm": nil},
		"other path": {"htu": issuer + "/oauth2/token"}, "other host": {"htu": "https://evil.example/oauth2/challenge"},
		"other scheme": {"htu": "http://id.example.com/oauth2/challenge"}, "user in the address": {"htu": "https://x@id.example.com/oauth2/challenge"},
		"old": {"iat": time.Now().Unix() - 75}, "ahead": {"iat": time.Now().Unix() + 75}, "no time": {"iat": nil}, "time as text": {"iat": "now"},
	} {
		c := fresh()
		maps.Copy(c, change)
		if change["iat"] == nil && name == "no time" {
			delete(c, "iat")
		}
		if _, err := v.Of(request(proof(t, jose.ES256, key, "dpop+jwt", c))); !errors.Is(err, dpop.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := proof(t, jose.ES256, key, "dpop+jwt", fresh())
	parts, others := strings.Split(good, "."), strings.Split(proof(t, jose.ES256, ecKey(t), "dpop+jwt", fresh()), ".")
	for name, text := range map[string]string{
		"empty": "", "not a JWS": "a.b.c", "an ID token's type": proof(t, jose.ES256, key, "JWT", fresh()), "no key": proof(t, jose.ES256, key, "", fresh()),
		"symmetric":           proof(t, jose.HS256, []byte(strings.Repeat("k", 32)), "dpop+jwt", fresh()),
		"another's signature": parts[0] + "." + parts[1] + "." + others[2], "another's key": others[0] + "." + parts[1] + "." + parts[2],
		"too long": good + strings.Repeat("A", 9000),
	} {
		if _, err := v.Of(request(text)); !errors.Is(err, dpop.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := v.Of(request(good, good)); !errors.Is(err, dpop.ErrInvalid) {
		t.Errorf("two proofs: %v", err)
	}
	if fault.From(dpop.ErrInvalid).Status != http.StatusBadRequest {
		t.Error("the status is not 400")
	}
}

func TestAProofIsGoodOnce(t *testing.T) {
	v := newVerifier(t)
	one := proof(t, jose.ES256, ecKey(t), "dpop+jwt", fresh())
	var wait sync.WaitGroup
	var passed, refused atomic.Int64
	for range 20 {
		wait.Go(func() {
			switch _, err := v.Of(request(one)); {
			case err == nil:
				passed.Add(1)
			case errors.Is(err, dpop.ErrInvalid):
				refused.Add(1)
			}
		})
	}
	wait.Wait()
	if passed.Load() != 1 || refused.Load() != 19 {
		t.Errorf("%d passed, %d refused", passed.Load(), refused.Load())
	}
}

func FuzzProof(f *testing.F) {
	v, key := newVerifier(f), ecKey(f)
	f.Add(proof(f, jose.ES256, key, "dpop+jwt", fresh()))
	f.Add("eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6Im5vbmUifQ.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		// Of what a fuzzer makes up nothing is signed, unless it is a seed unchanged.
		if got, err := v.Of(request(text)); err == nil && len(got) != 43 {
			t.Fatalf("%q passed as %q", text, got)
		}
	})
}
