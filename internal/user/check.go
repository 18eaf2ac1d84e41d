package user

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
	"github.com/dialtone-id/dialtone/web"
)

// HumanCheck makes and judges the checks that a message may ask for;
// *captcha.Checker is one.
type HumanCheck interface {
	captcha.Gate
	Picture(ctx context.Context, from netip.Addr, ticket string) ([]byte, error)
	Sound(ctx context.Context, from netip.Addr, ticket, locale string) ([]byte, error)
	Origins() []string
}

var errNoSuchPicture = fault.New(http.StatusNotFound, "not_found", "this picture or sound does not exist any more")

// checkForm is what a form brought of a human check.
type checkForm struct {
	answer  captcha.Answer // empty if there is none
	picture bool           // the person wants, or had, the picture
	again   bool           // a proof failed before
}

func checkFormOf(form url.Values) checkForm {
	c := checkForm{
		answer:  captcha.Answer{Proof: form.Get("captcha")},
		picture: form.Get("captcha_picture") == "1",
		again:   form.Get("captcha_again") == "1",
	}
	if typed := strings.TrimSpace(form.Get("captcha_typed")); typed != "" && c.answer.Proof == "" {
		c.answer.Ticket, c.answer.Typed = form.Get("captcha_ticket"), typed
	}
	if c.picture {
		c.answer = captcha.Answer{} // another picture was asked for
	}
	c.picture = c.picture || form.Get("captcha_ticket") != ""
	return c
}

// checked sends a message for n with what the form brought of a human check. The
// returned check, if there is one, is what the form has to be shown again with.
// See captcha.Guard for the errors.
func (p *Pages) checked(ctx context.Context, f Flow, n sms.Number, brought checkForm,
	send func(human int) (sms.Challenge, error),
) (sms.Challenge, *web.Check, error) {
	binding := captcha.Binding{Flow: f.Binding(), Number: p.Users.index(n)}
	challenge, puzzle, refused := captcha.Guard(ctx, p.Captcha, binding, brought.answer, send)
	if puzzle == nil {
		return challenge, nil, refused
	}
	text, err := json.Marshal(puzzle)
	if err != nil {
		return sms.Challenge{}, nil, fmt.Errorf("encode a human check: %w", err)
	}
	failed := errors.Is(refused, captcha.ErrFailed)
	return challenge, &web.Check{
		Type: puzzle.Type, Puzzle: string(text), Ticket: puzzle.Ticket, Origins: p.Captcha.Origins(),
		// A script that fails a second time would go on failing for ever.
		Picture: brought.picture || failed && brought.again, Again: failed,
	}, refused
}

// checkProblem is what a form with a check says: that one is needed is no
// mistake of the person's, and the check itself says enough.
func checkProblem(refused error) *web.Problem {
	if errors.Is(refused, captcha.ErrFailed) {
		return problem(captcha.ErrFailed, "captcha-typed")
	}
	return nil
}

// showPicture is GET /login/captcha.png, and showSound GET /login/captcha.wav:
// for browsers without script, of a ticket that a page of this flow carries.
func (p *Pages) showPicture(w http.ResponseWriter, r *http.Request) error {
	return p.showTicket(w, r, "image/png", func(ticket string, _ Flow) ([]byte, error) {
		return p.Captcha.Picture(r.Context(), CallerOf(r.Context()).Address, ticket)
	})
}

func (p *Pages) showSound(w http.ResponseWriter, r *http.Request) error {
	return p.showTicket(w, r, "audio/wav", func(ticket string, f Flow) ([]byte, error) {
		return p.Captcha.Sound(r.Context(), CallerOf(r.Context()).Address, ticket, p.language(r, f))
	})
}

func (p *Pages) showTicket(w http.ResponseWriter, r *http.Request, kind string, draw func(string, Flow) ([]byte, error)) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	f, err := p.Flows.Find(r, form.Get("flow"))
	if err != nil {
		return err
	}
	if p.Captcha == nil || !p.Captcha.Enabled() {
		return errNoSuchPicture
	}
	body, err := draw(form.Get("ticket"), f)
	if errors.Is(err, captcha.ErrFailed) {
		return errNoSuchPicture
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body)) // some players ask for parts
	return nil
}
