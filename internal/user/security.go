package user

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/web"
)

// The room about how somebody signs in, and the pages behind its rows.
const (
	pathSecurity  = "/account/security"
	pathProve     = pathSecurity + "/prove"
	pathPhone     = pathSecurity + "/phone"
	pathPhoneLost = pathPhone + "/lost"
	pathPassword  = pathSecurity + "/password"
	pathTOTP      = pathSecurity + "/totp"
	pathRecovery  = pathSecurity + "/recovery"
	pathPasskeys  = pathSecurity + "/passkeys"
	pathUsername  = pathSecurity + "/username"
	pathEmail     = pathSecurity + "/email"
)

// mountSecurity adds the routes. Passkeys have some of their own, see mountPasskeys.
func (p *Pages) mountSecurity(r chi.Router) {
	for path, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		pathSecurity: p.showSecurity, pathProve: p.showProve,
		pathPhone: p.showPhone, pathPhoneLost: p.showPhoneLost, pathPhone + "/old": p.showPhoneCode,
		pathPhone + "/new": p.showNewPhone, pathPhone + "/confirm": p.showPhoneCode,
		pathPassword: p.showOwnPassword, pathPassword + "/forgot": p.forgotPassword,
		pathTOTP: p.showTOTP, pathTOTP + "/confirm": p.showTOTPSetup,
		pathRecovery: p.showRecovery, pathRecovery + "/codes": p.showNewCodes, pathRecovery + "/codes.txt": p.saveNewCodes,
		pathUsername: p.showIdentifier, pathEmail: p.showIdentifier,
	} {
		r.Get(path, p.answer(handle))
	}
	for path, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		pathProve: p.proveMore, pathPhone: p.sendToOld, pathPhoneLost: p.proveLost,
		pathPhone + "/old": p.checkOldPhone, pathPhone + "/old/resend": p.resendPhoneCode,
		pathPhone + "/new": p.sendToNew, pathPhone + "/confirm": p.checkNewPhone, pathPhone + "/confirm/resend": p.resendPhoneCode,
		pathPassword: p.savePassword, pathPassword + "/remove": p.removePassword,
		pathTOTP: p.startTOTP, pathTOTP + "/confirm": p.confirmTOTP, pathTOTP + "/remove": p.removeTOTP,
		pathRecovery: p.makeCodes, pathRecovery + "/kept": p.keepCodes,
		pathUsername: p.saveIdentifier, pathUsername + "/remove": p.removeIdentifier,
		pathEmail: p.saveIdentifier, pathEmail + "/remove": p.removeIdentifier,
	} {
		r.Post(path, p.answer(handle))
	}
}

// by is who changes an account on its own pages. The session goes on.
func by(s Session) By { return By{Actor: "user:" + s.UserID, Session: s.ID} }

// showSecurity is GET /account/security.
func (p *Pages) showSecurity(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	rows, err := p.securityRows(r.Context(), u)
	if err != nil {
		return err
	}
	p.Site.Render(w, r, http.StatusOK, web.AccountSecurity{Common: p.room(r, u), Rows: rows, Done: done(r)})
	return nil
}

// securityRows are the ways in which u can sign in, or show who they are.
func (p *Pages) securityRows(ctx context.Context, u User) ([]web.SecurityRow, error) {
	own, err := p.Users.names(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	hasPassword, changed, err := p.Users.HasPassword(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	hasApp, since, err := p.Users.HasTOTP(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	codes, err := p.Users.RecoveryCodesLeft(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	row := func(id, path string) web.SecurityRow {
		return web.SecurityRow{ID: id, Label: "security." + id, Value: "security.none", Action: "security.set", URL: path}
	}
	phone, username, email := row("phone", pathPhone), row("username", pathUsername), row("email", pathEmail)
	for r, value := range map[*web.SecurityRow]string{&phone: maskedOf(u), &username: own[kindUsername], &email: own[kindEmail]} {
		if value != "" {
			r.Shown, r.Value, r.Action = value, "", "security.change"
		}
	}
	phone.Number = true
	password, app, recovery := row("password", pathPassword), row("totp", pathTOTP), row("recovery", pathRecovery)
	if hasPassword {
		password.Value, password.Since, password.Action = "security.changed", changed, "security.change"
	}
	if hasApp {
		app.Value, app.Since, app.Action = "security.since", since, "security.manage"
	}
	if codes > 0 {
		recovery.Value, recovery.Count, recovery.Action = "security.recovery_left", codes, "security.manage"
	}
	rows := []web.SecurityRow{phone, password, username, email}
	if p.Users.HasPasskeys() {
		keys, err := p.Users.Passkeys(ctx, u.ID)
		if err != nil {
			return nil, err
		}
		passkeys := row("passkeys", pathPasskeys)
		if len(keys) > 0 {
			passkeys.Value, passkeys.Count, passkeys.Action = "security.passkeys_count", len(keys), "security.manage"
		}
		rows = append(rows, passkeys)
	}
	return append(rows, app, recovery), nil
}

// names are the identifiers of an account by kind, as their owner typed them.
func (s *Service) names(ctx context.Context, userID string) (map[string]string, error) {
	list, err := s.Identifiers(ctx, userID)
	if err != nil {
		return nil, err
	}
	own := make(map[string]string, len(list))
	for _, i := range list {
		own[i.Kind] = i.Value
	}
	return own, nil
}

// lately says whether a time of a proof still counts.
func lately(at time.Time) bool { return time.Since(at) <= freshSignIn }
