package user

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/web"
)

// errAgreementRequired answers before anything is sent: with registration built
// in, any sign-in may become one.
var errAgreementRequired = fault.New(http.StatusUnprocessableEntity, "agreement_required", "agree to the terms and the privacy policy first")

// showLogin is GET /login: the page that asks for a number.
func (p *Pages) showLogin(w http.ResponseWriter, r *http.Request) error {
	return p.arrive(w, r, func(f Flow) {
		p.renderLogin(w, r, f, http.StatusOK, loginInput{phone: f.LoginHint}, nil)
	})
}

// arrive shows the first page of a sign-in. A visit without a flow starts one of
// its own, unless the person is signed in.
func (p *Pages) arrive(w http.ResponseWriter, r *http.Request, show func(Flow)) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	if !form.Has("flow") {
		if _, _, err := p.Users.SessionOf(r); err == nil {
			see(w, r, "/account", nil)
			return nil
		} else if !isNotFound(err) {
			return err
		}
		return p.begin(w, r, Flow{}, r.URL.Path)
	}
	f, err := p.Flows.Find(r, form.Get("flow"))
	if err != nil {
		return p.flowGone(w, r, err)
	}
	p.Users.nameDevice(w, r)
	show(f)
	return nil
}

// flowGone is the answer to a page whose flow does not open. Someone who signed
// in here no longer ago than a flow lives most likely pressed the back button, or
// the button twice, and is sent on; anybody else starts again.
func (p *Pages) flowGone(w http.ResponseWriter, r *http.Request, err error) error {
	if !errors.Is(err, ErrFlowExpired) {
		return err
	}
	if !p.Users.JustSignedIn(r) {
		return err
	}
	see(w, r, "/account", nil)
	return nil
}

// JustSignedIn says whether somebody signed in in this browser no longer ago than a flow lives.
func (s *Service) JustSignedIn(r *http.Request) bool {
	session, _, err := s.SessionOf(r)
	return err == nil && (time.Since(session.AuthTime) <= flowLife || time.Since(session.CreatedAt) <= flowLife)
}

// loginInput is what the person typed on /login, or on the first step of
// /register, and the check to be passed with it.
type loginInput struct {
	registers     bool
	phone, region string
	agreed        bool
	check         *web.Check
}

func (p *Pages) renderLogin(w http.ResponseWriter, r *http.Request, f Flow, status int, in loginInput, bad *web.Problem) {
	if in.registers {
		p.Site.Render(w, r, status, web.Register{
			Common: f.common(r), Flow: f.ID, Client: f.Client, Phone: in.phone, Regions: p.regions(in.region),
			AskAgreement: p.asksAgreement(f), Agreed: in.agreed, CanCancel: len(f.Request) > 0, Check: in.check, Problem: bad,
		})
		return
	}
	p.Site.Render(w, r, status, web.Login{
		Common: f.common(r), Flow: f.ID, Client: f.Client,
		Phone: in.phone, Regions: p.regions(in.region),
		AskAgreement: p.asksAgreement(f), Agreed: in.agreed, CanCancel: len(f.Request) > 0, QR: p.offersQR(f),
		Check: in.check, Passkey: p.passkeyQuestion(r, f), Problem: bad,
	})
}

// regions are the choices of the region list; the first is chosen unless the
// person chose another.
func (p *Pages) regions(chosen string) []web.Region {
	offered := p.SMS.Regions()
	regions := make([]web.Region, len(offered))
	for i, o := range offered {
		regions[i] = web.Region{ISO: o.ISO, CallingCode: o.CallingCode, Selected: o.ISO == chosen}
	}
	return regions
}

// asksAgreement says whether the box is on the page; the operator may mark
// clients whose own terms cover it.
func (p *Pages) asksAgreement(f Flow) bool { return !f.SkipAgreement && p.AgreementVersion != "" }

// agreement is the version that a sign-in of f agrees to, "" if it is not asked.
func (p *Pages) agreement(f Flow) string {
	if p.asksAgreement(f) {
		return p.AgreementVersion
	}
	return ""
}

// sendCode is POST /login and the first step of POST /register. The order is flow, agreement, number, human check,
// send: nothing is sent, and no number is even read, without the others. Whether
// the number has an account is not looked up, so it cannot show.
func (p *Pages) sendCode(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	f, err := p.Flows.Find(r, form.Get("flow"))
	if err != nil {
		return p.flowGone(w, r, err)
	}
	p.Users.nameDevice(w, r)
	in := loginInput{
		registers: registers(r), phone: form.Get("phone"), region: form.Get("region"), agreed: form.Get("agree") == "1",
	}
	if p.asksAgreement(f) && !in.agreed {
		p.renderLogin(w, r, f, errAgreementRequired.Status, in, problem(errAgreementRequired, "agree"))
		return nil
	}
	number, err := p.SMS.ParseNumberIn(in.phone, in.region)
	if err != nil {
		return p.loginMistake(w, r, f, in, "phone", err)
	}
	request := p.request(r, f, number)
	challenge, check, err := p.checked(r.Context(), f, number, checkFormOf(form), func(human int) (sms.Challenge, error) {
		request.Human = human
		return p.SMS.Send(r.Context(), request)
	})
	if check != nil {
		in.check = check
		p.renderLogin(w, r, f, http.StatusForbidden, in, checkProblem(err))
		return nil
	}
	if err != nil {
		return p.askedBefore(w, r, f, in, request, err)
	}
	if f.held != nil { // which was about the number of before
		f.held = nil
		if err := p.Flows.keep(w, f); err != nil {
			return err
		}
	}
	p.seeCode(w, r, f, challenge.ID)
	return nil
}

// askedBefore answers a refusal to send. A second press of the button, or coming back
// and asking again, finds the code of the first: that goes on where it is typed.
func (p *Pages) askedBefore(w http.ResponseWriter, r *http.Request, f Flow, in loginInput, request sms.Request, err error) error {
	if errors.Is(err, sms.ErrTooSoon) {
		waiting, lookup := p.SMS.Waiting(r.Context(), request)
		if lookup == nil {
			p.seeCode(w, r, f, waiting)
			return nil
		}
		if !isNotFound(lookup) {
			return lookup
		}
	}
	return p.loginMistake(w, r, f, in, "", err)
}

// loginMistake shows the form again if the person can do something about err.
func (p *Pages) loginMistake(w http.ResponseWriter, r *http.Request, f Flow, in loginInput, field string, err error) error {
	bad, ok := shown(err)
	if !ok {
		return err
	}
	p.renderLogin(w, r, f, bad.Status, in, problem(bad, field))
	return nil
}

// shown returns the fault that a form is shown again with; everything that is
// wrong on our side becomes an error page, but for a provider that is down.
func shown(err error) (*fault.Error, bool) {
	var f *fault.Error
	if !errors.As(err, &f) {
		return nil, false
	}
	return f, f.Status < http.StatusInternalServerError || f.Code == "sms_provider_unavailable"
}

// request is what a message for f is asked for with.
func (p *Pages) request(r *http.Request, f Flow, n sms.Number) sms.Request {
	return sms.Request{
		Number: n, Purpose: sms.Login, ClientID: f.ClientID, Flow: f.Binding(),
		Locale: p.language(r, f), Address: CallerOf(r.Context()).Address,
		KnownDevice: p.Users.KnownDevice(r, n), Device: p.Users.deviceName(r), Note: p.agreement(f),
	}
}

func (p *Pages) seeCode(w http.ResponseWriter, r *http.Request, f Flow, challenge string) {
	path := "/login/code"
	switch {
	case registers(r):
		path = "/register"
	case purposeOf(r) == sms.StepUp:
		path = pathSecond
	}
	see(w, r, path, url.Values{"flow": {f.ID}, "challenge": {challenge}})
}

// cancel is POST /login/cancel: back to whoever sent the person here.
func (p *Pages) cancel(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	f, err := p.Flows.Find(r, form.Get("flow"))
	if err != nil {
		return p.flowGone(w, r, err)
	}
	if len(f.Request) > 0 {
		p.Next.Cancelled(w, r, f)
		return nil
	}
	p.Flows.End(w, f)
	see(w, r, "/", nil)
	return nil
}
