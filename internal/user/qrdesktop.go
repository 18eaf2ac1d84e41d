package user

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user/qr"
	"github.com/dialtone-id/dialtone/web"
)

// qrRenewals is how often the page makes a new code by itself; then a person does.
const qrRenewals = 5

// mountQR adds the routes of sign-in by QR code.
func (p *Pages) mountQR(r chi.Router) {
	r.Get("/login/qr", p.answer(p.showQR))
	r.Post("/login/qr", p.answer(p.finishQR))
	r.Get("/login/qr/status", p.qrStatus)
	r.Get("/qr", p.answer(p.showQRTyped))
	r.Post("/qr", p.answer(p.findQRTyped))
	r.Get("/qr/{id}", p.answer(p.showQRConfirm))
	r.Post("/qr/{id}", p.answer(p.decideQR))
}

// offersQR says whether the sign-in page leads to a QR code.
func (p *Pages) offersQR(f Flow) bool { return p.Ephemeral != nil && f.ID != "" }

// qrPage is a request to the page with the code.
type qrPage struct {
	flow    Flow
	id      string // "" for a new one
	renewed int    // how often the page did that by itself
}

func (p *Pages) openQRPage(r *http.Request) (qrPage, error) {
	form, err := parse(r)
	if err != nil {
		return qrPage{}, err
	}
	f, err := p.Flows.Find(r, form.Get("flow"))
	if err != nil {
		return qrPage{}, err
	}
	renewed, err := strconv.Atoi(cmp.Or(form.Get("renewed"), "0"))
	if err != nil || renewed < 0 {
		renewed = qrRenewals
	}
	return qrPage{flow: f, id: form.Get("request"), renewed: min(renewed, qrRenewals)}, nil
}

// path is where GET shows the page.
func (g qrPage) path() string { return "/login/qr?" + g.query().Encode() }

func (g qrPage) query() url.Values {
	q := url.Values{"flow": {g.flow.ID}}
	if g.id != "" {
		q.Set("request", g.id)
	}
	if g.renewed > 0 {
		q.Set("renewed", strconv.Itoa(g.renewed))
	}
	return q
}

// request is the page's, if this very browser drew it: of somebody else's nothing
// can be learnt.
func (p *Pages) qrOf(ctx context.Context, g qrPage) (qrRequest, error) {
	q, _, err := p.openQR(ctx, g.id)
	if err == nil && !q.drawnBy(g.flow) {
		return qrRequest{}, errQRGone
	}
	return q, err
}

// showQR is GET /login/qr. Without a request it begins one and leads to it, so that
// a reload shows the same code and what became of it.
func (p *Pages) showQR(w http.ResponseWriter, r *http.Request) error {
	g, err := p.openQRPage(r)
	if err != nil {
		return p.flowGone(w, r, err)
	}
	if g.id == "" {
		if g.id, err = p.newQR(r, g.flow); err != nil {
			return p.qrNotDrawn(w, r, g.flow, err)
		}
		see(w, r, "/login/qr", g.query())
		return nil
	}
	q, err := p.qrOf(r.Context(), g)
	switch {
	case isQRLost(err):
		q = qrRequest{State: qrExpired}
	case err != nil:
		return err
	case q.State == qrDone:
		if p.resumeQR(w, r, g.flow) {
			return nil
		}
		q.State = qrExpired
	}
	return p.renderQR(w, r, g, http.StatusOK, q, nil)
}

// qrNotDrawn leads who asked too often back to the other ways in.
func (p *Pages) qrNotDrawn(w http.ResponseWriter, r *http.Request, f Flow, err error) error {
	if !errors.Is(err, errQRLimited) {
		return err
	}
	p.showError(w, r, f, p.faultOf(r.Context(), err), "/login?flow="+f.ID)
	return nil
}

// resumeQR carries on with a flow that signed in here before: the back button was
// pressed, or the button twice.
func (p *Pages) resumeQR(w http.ResponseWriter, r *http.Request, f Flow) bool {
	if f.session == "" {
		return false
	}
	session, _, err := p.Users.SessionOf(r)
	if err != nil || session.ID != f.session {
		return false
	}
	p.carryOn(w, r, f, session)
	return true
}

func (p *Pages) renderQR(w http.ResponseWriter, r *http.Request, g qrPage, status int, q qrRequest, bad *web.Problem) error {
	page := web.QR{
		Common: g.flow.common(r), Flow: g.flow.ID, Request: g.id, Client: g.flow.Client, State: q.State,
		CanCancel: len(g.flow.Request) > 0, Problem: bad, Here: g.path(),
	}
	if g.renewed < qrRenewals {
		page.Renew = qrPage{flow: g.flow, renewed: g.renewed + 1}.path()
	}
	if q.State == qrWaiting || q.State == qrScanned {
		svg, err := qr.SVG(p.Issuer + "/qr/" + g.id)
		if err != nil {
			return fmt.Errorf("show a QR code: %w", err)
		}
		page.Picture = template.HTML(svg) //nolint:gosec // drawn by us from our issuer and an id of ours
		_, page.TypeAt, _ = strings.Cut(p.Issuer+"/qr", "://")
		page.Code = q.Code[:qrCodeLength/2] + "-" + q.Code[qrCodeLength/2:]
	}
	p.Site.Render(w, r, status, page)
	return nil
}

// qrAnswer is what the page's script learns. The text is the one that the page
// itself would show.
type qrAnswer struct {
	State     string `json:"state"`
	ExpiresIn int    `json:"expires_in"` // seconds
	Text      string `json:"text"`
}

// qrStatus is GET /login/qr/status. It needs the flow's cookie and answers JSON: a
// state, or a fault's code - 410 without the flow, 503 while the store is away.
func (p *Pages) qrStatus(w http.ResponseWriter, r *http.Request) {
	g, err := p.openQRPage(r)
	answer := qrAnswer{State: qrExpired}
	if err == nil {
		var q qrRequest
		q, err = p.qrOf(r.Context(), g)
		switch {
		case errors.Is(err, errQRGone):
			err = nil
		case err == nil:
			answer.State, answer.ExpiresIn = q.State, seconds(time.Until(q.At.Add(qrLife)))
		}
	}
	if err != nil {
		f := p.faultOf(r.Context(), err)
		writeJSON(w, f.Status, struct {
			Code string `json:"code"`
		}{f.Code})
		return
	}
	answer.Text = p.Site.QRState(r, g.flow.UILocales, answer.State)
	writeJSON(w, http.StatusOK, answer)
}

// finishQR is POST /login/qr: once the phone has allowed it, this browser - the one
// that drew the code - is signed in, once.
func (p *Pages) finishQR(w http.ResponseWriter, r *http.Request) error {
	g, err := p.openQRPage(r)
	if err != nil {
		return p.flowGone(w, r, err)
	}
	q, err := p.qrOf(r.Context(), g)
	if err == nil && q.State == qrAllowed {
		q, err = p.takeQR(r.Context(), g.id, q)
		if errors.Is(err, fault.Unavailable) { // what can be read still would have the page send the form again at once
			p.showError(w, r, g.flow, p.faultOf(r.Context(), err), g.path())
			return nil
		}
	}
	if err != nil && !isQRLost(err) {
		return err
	}
	if err != nil || q.State != qrAllowed || !q.drawnBy(g.flow) {
		see(w, r, g.path(), nil) // which shows where it is now
		return nil
	}
	return p.signInByQR(w, r, g, q)
}

func (p *Pages) signInByQR(w http.ResponseWriter, r *http.Request, g qrPage, q qrRequest) error {
	attempt, err := p.attempt(r, g.flow)
	if err != nil {
		return err
	}
	in, err := p.Users.signInBySession(r.Context(), q.UserID, q.SessionID, q.askedAt(), attempt)
	switch {
	case errors.Is(err, ErrDisabled), errors.Is(err, ErrClosing): // a code keeps a closing one
		p.showError(w, r, g.flow, p.faultOf(r.Context(), err), "/login?flow="+g.flow.ID)
		return nil
	case errors.Is(err, errQRSignedOut):
		return p.renderQR(w, r, g, errQRSignedOut.Status, qrRequest{State: qrExpired}, problem(errQRSignedOut, ""))
	case err != nil:
		return err
	}
	return p.enter(w, r, g.flow, in, false)
}
