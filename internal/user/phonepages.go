package user

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/web"
)

// A change of number takes a code to the number that the account has, or another proof
// in its place, and then a code to the new one. In between it is a flow, whose cookie
// keeps what was proven, for this session. Nobody learns whether the new number has
// an account but who proved that it is theirs.

// phoneChange is such a flow.
type phoneChange struct {
	Session string `json:"s"`
	From    string `json:"n,omitempty"` // E.164 of the account's number when it was proven, "" for none
	At      int64  `json:"t,omitempty"` // of that, microseconds since 1970; 0 before
	Lost    bool   `json:"l,omitempty"` // it was made up for
}

// changePage is a request to one of the pages of a change.
type changePage struct {
	session Session
	user    User
	flow    Flow
	form    url.Values
	ref     sms.Ref
	new     bool // about the new number
}

// openChange reads such a request. What is over, of another session or out of order
// starts again, and ok is false.
func (p *Pages) openChange(w http.ResponseWriter, r *http.Request) (c changePage, ok bool, err error) {
	if c.form, err = parse(r); err != nil {
		return c, false, err
	}
	c.new = strings.HasPrefix(r.URL.Path, pathPhone+"/new") || strings.HasPrefix(r.URL.Path, pathPhone+"/confirm")
	if c.new { // the flow itself says what was proven
		c.session, c.user, ok, err = p.member(w, r)
	} else {
		c.session, c.user, ok, err = p.secured(w, r, pathPhone)
	}
	if !ok {
		return c, false, err
	}
	c.flow, err = p.Flows.Find(r, c.form.Get("flow"))
	if err != nil && !errors.Is(err, ErrFlowExpired) {
		return c, false, err
	}
	change := c.flow.change
	switch {
	case err != nil || change == nil || change.Session != c.session.ID:
		see(w, r, pathPhone, nil)
		return c, false, nil
	case c.new && change.At != 0 && change.From != c.user.Phone.E164(): // it is done: the button was pressed twice
		seeRoom(w, r, pathSecurity, "phone")
		return c, false, nil
	case c.new && !lately(time.UnixMicro(change.At)):
		see(w, r, pathPhone, nil)
		return c, false, nil
	}
	c.ref = sms.Ref{
		ID: c.form.Get("challenge"), Purpose: sms.ChangePhone, Flow: c.flow.Binding(), Address: CallerOf(r.Context()).Address,
	}
	return c, true, nil
}

// showPhone is GET /account/security/phone.
func (p *Pages) showPhone(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.secured(w, r, pathPhone)
	if !ok {
		return err
	}
	if u.Phone.IsZero() {
		return p.beginNewPhone(w, r, s, u, false)
	}
	if f, err := p.Flows.Find(r, r.URL.Query().Get("flow")); err == nil && f.change != nil && f.change.Session == s.ID {
		p.renderPhone(w, r, changePage{user: u, flow: f}, http.StatusOK, phoneInput{}, nil)
		return nil
	}
	f, err := p.Flows.Start(w, r, Flow{change: &phoneChange{Session: s.ID}})
	if err != nil {
		return err
	}
	see(w, r, pathPhone, flowQuery(r, f))
	return nil
}

// beginNewPhone starts a flow in which the account's number, if it has one, needs no code.
func (p *Pages) beginNewPhone(w http.ResponseWriter, r *http.Request, s Session, u User, lost bool) error {
	f, err := p.Flows.Start(w, r, Flow{change: &phoneChange{
		Session: s.ID, From: u.Phone.E164(), At: time.Now().UnixMicro(), Lost: lost,
	}})
	if err != nil {
		return err
	}
	see(w, r, pathPhone+"/new", flowQuery(r, f))
	return nil
}

// flowQuery leads to a page of f, in the language that the request chose.
func flowQuery(r *http.Request, f Flow) url.Values {
	query := url.Values{"flow": {f.ID}}
	if lang := r.URL.Query().Get("lang"); lang != "" {
		query.Set("lang", lang)
	}
	return query
}

// phoneInput is what was typed on the page for the new number, and the check to be passed with it.
type phoneInput struct {
	phone, region string
	check         *web.Check
}

func (p *Pages) renderPhone(w http.ResponseWriter, r *http.Request, c changePage, status int, in phoneInput, bad *web.Problem) {
	p.Site.Render(w, r, status, web.AccountPhone{
		Common: p.room(r, c.user), Flow: c.flow.ID, Masked: maskedOf(c.user), New: c.new, Lost: c.flow.change.Lost,
		Phone: in.phone, Regions: p.regions(in.region), Check: in.check, Problem: bad,
	})
}

// sendToOld is POST /account/security/phone.
func (p *Pages) sendToOld(w http.ResponseWriter, r *http.Request) error {
	c, ok, err := p.openChange(w, r)
	if !ok {
		return err
	}
	if c.user.Phone.IsZero() {
		see(w, r, pathPhone, nil)
		return nil
	}
	return p.sendForChange(w, r, c, c.user.Phone, phoneInput{})
}

// showNewPhone is GET /account/security/phone/new.
func (p *Pages) showNewPhone(w http.ResponseWriter, r *http.Request) error {
	c, ok, err := p.openChange(w, r)
	if !ok {
		return err
	}
	p.renderPhone(w, r, c, http.StatusOK, phoneInput{}, nil)
	return nil
}

// sendToNew is POST /account/security/phone/new. Whose number it is is not looked up,
// so it cannot show.
func (p *Pages) sendToNew(w http.ResponseWriter, r *http.Request) error {
	c, ok, err := p.openChange(w, r)
	if !ok {
		return err
	}
	in := phoneInput{phone: c.form.Get("phone"), region: c.form.Get("region")}
	n, err := p.SMS.ParseNumberIn(in.phone, in.region)
	if err == nil && n.Equal(c.user.Phone) {
		err = ErrPhoneSame
	}
	if bad, ok := shown(err); ok {
		p.renderPhone(w, r, c, bad.Status, in, problem(bad, "phone"))
		return nil
	}
	if err != nil {
		return err
	}
	return p.sendForChange(w, r, c, n, in)
}

// sendForChange sends a code to either number and goes where it is typed.
func (p *Pages) sendForChange(w http.ResponseWriter, r *http.Request, c changePage, n sms.Number, in phoneInput) error {
	p.Users.nameDevice(w, r)
	request := p.request(r, c.flow, n)
	request.Purpose, request.Note = sms.ChangePhone, ""
	challenge, check, err := p.checked(r.Context(), c.flow, n, checkFormOf(c.form), func(human int) (sms.Challenge, error) {
		request.Human = human
		return p.SMS.Send(r.Context(), request)
	})
	if check != nil {
		in.check = check
		p.renderPhone(w, r, c, http.StatusForbidden, in, checkProblem(err))
		return nil
	}
	if errors.Is(err, sms.ErrTooSoon) { // a second press goes on with the code of the first
		waiting, lookup := p.SMS.Waiting(r.Context(), request)
		if lookup != nil && !errors.Is(lookup, db.ErrNotFound) {
			return lookup
		}
		if lookup == nil {
			challenge.ID, err = waiting, nil
		}
	}
	if bad, ok := shown(err); ok {
		p.renderPhone(w, r, c, bad.Status, in, problem(bad, ""))
		return nil
	}
	if err != nil {
		return err
	}
	p.seePhoneCode(w, r, c, challenge.ID)
	return nil
}

func (p *Pages) seePhoneCode(w http.ResponseWriter, r *http.Request, c changePage, challenge string) {
	path := pathPhone + "/old"
	if c.new {
		path = pathPhone + "/confirm"
	}
	see(w, r, path, url.Values{"flow": {c.flow.ID}, "challenge": {challenge}})
}

// showPhoneCode is GET /account/security/phone/old and /account/security/phone/confirm.
func (p *Pages) showPhoneCode(w http.ResponseWriter, r *http.Request) error {
	c, ok, err := p.openChange(w, r)
	if !ok {
		return err
	}
	challenge, err := p.SMS.Get(r.Context(), c.ref)
	if err != nil {
		return p.phoneCodeMistake(w, r, c, err)
	}
	var bad *web.Problem
	if trouble := troubleOf(challenge); trouble != nil {
		bad = problem(trouble, "")
	}
	p.renderPhoneCode(w, r, c, http.StatusOK, codeState{challenge: challenge, problem: bad})
	return nil
}

func (p *Pages) renderPhoneCode(w http.ResponseWriter, r *http.Request, c changePage, status int, s codeState) {
	page := web.AccountPhoneCode{
		Common: p.room(r, c.user), Flow: c.flow.ID, Challenge: c.ref.ID, New: c.new,
		ResendIn: seconds(time.Until(s.challenge.ResendAt)), Status: s.challenge.Status, Reason: s.challenge.Reason,
		Check: s.check, Problem: s.problem,
	}
	if !s.challenge.Number.IsZero() {
		page.Masked = s.challenge.Number.String()
	}
	p.Site.Render(w, r, status, page)
}

// phoneCodeMistake shows the page for the code again with what went wrong.
func (p *Pages) phoneCodeMistake(w http.ResponseWriter, r *http.Request, c changePage, err error) error {
	bad, ok := shown(err)
	if !ok {
		return err
	}
	challenge, lookup := p.SMS.Get(r.Context(), c.ref)
	if lookup != nil && !errors.Is(lookup, sms.ErrCodeExpired) {
		return lookup
	}
	field := ""
	if errors.Is(err, sms.ErrCodeIncorrect) || errors.Is(err, sms.ErrCodeIncorrectLast) {
		field = "code"
	}
	p.renderPhoneCode(w, r, c, bad.Status, codeState{challenge: challenge, problem: problem(bad, field)})
	return nil
}

// resendPhoneCode is POST /account/security/phone/old/resend and
// /account/security/phone/confirm/resend.
func (p *Pages) resendPhoneCode(w http.ResponseWriter, r *http.Request) error {
	c, ok, err := p.openChange(w, r)
	if !ok {
		return err
	}
	before, err := p.SMS.Get(r.Context(), c.ref)
	if err != nil {
		return p.phoneCodeMistake(w, r, c, err)
	}
	again := sms.Again{Locale: p.language(r, c.flow), Address: CallerOf(r.Context()).Address, Device: p.Users.deviceName(r)}
	challenge, check, err := p.checked(r.Context(), c.flow, before.Number, checkFormOf(c.form), func(human int) (sms.Challenge, error) {
		again.Human = human
		return p.SMS.Resend(r.Context(), c.ref, again)
	})
	if check != nil {
		p.renderPhoneCode(w, r, c, http.StatusForbidden, codeState{before, check, checkProblem(err)})
		return nil
	}
	if err != nil {
		return p.phoneCodeMistake(w, r, c, err)
	}
	p.seePhoneCode(w, r, c, challenge.ID)
	return nil
}

// checkOldPhone is POST /account/security/phone/old: the right code opens the page for
// the new number.
func (p *Pages) checkOldPhone(w http.ResponseWriter, r *http.Request) error {
	c, ok, err := p.openChange(w, r)
	if !ok {
		return err
	}
	if c.flow.change.At != 0 && lately(time.UnixMicro(c.flow.change.At)) { // the button was pressed twice
		see(w, r, pathPhone+"/new", url.Values{"flow": {c.flow.ID}})
		return nil
	}
	proof, err := p.SMS.Check(r.Context(), c.ref, c.form.Get("code"))
	if err == nil {
		err = p.Users.ProvePhone(r.Context(), c.user.ID, proof)
	}
	if err != nil {
		return p.phoneCodeMistake(w, r, c, err)
	}
	c.flow.change = &phoneChange{Session: c.session.ID, From: proof.Number.E164(), At: time.Now().UnixMicro()}
	if err := p.Flows.keep(w, c.flow); err != nil {
		return err
	}
	see(w, r, pathPhone+"/new", url.Values{"flow": {c.flow.ID}})
	return nil
}

// checkNewPhone is POST /account/security/phone/confirm: the right code makes the change.
func (p *Pages) checkNewPhone(w http.ResponseWriter, r *http.Request) error {
	c, ok, err := p.openChange(w, r)
	if !ok {
		return err
	}
	proof, err := p.SMS.Check(r.Context(), c.ref, c.form.Get("code"))
	if err != nil {
		return p.phoneCodeMistake(w, r, c, err)
	}
	who := p.by(r, c.session)
	err = p.Users.ChangePhone(r.Context(), PhoneChange{UserID: c.user.ID, From: c.user.Phone, Lost: c.flow.change.Lost, To: proof, By: who})
	switch {
	case errors.Is(err, ErrPhoneTaken), errors.Is(err, ErrPhoneSame):
		bad, _ := shown(err)
		p.renderPhone(w, r, c, bad.Status, phoneInput{}, problem(bad, "phone"))
		return nil
	case err != nil:
		return p.phoneCodeMistake(w, r, c, err)
	}
	p.renewed(w, who)
	p.Users.rememberDevice(w, r, proof.Number)
	seeRoom(w, r, pathSecurity, "phone")
	return nil
}
