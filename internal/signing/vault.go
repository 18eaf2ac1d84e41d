package signing

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/dialtone-id/dialtone/internal/db"
)

var (
	// ErrWrongMaster is what OpenVault and OpenRing fail with when the database
	// was made with a master secret that is not among the given ones.
	ErrWrongMaster = errors.New("the master secret does not open this database")

	// ErrOpen is what Open fails with: altered, truncated, sealed under another
	// label, aad or master. It does not say which.
	ErrOpen = errors.New("sealed value does not open")
)

// masterSize is the least length of a master secret in bytes.
const masterSize = 32

// keyIDSize: four bytes tell a handful of masters apart.
const keyIDSize = 4

// sealOverhead is how much longer than the plaintext a sealed value is: key id,
// nonce and tag.
const sealOverhead = keyIDSize + 12 + 16

// macSize is the length of what MAC returns: key id and HMAC-SHA-256.
const macSize = keyIDSize + sha256.Size

// Vault seals, MACs and indexes under keys derived from the master secrets by
// HKDF, a label each. It is safe for concurrent use. Labels are constants of
// the program: a key is kept for every label ever used.
type Vault struct {
	current *master
	masters map[keyID]*master
	index   func(label string) *macKey
}

type keyID [keyIDSize]byte

// master is one master secret; the secret itself is not kept.
type master struct {
	id   keyID
	seal func(label string) cipher.AEAD
	mac  func(label string) *macKey
}

func newMaster(secret []byte) (*master, error) {
	if len(secret) < masterSize {
		return nil, fmt.Errorf("a master secret has %d bytes, at least %d are needed: make one with openssl rand -base64 %d",
			len(secret), masterSize, masterSize)
	}
	prk, err := hkdf.Extract(sha256.New, secret, []byte("dialtone v1"))
	if err != nil {
		return nil, fmt.Errorf("derive keys from the master secret: %w", err)
	}
	m := &master{
		seal: perLabel(func(label string) cipher.AEAD { return newAEAD(expand(prk, "seal/"+label)) }),
		mac:  perLabel(func(label string) *macKey { return newMACKey(expand(prk, "mac/"+label)) }),
	}
	copy(m.id[:], expand(prk, "id"))
	return m, nil
}

// OpenVault derives the keys. masters[0] is current, the rest still open old
// data. It reads the index key from the database, which is created at first
// use and sealed anew whenever the current master is another one.
//
// Replicas change masters in two rounds: first [old, new] everywhere, then
// [new, old]; a replica that knows the old one alone cannot start after that.
// [ErrWrongMaster] says that none of the masters opens the index key.
func OpenVault(ctx context.Context, d *db.DB, masters [][]byte) (*Vault, error) {
	v, err := newVault(masters)
	if err != nil {
		return nil, err
	}
	root, err := v.indexKey(ctx, d)
	if err != nil {
		return nil, err
	}
	prk, err := hkdf.Extract(sha256.New, root, []byte("dialtone v1"))
	if err != nil {
		return nil, fmt.Errorf("derive index keys: %w", err)
	}
	v.index = perLabel(func(label string) *macKey { return newMACKey(expand(prk, "index/"+label)) })
	return v, nil
}

func newVault(masters [][]byte) (*Vault, error) {
	if len(masters) == 0 {
		return nil, errors.New("no master secret: make one with openssl rand -base64 32")
	}
	v := &Vault{masters: make(map[keyID]*master, len(masters))}
	for i, secret := range masters {
		m, err := newMaster(secret)
		if err != nil {
			return nil, err
		}
		if v.masters[m.id] != nil {
			return nil, fmt.Errorf("master secret %d is the same as an earlier one: remove it", i+1)
		}
		v.masters[m.id] = m
		if i == 0 {
			v.current = m
		}
	}
	return v, nil
}

const (
	indexSetting = "vault.index" // settings.name, and the label it is sealed under
	indexRetries = 5             // lost races for the setting; each loss means that somebody else won
)

// indexKey reads, creates or seals anew the index key, by compare-and-set: of
// many replicas that start at once, all get the one key that was stored.
func (v *Vault) indexKey(ctx context.Context, d *db.DB) ([]byte, error) {
	for range indexRetries {
		var sealed []byte
		err := d.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, indexSetting).Scan(&sealed)
		if errors.Is(err, db.ErrNotFound) {
			fresh := v.Seal(indexSetting, GenerateMaster(), nil)
			_, err = d.Exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, indexSetting, fresh)
			if err != nil {
				return nil, fmt.Errorf("create the index key: %w", err)
			}
			continue // read what was stored, ours or another replica's
		}
		if err != nil {
			return nil, fmt.Errorf("read the index key: %w", err)
		}
		root, err := v.Open(indexSetting, sealed, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: master_secrets must hold the secret that the database was created with", ErrWrongMaster)
		}
		if v.Current(sealed) {
			return root, nil
		}
		n, err := d.Exec(ctx, `UPDATE settings SET value = $1 WHERE name = $2 AND value = $3`,
			v.Seal(indexSetting, root, nil), indexSetting, sealed)
		if err != nil {
			return nil, fmt.Errorf("seal the index key anew: %w", err)
		}
		if n == 1 {
			return root, nil
		}
	}
	return nil, errors.New("the index key keeps changing: replicas are started with different current master secrets")
}

// Seal encrypts plaintext with AES-256-GCM and puts the key id in front; aad is
// authenticated and not stored. Sealing the same value twice gives different
// bytes. A label's key is good for 2^32 values, where two equal nonces are
// still less likely than 1 in 2^32 (NIST SP 800-38D section 8.3).
func (v *Vault) Seal(label string, plaintext, aad []byte) []byte {
	m := v.current
	sealed := make([]byte, keyIDSize, len(plaintext)+sealOverhead)
	copy(sealed, m.id[:])
	return m.seal(label).Seal(sealed, nil, plaintext, aad)
}

// Open is the reverse of Seal, with any of the masters; else [ErrOpen].
func (v *Vault) Open(label string, sealed, aad []byte) ([]byte, error) {
	m := v.masterOf(sealed)
	if m == nil {
		return nil, ErrOpen
	}
	plaintext, err := m.seal(label).Open(nil, nil, sealed[keyIDSize:], aad)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// Current reports whether a sealed value or MAC was made under the current
// master. What was not should be sealed anew before the old master goes.
func (v *Vault) Current(sealed []byte) bool { return v.masterOf(sealed) == v.current }

// masterOf is the master that a sealed value or MAC names, nil if unknown.
func (v *Vault) masterOf(b []byte) *master {
	if len(b) < keyIDSize {
		return nil
	}
	return v.masters[keyID(b[:keyIDSize])]
}

// MAC is the key id and the HMAC-SHA-256 of the fields, 36 bytes. Every field
// is preceded by its length, so no two lists of fields look the same.
func (v *Vault) MAC(label string, fields ...[]byte) []byte {
	mac := make([]byte, keyIDSize, macSize)
	copy(mac, v.current.id[:])
	return v.current.mac(label).append(mac, fields)
}

// VerifyMAC compares in constant time and accepts every master.
func (v *Vault) VerifyMAC(label string, mac []byte, fields ...[]byte) bool {
	m := v.masterOf(mac)
	if m == nil || len(mac) != macSize {
		return false
	}
	var want [sha256.Size]byte
	return hmac.Equal(mac[keyIDSize:], m.mac(label).append(want[:0], fields))
}

// Index is a keyed hash of value, 32 bytes, to look things up by. It stays the
// same when master secrets rotate.
func (v *Vault) Index(label string, value []byte) []byte {
	return v.index(label).append(make([]byte, 0, sha256.Size), [][]byte{value})
}

// expand derives 32 bytes for one use.
func expand(prk []byte, use string) []byte {
	key, err := hkdf.Expand(sha256.New, prk, use, 32)
	if err != nil {
		panic(fmt.Sprintf("signing: hkdf: %v", err)) // fails only for lengths beyond 255 hashes
	}
	return key
}

func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("signing: aes: %v", err)) // fails only for a wrong key length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(fmt.Sprintf("signing: gcm: %v", err)) // fails only for a cipher that is not AES
	}
	return aead
}

// GenerateMaster makes a master secret of 32 random bytes.
func GenerateMaster() []byte {
	secret := make([]byte, masterSize)
	rand.Read(secret) // never fails: see crypto/rand
	return secret
}
