package user

import (
	"net/http"
	"net/url"
	"time"
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

// fresh says whether the person proved lately who they are. If not they sign in
// again and come back to page, and the request is answered. The number is not filled
// in: pages mask it for whoever has an old session in hand.
func (p *Pages) fresh(w http.ResponseWriter, r *http.Request, s Session, page string) (bool, error) {
	if s.fresh() {
		return true, nil
	}
	return false, p.signInFor(w, r, Flow{Return: page, ProvenAfter: time.Now().UTC(), Only: s.UserID})
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
	if lang := r.URL.Query().Get("lang"); lang != "" { // the page that was asked for would have kept it
		query.Set("lang", lang)
	}
	see(w, r, path, query)
	return nil
}

// FreshSignIn is how long after signing in a person may change how they sign in,
// take all of their data or delete the account.
const FreshSignIn = freshSignIn
