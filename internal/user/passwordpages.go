package user

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/dialtone-id/dialtone/internal/user/password"
	"github.com/dialtone-id/dialtone/web"
)

// passwordInput is what is shown again of a form with a password, which is not.
type passwordInput struct {
	identifier string
	agreed     bool
}

// showPassword is GET /login/password.
func (p *Pages) showPassword(w http.ResponseWriter, r *http.Request) error {
	return p.arrive(w, r, func(f Flow) {
		p.renderPassword(w, r, f, http.StatusOK, passwordInput{identifier: f.LoginHint}, nil)
	})
}

func (p *Pages) renderPassword(w http.ResponseWriter, r *http.Request, f Flow, status int, in passwordInput, bad *web.Problem) {
	p.Site.Render(w, r, status, web.Password{
		Common: f.common(r), Flow: f.ID, Client: f.Client, Identifier: in.identifier,
		AskAgreement: p.asksAgreement(f), Agreed: in.agreed, CanCancel: len(f.Request) > 0,
		OfferPasskey: p.mayOffer(r), Problem: bad,
	})
}

// checkPassword is POST /login/password: the right password signs in. As with a
// passkey, only those agree who have not done so before; who is asked has shown
// the right password, so it tells nobody else anything.
func (p *Pages) checkPassword(w http.ResponseWriter, r *http.Request) error {
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
	typed := passwordInput{identifier: form.Get("identifier"), agreed: form.Get("agree") == "1"}
	attempt.Terms = p.agreement(f)
	if typed.agreed {
		attempt.AgreementVersion = attempt.Terms
	}
	in, err := p.Users.SignInByPassword(r.Context(), typed.identifier, form.Get("password"), attempt)
	if stopped, err := p.stopped(w, r, f, in.User.provenNumber(), attempt.AgreementVersion, in, err); stopped {
		return err
	}
	if err != nil {
		bad, ok := shown(err)
		if !ok {
			return err
		}
		field := ""
		switch {
		case errors.Is(err, errAgreementRequired):
			field = "agree"
		case errors.Is(err, ErrCredentials):
			field = "password"
		}
		p.renderPassword(w, r, f, bad.Status, typed, problem(bad, field))
		return nil
	}
	return p.enter(w, r, f, in, form.Get("passkey") == "1")
}

// forgotAtSignIn is GET /login/password/forgot: a code signs in instead, and where no
// client waits that leads to the page for a new password.
func (p *Pages) forgotAtSignIn(w http.ResponseWriter, r *http.Request) error {
	f, err := p.Flows.Of(r)
	if err != nil {
		return p.flowGone(w, r, err)
	}
	if len(f.Request) == 0 && f.Return == "" {
		f.Return = pathPassword
		if err := p.Flows.keep(w, f); err != nil {
			return err
		}
	}
	see(w, r, "/login", flowQuery(r, f))
	return nil
}

// registers says whether a request is to /register rather than to /login.
func registers(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/register") }

// showRegister is GET /register: the number is asked for, or with a challenge the
// code and a password.
func (p *Pages) showRegister(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Has("challenge") {
		return p.showCode(w, r)
	}
	return p.arrive(w, r, func(f Flow) {
		p.renderLogin(w, r, f, http.StatusOK, loginInput{registers: true, phone: f.LoginHint}, nil)
	})
}

// register is POST /register. The first step is that of /login, and tells as
// little about the number. The second brings the code and the password, which
// nothing keeps before the number is proved; a password that may not be chosen is
// refused before the code is tried. Whether the number had an account does not
// show: see RegisterBySMS.
func (p *Pages) register(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	if !form.Has("challenge") {
		return p.sendCode(w, r)
	}
	c, err := p.openCode(r)
	if err != nil {
		return p.flowGone(w, r, err)
	}
	challenge, err := p.SMS.Get(r.Context(), c.ref)
	if err != nil {
		return p.codeMistake(w, r, c, err)
	}
	chosen := form.Get("password")
	if err := password.Check(chosen, challenge.Number.E164()); err != nil {
		return p.codeMistake(w, r, c, err)
	}
	return p.useCode(w, r, c, func(ctx context.Context, prove Prove, a Attempt) (SignedIn, error) {
		proof, err := prove(ctx, &a)
		if err != nil {
			return SignedIn{}, err
		}
		return p.Users.RegisterBySMS(ctx, proof, chosen, a)
	})
}

func isPasswordFault(err error) bool {
	return errors.Is(err, password.ErrTooShort) || errors.Is(err, password.ErrTooLong) || errors.Is(err, password.ErrCommon)
}
