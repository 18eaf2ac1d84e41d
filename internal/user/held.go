package user

import (
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

// heldFor is how long that proof vouches for what the person decides
// about the account that it led to.
const heldFor = freshSignIn

// held is a sign-in whose code, or passkey, was right and used up, and that waits for the
// person's decision. It is sealed into the flow's cookie, so nothing is stored for
// somebody who walks away.
type held struct {
	UserID string `json:"u"`
	Number string `json:"n"`           // E.164; "" for an account without one that was proven
	Note   string `json:"v,omitempty"` // the terms agreed to, as sms.Proof has it
	Code   string `json:"c"`           // of the fault that holds it
	At     int64  `json:"t"`           // microseconds since 1970
	// Mark is closes_at, seen_at or grants_after of the account when it was found. A
	// decision counts while the account has it, hence once, and not for another
	// deletion. The last one does not change with a decision: see Service.once.
	Mark int64 `json:"m"`
	// How it was proven: Attempt.AMR and ACR.
	AMR []string `json:"a"`
	ACR string   `json:"l"`
}

func (h held) number() (sms.Number, error) { return sms.FromE164(h.Number) }

// Names of Proofs. All are typed but the passkey, which /login asks for.
const (
	proofPassword = "password"
	proofTOTP     = "totp"
	proofRecovery = "recovery_code"
	proofPasskey  = "passkey"
)

// Proofs are what an account can show besides its number.
type Proofs interface {
	// Available names those that the account has.
	Available(ctx context.Context, userID string) ([]string, error)
	// Check takes what was typed as one of them. It counts tries by itself; a
	// *fault.Error says what is wrong.
	Check(ctx context.Context, userID, name, typed string) error
}

// hold keeps a sign-in for the person's decision and asks for that.
func (p *Pages) hold(w http.ResponseWriter, r *http.Request, f Flow, n sms.Number, note string, in SignedIn) error {
	f.held = &held{
		UserID: in.User.ID, Number: n.E164(), Note: note,
		Code: in.against.Code, At: time.Now().UnixMicro(), Mark: in.mark, AMR: in.AMR, ACR: in.ACR,
	}
	if err := p.Flows.keep(w, f); err != nil {
		return err
	}
	p.seeHeld(w, r, f)
	return nil
}

func (p *Pages) seeHeld(w http.ResponseWriter, r *http.Request, f Flow) {
	path := "/login/recycled"
	switch f.held.Code {
	case ErrClosing.Code:
		path = "/login/closing"
	case ErrSecondFactor.Code:
		path = pathSecond
	}
	see(w, r, path, url.Values{"flow": {f.ID}})
}

// heldPage is a request to a page that asks for a decision.
type heldPage struct {
	flow Flow
	form url.Values
}

// openHeld reads such a request; ok is false if it is answered: the flow goes on,
// or has to start again.
func (p *Pages) openHeld(w http.ResponseWriter, r *http.Request, why *fault.Error) (h heldPage, ok bool, err error) {
	if h.form, err = parse(r); err != nil {
		return h, false, err
	}
	if h.flow, err = p.Flows.Find(r, h.form.Get("flow")); err != nil {
		return h, false, p.flowGone(w, r, err)
	}
	wait := h.flow.held
	if wait != nil && wait.Code == why.Code && time.Since(time.UnixMicro(wait.At)) <= heldFor {
		return h, true, nil
	}
	return h, false, p.decided(w, r, h.flow, ErrFlowExpired)
}

// decided answers a decision that comes too late. Where this browser's own
// decision was the one in time, the button was pressed twice and the flow goes on.
func (p *Pages) decided(w http.ResponseWriter, r *http.Request, f Flow, err error) error {
	if !errors.Is(err, ErrFlowExpired) {
		return err
	}
	if session, _, ok := p.signedInBy(r, f); ok {
		p.carryOn(w, r, f, session)
		return nil
	}
	p.showError(w, r, f, ErrFlowExpired, "/login?flow="+f.ID)
	return nil
}

// showClosing is GET /login/closing: the account is about to be deleted, and can
// be kept.
func (p *Pages) showClosing(w http.ResponseWriter, r *http.Request) error {
	h, ok, err := p.openHeld(w, r, ErrClosing)
	if !ok {
		return err
	}
	p.Site.Render(w, r, http.StatusOK, web.Closing{
		Common: h.flow.common(r), Flow: h.flow.ID, Client: h.flow.Client, Until: time.UnixMicro(h.flow.held.Mark),
	})
	return nil
}

// keep is POST /login/closing: takes the deletion back and signs in.
func (p *Pages) keep(w http.ResponseWriter, r *http.Request) error {
	h, ok, err := p.openHeld(w, r, ErrClosing)
	if !ok {
		return err
	}
	return p.decide(w, r, h.flow, p.Users.keepAccount)
}

// showRecycled is GET /login/recycled: whose account is this?
func (p *Pages) showRecycled(w http.ResponseWriter, r *http.Request) error {
	h, ok, err := p.openHeld(w, r, ErrRecycled)
	if !ok {
		return err
	}
	return p.renderRecycled(w, r, h.flow, http.StatusOK, nil)
}

// answerRecycled is POST /login/recycled: a new account, or another proof.
func (p *Pages) answerRecycled(w http.ResponseWriter, r *http.Request) error {
	h, ok, err := p.openHeld(w, r, ErrRecycled)
	if !ok {
		return err
	}
	switch h.form.Get("decision") {
	case "new":
		return p.decide(w, r, h.flow, p.Users.startAnew)
	case "mine":
		return p.prove(w, r, h)
	}
	return errMalformed.Describe("decision must be new or mine")
}

// prove is the answer "mine" with a further proof.
func (p *Pages) prove(w http.ResponseWriter, r *http.Request, h heldPage) error {
	name, userID := h.form.Get("proof"), h.flow.held.UserID
	has, err := p.proofs(r.Context(), userID)
	if err != nil {
		return err
	}
	if !slices.Contains(has, name) || name == proofPasskey {
		return errMalformed.Describe("this proof is not offered")
	}
	if err := p.Proofs.Check(r.Context(), userID, name, h.form.Get("typed")); err != nil {
		bad, ok := shown(err)
		if !ok {
			return err
		}
		field := ""
		if errors.Is(err, ErrCredentials) || errors.Is(err, ErrFactorIncorrect) {
			field = "proof-" + name
		}
		return p.renderRecycled(w, r, h.flow, bad.Status, problem(bad, field))
	}
	h.flow.held.AMR, h.flow.held.ACR = together(h.flow.held.AMR, name), ACRTwoFactors
	return p.decide(w, r, h.flow, p.Users.claim)
}

func (p *Pages) renderRecycled(w http.ResponseWriter, r *http.Request, f Flow, status int, bad *web.Problem) error {
	has, err := p.proofs(r.Context(), f.held.UserID)
	if err != nil {
		return err
	}
	p.Site.Render(w, r, status, web.Recycled{
		Common: f.common(r), Flow: f.ID, Client: f.Client, Proofs: has, Problem: bad,
	})
	return nil
}

// proofs are those that show whose an idle account is. Where there is an app, a
// password is not enough: it would open the account on a strange device without.
func (p *Pages) proofs(ctx context.Context, userID string) ([]string, error) {
	if p.Proofs == nil {
		return nil, nil
	}
	has, err := p.Proofs.Available(ctx, userID)
	if slices.Contains(has, proofTOTP) {
		has = slices.DeleteFunc(has, func(name string) bool { return name == proofPassword })
	}
	return has, err
}

// decide ends a held sign-in as the person wants it.
func (p *Pages) decide(w http.ResponseWriter, r *http.Request, f Flow, how func(context.Context, held, Attempt) (SignedIn, error)) error {
	a, err := p.attempt(r, f)
	if err != nil {
		return err
	}
	h := *f.held
	in, err := how(r.Context(), h, a)
	if err != nil {
		return p.decided(w, r, f, err)
	}
	return p.enter(w, r, f, in, false)
}
