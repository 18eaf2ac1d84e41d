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
	u, _, err := s.findByLookup(ctx, n.Index(s.vault))
	if err != nil {
		return User{}, err
	}
	return u, s.record(ctx, "user.viewed", operator, u.ID, nil)
}

// List returns accounts in the order of their making, at most limit (up to
// 1000), that come after the one with the id after; "" begins. It answers
// db.ErrNotFound if that account is gone.
func (s *Service) List(ctx context.Context, after string, limit int) ([]User, error) {
	from := int64(-1)
	if after != "" {
		if err := s.db.QueryRow(ctx, `SELECT created_at FROM users WHERE id = $1`, after).Scan(&from); err != nil {
			return nil, fmt.Errorf("find where the list goes on: %w", err)
		}
	}
	rows, err := s.db.Query(ctx, `
		SELECT u.id, u.status, u.claims, u.created_at, u.updated_at, i.sealed, i.verified_at
		FROM users u LEFT JOIN identifiers i ON i.user_id = u.id AND i.kind = 'phone'
		WHERE (u.created_at, u.id) > ($1, $2)
		ORDER BY u.created_at, u.id LIMIT $3`, from, after, max(1, min(limit, 1000)))
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	defer rows.Close()
	var users []User
	for rows.Next() {
		var r row
		if err := rows.Scan(r.columns()...); err != nil {
			return nil, fmt.Errorf("list users: %w", err)
		}
		u, err := s.user(r)
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
	var u User
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		// Changing the row first makes a second Update wait, so that none is
		// lost between the reading and the writing.
		if err := s.touch(ctx, id, "user.updated", operator); err != nil {
			return err
		}
		var err error
		u, err = s.patch(ctx, id, patch)
		return err
	})
	return u, err
}

// patch changes claims of an account whose row the transaction holds.
func (s *Service) patch(ctx context.Context, id string, patch map[string]any) (User, error) {
	u, err := s.find(ctx, id)
	if err != nil {
		return User{}, err
	}
	if u.Claims, err = apply(u.Claims, patch); err != nil {
		return User{}, err
	}
	text, err := encodeClaims(u.Claims)
	if err != nil {
		return User{}, err
	}
	if _, err := s.db.Exec(ctx, `UPDATE users SET claims = $1 WHERE id = $2`, text, id); err != nil {
		return User{}, fmt.Errorf("update user: %w", err)
	}
	return u, nil
}

// Disable refuses the account everything and ends its sessions and grants for good.
func (s *Service) Disable(ctx context.Context, id string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.signOut(ctx, id, "user.disabled"); err != nil {
			return err
		}
		return s.setStatus(ctx, id, Disabled)
	})
}

// Enable lets a disabled account sign in again; its sessions and grants stay ended.
func (s *Service) Enable(ctx context.Context, id string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.touch(ctx, id, "user.enabled", operator); err != nil {
			return err
		}
		return s.setStatus(ctx, id, Active)
	})
}

func (s *Service) setStatus(ctx context.Context, id, status string) error {
	if _, err := s.db.Exec(ctx, `UPDATE users SET status = $1 WHERE id = $2`, status, id); err != nil {
		return fmt.Errorf("set status: %w", err)
	}
	return nil
}

// SetPhone gives the account another number, unverified until it signs in with it,
// and ends its sessions and grants: whoever held the old number must not stay, nor
// learn the new one from userinfo. Passkeys go for the same reason.
func (s *Service) SetPhone(ctx context.Context, id string, n sms.Number) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.signOut(ctx, id, "user.phone_changed"); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM identifiers WHERE kind = 'phone' AND user_id = $1`, id); err != nil {
			return fmt.Errorf("release the old number: %w", err)
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM passkeys WHERE user_id = $1`, id); err != nil {
			return fmt.Errorf("remove passkeys: %w", err)
		}
		if _, err := s.db.Exec(ctx, `
			INSERT INTO identifiers (kind, lookup, user_id, sealed, verified_at) VALUES ('phone', $1, $2, $3, 0)`,
			n.Index(s.vault), id, s.seal(n.E164(), id)); err != nil {
			return fmt.Errorf("set number: %w", err)
		}
		return nil
	})
}

// Delete removes an account with its identifiers, agreements, sessions, consents
// and grants. The number is free: whoever signs in with it next is a new subject.
func (s *Service) Delete(ctx context.Context, id string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		n, err := s.db.Exec(ctx, `DELETE FROM users WHERE id = $1`, id)
		if err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("delete user: %w", db.ErrNotFound)
		}
		return s.record(ctx, "user.deleted", operator, id, nil)
	})
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
	n, err := s.db.Exec(ctx, `UPDATE users SET updated_at = $1 WHERE id = $2`, db.Micros(time.Now()), id)
	if err != nil {
		return fmt.Errorf("change user: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("change user: %w", db.ErrNotFound)
	}
	return s.record(ctx, event, actor, id, nil)
}

// signOut is touch, and ends whatever stands on a sign-in until now. The stamp in
// grants_after does it: grants and codes, which are not this package's, compare it
// with the time of their sign-in. It only ever grows, whatever the clocks say; a
// sign-in that comes later is stamped later, see authTime.
func (s *Service) signOut(ctx context.Context, id, event string) error {
	return s.signOutBut(ctx, id, event, By{Actor: operator})
}

// signOutBut is signOut with one session that stays: it goes on as one of now, since
// whoever may change a credential has just proved who they are. What clients were
// granted in it before ends like everything else.
func (s *Service) signOutBut(ctx context.Context, id, event string, by By) error {
	if err := s.touch(ctx, id, event, by.Actor); err != nil {
		return err
	}
	if _, err := s.db.Exec(ctx, `
		UPDATE users SET grants_after = CASE WHEN grants_after < $1 THEN $1 ELSE grants_after + 1 END WHERE id = $2`,
		db.Micros(time.Now()), id); err != nil {
		return fmt.Errorf("end grants: %w", err)
	}
	if _, err := s.endSessionsBut(ctx, by.Session, id, by.Actor); err != nil || by.Session == "" {
		return err
	}
	if _, err := s.db.Exec(ctx, `
		UPDATE sessions SET auth_time = (SELECT grants_after + 1 FROM users WHERE id = $1)
		WHERE id = $2 AND user_id = $1 AND ended_at IS NULL`, id, by.Session); err != nil {
		return fmt.Errorf("keep a session: %w", err)
	}
	return nil
}

func (s *Service) find(ctx context.Context, id string) (User, error) {
	var r row
	err := s.db.QueryRow(ctx, `
		SELECT u.id, u.status, u.claims, u.created_at, u.updated_at, i.sealed, i.verified_at
		FROM users u LEFT JOIN identifiers i ON i.user_id = u.id AND i.kind = 'phone'
		WHERE u.id = $1`, id).Scan(r.columns()...)
	if err != nil {
		return User{}, fmt.Errorf("find user: %w", err)
	}
	return s.user(r)
}
