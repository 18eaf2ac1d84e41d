package user

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// Authentication context classes (acr, OpenID Connect Core section 2): one factor,
// or two of them, which a passkey is by itself. Two proofs of one channel, such as
// two text messages, are one factor.
const (
	ACROneFactor  = "1"
	ACRTwoFactors = "2"
)

// ErrSecondFactor is a right code or password for an account whose owner uses an
// authenticator app, brought where they never signed in before. A browser is asked
// for more; what has no pages sends the person to one.
var ErrSecondFactor = fault.New(http.StatusForbidden, "second_factor_required", "this account asks for a second proof on a new device; sign in with a browser")

// proofSMS is a text message to the number, which Proofs does not know.
const proofSMS = "sms"

// together are the methods (RFC 8176) of a first proof and a second one.
func together(first []string, second string) []string {
	all := slices.Clone(first)
	added := map[string][]string{
		proofPassword: {"pwd"}, proofTOTP: {"otp"}, proofRecovery: {"otp"}, proofSMS: {"sms", "otp"},
	}[second]
	for _, method := range append(added, "mfa") {
		if !slices.Contains(all, method) {
			all = append(all, method)
		}
	}
	return all
}

// furtherProofs names what u has that makes two factors of what amr shows already,
// the one to ask for first in front, and before when it must have been made; zero for
// whenever. A text message is none beside what may have been made by one.
func (s *Service) furtherProofs(ctx context.Context, u User, amr []string) (further []string, before time.Time, err error) {
	made, err := s.proofTimes(ctx, u.ID)
	if err != nil {
		return nil, before, err
	}
	has := made.second()
	young := !made.weakened.IsZero() && (slices.Contains(amr, "hwk") || slices.Contains(amr, "swk") ||
		slices.Contains(amr, "pwd") && !slices.Contains(has, proofPassword))
	if !u.provenNumber().IsZero() && !young {
		has = append(has, proofSMS)
	}
	for _, one := range []struct{ name, method string }{
		{proofTOTP, ""}, {proofPasskey, ""}, {proofPassword, "pwd"}, {proofSMS, "sms"}, {proofRecovery, ""},
	} {
		if slices.Contains(has, one.name) && !slices.Contains(amr, one.method) {
			further = append(further, one.name)
		}
	}
	return further, made.weakened, nil
}

// CanStepUp says whether the person of a session of one factor has another to show,
// for which /login/second asks.
func (s *Service) CanStepUp(ctx context.Context, sess Session) (bool, error) {
	if sess.ACR == ACRTwoFactors {
		return false, nil
	}
	u, err := s.find(ctx, sess.UserID)
	if isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	further, _, err := s.furtherProofs(ctx, u, sess.AMR)
	return len(further) > 0, err
}

// asksSecond says whether one factor does not open the account here: its owner uses
// an authenticator app, and this is no device that their number signed in on since they
// have that one, and since they were signed out of everything.
func (acc account) asksSecond(a Attempt) bool {
	_, acr := a.methods()
	return acc.app != 0 && acr != ACRTwoFactors && !a.knows(acc.Phone, db.Time(max(acc.after, acc.app)))
}

// finishSecond ends a sign-in that waited for a second proof, which was used up. One
// first proof does it once, and not after the account signed out everywhere. Faults:
// flow_expired, account_disabled; account_closing, beside which comes what the pages
// go on with.
func (s *Service) finishSecond(ctx context.Context, h held, second string, a Attempt) (SignedIn, error) {
	a.AgreementVersion, a.AMR, a.ACR, a.second = h.Note, together(h.AMR, second), ACRTwoFactors, second
	if err := s.once(ctx, h); err != nil {
		return SignedIn{}, err
	}
	return settle(func() (in SignedIn, err error) {
		err = s.db.Tx(ctx, func(ctx context.Context) error {
			now := time.Now()
			acc, err := s.waitsFor(ctx, h)
			if err != nil {
				return err
			}
			in = SignedIn{User: acc.User, AuthTime: authTime(now, acc.after)}
			two, err := s.makesTwo(ctx, acc, second, now)
			if err != nil {
				return err
			}
			if err := s.standingOtherwise(ctx, &in, acc, a, now); err != nil {
				return err
			}
			if !two {
				a.AMR, a.ACR = slices.DeleteFunc(a.AMR, func(m string) bool { return m == "mfa" }), h.ACR
			}
			if in.against == nil && h.Number != "" {
				if err := s.verifyNumber(ctx, &in.User, now); err != nil {
					return err
				}
			}
			return s.complete(ctx, &in, a, now)
		})
		return in, err
	})
}

// makesTwo says whether a proof that was right makes two factors of one, which it does
// unless the account was weakened before it was made.
func (s *Service) makesTwo(ctx context.Context, acc account, name string, now time.Time) (bool, error) {
	if weakenedAt(acc.weakened, now).IsZero() {
		return true, nil
	}
	has, err := s.proofTimes(ctx, acc.ID)
	return slices.Contains(has.second(), name), err
}

// Waiting is a sign-in that ErrSecondFactor holds up, for what has no pages: it can be
// sealed as JSON, and FinishSecond takes it once, for ten minutes.
type Waiting struct{ held }

// Waiting is what goes on of a sign-in that came beside ErrSecondFactor.
func (in SignedIn) Waiting() *Waiting {
	w := Waiting{held{
		UserID: in.User.ID, Note: in.note, Code: ErrSecondFactor.Code, At: time.Now().UnixMicro(), Mark: in.mark, AMR: in.AMR, ACR: in.ACR,
	}}
	if slices.Contains(in.AMR, "sms") {
		w.Number = in.User.Phone.E164()
	}
	return &w
}

// waitsFor is the account that a sign-in waits to enter; flow_expired if it is not as
// it was, which ends with a sign-out of everything and with the number.
func (s *Service) waitsFor(ctx context.Context, h held) (account, error) {
	acc, err := s.accountByID(ctx, h.UserID)
	if isNotFound(err) || err == nil && (acc.after != h.Mark || h.Number != "" && acc.Phone.E164() != h.Number) {
		return account{}, ErrFlowExpired
	}
	return acc, err
}

// StillWaits says whether FinishSecond may end a sign-in, before its second proof is
// used up. Fault: flow_expired.
func (s *Service) StillWaits(ctx context.Context, w Waiting) error {
	_, err := s.waitsFor(ctx, w.held)
	return err
}

// FinishSecond ends a sign-in by a second proof, named as Proofs does, which was checked
// and used up. Faults: flow_expired, account_disabled, account_closing.
func (s *Service) FinishSecond(ctx context.Context, w Waiting, second string, a Attempt) (SignedIn, error) {
	if time.Since(time.UnixMicro(w.At)) > heldFor {
		return SignedIn{}, ErrFlowExpired
	}
	return s.finishSecond(ctx, w.held, second, a)
}

// once lets a sign-in that waited through a single time. Its second proof is right
// by now, so that nobody else can use it up.
func (s *Service) once(ctx context.Context, h held) error {
	if s.limits == nil {
		return fault.Unavailable.Because(errors.New("finish a sign-in: no store to remember it in"))
	}
	first, err := s.limits.Mark(ctx, "second", fmt.Sprintf("%s.%d", h.UserID, h.At), heldFor+time.Minute)
	if err != nil {
		return fault.Unavailable.Because(fmt.Errorf("finish a sign-in: %w", err)).After(5 * time.Second)
	}
	if !first {
		return ErrFlowExpired
	}
	return nil
}

// stepUp makes a live session one of two factors after a second proof, which was
// verified; consume uses it up, nil for what was used up already. The cookie is a new
// one. auth_time stays that of the first proof: both are at least as young as it says,
// so max_age asks for the older one. Fault: flow_expired if the session is over, or
// was renewed.
func (s *Service) stepUp(ctx context.Context, sess Session, u User, second string, consume func(context.Context) error, a Attempt) (SignedIn, error) {
	secret, hash := newSessionSecret()
	before := strings.Join(sess.AMR, " ")
	sess.AMR, sess.ACR, sess.SeenAt = together(sess.AMR, second), ACRTwoFactors, db.Time(db.Micros(time.Now()))
	in := SignedIn{
		User: u, AuthTime: sess.AuthTime, Session: sess, Secret: sess.ID + "." + secret, AMR: together(nil, second), ACR: sess.ACR,
	}
	return in, s.db.Tx(ctx, func(ctx context.Context) error {
		if consume != nil {
			if err := consume(ctx); err != nil {
				return err
			}
		}
		n, err := s.db.Exec(ctx, `
			UPDATE sessions SET secret_hash = $1, amr = $2, acr = $3, seen_at = $4
			WHERE id = $5 AND auth_time = $6 AND amr = $7 AND ended_at IS NULL AND EXISTS (
				SELECT 1 FROM users u WHERE u.id = sessions.user_id AND u.status = 'active'
					AND (u.grants_after < sessions.auth_time OR u.kept_session = sessions.id))`,
			hash, strings.Join(sess.AMR, " "), sess.ACR, db.Micros(sess.SeenAt), sess.ID, db.Micros(sess.AuthTime), before)
		if err != nil {
			return fmt.Errorf("step up a session: %w", err)
		}
		if n == 0 {
			return ErrFlowExpired
		}
		return s.audit.Record(ctx, audit.Event{
			Name: "login.stepped_up", Actor: "user:" + u.ID, UserID: u.ID, ClientID: a.ClientID, IP: textOf(a.Address),
			Detail: map[string]string{"method": second, "session": sess.ID},
		})
	})
}

// newSessionSecret is the secret of a session's cookie and what is kept of it. It is
// 256 random bits, so a plain hash is enough.
func newSessionSecret() (secret string, hash []byte) {
	var raw [32]byte
	rand.Read(raw[:])
	secret = base64.RawURLEncoding.EncodeToString(raw[:])
	sum := sha256.Sum256([]byte(secret))
	return secret, sum[:]
}
