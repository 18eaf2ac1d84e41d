package user

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user/password"
)

// ErrCredentials is the one answer to a wrong password, to a right one of
// somebody else, and to any for an account that has none or does not exist.
var ErrCredentials = fault.New(http.StatusUnprocessableEntity, "credentials_incorrect", "the account or the password is not right")

const factorPassword = "password"

// passwordsPerHour are the new passwords of a person that are hashed.
const passwordsPerHour = 20

// Pools in which tries of a factor are counted beside those of strangers, so that none
// of them keeps the owner waiting: of a device that is known, of somebody who
// has proven something already, and of a sign-in that waits for its second proof.
const (
	poolKnown   = "|known"
	poolProven  = "|proven"
	poolWaiting = "|waiting"
)

// pools are all the counts of a factor of an account.
func (s *Service) pools(userID, factor string) (all []tried) {
	for _, pool := range []string{"", poolKnown, poolProven, poolWaiting} {
		all = append(all, s.triedFactor(userID, factor+pool))
	}
	return all
}

// SetPassword sets or changes a password. A change ends all sessions and grants
// but by.Session; setting the first one ends nothing. Who may do it - somebody who
// has just brought another proof - is the caller's to decide. Faults: those of
// password.Check and Hash, ErrTooManyTries; db.ErrNotFound without such an account.
func (s *Service) SetPassword(ctx context.Context, userID, next string, by By) error {
	if _, err := s.find(ctx, userID); err != nil {
		return err
	}
	own, err := s.Identifiers(ctx, userID)
	if err != nil {
		return err
	}
	names := make([]string, len(own))
	for i, o := range own {
		names[i] = o.Value
	}
	if err := password.Check(next, names...); err != nil {
		return err
	}
	if err := s.spendOwn(ctx, "set-password", userID, passwordsPerHour, time.Hour); err != nil {
		return err
	}
	hash, err := s.passwords.Hash(ctx, next)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(ctx context.Context) error {
		now, err := s.weaken(ctx, userID, by)
		if err != nil {
			return err
		}
		changed, err := s.db.Exec(ctx, `UPDATE passwords SET hash = $1, changed_at = $2 WHERE user_id = $3`,
			hash, db.Micros(now), userID)
		if err != nil {
			return fmt.Errorf("change password: %w", err)
		}
		if err := s.forgive(ctx, s.pools(userID, factorPassword)...); err != nil {
			return err
		}
		if changed == 1 {
			return s.signOutBut(ctx, userID, "user.password_changed", by, nil)
		}
		if err := s.touch(ctx, userID, "user.password_set", by.Actor); err != nil {
			return err
		}
		return s.insertPassword(ctx, userID, hash, now)
	})
}

// insertPassword gives an account that has none its hash. Of two at once one is
// first; the later one is what stays, as with any two changes.
func (s *Service) insertPassword(ctx context.Context, userID, hash string, now time.Time) error {
	if _, err := s.db.Exec(ctx, `
		INSERT INTO passwords (user_id, hash, changed_at, used_at) VALUES ($1, $2, $3, 0)
		ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at`,
		userID, hash, db.Micros(now)); err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return nil
}

// RemovePassword leaves an account without one and ends all sessions and grants
// but by.Session. Without one nothing happens. Fault: ErrLastWayIn.
func (s *Service) RemovePassword(ctx context.Context, userID string, by By) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if _, err := s.weaken(ctx, userID, by); err != nil {
			return err
		}
		n, err := s.db.Exec(ctx, `DELETE FROM passwords WHERE user_id = $1`, userID)
		if err != nil {
			return fmt.Errorf("remove password: %w", err)
		}
		if n == 0 {
			return nil
		}
		if err := s.keepsWayIn(ctx, userID); err != nil {
			return err
		}
		if err := s.forgive(ctx, s.pools(userID, factorPassword)...); err != nil {
			return err
		}
		return s.signOutBut(ctx, userID, "user.password_removed", by, nil)
	})
}

// ErrLastWayIn refuses to take from an account without a number what its owner
// signs in with: nothing would be left.
var ErrLastWayIn = fault.New(http.StatusConflict, "last_way_in", "this is the last way to sign in; add another one first")

// keepsWayIn says, after something was taken from an account in this transaction,
// whether its owner can still sign in. It holds the account until the commit, so of
// two such changes the later one sees the first.
func (s *Service) keepsWayIn(ctx context.Context, userID string) error {
	if _, err := s.db.Exec(ctx, `UPDATE users SET updated_at = updated_at WHERE id = $1`, userID); err != nil {
		return fmt.Errorf("hold an account: %w", err)
	}
	var ways int
	err := s.db.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM identifiers WHERE user_id = $1 AND kind = 'phone')
			+ (SELECT count(*) FROM passkeys WHERE user_id = $1)
			+ (SELECT count(*) FROM passwords p JOIN identifiers i ON i.user_id = p.user_id WHERE p.user_id = $1)`, userID).Scan(&ways)
	if err != nil {
		return fmt.Errorf("count the ways to sign in: %w", err)
	}
	if ways == 0 {
		return ErrLastWayIn
	}
	return nil
}

// HasPassword says whether the account has a password and when it was set.
func (s *Service) HasPassword(ctx context.Context, userID string) (has bool, changedAt time.Time, err error) {
	var at int64
	err = s.db.QueryRow(ctx, `SELECT changed_at FROM passwords WHERE user_id = $1`, userID).Scan(&at)
	if isNotFound(err) {
		return false, time.Time{}, nil
	}
	if err != nil {
		return false, time.Time{}, fmt.Errorf("look for a password: %w", err)
	}
	return true, db.Time(at), nil
}

// CheckPassword has somebody who is signed in, or halfway, prove themself once more. It counts
// the try, commits that, and compares only then. Faults: ErrCredentials,
// ErrTooManyTries, those of password.Verify.
func (s *Service) CheckPassword(ctx context.Context, userID, typed string) error {
	return s.checkPassword(ctx, userID, typed, time.Time{})
}

// checkPassword is CheckPassword of one that was set before a time; zero: whenever.
func (s *Service) checkPassword(ctx context.Context, userID, typed string, before time.Time) error {
	pool := s.triedFactor(userID, factorPassword+poolProven)
	wait, err := s.charge(ctx, pool)
	switch {
	case err != nil:
		return err
	case wait > 0:
		return ErrTooManyTries.After(wait)
	}
	for range 3 {
		var hash string
		err := s.db.QueryRow(ctx, `SELECT hash FROM passwords WHERE user_id = $1 AND changed_at < $2`, userID, until(before)).Scan(&hash)
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("read a password: %w", err)
		}
		right, next, err := s.compare(ctx, hash, typed)
		if err != nil {
			return err
		}
		if !right {
			s.recordRefused(ctx, userID, factorPassword, Attempt{})
			return ErrCredentials
		}
		used := false
		err = s.db.Tx(ctx, func(ctx context.Context) error {
			if used, err = s.usePassword(ctx, userID, hash, next); err != nil || !used {
				return err
			}
			return s.forgive(ctx, pool)
		})
		if err != nil || used {
			return err
		}
	}
	return ErrCredentials // it keeps changing under our hands
}

// compare verifies a password, and hashes a right one anew if its hash is an old
// one; next is what the row should hold.
func (s *Service) compare(ctx context.Context, hash, typed string) (right bool, next string, err error) {
	right, err = s.passwords.Verify(ctx, hash, typed)
	if err != nil || !right {
		return false, "", err
	}
	if !password.NeedsRehash(hash) {
		return true, hash, nil
	}
	next, err = s.passwords.Hash(ctx, typed)
	return true, next, err
}

// usePassword notes the use of a verified password and replaces its hash by next;
// false if it is not the account's any more. The row is held until the end of the
// transaction, so a change of the password is before it or after it.
func (s *Service) usePassword(ctx context.Context, userID, hash, next string) (bool, error) {
	n, err := s.db.Exec(ctx, `UPDATE passwords SET hash = $1, used_at = $2 WHERE user_id = $3 AND hash = $4`,
		next, db.Micros(time.Now()), userID, hash)
	if err != nil {
		return false, fmt.Errorf("use a password: %w", err)
	}
	return n == 1, nil
}
