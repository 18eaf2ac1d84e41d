package user

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// errNoChallenge is a challenge that is used up, or was never this flow's.
var errNoChallenge = fault.New(http.StatusNotFound, "not_found", "this flow has no such challenge any more")

// statusAnswer is what the code page's script learns. The text is the one that
// the page itself would show.
type statusAnswer struct {
	Status    string `json:"status"`           // as in sms.Challenge, or "expired" for a code that will not work any more
	Reason    string `json:"reason,omitempty"` // as in sms.Challenge
	ResendIn  int    `json:"resend_in"`        // seconds
	ExpiresIn int    `json:"expires_in"`       // seconds
	Text      string `json:"text"`
}

// codeStatus is GET /login/code/status: what is known of the message now, by one
// SELECT. It needs the flow's cookie and answers JSON: a status, or a fault's
// code with 404 for a challenge that is none of the flow's, 410 without the flow and 400 without any cookie.
func (p *Pages) codeStatus(w http.ResponseWriter, r *http.Request) {
	answer, err := p.lookUpStatus(r)
	if err == nil {
		writeJSON(w, http.StatusOK, answer)
		return
	}
	f := p.faultOf(r.Context(), err)
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds(f.RetryAfter)))
	}
	writeJSON(w, f.Status, struct {
		Code string `json:"code"`
	}{f.Code})
}

func (p *Pages) lookUpStatus(r *http.Request) (statusAnswer, error) {
	c, err := p.openCode(r)
	if err != nil {
		return statusAnswer{}, err
	}
	if c.flow.change != nil {
		c.ref.Purpose = sms.ChangePhone
	}
	challenge, err := p.SMS.Get(r.Context(), c.ref)
	if errors.Is(err, sms.ErrCodeExpired) {
		return statusAnswer{}, errNoChallenge
	}
	if err != nil {
		return statusAnswer{}, err
	}
	a := statusAnswer{
		Status: challenge.Status, Reason: challenge.Reason,
		ResendIn: seconds(time.Until(challenge.ResendAt)), ExpiresIn: seconds(time.Until(challenge.ExpiresAt)),
		Text: p.Site.Delivery(r, c.flow.UILocales, challenge.Status, challenge.Reason),
	}
	if trouble := troubleOf(challenge); trouble != nil {
		a.Text = p.Site.Text(r, c.flow.UILocales, trouble.Code, nil)
		if challenge.Status != sms.StatusFailed {
			a.Status, a.Reason = "expired", ""
		}
	}
	return a, nil
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the page may have gone
}
