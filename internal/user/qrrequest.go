package user

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/web"
)

// Sign-in by QR code. A browser that has no proof to offer shows a code; a person
// who is signed in elsewhere, on a phone, scans or types it and allows the sign-in;
// the browser that showed the code, and no other, then gets a session.
//
//	desktop, by its flow cookie           phone, by its session
//	GET  /login/qr   waiting  ── scan ──►  GET  /qr/ID
//	     /login/qr/status     ◄─ scanned ─
//	                          ◄─ allowed ─ POST /qr/ID   (or declined)
//	POST /login/qr   session, once
//
// What is known of it is one short-lived item, changed by compare-and-set and
// taken once. Whoever holds the code alone can allow or decline, nothing else: the
// item names the browser that drew it.

// EphemeralState is where requests by QR code live; *ephemeral.Failover is one.
type EphemeralState interface {
	Put(ctx context.Context, kind string, value []byte, ttl time.Duration) (id string, err error)
	Get(ctx context.Context, kind, id string) ([]byte, error)
	Take(ctx context.Context, kind, id string, tombstone []byte, keep time.Duration) ([]byte, error)
	Swap(ctx context.Context, kind, id string, old, next []byte) (bool, error)
	Name(ctx context.Context, kind, name, id string, ttl time.Duration) (bool, error)
	Named(ctx context.Context, kind, name string) (string, error)
	Spend(ctx context.Context, limits []ephemeral.Limit) (ephemeral.Decision, error)
}

const (
	qrKind  = "qr"
	labelQR = "qr"
	qrLife  = 150 * time.Second
	qrKeep  = 10 * time.Minute // how long a finished request is known as finished

	qrPerAddress = 150 // codes that one address may have drawn: by 30 pages, each of which renews its own four times
	qrPerUser    = 10  // codes that one person may type
	qrWindow     = 10 * time.Minute
)

// States of a request, as pages and their script know them.
const (
	qrWaiting  = "waiting"
	qrScanned  = "scanned"
	qrAllowed  = "allowed"
	qrDeclined = "declined"
	qrDone     = "done"
	qrExpired  = "expired" // or never was, or lost: nobody can tell
)

var (
	errQRGone      = fault.New(http.StatusGone, "qr_expired", "this QR code has expired, make a new one")
	errQRCode      = fault.New(http.StatusUnprocessableEntity, "qr_code_invalid", "this code is wrong or has expired")
	errQRSignedOut = fault.New(http.StatusConflict, "qr_signed_out", "the device that allowed the sign-in is not signed in any more")
	errQRLimited   = fault.New(http.StatusTooManyRequests, "rate_limited", "too many requests")
)

// qrRequest is one sign-in by QR code. It is sealed: who can read or write the
// short-lived store learns no address from it, and cannot allow anything.
type qrRequest struct {
	State       string
	Browser     []byte      // hash of the binding of the flow that drew it
	Code        string      // what may be typed instead of scanning
	Client      *web.Client `json:",omitempty"`
	UserAgent   string
	Address     string // its prefix
	At          time.Time
	ProvenAfter time.Time `json:",omitzero"`  // as in Flow
	UserID      string    `json:",omitempty"` // who scanned it first; it is theirs alone from then on
	SessionID   string    `json:",omitempty"` // where they allowed it
}

// askedAt is from when on a proof on the phone was asked for by this request: once it
// was drawn, if it asks for one at all. Zero if it does not.
func (q qrRequest) askedAt() time.Time {
	if q.ProvenAfter.IsZero() {
		return time.Time{}
	}
	return q.At
}

// drawnBy says whether f's browser drew it.
func (q qrRequest) drawnBy(f Flow) bool { return bytes.Equal(q.Browser, qrBrowser(f)) }

// qrBrowser names the browser of a flow without telling what binds it.
func qrBrowser(f Flow) []byte {
	h := sha256.Sum256(append([]byte("qr"), f.Binding()...))
	return h[:]
}

// newQR begins a request for the flow's browser and returns its id.
func (p *Pages) newQR(r *http.Request, f Flow) (string, error) {
	ctx := r.Context()
	if err := p.spendQR(ctx, "draw", networkOf(CallerOf(ctx).Address), qrPerAddress); err != nil {
		return "", err
	}
	q := qrRequest{
		State: qrWaiting, Browser: qrBrowser(f), Client: f.Client, ProvenAfter: f.ProvenAfter,
		UserAgent: clip(r.UserAgent(), 256), Address: prefixOf(CallerOf(ctx).Address), At: time.Now().UTC(),
	}
	for range 3 { // two codes at once that are the same are one in billions
		q.Code = newQRCode()
		sealed, err := p.sealQR(q)
		if err != nil {
			return "", err
		}
		id, err := p.Ephemeral.Put(ctx, qrKind, sealed, qrLife)
		if err != nil {
			return "", qrFault("begin a sign-in by QR code", err)
		}
		named, err := p.Ephemeral.Name(ctx, qrKind, q.Code, id, qrLife)
		if err != nil {
			return "", qrFault("name a sign-in by QR code", err)
		}
		if named {
			return id, nil
		}
	}
	return "", errors.New("begin a sign-in by QR code: no free code")
}

// openQR reads a request and what it is stored as. One that was finished is what
// was left of it. Faults: qr_expired, temporarily_unavailable.
func (p *Pages) openQR(ctx context.Context, id string) (qrRequest, []byte, error) {
	raw, err := p.Ephemeral.Get(ctx, qrKind, id)
	if err != nil && !errors.Is(err, ephemeral.ErrUsed) {
		return qrRequest{}, nil, qrFault("look up a sign-in by QR code", err)
	}
	q, err := p.unsealQR(raw)
	return q, raw, err
}

// moveQR replaces a request by next if it is still what was read; false if not.
func (p *Pages) moveQR(ctx context.Context, id string, raw []byte, next qrRequest) (bool, error) {
	sealed, err := p.sealQR(next)
	if err != nil {
		return false, err
	}
	moved, err := p.Ephemeral.Swap(ctx, qrKind, id, raw, sealed)
	if err != nil {
		return false, qrFault("change a sign-in by QR code", err)
	}
	return moved, nil
}

// takeQR uses an allowed request up: it returns it to exactly one caller.
// Everybody else gets qr_expired.
func (p *Pages) takeQR(ctx context.Context, id string, q qrRequest) (qrRequest, error) {
	done := qrRequest{State: qrDone, Browser: q.Browser, At: q.At, UserID: q.UserID}
	tombstone, err := p.sealQR(done)
	if err != nil {
		return qrRequest{}, err
	}
	raw, err := p.Ephemeral.Take(ctx, qrKind, id, tombstone, qrKeep)
	if errors.Is(err, ephemeral.ErrUsed) {
		return qrRequest{}, errQRGone
	}
	if err != nil {
		return qrRequest{}, qrFault("finish a sign-in by QR code", err)
	}
	return p.unsealQR(raw)
}

func (p *Pages) sealQR(q qrRequest) ([]byte, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode a sign-in by QR code: %w", err)
	}
	return p.Users.vault.Seal(labelQR, text, nil), nil
}

func (p *Pages) unsealQR(raw []byte) (q qrRequest, err error) {
	text, err := p.Users.vault.Open(labelQR, raw, nil)
	if err == nil {
		err = json.Unmarshal(text, &q)
	}
	if err != nil {
		return qrRequest{}, errQRGone.Because(err)
	}
	return q, nil
}

// qrFault is what a person may learn of a store's error.
func qrFault(tried string, err error) error {
	switch {
	case errors.Is(err, ephemeral.ErrNotFound):
		return errQRGone
	case errors.Is(err, ephemeral.ErrUnavailable):
		return fault.Unavailable.Because(fmt.Errorf("%s: %w", tried, err)).After(5 * time.Second)
	}
	return fmt.Errorf("%s: %w", tried, err)
}

// isQRLost says whether a request cannot be gone on with, whatever the reason: the
// way on is a new one.
func isQRLost(err error) bool { return errors.Is(err, errQRGone) || errors.Is(err, fault.Unavailable) }

// spendQR takes one of most uses within qrWindow.
func (p *Pages) spendQR(ctx context.Context, use string, who []byte, most int64) error {
	key := base64.RawURLEncoding.EncodeToString(p.Users.vault.Index(labelQR, append([]byte(use+"\x00"), who...)))
	d, err := p.Ephemeral.Spend(ctx, []ephemeral.Limit{{Key: "qr:" + key, Max: most, Per: qrWindow}})
	if err != nil {
		return qrFault("count sign-ins by QR code", err)
	}
	if !d.Allowed {
		return errQRLimited.After(d.RetryAfter)
	}
	return nil
}

// qrAlphabet has no vowels, so that no code is a word, and nothing that looks like
// something else (RFC 8628 section 6.1).
const qrAlphabet = "BCDFGHJKLMNPQRSTVWXZ"

const qrCodeLength = 8 // 34.5 bits; how many are tried is limited

func newQRCode() string {
	code := make([]byte, 0, qrCodeLength)
	var b [1]byte
	for len(code) < qrCodeLength {
		rand.Read(b[:])
		if int(b[0]) < 256-256%len(qrAlphabet) { // or some letters came more often
			code = append(code, qrAlphabet[int(b[0])%len(qrAlphabet)])
		}
	}
	return string(code)
}

// readQRCode undoes what people do to a code: its hyphen, spaces, small letters,
// full-width letters. "" if it cannot be one.
func readQRCode(typed string) string {
	if len(typed) > 100 {
		return ""
	}
	code := strings.Map(func(r rune) rune {
		if r == ' ' || strings.ContainsRune("-‐‑–—−_.", r) {
			return -1
		}
		return r
	}, strings.ToUpper(norm.NFKC.String(strings.TrimSpace(typed))))
	if len(code) != qrCodeLength || strings.Trim(code, qrAlphabet) != "" {
		return ""
	}
	return code
}

// isQRID keeps whatever no store has given out away from logs and redirects.
func isQRID(id string) bool {
	if len(id) < 20 || len(id) > 40 {
		return false
	}
	return !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	})
}
