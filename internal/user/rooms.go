package user

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/web"
)

var errNothingThere = fault.New(http.StatusNotFound, "not_found", "there is nothing of that name in this account")

// The account pages: /account and its rooms. Every one begins with member. What
// a form names is looked for among the person's own things only.

// mountAccount adds the routes.
func (p *Pages) mountAccount(r chi.Router) {
	r.Get("/account", p.answer(p.showAccount))
	r.Get("/account/profile", p.answer(p.showProfile))
	r.Post("/account/profile", p.answer(p.saveProfile))
	r.Post("/account/picture", p.answer(p.savePicture))
	r.Post("/account/picture/remove", p.answer(p.removePicture))
	r.Get(pathPicture+"{id}", p.servePicture)
	p.mountSecurity(r)
	r.Get("/account/sessions", p.answer(p.showSessions))
	r.Post("/account/sessions/end", p.answer(p.endSession))
	r.Post("/account/sessions/end-others", p.answer(p.endOthers))
	r.Get("/account/apps", p.answer(p.showApps))
	r.Post("/account/apps/revoke", p.answer(p.withdraw))
	r.Get("/account/activity", p.answer(p.showActivity))
	r.Get("/account/privacy", p.answer(p.showPrivacy))
	r.Post("/account/privacy/export", p.answer(p.export))
}

// room is what the account pages of u share. The language of the account counts
// where the browser has none of its own.
func (p *Pages) room(r *http.Request, u User) web.Common {
	c := web.Common{RequestID: CallerOf(r.Context()).RequestID}
	if locale := ProfileOf(u).Locale; locale != "" && !p.Site.Chosen(r) {
		c.UILocales = []string{locale}
	}
	return c
}

// seeRoom goes on to a room, which says what was done.
func seeRoom(w http.ResponseWriter, r *http.Request, path, done string) {
	see(w, r, path, url.Values{"done": {done}})
}

// done is what the room was asked to say.
func done(r *http.Request) string { return r.URL.Query().Get("done") }

// showAccount is GET /account.
func (p *Pages) showAccount(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	profile := ProfileOf(u)
	p.Site.Render(w, r, http.StatusOK, web.Account{
		Common: p.room(r, u), Nickname: cmp.Or(profile.Nickname, profile.Name), Picture: p.Users.picturePath(u),
		Masked: maskedOf(u), Since: u.CreatedAt, Device: deviceOf(s.UserAgent), SignedInAt: s.AuthTime,
	})
	return nil
}

// maskedOf is u's number as pages show it, "" for none.
func maskedOf(u User) string {
	if u.Phone.IsZero() {
		return ""
	}
	return u.Phone.String()
}

// sessionsShown is more than anybody looks through.
const sessionsShown = 50

// showSessions is GET /account/sessions.
func (p *Pages) showSessions(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	live, err := p.Users.LiveSessions(r.Context(), u.ID)
	if err != nil {
		return err
	}
	here := web.BrowserSession{ID: s.ID, Device: deviceOf(s.UserAgent), Place: s.IPPrefix, Since: s.AuthTime, Seen: s.SeenAt, This: true}
	page := web.AccountSessions{
		Common: p.room(r, u), Sessions: []web.BrowserSession{here}, Minutes: p.minutes(), Done: done(r), More: len(live) > sessionsShown,
	}
	for _, x := range live[:min(len(live), sessionsShown)] {
		if x.ID != s.ID {
			page.Sessions = append(page.Sessions, web.BrowserSession{
				ID: x.ID, Device: deviceOf(x.UserAgent), Place: x.IPPrefix, Since: x.AuthTime, Seen: x.SeenAt,
			})
		}
	}
	p.Site.Render(w, r, http.StatusOK, page)
	return nil
}

// minutes is how long an access token may live on after its end, rounded up.
func (p *Pages) minutes() int { return int((p.AccessLife + time.Minute - 1) / time.Minute) }

// endSession is POST /account/sessions/end. This very browser is signed out by
// the page for that, which also asks.
func (p *Pages) endSession(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	form, err := parse(r)
	if err != nil {
		return err
	}
	id := form.Get("session")
	if id == s.ID {
		see(w, r, "/logout", nil)
		return nil
	}
	if err := p.Users.SignOutSession(r.Context(), u.ID, id); err != nil {
		return unknownIsGone(err)
	}
	seeRoom(w, r, "/account/sessions", "session_ended")
	return nil
}

// endOthers is POST /account/sessions/end-others.
func (p *Pages) endOthers(w http.ResponseWriter, r *http.Request) error {
	s, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	if err := p.Users.SignOutOthers(r.Context(), u.ID, Kept{Session: s.ID}); err != nil {
		return err
	}
	seeRoom(w, r, "/account/sessions", "others_ended")
	return nil
}

// showApps is GET /account/apps.
func (p *Pages) showApps(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	apps, err := p.Users.Apps(r.Context(), u.ID)
	if err != nil {
		return err
	}
	p.Site.Render(w, r, http.StatusOK, web.AccountApps{Common: p.room(r, u), Apps: apps, Minutes: p.minutes(), Done: done(r)})
	return nil
}

// withdraw is POST /account/apps/revoke, of two rooms. Nothing to withdraw is
// what a button pressed twice finds, and no other person's things are looked at.
func (p *Pages) withdraw(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	form, err := parse(r)
	if err != nil {
		return err
	}
	if err := p.Users.Withdraw(r.Context(), u.ID, form.Get("client")); err != nil && !isNotFound(err) {
		return err
	}
	to := "/account/apps"
	if form.Get("from") == "privacy" {
		to = "/account/privacy"
	}
	seeRoom(w, r, to, "withdrawn")
	return nil
}

// eventsShown on one page.
const eventsShown = 20

// showActivity is GET /account/activity.
func (p *Pages) showActivity(w http.ResponseWriter, r *http.Request) error {
	_, u, ok, err := p.member(w, r)
	if !ok {
		return err
	}
	query, err := parse(r)
	if err != nil {
		return err
	}
	events, older, err := p.Users.Activity(r.Context(), u.ID, query.Get("before"), eventsShown)
	if err != nil {
		return err
	}
	lines, err := p.Users.activityLines(r.Context(), u.ID, events)
	if err != nil {
		return err
	}
	p.Site.Render(w, r, http.StatusOK, web.AccountActivity{
		Common: p.room(r, u), Events: lines, Before: query.Get("before"), Older: older,
	})
	return nil
}

// unknownIsGone shows what is not the person's like what does not exist.
func unknownIsGone(err error) error {
	if isNotFound(err) {
		return errNothingThere
	}
	return err
}

// showLegal is GET /legal/terms and /legal/privacy, for operators who have no
// pages of their own for them.
func (p *Pages) showLegal(kind string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		p.Site.Render(w, r, http.StatusOK, web.Legal{
			Common: web.Common{RequestID: CallerOf(r.Context()).RequestID}, Kind: kind, Version: p.AgreementVersion,
		})
		return nil
	}
}
