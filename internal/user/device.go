package user

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms"
)

// The device cookie is "<payload>.<MAC>": a random device id and, newest first,
// a keyed hash of each of the last numbers that signed in on this browser. It
// proves no identity; a number's reserve of messages is kept for its devices, the
// id counts what one browser asks for, and an account that was idle for long opens
// by a code on a device of its number. A browser that keeps no cookie is nobody in
// particular.
const (
	deviceCookie  = "dialtone_device"
	deviceLife    = 400 * 24 * time.Hour // browsers keep no cookie longer
	deviceIDSize  = 16
	deviceTagSize = 16
	deviceNumbers = 5
)

// KnownDevice says whether n signed in on this browser before.
func (s *Service) KnownDevice(r *http.Request, n sms.Number) bool {
	id, tags := s.device(r)
	if id == nil {
		return false
	}
	return hasTag(tags, s.deviceTag(id, n))
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

// rememberDevice adds n to the browser's device cookie, and starts one if there
// is none or it was not ours.
func (s *Service) rememberDevice(w http.ResponseWriter, r *http.Request, n sms.Number) {
	id, tags := s.device(r)
	if id == nil {
		id = newDevice()
	}
	tag := s.deviceTag(id, n)
	payload := append(bytes.Clone(id), tag...)
	for i := 0; i < len(tags) && len(payload) < deviceIDSize+deviceNumbers*deviceTagSize; i += deviceTagSize {
		if old := tags[i : i+deviceTagSize]; !bytes.Equal(old, tag) {
			payload = append(payload, old...)
		}
	}
	s.setDevice(w, payload)
}

// device opens the cookie; id is nil if there is none or it is not ours.
func (s *Service) device(r *http.Request) (id, tags []byte) {
	value, ok := s.cookies.read(r, deviceCookie)
	if !ok {
		return nil, nil
	}
	left, right, _ := strings.Cut(value, ".")
	payload, err := base64.RawURLEncoding.Strict().DecodeString(left)
	if err != nil || len(payload) < deviceIDSize || (len(payload)-deviceIDSize)%deviceTagSize != 0 ||
		len(payload) > deviceIDSize+deviceNumbers*deviceTagSize {
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

func hasTag(tags, tag []byte) bool {
	for i := 0; i+deviceTagSize <= len(tags); i += deviceTagSize {
		if bytes.Equal(tags[i:i+deviceTagSize], tag) {
			return true
		}
	}
	return false
}
