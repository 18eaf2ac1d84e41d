package user

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// labelErased makes the keyed hash under which the audit log goes on knowing
// somebody who was erased.
const labelErased = "erased"

const eraseBatch = 100

// EraseDue erases the accounts whose time has come at now - of owners who wanted
// that, and of those whose number went to somebody else and who never came back -
// and returns how many. Any number of servers may do so at once.
func (s *Service) EraseDue(ctx context.Context, now time.Time) (int64, error) {
	var total int64
	for {
		due, err := s.due(ctx, now)
		if err != nil {
			return total, err
		}
		for _, id := range due {
			erased, err := s.erase(ctx, id, "system", now)
			if err != nil {
				return total, err
			}
			if erased {
				total++
			}
		}
		if len(due) < eraseBatch {
			return total, nil
		}
	}
}

func (s *Service) due(ctx context.Context, now time.Time) ([]string, error) {
	rows, err := s.db.Query(ctx, `
		SELECT id FROM users WHERE closes_at <= $1 AND status IN ('closing', 'quarantined') ORDER BY closes_at LIMIT $2`,
		db.Micros(now), eraseBatch)
	if err != nil {
		return nil, fmt.Errorf("list accounts to erase: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list accounts to erase: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list accounts to erase: %w", err)
	}
	return ids, nil
}

// erase removes an account and everything personal about it; what the audit log
// keeps is under a keyed hash. An operator's is erased whatever its state, anybody
// else's if it is due at now; false if it is not, or not any more. The number is
// free: whoever signs in with it next is a new subject.
func (s *Service) erase(ctx context.Context, id, actor string, now time.Time) (erased bool, err error) {
	u, err := s.find(ctx, id)
	if isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !u.Phone.IsZero() {
		if err := sms.ForgetAddresses(ctx, s.db, s.vault, s.audit, u.Phone); err != nil {
			return false, err
		}
	}
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		n, err := s.db.Exec(ctx, `
			UPDATE users SET status = 'closing' WHERE id = $1
				AND (CAST($2 AS TEXT) = 'operator' OR status IN ('closing', 'quarantined') AND closes_at <= $3)`,
			id, actor, db.Micros(now))
		if err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
		if erased = n == 1; !erased {
			return nil
		}
		// What says who is to be told goes with the row.
		if err := s.clients.Erasing(ctx, id); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM users WHERE id = $1`, id); err != nil {
			return fmt.Errorf("delete user: %w", err)
		}
		return s.forget(ctx, u, actor, now)
	})
	return erased, err
}

// forget removes what no foreign key takes along with the users row. That row is
// gone and stays locked until the commit, so nobody adds to it meanwhile.
func (s *Service) forget(ctx context.Context, u User, actor string, now time.Time) error {
	if !u.Phone.IsZero() {
		if err := sms.Forget(ctx, s.db, s.vault, u.Phone, now); err != nil {
			return err
		}
	}
	pseudonym := s.pseudonym(u.ID)
	if err := s.audit.Forget(ctx, u.ID, pseudonym); err != nil {
		return err
	}
	event := "account.deletion_completed"
	if actor == operator {
		event = "user.deleted"
	}
	return s.record(ctx, event, actor, pseudonym, nil)
}

// pseudonym is what the audit log calls somebody who was erased: who knows the
// id and the key can tell, from the log alone nobody can.
func (s *Service) pseudonym(id string) string {
	return "erased:" + hex.EncodeToString(s.vault.Index(labelErased, []byte(id))[:16])
}
