package user

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// ACRPasskey is the authentication context class of a sign-in by passkey: two
// factors, the device and what unlocks it.
const ACRPasskey = ACRTwoFactors

// amrPasskey are the methods of RFC 8176: a key in hardware that never leaves it
// or one that is synchronised between devices, a person who was there, and two
// factors, since user verification is required.
func amrPasskey(synced bool) []string {
	if synced {
		return []string{"swk", "user", "mfa"}
	}
	return []string{"hwk", "user", "mfa"}
}

// Assertion is the answer to BeginPasskeySignIn.
type Assertion struct {
	Binding  []byte // the same as at the beginning
	State    string // as it was given out
	Response []byte // AuthenticationResponseJSON, WebAuthn Level 3 section 5.1.5

	MadeBefore time.Time // a younger passkey is refused; zero for none
}

// BeginPasskeySignIn asks whoever is there for a passkey; binding is what only
// this browser or app can bring about, such as Flow.Binding. Nobody is named, so
// nothing is told about any account.
func (s *Service) BeginPasskeySignIn(binding []byte) (PasskeyChallenge, error) {
	if !s.HasPasskeys() {
		return PasskeyChallenge{}, ErrPasskeysOff
	}
	request, data, err := s.passkeys.webauthn.BeginDiscoverableLogin()
	if err != nil {
		return PasskeyChallenge{}, fmt.Errorf("begin a sign-in by passkey: %w", err)
	}
	return s.ask(request.Response, data.Challenge, ceremonyGet, binding)
}

// SignInByPasskey verifies the answer and makes the session and the audit record;
// the attempt's AMR and ACR are the passkey's, which is one factor while it counts for
// no second (see weaken). Faults: passkeys_unavailable,
// passkey_expired, passkey_failed, passkey_unknown, passkey_cloned,
// agreement_required, account_disabled; account_closing, beside which comes what the
// pages go on with. A quarantined account is taken back into use.
//
// Like a code, a challenge that was answered rightly is used up whatever comes of it.
func (s *Service) SignInByPasskey(ctx context.Context, a Assertion, at Attempt) (SignedIn, error) {
	key, data, err := s.asserted(ctx, a, at.Only)
	if err != nil {
		return SignedIn{}, err
	}
	at.AMR, at.ACR = amrPasskey(key.Synced), ACRPasskey
	return s.signInWith(ctx, key, data, at)
}

// CheckPasskey has somebody who is signed in prove themself by one of their own
// passkeys. Faults: those of SignInByPasskey that are about a passkey;
// passkey_other for somebody else's, proof_too_new.
func (s *Service) CheckPasskey(ctx context.Context, userID string, a Assertion) error {
	key, data, err := s.asserted(ctx, a, userID)
	if err != nil {
		return err
	}
	against, err := s.advance(ctx, key, data, time.Now())
	if err == nil && against != nil {
		return against
	}
	return err
}

// CheckSecondPasskey is CheckPasskey for one that makes two factors of a sign-in by one.
func (s *Service) CheckSecondPasskey(ctx context.Context, userID string, a Assertion) error {
	has, err := s.proofTimes(ctx, userID)
	if err != nil {
		return err
	}
	a.MadeBefore = has.weakened
	return s.CheckPasskey(ctx, userID, a)
}

// asserted verifies an answer and uses its challenge up; only is the account that
// the passkey has to belong to, "" for any.
func (s *Service) asserted(ctx context.Context, a Assertion, only string) (passkeyRow, protocol.AuthenticatorData, error) {
	fail := func(err error) (passkeyRow, protocol.AuthenticatorData, error) {
		return passkeyRow{}, protocol.AuthenticatorData{}, err
	}
	challenge, err := s.answered(a.State, ceremonyGet, a.Binding)
	if err != nil {
		return fail(err)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(a.Response)
	if err != nil {
		return fail(ErrPasskeyFailed.Because(err))
	}
	key, err := s.findPasskey(ctx, base64.RawURLEncoding.EncodeToString(parsed.RawID))
	if err != nil {
		return fail(err)
	}
	if only != "" && only != key.userID {
		return fail(errPasskeyOther)
	}
	owner := func(_, _ []byte) (webauthn.User, error) {
		return keyOwner{User: User{ID: key.userID}, keys: []passkeyRow{key}}, nil
	}
	if _, _, err := s.passkeys.webauthn.ValidatePasskeyLogin(owner, webauthn.SessionData{
		Challenge: challenge, UserVerification: protocol.VerificationRequired,
	}, parsed); err != nil {
		return fail(ErrPasskeyFailed.Because(err))
	}
	if !a.MadeBefore.IsZero() && !key.CreatedAt.Before(a.MadeBefore) {
		return fail(ErrProofTooNew)
	}
	return key, parsed.Response.AuthenticatorData, s.useUp(ctx, challenge)
}

// signInWith does what follows a verified assertion in one transaction. A refusal
// is committed, so that it is on record, and told afterwards.
func (s *Service) signInWith(ctx context.Context, key passkeyRow, data protocol.AuthenticatorData, at Attempt) (SignedIn, error) {
	return settle(func() (in SignedIn, err error) {
		err = s.db.Tx(ctx, func(ctx context.Context) error {
			in, err = s.signInByKey(ctx, key, data, at)
			return err
		})
		return in, err
	})
}

func (s *Service) signInByKey(ctx context.Context, key passkeyRow, data protocol.AuthenticatorData, at Attempt) (in SignedIn, err error) {
	now := time.Now()
	if in.against, err = s.advance(ctx, key, data, now); in.against != nil || err != nil {
		return in, err
	}
	acc, err := s.accountByID(ctx, key.userID)
	if isNotFound(err) { // and took its passkeys along
		return in, ErrPasskeyUnknown
	}
	if err != nil {
		return in, err
	}
	in.User, in.AuthTime = acc.User, authTime(now, acc.after)
	if acc.app != 0 {
		if err := s.trustApp(ctx, acc.ID); err != nil {
			return in, err
		}
	}
	if since := weakenedAt(acc.weakened, now); !since.IsZero() && !key.CreatedAt.Before(since) {
		at.AMR, at.ACR = at.AMR[:len(at.AMR)-1], ACROneFactor // all but mfa
	}
	if err := s.standingOtherwise(ctx, &in, acc, at, now); err != nil {
		return in, err
	}
	return in, s.complete(ctx, &in, at, now)
}

// advance compares the counter with the stored one and moves that on, in one
// statement (WebAuthn Level 3 section 7.2 step 22). A key on one device that
// counts must count upwards; copies of a synchronised one may be behind.
func (s *Service) advance(ctx context.Context, key passkeyRow, data protocol.AuthenticatorData, now time.Time) (*fault.Error, error) {
	n, err := s.db.Exec(ctx, `
		UPDATE passkeys SET sign_count = CASE WHEN sign_count < $2 THEN $2 ELSE sign_count END, backed_up = $3, used_at = $4
		WHERE id = $1 AND (sign_count < $2 OR sign_count = 0 OR backup_eligible)`,
		key.ID, int64(data.Counter), data.Flags.HasBackupState(), db.Micros(now))
	if err != nil {
		return nil, fmt.Errorf("note the use of a passkey: %w", err)
	}
	if n == 1 {
		return nil, nil
	}
	if _, err := s.findPasskey(ctx, key.ID); errors.Is(err, ErrPasskeyUnknown) {
		return ErrPasskeyUnknown, nil // removed since it was read
	} else if err != nil {
		return nil, err
	}
	return ErrPasskeyCloned, s.recordPasskey(ctx, "passkey.clone_suspected", key.userID, key.ID)
}

// agreedTo says whether the person agrees to a version of the terms, now or before.
func (s *Service) agreedTo(ctx context.Context, userID, terms string, at Attempt) (bool, error) {
	if terms == "" || at.AgreementVersion == terms {
		return true, nil
	}
	var n int
	err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM agreements WHERE user_id = $1 AND version = $2`, userID, terms).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("find agreement: %w", err)
	}
	return n > 0, nil
}

// keyOwner is an account as package webauthn sees it.
type keyOwner struct {
	User
	keys []passkeyRow
}

// WebAuthnID is the user handle: the account's id. It is random and says nothing
// about the person (WebAuthn Level 3 section 14.6.1), every client knows it as the
// sub anyhow, and it lives exactly as long as the account: a second random value
// per account would add a column and hide nothing.
func (o keyOwner) WebAuthnID() []byte { return []byte(o.ID) }

// WebAuthnName is what a list of passkeys shows: the masked number, for such
// lists are synchronised and seen by others.
func (o keyOwner) WebAuthnName() string {
	if o.Phone.IsZero() {
		return o.WebAuthnDisplayName()
	}
	return o.Phone.String()
}

// WebAuthnDisplayName is the nickname, else the name, else the masked number.
func (o keyOwner) WebAuthnDisplayName() string {
	for _, claim := range []string{"nickname", "name"} {
		if text, ok := o.Claims[claim].(string); ok && text != "" {
			return clip(text, 64)
		}
	}
	return o.Phone.String()
}

func (o keyOwner) WebAuthnCredentials() []webauthn.Credential {
	out := make([]webauthn.Credential, 0, len(o.keys))
	for _, k := range o.keys {
		id, err := base64.RawURLEncoding.DecodeString(k.ID)
		if err != nil {
			continue // no credential has such an id, so it can match none
		}
		c := webauthn.Credential{ID: id, PublicKey: k.publicKey, AttestationFormat: string(protocol.AttestationFormatNone)}
		c.Flags.BackupEligible, c.Flags.BackupState = k.Synced, k.backedUp
		c.Authenticator.SignCount = k.signCount
		if aaguid, err := uuid.Parse(k.aaguid); err == nil {
			c.Authenticator.AAGUID = aaguid[:]
		}
		for _, t := range k.transports {
			c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
		}
		out = append(out, c)
	}
	return out
}
