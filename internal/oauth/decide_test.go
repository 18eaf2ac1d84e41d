package oauth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/user"
)

func orUpdate(w *world, c client.Client, err error) error {
	if err != nil {
		return err
	}
	return w.clients.Update(context.Background(), c)
}

func TestOneSignInServesEveryClient(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		first := claims(t, b.tokens(webRequest()).text("id_token"))
		q := ask("web2", "https://rp2.example/cb", "prompt", "none")
		r := b.redeem(q, q.wantCode(b.authorize(q)))
		second := claims(t, r.text("id_token"))
		for _, name := range []string{"sub", "sid", "auth_time", "acr"} {
			if first[name] == nil || first[name] != second[name] {
				t.Errorf("%s: %v and %v", name, first[name], second[name])
			}
		}
	})
}

// T-25: none never shows anything.
func TestPromptNoneShowsNothing(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	none := func(q request, extra ...string) (request, reply) {
		q = q.with(append(extra, "prompt", "none")...)
		return q, b.authorize(q)
	}
	q, r := none(webRequest())
	q.wantError(r, w.url, "login_required")

	mine := b.tokens(webRequest()).text("id_token")
	other := w.browser(t).tokens(webRequest()).text("id_token")

	q, r = none(webRequest())
	q.wantCode(r)
	q, r = none(webRequest(), "id_token_hint", mine)
	q.wantCode(r)
	q, r = none(webRequest(), "id_token_hint", other)
	q.wantError(r, w.url, "login_required")
	q, r = none(webRequest(), "max_age", "0")
	q.wantError(r, w.url, "login_required")
	q, r = none(webRequest(), "max_age", "10000")
	q.wantCode(r)
	q, r = none(ask("third", "https://third.example/cb"))
	q.wantError(r, w.url, "consent_required")
}

func TestPromptsThatNeedASignIn(t *testing.T) {
	w := newWorld(t)
	b, number := w.browser(t), "+8613800138088" // a test number, which has no cooldown
	w.inbox.codes[number] = "246810"
	q := webRequest()
	first := claims(t, b.redeem(q, q.wantCode(b.signIn(b.authorize(q), number))).text("id_token"))
	for _, extra := range [][]string{{"prompt", "login"}, {"prompt", "select_account"}, {"prompt", "create"}, {"prompt", "login consent"}, {"max_age", "0"}} {
		q := webRequest(extra...)
		r := b.signIn(b.authorize(q), number)
		if extra[1] == "login consent" {
			to := r.location()
			if to.Path != "/consent" {
				t.Fatalf("%v led to %s", extra, to)
			}
			page := b.get(to.String())
			r = b.post("/consent", url.Values{"flow": {to.Query().Get("flow")}, "session": {hidden(t, page.body, "session")}, "decision": {"allow"}})
		}
		again := claims(t, b.redeem(q, q.wantCode(r)).text("id_token"))
		if again["sub"] != first["sub"] || again["sid"] != first["sid"] || again["auth_time"].(float64) < first["auth_time"].(float64) {
			t.Errorf("%v: %v after %v", extra, again, first)
		}
	}
	// Without them the session does.
	q = webRequest("max_age", "10000")
	q.wantCode(b.authorize(q))
}

// A change of password in another tab is no sign-in.
func TestAPromptIsNotAnsweredByAChange(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		subject, session := sid(t, b.tokens(webRequest()))
		for _, extra := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
			must(t, w.users.SetPassword(t.Context(), subject, aPassword, byOperator))
			q := webRequest(extra...)
			flow := b.authorize(q).location().Query().Get("flow")
			must(t, w.users.RemovePassword(t.Context(), subject, user.By{Actor: "user:" + subject, Session: session}))
			if to := b.get("/login/second?flow=" + flow).location(); to.Path != "/login" {
				t.Errorf("%v led to %s", extra, to)
			}
		}
		q := webRequest()
		q.wantCode(b.authorize(q)) // it is still signed in
	})
}

func TestHintOfAnotherPersonAsksForThatPerson(t *testing.T) {
	w := newWorld(t)
	b, other := w.browser(t), w.browser(t)
	b.tokens(webRequest())
	theirNumber := newNumber()
	q := webRequest()
	theirs := other.redeem(q, q.wantCode(other.signIn(other.authorize(q), theirNumber))).text("id_token")

	// Somebody else signs in than the client asked for.
	q = webRequest("id_token_hint", theirs)
	q.wantError(b.signIn(b.authorize(q), newNumber()), w.url, "login_required")
}

// A sign-in that another device vouched for has that device's time: it is none of long
// ago that calls for another one, again and again.
func TestHintOfAnotherPersonThanAnOlderSignIn(t *testing.T) {
	w := newWorld(t)
	b, other := w.browser(t), w.browser(t)
	theirs := other.tokens(webRequest()).text("id_token")
	me, _ := sid(t, b.tokens(webRequest()))
	signOut(t, b)

	q := webRequest("id_token_hint", theirs)
	login := b.authorize(q).location()
	r := httptest.NewRequest(http.MethodPost, w.url+login.Path, nil)
	here, err := url.Parse(w.url)
	must(t, err)
	for _, c := range b.c.Jar.Cookies(here) {
		r.AddCookie(c)
	}
	f, err := w.server.flows.Find(r, login.Query().Get("flow"))
	must(t, err)
	rec := httptest.NewRecorder()
	w.server.SignedIn(rec, r, f, user.Session{ID: "copied", UserID: me, AuthTime: time.Now().Add(-time.Hour), ACR: "1"})
	q.wantError(reply{t: t, status: rec.Code, header: rec.Header(), body: rec.Body.String()}, w.url, "login_required")
}

func TestCancelledSignInIsToldToTheClient(t *testing.T) {
	w := newWorld(t)
	b, q := w.browser(t), webRequest()
	login := b.authorize(q).location()
	b.get(login.String()).wantPage(http.StatusOK, "page-login")
	flow := login.Query().Get("flow")
	q.wantError(b.post("/login/cancel", url.Values{"flow": {flow}}), w.url, "access_denied")
	b.get("/login?flow="+flow).wantPage(http.StatusGone, "page-error")
}

func TestDisabledPersonIsAStranger(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	sub, _ := claims(t, b.tokens(webRequest()).text("id_token"))["sub"].(string)
	must(t, w.users.Disable(t.Context(), sub))
	q := webRequest("prompt", "none")
	q.wantError(b.authorize(q), w.url, "login_required")
}

// The table of max_age and clocks that only time could bring about.
func TestFreshnessOfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		age := func(s int64) *int64 { return &s }
		for name, c := range map[string]struct {
			maxAge  *int64
			seen    string
			authAgo time.Duration
			fresh   bool
			old     bool
		}{
			"no limit":                             {nil, "s", 24 * time.Hour, false, false},
			"within":                               {age(60), "s", time.Minute, false, false},
			"beyond":                               {age(60), "s", time.Minute + time.Second, false, true},
			"zero, this very moment":               {age(0), "s", 0, false, true},
			"zero, from a clock ahead":             {age(0), "s", -time.Minute, false, true},
			"new session":                          {age(60), "before", -time.Second, true, false},
			"new session, clock behind":            {nil, "before", 90 * time.Second, true, false},
			"new session, first of the browser":    {nil, "", -time.Second, true, false},
			"same session, signed in again":        {age(60), "s@earlier", -time.Second, true, false},
			"another session of long ago":          {nil, "before", time.Hour, false, false},
			"same session, although it looks new":  {nil, "s", -time.Second, false, false},
			"same session, and max_age of minutes": {age(120), "s", 3 * time.Minute, false, true},
		} {
			s := user.Session{ID: "s", AuthTime: now.Add(-c.authAgo)}
			q := &authRequest{MaxAge: c.maxAge, SeenSignIn: c.seen, RequestedAt: now.UnixMicro()}
			if c.seen == "s" {
				q.SeenSignIn = signInOf(s)
			}
			if got := freshLogin(q, s); got != c.fresh {
				t.Errorf("%s: fresh %v", name, got)
			}
			if got := tooOld(q, s); !c.fresh && got != c.old {
				t.Errorf("%s: too old %v", name, got)
			}
		}
	})
}

func TestDefaultMaxAgeOfTheClientApplies(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.tokens(webRequest())
	zero := 0
	c, err := w.clients.Read(t.Context(), "web")
	c.DefaultMaxAge = &zero
	must(t, orUpdate(w, c, err))
	w.clients.Forget()
	q := webRequest("prompt", "none")
	q.wantError(b.authorize(q), w.url, "login_required")
	q = webRequest("prompt", "none", "max_age", "1000")
	q.wantCode(b.authorize(q))
}

// While a person signs in the request lies in a cookie; the longest one that is
// accepted fits, and one that does not is refused at once.
func TestLongestRequestsSurviveTheSignIn(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	text := func(n int) string {
		var s string
		for len(s) < n {
			s += rand43()
		}
		return s[:n]
	}
	q := webRequest("state", text(maxState), "nonce", text(maxNonce))
	r := b.redeem(q, q.wantCode(b.signIn(b.authorize(q), newNumber())))
	if claims(t, r.text("id_token"))["nonce"] != q.Get("nonce") {
		t.Error("the nonce was lost")
	}
	c, err := w.clients.Read(t.Context(), "web2")
	c.RedirectURIs = []string{"https://rp2.example/cb?x=" + text(1800)}
	must(t, orUpdate(w, c, err))
	w.clients.Forget()
	q = ask("web2", c.RedirectURIs[0], "state", text(maxState), "nonce", text(maxNonce))
	to := w.browser(t).authorize(q).location()
	if to.Query().Get("error") != "invalid_request" || to.Query().Get("state") != q.Get("state") {
		t.Errorf("went to %.100s", to)
	}
}
