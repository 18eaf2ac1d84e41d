package user

import (
	"context"
	"encoding/hex"
	"errors"
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
// and returns how many. One that cannot be erased keeps no other; the error tells of
// each. Any number of servers may do so at once.
func (s *Service) EraseDue(ctx context.Context, now time.Time) (int64, error) {
	var total int64
	var last dueAccount
	var errs []error
	for {
		due, err := s.due(ctx, now, last)
		if err != nil {
			return total, errors.Join(append(errs, err)...)
		}
		for _, last = range due {
			erased, err := s.erase(ctx, last.id, "system", now)
			if err != nil {
				errs = append(errs, fmt.Errorf("erase user %s: %w", last.id, err))
			}
			if erased {
				total++
			}
		}
		if len(due) < eraseBatch {
			return total, errors.Join(errs...)
		}
	}
}

type dueAccount struct {
	id string
	at int64 // users.closes_at
}

// due are accounts to erase, in the order of their time, that come after one.
func (s *Service) due(ctx context.Context, now time.Time, after dueAccount) ([]dueAccount, error) {
	rows, err := s.db.Query(ctx, `
		SELECT id, closes_at FROM users
		WHERE closes_at <= $1 AND status IN ('closing', 'quarantined') AND (closes_at, id) > ($2, $3)
		ORDER BY closes_at, id LIMIT $4`,
		db.Micros(now), after.at, after.id, eraseBatch)
	if err != nil {
		return nil, fmt.Errorf("list accounts to erase: %w", err)
	}
	defer rows.Close()
	var list []dueAccount
	for rows.Next() {
		var a dueAccount
		if err := rows.Scan(&a.id, &a.at); err != nil {
			return nil, fmt.Errorf("list accounts to erase: %w", err)
		}
		list = append(list, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list accounts to erase: %w", err)
	}
	return list, nil
}

// erase removes an account and everything personal about it; what the audit log
// keeps is under a keyed hash. An operator's is erased whatever its state, anybody
// else's if it is due at now; false if it is not, or not any more. The number is
// free: whoever signs in with it next is a new subject.
func (s *Service) erase(ctx context.Context, id, actor string, now time.Time) (erased bool, err error) {
	numbers, err := s.numbersOf(ctx, id)
	if err != nil {
		return false, err
	}
	for _, lookup := range numbers {
		if err := sms.ForgetAddresses(ctx, s.db, s.audit, lookup); err != nil {
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
		return s.forget(ctx, id, numbers, actor, now)
	})
	return erased && err == nil, err
}

// numbersOf are the keyed hashes of the number that an account has and of the one
// that it had. That a value does not open any more keeps nothing.
func (s *Service) numbersOf(ctx context.Context, id string) (lookups [][]byte, err error) {
	rows, err := s.db.Query(ctx, `
		SELECT lookup FROM identifiers WHERE user_id = $1 AND kind = 'phone'
		UNION SELECT lookup FROM former_numbers WHERE user_id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("list the numbers of a user: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var lookup []byte
		if err := rows.Scan(&lookup); err != nil {
			return nil, fmt.Errorf("list the numbers of a user: %w", err)
		}
		lookups = append(lookups, lookup)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the numbers of a user: %w", err)
	}
	return lookups, nil
}

// forget removes what no foreign key takes along with the users row. That row is
// gone and stays locked until the commit, so nobody adds to it meanwhile.
func (s *Service) forget(ctx context.Context, id string, numbers [][]byte, actor string, now time.Time) error {
	for _, lookup := range numbers {
		if err := sms.Forget(ctx, s.db, lookup, now); err != nil {
			return err
		}
	}
	pseudonym := s.pseudonym(id)
	if err := s.audit.Forget(ctx, id, pseudonym); err != nil {
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
