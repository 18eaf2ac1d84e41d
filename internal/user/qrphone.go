package user

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/web"
)

// showQRConfirm is GET /qr/ID, where the QR code leads. Who scans it first, signed
// in, makes it theirs; nothing is allowed by that.
func (p *Pages) showQRConfirm(w http.ResponseWriter, r *http.Request) error {
	id := chi.URLParam(r, "id")
	if !isQRID(id) {
		return p.renderQRResult(w, r, http.StatusGone, qrExpired)
	}
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	q, err := p.scanQR(r, id, u)
	switch {
	case isQRLost(err):
		return p.renderQRResult(w, r, http.StatusGone, qrExpired)
	case err != nil:
		return err
	case q.UserID != u.ID:
		return p.renderQRResult(w, r, http.StatusConflict, "taken")
	case q.State != qrScanned:
		return p.renderQRResult(w, r, http.StatusOK, q.State)
	}
	device := deviceOf(q.UserAgent)
	masked := ""
	if !u.Phone.IsZero() {
		masked = u.Phone.String()
	}
	p.Site.Render(w, r, http.StatusOK, web.QRConfirm{
		Common: Flow{}.common(r), Request: id, Client: q.Client, Masked: masked, Browser: device.Browser, System: device.OS,
		Address: readablePrefix(q.Address), Since: q.At, Ago: seconds(time.Since(q.At)),
	})
	return nil
}

// scanQR reads a request, and marks one that waits as scanned by u.
func (p *Pages) scanQR(r *http.Request, id string, u User) (qrRequest, error) {
	for range 3 {
		q, raw, err := p.openQR(r.Context(), id)
		if err != nil || q.State != qrWaiting {
			return q, err
		}
		q.State, q.UserID = qrScanned, u.ID
		if moved, err := p.moveQR(r.Context(), id, raw, q); moved || err != nil {
			return q, err
		} // somebody else was faster, or it has just expired: the next look tells
	}
	return qrRequest{}, errQRGone
}

// decideQR is POST /qr/ID: the person allows or declines what they scanned. A
// sign-in that has to be proven anew is proven here, on the phone, first.
func (p *Pages) decideQR(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	id := chi.URLParam(r, "id")
	if !isQRID(id) {
		return p.renderQRResult(w, r, http.StatusGone, qrExpired)
	}
	page, decision := "/qr/"+id, form.Get("decision")
	session, u, err := p.Users.SessionOf(r)
	if isNotFound(err) {
		return p.signInFor(w, r, Flow{Return: page})
	}
	if err != nil {
		return err
	}
	q, raw, err := p.openQR(r.Context(), id)
	if err != nil && !isQRLost(err) {
		return err
	}
	if err != nil || q.State != qrScanned || q.UserID != u.ID {
		see(w, r, page, nil) // which says why
		return nil
	}
	_, _, mayCopy, err := p.Users.liveSession(r.Context(), u.ID, session.ID, time.Now())
	if err != nil && !isNotFound(err) {
		return err
	}
	switch {
	case decision == "deny":
		q.State = qrDeclined
	case decision != "allow":
		return errMalformed.Describe("decision must be allow or deny")
	case session.AuthTime.Before(q.ProvenAfter) || !mayCopy:
		return p.signInFor(w, r, Flow{Return: page})
	default:
		q.State, q.SessionID = qrAllowed, session.ID
	}
	if _, err := p.moveQR(r.Context(), id, raw, q); err != nil && !isQRLost(err) {
		return err
	}
	see(w, r, page, nil)
	return nil
}

// renderQRResult says what became of a request: a state, or "taken" by another account.
func (p *Pages) renderQRResult(w http.ResponseWriter, r *http.Request, status int, state string) error {
	p.Site.Render(w, r, status, web.QRResult{Common: Flow{}.common(r), State: state})
	return nil
}

// showQRTyped is GET /qr: the page for the code that is typed instead of scanned.
func (p *Pages) showQRTyped(w http.ResponseWriter, r *http.Request) error {
	_, _, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	p.Site.Render(w, r, http.StatusOK, web.QRTyped{Common: Flow{}.common(r)})
	return nil
}

// findQRTyped is POST /qr: the code leads to the same page as the QR code. How many
// one person may type is limited, so nobody finds another's by trying.
func (p *Pages) findQRTyped(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	_, u, err := p.Users.SessionOf(r)
	if isNotFound(err) {
		return p.signInFor(w, r, Flow{Return: "/qr"})
	}
	if err != nil {
		return err
	}
	id, err := p.namedQR(r, u, form.Get("code"))
	if bad, ok := shown(err); ok {
		field := ""
		if errors.Is(err, errQRCode) {
			field = "qr-typed"
		}
		p.Site.Render(w, r, bad.Status, web.QRTyped{Common: Flow{}.common(r), Code: clip(strings.TrimSpace(form.Get("code")), 32), Problem: problem(bad, field)})
		return nil
	}
	if err != nil {
		return err
	}
	see(w, r, "/qr/"+id, nil)
	return nil
}

func (p *Pages) namedQR(r *http.Request, u User, typed string) (string, error) {
	code := readQRCode(typed)
	if code == "" {
		return "", errQRCode // nobody's, so it is no guess
	}
	if err := p.spendQR(r.Context(), "type", []byte(u.ID), qrPerUser); err != nil {
		return "", err
	}
	id, err := p.Ephemeral.Named(r.Context(), qrKind, code)
	if errors.Is(err, ephemeral.ErrNotFound) {
		return "", errQRCode
	}
	if err != nil {
		return "", qrFault("look up a typed code", err)
	}
	return id, nil
}
