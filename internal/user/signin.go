package user

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/user/password"
)

// ErrDisabled is told to nobody but the person who typed the right code.
var ErrDisabled = fault.New(http.StatusForbidden, "account_disabled", "this account is disabled")

// ErrAnotherAccount is a proof of another account than the one that has to sign in
// again, or of none.
var ErrAnotherAccount = fault.New(http.StatusConflict, "another_account", "this is another account than the one that has to sign in again")

// Attempt is the context of a sign-in.
type Attempt struct {
	ClientID         string
	AgreementVersion string // "" where the client is not asked (skip_agreement)
	Terms            string // of a sign-in by password or passkey: version that must have been agreed to, now or before; "" for none
	Locale           string
	Address          netip.Addr
	UserAgent        string
	Browser          bool     // make a browser session
	Replaces         string   // session that this browser had until now, "" if none: see openSession
	AMR              []string // how it is proven (RFC 8176), nil means by SMS; the sign-ins of this package set it and ACR
	ACR              string
	KnownSince       func(sms.Number) time.Time // when this number last signed in by a code on the browser, zero for never; nil: none did

	Only string // account that has to sign in, "" for any: see ErrAnotherAccount

	// Copies is the session that a sign-in without a proof of its own stands on: the
	// new one has its auth_time and ends no later, and Copied says whether it is a
	// copy. Zero where there is a proof.
	Copies Session

	verdict verdict // of a RecycledNumberCheck
	newHash string  // of the password of an account that this sign-in makes, "" for none
	second  string  // the second proof of two, "" for none
}

// knows says whether the browser is one where a number signed in after a time.
func (a Attempt) knows(n sms.Number, after time.Time) bool {
	return a.KnownSince != nil && !n.IsZero() && a.KnownSince(n).After(after)
}

// methods are how the person proves who they are.
func (a Attempt) methods() (amr []string, acr string) {
	if len(a.AMR) == 0 {
		return []string{"sms", "otp"}, ACROneFactor
	}
	return a.AMR, a.ACR
}

// times are those of the session that an attempt makes now.
func (a Attempt) times(now time.Time, life time.Duration) (authTime, expires time.Time) {
	authTime, expires = now, now.Add(life)
	if a.Copies.ID != "" {
		authTime = a.Copies.AuthTime
		if a.Copies.ExpiresAt.Before(expires) {
			expires = a.Copies.ExpiresAt
		}
	}
	return authTime, expires
}

// SignedIn is the outcome.
type SignedIn struct {
	User     User
	AuthTime time.Time // of this sign-in; what is granted on it must carry it
	Session  Session   // zero unless Attempt.Browser
	Secret   string    // the session cookie's value, to be set once
	Created  bool

	AMR []string // what a grant without a session carries; RFC 8176
	ACR string

	against *fault.Error // what the proof is not enough for, nil if it is
	mark    int64        // of the account that something stands against: see held
	note    string       // Attempt.AgreementVersion, where something stands against it
	number  sms.Number   // that was proven, zero for none
}

// Prove brings the proof of a number, such as by comparing a code, in the
// transaction that it is given: a refusal commits what it counted. It may fill in
// what came with the proof, and may be called again after a rollback.
type Prove func(ctx context.Context, a *Attempt) (sms.Proof, error)

// proven is the proof that there is.
func proven(p sms.Proof) Prove {
	return func(context.Context, *Attempt) (sms.Proof, error) { return p, nil }
}

// SignInBySMS has the number proved, uses the proof up, registers the number if it
// is new, keeps the agreement, makes the session and the audit record: one
// transaction, so that counting a try and signing in cost one commit. Faults: those
// of prove, code_expired if the proof was used before, account_disabled,
// account_closing, number_recycled, second_factor_required.
//
// All come after the commit but code_expired: a try is counted; the code is used up
// and the refusal recorded, so that it cannot be tried again. What comes back
// beside the last three is for the pages to go on with.
func (s *Service) SignInBySMS(ctx context.Context, prove Prove, a Attempt) (SignedIn, error) {
	var unasked unaskedError
	for try := 1; ; try++ {
		in, err := s.signIn(ctx, prove, a)
		switch {
		case errors.Is(err, db.ErrConflict) && try < 3:
			// Another sign-in registered the number, or an operator deleted its account,
			// between two of our statements; all was rolled back.
			continue
		case errors.As(err, &unasked):
			a.verdict = s.verdictOn(ctx, in.number, unasked.since)
			continue
		case err != nil:
			return SignedIn{}, err
		case in.against != nil:
			return in, in.against
		}
		return in, nil
	}
}

// signIn is one try at the transaction of SignInBySMS. The number comes back even
// with an error, once it is proved.
func (s *Service) signIn(ctx context.Context, prove Prove, a Attempt) (SignedIn, error) {
	var in SignedIn
	var refused error
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		now := time.Now()
		var p sms.Proof
		if p, refused = prove(ctx, &a); refused != nil {
			return nil // what it counted is kept
		}
		if err := p.Consume(ctx); err != nil {
			return err
		}
		found, err := s.findOrRegister(ctx, p.Number, a, now)
		in = found
		in.number = p.Number
		if err != nil {
			return err
		}
		return s.complete(ctx, &in, a, now)
	})
	return in, cmp.Or(err, refused)
}

// complete ends the transaction of every sign-in: agreement, session and record, or
// the record alone of what stands against it.
func (s *Service) complete(ctx context.Context, in *SignedIn, a Attempt, now time.Time) (err error) {
	in.AMR, in.ACR = a.methods()
	if in.against == nil && a.Only != "" && in.User.ID != a.Only {
		in.against = ErrAnotherAccount
	}
	if in.against != nil {
		in.note = a.AgreementVersion
		return s.recordRefusal(ctx, *in, a)
	}
	if err := s.keepAgreement(ctx, in.User.ID, a, now); err != nil {
		return err
	}
	if a.Browser {
		if in.Session, in.Secret, err = s.openSession(ctx, in.User.ID, a, in.AuthTime); err != nil {
			return err
		}
	}
	if !in.Created {
		return s.recordSignIn(ctx, "login.succeeded", *in, a)
	}
	if err := s.recordSignIn(ctx, "user.created", *in, a); err != nil || a.newHash == "" {
		return err
	}
	if err := s.insertPassword(ctx, in.User.ID, a.newHash, now); err != nil {
		return err
	}
	return s.record(ctx, "user.password_set", "user:"+in.User.ID, in.User.ID, nil)
}

// RegisterBySMS is SignInBySMS for somebody who chose a password on the way. An
// account that is made now gets it, in the same transaction; one that was there
// before keeps its own, or none, and is signed in to all the same, after as much
// work. Faults: those of SignInBySMS, of password.Check, which uses nothing up,
// and of Hash.
func (s *Service) RegisterBySMS(ctx context.Context, p sms.Proof, chosen string, a Attempt) (SignedIn, error) {
	err := password.Check(chosen, p.Number.E164())
	if err != nil {
		return SignedIn{}, err
	}
	if a.newHash, err = s.passwords.Hash(ctx, chosen); err != nil {
		return SignedIn{}, err
	}
	return s.SignInBySMS(ctx, proven(p), a)
}

// findOrRegister returns the account of a proven number and the time of the
// sign-in, or what stands against it.
func (s *Service) findOrRegister(ctx context.Context, n sms.Number, a Attempt, now time.Time) (SignedIn, error) {
	lookup := n.Index(s.vault)
	acc, err := s.accountOf(ctx, lookup)
	if isNotFound(err) && a.Only != "" {
		return SignedIn{against: ErrAnotherAccount}, nil
	}
	if isNotFound(err) {
		return s.register(ctx, n, lookup, now)
	}
	if err != nil {
		return SignedIn{}, err
	}
	in := SignedIn{User: acc.User, AuthTime: authTime(now, acc.after)}
	if err := s.standing(ctx, &in, acc, a, now); err != nil || in.against != nil {
		return in, err
	}
	if err := s.verifyNumber(ctx, &in.User, now); err != nil {
		return SignedIn{}, err
	}
	return in, s.noteSignIn(ctx, acc, now)
}

// verifyNumber notes that the number of an account which an operator made is proven now.
func (s *Service) verifyNumber(ctx context.Context, u *User, now time.Time) error {
	if !u.PhoneVerifiedAt.IsZero() {
		return nil
	}
	if _, err := s.db.Exec(ctx, `UPDATE identifiers SET verified_at = $1 WHERE kind = 'phone' AND lookup = $2`,
		db.Micros(now), s.index(u.Phone)); err != nil {
		return fmt.Errorf("verify number: %w", err)
	}
	u.PhoneVerifiedAt = now
	return nil
}

// authTime is the time of a sign-in: now, and always later than what ended all
// earlier ones (users.grants_after), be it in the same microsecond or stamped by
// another machine whose clock is ahead.
func authTime(now time.Time, after int64) time.Time {
	return db.Time(max(db.Micros(now), after+1))
}

// register makes an account for a proven number. The key of identifiers decides
// between two sign-ins of one new number: the loser's transaction fails with
// db.ErrConflict, and SignInBySMS runs it again, which finds the winner's account.
func (s *Service) register(ctx context.Context, n sms.Number, lookup []byte, now time.Time) (SignedIn, error) {
	now = db.Time(db.Micros(now))
	u := User{
		ID: uuid.NewString(), Status: Active, Phone: n, PhoneVerifiedAt: now, CreatedAt: now, UpdatedAt: now,
	}
	if err := s.insert(ctx, u, lookup); err != nil {
		return SignedIn{}, err
	}
	return SignedIn{User: u, AuthTime: now, Created: true}, nil
}

// insert writes an account and its number by statements that nobody waits for. If
// the number has an account the transaction fails with db.ErrConflict, here or later.
func (s *Service) insert(ctx context.Context, u User, lookup []byte) error {
	claims, err := encodeClaims(u.Claims)
	if err != nil {
		return err
	}
	if err := s.db.ExecLater(ctx, `INSERT INTO users (id, status, claims, created_at, updated_at, seen_at) VALUES ($1, $2, $3, $4, $5, $4)`,
		u.ID, u.Status, claims, db.Micros(u.CreatedAt), db.Micros(u.UpdatedAt)); err != nil {
		return fmt.Errorf("insert user: %w", err)
	}
	if err := s.db.ExecLater(ctx, `INSERT INTO identifiers (kind, lookup, user_id, sealed, verified_at) VALUES ('phone', $1, $2, $3, $4)`,
		lookup, u.ID, s.seal(u.Phone.E164(), u.ID), verifiedMicros(u)); err != nil {
		return fmt.Errorf("insert identifier: %w", err)
	}
	return nil
}

// keepAgreement writes down that the person agreed to a version of the terms,
// once per version, in one statement.
func (s *Service) keepAgreement(ctx context.Context, userID string, a Attempt, now time.Time) error {
	if a.AgreementVersion == "" {
		return nil
	}
	err := s.db.ExecLater(ctx, `
		INSERT INTO agreements (id, user_id, version, client_id, locale, ip_prefix, agreed_at)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS BIGINT)
		WHERE NOT EXISTS (SELECT 1 FROM agreements WHERE user_id = $2 AND version = $3)`,
		db.NewID(), userID, a.AgreementVersion, a.ClientID, a.Locale, prefixOf(a.Address), db.Micros(now))
	if err != nil {
		return fmt.Errorf("keep agreement: %w", err)
	}
	return nil
}

func (s *Service) recordSignIn(ctx context.Context, event string, in SignedIn, a Attempt) error {
	amr, _ := a.methods()
	detail := map[string]string{"method": amr[0]}
	if in.Session.ID != "" {
		detail["session"] = in.Session.ID
	}
	if a.second != "" {
		detail["second"] = a.second
	}
	return s.audit.Record(ctx, audit.Event{
		Name: event, Actor: "user:" + in.User.ID, UserID: in.User.ID, ClientID: a.ClientID,
		IP: textOf(a.Address), Detail: detail,
	})
}

// recordRefusal keeps that a right code was not enough. Who typed it for an
// account that may be somebody else's, or of which more is asked, is not known.
func (s *Service) recordRefusal(ctx context.Context, in SignedIn, a Attempt) error {
	event, actor := "login.refused", "user:"+in.User.ID
	switch in.against {
	case ErrRecycled, ErrAnotherAccount:
		actor = "system"
	case ErrSecondFactor:
		event, actor = "login.second_asked", "system"
	}
	return s.audit.Record(ctx, audit.Event{
		Name: event, Actor: actor, UserID: in.User.ID, ClientID: a.ClientID, IP: textOf(a.Address),
		Detail: map[string]string{"method": in.AMR[0], "reason": in.against.Code},
	})
}
