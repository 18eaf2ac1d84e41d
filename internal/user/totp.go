package user

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// Faults of second factors.
var (
	ErrFactorIncorrect = fault.New(http.StatusUnprocessableEntity, "factor_incorrect", "the code is not right, or it was used before")
	// ErrFactorStopped is an app whose codes were guessed at too often.
	ErrFactorStopped = fault.New(http.StatusForbidden, "factor_stopped", "too many codes of the authenticator app were wrong; use a recovery code or a passkey, or a device where you signed in before")
	// ErrProofTooNew is a proof that was right, of what was made too lately to count.
	ErrProofTooNew = fault.New(http.StatusUnprocessableEntity, "proof_too_new", "this was set up less than a day ago and does not count for this yet")
	ErrNoEnrolment = fault.New(http.StatusConflict, "enrolment_missing", "no authenticator app waits to be confirmed, start again")
)

const (
	factorTOTP     = "totp"
	factorRecovery = "recovery"

	totpPeriod = 30  // seconds, RFC 6238 section 4.1
	totpSkew   = 1   // steps that a clock may be ahead or behind, section 5.2
	wrongTOTP  = 100 // of sign-ins, in a row
	totpSecret = 20  // bytes, as HMAC-SHA-1's hash: RFC 4226 section 4
)

// Enrolment is what an authenticator app is told, once.
type Enrolment struct {
	Secret string // base32, for who cannot scan
	URL    string // otpauth://totp/…, for the QR code
}

// Format keeps the secret out of whatever is printed.
func (Enrolment) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(enrolment)") }

// EnrolTOTP makes a secret for an authenticator app that will show it under
// issuer and account. It counts for nothing until ConfirmTOTP; an app that was
// confirmed before goes on until then. Another enrolment replaces one that waits.
func (s *Service) EnrolTOTP(ctx context.Context, userID, issuer, account string) (Enrolment, error) {
	secret := make([]byte, totpSecret)
	rand.Read(secret)
	enrolment, err := enrolmentOf(secret, issuer, account)
	if err != nil {
		return Enrolment{}, err
	}
	if _, err := s.find(ctx, userID); err != nil {
		return Enrolment{}, err
	}
	if _, err := s.db.Exec(ctx, `
		INSERT INTO totp (user_id, pending, confirmed_at, last_step) VALUES ($1, $2, 0, 0)
		ON CONFLICT (user_id) DO UPDATE SET pending = excluded.pending`,
		userID, s.vault.Seal(labelTOTP, []byte(enrolment.Secret), []byte(userID))); err != nil {
		return Enrolment{}, fmt.Errorf("enrol an authenticator app: %w", err)
	}
	return enrolment, nil
}

func enrolmentOf(secret []byte, issuer, account string) (Enrolment, error) {
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: strings.ReplaceAll(issuer, ":", " "), AccountName: account, Secret: secret, Period: totpPeriod,
		Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return Enrolment{}, fmt.Errorf("enrol an authenticator app: %w", err)
	}
	return Enrolment{Secret: key.Secret(), URL: key.URL()}, nil
}

// WaitingTOTP is the enrolment that waits to be confirmed, as EnrolTOTP returned it.
// Fault: ErrNoEnrolment.
func (s *Service) WaitingTOTP(ctx context.Context, userID, issuer, account string) (Enrolment, error) {
	pending, err := s.pendingTOTP(ctx, userID)
	if err != nil {
		return Enrolment{}, err
	}
	text, err := s.vault.Open(labelTOTP, pending, []byte(userID))
	if err != nil {
		return Enrolment{}, fmt.Errorf("open the authenticator secret of user %s: %w", userID, err)
	}
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(string(text))
	if err != nil {
		return Enrolment{}, fmt.Errorf("decode the authenticator secret of user %s: %w", userID, err)
	}
	return enrolmentOf(secret, issuer, account)
}

func (s *Service) pendingTOTP(ctx context.Context, userID string) (pending []byte, err error) {
	err = s.db.QueryRow(ctx, `SELECT pending FROM totp WHERE user_id = $1`, userID).Scan(&pending)
	if err != nil && !isNotFound(err) {
		return nil, fmt.Errorf("read an enrolment: %w", err)
	}
	if pending == nil {
		return nil, ErrNoEnrolment
	}
	return pending, nil
}

// ConfirmTOTP makes the app that waits the account's, if code is its code, and
// returns recovery codes, to be shown once, if the account has no unused ones.
// Faults: ErrFactorIncorrect, ErrTooManyTries, ErrNoEnrolment.
func (s *Service) ConfirmTOTP(ctx context.Context, userID, code string, by By) (recovery []string, err error) {
	pending, err := s.pendingTOTP(ctx, userID)
	if err != nil {
		return nil, err
	}
	step, err := s.tryTOTP(ctx, userID, pending, code, "")
	if err != nil {
		return nil, err
	}
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		now, err := s.weaken(ctx, userID, by)
		if err != nil {
			return err
		}
		n, err := s.db.Exec(ctx, `
			UPDATE totp SET sealed = pending, pending = NULL, confirmed_at = $1, last_step = $2, wrong = 0 WHERE user_id = $3 AND pending = $4`,
			db.Micros(now), step, userID, pending)
		if err != nil {
			return fmt.Errorf("confirm an authenticator app: %w", err)
		}
		if n == 0 {
			return ErrNoEnrolment
		}
		if err := s.forgive(ctx, s.pools(userID, factorTOTP)...); err != nil {
			return err
		}
		if err := s.touch(ctx, userID, "user.totp_set", by.Actor); err != nil {
			return err
		}
		left, err := s.RecoveryCodesLeft(ctx, userID)
		if err != nil || left > 0 {
			return err
		}
		recovery, err = s.makeRecoveryCodes(ctx, userID, now)
		return err
	})
	return recovery, err
}

// CheckTOTP uses a code of the account's app up: it is right once, and so is no
// older one after it. The try is counted and committed before the comparison.
// Faults: ErrFactorIncorrect, for an account without an app too; ErrTooManyTries.
func (s *Service) CheckTOTP(ctx context.Context, userID, code string) error {
	return s.checkTOTP(ctx, userID, code, time.Time{}, false)
}

// checkTOTP is CheckTOTP of an app that was confirmed before a time; zero: whenever.
// A sign-in that waits for the code has a count of its own, and a last one: after
// wrongTOTP wrong codes in a row the app signs nobody in (ErrFactorStopped) until the
// owner shows something else, see trustApp.
func (s *Service) checkTOTP(ctx context.Context, userID, code string, before time.Time, waiting bool) error {
	var sealed []byte
	err := s.db.QueryRow(ctx, `SELECT sealed FROM totp WHERE user_id = $1 AND confirmed_at < $2`, userID, until(before)).Scan(&sealed)
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("read an authenticator app: %w", err)
	}
	pool := ""
	if waiting {
		pool = poolWaiting
	}
	step, err := s.tryTOTP(ctx, userID, sealed, code, pool)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(ctx context.Context) error {
		n, err := s.db.Exec(ctx, `UPDATE totp SET last_step = $1, wrong = 0 WHERE user_id = $2 AND sealed = $3 AND last_step < $1`, step, userID, sealed)
		if err != nil {
			return fmt.Errorf("use a code of an authenticator app: %w", err)
		}
		if n == 0 {
			return ErrFactorIncorrect
		}
		return s.forgive(ctx, s.triedFactor(userID, factorTOTP+pool))
	})
}

// trustApp ends the count of wrong codes of sign-ins, for an owner who has shown
// something else: a recovery code, a passkey, or the app itself where they are signed in.
func (s *Service) trustApp(ctx context.Context, userID string) error {
	if err := s.db.ExecLater(ctx, `UPDATE totp SET wrong = 0 WHERE user_id = $1 AND wrong > 0`, userID); err != nil {
		return fmt.Errorf("trust an authenticator app: %w", err)
	}
	return nil
}

// chargeApp counts a code of a sign-in that waits, before it is compared.
func (s *Service) chargeApp(ctx context.Context, userID string) error {
	n, err := s.db.Exec(ctx, `UPDATE totp SET wrong = wrong + 1 WHERE user_id = $1 AND wrong < $2`, userID, wrongTOTP)
	if err != nil {
		return fmt.Errorf("count a code of an authenticator app: %w", err)
	}
	if n == 0 {
		return ErrFactorStopped
	}
	return nil
}

// tryTOTP counts a try in a pool and returns the time step whose code it is.
func (s *Service) tryTOTP(ctx context.Context, userID string, sealed []byte, code, pool string) (step int64, err error) {
	wait, err := s.charge(ctx, s.triedFactor(userID, factorTOTP+pool))
	switch {
	case err != nil:
		return 0, err
	case wait > 0:
		return 0, ErrTooManyTries.After(wait)
	case sealed == nil:
		return 0, ErrFactorIncorrect
	case pool == poolWaiting:
		if err := s.chargeApp(ctx, userID); err != nil {
			return 0, err
		}
	}
	secret, err := s.vault.Open(labelTOTP, sealed, []byte(userID))
	if err != nil {
		return 0, fmt.Errorf("open the authenticator secret of user %s: %w", userID, err)
	}
	typed := foldDigits(code)
	now := time.Now().Unix() / totpPeriod
	found := int64(-1)
	for step := now - totpSkew; step <= now+totpSkew; step++ {
		want, err := hotp.GenerateCodeCustom(string(secret), uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, fmt.Errorf("code of user %s: %w", userID, err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(typed)) == 1 {
			found = step
		}
	}
	if found < 0 {
		s.recordRefused(ctx, userID, factorTOTP, Attempt{})
		return 0, ErrFactorIncorrect
	}
	return found, nil
}

// RemoveTOTP takes the app and the recovery codes, and what waits to be confirmed.
func (s *Service) RemoveTOTP(ctx context.Context, userID string, by By) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.weaken(ctx, userID, by); err != nil && !isNotFound(err) {
			return err
		}
		n, err := s.db.Exec(ctx, `DELETE FROM totp WHERE user_id = $1`, userID)
		if err != nil {
			return fmt.Errorf("remove an authenticator app: %w", err)
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM recovery_codes WHERE user_id = $1`, userID); err != nil {
			return fmt.Errorf("remove recovery codes: %w", err)
		}
		if n == 0 {
			return nil
		}
		return s.touch(ctx, userID, "user.totp_removed", by.Actor)
	})
}

// HasTOTP says whether the account has a confirmed app, and since when.
func (s *Service) HasTOTP(ctx context.Context, userID string) (has bool, since time.Time, err error) {
	var at int64
	err = s.db.QueryRow(ctx, `SELECT confirmed_at FROM totp WHERE user_id = $1 AND sealed IS NOT NULL`, userID).Scan(&at)
	if isNotFound(err) {
		return false, time.Time{}, nil
	}
	if err != nil {
		return false, time.Time{}, fmt.Errorf("look for an authenticator app: %w", err)
	}
	return true, db.Time(at), nil
}

// foldDigits drops what people type between digits, and makes full-width ones plain.
func foldDigits(code string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '０' && r <= '９':
			return r - '０' + '0'
		case r == ' ' || r == '\u00a0' || r == '\u3000' || r == '-':
			return -1
		}
		return r
	}, code)
}
