package user

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/web"
)

// codePage is a request to one of the pages about a code.
type codePage struct {
	flow Flow
	ref  sms.Ref
	form url.Values

	registers     bool        // the second step of /register
	second        *secondPage // of a second proof; nil for none
	makesPasskeys bool        // the browser says that this device can
}

// openCode reads the fields of such a request. The challenge is bound to the
// flow's secret, so another browser's, another client's or an invented one is
// simply no challenge.
func (p *Pages) openCode(r *http.Request) (codePage, error) {
	form, err := parse(r)
	if err != nil {
		return codePage{}, err
	}
	f, err := p.Flows.Find(r, form.Get("flow"))
	if err != nil {
		return codePage{}, err
	}
	ref := sms.Ref{ID: form.Get("challenge"), Purpose: purposeOf(r), ClientID: f.ClientID, Flow: f.Binding(),
		Address: CallerOf(r.Context()).Address}
	return codePage{flow: f, ref: ref, form: form, registers: registers(r), makesPasskeys: form.Get("passkey") == "1"}, nil
}

// showCode is GET /login/code. It lives on: reloading it, or coming back to it,
// shows where the challenge is now.
func (p *Pages) showCode(w http.ResponseWriter, r *http.Request) error {
	c, err := p.openCode(r)
	if err != nil {
		return p.flowGone(w, r, err)
	}
	return p.showChallenge(w, r, c)
}

func (p *Pages) showChallenge(w http.ResponseWriter, r *http.Request, c codePage) error {
	challenge, err := p.SMS.Get(r.Context(), c.ref)
	if err != nil {
		return p.codeMistake(w, r, c, err)
	}
	var bad *web.Problem
	if trouble := troubleOf(challenge); trouble != nil {
		bad = problem(trouble, "")
	}
	p.renderCode(w, r, c, http.StatusOK, codeState{challenge: challenge, problem: bad})
	return nil
}

// errNotSent is a message of which it turned out later that no provider took it.
var errNotSent = fault.New(http.StatusServiceUnavailable, "sms_not_sent", "the text message could not be sent, ask for a new one")

// troubleOf says why a challenge needs another message, nil if it does not.
func troubleOf(c sms.Challenge) *fault.Error {
	switch {
	case c.TriesLeft == 0:
		return sms.ErrAttemptsExceeded
	case !c.ExpiresAt.After(time.Now()):
		return sms.ErrCodeExpired
	case c.Status == sms.StatusFailed:
		return errNotSent
	}
	return nil
}

// checkCode is POST /login/code: the right code signs in.
func (p *Pages) checkCode(w http.ResponseWriter, r *http.Request) error {
	c, err := p.openCode(r)
	if err != nil {
		return p.flowGone(w, r, err)
	}
	return p.useCode(w, r, c, p.Users.SignInBySMS)
}

// useCode signs in by the code of a form, in the given way.
func (p *Pages) useCode(w http.ResponseWriter, r *http.Request, c codePage,
	signIn func(context.Context, Prove, Attempt) (SignedIn, error),
) error {
	attempt, err := p.attempt(r, c.flow)
	if err != nil {
		return err
	}
	in, err := signIn(r.Context(), func(ctx context.Context, a *Attempt) (sms.Proof, error) {
		proof, err := p.SMS.Check(ctx, c.ref, c.form.Get("code"))
		a.AgreementVersion = proof.Note
		return proof, err
	}, attempt)
	if stopped, err := p.stopped(w, r, c.flow, in.number, in.note, in, err); stopped {
		return err
	}
	if err != nil {
		return p.codeMistake(w, r, c, err)
	}
	if c.registers && !in.Created && len(c.flow.Request) == 0 && c.flow.Return == "" {
		c.flow.Return = pathSecurity + "?done=registered_before" // else nobody learns that the password they chose is not theirs
	}
	return p.enter(w, r, c.flow, in, c.makesPasskeys)
}

// enter sets the cookies of a sign-in and goes on, by way of the offer of a
// passkey if the browser says that it can make one.
func (p *Pages) enter(w http.ResponseWriter, r *http.Request, f Flow, in SignedIn, makesPasskeys bool) error {
	p.Users.setCookie(w, in)
	// A password on a strange device does not make it known, nor does another device.
	if n := in.User.provenNumber(); !n.IsZero() && slices.Contains(in.AMR, "sms") {
		p.Users.rememberDevice(w, r, n)
	}
	f, err := p.Flows.signedIn(w, f, in.Session.ID)
	if err != nil {
		return err
	}
	if makesPasskeys && p.offersPasskey(w, r, in) {
		see(w, r, "/login/passkey-setup", url.Values{"flow": {f.ID}})
		return nil
	}
	p.carryOn(w, r, f, in.Session)
	return nil
}

// attempt is the context of a sign-in for f in this browser.
func (p *Pages) attempt(r *http.Request, f Flow) (Attempt, error) {
	a := Attempt{
		ClientID: f.ClientID, Locale: p.language(r, f), Address: CallerOf(r.Context()).Address,
		UserAgent: r.UserAgent(), Browser: true, Only: f.Only,
		KnownSince: func(n sms.Number) time.Time { return p.Users.knownSince(r, n) },
	}
	// The cookie that this browser had is worth nothing after the sign-in, nor is
	// anybody's who knew it before.
	old, _, err := p.Users.SessionOf(r)
	if err != nil && !isNotFound(err) {
		return Attempt{}, err
	}
	a.Replaces = old.ID
	return a, nil
}

// stopped answers a right proof where something stands against the sign-in: by a
// decision that the person has to make, or the reason why there is none. n is the
// number that was proven, zero for none, note the terms that were agreed to.
func (p *Pages) stopped(w http.ResponseWriter, r *http.Request, f Flow, n sms.Number, note string, in SignedIn, err error) (bool, error) {
	switch {
	case errors.Is(err, ErrDisabled), errors.Is(err, ErrAnotherAccount):
		p.showError(w, r, f, p.faultOf(r.Context(), err), "/login?flow="+f.ID) // another account may do
		return true, nil
	case errors.Is(err, ErrClosing), errors.Is(err, ErrRecycled), errors.Is(err, ErrSecondFactor):
		return true, p.hold(w, r, f, n, note, in)
	}
	return false, nil
}

// carryOn goes where a flow leads after its sign-in.
func (p *Pages) carryOn(w http.ResponseWriter, r *http.Request, f Flow, s Session) {
	if len(f.Request) > 0 {
		p.Next.SignedIn(w, r, f, s)
		return
	}
	p.Flows.End(w, f)
	see(w, r, cmp.Or(f.Return, "/account"), nil)
}

// resendCode is POST /login/code/resend and /register/resend. While the challenge lives its code is
// sent again; afterwards the same button starts another for the same number.
func (p *Pages) resendCode(w http.ResponseWriter, r *http.Request) error {
	c, err := p.openCode(r)
	if err != nil {
		return p.flowGone(w, r, err)
	}
	return p.resend(w, r, c)
}

func (p *Pages) resend(w http.ResponseWriter, r *http.Request, c codePage) error {
	before, err := p.SMS.Get(r.Context(), c.ref) // the number, which a human check is bound to
	if err != nil {
		return p.codeMistake(w, r, c, err)
	}
	again := sms.Again{
		Locale: p.language(r, c.flow), Address: CallerOf(r.Context()).Address, Device: p.Users.deviceName(r),
	}
	challenge, check, err := p.checked(r.Context(), c.flow, before.Number, checkFormOf(c.form), func(human int) (sms.Challenge, error) {
		again.Human = human
		return p.SMS.Resend(r.Context(), c.ref, again)
	})
	if check != nil {
		p.renderCode(w, r, c, http.StatusForbidden, codeState{before, check, checkProblem(err)})
		return nil
	}
	if err != nil {
		return p.codeMistake(w, r, c, err)
	}
	p.seeCode(w, r, c.flow, challenge.ID)
	return nil
}

// codeMistake shows the code page again with what went wrong. A code that was
// used up by this very flow, in the browser that it signed in, is no mistake:
// the back button was pressed, or the button twice, and the sign-in goes on.
func (p *Pages) codeMistake(w http.ResponseWriter, r *http.Request, c codePage, err error) error {
	bad, ok := shown(err)
	if !ok {
		return err
	}
	challenge, lookup := p.SMS.Get(r.Context(), c.ref)
	if lookup != nil && !errors.Is(lookup, sms.ErrCodeExpired) {
		return lookup
	}
	expired := errors.Is(err, sms.ErrCodeExpired) && lookup != nil && c.second == nil // one that is only too old is there still
	if c.flow.held != nil && expired {
		p.seeHeld(w, r, c.flow)
		return nil
	}
	if expired {
		if session, _, ok := p.signedInBy(r, c.flow); ok {
			p.carryOn(w, r, c.flow, session)
			return nil
		}
	}
	field := ""
	switch {
	case errors.Is(err, sms.ErrCodeIncorrect), errors.Is(err, sms.ErrCodeIncorrectLast):
		field = "code"
	case isPasswordFault(err):
		field = "password"
	}
	p.renderCode(w, r, c, bad.Status, codeState{challenge: challenge, problem: problem(bad, field)})
	return nil
}

// signedInBy returns the session that f made in this very browser, and whose it is.
func (p *Pages) signedInBy(r *http.Request, f Flow) (Session, User, bool) {
	if f.session == "" {
		return Session{}, User{}, false
	}
	session, u, err := p.Users.SessionOf(r)
	return session, u, err == nil && session.ID == f.session
}

// codeState is what a code page shows.
type codeState struct {
	challenge sms.Challenge
	check     *web.Check   // before another message, nil for none
	problem   *web.Problem // nil for none
}

func (p *Pages) renderCode(w http.ResponseWriter, r *http.Request, c codePage, status int, s codeState) {
	challenge, masked := s.challenge, ""
	if !challenge.Number.IsZero() {
		masked = challenge.Number.String()
	}
	if c.second != nil {
		p.renderSecond(w, r, *c.second, status, s)
		return
	}
	if c.registers {
		p.Site.Render(w, r, status, web.Register{
			Common: c.flow.common(r), Flow: c.flow.ID, Challenge: c.ref.ID, Client: c.flow.Client, Masked: masked,
			ResendIn: seconds(time.Until(challenge.ResendAt)), Status: challenge.Status, Reason: challenge.Reason,
			CanCancel: len(c.flow.Request) > 0, Check: s.check, Problem: s.problem, OfferPasskey: p.mayOffer(r),
		})
		return
	}
	p.Site.Render(w, r, status, web.Code{
		Common: c.flow.common(r), Flow: c.flow.ID, Challenge: c.ref.ID, Client: c.flow.Client, Masked: masked,
		ResendIn: seconds(time.Until(challenge.ResendAt)),
		Status:   challenge.Status, Reason: challenge.Reason, CanCancel: len(c.flow.Request) > 0,
		Check: s.check, Problem: s.problem, OfferPasskey: p.mayOffer(r),
	})
}
