package user

import (
	"net/http"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/web"
)

// After a sign-in by code people are offered a passkey, on a page of its own that
// can be left at once. A browser is asked once in 30 days at most, and only if its
// script said that this device can make one: whoever speaks HTTP alone, or sits in
// a pop-up or a frame, never meets the page.

const (
	offerCookie = "dialtone_passkey" // set where the offer was made lately, or is not wanted
	offerPause  = 30 * 24 * time.Hour
	offerNever  = 365 * 24 * time.Hour
)

// mayOffer says whether the code page should find out if this device can make a
// passkey.
func (p *Pages) mayOffer(r *http.Request) bool {
	_, lately := p.Users.cookies.read(r, offerCookie)
	return p.OfferPasskeys && p.Users.HasPasskeys() && !lately
}

// offersPasskey decides whether to make the offer to a user who just signed in,
// and if so lets the browser remember it.
func (p *Pages) offersPasskey(w http.ResponseWriter, r *http.Request, in SignedIn) bool {
	if !p.mayOffer(r) {
		return false
	}
	where, err := p.Users.asks(r.Context(), in.User, shownBy(in.Session.AMR, in.Session.ACR))
	has := proofTimes{}
	if err == nil {
		has, err = p.Users.proofTimes(r.Context(), in.User.ID)
	}
	if err != nil { // the sign-in stands; the offer can wait
		p.log().WarnContext(r.Context(), "no passkey is offered", "request_id", CallerOf(r.Context()).RequestID, "error", err)
		return false
	}
	_, app := has.made[proofTOTP]
	if _, key := has.made[proofPasskey]; key || app || where != "" { // it takes more than was shown to add one
		return false
	}
	p.Users.cookies.set(w, offerCookie, "later", offerPause)
	return true
}

// showPasskeySetup is GET /login/passkey-setup.
func (p *Pages) showPasskeySetup(w http.ResponseWriter, r *http.Request) error {
	f, err := p.Flows.Of(r)
	if err != nil {
		return p.flowGone(w, r, err)
	}
	if _, _, ok := p.signedInBy(r, f); !ok {
		return p.flowGone(w, r, ErrFlowExpired)
	}
	p.renderPasskeySetup(w, r, f, http.StatusOK, nil)
	return nil
}

// leavePasskeySetup is POST /login/passkey-setup: with a new passkey or without,
// the flow carries on.
func (p *Pages) leavePasskeySetup(w http.ResponseWriter, r *http.Request) error {
	form, err := parse(r)
	if err != nil {
		return err
	}
	f, err := p.Flows.Find(r, form.Get("flow"))
	if err != nil {
		return p.flowGone(w, r, err)
	}
	session, u, ok := p.signedInBy(r, f)
	if !ok {
		return p.flowGone(w, r, ErrFlowExpired)
	}
	switch {
	case form.Get("decision") == "never":
		p.Users.cookies.set(w, offerCookie, "never", offerNever)
	case form.Get("response") != "":
		err := p.mayAdd(r, session, u)
		if err == nil {
			_, err = p.Users.FinishPasskey(r.Context(), u, p.by(r, session), form.Get("state"), []byte(form.Get("response")), p.passkeyName(r))
		}
		if bad, ok := shown(err); ok {
			p.renderPasskeySetup(w, r, f, bad.Status, bad)
			return nil
		}
		if err != nil {
			return err
		}
	}
	p.carryOn(w, r, f, session)
	return nil
}

func (p *Pages) renderPasskeySetup(w http.ResponseWriter, r *http.Request, f Flow, status int, bad *fault.Error) {
	page := web.PasskeySetup{Common: f.common(r), Flow: f.ID, Client: f.Client}
	if bad != nil {
		page.Problem = problem(bad, "")
	}
	p.Site.Render(w, r, status, page)
}

// deviceKind names the device of a browser as people do, "" if it is unknown.
func deviceKind(userAgent string) string {
	for _, kind := range []struct{ mark, name string }{ // Android says Linux too, and iPads may say Mac
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"HarmonyOS", "HarmonyOS"},
		{"Windows", "Windows"}, {"Macintosh", "Mac"}, {"CrOS", "Chromebook"}, {"Linux", "Linux"},
	} {
		if strings.Contains(userAgent, kind.mark) {
			return kind.name
		}
	}
	return ""
}
