package ephemeral

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"
)

// The first character of an id, and of a Decision: which store has it.
const (
	inSQL   = 's'
	inRedis = 'r'
)

const idBytes = 16

// newID is the store's letter and 128 random bits.
func newID(store byte) string {
	id := make([]byte, idBytes)
	rand.Read(id) // never fails
	return string(store) + base64.RawURLEncoding.EncodeToString(id)
}

// isID reports whether a store could have given this id out. Ids come back from
// strangers, and nothing else may reach the store as a key.
func isID(store byte, id string) bool {
	if id == "" || id[0] != store {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(id[1:])
	return err == nil && len(b) == idBytes
}

// keyOf makes any key short and printable. The parts cannot run into each other:
// no kind holds a NUL.
func keyOf(kind, key string) string {
	h := sha256.Sum256([]byte(kind + "\x00" + key))
	return base64.RawURLEncoding.EncodeToString(h[:20])
}

// limitKey tells windows of different length over the same key apart.
func limitKey(l Limit) string {
	return keyOf(strconv.FormatInt(l.Per.Microseconds(), 10), l.Key)
}

// milliseconds rounds up, so that nothing lives shorter than was asked for.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
