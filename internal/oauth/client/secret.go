package client

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/maypok86/otter/v2"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// ErrAuthentication is the one answer to every failed client authentication, whether the
// client, its secret or the method was wrong (RFC 6749 section 5.2).
var ErrAuthentication = fault.New(http.StatusUnauthorized, "invalid_client", "client authentication failed")

const (
	// keyedPrefix marks secrets that are kept as a keyed hash. That is as strong as the
	// secret and costs a microsecond, so it serves the secrets that nobody can guess.
	keyedPrefix = "hmac:"
	// slowPrefix marks short secrets that somebody brought along, kept by argon2id.
	slowPrefix = "$argon2id$"
	// minKeyed is the length, in characters, from which a secret that was brought along is
	// taken for one that nobody can guess.
	minKeyed = 32
	// maxSecret bounds what is hashed, in bytes.
	maxSecret = 512
)

const (
	slowAtOnce  = 2                // argon2id computations at once, 19 MiB each
	slowWait    = 2 * time.Second  // for one's turn
	provenFor   = 10 * time.Minute // how long a slow secret that was right is remembered
	provenCount = 10_000
)

// Guess counts what may be a guess at a weak secret: by 1 before it is compared, however many
// come at once, and by -1 if it was none. Its error is the answer then, and nothing is compared;
// nil counts nothing.
type Guess func(delta int64) error

func (g Guess) count(delta int64) error {
	if g == nil {
		return nil
	}
	return g(delta)
}

// secrets hashes and compares client secrets.
type secrets struct {
	vault  *signing.Vault
	turns  chan struct{}
	key    []byte // of this process, for what is remembered
	proven *otter.Cache[[sha256.Size]byte, time.Time]
	dummy  string // compared where there is no hash, so that both take the same time
}

func newSecrets(v *signing.Vault) *secrets {
	s := &secrets{
		vault:  v,
		turns:  make(chan struct{}, slowAtOnce),
		key:    make([]byte, sha256.Size),
		proven: otter.Must(&otter.Options[[sha256.Size]byte, time.Time]{MaximumSize: provenCount}),
	}
	rand.Read(s.key) // never fails
	s.dummy = s.keyed("", rand.Text())
	return s
}

// generateSecret makes a secret of 256 bits, as 43 characters that every client can send.
func generateSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// keyed is the form in which a strong secret is stored. It names the client, so that a hash
// copied to another row opens nothing, and it uses the key that outlives a rotation of the
// master secret, since a secret cannot be hashed again without knowing it.
func (s *secrets) keyed(clientID, secret string) string {
	return keyedPrefix + base64.RawStdEncoding.EncodeToString(s.vault.Index("client-secret", []byte(clientID+"\x00"+secret)))
}

// hash is what the database keeps of a secret.
func (s *secrets) hash(ctx context.Context, clientID, secret string) (string, error) {
	if len(secret) >= minKeyed {
		return s.keyed(clientID, secret), nil
	}
	if err := s.wait(ctx); err != nil {
		return "", err
	}
	defer s.done()
	// OWASP's least for argon2id: 19 MiB, two passes, one lane; about 20 ms.
	h, err := argon2id.CreateHash(secret, &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		return "", fmt.Errorf("hash client secret: %w", err)
	}
	return h, nil
}

// matches compares in constant time. A missing hash is compared with the dummy and never
// matches. Errors are those of waiting for argon2id's turn and of a damaged hash.
func (s *secrets) matches(ctx context.Context, clientID, hash, secret string, guess Guess) (bool, error) {
	if strings.HasPrefix(hash, slowPrefix) {
		return s.matchesSlow(ctx, clientID, hash, secret, guess)
	}
	known := strings.HasPrefix(hash, keyedPrefix)
	if !known {
		hash = s.dummy
	}
	equal := subtle.ConstantTimeCompare([]byte(hash), []byte(s.keyed(clientID, secret))) == 1
	return equal && known, nil
}

// matchesSlow remembers what was right, so that a client with a weak secret pays argon2id once
// in ten minutes. What is remembered is an HMAC under a key of this process over the stored
// hash as well, so a new secret is never answered from memory of the old one.
func (s *secrets) matchesSlow(ctx context.Context, clientID, hash, secret string, guess Guess) (bool, error) {
	if len(secret) > maxSecret {
		return false, guess.count(1)
	}
	proof := s.proof(clientID, hash, secret)
	if s.remembered(proof) {
		return true, nil
	}
	if err := s.wait(ctx); err != nil {
		return false, err
	}
	defer s.done()
	if s.remembered(proof) { // while this one waited
		return true, nil
	}
	if err := guess.count(1); err != nil {
		return false, err
	}
	match, err := argon2id.ComparePasswordAndHash(secret, hash)
	if err != nil {
		return false, fmt.Errorf("compare client secret: %w", err)
	}
	if match {
		s.proven.Set(proof, time.Now())
		_ = guess.count(-1) // it was right, whatever becomes of the count
	}
	return match, nil
}

func (s *secrets) remembered(proof [sha256.Size]byte) bool {
	at, ok := s.proven.GetIfPresent(proof)
	return ok && time.Since(at) < provenFor
}

func (s *secrets) proof(clientID, hash, secret string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, s.key)
	fmt.Fprintf(h, "%d:%s%d:%s%s", len(clientID), clientID, len(hash), hash, secret)
	h.Sum(sum[:0])
	return sum
}

// wait takes a turn at argon2id; done gives it back.
func (s *secrets) wait(ctx context.Context) error {
	patience := time.NewTimer(slowWait)
	defer patience.Stop()
	select {
	case s.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Unavailable.Because(ctx.Err())
	case <-patience.C:
		return fault.Unavailable.After(slowWait)
	}
}

func (s *secrets) done() { <-s.turns }

// checkSecret says whether a client may have a secret that somebody brought along.
func checkSecret(c *Client, secret string) error {
	switch {
	case secret == "":
		return nil
	case c.Public():
		return errMetadata.Describe("client_secret must be absent if token_endpoint_auth_method is none")
	case len(secret) > maxSecret:
		return errMetadata.Describe("client_secret has more than %d bytes", maxSecret)
	case strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }):
		return errMetadata.Describe("client_secret may contain only printable ASCII") // RFC 6749 appendix A.2
	}
	return nil
}
