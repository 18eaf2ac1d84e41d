package signing_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/signing"
)

func TestForgedTokensAreRefused(t *testing.T) {
	d := dbtest.Open(t)
	r := openRing(t, d, openVault(t, d, signing.GenerateMaster()), eager)
	good := sign(t, r, signing.RS256)
	ours := publishedKey(t, r, signing.RS256)
	attacker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(ours.Key)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	header := func(h string) string { return base64.RawURLEncoding.EncodeToString([]byte(h)) }
	for name, token := range map[string]string{
		"empty":                 "",
		"one part":              parts[0],
		"two parts":             parts[0] + "." + parts[1],
		"four parts":            good + ".x",
		"no signature":          parts[0] + "." + parts[1] + ".",
		"no payload":            parts[0] + ".." + parts[2],
		"no header":             "." + parts[1] + "." + parts[2],
		"cut":                   good[:len(good)-1],
		"extended":              good + "A",
		"line break":            good[:len(good)-8] + "\n" + good[len(good)-8:],
		"padded":                good + "==",
		"space in front":        " " + good,
		"too long":              good + strings.Repeat("A", 20000),
		"alg none":              header(`{"alg":"none"}`) + "." + parts[1] + ".",
		"alg none with kid":     header(`{"alg":"none","kid":"`+ours.KeyID+`","typ":"at+jwt"}`) + "." + parts[1] + "." + parts[2],
		"alg None":              header(`{"alg":"None","kid":"`+ours.KeyID+`"}`) + "." + parts[1] + "." + parts[2],
		"two algs":              header(`{"alg":"RS256","alg":"none","kid":"`+ours.KeyID+`"}`) + "." + parts[1] + "." + parts[2],
		"HS256 with public key": forge(t, jose.HS256, der, ours.KeyID, nil),
		"foreign key, our kid":  forge(t, jose.ES256, attacker, publishedKey(t, r, signing.ES256).KeyID, nil),
		"foreign key, RSA kid":  forge(t, jose.ES256, attacker, ours.KeyID, nil),
		"unknown kid":           forge(t, jose.ES256, attacker, "../../etc/passwd", nil),
		"no kid":                forge(t, jose.ES256, attacker, "", nil),
		"jwk in the header":     forge(t, jose.ES256, attacker, "", map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: &attacker.PublicKey}}),
		"jku in the header":     forge(t, jose.ES256, attacker, ours.KeyID, map[jose.HeaderKey]any{"jku": "https://rp.example/jwks"}),
		"JSON serialization":    `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"another ring's":        foreignToken(t),
	} {
		if _, err := r.VerifyHint(token); !errors.Is(err, signing.ErrInvalidToken) {
			t.Errorf("%s, as a hint: %v", name, err)
		}
		if _, err := r.Verify(token); !errors.Is(err, signing.ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		} else if token != "" && len(token) < 2000 && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error shows the token", name)
		}
	}
}

// Even under a genuine signature, a header parameter that we never set is refused.
func TestUnexpectedHeaderIsRefused(t *testing.T) {
	d := dbtest.Open(t)
	v := openVault(t, d, signing.GenerateMaster())
	r := openRing(t, d, v, eager)
	key := publishedKey(t, r, signing.ES256)
	private := privateKey(t, d, v, key.KeyID, signing.ES256)
	if _, err := r.Verify(forge(t, jose.ES256, private, key.KeyID, nil)); err != nil {
		t.Fatalf("the plain token: %v", err)
	}
	for name, value := range map[jose.HeaderKey]any{
		"jku": "https://rp.example/jwks", "x5u": "https://rp.example/x5c", "b64": true, "crit": []string{"exp"},
		"cty": "JWT", "zip": "DEF", "nonce": "n", "typ": 7, "x5t": "x",
	} {
		if _, err := r.Verify(forge(t, jose.ES256, private, key.KeyID, map[jose.HeaderKey]any{name: value})); !errors.Is(err, signing.ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key serves its own algorithm only, although RSA could do both.
func TestAlgorithmIsPinnedToTheKey(t *testing.T) {
	d := dbtest.Open(t)
	v := openVault(t, d, signing.GenerateMaster())
	r := openRing(t, d, v, eager)
	kid := activeKey(t, r, signing.PS256)
	token := forge(t, jose.RS256, privateKey(t, d, v, kid, signing.PS256), kid, nil)
	if _, err := r.Verify(token); !errors.Is(err, signing.ErrInvalidToken) {
		t.Errorf("Verify = %v", err)
	}
}

// No other string verifies than the one that was signed.
func TestEveryAlteredByteIsNoticed(t *testing.T) {
	d := dbtest.Open(t)
	r := openRing(t, d, openVault(t, d, signing.GenerateMaster()), eager)
	for _, alg := range []signing.Algorithm{signing.ES256, signing.EdDSA} {
		token := sign(t, r, alg)
		for i := range token {
			for _, c := range []byte("AaBb09-_") {
				if token[i] == c || token[i] == '.' {
					continue
				}
				altered := token[:i] + string(c) + token[i+1:]
				if _, err := r.Verify(altered); !errors.Is(err, signing.ErrInvalidToken) {
					t.Errorf("%s: byte %d changed from %q to %q: %v", alg, i, token[i], c, err)
				}
			}
		}
	}
}

func FuzzVerify(f *testing.F) {
	d := dbtest.Open(f)
	r := openRing(f, d, openVault(f, d, signing.GenerateMaster()), eager)
	known := map[string]bool{}
	for _, alg := range signing.Algorithms() {
		token := sign(f, r, alg)
		known[token] = true
		f.Add(token)
	}
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := r.Verify(token); err == nil && !known[token] {
			t.Errorf("%q verifies", token)
		}
	})
}

// forge signs claims with any key and header.
func forge(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, extra map[jose.HeaderKey]any) string {
	t.Helper()
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"typ": "at+jwt", "kid": kid}}
	for name, value := range extra {
		options.ExtraHeaders[name] = value
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func publishedKey(t testing.TB, r *signing.Ring, alg signing.Algorithm) jose.JSONWebKey {
	t.Helper()
	body, _ := r.JWKS()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	return set.Key(activeKey(t, r, alg))[0]
}

// foreignToken is one that another installation signed.
func foreignToken(t testing.TB) string {
	d := dbtest.Open(t)
	return sign(t, openRing(t, d, openVault(t, d, signing.GenerateMaster()), eager), signing.RS256)
}

// privateKey unseals a stored key, as nobody but the ring should.
func privateKey(t testing.TB, d *db.DB, v *signing.Vault, kid string, alg signing.Algorithm) any {
	t.Helper()
	var sealed []byte
	if err := d.QueryRow(t.Context(), `SELECT sealed FROM signing_keys WHERE kid = $1`, kid).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	der, err := v.Open("signing-key", sealed, []byte(string(alg)+" "+kid))
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return private
}
