package sms

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// fewTries are few enough to be named.
const fewTries = 2

// Check counts one try, and compares only then: the count is committed, or stands in
// the transaction that ctx carries, whose outcome nobody may learn before its commit.
// Spaces in a code are dropped and full-width digits folded; what is not six digits after that
// is ErrCodeIncorrect at the cost of no try, since it cannot be a guess.
//
// Faults: ErrCodeIncorrect; ErrCodeIncorrectLast with the parameter tries;
// ErrAttemptsExceeded once none is left; ErrCodeExpired where ref names no live
// challenge, whatever the reason; and, without a comparison and at the cost of
// no try, ErrTriesLimited and ErrSignInStopped where the number had its share
// of wrong codes, for recognised devices and for others each by themselves. A
// wrong code is on record in the audit log.
func (s *Service) Check(ctx context.Context, ref Ref, code string) (Proof, error) {
	done := CheckDone{Purpose: ref.Purpose}
	p, err := s.checkCode(ctx, ref, code, &done)
	if err != nil {
		s.config.Observer.CheckDone(done)
	} else {
		s.db.AfterCommit(ctx, func() { s.config.Observer.CheckDone(done) })
	}
	return p, err
}

// checkCode is Check; it fills in the rest of done.
func (s *Service) checkCode(ctx context.Context, ref Ref, code string, done *CheckDone) (Proof, error) {
	fail := func(result string, err error) (Proof, error) {
		done.Result = result
		return Proof{}, err
	}
	if !ref.possible() {
		return fail("expired", ErrCodeExpired)
	}
	typed, ok := foldCode(code)
	if !ok {
		if err := s.whyNot(ctx, ref, time.Now()); err != nil {
			return fail(resultOf(err), err)
		}
		return fail("malformed", ErrCodeIncorrect)
	}
	t, err := s.countTry(ctx, ref)
	if err != nil {
		return fail(resultOf(err), err)
	}
	x, err := s.unseal(ref.ID, t.sealed)
	if err != nil {
		return fail("error", err)
	}
	s.compared.Add(1)
	done.Region = x.number.Region()
	if s.vault.VerifyMAC(labelCode, t.mac, codeFields(ref, x.number, typed)...) {
		done.Result = "right"
		return Proof{Number: x.number, Note: x.note, service: s, id: ref.ID, lookup: t.lookup, known: t.known, charged: t.charged}, nil
	}
	s.recordRefused(ctx, ref, t)
	switch left := t.max - t.used; {
	case left <= 0:
		done.Ended = true
		return fail("incorrect", ErrAttemptsExceeded)
	case left <= fewTries:
		return fail("incorrect", ErrCodeIncorrectLast.With("tries", strconv.Itoa(left)))
	}
	return fail("incorrect", ErrCodeIncorrect)
}

// try is a counted one.
type try struct {
	lookup, sealed, mac []byte
	used, max           int
	known               bool   // the challenge's pool
	charged             string // the entry in that pool of the number, "" for a test number
	consecutive         int    // of that pool, this one included
}

// countTry charges the try to the number's pool and to the challenge, or to neither:
// one transaction of two statements, sent together. Both count before anything is compared,
// and the number's charge is given back when a Proof is consumed.
func (s *Service) countTry(ctx context.Context, ref Ref) (try, error) {
	var t try
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		now := time.Now()
		t = try{}
		after, err := s.chargeNumber(ctx, ref, now)
		if err != nil {
			return err
		}
		err = s.db.QueryRow(ctx, `
			UPDATE sms_challenges SET tries = tries + 1
			WHERE id = $1 AND flow = $2 AND client_id = $3 AND purpose = $4
				AND consumed_at IS NULL AND expires_at > $5 AND tries < max_tries
			RETURNING lookup, sealed, code_mac, tries, max_tries, known_device`,
			ref.ID, ref.Flow, ref.ClientID, string(ref.Purpose), db.Micros(now),
		).Scan(&t.lookup, &t.sealed, &t.mac, &t.used, &t.max, &t.known)
		if errors.Is(err, db.ErrNotFound) {
			if err := s.whyNot(ctx, ref, now); err != nil {
				return err
			}
			return ErrCodeExpired // it came to life or ran out between two statements
		}
		if err != nil {
			return fmt.Errorf("count try of challenge: %w", err)
		}
		switch {
		case after.charged:
			t.charged, t.consecutive = entry(now), after.of(t.known).consecutive
		case !s.indexes[string(t.lookup)]:
			return s.whyNotNumber(ctx, t.lookup, t.known, now)
		}
		return nil
	})
	if err != nil {
		return try{}, err
	}
	return t, nil
}

// whyNot says why a challenge takes no try: ErrAttemptsExceeded for the owner of
// an exhausted one, ErrCodeExpired for everybody else, nil if it takes one.
func (s *Service) whyNot(ctx context.Context, ref Ref, now time.Time) error {
	var left int
	err := s.db.QueryRow(ctx, `
		SELECT max_tries - tries FROM sms_challenges
		WHERE id = $1 AND flow = $2 AND client_id = $3 AND purpose = $4 AND consumed_at IS NULL AND expires_at > $5`,
		ref.ID, ref.Flow, ref.ClientID, string(ref.Purpose), db.Micros(now)).Scan(&left)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return ErrCodeExpired
	case err != nil:
		return fmt.Errorf("look at challenge: %w", err)
	case left <= 0:
		return ErrAttemptsExceeded
	}
	return nil
}

// resultOf is a refusal in a word.
func resultOf(err error) string {
	var f *fault.Error
	if !errors.As(err, &f) {
		return "error"
	}
	switch f.Code {
	case ErrCodeExpired.Code:
		return "expired"
	case ErrAttemptsExceeded.Code:
		return "exhausted"
	case ErrTriesLimited.Code:
		return "limited"
	case ErrSignInStopped.Code:
		return "stopped"
	}
	return "error"
}
