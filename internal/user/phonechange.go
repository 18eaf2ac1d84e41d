package user

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// Why an account does not get another number. The first is told to nobody but who
// proved that the number is theirs.
var (
	ErrPhoneTaken = fault.New(http.StatusConflict, "phone_taken", "this number belongs to another account")
	ErrPhoneSame  = fault.New(http.StatusUnprocessableEntity, "phone_same", "the account has this number already")
	// ErrPhoneMoved is a change that began with a number which the account has not
	// any more.
	ErrPhoneMoved = fault.New(http.StatusConflict, "phone_moved", "the number of the account was changed meanwhile, start again")
)

// PhoneChange gives an account another number.
type PhoneChange struct {
	UserID string
	// From is the number that the account has and that was proven (see ProvePhone),
	// or made up for by another proof; zero for an account without one.
	From sms.Number
	Lost bool      // it was made up for
	To   sms.Proof // of the new number, for sms.ChangePhone
	By   By
}

// ProvePhone uses up a proof of the number that the account has, which begins a
// change of it. Faults: ErrPhoneMoved for a proof of another number, which is used up
// as well; code_expired if it was used before.
func (s *Service) ProvePhone(ctx context.Context, userID string, p sms.Proof) error {
	var moved bool
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		if err := p.Consume(ctx); err != nil {
			return err
		}
		acc, err := s.accountOf(ctx, p.Number.Index(s.vault))
		if err != nil && !isNotFound(err) {
			return err
		}
		moved = acc.ID != userID
		return nil
	})
	if err == nil && moved {
		return ErrPhoneMoved
	}
	return err
}

// ChangePhone moves an account from one number to another, proven one. The old number
// is free from then on; all sessions and grants but by.Session end, and the change
// is on record. Faults: ErrPhoneTaken and ErrPhoneSame, which use the proof up;
// ErrPhoneMoved; account_disabled; code_expired if the proof was used before.
func (s *Service) ChangePhone(ctx context.Context, c PhoneChange) error {
	var against *fault.Error
	var err error
	for range 3 {
		// A conflict is a number that went to somebody between two of our statements;
		// the next time it is found there.
		if against, err = s.changePhone(ctx, c); !errors.Is(err, db.ErrConflict) {
			break
		}
	}
	if err == nil && against != nil {
		return against
	}
	return err
}

func (s *Service) changePhone(ctx context.Context, c PhoneChange) (against *fault.Error, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		against = nil
		if err := c.To.Consume(ctx); err != nil {
			return err
		}
		lookup := c.To.Number.Index(s.vault)
		switch owner, err := s.accountOf(ctx, lookup); {
		case err != nil && !isNotFound(err):
			return err
		case err == nil && owner.ID == c.UserID:
			against = ErrPhoneSame
			return nil
		case err == nil:
			against = ErrPhoneTaken
			return s.record(ctx, "user.phone_change_refused", c.By.Actor, c.UserID, map[string]string{"reason": against.Code})
		}
		now := time.Now()
		n, err := s.db.Exec(ctx, `UPDATE users SET seen_at = $1 WHERE id = $2 AND status = 'active'`, db.Micros(now), c.UserID)
		if err != nil {
			return fmt.Errorf("change number: %w", err)
		}
		if n == 0 {
			return ErrDisabled
		}
		if err := s.moveNumber(ctx, c, lookup, now); err != nil {
			return err
		}
		how := "code"
		if c.Lost {
			how = "lost"
		}
		return s.signOutBut(ctx, c.UserID, "user.phone_changed", c.By, map[string]string{"how": how})
	})
	return against, err
}

// moveNumber replaces the number of an account that still has c.From. db.ErrConflict
// if somebody else has just got the new one.
func (s *Service) moveNumber(ctx context.Context, c PhoneChange, lookup []byte, now time.Time) error {
	if c.From.IsZero() {
		return s.addNumber(ctx, c, now)
	}
	n, err := s.db.Exec(ctx, `
		UPDATE identifiers SET lookup = $1, sealed = $2, verified_at = $3
		WHERE kind = 'phone' AND user_id = $4 AND lookup = $5`,
		lookup, s.seal(c.To.Number.E164(), c.UserID), db.Micros(now), c.UserID, c.From.Index(s.vault))
	if err != nil {
		return fmt.Errorf("change number: %w", err)
	}
	if n == 0 {
		return ErrPhoneMoved
	}
	return nil
}

func (s *Service) addNumber(ctx context.Context, c PhoneChange, now time.Time) error {
	var has int
	err := s.db.QueryRow(ctx, `SELECT count(*) FROM identifiers WHERE kind = 'phone' AND user_id = $1`, c.UserID).Scan(&has)
	if err != nil {
		return fmt.Errorf("look for a number: %w", err)
	}
	if has > 0 {
		return ErrPhoneMoved
	}
	number := c.To.Number.E164()
	taken, err := s.insertIdentifier(ctx, c.UserID, identifier{kindPhone, number}, number, now)
	if err == nil && taken {
		err = fmt.Errorf("add a number: %w", db.ErrConflict)
	}
	return err
}
