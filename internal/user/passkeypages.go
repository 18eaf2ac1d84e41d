package user

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/web"
)

var (
	// ErrReauthenticationRequired answers a sensitive act of somebody who signed
	// in too long ago.
	ErrReauthenticationRequired = fault.New(http.StatusForbidden, "reauthentication_required", "sign in again to do this")
	errNotSignedIn              = fault.New(http.StatusUnauthorized, "login_required", "sign in first")
)

// freshSignIn is how long after signing in a person may change how they sign in.
const freshSignIn = 10 * time.Minute

// questionsPerMinute are the challenges that one address may ask for.
const questionsPerMinute = 20

// mountPasskeys adds the routes of passkeys. Those for options answer JSON to the
// script of our own pages; everything else is a form, for its answer may lead to a
// client.
func (p *Pages) mountPasskeys(r chi.Router) {
	r.Post("/login/passkey/options", p.answerJSON(p.askForSignIn))
	r.Post(pathSecond+"/options", p.answerJSON(p.askForSignIn))
	r.Post("/login/passkey", p.answer(p.checkPasskey))
	r.Get("/login/passkey-setup", p.answer(p.showPasskeySetup))
	r.Post("/login/passkey-setup", p.answer(p.leavePasskeySetup))
	r.Get(pathPasskeys, p.answer(p.showPasskeys))
	r.Post(pathProve+"/passkey/options", p.answerJSON(p.askForProof))
	r.Post(pathProve+"/passkey", p.answer(p.provePasskey))
	r.Post("/account/passkeys/options", p.answerJSON(p.askForPasskey))
	r.Post("/account/passkeys", p.answer(p.addPasskey))
	r.Post("/account/passkeys/{id}/rename", p.answer(p.renamePasskey))
	r.Post("/account/passkeys/{id}/remove", p.answer(p.removePasskey))
}

// passkeyQuestion is what the number page asks with before anybody pressed
// anything, so that a browser can suggest passkeys in the field for the number.
func (p *Pages) passkeyQuestion(r *http.Request, f Flow) *web.Passkey {
	if !p.Users.HasPasskeys() {
		return nil
	}
	c, err := p.Users.BeginPasskeySignIn(f.Binding())
	if err != nil {
		p.log().ErrorContext(r.Context(), "a page does without passkeys", "request_id", CallerOf(r.Context()).RequestID, "error", err)
		return nil
	}
	return &web.Passkey{Options: string(c.Options), State: c.State}
}

// askForSignIn is POST /login/passkey/options and /login/second/options.
func (p *Pages) askForSignIn(r *http.Request) (any, error) {
	f, err := p.Flows.Of(r)
	if err != nil {
		return nil, err
	}
	if err := p.spendQuestion(r); err != nil {
		return nil, err
	}
	return p.Users.BeginPasskeySignIn(f.Binding())
}

// askForPasskey is POST /account/passkeys/options.
func (p *Pages) askForPasskey(r *http.Request) (any, error) {
	session, u, err := p.freshSession(r)
	if err != nil {
		return nil, err
	}
	if err := p.mayAdd(r, session, u); err != nil {
		return nil, err
	}
	if err := p.spendQuestion(r); err != nil {
		return nil, err
	}
	return p.Users.BeginPasskey(r.Context(), u, session.ID)
}

// mayAdd says whether enough was shown in a session to add a passkey; else
// reauthentication_required.
func (p *Pages) mayAdd(r *http.Request, s Session, u User) error {
	where, err := p.Users.asks(r.Context(), u, p.shownLately(r, s))
	if err == nil && (where != "" || !lately(s.AuthTime)) {
		err = ErrReauthenticationRequired
	}
	return err
}

// freshSession is the session of a person who signed in lately. Faults:
// login_required, reauthentication_required.
func (p *Pages) freshSession(r *http.Request) (Session, User, error) {
	session, u, err := p.Users.SessionOf(r)
	switch {
	case isNotFound(err):
		return Session{}, User{}, errNotSignedIn
	case err != nil:
		return Session{}, User{}, err
	case !session.fresh():
		return Session{}, User{}, ErrReauthenticationRequired
	}
	return session, u, nil
}

func (p *Pages) spendQuestion(r *http.Request) error {
	d, err := p.Users.passkeys.short.Spend(r.Context(), []ephemeral.Limit{{
		Key: "passkey:address:" + p.Users.addressTag(CallerOf(r.Context()).Address), Max: questionsPerMinute, Per: time.Minute,
	}})
	if err != nil {
		return fault.Unavailable.Because(err).After(5 * time.Second)
	}
	if !d.Allowed {
		return sms.ErrRateLimited.After(d.RetryAfter)
	}
	return nil
}

// addressTag is an address as limits know it: a keyed hash.
func (s *Service) addressTag(a netip.Addr) string {
	return base64.RawURLEncoding.EncodeToString(s.vault.Index("address", networkOf(a)))
}

// checkPasskey is POST /login/passkey: the right answer signs in, as the right
// code does.
func (p *Pages) checkPasskey(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	f, err := p.Flows.Find(r, form.Get("flow"))
	if err != nil {
		return p.flowGone(w, r, err)
	}
	attempt, err := p.attempt(r, f)
	if err != nil {
		return err
	}
	attempt.Terms = p.agreement(f)
	agreed := form.Get("agree") == "1"
	if agreed {
		attempt.AgreementVersion = attempt.Terms
	}
	in, err := p.Users.SignInByPasskey(r.Context(), Assertion{
		Binding: f.Binding(), State: form.Get("state"), Response: []byte(form.Get("response")),
	}, attempt)
	if stopped, err := p.stopped(w, r, f, in.User.provenNumber(), attempt.AgreementVersion, in, err); stopped {
		return err
	}
	if err != nil {
		return p.passkeyMistake(w, r, f, agreed, err)
	}
	return p.enter(w, r, f, in, false)
}

// passkeyMistake shows the number page again with what went wrong. An answer that
// was used by this very flow, in the browser that it signed in, is no mistake: see
// codeMistake.
func (p *Pages) passkeyMistake(w http.ResponseWriter, r *http.Request, f Flow, agreed bool, err error) error {
	if errors.Is(err, ErrPasskeyExpired) {
		if session, _, ok := p.signedInBy(r, f); ok {
			p.carryOn(w, r, f, session)
			return nil
		}
	}
	field := ""
	if errors.Is(err, errAgreementRequired) {
		field = "agree"
	}
	return p.loginMistake(w, r, f, loginInput{phone: f.LoginHint, agreed: agreed}, field, err)
}

// showPasskeys is GET /account/security/passkeys. Who may not add or remove any does
// not get to see buttons for it.
func (p *Pages) showPasskeys(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.secured(w, r, pathPasskeys)
	if !ok {
		return err
	}
	return p.renderPasskeys(w, r, u, http.StatusOK, nil)
}

func (p *Pages) renderPasskeys(w http.ResponseWriter, r *http.Request, u User, status int, bad *web.Problem) error {
	keys, err := p.Users.Passkeys(r.Context(), u.ID)
	if err != nil {
		return err
	}
	page := web.AccountPasskeys{Common: p.room(r, u), Problem: bad}
	if r.Method != http.MethodPost {
		page.Done = done(r)
	}
	for _, k := range keys {
		page.Keys = append(page.Keys, web.AccountPasskey{ID: k.ID, Name: k.Name, Synced: k.Synced, Created: k.CreatedAt, Used: k.UsedAt})
	}
	p.Site.Render(w, r, status, page)
	return nil
}

// addPasskey is POST /account/passkeys.
func (p *Pages) addPasskey(w http.ResponseWriter, r *http.Request) error {
	return p.changeKeys(w, r, "passkey", func(session Session, u User) error {
		_, err := p.Users.FinishPasskey(r.Context(), u, p.by(r, session), r.PostForm.Get("state"), []byte(r.PostForm.Get("response")), p.passkeyName(r))
		if err != nil {
			return err
		}
		return p.noteMade(w, r, session, proofPasskey)
	})
}

func (p *Pages) renamePasskey(w http.ResponseWriter, r *http.Request) error {
	return p.changeKeys(w, r, "passkey_renamed", func(_ Session, u User) error {
		return p.Users.RenamePasskey(r.Context(), u.ID, chi.URLParam(r, "id"), r.PostForm.Get("name"))
	})
}

func (p *Pages) removePasskey(w http.ResponseWriter, r *http.Request) error {
	return p.changeKeys(w, r, "passkey_removed", func(s Session, u User) error {
		return p.Users.RemovePasskey(r.Context(), u.ID, chi.URLParam(r, "id"), p.by(r, s))
	})
}

// changeKeys runs one change of a form for a person who proved lately who they are,
// and goes back to the list, which says what was done.
func (p *Pages) changeKeys(w http.ResponseWriter, r *http.Request, done string, change func(Session, User) error) error {
	if _, err := parse(r); err != nil {
		return err
	}
	session, u, ok, err := p.secured(w, r, pathPasskeys)
	if !ok {
		return err
	}
	err = change(session, u)
	if isNotFound(err) {
		err = ErrPasskeyUnknown
	}
	if bad, ok := shown(err); ok {
		return p.renderPasskeys(w, r, u, bad.Status, problem(bad, ""))
	}
	if err != nil {
		return err
	}
	seeRoom(w, r, pathPasskeys, done)
	return nil
}

// passkeyName is what the person typed, or the kind of device they have in hand.
func (p *Pages) passkeyName(r *http.Request) string {
	if name := r.PostForm.Get("name"); name != "" {
		return name
	}
	return deviceKind(r.UserAgent())
}

// answerJSON runs a handler for our script: what it returns, or problem details
// (RFC 9457) with the fault's code.
func (p *Pages) answerJSON(handle func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status, kind := http.StatusOK, "application/json"
		value, err := handle(r)
		if err != nil {
			f := p.faultOf(r.Context(), err)
			if f.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(seconds(f.RetryAfter)))
			}
			status, kind = f.Status, "application/problem+json"
			value = map[string]any{"type": "about:blank", "title": http.StatusText(f.Status), "status": f.Status, "code": f.Code, "detail": f.Description}
		}
		text, err := json.Marshal(value)
		if err != nil {
			p.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write(text) // the person may have gone; nobody is left to tell
	}
}
