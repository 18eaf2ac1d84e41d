package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Algorithm is a JWS algorithm (RFC 7518 section 3.1, RFC 8037).
type Algorithm string

// What the ring signs with: RSA keys have 2048 bits, ES256 uses P-256, EdDSA
// Ed25519. A key is used with one algorithm only.
const (
	RS256 Algorithm = "RS256"
	ES256 Algorithm = "ES256"
	PS256 Algorithm = "PS256"
	EdDSA Algorithm = "EdDSA"
)

// Algorithms lists what a ring signs with, the default of OpenID Connect first.
func Algorithms() []Algorithm { return []Algorithm{RS256, ES256, PS256, EdDSA} }

// joseAlgorithms is the same list, as the parser wants it.
func joseAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.PS256, jose.EdDSA}
}

// The states of a key.
const (
	Next    = "next"    // published, does not sign yet
	Active  = "active"  // signs
	Retired = "retired" // verifies only, in the end nothing but hints
)

// Key describes a key of the ring. Times are zero for what has not happened.
type Key struct {
	ID          string    `json:"kid"` // RFC 7638 thumbprint of the public key
	Algorithm   Algorithm `json:"alg"`
	State       string    `json:"state"` // next, active, retired
	CreatedAt   time.Time `json:"created_at"`
	ActivatedAt time.Time `json:"activated_at,omitzero"`
	RetiredAt   time.Time `json:"retired_at,omitzero"`
}

// ringKey is a Key with its parsed material.
type ringKey struct {
	Key
	*material
}

// material never changes, so every snapshot of the ring shares it.
type material struct {
	public crypto.PublicKey
	signer func(typ string) joseSigner
}

// joseSigner is made once for each key and type: the library prepares the
// header and checks the key then.
type joseSigner struct {
	jose.Signer
	err error
}

func newMaterial(kid string, alg Algorithm, private crypto.Signer) *material {
	signingKey := jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(alg),
		Key:       jose.JSONWebKey{Key: private, KeyID: kid},
	}
	return &material{
		public: private.Public(),
		signer: perLabel(func(typ string) joseSigner {
			s, err := jose.NewSigner(signingKey, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
			return joseSigner{s, err}
		}),
	}
}

// jwk is the public key as RFC 7517 writes it.
func (k *ringKey) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.public, KeyID: k.ID, Algorithm: string(k.Algorithm), Use: "sig"}
}

// generate makes a private key; RSA takes some tenths of a second.
func generate(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case RS256, PS256:
		return rsa.GenerateKey(rand.Reader, 2048)
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("unknown algorithm %q", alg)
}

// newKey is a fresh key and the row it will be.
type newKey struct {
	kid       string
	alg       Algorithm
	sealed    []byte
	publicJWK string
	createdAt time.Time
}

// makeKey generates and seals a key of alg. It touches no database.
func (v *Vault) makeKey(alg Algorithm, now time.Time) (newKey, error) {
	private, err := generate(alg)
	if err != nil {
		return newKey{}, fmt.Errorf("generate %s key: %w", alg, err)
	}
	kid, err := thumbprint(private.Public())
	if err != nil {
		return newKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return newKey{}, fmt.Errorf("encode %s key: %w", alg, err)
	}
	k := ringKey{Key: Key{ID: kid, Algorithm: alg}, material: &material{public: private.Public()}}
	public, err := json.Marshal(k.jwk())
	if err != nil {
		return newKey{}, fmt.Errorf("encode public %s key: %w", alg, err)
	}
	return newKey{
		kid: kid, alg: alg, publicJWK: string(public), createdAt: now,
		sealed: v.Seal(keyLabel, der, keyAAD(kid, alg)),
	}, nil
}

// openKey is the reverse: it opens a sealed key and checks that it is the one
// its row says, so that nobody who can write to the table can slip in a key.
func (v *Vault) openKey(kid string, alg Algorithm, sealed []byte) (*material, error) {
	if v.masterOf(sealed) == nil {
		return nil, fmt.Errorf("signing key %s: %w", kid, ErrWrongMaster)
	}
	der, err := v.Open(keyLabel, sealed, keyAAD(kid, alg))
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", kid, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: not a private key", kid) // the cause could name key material
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing key %s: cannot sign", kid)
	}
	if got, err := thumbprint(private.Public()); err != nil || got != kid {
		return nil, fmt.Errorf("signing key %s: is another key", kid)
	}
	return newMaterial(kid, alg, private), nil
}

const keyLabel = "signing-key"

func keyAAD(kid string, alg Algorithm) []byte { return []byte(string(alg) + " " + kid) }

// thumbprint is the kid: RFC 7638 with SHA-256, base64url.
func thumbprint(public crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint of a signing key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
