package signing

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ErrInvalidToken is what Verify fails with, whatever is wrong. Its text says
// more, for the log.
var ErrInvalidToken = errors.New("token refused")

// maxToken is far above what the ring signs, in bytes.
const maxToken = 16 << 10

// Verified is what a JWS said of itself.
type Verified struct {
	Algorithm Algorithm
	KeyID     string
	Type      string // header typ as it stands, "" if absent
	Payload   []byte
}

// Verify checks a compact JWS that a ring on this database signed: kid names
// the key and nothing else, the algorithm is the key's own, the header holds
// alg, kid and typ alone and every part is in its one canonical encoding (RFC
// 8725 sections 3.1, 3.2 and 3.10). Whether typ is the expected one and the
// claims hold is the caller's. It fails with [ErrInvalidToken].
func (r *Ring) Verify(token string) (Verified, error) { return r.verify(token, r.policy.Keep) }

// VerifyHint is Verify for what only says whom somebody means, an id_token_hint:
// it goes on with a key that retired up to Policy.Remember ago, long after tokens
// under it expired. What it accepts proves nothing about today.
func (r *Ring) VerifyHint(token string) (Verified, error) { return r.verify(token, r.policy.Remember) }

// Knows says whether there is a key of that id, retired ones included: for who remembers
// what Verify said.
func (r *Ring) Knows(keyID string) bool { return r.keys.Load().byID[keyID] != nil }

// verify accepts a retired key for as long as it says.
func (r *Ring) verify(token string, retired time.Duration) (Verified, error) {
	if err := checkCompact(token); err != nil {
		return Verified{}, err
	}
	jws, err := jose.ParseSignedCompact(token, joseAlgorithms())
	if err != nil {
		return Verified{}, refuse("not a JWS of a known algorithm") // the cause quotes the token
	}
	if len(jws.Signatures) != 1 {
		return Verified{}, refuse("not exactly one signature")
	}
	header := jws.Signatures[0].Protected
	typ, err := checkHeader(header)
	if err != nil {
		return Verified{}, err
	}
	k := r.keys.Load().byID[header.KeyID]
	switch {
	case k == nil:
		return Verified{}, refuse("unknown key")
	case header.Algorithm != string(k.Algorithm):
		return Verified{}, refuse("the key is for another algorithm")
	case k.State == Retired && !time.Now().Before(k.RetiredAt.Add(retired)):
		return Verified{}, refuse("the key retired too long ago")
	}
	payload, err := jws.Verify(k.public)
	if err != nil {
		return Verified{}, refuse("wrong signature")
	}
	return Verified{Algorithm: k.Algorithm, KeyID: k.ID, Type: typ, Payload: payload}, nil
}

func refuse(why string) error { return fmt.Errorf("%w: %s", ErrInvalidToken, why) }

// checkHeader refuses every header parameter that the ring does not set: jwk,
// jku, x5c and x5u could name a foreign key, crit and b64 change the rules.
func checkHeader(h jose.Header) (typ string, err error) {
	// Asking for certificates is the one way to learn whether there is an x5c;
	// without roots none of them is trusted.
	_, err = h.Certificates(x509.VerifyOptions{Roots: x509.NewCertPool()})
	if h.JSONWebKey != nil || h.Nonce != "" || !errors.Is(err, jose.ErrMissingX5cHeader) {
		return "", refuse("unexpected header parameter")
	}
	for name, value := range h.ExtraHeaders {
		s, ok := value.(string)
		if name != jose.HeaderType || !ok {
			return "", refuse("unexpected header parameter")
		}
		typ = s
	}
	return typ, nil
}

// checkCompact refuses other spellings of a token: line breaks and stray bits
// at the end of a part, which base64 decoders forgive, would let two different
// strings pass as one token.
func checkCompact(token string) error {
	if len(token) > maxToken {
		return refuse("too long")
	}
	if strings.Count(token, ".") != 2 {
		return refuse("not three parts")
	}
	for part := range strings.SplitSeq(token, ".") {
		if part == "" || strings.ContainsAny(part, "\r\n") {
			return refuse("not base64url")
		}
		// Only the last group of four may have stray bits.
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part[(len(part)-1)/4*4:]); err != nil {
			return refuse("not base64url")
		}
	}
	return nil
}
