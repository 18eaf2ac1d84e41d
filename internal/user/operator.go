package user

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// The operator's verbs. They work beside a running server; every one of them is
// recorded, looking at a number in clear included. Unknown ids and numbers are
// db.ErrNotFound, a number that has an account already is db.ErrConflict.

const operator = "operator"

// Get returns an account.
func (s *Service) Get(ctx context.Context, id string) (User, error) {
	u, err := s.find(ctx, id)
	if err != nil {
		return User{}, err
	}
	return u, s.record(ctx, "user.viewed", operator, u.ID, nil)
}

// FindByNumber returns the account of a number.
func (s *Service) FindByNumber(ctx context.Context, n sms.Number) (User, error) {
	acc, err := s.accountOf(ctx, n.Index(s.vault))
	if err != nil {
		return User{}, err
	}
	return acc.User, s.record(ctx, "user.viewed", operator, acc.ID, nil)
}

// NumberTaken says whether a number has an account, whatever its state. Whose it is
// stays unsaid, so that nothing is on record about them.
func (s *Service) NumberTaken(ctx context.Context, n sms.Number) (taken bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM identifiers WHERE kind = 'phone' AND lookup = $1)`, n.Index(s.vault)).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("look for a number: %w", err)
	}
	return taken, nil
}

// Filter says which accounts to list; the zero Filter takes all.
type Filter struct {
	Status string     // "" for any
	Former sms.Number // accounts that had this number until it went to somebody else
}

// List returns accounts in the order of their making, at most limit (up to
// 1000), that come after the one with the id after; "" begins. It answers
// db.ErrNotFound if that account is gone.
func (s *Service) List(ctx context.Context, after string, limit int) ([]User, error) {
	return s.ListOf(ctx, Filter{}, after, limit)
}

// ListOf is List for some of the accounts.
func (s *Service) ListOf(ctx context.Context, f Filter, after string, limit int) ([]User, error) {
	from := int64(-1)
	if after != "" {
		if err := s.db.QueryRow(ctx, `SELECT created_at FROM users WHERE id = $1`, after).Scan(&from); err != nil {
			return nil, fmt.Errorf("find where the list goes on: %w", err)
		}
	}
	rows, err := s.db.Query(ctx, selectUser+`
		WHERE (u.created_at, u.id) > ($1, $2)
			AND (CAST($4 AS TEXT) = '' OR u.status = $4) AND (NOT CAST($5 AS BOOLEAN) OR f.lookup = $6)
		ORDER BY u.created_at, u.id LIMIT $3`, from, after, max(1, min(limit, 1000)),
		f.Status, !f.Former.IsZero(), f.Former.Index(s.vault))
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	defer rows.Close()
	var users []User
	for rows.Next() {
		var r fullRow
		if err := rows.Scan(r.columns()...); err != nil {
			return nil, fmt.Errorf("list users: %w", err)
		}
		u, err := s.fullUser(r)
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return users, s.record(ctx, "user.listed", operator, "", map[string]string{"count": strconv.Itoa(len(users))})
}

// Create makes an account without proof of its number, which therefore stays
// unverified until the first sign-in. Faults: invalid_request for a claim.
func (s *Service) Create(ctx context.Context, n sms.Number, claims map[string]any) (User, error) {
	claims, err := apply(nil, claims)
	if err != nil {
		return User{}, err
	}
	now := db.Time(db.Micros(time.Now()))
	u := User{ID: uuid.NewString(), Status: Active, Phone: n, Claims: claims, CreatedAt: now, UpdatedAt: now}
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.insert(ctx, u, n.Index(s.vault)); err != nil {
			return err
		}
		return s.record(ctx, "user.created", operator, u.ID, nil)
	})
	if errors.Is(err, db.ErrConflict) {
		return User{}, fmt.Errorf("the number has an account: %w", db.ErrConflict)
	}
	if err != nil {
		return User{}, err
	}
	return u, nil
}

// Update changes claims: a nil value removes one, the rest is kept. Faults:
// invalid_request for a claim that cannot be set or a value that does not fit.
func (s *Service) Update(ctx context.Context, id string, patch map[string]any) (User, error) {
	return s.update(ctx, id, operator, patch)
}

// Disable refuses the account everything and ends its sessions and grants for
// good. db.ErrConflict for one that is closing or quarantined: nobody signs in to
// it as it is, and it would forget what becomes of it.
func (s *Service) Disable(ctx context.Context, id string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.signOut(ctx, id, "user.disabled"); err != nil {
			return err
		}
		return s.setStatus(ctx, id, Disabled)
	})
}

// Enable lets a disabled account sign in again; its sessions and grants stay
// ended. An authenticator app whose codes were guessed at is trusted anew. db.ErrConflict as for Disable.
func (s *Service) Enable(ctx context.Context, id string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.touch(ctx, id, "user.enabled", operator); err != nil {
			return err
		}
		if err := s.trustApp(ctx, id); err != nil {
			return err
		}
		return s.setStatus(ctx, id, Active)
	})
}

func (s *Service) setStatus(ctx context.Context, id, status string) error {
	n, err := s.db.Exec(ctx, `UPDATE users SET status = $1 WHERE id = $2 AND status IN ('active', 'disabled')`, status, id)
	if err != nil {
		return fmt.Errorf("set status: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("the account is closing or quarantined: %w", db.ErrConflict)
	}
	return nil
}

// SetPhone gives the account another number, unverified until it signs in with it,
// and ends its sessions and grants: whoever held the old number must not stay, nor
// learn the new one from userinfo. Passkeys, password, authenticator app and recovery
// codes go for the same reason: they may be theirs. The operator
// vouches for the number, so a quarantined account is its owner's again.
func (s *Service) SetPhone(ctx context.Context, id string, n sms.Number) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.signOut(ctx, id, "user.phone_changed"); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM identifiers WHERE kind = 'phone' AND user_id = $1`, id); err != nil {
			return fmt.Errorf("release the old number: %w", err)
		}
		if err := s.dropFactors(ctx, id); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `
			INSERT INTO identifiers (kind, lookup, user_id, sealed, verified_at) VALUES ('phone', $1, $2, $3, 0)`,
			n.Index(s.vault), id, s.seal(n.E164(), id)); err != nil {
			return fmt.Errorf("set number: %w", err)
		}
		if _, err := s.db.Exec(ctx, `
			UPDATE users SET seen_at = $1, closes_at = CASE WHEN status = 'quarantined' THEN NULL ELSE closes_at END,
				status = CASE WHEN status = 'quarantined' THEN 'active' ELSE status END
			WHERE id = $2`, db.Micros(time.Now()), id); err != nil {
			return fmt.Errorf("take the account out of quarantine: %w", err)
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM former_numbers WHERE user_id = $1`, id); err != nil {
			return fmt.Errorf("forget the former number: %w", err)
		}
		return nil
	})
}

// ResetFactors takes whatever an account can show besides its number, and ends its
// sessions and grants: for an owner who lost all of it, or whose account somebody
// else got into. One without a number has no way in until SetPhone.
func (s *Service) ResetFactors(ctx context.Context, id string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.signOut(ctx, id, "user.factors_reset"); err != nil {
			return err
		}
		return s.dropFactors(ctx, id)
	})
}

// dropFactors removes passkeys, password, app, recovery codes and their failures.
func (s *Service) dropFactors(ctx context.Context, id string) error {
	for _, statement := range []string{
		`DELETE FROM passkeys WHERE user_id = $1`, `DELETE FROM passwords WHERE user_id = $1`, `DELETE FROM totp WHERE user_id = $1`,
		`DELETE FROM recovery_codes WHERE user_id = $1`, `DELETE FROM credential_failures WHERE user_id = $1`,
	} {
		if err := s.db.ExecLater(ctx, statement, id); err != nil {
			return fmt.Errorf("remove the factors of an account: %w", err)
		}
	}
	return nil
}

// Delete erases an account at once, as EraseDue does.
func (s *Service) Delete(ctx context.Context, id string) error {
	erased, err := s.erase(ctx, id, operator, time.Now())
	if err == nil && !erased {
		err = fmt.Errorf("delete user: %w", db.ErrNotFound)
	}
	return err
}

// RevokeSession ends one session; db.ErrNotFound if it is not a live one.
func (s *Service) RevokeSession(ctx context.Context, id string) error {
	ended, err := s.endSession(ctx, id, operator)
	if err == nil && !ended {
		return fmt.Errorf("revoke session: %w", db.ErrNotFound)
	}
	return err
}

// touch stamps updated_at and records the event; db.ErrNotFound without a row.
func (s *Service) touch(ctx context.Context, id, event, actor string) error {
	return s.touchWith(ctx, id, event, actor, nil)
}

func (s *Service) touchWith(ctx context.Context, id, event, actor string, detail map[string]string) error {
	n, err := s.db.Exec(ctx, `UPDATE users SET updated_at = $1 WHERE id = $2`, db.Micros(time.Now()), id)
	if err != nil {
		return fmt.Errorf("change user: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("change user: %w", db.ErrNotFound)
	}
	return s.record(ctx, event, actor, id, detail)
}

// signOut is touch, and ends whatever stands on a sign-in until now. The stamp in
// grants_after does it: grants and codes, which are not this package's, compare it
// with the time of their sign-in. It only ever grows, whatever the clocks say; a
// sign-in that comes later is stamped later, see authTime.
func (s *Service) signOut(ctx context.Context, id, event string) error {
	return s.signOutBut(ctx, id, event, By{Actor: operator}, nil)
}

// signOutBut is signOut with one session that stays, with the auth_time that it had,
// for nothing was proven now, and a new cookie where by asks for one. What clients
// were granted in it before ends like everything else.
func (s *Service) signOutBut(ctx context.Context, id, event string, by By, detail map[string]string) error {
	if err := s.touchWith(ctx, id, event, by.Actor, detail); err != nil {
		return err
	}
	if _, err := s.db.Exec(ctx, `
		UPDATE users SET grants_after = CASE WHEN grants_after < $1 THEN $1 ELSE grants_after + 1 END, kept_session = $3 WHERE id = $2`,
		db.Micros(time.Now()), id, by.Session); err != nil {
		return fmt.Errorf("end grants: %w", err)
	}
	if _, err := s.endSessionsBut(ctx, by.Session, id, by.Actor); err != nil || by.secret == nil {
		return err
	}
	secret, hash := newSessionSecret()
	if _, err := s.db.Exec(ctx, `UPDATE sessions SET secret_hash = $1 WHERE id = $2 AND user_id = $3 AND ended_at IS NULL`,
		hash, by.Session, id); err != nil {
		return fmt.Errorf("keep a session: %w", err)
	}
	*by.secret = by.Session + "." + secret
	return nil
}

func (s *Service) find(ctx context.Context, id string) (User, error) {
	var r fullRow
	if err := s.db.QueryRow(ctx, selectUser+` WHERE u.id = $1`, id).Scan(r.columns()...); err != nil {
		return User{}, fmt.Errorf("find user: %w", err)
	}
	return s.fullUser(r)
}

// selectUser reads accounts with all that operators may know of them, as fullRow.
const selectUser = `
	SELECT u.id, u.status, u.claims, u.created_at, u.updated_at, i.sealed, i.verified_at, u.closes_at, f.sealed
	FROM users u
	LEFT JOIN identifiers i ON i.user_id = u.id AND i.kind = 'phone'
	LEFT JOIN former_numbers f ON f.user_id = u.id`

type fullRow struct {
	row
	closesAt *int64
	former   []byte
}

func (r *fullRow) columns() []any { return append(r.row.columns(), &r.closesAt, &r.former) }

func (s *Service) fullUser(r fullRow) (User, error) {
	u, err := s.user(r.row)
	if err != nil {
		return User{}, err
	}
	u.ClosesAt = timeOf(r.closesAt)
	if len(r.former) > 0 {
		had, err := s.FromRow(u.ID, "", r.former, 0, u.UpdatedAt)
		if err != nil {
			return User{}, err
		}
		u.FormerPhone = had.Phone
	}
	return u, nil
}
