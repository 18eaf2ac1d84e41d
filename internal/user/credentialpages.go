package user

import (
	"net/http"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/web"
)

// The pages for a password, a user name and an e-mail address.

// passwordGate is secured for the password page, where the present password is as good
// as a fresh sign-in unless the account has something stronger, or only the password
// was shown before; ask says that it has to be typed.
func (p *Pages) passwordGate(w http.ResponseWriter, r *http.Request) (s Session, u User, ask, ok bool, err error) {
	if s, u, ok, err = p.member(w, r); !ok {
		return s, u, false, false, err
	}
	if !s.fresh() {
		has, _, err := p.Users.HasPassword(r.Context(), u.ID)
		if err != nil {
			return s, u, false, false, err
		}
		where, err := p.Users.asks(r.Context(), u, evidence{proofSMS: shownBy(s.AMR, s.ACR)[proofSMS]})
		if err != nil {
			return s, u, false, false, err
		}
		if has && where == "" {
			return s, u, true, true, nil
		}
	}
	s, u, ok, err = p.secured(w, r, pathPassword)
	return s, u, false, ok, err
}

// showOwnPassword is GET /account/security/password.
func (p *Pages) showOwnPassword(w http.ResponseWriter, r *http.Request) error {
	_, u, ask, ok, err := p.passwordGate(w, r)
	if !ok {
		return err
	}
	return p.renderOwnPassword(w, r, u, ask, http.StatusOK, nil)
}

func (p *Pages) renderOwnPassword(w http.ResponseWriter, r *http.Request, u User, ask bool, status int, bad *web.Problem) error {
	has, changed, err := p.Users.HasPassword(r.Context(), u.ID)
	if err != nil {
		return err
	}
	own, err := p.Users.names(r.Context(), u.ID)
	if err != nil {
		return err
	}
	page := web.AccountPassword{Common: p.room(r, u), Has: has, Changed: changed, AskCurrent: ask, UserName: own[kindUsername], Problem: bad}
	if page.UserName == "" {
		page.UserName = own[kindEmail]
	}
	p.Site.Render(w, r, status, page)
	return nil
}

// forgotPassword is GET /account/security/password/forgot: a code takes the place of
// the present password.
func (p *Pages) forgotPassword(w http.ResponseWriter, r *http.Request) error {
	s, _, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	return p.signInFor(w, r, Flow{Return: pathPassword, ProvenAfter: time.Now().UTC(), Only: s.UserID})
}

// savePassword is POST /account/security/password.
func (p *Pages) savePassword(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	s, u, ask, ok, err := p.passwordGate(w, r)
	if !ok {
		return err
	}
	if ok, err := p.currentPassword(w, r, u, ask, form.Get("current")); !ok {
		return err
	}
	who := p.by(r, s)
	if ask && shownBy(s.AMR, s.ACR)[proofSMS] {
		who.OneFactor = false // a message, however long ago, and the password now
	}
	err = p.Users.SetPassword(r.Context(), u.ID, form.Get("password"), who)
	if bad, ok := shown(err); ok {
		return p.renderOwnPassword(w, r, u, ask, bad.Status, problem(bad, "password"))
	}
	if err != nil {
		return unknownIsGone(err)
	}
	p.renewed(w, who)
	seeRoom(w, r, pathSecurity, "password")
	return nil
}

// currentPassword checks the present password where it has to be typed; if it is not
// right the page is shown again.
func (p *Pages) currentPassword(w http.ResponseWriter, r *http.Request, u User, ask bool, typed string) (ok bool, err error) {
	if !ask {
		return true, nil
	}
	err = p.Users.CheckPassword(r.Context(), u.ID, typed)
	if bad, ok := shown(err); ok {
		return false, p.renderOwnPassword(w, r, u, ask, bad.Status, ownProblem(bad, "current"))
	}
	return err == nil, err
}

// removePassword is POST /account/security/password/remove, of a page that asks
// nothing else: who signed in too long ago does so first.
func (p *Pages) removePassword(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.secured(w, r, pathPassword)
	if !ok {
		return err
	}
	who := p.by(r, s)
	err = p.Users.RemovePassword(r.Context(), u.ID, who)
	if bad, ok := shown(err); ok {
		return p.renderOwnPassword(w, r, u, false, bad.Status, problem(bad, ""))
	}
	if err != nil {
		return unknownIsGone(err)
	}
	p.renewed(w, who)
	seeRoom(w, r, pathSecurity, "password_removed")
	return nil
}

// kindOf is the kind of identifier that a page is about.
func kindOf(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, pathEmail) {
		return kindEmail
	}
	return kindUsername
}

// identifierGate is member with a fresh sign-in: neither name opens an account by itself.
func (p *Pages) identifierGate(w http.ResponseWriter, r *http.Request) (s Session, u User, ok bool, err error) {
	if s, u, ok, err = p.member(w, r); !ok {
		return s, u, false, err
	}
	ok, err = p.fresh(w, r, s, pathSecurity+"/"+kindOf(r))
	return s, u, ok, err
}

// showIdentifier is GET /account/security/username and /account/security/email.
func (p *Pages) showIdentifier(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.identifierGate(w, r)
	if !ok {
		return err
	}
	return p.renderIdentifier(w, r, u, http.StatusOK, "", nil)
}

func (p *Pages) renderIdentifier(w http.ResponseWriter, r *http.Request, u User, status int, typed string, bad *web.Problem) error {
	own, err := p.Users.names(r.Context(), u.ID)
	if err != nil {
		return err
	}
	p.Site.Render(w, r, status, web.AccountIdentifier{
		Common: p.room(r, u), Kind: kindOf(r), Value: own[kindOf(r)], Typed: typed, Problem: bad,
	})
	return nil
}

// saveIdentifier is POST /account/security/username and /account/security/email.
// Nothing typed is a mistake: that a name is to go is said by its own button.
func (p *Pages) saveIdentifier(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	s, u, ok, err := p.identifierGate(w, r)
	if !ok {
		return err
	}
	kind, typed := kindOf(r), strings.TrimSpace(form.Get("value"))
	set, empty := p.Users.SetUsername, ErrUsernameInvalid
	if kind == kindEmail {
		set, empty = p.Users.SetEmail, ErrEmailInvalid
	}
	err = empty
	if typed != "" {
		err = set(r.Context(), u.ID, typed, by(s))
	}
	if bad, ok := shown(err); ok {
		field := kind
		if bad.Status == http.StatusTooManyRequests {
			field = ""
		}
		return p.renderIdentifier(w, r, u, bad.Status, typed, problem(bad, field))
	}
	if err != nil {
		return unknownIsGone(err)
	}
	seeRoom(w, r, pathSecurity, kind)
	return nil
}

// removeIdentifier is POST to the same pages' /remove.
func (p *Pages) removeIdentifier(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.identifierGate(w, r)
	if !ok {
		return err
	}
	remove := p.Users.SetUsername
	if kindOf(r) == kindEmail {
		remove = p.Users.SetEmail
	}
	err = remove(r.Context(), u.ID, "", by(s))
	if bad, ok := shown(err); ok {
		return p.renderIdentifier(w, r, u, bad.Status, "", problem(bad, ""))
	}
	if err != nil {
		return unknownIsGone(err)
	}
	seeRoom(w, r, pathSecurity, kindOf(r)+"_removed")
	return nil
}
