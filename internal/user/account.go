package user

import (
	"net/http"
	"net/url"
	"time"

	"github.com/dialtone-id/dialtone/web"
)

// member is the session and the account behind an account page. Strangers sign in
// first and come back to the page; then the request is answered and ok is false.
func (p *Pages) member(w http.ResponseWriter, r *http.Request) (s Session, u User, ok bool, err error) {
	s, u, err = p.Users.SessionOf(r)
	if isNotFound(err) {
		page := "/account"
		if r.Method == http.MethodGet {
			page = r.URL.Path
		}
		return Session{}, User{}, false, p.signInFor(w, r, Flow{Return: page})
	}
	return s, u, err == nil, err
}

// signInFor begins a sign-in that no client asked for.
func (p *Pages) signInFor(w http.ResponseWriter, r *http.Request, f Flow) error {
	return p.begin(w, r, f, "/login")
}

// begin starts a flow at a page that signs in, in the language that was asked for.
func (p *Pages) begin(w http.ResponseWriter, r *http.Request, f Flow, path string) error {
	f, err := p.Flows.Start(w, r, f)
	if err != nil {
		return err
	}
	query := url.Values{"flow": {f.ID}}
	if lang := r.URL.Query().Get("lang"); lang != "" {
		query.Set("lang", lang)
	}
	see(w, r, path, query)
	return nil
}

// showAccount is GET /account.
func (p *Pages) showAccount(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
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
