package password

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// ErrHash is what a hash is refused with: not one of a kind that is known here, or
// one whose cost is beyond the bounds. It never repeats the hash.
var ErrHash = errors.New("not a password hash that can be verified: use pbkdf2_sha256$…, $2b$… or $argon2id$…, at a usual cost")

// The most that a hash may cost: a quarter of a second on a processor of today. A
// wrong password is refused after a second, for everybody, and a slow processor has
// to be done by then, or the time would tell whose hash was compared.
const (
	maxIterations = 1_000_000 // PBKDF2; Django 5.2
	maxBcrypt     = 12
	maxMemory     = 128 << 10     // KiB; Django has 100 MiB
	maxArgonWork  = 2 * maxMemory // KiB written; RFC 9106 has 3 times 64 MiB
	maxLanes      = 16
	maxHash       = 512 // bytes
)

// parse reads one of
//
//	pbkdf2_sha256$iterations$salt$key          Django
//	$2a$ $2b$ $2y$                             bcrypt
//	bcrypt$$2b$  bcrypt_sha256$$2b$            Django
//	$argon2id$v=19$m=,t=,p=$salt$key           PHC string format
//	argon2$argon2id$v=19$m=,t=,p=$salt$key     Django
//
// and nothing that merely resembles them.
func parse(hash string) (scheme, error) {
	if len(hash) > maxHash || !printable(hash) { // base64 decoders skip line breaks
		return nil, ErrHash
	}
	switch {
	case strings.HasPrefix(hash, "pbkdf2_sha256$"):
		return parsePBKDF2(hash)
	case strings.HasPrefix(hash, "$2"):
		return parseBcrypt(hash)
	case strings.HasPrefix(hash, "bcrypt$$2"):
		return parseBcrypt(strings.TrimPrefix(hash, "bcrypt$"))
	case strings.HasPrefix(hash, "bcrypt_sha256$$2"):
		whole, err := parseBcrypt(strings.TrimPrefix(hash, "bcrypt_sha256$"))
		if err != nil {
			return nil, err
		}
		return digestedBcrypt{whole}, nil
	case strings.HasPrefix(hash, "argon2$argon2id$"):
		return parseArgon2(strings.TrimPrefix(hash, "argon2"))
	case strings.HasPrefix(hash, "$argon2id$"):
		return parseArgon2(hash)
	}
	return nil, ErrHash
}

// Importable says whether another system's hash can be verified here: nil or ErrHash.
func Importable(hash string) error {
	_, err := parse(hash)
	return err
}

// NeedsRehash reports whether a hash was not made as Hash makes them now.
func NeedsRehash(hash string) bool {
	s, err := parse(hash)
	h, ours := s.(argon2Hash)
	return err != nil || !ours || h.kib != ourMemory || h.passes != ourPasses || h.lanes != ourLanes ||
		len(h.salt) != saltSize || len(h.key) != keySize || hash[0] != '$'
}

func parsePBKDF2(hash string) (scheme, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 4 {
		return nil, ErrHash
	}
	iterations, ok := number(parts[1], maxIterations)
	key, err := base64.StdEncoding.Strict().DecodeString(parts[3])
	if !ok || err != nil || len(key) != 32 || parts[2] == "" || len(parts[2]) > 128 {
		return nil, ErrHash
	}
	return pbkdf2Hash{iterations: int(iterations), salt: parts[2], key: key}, nil
}

func parseBcrypt(hash string) (scheme, error) {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if len(hash) != 60 || !strings.ContainsRune("aby", rune(hash[2])) || hash[3] != '$' || hash[6] != '$' {
		return nil, ErrHash
	}
	cost, ok := number(strings.TrimPrefix(hash[4:6], "0"), maxBcrypt)
	if !ok || cost < 4 {
		return nil, ErrHash
	}
	for _, r := range hash[7:] {
		if !strings.ContainsRune(alphabet, r) {
			return nil, ErrHash
		}
	}
	return bcryptHash(hash), nil
}

func parseArgon2(hash string) (scheme, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return nil, ErrHash
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return nil, ErrHash
	}
	var values [3]uint32
	for i, bound := range [3]uint32{maxMemory, maxArgonWork, maxLanes} {
		text, named := strings.CutPrefix(costs[i], string("mtp"[i])+"=")
		var ok bool
		if values[i], ok = number(text, bound); !ok || !named {
			return nil, ErrHash
		}
	}
	h := argon2Hash{kib: values[0], passes: values[1], lanes: uint8(values[2])}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.key, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errors.Join(err1, err2) != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.key) < 16 || len(h.key) > 64 ||
		h.kib < 8*uint32(h.lanes) || uint64(h.kib)*uint64(h.passes) > maxArgonWork {
		return nil, ErrHash
	}
	return h, nil
}

// number reads a decimal number from 1 to bound, written the one way.
func number(text string, bound uint32) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < 1 || n > uint64(bound) || strconv.FormatUint(n, 10) != text {
		return 0, false
	}
	return uint32(n), true
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
