package user

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// A recovery code is 80 random bits: 16 characters of RFC 4648's base32 in groups
// of four. Nobody guesses one, so a keyed hash is all that is kept.
const (
	recoveryCodes = 10
	recoveryBytes = 10
)

// NewRecoveryCodes replaces all recovery codes of an account by ten new ones and
// returns them; they cannot be shown again.
func (s *Service) NewRecoveryCodes(ctx context.Context, userID string, by By) (codes []string, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.touch(ctx, userID, "user.recovery_codes_made", by.Actor); err != nil {
			return err
		}
		now, err := s.weaken(ctx, userID, by)
		if err != nil {
			return err
		}
		codes, err = s.makeRecoveryCodes(ctx, userID, now)
		return err
	})
	return codes, err
}

func (s *Service) makeRecoveryCodes(ctx context.Context, userID string, now time.Time) ([]string, error) {
	if _, err := s.db.Exec(ctx, `DELETE FROM recovery_codes WHERE user_id = $1`, userID); err != nil {
		return nil, fmt.Errorf("replace recovery codes: %w", err)
	}
	codes := make([]string, recoveryCodes)
	for i := range codes {
		raw := make([]byte, recoveryBytes)
		rand.Read(raw)
		c := base32.StdEncoding.EncodeToString(raw)
		codes[i] = strings.Join([]string{c[:4], c[4:8], c[8:12], c[12:]}, "-")
		if err := s.db.ExecLater(ctx, `INSERT INTO recovery_codes (user_id, lookup, created_at) VALUES ($1, $2, $3)`,
			userID, s.recoveryLookup(userID, c), db.Micros(now)); err != nil {
			return nil, fmt.Errorf("keep recovery codes: %w", err)
		}
	}
	return codes, nil
}

func (s *Service) recoveryLookup(userID, code string) []byte {
	return s.vault.Index(labelRecovery, []byte(userID+"|"+code))
}

// hasRecoveryCodes says whether codes are those of the account, used or not.
func (s *Service) hasRecoveryCodes(ctx context.Context, userID string, codes []string) (bool, error) {
	if len(codes) == 0 {
		return false, nil
	}
	var n int
	err := s.db.QueryRow(ctx, `SELECT count(*) FROM recovery_codes WHERE user_id = $1 AND lookup = $2`,
		userID, s.recoveryLookup(userID, strings.ReplaceAll(codes[0], "-", ""))).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look for recovery codes: %w", err)
	}
	return n > 0, nil
}

// UseRecoveryCode uses one up. How it is grouped and whether it is written in
// capitals does not matter, nor do 0, 1 and 8, which no code has, for O, I and B.
// Faults: ErrFactorIncorrect, ErrTooManyTries.
func (s *Service) UseRecoveryCode(ctx context.Context, userID, code string) error {
	return s.useRecoveryCode(ctx, userID, code, time.Time{})
}

// useRecoveryCode is UseRecoveryCode of one that was made before a time; zero: whenever.
func (s *Service) useRecoveryCode(ctx context.Context, userID, code string, before time.Time) error {
	pool := s.triedFactor(userID, factorRecovery)
	wait, err := s.charge(ctx, pool)
	switch {
	case err != nil:
		return err
	case wait > 0:
		return ErrTooManyTries.After(wait)
	}
	typed := strings.NewReplacer("0", "O", "1", "I", "8", "B").Replace(strings.ToUpper(foldDigits(code)))
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		n, err := s.db.Exec(ctx, `UPDATE recovery_codes SET used_at = $1 WHERE user_id = $2 AND lookup = $3 AND used_at IS NULL AND created_at < $4`,
			db.Micros(time.Now()), userID, s.recoveryLookup(userID, typed), until(before))
		if err != nil {
			return fmt.Errorf("use a recovery code: %w", err)
		}
		if n == 0 {
			return ErrFactorIncorrect
		}
		if err := s.forgive(ctx, pool); err != nil {
			return err
		}
		if err := s.trustApp(ctx, userID); err != nil {
			return err
		}
		return s.record(ctx, "user.recovery_code_used", "user:"+userID, userID, nil)
	})
	if errors.Is(err, ErrFactorIncorrect) {
		s.recordRefused(ctx, userID, factorRecovery, Attempt{})
	}
	return err
}

// RecoveryCodesLeft is how many unused ones an account has.
func (s *Service) RecoveryCodesLeft(ctx context.Context, userID string) (int, error) {
	var n int
	err := s.db.QueryRow(ctx, `SELECT count(*) FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL`, userID).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count recovery codes: %w", err)
	}
	return n, nil
}
