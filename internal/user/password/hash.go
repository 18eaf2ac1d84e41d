package password

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// scheme is a parsed hash: all of its numbers are within the bounds.
type scheme interface {
	// matches does the work; it takes the same time for every password of a length.
	matches(password []byte) bool
	// memory is what that needs, in KiB.
	memory() uint32
}

// The OWASP minimum for argon2id with one lane: 19 MiB and two passes, about 20 ms.
const (
	ourMemory = 19 << 10 // KiB
	ourPasses = 2
	ourLanes  = 1
	saltSize  = 16
	keySize   = 32
)

// argon2Hash is argon2id, RFC 9106.
type argon2Hash struct {
	kib, passes uint32
	lanes       uint8
	salt, key   []byte
}

func (h argon2Hash) memory() uint32 { return h.kib }

func (h argon2Hash) matches(password []byte) bool {
	key := argon2.IDKey(password, h.salt, h.passes, h.kib, h.lanes, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// String is the PHC string format, as everybody's argon2id library writes it.
func (h argon2Hash) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.kib, h.passes, h.lanes,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

func newArgon2(password string) argon2Hash {
	h := argon2Hash{kib: ourMemory, passes: ourPasses, lanes: ourLanes, salt: make([]byte, saltSize)}
	rand.Read(h.salt)
	h.key = argon2.IDKey([]byte(password), h.salt, h.passes, h.kib, h.lanes, keySize)
	return h
}

// pbkdf2Hash is Django's pbkdf2_sha256, RFC 8018 section 5.2 with HMAC-SHA-256.
type pbkdf2Hash struct {
	iterations int
	salt       string
	key        []byte
}

func (pbkdf2Hash) memory() uint32 { return 0 }

func (h pbkdf2Hash) matches(password []byte) bool {
	key, err := pbkdf2.Key(sha256.New, string(password), []byte(h.salt), h.iterations, len(h.key))
	return err == nil && subtle.ConstantTimeCompare(key, h.key) == 1
}

// bcryptHash is a whole one. bcrypt looks at 72 bytes; so that no two passwords
// are the same one, a longer password does not match, and its owner signs in
// another way and sets it anew.
type bcryptHash []byte

const bcryptBytes = 72

func (bcryptHash) memory() uint32 { return 4 }

func (h bcryptHash) matches(password []byte) bool {
	same := bcrypt.CompareHashAndPassword(h, password[:min(len(password), bcryptBytes)]) == nil
	return same && len(password) <= bcryptBytes
}

// digestedBcrypt is Django's bcrypt_sha256: bcrypt of the password's SHA-256 in
// hexadecimal digits, so that all of a long password counts.
type digestedBcrypt struct{ scheme }

func (h digestedBcrypt) matches(password []byte) bool {
	return h.scheme.matches(fmt.Appendf(nil, "%x", sha256.Sum256(password)))
}
