package user

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// T-141
func TestSessionCookieIsStrictAndNewAtEverySignIn(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	flow, challenge := b.begin("/login", fixture(0))
	res := b.finish(flow, challenge, testCode)
	res.to(t)
	cookies := map[string]*http.Cookie{}
	for _, c := range (&http.Response{Header: res.header}).Cookies() {
		cookies[c.Name] = c
	}
	for _, name := range []string{sessionName, deviceName} {
		c := cookies[name]
		if c == nil || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s: %v", name, c)
		}
	}
	first := b.cookie(sessionName)
	flow, challenge = b.begin("/start", fixture(0))
	b.finish(flow, challenge, testCode).to(t)
	second := b.cookie(sessionName)
	if strings.Split(second, ".")[1] == strings.Split(first, ".")[1] {
		t.Error("the cookie is the old one")
	}
	if strings.Split(second, ".")[0] != strings.Split(first, ".")[0] {
		t.Error("the same person in the same browser lost the session, and other clients' grants with it")
	}
	if _, _, err := h.users.SessionOf(with(first)); !isNotFound(err) {
		t.Errorf("the cookie before lives on: %v", err)
	}
	flow, challenge = b.begin("/start", fixture(1))
	b.finish(flow, challenge, testCode).to(t)
	if third := b.cookie(sessionName); strings.Split(third, ".")[0] == strings.Split(second, ".")[0] {
		t.Error("another person continues the session")
	}
	if _, _, err := h.users.SessionOf(with(second)); !isNotFound(err) {
		t.Errorf("the session of the person before lives on: %v", err)
	}
	if n := h.rows(`SELECT count(*) FROM sessions WHERE ended_at IS NULL`); n != 1 {
		t.Errorf("%d live sessions", n)
	}
}

func TestPlainHTTPCookiesWorkOnLoopback(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	PlainHTTP(true)(h.users)
	h.flows.cookies.plain = true
	server := httptest.NewServer(h.handler)
	defer server.Close()
	b := h.browser()
	b.base, b.c.Transport = server.URL, nil
	b.signIn(fixture(0))
	b.get("/account").wants(t, http.StatusOK, "page-account")
	if b.cookie("dialtone_session") == "" || b.cookie(sessionName) != "" {
		t.Error("wrong cookie names")
	}
}

// T-27: whatever cookies somebody planted before the sign-in, they are worth
// nothing after it.
func TestPlantedCookiesDoNotSignAnybodyIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		attacker := h.browser()
		attacker.signIn(fixture(1))
		planted := attacker.cookie(sessionName)
		victim := h.browser()
		victim.setCookie(sessionName, planted)
		flow, challenge := victim.begin("/start", fixture(0)) // a client asks for a sign-in anew
		victim.finish(flow, challenge, testCode).to(t)
		if victim.cookie(sessionName) == planted {
			t.Error("the planted session was kept")
		}
		if _, _, err := h.users.SessionOf(with(planted)); !isNotFound(err) {
			t.Errorf("the planted session lives: %v", err)
		}
		s, u, err := h.users.SessionOf(with(victim.cookie(sessionName)))
		if err != nil || u.Phone.E164() != fixture(0) || s.UserID == "" {
			t.Errorf("the victim is %v: %v", u.Phone, err)
		}
		// The id alone, which clients know as sid, ends nobody's session.
		victim2 := h.browser()
		victim2.setCookie(sessionName, s.ID+"."+strings.Repeat("A", 43))
		flow, challenge = victim2.begin("/start", fixture(2))
		victim2.finish(flow, challenge, testCode).to(t)
		if _, _, err := h.users.SessionOf(with(victim.cookie(sessionName))); err != nil {
			t.Errorf("a forged cookie ended a session: %v", err)
		}
	})
}

// T-26, T-144: a flow, its challenge and even the right code are nothing in
// another browser.
func TestAnotherBrowserCannotUseAFlow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		a, b := h.browser(), h.browser()
		flow, challenge := a.begin("/start", fixture(0))
		b.get("/login?flow="+flow).fault(t, http.StatusBadRequest, "cookies_required")
		b.get("/login/code?flow="+flow+"&challenge="+challenge).fault(t, http.StatusBadRequest, "cookies_required")
		b.finish(flow, challenge, testCode).fault(t, http.StatusBadRequest, "cookies_required")
		own, _ := b.begin("/start", fixture(1))
		b.finish(flow, challenge, testCode).fault(t, http.StatusGone, "flow_expired")
		b.post("/login/code/resend", url.Values{"flow": {flow}, "challenge": {challenge}}).fault(t, http.StatusGone, "flow_expired")
		b.post("/login/cancel", url.Values{"flow": {flow}}).fault(t, http.StatusGone, "flow_expired")
		b.finish(own, challenge, testCode).wants(t, http.StatusUnprocessableEntity, "page-code")
		if b.cookie(sessionName) != "" || len(h.next.users) != 0 {
			t.Fatal("signed in")
		}
		a.finish(flow, challenge, testCode).to(t) // and no harm was done
	})
}

// T-144: the forms of another site are refused before they do anything, and
// without the flow's cookie, which a browser keeps back then, they do nothing.
func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	attacker, victim := h.browser(), h.browser()
	flow, challenge := attacker.begin("/login", fixture(1))
	form := url.Values{"flow": {flow}, "challenge": {challenge}, "code": {testCode}}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		if r := victim.post("/login/code", form, header...); r.status != http.StatusForbidden {
			t.Errorf("%v: %d", header, r.status)
		}
	}
	if r := victim.post("/login/code", form); r.status != http.StatusBadRequest {
		t.Errorf("without cookies: %d", r.status)
	}
	if victim.cookie(sessionName) != "" {
		t.Error("signed in as the attacker")
	}
}

// T-11
func TestFiftyPostsOfTheRightCodeMakeOneSession(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		server := httptest.NewTLSServer(h.handler)
		defer server.Close()
		b := h.browser()
		b.base = server.URL
		b.c.Transport = server.Client().Transport
		flow, challenge := b.begin("/start", fixture(0))
		form := url.Values{"flow": {flow}, "challenge": {challenge}, "code": {testCode}}.Encode()
		cookie := flowPrefix + flow + "=" + b.cookie(flowPrefix+flow)
		client := &http.Client{Transport: server.Client().Transport, CheckRedirect: b.c.CheckRedirect}
		var in, refused atomic.Int64
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				r, err := http.NewRequest(http.MethodPost, server.URL+"/login/code", strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Cookie", cookie)
				res, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				switch {
				case res.StatusCode == http.StatusSeeOther:
					in.Add(1)
				case res.StatusCode == http.StatusUnprocessableEntity, res.StatusCode == http.StatusTooManyRequests:
					refused.Add(1)
				default:
					t.Errorf("status %d", res.StatusCode)
				}
			})
		}
		wait.Wait()
		if in.Load() != 1 || refused.Load() != 49 || len(h.next.users) != 1 {
			t.Errorf("%d signed in, %d refused, %d continued", in.Load(), refused.Load(), len(h.next.users))
		}
		for _, table := range []string{"users", "sessions"} {
			if n := h.rows("SELECT count(*) FROM " + table); n != 1 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
	})
}
