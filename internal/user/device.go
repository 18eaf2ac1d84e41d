package user

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// The device cookie is "<payload>.<MAC>": a random device id and, newest first, of
// each of the last numbers whose code was typed on this browser a keyed hash and when
// that was. It proves no identity; a number's reserve of messages is kept for its devices, the
// id counts what one browser asks for, and an account that was idle for long opens
// by a code on a device of its number. A browser that keeps no cookie is nobody in
// particular.
const (
	deviceCookie  = "dialtone_device"
	deviceLife    = 400 * 24 * time.Hour // browsers keep no cookie longer
	deviceIDSize  = 16
	deviceTagSize = 16
	deviceEntry   = deviceTagSize + 8 // and microseconds since 1970, big-endian
	deviceNumbers = 5
)

// KnownDevice says whether n signed in on this browser before.
func (s *Service) KnownDevice(r *http.Request, n sms.Number) bool {
	return !s.knownSince(r, n).IsZero()
}

// knownSince is when n signed in on this browser the last time by a code, zero for
// never.
func (s *Service) knownSince(r *http.Request, n sms.Number) time.Time {
	id, entries := s.device(r)
	if id == nil {
		return time.Time{}
	}
	tag := s.deviceTag(id, n)
	for entry := range slices.Chunk(entries, deviceEntry) {
		if bytes.Equal(entry[:deviceTagSize], tag) {
			return db.Time(int64(binary.BigEndian.Uint64(entry[deviceTagSize:]))) //nolint:gosec // rememberDevice made it of an int64
		}
	}
	return time.Time{}
}

// deviceName is the id of this browser, "" if it has none.
func (s *Service) deviceName(r *http.Request) string {
	id, _ := s.device(r)
	return base64.RawURLEncoding.EncodeToString(id)
}

// nameDevice gives a browser without a device cookie one with an id and no number.
func (s *Service) nameDevice(w http.ResponseWriter, r *http.Request) {
	if id, _ := s.device(r); id == nil {
		s.setDevice(w, newDevice())
	}
}

func newDevice() []byte {
	id := make([]byte, deviceIDSize)
	rand.Read(id)
	return id
}

func (s *Service) setDevice(w http.ResponseWriter, payload []byte) {
	mac := s.vault.MAC(labelDevice, payload)
	s.cookies.set(w, deviceCookie,
		base64.RawURLEncoding.EncodeToString(payload)+"."+base64.RawURLEncoding.EncodeToString(mac), deviceLife)
}

// rememberDevice adds n, of which a code was typed here, to the browser's device cookie, and starts one if there
// is none or it was not ours.
func (s *Service) rememberDevice(w http.ResponseWriter, r *http.Request, n sms.Number) {
	id, entries := s.device(r)
	if id == nil {
		id = newDevice()
	}
	tag := s.deviceTag(id, n)
	payload := append(bytes.Clone(id), tag...)
	payload = binary.BigEndian.AppendUint64(payload, uint64(db.Micros(time.Now()))) //nolint:gosec // after 1970
	for old := range slices.Chunk(entries, deviceEntry) {
		if len(payload) < deviceIDSize+deviceNumbers*deviceEntry && !bytes.Equal(old[:deviceTagSize], tag) {
			payload = append(payload, old...)
		}
	}
	s.setDevice(w, payload)
}

// device opens the cookie; id is nil if there is none or it is not ours.
func (s *Service) device(r *http.Request) (id, entries []byte) {
	value, ok := s.cookies.read(r, deviceCookie)
	if !ok {
		return nil, nil
	}
	left, right, _ := strings.Cut(value, ".")
	payload, err := base64.RawURLEncoding.Strict().DecodeString(left)
	if err != nil || len(payload) < deviceIDSize || (len(payload)-deviceIDSize)%deviceEntry != 0 ||
		len(payload) > deviceIDSize+deviceNumbers*deviceEntry {
		return nil, nil
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(right)
	if err != nil || !s.vault.VerifyMAC(labelDevice, mac, payload) {
		return nil, nil
	}
	return payload[:deviceIDSize:deviceIDSize], payload[deviceIDSize:]
}

// deviceTag is a number's hash on one device: the same number looks different
// on another, so cookies cannot be matched by it.
func (s *Service) deviceTag(id []byte, n sms.Number) []byte {
	return s.vault.Index(labelDevice, append(bytes.Clone(id), n.E164()...))[:deviceTagSize]
}
