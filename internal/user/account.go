package user

import (
	"net/http"
	"time"

	"github.com/dialtone-id/dialtone/web"
)

// showAccount is GET /account; strangers sign in first.
func (p *Pages) showAccount(w http.ResponseWriter, r *http.Request) error {
	_, u, err := p.Users.SessionOf(r)
	if isNotFound(err) {
		return p.startDirect(w, r)
	}
	if err != nil {
		return err
	}
	masked := ""
	if !u.Phone.IsZero() {
		masked = u.Phone.String()
	}
	p.Site.Render(w, r, http.StatusOK, web.Account{
		Common: web.Common{RequestID: CallerOf(r.Context()).RequestID},
		Masked: masked, Since: u.CreatedAt.Format(time.DateOnly),
	})
	return nil
}

// showLegal is GET /legal/terms and /legal/privacy, for operators who have no
// pages of their own for them.
func (p *Pages) showLegal(kind string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		p.Site.Render(w, r, http.StatusOK, web.Legal{
			Common: web.Common{RequestID: CallerOf(r.Context()).RequestID}, Kind: kind,
		})
		return nil
	}
}
