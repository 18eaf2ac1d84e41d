package sms

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Labels of the vault.
const (
	labelCode   = "sms code"
	labelSealed = "sms challenge"
)

// codeDigits: six is the one length that every provider's templates take.
const codeDigits = 6

// newCode is uniform over 000000 to 999999 and stays text: a code may begin
// with zeros.
func newCode() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(fmt.Sprintf("no randomness: %v", err)) // crypto/rand never fails
	}
	return fmt.Sprintf("%0*d", codeDigits, n)
}

// foldCode reads a code as people type and paste it: full-width digits become
// ASCII and spaces go, between any digits. Anything that is not six digits then
// is no code.
func foldCode(input string) (string, bool) {
	if len(input) > 64 {
		return "", false
	}
	var code [codeDigits]byte
	n := 0
	for _, r := range input {
		if r >= '０' && r <= '９' {
			r = r - '０' + '0'
		}
		switch {
		case r == ' ' || r == '\u00a0' || r == '\u3000':
		case r >= '0' && r <= '9' && n < codeDigits:
			code[n] = byte(r)
			n++
		default:
			return "", false
		}
	}
	return string(code[:n]), n == codeDigits
}

// secret is what a challenge keeps sealed: all that a re-send needs.
type secret struct {
	number Number
	code   string
	note   string
}

// seal binds the secret to its row: moved to another one it does not open.
func (s *Service) seal(id string, x secret) []byte {
	return s.vault.Seal(labelSealed, []byte(x.number.E164()+"\x00"+x.code+"\x00"+x.note), []byte(id))
}

func (s *Service) unseal(id string, sealed []byte) (secret, error) {
	plain, err := s.vault.Open(labelSealed, sealed, []byte(id))
	if err != nil {
		return secret{}, fmt.Errorf("open challenge %s: %w", id, err)
	}
	fields := strings.SplitN(string(plain), "\x00", 3)
	if len(fields) != 3 {
		return secret{}, fmt.Errorf("open challenge %s: it has %d fields", id, len(fields))
	}
	n, err := FromE164(fields[0])
	if err != nil {
		return secret{}, fmt.Errorf("open challenge %s: its number is none", id)
	}
	return secret{number: n, code: fields[1], note: fields[2]}, nil
}

// codeFields are what a code is bound to. Check recomputes them from what the
// client presents, so a code is wrong wherever any of them differs.
func codeFields(ref Ref, n Number, code string) [][]byte {
	return [][]byte{[]byte(ref.ID), []byte(ref.Purpose), []byte(ref.ClientID), ref.Flow, []byte(n.E164()), []byte(code)}
}

// possible reports whether a Ref can name a challenge at all; what cannot need
// not be looked for.
func (r Ref) possible() bool {
	_, err := uuid.Parse(r.ID)
	return err == nil && len(r.ID) == 36 && len(r.Flow) > 0 && r.Purpose.Valid()
}

// draft is a challenge before it is inserted. It is made before the transaction
// begins: nothing is sealed while a number is locked.
type draft struct {
	ref    Ref
	lookup []byte
	prefix []byte // Number.prefixIndex
	known  bool   // Request.KnownDevice
	secret secret
	sealed []byte
	mac    []byte
}

func (s *Service) draft(r Request, lookup []byte, code string) draft {
	d := draft{
		ref:    Ref{ID: db.NewID(), Purpose: r.Purpose, ClientID: r.ClientID, Flow: bytes.Clone(r.Flow)},
		lookup: lookup,
		prefix: r.Number.prefixIndex(s.vault),
		known:  r.KnownDevice,
		secret: secret{number: r.Number, code: code, note: r.Note},
	}
	d.sealed = s.seal(d.ref.ID, d.secret)
	d.mac = s.vault.MAC(labelCode, codeFields(d.ref, r.Number, code)...)
	return d
}

// insert starts the challenge's life.
func (s *Service) insert(ctx context.Context, d draft, now time.Time) (expires time.Time, err error) {
	expires = now.Add(s.config.CodeTTL)
	err = s.db.ExecLater(ctx, `
		INSERT INTO sms_challenges (id, lookup, sealed, purpose, client_id, flow, known_device, code_mac,
			tries, max_tries, sends, created_at, sent_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, 1, $10, $10, $11)`,
		d.ref.ID, d.lookup, d.sealed, string(d.ref.Purpose), d.ref.ClientID, d.ref.Flow, d.known, d.mac,
		s.config.MaxTries, db.Micros(now), db.Micros(expires))
	if err != nil {
		return time.Time{}, fmt.Errorf("insert challenge: %w", err)
	}
	return expires, nil
}

// live is a challenge that a message repeats.
type live struct {
	id      string
	sealed  []byte
	tries   int
	expires time.Time
}

// repeat finds the live challenge of the same flow, number, purpose, client and
// pool, since wrong codes are charged where the code was asked for, and counts one more send of its code. Its tries stay, and its life grows to
// CodeTTL from now, never beyond CodeMaxTTL in all. A code with less than a
// cooldown of that left is not repeated: it would die before another could be
// asked for. db.ErrNotFound if there is none.
func (s *Service) repeat(ctx context.Context, d draft, now time.Time) (live, error) {
	var c live
	var expires int64
	err := s.db.QueryRow(ctx, `
		UPDATE sms_challenges SET sends = sends + 1, sent_at = $1,
			expires_at = CASE WHEN created_at + $2 < $3 THEN created_at + $2 ELSE $3 END
		WHERE consumed_at IS NULL AND tries < max_tries AND id = (
			SELECT id FROM sms_challenges
			WHERE flow = $4 AND lookup = $5 AND purpose = $6 AND client_id = $7 AND known_device = $9
				AND consumed_at IS NULL AND tries < max_tries AND expires_at > $1 AND created_at > $8
			ORDER BY created_at DESC LIMIT 1)
		RETURNING id, sealed, tries, expires_at`,
		db.Micros(now), s.config.CodeMaxTTL.Microseconds(), db.Micros(now.Add(s.config.CodeTTL)),
		d.ref.Flow, d.lookup, string(d.ref.Purpose), d.ref.ClientID,
		db.Micros(now.Add(-s.config.CodeMaxTTL).Add(s.config.Cooldown)), d.known,
	).Scan(&c.id, &c.sealed, &c.tries, &expires)
	if err != nil {
		return live{}, fmt.Errorf("repeat challenge: %w", err)
	}
	c.expires = db.Time(expires)
	return c, nil
}

// Waiting is the id of the live challenge that r's flow has for r's number: where
// somebody who asks again too soon can go on. One SELECT. db.ErrNotFound if there is
// none.
func (s *Service) Waiting(ctx context.Context, r Request) (id string, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT id FROM sms_challenges
		WHERE flow = $1 AND lookup = $2 AND purpose = $3 AND client_id = $4 AND consumed_at IS NULL AND tries < max_tries AND expires_at > $5
		ORDER BY created_at DESC LIMIT 1`,
		r.Flow, r.Number.Index(s.vault), string(r.Purpose), r.ClientID, db.Micros(time.Now())).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("find waiting challenge: %w", err)
	}
	return id, nil
}

// Get tells a page or an app about a challenge: one SELECT. One that expired or
// has no tries left is still told for a day, with its ExpiresAt and TriesLeft,
// so that a page can offer another code for the same number. ErrCodeExpired for
// one that was used or is not ref's.
func (s *Service) Get(ctx context.Context, ref Ref) (Challenge, error) {
	if !ref.possible() {
		return Challenge{}, ErrCodeExpired
	}
	var (
		sealed        []byte
		left          int
		at, expires   int64
		counted       *int64 // when the newest message that was not rejected was reserved
		state, reason string // of that message
		receipt, word string // what its provider reported
		arrived       bool   // that message, or one that carried the same code for the same request
	)
	err := s.db.QueryRow(ctx, `
		SELECT c.sealed, c.max_tries - c.tries, c.sent_at, c.expires_at,
			l.reserved_at, COALESCE(l.state, ''), COALESCE(l.reason, ''), COALESCE(l.receipt, ''), COALESCE(l.receipt_code, ''),
			EXISTS (SELECT 1 FROM sms_ledger d WHERE d.lookup = c.lookup AND d.reserved_at >= c.sent_at
				AND d.challenge_id = c.id AND d.state <> 'rejected' AND d.receipt = 'delivered')
		FROM sms_challenges c LEFT JOIN sms_ledger l
			ON l.lookup = c.lookup AND l.reserved_at >= c.created_at AND l.challenge_id = c.id AND l.state <> 'rejected'
		WHERE c.id = $1 AND c.flow = $2 AND c.client_id = $3 AND c.purpose = $4 AND c.consumed_at IS NULL
		ORDER BY l.reserved_at DESC LIMIT 1`,
		ref.ID, ref.Flow, ref.ClientID, string(ref.Purpose),
	).Scan(&sealed, &left, &at, &expires, &counted, &state, &reason, &receipt, &word, &arrived)
	if errors.Is(err, db.ErrNotFound) {
		return Challenge{}, ErrCodeExpired
	}
	if err != nil {
		return Challenge{}, fmt.Errorf("get challenge: %w", err)
	}
	x, err := s.unseal(ref.ID, sealed)
	if err != nil {
		return Challenge{}, err
	}
	c := Challenge{ID: ref.ID, Number: x.number, ExpiresAt: db.Time(expires), TriesLeft: left}
	switch {
	case s.IsTest(x.number):
		c.Status, c.ResendAt = StatusSent, db.Time(at).Add(s.config.Cooldown)
	case counted == nil:
		c.Status, c.ResendAt = StatusFailed, db.Time(at)
	default:
		c.Status = statusOf(state, reason, time.Since(db.Time(*counted)))
		c.ResendAt = db.Time(*counted).Add(s.config.Cooldown)
		switch {
		case arrived:
			c.Status = StatusDelivered
		case receipt != "":
			c.Status = receipt // the words are the same
		}
		if c.Status == StatusUndelivered {
			c.Reason = undeliveredReason(word)
		}
	}
	return c, nil
}
