package oauth

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/user"
)

// clockSkew is how far the clocks of two replicas may be apart: one may see the
// request, the other the sign-in.
const clockSkew = 2 * time.Minute

// visitor is whom the session cookie stands for; the zero visitor is a stranger.
type visitor struct {
	session user.Session
	user    user.User
}

var errAnotherPerson = errLoginRequired.Describe("somebody else signed in than id_token_hint names")

func (v visitor) signedIn() bool { return v.session.ID != "" }

func (s *Server) visitor(r *http.Request) (visitor, error) {
	session, u, err := s.users.SessionOf(r)
	if errors.Is(err, db.ErrNotFound) {
		return visitor{}, nil
	}
	return visitor{session: session, user: u}, err
}

// step is what an authorize request needs next.
type step int

const (
	stepLogin step = iota
	stepSecond
	stepConsent
	stepIssue
)

// next decides. It fails with login_required if the person signed in for this
// very request and is not whom the client asked for, and with
// unmet_authentication_requirements if the account has no second factor to show to a
// client that demands one. Whoever only wishes for it is answered without then.
func (s *Server) next(ctx context.Context, q *authRequest, v visitor) (step, error) {
	if !v.signedIn() {
		return stepLogin, nil
	}
	another := q.HintSubject != "" && q.HintSubject != v.session.UserID
	if freshLogin(q, v.session) {
		if another {
			return stepLogin, errAnotherPerson
		}
	} else if another || q.forcesLogin() || tooOld(q, v.session) {
		return stepLogin, nil
	}
	if q.ACR.prefersTwo() && v.session.ACR != user.ACRTwoFactors {
		can, err := s.users.CanStepUp(ctx, v.session)
		switch {
		case err != nil:
			return stepLogin, err
		case can:
			return stepSecond, nil
		case q.ACR.demandsTwo():
			return stepLogin, errUnmet
		}
	}
	if q.asks(promptConsent) {
		return stepConsent, nil
	}
	if q.client.FirstParty {
		if s.unverifiable(q) && !freshLogin(q, v.session) {
			return stepConsent, nil // or any program gets a code from a session without anybody seeing it
		}
		return stepIssue, nil
	}
	remembered, err := s.consented(ctx, q, v.session.UserID)
	if err != nil {
		return stepLogin, err
	}
	if remembered {
		return stepIssue, nil
	}
	return stepConsent, nil
}

// forcesLogin says whether an older session does not do. Accounts are not kept
// side by side, so choosing or creating one is signing in.
func (q *authRequest) forcesLogin() bool {
	return q.asks(promptLogin) || q.asks(promptSelectAccount) || q.asks(promptCreate)
}

// freshLogin says whether somebody signed in after the request came: the session
// or its auth_time is another than the browser had then. Comparing auth_time with
// the time of the request alone would fail where two replicas' clocks differ.
func freshLogin(q *authRequest, session user.Session) bool {
	return signInOf(session) != q.SeenSignIn && !session.AuthTime.Before(q.requestedAt().Add(-clockSkew))
}

// signInOf names one sign-in in one session, "" for no session.
func signInOf(session user.Session) string {
	if session.ID == "" {
		return ""
	}
	return session.ID + "@" + strconv.FormatInt(session.AuthTime.UnixMicro(), 36)
}

// tooOld applies max_age as of the time of the request, so that lingering on
// the consent page ages nobody. 0 asks for a sign-in, whatever the clocks say.
func tooOld(q *authRequest, session user.Session) bool {
	if q.MaxAge == nil {
		return false
	}
	return *q.MaxAge == 0 || q.requestedAt().Sub(session.AuthTime) > time.Duration(*q.MaxAge)*time.Second
}

// provenAfter is the age of proof that the request lets a sign-in stand on which
// another device vouches for; zero for any. It says what next will ask for.
func (q *authRequest) provenAfter() time.Time {
	switch {
	case q.forcesLogin(), q.MaxAge != nil && *q.MaxAge == 0:
		return q.requestedAt().Add(-clockSkew).UTC()
	case q.MaxAge != nil:
		return q.requestedAt().Add(-time.Duration(*q.MaxAge) * time.Second).UTC()
	}
	return time.Time{}
}

// decide answers a new authorize request.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, q *authRequest) {
	v, err := s.visitor(r)
	if err != nil {
		s.refuse(w, r, q, err)
		return
	}
	q.SeenSignIn = signInOf(v.session)
	next, err := s.next(r.Context(), q, v)
	switch {
	case err != nil:
		s.refuse(w, r, q, err)
	case next == stepIssue:
		s.issue(w, r, q, v.session)
	case q.asks(promptNone) && (next == stepLogin || next == stepSecond):
		s.refuse(w, r, q, errLoginRequired)
	case q.asks(promptNone):
		s.refuse(w, r, q, errConsentRequired)
	case next == stepLogin:
		s.wait(w, r, q, pathLogin)
	case next == stepSecond:
		s.wait(w, r, q, pathSecond)
	default:
		s.wait(w, r, q, pathConsent)
	}
}

// SignedIn carries on after a person signed in for the flow (user.Continuation).
func (s *Server) SignedIn(w http.ResponseWriter, r *http.Request, f user.Flow, session user.Session) {
	q, err := s.reopen(r.Context(), f)
	if err != nil {
		s.errorPage(w, r, f.UILocales, err)
		return
	}
	if q.HintSubject != "" && q.HintSubject != session.UserID { // also where next cannot tell that it was for this request
		s.flows.End(w, f)
		s.refuse(w, r, q, errAnotherPerson)
		return
	}
	s.carryOn(w, r, f, q, visitor{session: session})
}

// carryOn takes a waiting request to its next step.
func (s *Server) carryOn(w http.ResponseWriter, r *http.Request, f user.Flow, q *authRequest, v visitor) {
	err := q.stillAllowed()
	next := stepLogin
	if err == nil {
		next, err = s.next(r.Context(), q, v)
	}
	switch {
	case err != nil:
		s.flows.End(w, f)
		s.refuse(w, r, q, err)
	case next == stepLogin:
		goOn(w, f, pathLogin)
	case next == stepSecond:
		goOn(w, f, pathSecond)
	case next == stepConsent:
		goOn(w, f, pathConsent)
	default:
		s.flows.End(w, f)
		s.issue(w, r, q, v.session)
	}
}

// Cancelled tells the client that the person went back (user.Continuation).
func (s *Server) Cancelled(w http.ResponseWriter, r *http.Request, f user.Flow) {
	q, err := s.reopen(r.Context(), f)
	if err != nil {
		s.errorPage(w, r, f.UILocales, err)
		return
	}
	s.flows.End(w, f)
	s.refuse(w, r, q, errAccessDenied.Describe("the person cancelled the sign-in"))
}

// issue makes the authorization code. Nothing is stored: the code is the sealed
// authorization, and redeeming it inserts the grant.
func (s *Server) issue(w http.ResponseWriter, r *http.Request, q *authRequest, session user.Session) {
	code, err := s.engine.Code(r.Context(), engine.Authorization{
		Client:        q.client,
		RedirectURI:   q.RedirectURI,
		RedirectGiven: q.RedirectGiven,
		Scope:         q.Scope,
		Nonce:         q.Nonce,
		CodeChallenge: q.Challenge,
		RequestedAt:   q.requestedAt(),
		Person: engine.Person{
			UserID: session.UserID, SessionID: session.ID, AuthTime: session.AuthTime, AMR: session.AMR, ACR: q.ACR.reported(session),
		},
	})
	if err != nil {
		s.refuse(w, r, q, err)
		return
	}
	s.respond(w, r, q, field{"code", code})
}
