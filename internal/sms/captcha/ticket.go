package captcha

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// ticket is what a puzzle has to remember. It is sealed and given away, so
// that nothing is kept for puzzles that nobody answers.
type ticket struct {
	expires time.Time
	binding []byte // bindingSize bytes
	content []byte
	name    string // the sealed bytes: no two spellings of a ticket are two tickets
}

// maxTicket bounds what is opened; ours have some 130 characters at most.
const maxTicket = 512

func (c *Checker) seal(label string, b Binding, life time.Duration, content []byte) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(life).UnixMilli()))
	plain = append(append(plain, c.hash(b)...), content...)
	return base64.RawURLEncoding.EncodeToString(c.vault.Seal(label, plain, nil))
}

// open says failed for what is no ticket and expired for one that is too old.
func (c *Checker) open(label, sealed string) (ticket, result) {
	if len(sealed) > maxTicket {
		return ticket{}, failed
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return ticket{}, failed
	}
	plain, err := c.vault.Open(label, raw, nil)
	if err != nil || len(plain) < 8+bindingSize {
		return ticket{}, failed
	}
	t := ticket{
		expires: time.UnixMilli(int64(binary.BigEndian.Uint64(plain))),
		binding: plain[8 : 8+bindingSize], content: plain[8+bindingSize:], name: string(raw),
	}
	if !time.Now().Before(t.expires) {
		return ticket{}, expired
	}
	return t, passed
}

// openFor is open for a ticket that must be b's.
func (c *Checker) openFor(b Binding, label, sealed string) (ticket, result) {
	t, r := c.open(label, sealed)
	if r == passed && subtle.ConstantTimeCompare(t.binding, c.hash(b)) != 1 {
		return ticket{}, failed
	}
	return t, r
}
