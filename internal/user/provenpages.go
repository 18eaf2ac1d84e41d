package user

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/web"
)

// Who changes how they sign in has signed in within the last ten minutes. If the
// account has an authenticator app or a passkey, a text message alone is not enough:
// whoever got hold of the number must not get rid of those. Then one more proof is
// asked for, on a page of its own, and counts for ten minutes in that session. It is
// sealed into a cookie, so nothing is stored for it.

const provenCookie = "dialtone_proven"

// provenIn reads the cookie: when something was shown in the session.
func (s *Service) provenIn(r *http.Request, sess Session) map[string]int64 {
	at := map[string]int64{}
	if text, ok := s.openCookie(r, provenCookie, labelProven, sess); ok {
		_ = json.Unmarshal(text, &at) // we wrote it
	}
	return at
}

// noteProven adds to the cookie.
func (s *Service) noteProven(w http.ResponseWriter, r *http.Request, sess Session, names ...string) error {
	at := s.provenIn(r, sess)
	for _, name := range names {
		at[name] = time.Now().UnixMicro()
	}
	return s.sealCookie(w, provenCookie, labelProven, sess, at)
}

// sealCookie keeps something for freshSignIn in the browser of a session, for that
// session alone.
func (s *Service) sealCookie(w http.ResponseWriter, name, label string, sess Session, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	s.cookies.set(w, name, base64.RawURLEncoding.EncodeToString(s.vault.Seal(label, text, []byte(sess.ID))), freshSignIn)
	return nil
}

func (s *Service) openCookie(r *http.Request, name, label string, sess Session) ([]byte, bool) {
	value, _ := s.cookies.read(r, name)
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(sealed) == 0 {
		return nil, false
	}
	text, err := s.vault.Open(label, sealed, []byte(sess.ID))
	return text, err == nil
}

// secured is member for a page that changes how somebody signs in; page is its path.
// Who has not shown enough lately does so first and comes back, and the request is
// answered.
func (p *Pages) secured(w http.ResponseWriter, r *http.Request, page string) (s Session, u User, ok bool, err error) {
	if s, u, ok, err = p.member(w, r); !ok {
		return s, u, false, err
	}
	if ok, err = p.fresh(w, r, s, page); !ok {
		return s, u, false, err
	}
	switch where, err := p.Users.asks(r.Context(), u, p.shownLately(r, s)); {
	case err != nil:
		return s, u, false, err
	case where == pathProve:
		see(w, r, where, url.Values{"for": {page}})
		return s, u, false, nil
	case where != "":
		can, err := p.Users.CanStepUp(r.Context(), s)
		if err == nil && !can { // nor does a message do beside this password
			where = "/login"
		}
		if err != nil {
			return s, u, false, err
		}
		return s, u, false, p.begin(w, r, Flow{Return: page, LoginHint: u.Phone.E164()}, where)
	}
	return s, u, true, nil
}

// provePage is a request to a page that asks for a further proof.
type provePage struct {
	session Session
	user    User
	form    url.Values
	lost    bool
	page    string // that asks for it

	proofs Proofs    // that count
	before time.Time // they must have been made then; zero: whenever
}

// openProve reads such a request; ok is false if it is answered.
func (p *Pages) openProve(w http.ResponseWriter, r *http.Request, lost bool) (g provePage, ok bool, err error) {
	if g.form, err = parse(r); err != nil {
		return g, false, err
	}
	g.lost, g.page = lost, pathPhoneLost
	if !lost {
		if g.page = g.form.Get("for"); !slices.Contains([]string{pathPhone, pathPassword, pathTOTP, pathRecovery, pathPasskeys}, g.page) {
			g.page = pathSecurity
		}
	}
	if g.session, g.user, ok, err = p.member(w, r); !ok {
		return g, false, err
	}
	if ok, err = p.fresh(w, r, g.session, g.page); !ok {
		return g, false, err
	}
	if lost && g.user.Phone.IsZero() {
		see(w, r, pathPhone, nil)
		return g, false, nil
	}
	if g.before = time.Now().Add(-settled); !lost {
		has, err := p.Users.proofTimes(r.Context(), g.user.ID)
		if err != nil {
			return g, false, err
		}
		g.before = has.weakened
	}
	g.proofs = ownProofs{users: p.Users, before: g.before}
	return g, true, nil
}

// showProve is GET /account/security/prove.
func (p *Pages) showProve(w http.ResponseWriter, r *http.Request) error {
	g, ok, err := p.openProve(w, r, false)
	if !ok {
		return err
	}
	where, err := p.Users.asks(r.Context(), g.user, p.shownLately(r, g.session))
	if err != nil {
		return err
	}
	if where != pathProve {
		see(w, r, g.page, nil)
		return nil
	}
	return p.renderProve(w, r, g, http.StatusOK, nil)
}

// showPhoneLost is GET /account/security/phone/lost.
func (p *Pages) showPhoneLost(w http.ResponseWriter, r *http.Request) error {
	g, ok, err := p.openProve(w, r, true)
	if !ok {
		return err
	}
	return p.renderProve(w, r, g, http.StatusOK, nil)
}

func (p *Pages) renderProve(w http.ResponseWriter, r *http.Request, g provePage, status int, bad *web.Problem) error {
	ways, err := p.waysToProve(r, g)
	if err != nil {
		return err
	}
	page := web.AccountProve{Common: p.room(r, g.user), Ways: ways, Lost: g.lost, Problem: bad}
	if g.lost {
		page.Masked = maskedOf(g.user)
		if page.Ready = p.shownLately(r, g.session)[proofLost]; page.Ready {
			page.Ways = nil
		}
	} else {
		page.For = g.page
	}
	p.Site.Render(w, r, status, page)
	return nil
}

// waysToProve are what the account has that would be enough. What was made within a
// day makes up for no number: whoever is signed in could have made it just now.
func (p *Pages) waysToProve(r *http.Request, g provePage) (ways []string, err error) {
	has, err := g.proofs.Available(r.Context(), g.user.ID)
	if err != nil {
		return nil, err
	}
	offers := func(name string, yes bool) {
		if yes {
			ways = append(ways, name)
		}
	}
	password, app := slices.Contains(has, proofPassword), slices.Contains(has, proofTOTP)
	offers(proofPasskey, slices.Contains(has, proofPasskey))
	if g.lost {
		offers(proofBoth, password && app)
	} else {
		offers(proofTOTP, app)
	}
	offers(proofRecovery, slices.Contains(has, proofRecovery))
	return ways, nil
}

// proveMore is POST /account/security/prove.
func (p *Pages) proveMore(w http.ResponseWriter, r *http.Request) error {
	g, ok, err := p.openProve(w, r, false)
	if !ok {
		return err
	}
	if ok, err := p.takeProof(w, r, g); !ok {
		return err
	}
	see(w, r, g.page, nil)
	return nil
}

// proveLost is POST /account/security/phone/lost: with another proof, shown for this,
// the change of number goes on without the old one.
func (p *Pages) proveLost(w http.ResponseWriter, r *http.Request) error {
	g, ok, err := p.openProve(w, r, true)
	if !ok {
		return err
	}
	if g.form.Has("proof") {
		if ok, err := p.takeProof(w, r, g); !ok {
			return err
		}
	} else if !p.shownLately(r, g.session)[proofLost] {
		see(w, r, pathPhoneLost, nil)
		return nil
	}
	return p.beginNewPhone(w, r, g.session, g.user, true)
}

// takeProof checks what was typed and notes it; otherwise the page is shown again.
func (p *Pages) takeProof(w http.ResponseWriter, r *http.Request, g provePage) (ok bool, err error) {
	ways, err := p.waysToProve(r, g)
	if err != nil {
		return false, err
	}
	way := g.form.Get("proof")
	if !slices.Contains(ways, way) || way == proofPasskey {
		return false, p.renderProve(w, r, g, http.StatusUnprocessableEntity, &web.Problem{Code: errMalformed.Code})
	}
	names := []string{way}
	if way == proofBoth {
		names = []string{proofPassword, proofTOTP}
	}
	for _, name := range names {
		err := g.proofs.Check(r.Context(), g.user.ID, name, g.form.Get(name))
		if bad, ok := shown(err); ok {
			return false, p.renderProve(w, r, g, bad.Status, ownProblem(bad, "proof-"+name))
		}
		if err != nil {
			return false, err
		}
	}
	return true, p.noteShown(w, r, g, names...)
}

// noteShown keeps what was shown, and what for, and puts it on record.
func (p *Pages) noteShown(w http.ResponseWriter, r *http.Request, g provePage, names ...string) error {
	detail := map[string]string{"method": strings.Join(names, " "), "session": g.session.ID}
	if g.lost {
		names, detail["for"] = append(names, proofLost), "phone_lost"
	}
	if err := p.Users.record(r.Context(), "user.proof_shown", "user:"+g.user.ID, g.user.ID, detail); err != nil {
		return err
	}
	return p.Users.noteProven(w, r, g.session, names...)
}

// ownProblem is problem for somebody of whom is known whose password it would be.
func ownProblem(bad *fault.Error, field string) *web.Problem {
	said := problem(bad, field)
	if errors.Is(bad, ErrCredentials) {
		said.Code = "password_incorrect"
	}
	return said
}

// askForProof is POST /account/security/prove/passkey/options.
func (p *Pages) askForProof(r *http.Request) (any, error) {
	session, _, err := p.freshSession(r)
	if err != nil {
		return nil, err
	}
	if err := p.spendQuestion(r); err != nil {
		return nil, err
	}
	return p.Users.BeginPasskeySignIn([]byte(session.ID))
}

// provePasskey is POST /account/security/prove/passkey.
func (p *Pages) provePasskey(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	g, ok, err := p.openProve(w, r, form.Get("lost") == "1")
	if !ok {
		return err
	}
	err = p.Users.CheckPasskey(r.Context(), g.user.ID, Assertion{
		Binding: []byte(g.session.ID), State: form.Get("state"), Response: []byte(form.Get("response")), MadeBefore: g.before,
	})
	if bad, ok := shown(err); ok {
		return p.renderProve(w, r, g, bad.Status, problem(bad, ""))
	}
	if err != nil {
		return err
	}
	if err := p.noteShown(w, r, g, proofPasskey); err != nil {
		return err
	}
	see(w, r, g.page, nil)
	return nil
}
