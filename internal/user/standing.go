package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// account is what a sign-in has to know of an account besides.
type account struct {
	User
	after int64 // users.grants_after
	seen  int64 // users.seen_at
	app   int64 // when its authenticator app was confirmed, 0 for none

	weakened int64 // users.weakened_at
}

// accountOf returns the account of a number.
func (s *Service) accountOf(ctx context.Context, lookup []byte) (account, error) {
	return s.account(s.db.QueryRow(ctx, `SELECT `+accountColumns+`
		FROM identifiers i JOIN users u ON u.id = i.user_id
		WHERE i.kind = 'phone' AND i.lookup = $1`, lookup))
}

// accountByID returns an account by its id.
func (s *Service) accountByID(ctx context.Context, id string) (account, error) {
	return s.account(s.db.QueryRow(ctx, `SELECT `+accountColumns+`
		FROM users u LEFT JOIN identifiers i ON i.user_id = u.id AND i.kind = 'phone'
		WHERE u.id = $1`, id))
}

// accountColumns are scanned by account, before what its caller selects besides;
// i is the identifier of kind phone.
const accountColumns = `u.id, u.status, u.claims, u.created_at, u.updated_at, i.sealed, i.verified_at, u.grants_after, u.seen_at, u.closes_at, u.weakened_at,
	COALESCE((SELECT app.confirmed_at FROM totp app WHERE app.user_id = u.id AND app.sealed IS NOT NULL), 0)`

func (s *Service) account(found interface{ Scan(...any) error }, more ...any) (account, error) {
	var r row
	var acc account
	var closes *int64
	err := found.Scan(append(append(r.columns(), &acc.after, &acc.seen, &closes, &acc.weakened, &acc.app), more...)...)
	if err != nil {
		return account{}, fmt.Errorf("find account: %w", err)
	}
	if acc.User, err = s.user(r); err != nil {
		return account{}, err
	}
	acc.ClosesAt = timeOf(closes)
	return acc, nil
}

// timeOf is the zero time for NULL.
func timeOf(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return db.Time(*us)
}

func verifiedMicros(u User) int64 {
	if u.PhoneVerifiedAt.IsZero() {
		return 0
	}
	return db.Micros(u.PhoneVerifiedAt)
}

func isNotFound(err error) bool { return errors.Is(err, db.ErrNotFound) }

// standing fills in what stands against a sign-in to an account. One that waits
// for the person's decision is held in place until the commit, so that nothing is
// recorded about somebody who is erased at the same time.
func (s *Service) standing(ctx context.Context, in *SignedIn, acc account, a Attempt, now time.Time) error {
	switch acc.Status {
	case Active:
		recycled, err := s.recycled(ctx, acc, a, now)
		switch {
		case err != nil:
			return err
		case recycled:
			in.against, in.mark = ErrRecycled, acc.seen
		case acc.asksSecond(a):
			in.against, in.mark = ErrSecondFactor, acc.after
		default:
			return nil
		}
	case Closing:
		in.against, in.mark = ErrClosing, db.Micros(acc.ClosesAt)
		if acc.asksSecond(a) { // whoever may keep it
			in.against, in.mark = ErrSecondFactor, acc.after
		}
	default:
		in.against = ErrDisabled
		return nil
	}
	return s.still(ctx, acc, acc.seen)
}

// standingOtherwise is standing for a proof that is not of the number: a password, a
// passkey. That is its owner's however long nobody came, so an account which lost
// its number is taken back into use. Unlike a code, it comes without agreement.
func (s *Service) standingOtherwise(ctx context.Context, in *SignedIn, acc account, a Attempt, now time.Time) error {
	if acc.Status != Disabled {
		agreed, err := s.agreedTo(ctx, acc.ID, a.Terms, a)
		if err != nil {
			return err
		}
		if !agreed {
			in.against = errAgreementRequired
			return nil
		}
		if acc.asksSecond(a) {
			in.against, in.mark = ErrSecondFactor, acc.after
			return s.still(ctx, acc, acc.seen)
		}
	}
	switch acc.Status {
	case Active:
		return s.noteSignIn(ctx, acc, now)
	case Closing:
		in.against, in.mark = ErrClosing, db.Micros(acc.ClosesAt)
		return s.still(ctx, acc, acc.seen)
	case Quarantined:
		ok, err := s.readmit(ctx, acc.ID, now)
		if err == nil && !ok {
			err = fmt.Errorf("the account has changed: %w", db.ErrConflict)
		}
		in.User.Status, in.User.ClosesAt, in.User.UpdatedAt = Active, time.Time{}, db.Time(db.Micros(now))
		return err
	}
	in.against = ErrDisabled
	return nil
}

// settle runs the transaction of a sign-in, again if the account changed under it.
// What stands against it is told after the commit, so that it is on record; what
// comes back beside account_closing is for the pages to go on with.
func settle(signIn func() (SignedIn, error)) (in SignedIn, err error) {
	for range 3 {
		if in, err = signIn(); !errors.Is(err, db.ErrConflict) {
			break
		}
	}
	switch {
	case err != nil:
		return SignedIn{}, err
	case in.against != nil:
		return in, in.against
	}
	return in, nil
}

// noteSignIn moves users.seen_at on, once a day.
func (s *Service) noteSignIn(ctx context.Context, acc account, now time.Time) error {
	const day = 24 * time.Hour
	if db.Time(acc.seen).UTC().Truncate(day).Equal(now.UTC().Truncate(day)) {
		return nil
	}
	return s.still(ctx, acc, db.Micros(now))
}

// still sets seen_at of an account that is as it was read; db.ErrConflict, by
// which the sign-in starts over, if it is not.
func (s *Service) still(ctx context.Context, acc account, seen int64) error {
	n, err := s.db.Exec(ctx, `UPDATE users SET seen_at = $1 WHERE id = $2 AND status = $3`, seen, acc.ID, acc.Status)
	if err == nil && n == 0 {
		err = fmt.Errorf("the account has changed: %w", db.ErrConflict)
	}
	return err
}
