package user

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// ErrRecycled is a right code for the number of an account that nobody has used
// for long, typed where that number never signed in. Carriers give numbers to
// new people, so the code alone does not open the account.
var ErrRecycled = fault.New(http.StatusConflict, "number_recycled", "the number may have been given to another person since its account was last used; sign in with a browser to choose")

// RecycledNumberCheck asks whoever knows whether a number was given to another
// person after a time; known is false if they cannot tell. Aliyun's
// DescribePhoneTwiceTelVerify is such a service: its VerifyResult 0 is not known.
type RecycledNumberCheck func(ctx context.Context, n sms.Number, since time.Time) (recycled, known bool, err error)

// CheckRecycled has a check decide about idle accounts before the person has to.
func CheckRecycled(check RecycledNumberCheck) Option {
	return func(s *Service) { s.checkRecycled = check }
}

// checkTime bounds a check: a person waits for it.
const checkTime = 3 * time.Second

// verdict is what a check said of a number.
type verdict int

const (
	notAsked verdict = iota
	unknown
	theSame // person has the number as before
	another
)

// unaskedError breaks a sign-in off, before the code is used up, at the point
// where a check has to be asked, which must not happen inside a transaction.
type unaskedError struct{ since time.Time }

func (unaskedError) Error() string { return "nobody was asked whether the number was recycled" }

// verdictOn is the check's verdict. That it fails is no reason to hand an account over.
func (s *Service) verdictOn(ctx context.Context, n sms.Number, since time.Time) verdict {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	recycled, known, err := s.checkRecycled(ctx, n, since)
	switch {
	case err != nil:
		slog.WarnContext(ctx, "nobody could say whether a number was recycled", "error", err)
		return unknown
	case !known:
		return unknown
	case recycled:
		return another
	}
	return theSame
}

// recycled says whether a sign-in by code alone must not open the account: it was
// idle for long, and this device is strange to its number. Only then it costs
// anything: one SELECT for uses that are no sign-ins.
func (s *Service) recycled(ctx context.Context, acc account, a Attempt, now time.Time) (bool, error) {
	long := db.Micros(now.Add(-s.recycleAfter))
	last := max(acc.seen, db.Micros(acc.CreatedAt))
	if s.recycleAfter == 0 || last > long || a.knows(acc.Phone, time.Time{}) {
		return false, nil
	}
	var used int64
	err := s.db.QueryRow(ctx, `
		SELECT COALESCE(MAX(at), 0) FROM (
			SELECT seen_at AS at FROM sessions WHERE user_id = $1
			UNION ALL SELECT rotated_at FROM grants WHERE user_id = $1) AS uses`, acc.ID).Scan(&used)
	if err != nil {
		return false, fmt.Errorf("look for uses of an account: %w", err)
	}
	if last = max(last, used); last > long {
		return false, nil
	}
	if s.checkRecycled != nil && a.verdict == notAsked {
		return false, unaskedError{db.Time(last)}
	}
	return a.verdict != theSame, nil
}

// claim is the answer "mine" after another proof that the account has.
func (s *Service) claim(ctx context.Context, h held, a Attempt) (SignedIn, error) {
	return s.takeUp(ctx, h, a, "account.claimed", `
		UPDATE users SET seen_at = $1 WHERE id = $2 AND status = 'active' AND seen_at = $3 AND (NOT CAST($5 AS BOOLEAN) OR EXISTS (
			SELECT 1 FROM identifiers i WHERE i.kind = 'phone' AND i.lookup = $4 AND i.user_id = users.id))
		RETURNING grants_after`)
}

// startAnew is the answer "not mine": the number leaves the account it was found
// with and gets one of its own. One proof does it once. Fault: flow_expired.
func (s *Service) startAnew(ctx context.Context, h held, a Attempt) (in SignedIn, err error) {
	n, err := h.number()
	if err != nil {
		return SignedIn{}, err
	}
	a.AgreementVersion, a.AMR, a.ACR = h.Note, h.AMR, h.ACR
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		now, lookup := time.Now(), n.Index(s.vault)
		old := account{User: User{ID: h.UserID, Status: Active}, seen: h.Mark}
		moved, err := s.release(ctx, old, lookup, "system", now)
		if err != nil {
			return err
		}
		if !moved {
			return ErrFlowExpired
		}
		if in, err = s.register(ctx, n, lookup, now); err != nil {
			return err
		}
		if !in.Created {
			return ErrFlowExpired // somebody else was quicker
		}
		return s.complete(ctx, &in, a, now)
	})
	return in, err
}

// ReleaseNumber is the operator's word that a number went to another person: its
// account keeps everything but the number and is quarantined, and the next sign-in
// with the number makes a new one. It returns the account. db.ErrNotFound if the
// number has none.
func (s *Service) ReleaseNumber(ctx context.Context, n sms.Number) (User, error) {
	var u User
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		lookup := n.Index(s.vault)
		acc, err := s.accountOf(ctx, lookup)
		if err != nil {
			return err
		}
		moved, err := s.release(ctx, acc, lookup, operator, time.Now())
		if err != nil {
			return err
		}
		if !moved {
			return fmt.Errorf("the account is signing in: %w", db.ErrConflict)
		}
		u, err = s.find(ctx, acc.ID)
		return err
	})
	return u, err
}

// release takes the number away from an account that is as it was read; false if
// it is not. Sessions and grants end: whoever has the number now must not meet
// them, and whoever has them must not learn of the number. An account that is
// disabled or closing stays that.
func (s *Service) release(ctx context.Context, acc account, lookup []byte, actor string, now time.Time) (bool, error) {
	n, err := s.db.Exec(ctx, `
		UPDATE users SET closes_at = CASE WHEN status = 'active' THEN $1 ELSE closes_at END,
			status = CASE WHEN status = 'active' THEN 'quarantined' ELSE status END, updated_at = $2,
			grants_after = CASE WHEN grants_after < $2 THEN $2 ELSE grants_after + 1 END
		WHERE id = $3 AND status = $4 AND seen_at = $5 AND EXISTS (
			SELECT 1 FROM identifiers i WHERE i.kind = 'phone' AND i.lookup = $6 AND i.user_id = users.id)`,
		db.Micros(now.Add(s.quarantine)), db.Micros(now), acc.ID, acc.Status, acc.seen, lookup)
	if err != nil {
		return false, fmt.Errorf("quarantine account: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	if _, err := s.db.Exec(ctx, `
		INSERT INTO former_numbers (user_id, lookup, sealed, since)
		SELECT user_id, lookup, sealed, CAST($2 AS BIGINT) FROM identifiers WHERE kind = 'phone' AND user_id = $1
		ON CONFLICT (user_id) DO UPDATE SET lookup = excluded.lookup, sealed = excluded.sealed, since = excluded.since`,
		acc.ID, db.Micros(now)); err != nil {
		return false, fmt.Errorf("keep the former number: %w", err)
	}
	if _, err := s.db.Exec(ctx, `DELETE FROM identifiers WHERE kind = 'phone' AND user_id = $1`, acc.ID); err != nil {
		return false, fmt.Errorf("release the number: %w", err)
	}
	if _, err := s.EndSessions(ctx, acc.ID, actor); err != nil {
		return false, err
	}
	return true, s.record(ctx, "account.quarantined", actor, acc.ID, nil)
}

// readmit takes a quarantined account back into use, without a number, for an
// owner who proved otherwise whose it is - by a passkey, or a password - and
// signs in. It joins the transaction of that sign-in; false if the account is not
// quarantined.
func (s *Service) readmit(ctx context.Context, id string, now time.Time) (bool, error) {
	n, err := s.db.Exec(ctx, `
		UPDATE users SET status = 'active', closes_at = NULL, seen_at = $1, updated_at = $1 WHERE id = $2 AND status = 'quarantined'`,
		db.Micros(now), id)
	if err != nil {
		return false, fmt.Errorf("readmit user: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	if _, err := s.db.Exec(ctx, `DELETE FROM former_numbers WHERE user_id = $1`, id); err != nil {
		return false, fmt.Errorf("forget the former number: %w", err)
	}
	return true, s.record(ctx, "account.readmitted", "user:"+id, id, nil)
}
