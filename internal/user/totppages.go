package user

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/user/qr"
	"github.com/dialtone-id/dialtone/web"
)

// The pages for an authenticator app and for recovery codes.

// showTOTP is GET /account/security/totp.
func (p *Pages) showTOTP(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.secured(w, r, pathTOTP)
	if !ok {
		return err
	}
	_, since, err := p.Users.HasTOTP(r.Context(), u.ID)
	if err != nil {
		return err
	}
	p.Site.Render(w, r, http.StatusOK, web.AccountTOTP{Common: p.room(r, u), Since: since})
	return nil
}

// startTOTP is POST /account/security/totp.
func (p *Pages) startTOTP(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.secured(w, r, pathTOTP)
	if !ok {
		return err
	}
	if _, err := p.Users.EnrolTOTP(r.Context(), u.ID, p.Site.ServiceName(), p.labelOf(u)); err != nil {
		return unknownIsGone(err)
	}
	see(w, r, pathTOTP+"/confirm", nil)
	return nil
}

// labelOf is what an authenticator app calls the account: such lists are synchronised
// and seen by others, so the number is masked.
func (p *Pages) labelOf(u User) string {
	if masked := maskedOf(u); masked != "" {
		return masked
	}
	return p.Site.ServiceName()
}

// showTOTPSetup is GET /account/security/totp/confirm.
func (p *Pages) showTOTPSetup(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.secured(w, r, pathTOTP)
	if !ok {
		return err
	}
	return p.renderTOTPSetup(w, r, u, http.StatusOK, nil)
}

func (p *Pages) renderTOTPSetup(w http.ResponseWriter, r *http.Request, u User, status int, bad *web.Problem) error {
	e, err := p.Users.WaitingTOTP(r.Context(), u.ID, p.Site.ServiceName(), p.labelOf(u))
	if errors.Is(err, ErrNoEnrolment) { // confirmed, or never begun
		see(w, r, pathTOTP, nil)
		return nil
	}
	if err != nil {
		return err
	}
	svg, err := qr.SVG(e.URL)
	if err != nil {
		return fmt.Errorf("show a QR code: %w", err)
	}
	p.Site.Render(w, r, status, web.AccountTOTPSetup{
		Common: p.room(r, u), Secret: inFours(e.Secret), Problem: bad,
		Picture: template.HTML(svg),  //nolint:gosec // drawn by us from a secret of ours
		URL:     template.URL(e.URL), //nolint:gosec // otpauth:, written by us
	})
	return nil
}

// inFours writes a secret as people copy it.
func inFours(secret string) string {
	var groups []string
	for ; len(secret) > 4; secret = secret[4:] {
		groups = append(groups, secret[:4])
	}
	return strings.Join(append(groups, secret), " ")
}

// confirmTOTP is POST /account/security/totp/confirm.
func (p *Pages) confirmTOTP(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	s, u, ok, err := p.secured(w, r, pathTOTP)
	if !ok {
		return err
	}
	codes, err := p.Users.ConfirmTOTP(r.Context(), u.ID, form.Get("code"), p.by(r, s))
	if errors.Is(err, ErrNoEnrolment) {
		if _, since, lookup := p.Users.HasTOTP(r.Context(), u.ID); lookup == nil && time.Since(since) < time.Minute {
			see(w, r, pathRecovery+"/codes", nil) // the button was pressed twice
			return nil
		}
	}
	if bad, ok := shown(err); ok {
		return p.renderTOTPSetup(w, r, u, bad.Status, problem(bad, "totp-code"))
	}
	if err != nil {
		return unknownIsGone(err)
	}
	if err := p.noteMade(w, r, s, proofTOTP); err != nil {
		return err
	}
	if codes != nil {
		return p.handOver(w, r, s, codes)
	}
	seeRoom(w, r, pathSecurity, "totp")
	return nil
}

// removeTOTP is POST /account/security/totp/remove.
func (p *Pages) removeTOTP(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.secured(w, r, pathTOTP)
	if !ok {
		return err
	}
	if err := p.Users.RemoveTOTP(r.Context(), u.ID, p.by(r, s)); err != nil {
		return unknownIsGone(err)
	}
	seeRoom(w, r, pathSecurity, "totp_removed")
	return nil
}

// showRecovery is GET /account/security/recovery.
func (p *Pages) showRecovery(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.secured(w, r, pathRecovery)
	if !ok {
		return err
	}
	left, err := p.Users.RecoveryCodesLeft(r.Context(), u.ID)
	if err != nil {
		return err
	}
	p.Site.Render(w, r, http.StatusOK, web.AccountRecovery{Common: p.room(r, u), Left: left})
	return nil
}

// makeCodes is POST /account/security/recovery.
func (p *Pages) makeCodes(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.secured(w, r, pathRecovery)
	if !ok {
		return err
	}
	codes, err := p.Users.NewRecoveryCodes(r.Context(), u.ID, p.by(r, s))
	if err != nil {
		return unknownIsGone(err)
	}
	return p.handOver(w, r, s, codes)
}

// Only hashes of recovery codes are kept. So that the page which shows them survives
// a reload, and can be had as a file, the codes themselves stay with this browser: in
// a sealed cookie, for ten minutes or until the person has them.

const codesCookie = "dialtone_codes"

// newCodes is what that cookie holds.
type newCodes struct {
	At    int64    `json:"t"` // microseconds since 1970
	Codes []string `json:"c"`
}

func (p *Pages) handOver(w http.ResponseWriter, r *http.Request, s Session, codes []string) error {
	if err := p.Users.sealCookie(w, codesCookie, labelNewCodes, s, newCodes{time.Now().UnixMicro(), codes}); err != nil {
		return err
	}
	see(w, r, pathRecovery+"/codes", nil)
	return nil
}

// handedOver are the codes that this browser was given; ok is false without any, and
// the request is answered.
func (p *Pages) handedOver(w http.ResponseWriter, r *http.Request) (u User, codes []string, ok bool, err error) {
	s, u, ok, err := p.member(w, r)
	if !ok {
		return u, nil, false, err
	}
	var given newCodes
	text, ok := p.Users.openCookie(r, codesCookie, labelNewCodes, s)
	if !ok || json.Unmarshal(text, &given) != nil || !lately(time.UnixMicro(given.At)) {
		see(w, r, pathRecovery, nil)
		return u, nil, false, nil
	}
	// The button was pressed twice, or elsewhere too, and these were replaced.
	if stands, err := p.Users.hasRecoveryCodes(r.Context(), u.ID, given.Codes); err != nil || !stands {
		see(w, r, pathRecovery, nil)
		return u, nil, false, err
	}
	return u, given.Codes, true, nil
}

// showNewCodes is GET /account/security/recovery/codes.
func (p *Pages) showNewCodes(w http.ResponseWriter, r *http.Request) error {
	u, codes, ok, err := p.handedOver(w, r)
	if !ok {
		return err
	}
	p.Site.Render(w, r, http.StatusOK, web.AccountRecovery{Common: p.room(r, u), Codes: codes})
	return nil
}

// saveNewCodes is GET /account/security/recovery/codes.txt.
func (p *Pages) saveNewCodes(w http.ResponseWriter, r *http.Request) error {
	u, codes, ok, err := p.handedOver(w, r)
	if !ok {
		return err
	}
	text := p.Site.CodesFile(r, p.room(r, u).UILocales, codes)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Content-Disposition", `attachment; filename="recovery-codes.txt"`)
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(text)) //nolint:gosec // plain text; the person may have gone
	return nil
}

// keepCodes is POST /account/security/recovery/kept: the person has them.
func (p *Pages) keepCodes(w http.ResponseWriter, r *http.Request) error {
	if _, _, ok, err := p.member(w, r); !ok {
		return err
	}
	p.Users.cookies.clear(w, codesCookie)
	seeRoom(w, r, pathSecurity, "recovery")
	return nil
}
