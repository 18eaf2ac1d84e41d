package user

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// OwnProofs are the credentials that this service keeps, as Proofs.
func (s *Service) OwnProofs() Proofs { return ownProofs{users: s} }

// ownProofs may be those alone that were made before a time; the others are as if
// there were none.
type ownProofs struct {
	users   *Service
	before  time.Time
	waiting bool // of a sign-in that waits for one
}

// Available names the credentials of an account; a passkey only where this service
// takes any.
func (p ownProofs) Available(ctx context.Context, userID string) ([]string, error) {
	has, err := p.users.proofTimes(ctx, userID)
	return has.names(p.before), err
}

// Check takes what was typed.
func (p ownProofs) Check(ctx context.Context, userID, name, typed string) error {
	switch name {
	case proofPassword:
		return p.users.checkPassword(ctx, userID, typed, p.before)
	case proofTOTP:
		return p.users.checkTOTP(ctx, userID, typed, p.before, p.waiting)
	case proofRecovery:
		return p.users.useRecoveryCode(ctx, userID, typed, p.before)
	}
	return fmt.Errorf("nothing is typed as a proof by %s", name)
}

// until is a time as SQL compares it with; the zero time is after all.
func until(t time.Time) int64 {
	if t.IsZero() {
		return math.MaxInt64
	}
	return db.Micros(t)
}

// WaitingProofs are OwnProofs for a sign-in that waits for one.
func (s *Service) WaitingProofs() Proofs { return ownProofs{users: s, waiting: true} }

// SecondProofs are those of WaitingProofs that make two factors of one.
func (s *Service) SecondProofs(ctx context.Context, userID string) (Proofs, error) {
	has, err := s.proofTimes(ctx, userID)
	return ownProofs{s, has.weakened, true}, err
}

// proofTimes are what an account can show besides its number, by the names of Proofs,
// and when it was made; of passkeys the oldest.
type proofTimes struct {
	made     map[string]time.Time
	weakened time.Time // see weaken; zero if that counts no more
}

// proofTimes reads them in one statement.
func (s *Service) proofTimes(ctx context.Context, userID string) (proofTimes, error) {
	var password, app, codes, key, weakened int64
	err := s.db.QueryRow(ctx, `
		SELECT COALESCE((SELECT changed_at FROM passwords WHERE user_id = $1), -1),
			COALESCE((SELECT confirmed_at FROM totp WHERE user_id = $1 AND sealed IS NOT NULL), -1),
			COALESCE((SELECT MIN(created_at) FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL), -1),
			COALESCE((SELECT MIN(created_at) FROM passkeys WHERE user_id = $1), -1),
			COALESCE((SELECT weakened_at FROM users WHERE id = $1), 0)`, userID).
		Scan(&password, &app, &codes, &key, &weakened)
	if err != nil {
		return proofTimes{}, fmt.Errorf("look for credentials: %w", err)
	}
	if !s.HasPasskeys() {
		key = -1
	}
	has := proofTimes{map[string]time.Time{}, weakenedAt(weakened, time.Now())}
	for name, at := range map[string]int64{proofPassword: password, proofTOTP: app, proofRecovery: codes, proofPasskey: key} {
		if at >= 0 {
			has.made[name] = db.Time(at)
		}
	}
	return has, nil
}

// names are those that were made before a time; the zero time is for all.
func (p proofTimes) names(before time.Time) (names []string) {
	for _, name := range []string{proofPassword, proofTOTP, proofRecovery, proofPasskey} {
		if made, ok := p.made[name]; ok && (before.IsZero() || made.Before(before)) {
			names = append(names, name)
		}
	}
	return names
}

// second are those that make two factors of one.
func (p proofTimes) second() []string { return p.names(p.weakened) }
