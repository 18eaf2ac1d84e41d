// Package dpop verifies DPoP proofs (RFC 9449): that whoever sends a request holds
// a key, by a JWT that the key signed for this very request.
//
//	header DPoP ──► form ──► signature of the key in it ──► htm, htu, iat ──► jti, once
//
// What a caller gets is the key's thumbprint, to bind something to and to compare
// with what something is bound to. Every proof that does not hold is ErrInvalid; a
// store of replay marks that is away is fault.Unavailable.
package dpop

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// ErrInvalid says the same of every proof that does not hold (RFC 9449 section 5); its
// cause, for the log, says more.
var ErrInvalid = fault.New(http.StatusBadRequest, "invalid_dpop_proof", "the DPoP proof is malformed, expired, used or made for another request")

const (
	header   = "DPoP"
	typ      = "dpop+jwt"
	mark     = "dpop" // ephemeral kind
	maxProof = 8 << 10
	maxJTI   = 256
	minRSA   = 2048 // bits

	// skew is how far iat may be from now, either way.
	skew = 60 * time.Second
)

// algorithms are those of asymmetric keys (RFC 9449 section 4.3, check 5).
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.PS256, jose.PS384, jose.PS512, jose.RS256, jose.RS384, jose.RS512,
	}
}

// Verifier is safe for concurrent use.
type Verifier struct {
	origin string // scheme and host of the issuer, in lower case
	marks  ephemeral.Store
}

// New makes a verifier of proofs for endpoints under an issuer, which is what
// clients call it by, whatever a proxy does to the request.
func New(issuer string, marks ephemeral.Store) (*Verifier, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" {
		return nil, errors.New("dpop: the issuer is not a URL")
	}
	return &Verifier{origin: originOf(u), marks: marks}, nil
}

// claims are those of RFC 9449 section 4.2 that a request to an authorization server has.
type claims struct {
	ID       string          `json:"jti"`
	Method   string          `json:"htm"`
	URL      string          `json:"htu"`
	IssuedAt json.RawMessage `json:"iat"`
}

// Of verifies the proof that came with r and returns the thumbprint of its key (RFC
// 7638, SHA-256, base64url), "" if there was no proof. It uses the proof up.
func (v *Verifier) Of(r *http.Request) (thumbprint string, err error) {
	given := r.Header.Values(header)
	switch {
	case len(given) == 0:
		return "", nil
	case len(given) > 1:
		return "", refuse("more than one proof")
	}
	key, payload, err := open(given[0])
	if err != nil {
		return "", err
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", refuse("the payload is not an object of claims")
	}
	if err := v.check(c, r, time.Now()); err != nil {
		return "", err
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", refuse("the key has no thumbprint")
	}
	thumbprint = base64.RawURLEncoding.EncodeToString(sum)
	return thumbprint, v.useUp(r.Context(), thumbprint, c.ID)
}

// open verifies the signature with the key that the proof itself brings.
func open(proof string) (*jose.JSONWebKey, []byte, error) {
	if len(proof) > maxProof || strings.Count(proof, ".") != 2 {
		return nil, nil, refuse("not a compact JWS")
	}
	jws, err := jose.ParseSignedCompact(proof, algorithms())
	if err != nil || len(jws.Signatures) != 1 {
		return nil, nil, refuse("not a JWS of an asymmetric algorithm")
	}
	h := jws.Signatures[0].Protected
	if h.ExtraHeaders[jose.HeaderType] != typ {
		return nil, nil, refuse("typ is not " + typ)
	}
	key := h.JSONWebKey
	if key == nil || !key.Valid() || !key.IsPublic() {
		return nil, nil, refuse("no public key in the header")
	}
	if k, ok := key.Key.(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
		return nil, nil, refuse("the RSA key is too short")
	}
	payload, err := jws.Verify(key.Key)
	if err != nil {
		return nil, nil, refuse("wrong signature")
	}
	return key, payload, nil
}

// check holds the claims against the request (RFC 9449 section 4.3, checks 8 to 11).
func (v *Verifier) check(c claims, r *http.Request, now time.Time) error {
	var iat float64
	switch err := json.Unmarshal(c.IssuedAt, &iat); {
	case c.ID == "" || len(c.ID) > maxJTI:
		return refuse("jti is missing or too long")
	case c.Method != r.Method:
		return refuse("htm is another method")
	case !v.names(c.URL, r.URL.Path):
		return refuse("htu is another address")
	case err != nil:
		return refuse("iat is not a time")
	}
	if age := float64(now.Unix()) - iat; age > skew.Seconds() || age < -skew.Seconds() {
		return refuse("iat is too far from now")
	}
	return nil
}

// names says whether htu is the address of path, compared without query and fragment.
func (v *Verifier) names(htu, path string) bool {
	u, err := url.Parse(htu)
	return err == nil && u.User == nil && u.Opaque == "" && originOf(u) == v.origin && u.EscapedPath() == path
}

// originOf is scheme and host in lower case, without a default port.
func originOf(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if scheme == "https" {
		return scheme + "://" + strings.TrimSuffix(host, ":443")
	}
	return scheme + "://" + strings.TrimSuffix(host, ":80")
}

// useUp lets a proof through once, for as long as its iat would do.
func (v *Verifier) useUp(ctx context.Context, thumbprint, id string) error {
	sum := sha256.Sum256([]byte(thumbprint + "." + id))
	first, err := v.marks.Mark(ctx, mark, base64.RawURLEncoding.EncodeToString(sum[:]), 2*skew+10*time.Second)
	if err != nil {
		return fault.Unavailable.Because(fmt.Errorf("mark a DPoP proof: %w", err)).After(5 * time.Second)
	}
	if !first {
		return refuse("the proof was used before")
	}
	return nil
}

func refuse(why string) error { return ErrInvalid.Because(errors.New(why)) }
