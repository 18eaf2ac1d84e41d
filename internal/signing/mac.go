package signing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"sync"
	"sync/atomic"
)

// macKey is an HMAC-SHA-256 key whose prepared states are used again, which
// saves hashing the key each time.
type macKey struct {
	states sync.Pool // of *macState
}

type macState struct {
	hash   hash.Hash
	length [8]byte // here, since it would escape from the stack
}

func newMACKey(key []byte) *macKey {
	return &macKey{states: sync.Pool{New: func() any { return &macState{hash: hmac.New(sha256.New, key)} }}}
}

// append appends the HMAC of the length-prefixed fields to dst.
func (k *macKey) append(dst []byte, fields [][]byte) []byte {
	s := k.states.Get().(*macState)
	s.hash.Reset()
	for _, field := range fields {
		binary.BigEndian.PutUint64(s.length[:], uint64(len(field)))
		s.hash.Write(s.length[:])
		s.hash.Write(field)
	}
	dst = s.hash.Sum(dst)
	k.states.Put(s)
	return dst
}

// perLabel remembers what derive made for each label. Readers take no lock.
func perLabel[T any](derive func(label string) T) func(label string) T {
	var (
		mu    sync.Mutex
		known atomic.Pointer[map[string]T]
	)
	known.Store(&map[string]T{})
	return func(label string) T {
		if v, ok := (*known.Load())[label]; ok {
			return v
		}
		mu.Lock()
		defer mu.Unlock()
		if v, ok := (*known.Load())[label]; ok {
			return v
		}
		more := maps.Clone(*known.Load())
		more[label] = derive(label)
		known.Store(&more)
		return more[label]
	}
}
