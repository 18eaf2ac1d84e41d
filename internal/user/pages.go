package user

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/web"
)

// Continuation is whoever started a flow with a Request in it (oauth). Both
// answer the HTTP request, and the flow is theirs to end: its cookie still
// stands, for a step such as consent may follow.
type Continuation interface {
	// SignedIn carries on after somebody signed in for f.
	SignedIn(w http.ResponseWriter, r *http.Request, f Flow, s Session)
	// Cancelled carries on after the person gave up.
	Cancelled(w http.ResponseWriter, r *http.Request, f Flow)
}

// Texts sends codes and checks them; *sms.Service is one.
type Texts interface {
	Regions() []sms.RegionInfo
	ParseNumberIn(input, region string) (sms.Number, error)
	Send(ctx context.Context, r sms.Request) (sms.Challenge, error)
	Resend(ctx context.Context, ref sms.Ref, a sms.Again) (sms.Challenge, error)
	Get(ctx context.Context, ref sms.Ref) (sms.Challenge, error)
	Waiting(ctx context.Context, r sms.Request) (id string, err error)
	Check(ctx context.Context, ref sms.Ref, code string) (sms.Proof, error)
}

// Pages are /login with its steps, /register, /qr, /account with its own, and /legal. Forms arrive from our own
// pages alone: the server refuses cross-origin POSTs before they come here, and
// without the flow's cookie, which is SameSite and of this very browser, a POST
// does nothing.
type Pages struct {
	Users            *Service
	SMS              Texts
	Site             *web.Site
	Flows            *Flows
	Next             Continuation
	Ephemeral        EphemeralState // nil for none: then there is no sign-in by QR code
	Issuer           string         // what QR codes lead to
	Captcha          HumanCheck     // nil for none: what asks for a check is then refused
	Proofs           Proofs         // nil for none: then nobody has one
	AgreementVersion string
	OfferPasskeys    bool          // after a sign-in by code
	AccessLife       time.Duration // of access tokens, which outlive what they came from
	Log              *slog.Logger  // nil means slog.Default()
}

// Mount adds the routes.
func (p *Pages) Mount(r chi.Router) {
	r.Get("/login", p.answer(p.showLogin))
	r.Post("/login", p.answer(p.sendCode))
	r.Get("/login/captcha.png", p.answer(p.showPicture))
	r.Get("/login/captcha.wav", p.answer(p.showSound))
	r.Post("/login/cancel", p.answer(p.cancel))
	r.Get("/login/code", p.answer(p.showCode))
	r.Post("/login/code", p.answer(p.checkCode))
	r.Post("/login/code/resend", p.answer(p.resendCode))
	r.Get("/login/code/status", p.codeStatus)
	r.Get("/login/closing", p.answer(p.showClosing))
	r.Post("/login/closing", p.answer(p.keep))
	r.Get("/login/recycled", p.answer(p.showRecycled))
	r.Post("/login/recycled", p.answer(p.answerRecycled))
	p.mountSecond(r)
	if p.Ephemeral != nil {
		p.mountQR(r)
	}
	r.Get("/login/password", p.answer(p.showPassword))
	r.Post("/login/password", p.answer(p.checkPassword))
	r.Get("/login/password/forgot", p.answer(p.forgotAtSignIn))
	r.Get("/register", p.answer(p.showRegister))
	r.Post("/register", p.answer(p.register))
	r.Post("/register/resend", p.answer(p.resendCode))
	p.mountAccount(r)
	r.Get("/account/delete", p.answer(p.showDelete))
	r.Post("/account/delete", p.answer(p.deleteAccount))
	r.Get("/account/deleted", p.answer(p.showDeleted))
	if p.Users.HasPasskeys() {
		p.mountPasskeys(r)
	}
	r.Get("/legal/terms", p.answer(p.showLegal("terms")))
	r.Get("/legal/privacy", p.answer(p.showLegal("privacy")))
}

// answer runs a handler and shows what it failed with as a page.
func (p *Pages) answer(handle func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := handle(w, r); err != nil {
			p.fail(w, r, err)
		}
	}
}

// fail shows the error page.
func (p *Pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := p.faultOf(r.Context(), err)
	back := ""
	if errors.Is(f, ErrFlowExpired) || errors.Is(f, ErrCookiesRequired) {
		back = "/login"
	}
	p.showError(w, r, Flow{}, f, back)
}

// showError shows a fault as a page of its own; back is where to start again.
func (p *Pages) showError(w http.ResponseWriter, r *http.Request, f Flow, what *fault.Error, back string) {
	p.Site.Render(w, r, what.Status, web.Error{
		Common: f.common(r), Code: what.Code, Description: what.Description, Params: what.Params,
		RetryAfter: what.RetryAfter, BackURL: back, Client: f.Client,
	})
}

// faultOf turns an error into what the person may learn. The rest is for the
// operator: it is logged here, and nowhere else.
func (p *Pages) faultOf(ctx context.Context, err error) *fault.Error {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
	case errors.Is(err, db.ErrUnavailable):
		f = fault.Unavailable.Because(err).After(5 * time.Second)
	default:
		f = fault.Internal.Because(err)
	}
	if f.Status >= http.StatusInternalServerError && ctx.Err() == nil {
		p.log().ErrorContext(ctx, "a page could not be answered",
			"request_id", CallerOf(ctx).RequestID, "code", f.Code, "error", err)
	}
	return f
}

func (p *Pages) log() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.Default()
}

// problem is a fault as a form shows it, beside the field it belongs to.
func problem(f *fault.Error, field string) *web.Problem {
	return &web.Problem{Code: f.Code, Params: f.Params, Field: field, RetryAfter: f.RetryAfter}
}

// seconds rounds up: who waits that long has waited long enough.
func seconds(d time.Duration) int { return int((max(d, 0) + time.Second - 1) / time.Second) }

// common is what every page of a flow shares.
func (f Flow) common(r *http.Request) web.Common {
	return web.Common{UILocales: f.UILocales, FormAction: f.FormAction, RequestID: CallerOf(r.Context()).RequestID}
}

// language is what a message of f is written in.
func (p *Pages) language(r *http.Request, f Flow) string { return p.Site.Language(r, f.UILocales) }

// see sends the browser on with GET, which makes every page survive a reload.
func see(w http.ResponseWriter, r *http.Request, path string, query url.Values) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, path, http.StatusSeeOther) //nolint:gosec // callers pass paths of ours
}
