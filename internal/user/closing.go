package user

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// ErrClosing is told to nobody but the person who typed the right code.
var ErrClosing = fault.New(http.StatusConflict, "account_closing", "the account is about to be deleted; its owner can keep it by signing in with a browser")

// Accounts sets how long an account that its owner deletes can be kept after all
// (0 erases at once), after how long without any use a number alone does not
// open it any more (0 for never mind), and how long one whose number went to
// somebody else waits for its owner.
func Accounts(deletionDelay, recycleAfter, quarantine time.Duration) Option {
	return func(s *Service) {
		s.deletionDelay, s.recycleAfter, s.quarantine = deletionDelay, recycleAfter, quarantine
	}
}

// What Accounts is without being told.
const (
	deletionDelay = 7 * 24 * time.Hour
	recycleAfter  = 90 * 24 * time.Hour
	quarantine    = 180 * 24 * time.Hour
)

// RequestDeletion is the owner's wish to end the account: it ends all sessions and
// grants now, and EraseDue erases the account once the returned time has come.
// Until then a sign-in can take it back. A second request changes nothing and
// answers the time of the first. db.ErrNotFound without an account that can close.
func (s *Service) RequestDeletion(ctx context.Context, id string) (due time.Time, err error) {
	for range 3 {
		// Not found may also mean that the owner kept the account between the two looks at it.
		if due, err = s.requestDeletion(ctx, id); !isNotFound(err) {
			break
		}
	}
	return due, err
}

func (s *Service) requestDeletion(ctx context.Context, id string) (due time.Time, err error) {
	now, closed := time.Now(), false
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		due = db.Time(db.Micros(now.Add(s.deletionDelay)))
		n, err := s.db.Exec(ctx, `
			UPDATE users SET status = 'closing', closes_at = $1, updated_at = $2,
				grants_after = CASE WHEN grants_after < $2 THEN $2 ELSE grants_after + 1 END
			WHERE id = $3 AND status = 'active'`, db.Micros(due), db.Micros(now), id)
		if err != nil {
			return fmt.Errorf("close account: %w", err)
		}
		if closed = n == 1; !closed {
			due, err = s.closesAt(ctx, id)
			return err
		}
		if _, err := s.EndSessions(ctx, id, "user:"+id); err != nil {
			return err
		}
		return s.record(ctx, "account.deletion_requested", "user:"+id, id, nil)
	})
	if err != nil || !closed || s.deletionDelay > 0 {
		return due, err
	}
	if _, err := s.erase(ctx, id, "system", now); err != nil { // EraseDue comes back to it
		slog.WarnContext(ctx, "an account is not erased yet", "user", id, "error", err)
	}
	return due, nil
}

func (s *Service) closesAt(ctx context.Context, id string) (time.Time, error) {
	var at int64
	err := s.db.QueryRow(ctx, `SELECT closes_at FROM users WHERE id = $1 AND status = 'closing'`, id).Scan(&at)
	if err != nil {
		return time.Time{}, fmt.Errorf("close account: %w", err)
	}
	return db.Time(at), nil
}

// keepAccount takes a deletion back and signs in, on a code that was typed before.
// One proof does it once, for the deletion that it found.
func (s *Service) keepAccount(ctx context.Context, h held, a Attempt) (SignedIn, error) {
	return s.takeUp(ctx, h, a, "account.deletion_cancelled", `
		UPDATE users SET status = 'active', closes_at = NULL, updated_at = $1, seen_at = $1,
			grants_after = CASE WHEN grants_after < $1 THEN $1 ELSE grants_after + 1 END
		WHERE id = $2 AND status = 'closing' AND closes_at = $3 AND (NOT CAST($5 AS BOOLEAN) OR EXISTS (
			SELECT 1 FROM identifiers i WHERE i.kind = 'phone' AND i.lookup = $4 AND i.user_id = users.id))
		RETURNING grants_after`)
}

// takeUp signs in to the account of a held sign-in after update, given the time,
// the account, its mark, its number and whether that is what was proven, found it
// as it was. Fault: flow_expired.
func (s *Service) takeUp(ctx context.Context, h held, a Attempt, event, update string) (in SignedIn, err error) {
	var n sms.Number
	bySMS := slices.Contains(h.AMR, "sms")
	if bySMS {
		if n, err = h.number(); err != nil {
			return SignedIn{}, err
		}
	}
	a.AgreementVersion, a.AMR, a.ACR = h.Note, h.AMR, h.ACR
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		now := time.Now()
		var after int64
		err := s.db.QueryRow(ctx, update, db.Micros(now), h.UserID, h.Mark, n.Index(s.vault), bySMS).Scan(&after)
		if isNotFound(err) {
			return ErrFlowExpired
		}
		if err != nil {
			return fmt.Errorf("take up an account: %w", err)
		}
		in = SignedIn{AuthTime: authTime(now, after)}
		if in.User, err = s.find(ctx, h.UserID); err != nil {
			return err
		}
		if bySMS {
			if err := s.verifyNumber(ctx, &in.User, now); err != nil {
				return err
			}
		}
		if err := s.record(ctx, event, "user:"+h.UserID, h.UserID, nil); err != nil {
			return err
		}
		return s.complete(ctx, &in, a, now)
	})
	return in, err
}
