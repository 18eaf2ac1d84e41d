package user

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/user/password"
)

// SignInByPassword signs in whoever has this number, user name or e-mail address,
// by password (amr "pwd"). It never registers anybody.
//
// Tries are counted and committed before anything is compared: of the address (50
// wrong ones in 15 minutes), of the identifier as it was typed, be it anybody's or
// not, and of the account, so that three identifiers are no three budgets. The
// first two answer ErrTooManyTries; the last one answers as a wrong password does,
// or it would tell which identifiers are one person's. Recognised devices have
// counts of their own.
//
// An identifier has one try at a time on a server, until a refusal is due: side by
// side, the hashes of another system, which cost more, would show in the time.
//
// Faults: ErrCredentials for whatever is not right, after the same time;
// ErrTooManyTries; for the right password ErrDisabled, agreement_required if
// Attempt.Terms was not agreed to, ErrClosing and ErrSecondFactor, beside which comes
// what the pages go on with; fault.Unavailable. A quarantined account is taken back into use.
func (s *Service) SignInByPassword(ctx context.Context, typedName, typed string, a Attempt) (SignedIn, error) {
	start := time.Now()
	a.AMR, a.ACR = []string{"pwd"}, ACROneFactor
	var taken string
	in, err := s.signInByPassword(ctx, s.identify(typedName), typed, a, &taken)
	if errors.Is(err, ErrCredentials) {
		select {
		case <-time.After(time.Until(start.Add(s.refusalTime))):
		case <-ctx.Done():
		}
	}
	left := time.Until(start.Add(s.refusalTime))
	if err == nil || in.against != nil || errors.Is(err, ErrTooManyTries) || left <= 0 {
		s.comparing.Delete(taken)
	} else {
		time.AfterFunc(left, func() { s.comparing.Delete(taken) }) // who hung up learns nothing from the next try
	}
	return in, err
}

// signInByPassword leaves in taken which place in comparing its caller gives back.
func (s *Service) signInByPassword(ctx context.Context, id identifier, typed string, a Attempt, taken *string) (SignedIn, error) {
	refund, err := s.spendAddress(ctx, a.Address)
	if err != nil {
		return SignedIn{}, err
	}
	o, err := s.owner(ctx, id)
	if err != nil {
		return SignedIn{}, err
	}
	o.knownDevice = a.knows(o.Phone, time.Time{})
	name, factor := s.triedName(id, o), s.triedFactor(o.ID, factorPassword+o.pool())
	if _, busy := s.comparing.LoadOrStore(string(name.lookup), true); busy {
		return SignedIn{}, ErrTooManyTries.After(time.Second)
	}
	*taken = string(name.lookup)
	if err := s.chargeSignIn(ctx, name, factor, &o); err != nil {
		return SignedIn{}, err
	}
	for range 3 {
		right, next, err := s.compare(ctx, o.hash, typed)
		if err != nil && !errors.Is(err, password.ErrHeavy) { // which is told of no stranger's
			return SignedIn{}, err
		}
		if !right {
			s.recordRefused(ctx, o.ID, factorPassword, a)
			return SignedIn{}, ErrCredentials
		}
		in, err := settle(func() (SignedIn, error) { return s.enter(ctx, id, o, next, a, name, factor) })
		if errors.Is(err, errChanged) {
			// Somebody else's sign-in renewed the hash, or it is another password now.
			if o, err = s.owner(ctx, id); err != nil {
				return SignedIn{}, err
			}
			continue
		}
		if err == nil || in.against != nil {
			refund(ctx)
		}
		return in, err
	}
	return SignedIn{}, ErrCredentials
}

// chargeSignIn counts the try of both. Where the account must not be tried its hash
// is forgotten: what follows takes its time and refuses.
func (s *Service) chargeSignIn(ctx context.Context, name, factor tried, o *owner) error {
	var nameWait, factorWait time.Duration
	err := s.db.Tx(ctx, func(ctx context.Context) (err error) {
		if nameWait, err = s.charge(ctx, name); err != nil || nameWait > 0 || o.hash == "" {
			return err
		}
		factorWait, err = s.charge(ctx, factor)
		return err
	})
	switch {
	case errors.Is(err, db.ErrConflict): // the account was deleted between two statements
		o.hash = ""
	case err != nil:
		return err
	case nameWait > 0:
		return ErrTooManyTries.After(nameWait)
	case factorWait > 0:
		o.hash = ""
	}
	return nil
}

// owner is the account of an identifier; zero for nobody's.
type owner struct {
	account
	hash string // "" without a password

	knownDevice bool // signs in where they did before
}

func (o owner) pool() string {
	if o.knownDevice {
		return poolKnown
	}
	return ""
}

func (s *Service) owner(ctx context.Context, id identifier) (owner, error) {
	var o owner
	var err error
	o.account, err = s.account(s.db.QueryRow(ctx, `SELECT `+accountColumns+`, COALESCE(p.hash, '')
		FROM identifiers typed
		JOIN users u ON u.id = typed.user_id
		LEFT JOIN identifiers i ON i.user_id = u.id AND i.kind = 'phone'
		LEFT JOIN passwords p ON p.user_id = u.id
		WHERE typed.kind = $1 AND typed.lookup = $2`, id.kind, s.lookup(id)), &o.hash)
	if isNotFound(err) {
		return owner{}, nil
	}
	return o, err
}

// errChanged means that what was verified is no longer what is stored.
var errChanged = errors.New("the password changed meanwhile")

// enter is the transaction of a right password. Whatever was read before the
// comparison is read again under the lock on the password's row. Where something
// stands against the sign-in the counts end all the same: nothing was wrong.
func (s *Service) enter(ctx context.Context, id identifier, o owner, next string, a Attempt, name, factor tried) (in SignedIn, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		used, err := s.usePassword(ctx, o.ID, o.hash, next)
		if err != nil {
			return err
		}
		is, err := s.owner(ctx, id)
		if err != nil {
			return err
		}
		if !used || is.ID != o.ID {
			return errChanged
		}
		if err := s.forgive(ctx, name, factor); err != nil {
			return err
		}
		now := time.Now()
		in = SignedIn{User: is.User, AuthTime: authTime(now, is.after)}
		if err := s.standingOtherwise(ctx, &in, is.account, a, now); err != nil {
			return err
		}
		return s.complete(ctx, &in, a, now)
	})
	return in, err
}

// recordRefused puts a wrong password or code on record, whether or not the request
// waits for it; that it was refused stands without.
func (s *Service) recordRefused(ctx context.Context, userID, method string, a Attempt) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if !a.Address.IsValid() {
		a.Address = CallerOf(ctx).Address
	}
	err := s.audit.Record(ctx, audit.Event{
		Name: "login." + method + "_refused", Actor: "system", UserID: userID, ClientID: a.ClientID, IP: textOf(a.Address),
	})
	if err != nil {
		slog.WarnContext(ctx, "a refusal is not on record", "method", method, "error", err)
	}
}
