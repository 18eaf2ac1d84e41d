package user

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/web"
)

// /login/second asks for a second proof: of a sign-in that waits for it, sealed in
// the flow's cookie (held, ErrSecondFactor), or of a session of one factor where a
// client asks for two. It shows one way at a time and leads to the others.

const pathSecond = "/login/second"

var errPasswordIncorrect = fault.New(http.StatusUnprocessableEntity, "password_incorrect", "the password is not right")

func (p *Pages) mountSecond(r chi.Router) {
	r.Get(pathSecond, p.answer(p.showSecond))
	r.Post(pathSecond, p.answer(p.checkSecond))
	r.Post(pathSecond+"/send", p.answer(p.sendSecond))
	r.Post(pathSecond+"/resend", p.answer(p.resendSecond))
	r.Get(pathSecond+"/status", p.codeStatus)
}

// purposeOf is what a code is good for on the page of a request.
func purposeOf(r *http.Request) sms.Purpose {
	if strings.HasPrefix(r.URL.Path, pathSecond) {
		return sms.StepUp
	}
	return sms.Login
}

// secondPage is a request to the page.
type secondPage struct {
	codePage         // the challenge of a text message, if there is one
	session  Session // to be stepped up; zero where a sign-in waits
	user     User
	ways     []string
	way      string // that is shown or was taken, one of them

	before time.Time // they must have been made then; zero: whenever
}

// openSecond reads a request; ok is false if it is answered: there is nothing to ask
// for, or not any more.
func (p *Pages) openSecond(w http.ResponseWriter, r *http.Request) (g secondPage, ok bool, err error) {
	if g.codePage, err = p.openCode(r); err != nil {
		return g, false, p.flowGone(w, r, err)
	}
	switch wait := g.flow.held; {
	case wait == nil:
		ok, err = p.openStepUp(w, r, &g)
	case wait.Code == ErrSecondFactor.Code && time.Since(time.UnixMicro(wait.At)) <= heldFor:
		ok, err = p.openWaiting(w, r, &g)
	default:
		err = p.decided(w, r, g.flow, ErrFlowExpired)
	}
	if !ok || err != nil {
		return g, false, err
	}
	switch g.way = g.form.Get("by"); {
	case g.form.Get("challenge") != "" && slices.Contains(g.ways, proofSMS):
		g.way = proofSMS
	case slices.Contains(g.ways, g.way):
	case r.Method == http.MethodPost && !strings.HasSuffix(r.URL.Path, "send"):
		return g, false, errMalformed.Describe("this proof is not offered")
	default:
		g.way = g.ways[0]
	}
	return g, true, nil
}

// openWaiting is of a sign-in that waits. Its owner chose the app as the second
// step; a password takes no place of it, nor does another text message.
func (p *Pages) openWaiting(w http.ResponseWriter, r *http.Request, g *secondPage) (ok bool, err error) {
	wait := g.flow.held
	var has []string
	if g.user, err = p.Users.find(r.Context(), wait.UserID); err == nil {
		has, err = p.Users.OwnProofs().Available(r.Context(), wait.UserID)
	}
	if err != nil && !isNotFound(err) {
		return false, err
	}
	for _, way := range []string{proofTOTP, proofPasskey, proofRecovery} {
		if slices.Contains(has, way) {
			g.ways = append(g.ways, way)
		}
	}
	if len(g.ways) == 0 { // the app was removed meanwhile, or the account
		return false, p.decided(w, r, g.flow, ErrFlowExpired)
	}
	return true, nil
}

// openStepUp is of the browser's session.
func (p *Pages) openStepUp(w http.ResponseWriter, r *http.Request, g *secondPage) (ok bool, err error) {
	if g.session, g.user, err = p.Users.SessionOf(r); isNotFound(err) {
		see(w, r, "/login", url.Values{"flow": {g.flow.ID}})
		return false, nil
	}
	if err == nil && g.session.ACR != ACRTwoFactors {
		g.ways, g.before, err = p.Users.furtherProofs(r.Context(), g.user, g.session.AMR)
	}
	if err == nil && len(g.ways) == 0 { // it is done, or cannot be
		p.carryOn(w, r, g.flow, g.session)
	}
	return len(g.ways) > 0, err
}

// code is the page as one about a code.
func (g *secondPage) code() codePage {
	c := g.codePage
	c.second = g
	return c
}

// showSecond is GET /login/second.
func (p *Pages) showSecond(w http.ResponseWriter, r *http.Request) error {
	g, ok, err := p.openSecond(w, r)
	if !ok {
		return err
	}
	if g.ref.ID != "" && g.way == proofSMS {
		return p.showChallenge(w, r, g.code())
	}
	p.renderSecond(w, r, g, http.StatusOK, codeState{})
	return nil
}

// checkSecond is POST /login/second: the right proof ends the sign-in, or makes the
// session one of two factors.
func (p *Pages) checkSecond(w http.ResponseWriter, r *http.Request) error {
	g, ok, err := p.openSecond(w, r)
	if !ok {
		return err
	}
	a, err := p.attempt(r, g.flow)
	if err != nil {
		return err
	}
	in, err := p.takeSecond(r.Context(), g, a)
	n, note := sms.Number{}, ""
	if wait := g.flow.held; wait != nil {
		note = wait.Note
		if n, _ = wait.number(); n.IsZero() {
			n = in.User.provenNumber()
		}
	}
	if stopped, err := p.stopped(w, r, g.flow, n, note, in, err); stopped {
		return err
	}
	if err == nil {
		return p.enter(w, r, g.flow, in, false)
	}
	if errors.Is(err, ErrFlowExpired) {
		return p.decided(w, r, g.flow, err)
	}
	return p.secondMistake(w, r, g, err)
}

// takeSecond verifies a proof and signs in by it.
func (p *Pages) takeSecond(ctx context.Context, g secondPage, a Attempt) (SignedIn, error) {
	if g.flow.held != nil { // or the proof would be used up for nothing
		if err := p.Users.StillWaits(ctx, Waiting{*g.flow.held}); err != nil {
			return SignedIn{}, err
		}
	}
	var consume func(context.Context) error
	switch g.way {
	case proofPasskey: // two factors by itself, hence a sign-in of its own
		a.Only = g.user.ID
		if g.flow.held != nil {
			a.AgreementVersion = g.flow.held.Note
		}
		return p.Users.SignInByPasskey(ctx, Assertion{
			Binding: g.flow.Binding(), State: g.form.Get("state"), Response: []byte(g.form.Get("response")), MadeBefore: g.before,
		}, a)
	case proofSMS:
		proof, err := p.SMS.Check(ctx, g.ref, g.form.Get("code"))
		if err == nil && proof.Number.E164() != g.user.Phone.E164() {
			err = sms.ErrCodeExpired // the account has another one by now
		}
		if err != nil {
			return SignedIn{}, err
		}
		consume = proof.Consume
	default:
		err := ownProofs{p.Users, g.before, g.flow.held != nil}.Check(ctx, g.user.ID, g.way, g.form.Get("typed"))
		if errors.Is(err, ErrCredentials) {
			err = errPasswordIncorrect
		}
		if err != nil {
			return SignedIn{}, err
		}
	}
	if g.flow.held != nil {
		return p.Users.finishSecond(ctx, *g.flow.held, g.way, a)
	}
	return p.Users.stepUp(ctx, g.session, g.user, g.way, consume, a)
}

// secondMistake shows the page again with what went wrong.
func (p *Pages) secondMistake(w http.ResponseWriter, r *http.Request, g secondPage, err error) error {
	if g.way == proofSMS && g.ref.ID != "" {
		return p.codeMistake(w, r, g.code(), err)
	}
	bad, ok := shown(err)
	if !ok {
		return err
	}
	field := ""
	if errors.Is(err, ErrFactorIncorrect) || errors.Is(err, errPasswordIncorrect) {
		field = "proof"
	}
	p.renderSecond(w, r, g, bad.Status, codeState{problem: problem(bad, field)})
	return nil
}

// sendSecond is POST /login/second/send. As on /login, a second press finds the code
// of the first.
func (p *Pages) sendSecond(w http.ResponseWriter, r *http.Request) error {
	g, ok, err := p.openSecond(w, r)
	if !ok {
		return err
	}
	if g.way = proofSMS; !slices.Contains(g.ways, g.way) {
		return errMalformed.Describe("this proof is not offered")
	}
	request := p.request(r, g.flow, g.user.Phone)
	request.Purpose, request.Note = sms.StepUp, ""
	challenge, check, err := p.checked(r.Context(), g.flow, request.Number, checkFormOf(g.form), func(human int) (sms.Challenge, error) {
		request.Human = human
		return p.SMS.Send(r.Context(), request)
	})
	if check != nil {
		p.renderSecond(w, r, g, http.StatusForbidden, codeState{check: check, problem: checkProblem(err)})
		return nil
	}
	if errors.Is(err, sms.ErrTooSoon) {
		if waiting, lookup := p.SMS.Waiting(r.Context(), request); lookup == nil {
			challenge.ID, err = waiting, nil
		} else if !isNotFound(lookup) {
			return lookup
		}
	}
	if err != nil {
		return p.secondMistake(w, r, g, err)
	}
	p.seeCode(w, r, g.flow, challenge.ID)
	return nil
}

// resendSecond is POST /login/second/resend.
func (p *Pages) resendSecond(w http.ResponseWriter, r *http.Request) error {
	g, ok, err := p.openSecond(w, r)
	if !ok {
		return err
	}
	return p.resend(w, r, g.code())
}

func (p *Pages) renderSecond(w http.ResponseWriter, r *http.Request, g secondPage, status int, s codeState) {
	page := web.Second{
		Common: g.flow.common(r), Flow: g.flow.ID, Client: g.flow.Client, Way: g.way, TwoStep: g.flow.held != nil,
		Check: s.check, Problem: s.problem,
	}
	for _, way := range g.ways {
		if way != g.way {
			page.Others = append(page.Others, way)
		}
	}
	switch g.way {
	case proofPasskey:
		page.Passkey = p.passkeyQuestion(r, g.flow)
	case proofSMS:
		page.Challenge, page.Masked = g.ref.ID, g.user.Phone.String()
		page.ResendIn, page.Status, page.Reason = seconds(time.Until(s.challenge.ResendAt)), s.challenge.Status, s.challenge.Reason
	}
	p.Site.Render(w, r, status, page)
}
