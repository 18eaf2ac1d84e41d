package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
	"github.com/dialtone-id/dialtone/internal/user"
)

// The authorization challenge endpoint of OAuth 2.0 for First-Party Applications,
// draft-ietf-oauth-first-party-apps-04: our own native apps sign people in on their
// own screens, one request for each step, and get an authorization code.
//
//	request ──► client, DPoP ──► auth_session: open, or begin ──► at most one step ──► enough?
//	                                                                                   │    │
//	              403 insufficient_authorization + auth_session + next ◄── no ─────────┘    │
//	              200 authorization_code, once for each sign-in        ◄── yes ─────────────┘
//
// The steps are those of the pages and of the SMS-code grant: the same services count,
// compare and record. Nothing is stored here but the mark that a sign-in gave its code.

var (
	errNotNativeApp  = errUnauthorizedClient.Describe("only first-party native clients with the authorization code grant may sign people in here")
	errInsufficient  = fault.New(http.StatusForbidden, "insufficient_authorization", "more is needed; next names what can be given")
	errRedirectToWeb = fault.New(http.StatusBadRequest, "redirect_to_web", "this sign-in needs a browser: use the authorization code flow")
)

// challengeRefusal is an error response of the draft, section 5.2, with members of ours.
type challengeRefusal struct {
	Error       string                 `json:"error"`
	Description string                 `json:"error_description,omitempty"`
	AuthSession string                 `json:"auth_session,omitempty"`
	Next        []string               `json:"next,omitempty"`
	SMS         *codeSent              `json:"sms,omitempty"`
	Passkey     *user.PasskeyChallenge `json:"passkey,omitempty"`
	Captcha     *captcha.Puzzle        `json:"captcha,omitempty"`
}

// codeSent is what an app may know of a message.
type codeSent struct {
	MaskedPhone string `json:"masked_phone"`
	ExpiresIn   int    `json:"expires_in"`   // seconds
	ResendAfter int    `json:"resend_after"` // seconds
}

// challengeCode is the successful answer.
type challengeCode struct {
	Code    string `json:"authorization_code"`
	Created bool   `json:"user_created"`
}

// pause is what goes with an answer that asks for more.
type pause struct {
	sms     *codeSent
	passkey *user.PasskeyChallenge
	captcha *captcha.Puzzle
}

// challenge is POST /oauth2/challenge.
func (s *Server) challenge(w http.ResponseWriter, r *http.Request) {
	var p params
	var a *authSession
	err := refuseSites(r)
	if err == nil {
		p, err = formParams(w, r, maxFormBytes)
	}
	if err == nil {
		a, err = s.challenged(r, p)
	}
	if err != nil {
		s.writeOAuthError(w, r, err)
		return
	}
	paused, err := s.takeStep(r, a, p)
	if err == nil {
		err = s.lacks(r.Context(), a)
	}
	var code string
	if err == nil {
		code, err = s.finish(r.Context(), a)
	}
	if err != nil {
		s.refuseChallenge(w, r, a, paused, err)
		return
	}
	writeJSON(w, http.StatusOK, challengeCode{Code: code, Created: a.Person.Created})
}

// refuseSites refuses what a web page of somebody else sent, by a form that needs no
// preflight: its visitors' browsers would send messages, each from an address of its own.
func refuseSites(r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return errInvalidRequest.Describe("requests of web pages are not taken here").Because(err)
	}
	return nil
}

// challenged finds out who asks and which sign-in goes on.
func (s *Server) challenged(r *http.Request, p params) (*authSession, error) {
	c, err := s.authenticate(r, p)
	if err != nil {
		return nil, err
	}
	if !c.FirstParty || c.ApplicationType != "native" || !c.MayUse(client.GrantAuthorizationCode) {
		return nil, errNotNativeApp
	}
	key, err := s.proofs.Of(r)
	if err != nil {
		return nil, err
	}
	if value := p.get("auth_session"); value != "" {
		a, err := s.openAuthSession(value, c, key)
		if err == nil {
			err = s.stillWaits(r.Context(), a)
		}
		if err != nil {
			return nil, err
		}
		return a, a.Request.stillAllowed()
	}
	return s.beginChallenge(c, p, key)
}

// beginChallenge reads the authorization request that a sign-in is for. What an
// authorize request says about redirects has no meaning here.
func (s *Server) beginChallenge(c *client.Client, p params, key string) (*authSession, error) {
	q := authRequest{ClientID: c.ID, RequestedAt: db.Micros(time.Now()), client: c}
	for _, err := range []error{
		unsupported(p), q.readResponseType(p.get("response_type")), q.readScope(p.get("scope")), checkResource(p.get("resource"), s.issuer),
		q.readChallenge(p), q.readNonce(p.get("nonce")), q.readPrompt(p.get("prompt")), q.readMaxAge(p.get("max_age")),
		q.readHint(p.get("id_token_hint"), s.engine.IDTokenHint), q.readACR(p.get("acr_values"), p.get("claims")),
	} {
		if err != nil {
			return nil, err
		}
	}
	switch {
	case p.get("redirect_uri") != "":
		return nil, errInvalidRequest.Describe("redirect_uri has no meaning here: the code is in the answer")
	case q.Challenge == "": // an exempt client too: nothing else binds the code to the app
		return nil, errInvalidRequest.Describe("code_challenge is required (PKCE, RFC 7636)")
	case q.asks(promptNone):
		return nil, errLoginRequired
	case q.asks(promptConsent):
		return nil, errRedirectToWeb.Describe("only a page can ask for consent")
	}
	return newAuthSession(q, key), nil
}

// stillWaits says whether a sign-in may still give its code. One that gave it, in an
// answer that was lost maybe, would ask for proofs, and for messages, for nothing.
func (s *Server) stillWaits(ctx context.Context, a *authSession) error {
	over, err := s.short.Marked(ctx, authSessionMark, a.ID)
	switch {
	case err != nil:
		return fault.Unavailable.Because(fmt.Errorf("look for the mark of an auth_session: %w", err)).After(5 * time.Second)
	case over:
		return errInvalidSession.Because(errors.New("it gave its code"))
	}
	return nil
}

// finish gives the authorization code of a sign-in, once: of many requests that
// complete it at the same time, or again, the first one gets it. The mark comes last,
// so that whatever fails can be tried again.
func (s *Server) finish(ctx context.Context, a *authSession) (string, error) {
	if a.Stepped != "" {
		if err := s.recordStepUp(ctx, a); err != nil {
			return "", err
		}
		a.Stepped = ""
	}
	q, person := &a.Request, a.Person.engine()
	person.ACR = q.ACR.reported(user.Session{ACR: person.ACR})
	code, err := s.engine.Code(ctx, engine.Authorization{
		Client: q.client, NoRedirect: true, Scope: q.Scope, Nonce: q.Nonce, CodeChallenge: q.Challenge, KeyThumbprint: a.key,
		RequestedAt: q.requestedAt(), Person: person,
	})
	if err != nil {
		return "", err
	}
	first, err := s.short.Mark(ctx, authSessionMark, a.ID, authSessionLife+2*time.Minute)
	if err != nil {
		return "", fault.Unavailable.Because(fmt.Errorf("mark an auth_session: %w", err)).After(5 * time.Second)
	}
	if !first {
		return "", errInvalidSession
	}
	return code, nil
}

// refuseChallenge answers everything but a code. The sign-in goes on after what the
// app or the person can mend, and after a failure of ours: what was proven in this
// request was used up, and need not be proven again.
func (s *Server) refuseChallenge(w http.ResponseWriter, r *http.Request, a *authSession, paused pause, err error) {
	answer := challengeRefusal{SMS: paused.sms, Passkey: paused.passkey, Captcha: paused.captcha}
	if goesOn(err) {
		if next, failed := s.nextSteps(r.Context(), a); failed != nil {
			err = failed
		} else if len(next) == 0 {
			err = errRedirectToWeb.Describe("no further proof of this account can be given here")
		} else if sealed, failed := s.sealAuthSession(a); failed != nil {
			err = failed
		} else {
			answer.Next, answer.AuthSession = next, sealed
		}
	}
	f := s.told(r.Context(), err)
	if f.Status >= http.StatusInternalServerError && a.proven {
		if sealed, failed := s.sealAuthSession(a); failed == nil {
			answer.AuthSession = sealed
		}
	}
	setRetryAfter(w, f)
	answer.Error, answer.Description = f.Code, f.Description
	writeJSON(w, f.Status, answer)
}

// goesOn says whether a sign-in can go on after err.
func goesOn(err error) bool {
	if errors.Is(err, errInvalidSession) || errors.Is(err, errRedirectToWeb) || errors.Is(err, errLoginRequired) || errors.Is(err, errUnmet) {
		return false
	}
	return fault.From(err).Status < http.StatusInternalServerError || fault.From(err).Code == "sms_provider_unavailable"
}

// lacks says what a sign-in needs before it gives a code, nil for nothing. As at the
// authorize endpoint acr_values are a wish: who has no second factor goes without, and
// the client sees it by acr. Who has only one that the pages ask for is sent there.
func (s *Server) lacks(ctx context.Context, a *authSession) error {
	hint := a.Request.HintSubject
	switch {
	case a.Person == nil:
		return errInsufficient
	case hint != "" && hint != a.Person.UserID:
		return errLoginRequired.Describe("somebody else signed in than id_token_hint names")
	case a.enough():
		return nil
	}
	next, err := s.nextSteps(ctx, a)
	switch {
	case err != nil:
		return err
	case len(next) > 0 || a.Demanded:
		return errInsufficient
	}
	can, err := s.users.CanStepUp(ctx, user.Session{UserID: a.Person.UserID, AMR: a.Person.AMR, ACR: a.Person.ACR})
	switch {
	case err != nil:
		return err
	case can:
		return errRedirectToWeb.Describe("this account has no second proof that can be given here")
	case a.Request.ACR.demandsTwo():
		return errUnmet
	}
	return nil
}

// nextSteps are what can be given next, by the names of docs/integrate/native.md; none
// if only a browser helps. What an account has is told to who brought a proof of it.
func (s *Server) nextSteps(ctx context.Context, a *authSession) ([]string, error) {
	if a.Person == nil {
		var next []string
		if a.Challenge != "" {
			next = append(next, stepCode, stepResend)
		}
		next = append(next, stepSMS, stepPassword)
		if s.users.HasPasskeys() {
			next = append(next, stepPasskey)
		}
		return next, nil
	}
	proofs, err := s.furtherProofs(ctx, a)
	if err != nil {
		return nil, err
	}
	has, err := proofs.Available(ctx, a.Person.UserID)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(has, func(name string) bool {
		return name == stepPassword && (a.Demanded || slices.Contains(a.Person.AMR, amrOf(name)))
	}), nil
}

// furtherProofs are those that the sign-in may go on with. What the account itself asks
// for lets the person in, even where it does not count as a second factor yet.
func (s *Server) furtherProofs(ctx context.Context, a *authSession) (user.Proofs, error) {
	if a.Demanded {
		return s.users.WaitingProofs(), nil
	}
	return s.users.SecondProofs(ctx, a.Person.UserID)
}
