package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/user"
)

// Names of what can be given next. Those that are also second proofs are the names
// that user.Proofs has for them.
const (
	stepSMS      = "sms"
	stepCode     = "code"
	stepResend   = "resend"
	stepPassword = "password"
	stepPasskey  = "passkey"
	stepTOTP     = "totp"
	stepRecovery = "recovery_code"
)

// Parameters that ask for a step; a request has one of them at most.
const (
	paramPhone    = "phone"
	paramResponse = "passkey_response"
)

func stepParameters() []string {
	return []string{paramPhone, stepResend, stepCode, stepPassword, stepPasskey, paramResponse, stepTOTP, stepRecovery}
}

// errWrongProof says the same of every proof that does not do, whatever the reason.
var errWrongProof = fault.New(http.StatusBadRequest, "invalid_grant", "what was given is wrong, expired, used or exhausted")

// takeStep does what the request asks for and notes in a what came of it.
func (s *Server) takeStep(r *http.Request, a *authSession, p params) (pause, error) {
	given := slices.DeleteFunc(stepParameters(), func(name string) bool { return p.get(name) == "" })
	switch {
	case len(given) > 1:
		return pause{}, errInvalidRequest.Describe("one step at a time: the request has %s", strings.Join(given, " and "))
	case len(given) == 0 && p.get("identifier") != "":
		return pause{}, errInvalidRequest.Describe("identifier goes with password")
	case len(given) == 0:
		return pause{}, nil
	case a.Person == nil:
		return s.firstProof(r, a, p, given[0])
	}
	return s.secondProof(r, a, p, given[0])
}

// firstProof is a step while nobody is known.
func (s *Server) firstProof(r *http.Request, a *authSession, p params, step string) (pause, error) {
	ctx, c := r.Context(), a.Request.client
	ask := asked{phone: p.get(paramPhone), locale: p.get("locale"), agreement: p.get("agreement_version"), captcha: p.get("captcha")}
	var in user.SignedIn
	var err error
	switch step {
	case paramPhone:
		challenge, key, puzzle, err := s.text(ctx, c, ask)
		if err != nil {
			return pause{captcha: puzzle}, err
		}
		a.Challenge, a.Locale = nativeChallenge{id: challenge.ID, key: key}.String(), ask.locale
		return pause{sms: sentOf(challenge)}, nil
	case stepResend:
		named := parseNativeChallenge(a.Challenge)
		challenge, puzzle, err := s.textAgain(ctx, c, named, ask)
		if err != nil {
			return pause{captcha: puzzle}, err
		}
		a.Challenge = nativeChallenge{id: challenge.ID, key: named.key}.String() // another one where the old one cannot be repeated
		return pause{sms: sentOf(challenge)}, nil
	case stepPasskey:
		return s.askPasskey(ctx, a)
	case stepCode:
		in, err = s.signInBySMS(ctx, c, parseNativeChallenge(a.Challenge), p.get(stepCode), r.UserAgent())
		if errors.Is(err, sms.ErrAttemptsExceeded) || errors.Is(err, sms.ErrCodeExpired) || errors.Is(err, sms.ErrSignInStopped) {
			a.Challenge = "" // only a new one helps, if any
		}
	case stepPassword, paramResponse:
		a.Locale = ask.locale
		in, err = s.signInByOther(r, a, p, ask)
	default:
		return pause{}, errInvalidRequest.Describe("%s is a second proof, and there is no first one", step)
	}
	if a.Demanded = errors.Is(err, user.ErrSecondFactor); a.Demanded {
		a.Waiting = in.Waiting()
	} else if err != nil {
		return pause{}, asWrongProof(err)
	}
	a.Challenge, a.Person, a.proven = "", personOf(in), true
	return pause{}, nil
}

func personOf(in user.SignedIn) *authPerson {
	return &authPerson{UserID: in.User.ID, AuthTime: db.Micros(in.AuthTime), AMR: in.AMR, ACR: in.ACR, Created: in.Created}
}

// signInByOther signs in by password or passkey. Neither registers anybody.
func (s *Server) signInByOther(r *http.Request, a *authSession, p params, ask asked) (user.SignedIn, error) {
	locale, err := localeOf(ask.locale)
	if err != nil {
		return user.SignedIn{}, err
	}
	if !isAgreement(ask.agreement) {
		return user.SignedIn{}, errAgreementRequired
	}
	ctx := r.Context()
	attempt := user.Attempt{
		ClientID: a.Request.ClientID, AgreementVersion: ask.agreement, Locale: locale,
		Address: user.CallerOf(ctx).Address, UserAgent: r.UserAgent(),
	}
	if a.Person != nil {
		attempt.Only = a.Person.UserID
	}
	if a.Waiting != nil {
		attempt.AgreementVersion = a.Waiting.Note
	}
	if p.get(paramResponse) != "" {
		return s.users.SignInByPasskey(ctx, a.assertion(p), attempt)
	}
	if p.get("identifier") == "" {
		return user.SignedIn{}, errInvalidRequest.Describe("identifier is required with password")
	}
	return s.users.SignInByPassword(ctx, p.get("identifier"), p.get(stepPassword), attempt)
}

// questionsPerMinute are the questions for a passkey that one address may ask for, as
// at the pages.
const questionsPerMinute = 20

func (s *Server) askPasskey(ctx context.Context, a *authSession) (pause, error) {
	d, err := s.short.Spend(ctx, []ephemeral.Limit{{
		Key: "challenge:passkey:" + s.guesses.key("", user.CallerOf(ctx).Address), Max: questionsPerMinute, Per: time.Minute,
	}})
	if err != nil {
		return pause{}, fault.Unavailable.Because(fmt.Errorf("spend a question for a passkey: %w", err)).After(5 * time.Second)
	}
	if !d.Allowed {
		return pause{}, sms.ErrRateLimited.After(d.RetryAfter)
	}
	question, err := s.users.BeginPasskeySignIn(a.passkeyBinding())
	if err != nil {
		return pause{}, err
	}
	return pause{passkey: &question}, nil
}

// secondProof is a step after a first proof: another one of the same account.
func (s *Server) secondProof(r *http.Request, a *authSession, p params, step string) (pause, error) {
	ctx, name := r.Context(), step
	if step == paramResponse {
		name = stepPasskey
	}
	offered, err := s.nextSteps(ctx, a)
	switch {
	case err != nil:
		return pause{}, err
	case !slices.Contains(offered, name):
		return pause{}, errInvalidRequest.Describe("%s is not among what can be given next", name)
	case step == stepPasskey:
		return s.askPasskey(ctx, a)
	case step == paramResponse:
		return pause{}, s.secondPasskey(r, a, p)
	}
	if a.Waiting != nil { // or the proof would be used up for nothing
		if err := s.users.StillWaits(ctx, *a.Waiting); err != nil {
			return pause{}, asOver(err)
		}
	}
	proofs, err := s.furtherProofs(ctx, a)
	if err != nil {
		return pause{}, err
	}
	if err := proofs.Check(ctx, a.Person.UserID, name, p.get(step)); err != nil {
		return pause{}, asWrongProof(err)
	}
	if a.Waiting != nil {
		return pause{}, s.finishWaiting(r, a, name)
	}
	a.stepUp(name, amrOf(name))
	return pause{}, nil
}

// finishWaiting ends a sign-in that the account held up, by a second proof.
func (s *Server) finishWaiting(r *http.Request, a *authSession, name string) error {
	ctx := r.Context()
	locale, err := localeOf(a.Locale)
	if err != nil {
		return err
	}
	in, err := s.users.FinishSecond(ctx, *a.Waiting, name, user.Attempt{
		ClientID: a.Request.ClientID, Locale: locale, Address: user.CallerOf(ctx).Address, UserAgent: r.UserAgent(),
	})
	if err != nil {
		return asOver(err)
	}
	a.Person, a.Waiting, a.proven = personOf(in), nil, true
	return nil
}

// asOver is asWrongProof for a sign-in that may have gone on elsewhere, or ended with
// all others.
func asOver(err error) error {
	if errors.Is(err, user.ErrFlowExpired) {
		return errInvalidSession.Because(err)
	}
	return asWrongProof(err)
}

// recordStepUp keeps that a sign-in became one of two factors; the first one is on record.
func (s *Server) recordStepUp(ctx context.Context, a *authSession) error {
	return s.audit.Record(ctx, audit.Event{
		Name: "login.stepped_up", Actor: "user:" + a.Person.UserID, UserID: a.Person.UserID, ClientID: a.Request.ClientID,
		IP: address(ctx), Detail: map[string]string{"method": a.Stepped},
	})
}

// secondPasskey takes an answer of a passkey of the same account.
func (s *Server) secondPasskey(r *http.Request, a *authSession, p params) error {
	if a.Waiting == nil {
		err := s.users.CheckSecondPasskey(r.Context(), a.Person.UserID, a.assertion(p))
		if err != nil {
			return asWrongProof(err)
		}
		a.stepUp(stepPasskey, "user")
		return nil
	}
	in, err := s.signInByOther(r, a, p, asked{locale: a.Locale}) // a passkey is a whole sign-in
	if err != nil {
		return asWrongProof(err)
	}
	a.Person, a.Waiting, a.proven = personOf(in), nil, true
	return nil
}

// assertion is the answer of a passkey that was asked for in this sign-in.
func (a *authSession) assertion(p params) user.Assertion {
	return user.Assertion{Binding: a.passkeyBinding(), State: p.get("passkey_state"), Response: []byte(p.get(paramResponse))}
}

// stepUp adds a second proof and its methods.
func (a *authSession) stepUp(name string, methods ...string) {
	p := a.Person
	for _, m := range append(methods, "mfa") {
		if !slices.Contains(p.AMR, m) {
			p.AMR = append(p.AMR, m)
		}
	}
	p.ACR, a.Stepped, a.proven = user.ACRTwoFactors, name, true
}

// amrOf is the method (RFC 8176) of a second proof that is typed. A recovery code is a
// password for one time too.
func amrOf(name string) string {
	if name == stepPassword {
		return "pwd"
	}
	return "otp"
}

// asWrongProof hides which refusal it was: whether an account exists, is disabled or
// has tries left is nobody's business who brings a wrong proof. Who brought the right
// one, and can go on in a browser, is sent there: the description begins with a code of ours.
// That a number may not be tried now shows to whoever asks for a code, and is told.
func asWrongProof(err error) error {
	f := fault.From(err)
	switch {
	case errors.Is(err, user.ErrClosing), errors.Is(err, user.ErrRecycled):
		return errRedirectToWeb.Describe("%s: %s", f.Code, f.Description).Because(err)
	case f.Status >= http.StatusInternalServerError, errors.Is(err, errInvalidRequest), errors.Is(err, user.ErrTooManyTries), errors.Is(err, errAgreementRequired),
		errors.Is(err, sms.ErrTriesLimited), errors.Is(err, sms.ErrSignInStopped):
		return err
	}
	return errWrongProof.Because(err)
}

func sentOf(c sms.Challenge) *codeSent {
	return &codeSent{
		MaskedPhone: c.Number.String(), ExpiresIn: int(time.Until(c.ExpiresAt) / time.Second), ResendAfter: seconds(time.Until(c.ResendAt)),
	}
}
