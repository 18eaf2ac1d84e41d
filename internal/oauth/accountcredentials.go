package oauth

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/dialtone-id/dialtone/internal/user"
)

// securityBody is in which ways a person can sign in. The number is masked.
type securityBody struct {
	Phone *struct {
		Masked     string    `json:"masked" example:"+86 138****8000"`
		VerifiedAt time.Time `json:"verified_at,omitzero"`
	} `json:"phone,omitempty"`
	Username      string         `json:"username,omitempty"`
	Email         string         `json:"email,omitempty"`
	Password      factorBody     `json:"password"`
	Authenticator factorBody     `json:"totp"`
	RecoveryCodes int            `json:"recovery_codes" doc:"How many are unused"`
	Passkeys      []user.Passkey `json:"passkeys" nullable:"false"`
}

// factorBody is whether there is one, and since when.
type factorBody struct {
	Set   bool      `json:"set"`
	Since time.Time `json:"since,omitzero"`
}

func (a *accountAPI) security(ctx context.Context, c call, _ *nothing) (*answer[securityBody], error) {
	users, id := a.s.users, c.userID()
	u, err := c.person(a.s)
	if err != nil {
		return nil, err
	}
	var b securityBody
	if !u.Phone.IsZero() {
		b.Phone = &struct {
			Masked     string    `json:"masked" example:"+86 138****8000"`
			VerifiedAt time.Time `json:"verified_at,omitzero"`
		}{u.Phone.String(), u.PhoneVerifiedAt}
	}
	identifiers, err := users.Identifiers(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, i := range identifiers {
		switch i.Kind {
		case "username":
			b.Username = i.Value
		case "email":
			b.Email = i.Value
		}
	}
	if b.Password.Set, b.Password.Since, err = users.HasPassword(ctx, id); err != nil {
		return nil, err
	}
	if b.Authenticator.Set, b.Authenticator.Since, err = users.HasTOTP(ctx, id); err != nil {
		return nil, err
	}
	if b.RecoveryCodes, err = users.RecoveryCodesLeft(ctx, id); err != nil {
		return nil, err
	}
	b.Passkeys, err = users.Passkeys(ctx, id)
	return &answer[securityBody]{b}, err
}

type usernameInput struct {
	Body struct {
		Username string `json:"username" doc:"3 to 32 letters and digits, a letter first"`
	}
}

type emailInput struct {
	Body struct {
		Email string `json:"email"`
	}
}

type passwordInput struct {
	Body struct {
		Password string `json:"password" doc:"8 to 128 characters, none of the common ones"`
	}
}

// credentials are the names and the password that a person signs in with.
func (a *accountAPI) credentials() {
	users := a.s.users
	serve(a, operation{
		id: "get-security", method: http.MethodGet, path: "/security", summary: "Read in which ways the person can sign in",
	}, a.security)
	serve(a, operation{
		id: "put-username", method: http.MethodPut, path: "/username", summary: "Set the user name, ten changes of names a day at most",
		fresh: true, members: []string{"username"}, change: conflicts,
	}, func(ctx context.Context, c call, in *usernameInput) (*nothing, error) {
		if in.Body.Username == "" {
			return nil, user.ErrUsernameInvalid
		}
		return nil, users.SetUsername(ctx, c.userID(), in.Body.Username, c.by())
	})
	serve(a, operation{
		id: "delete-username", method: http.MethodDelete, path: "/username", summary: "Remove the user name", fresh: true, change: conflicts,
	}, func(ctx context.Context, c call, _ *nothing) (*nothing, error) {
		return nil, users.SetUsername(ctx, c.userID(), "", c.by())
	})
	serve(a, operation{
		id: "put-email", method: http.MethodPut, path: "/email", summary: "Set the e-mail address, ten changes of names a day at most",
		fresh: true, members: []string{"email"}, change: conflicts,
	}, func(ctx context.Context, c call, in *emailInput) (*nothing, error) {
		if in.Body.Email == "" {
			return nil, user.ErrEmailInvalid
		}
		return nil, users.SetEmail(ctx, c.userID(), in.Body.Email, c.by())
	})
	serve(a, operation{
		id: "delete-email", method: http.MethodDelete, path: "/email", summary: "Remove the e-mail address", fresh: true, change: conflicts,
	}, func(ctx context.Context, c call, _ *nothing) (*nothing, error) {
		return nil, users.SetEmail(ctx, c.userID(), "", c.by())
	})
	serve(a, operation{
		id: "put-password", method: http.MethodPut, path: "/password",
		summary: "Set or change the password; a change ends every other session and every grant, that of the app too", fresh: true, strong: true, members: []string{"password"}, change: limited,
	}, func(ctx context.Context, c call, in *passwordInput) (*nothing, error) {
		return nil, users.SetPassword(ctx, c.userID(), in.Body.Password, c.by())
	})
	serve(a, operation{
		id: "delete-password", method: http.MethodDelete, path: "/password",
		summary: "Remove the password; ends every other session and every grant, that of the app too", fresh: true, strong: true, change: conflicts,
	}, func(ctx context.Context, c call, _ *nothing) (*nothing, error) {
		return nil, users.RemovePassword(ctx, c.userID(), c.by())
	})
}

type passkeyInput struct {
	ID string `path:"id"`
}

type renameInput struct {
	ID   string `path:"id"`
	Body struct {
		Name string `json:"name" doc:"At most 100 bytes"`
	}
}

type passkeyList struct {
	Passkeys []user.Passkey `json:"passkeys" nullable:"false"`
}

// passkeys are added in a browser, where the issuer's origin is; see protocol.md.
func (a *accountAPI) passkeys() {
	users := a.s.users
	serve(a, operation{
		id: "list-passkeys", method: http.MethodGet, path: "/passkeys", summary: "List the passkeys",
	}, func(ctx context.Context, c call, _ *nothing) (*answer[passkeyList], error) {
		list, err := users.Passkeys(ctx, c.userID())
		return &answer[passkeyList]{passkeyList{list}}, err
	})
	serve(a, operation{
		id: "rename-passkey", method: http.MethodPatch, path: "/passkeys/{id}", summary: "Rename a passkey", fresh: true, strong: true, members: []string{"name"}, change: mayMiss,
	}, func(ctx context.Context, c call, in *renameInput) (*nothing, error) {
		return nil, users.RenamePasskey(ctx, c.userID(), in.ID, in.Body.Name)
	})
	serve(a, operation{
		id: "remove-passkey", method: http.MethodDelete, path: "/passkeys/{id}", summary: "Remove a passkey", fresh: true, strong: true, change: mayMissOrConflict,
	}, func(ctx context.Context, c call, in *passkeyInput) (*nothing, error) {
		return nil, users.RemovePasskey(ctx, c.userID(), in.ID, c.by())
	})
}

type enrolmentBody struct {
	Secret string `json:"secret" doc:"Base32, for who types it"`
	URL    string `json:"otpauth_url" doc:"For the QR code, or for the app to open"`
}

type totpInput struct {
	Body struct {
		Code string `json:"code" doc:"What the authenticator app shows"`
	}
}

type recoveryBody struct {
	RecoveryCodes []string `json:"recovery_codes" nullable:"false" doc:"Shown this once; empty if unused ones exist"`
}

// factors are the authenticator app and the recovery codes.
func (a *accountAPI) factors() {
	users := a.s.users
	serve(a, operation{
		id: "enrol-totp", method: http.MethodPost, path: "/totp", summary: "Begin with an authenticator app; nothing changes until a code of it is confirmed", fresh: true, strong: true,
	}, func(ctx context.Context, c call, _ *nothing) (*answer[enrolmentBody], error) {
		u, err := c.person(a.s)
		if err != nil {
			return nil, err
		}
		label := u.ID
		if !u.Phone.IsZero() {
			label = u.Phone.String()
		}
		e, err := users.EnrolTOTP(ctx, u.ID, a.s.host(), label)
		return &answer[enrolmentBody]{enrolmentBody{e.Secret, e.URL}}, err
	})
	serve(a, operation{
		id: "confirm-totp", method: http.MethodPost, path: "/totp/confirm", summary: "Confirm the authenticator app by a code of it", fresh: true, strong: true,
		members: []string{"code"}, change: conflicts,
	}, func(ctx context.Context, c call, in *totpInput) (*answer[recoveryBody], error) {
		codes, err := users.ConfirmTOTP(ctx, c.userID(), in.Body.Code, c.by())
		return &answer[recoveryBody]{recoveryBody{append([]string{}, codes...)}}, err
	})
	serve(a, operation{
		id: "remove-totp", method: http.MethodDelete, path: "/totp", summary: "Remove the authenticator app and the recovery codes", fresh: true, strong: true,
	}, func(ctx context.Context, c call, _ *nothing) (*nothing, error) {
		return nil, users.RemoveTOTP(ctx, c.userID(), c.by())
	})
	serve(a, operation{
		id: "make-recovery-codes", method: http.MethodPost, path: "/recovery-codes", summary: "Replace the recovery codes by ten new ones", fresh: true, strong: true,
	}, func(ctx context.Context, c call, _ *nothing) (*answer[recoveryBody], error) {
		codes, err := users.NewRecoveryCodes(ctx, c.userID(), c.by())
		return &answer[recoveryBody]{recoveryBody{codes}}, err
	})
}

// host is the issuer's, as authenticator apps show it.
func (s *Server) host() string {
	u, err := url.Parse(s.issuer)
	if err != nil {
		return s.issuer
	}
	return u.Hostname()
}
