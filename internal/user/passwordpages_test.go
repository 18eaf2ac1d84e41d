package user

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// online serves a house over TLS to browsers that are made by what it returns.
func (h *house) online() func() *browser {
	server := httptest.NewTLSServer(h.handler)
	h.t.Cleanup(server.Close)
	return func() *browser {
		b := h.browser()
		b.base, b.c.Transport = server.URL, server.Client().Transport
		return b
	}
}

// openPassword begins at a path and turns to /login/password.
func (b *browser) openPassword(path string) (flow string) {
	b.t.Helper()
	flow = b.get(path).to(b.t).Query().Get("flow")
	b.get("/login/password?flow="+flow).wants(b.t, http.StatusOK, "page-password")
	return flow
}

// byPassword posts the form; the fields are more of it.
func (b *browser) byPassword(flow, name, typed string, fields ...string) reply {
	b.t.Helper()
	form := url.Values{"flow": {flow}, "identifier": {name}, "password": {typed}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.post("/login/password", form)
}

var cookieValue = regexp.MustCompile(`(?m)^(Set-Cookie: [^=]*=)[^;]*`)

// secondsLeft are those of the countdown to the next message.
var secondsLeft = regexp.MustCompile(`(data-seconds="|id="resend-note">)\d\d?`)

// bare is all of an answer but what has to differ: times, what is in cookies, and
// the given ids.
func (r reply) bare(own ...string) string {
	text := fmt.Sprintf("%d\n", r.status)
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		for _, value := range r.header[name] {
			if name != "Date" {
				text += name + ": " + value + "\n"
			}
		}
	}
	text = cookieValue.ReplaceAllString(text, "$1") + secondsLeft.ReplaceAllString(r.body, "$1")
	for _, id := range own {
		text = strings.ReplaceAll(text, id, "·")
	}
	return text
}

func TestAPasswordSignsInByEveryName(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		u := h.withPassword(0, "Anna")
		for _, name := range []string{
			"13800138000", "+86 138-0013-8000", "0086 13800138000", "anna", " ANNA ", "anna@mail.example", "Anna@Mail.Example",
		} {
			b := visit()
			to := b.get("/login/password").to(t)
			flow := to.Query().Get("flow")
			if to.Path != "/login/password" {
				t.Fatalf("a direct visit is sent to %s", to)
			}
			b.get(to.String()).wants(t, http.StatusOK, "page-password")
			res := b.byPassword(flow, name, goodPassword)
			if to := res.to(t); to.Path != "/account" {
				t.Errorf("%s: sent to %s", name, to)
			}
			s, who, err := h.users.SessionOf(with(b.cookie(sessionName)))
			if err != nil || who.ID != u.ID || !slices.Equal(s.AMR, []string{"pwd"}) {
				t.Fatalf("%s: session %+v of %v, %v", name, s, who, err)
			}
			if b.cookie(flowPrefix+flow) != "" {
				t.Errorf("%s: the flow outlived its sign-in", name)
			}
			if res.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: the answer may be kept: %v", name, res.header)
			}
			b.get("/account").wants(t, http.StatusOK, "page-account")
			// Back, or the button twice.
			if to := b.byPassword(flow, name, goodPassword).to(t); to.Path != "/account" {
				t.Errorf("%s: once more leads to %s", name, to)
			}
			if to := b.get("/login/password").to(t); to.Path != "/account" {
				t.Errorf("%s: a signed-in visit leads to %s", name, to)
			}
		}
		b := visit()
		flow := b.openPassword("/start?state=1")
		if to := b.byPassword(flow, "anna", goodPassword).to(t); to.String() != "https://rp.example/cb?from=start&state=1" {
			t.Errorf("a client's flow leads to %s", to)
		}
		if n := h.rows(`SELECT count(*) FROM users`); n != 1 {
			t.Errorf("%d users", n)
		}
	})
}

// T-41, N-36
func TestWhateverIsWrongShowsOnePage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		h.withPassword(0, "anna")
		h.signIn(fixture(1)) // no password
		off := h.withPassword(2, "emil")
		if err := h.users.Disable(t.Context(), off.ID); err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, c := range []struct{ name, typed string }{
			{"anna", otherPassword}, {"anna", ""}, {"anna", goodPassword + " "}, {"anna@mail.example", otherPassword}, {fixture(0), otherPassword},
			{fixture(1), ""}, {fixture(1), "null"}, {fixture(1), fixture(1)}, {fixture(1), goodPassword},
			{"emil", otherPassword}, {fixture(2), ""},
			{"nobody", goodPassword}, {fixture(9), goodPassword}, {"nobody@mail.example", goodPassword}, {"", goodPassword}, {"", ""},
			{`"><svg onload=alert(1)>`, goodPassword}, {strings.Repeat("a", 5000), goodPassword},
		} {
			b := visit()
			flow := b.openPassword("/start")
			page := b.byPassword(flow, c.name, c.typed)
			page.wants(t, http.StatusUnprocessableEntity, "page-password")
			if c.typed != "" && strings.Contains(page.body, c.typed) && c.typed != "null" && c.typed != c.name {
				t.Errorf("%.40q: the password is on the page", c.name)
			}
			if c.name == "anna" && !strings.Contains(page.body, `value="anna"`) {
				t.Error("what was typed as the name is lost")
			}
			if strings.Contains(page.body, "<svg onload") {
				t.Error("what was typed is on the page as it is")
			}
			if b.cookie(sessionName) != "" || b.cookie(flowPrefix+flow) == "" {
				t.Errorf("%.40q: signed in, or the flow is over", c.name)
			}
			page.header.Del("Content-Length") // the name is shown again
			page.body = regexp.MustCompile(`value="[^"]*" required( autofocus)?`).ReplaceAllString(page.body, "")
			page.body = strings.ReplaceAll(page.body, " required autofocus", " required") // where typing goes on
			if got := page.bare(flow); want == "" {
				want = got
			} else if got != want {
				t.Errorf("%.40q with %.20q: another page:\n%s\nwant\n%s", c.name, c.typed, got, want)
			}
			if b.byPassword(flow, "anna", goodPassword).to(t).Host != "rp.example" {
				t.Errorf("%.40q: the same page does not sign in", c.name)
			}
		}
		b := visit()
		flow := b.openPassword("/start")
		page := b.byPassword(flow, "emil", goodPassword)
		page.fault(t, http.StatusForbidden, "account_disabled")
		if !strings.Contains(page.body, "/login?flow="+flow) || b.cookie(sessionName) != "" {
			t.Error("the owner of a disabled account has no way back, or a session")
		}
	})
}

// Ten wrong ones, then waiting; whoever is the owner gets in by SMS meanwhile, and
// by password afterwards.
func TestWrongPasswordsMakeTheNextOneWait(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		h.withPassword(0, "anna")
		for _, name := range []string{"anna", "nobody"} {
			b := visit()
			flow := b.openPassword("/start")
			var waits reply
			n := 0
			for ; n < 16; n++ { // a slow machine may be through with a short wait
				if waits = b.byPassword(flow, name, otherPassword); waits.status == http.StatusTooManyRequests {
					break
				}
				waits.wants(t, http.StatusUnprocessableEntity, "page-password")
			}
			if n < 10 || n == 16 {
				t.Fatalf("%s: made to wait after %d", name, n)
			}
			waits.wants(t, http.StatusTooManyRequests, "page-password")
			if waits.header.Get("Retry-After") == "" || !strings.Contains(waits.body, `value="`+name+`"`) || !strings.Contains(waits.body, `id="by-code"`) {
				t.Errorf("%s: no Retry-After, no name, or no other way: %v", name, waits.header)
			}
		}
		b := visit()
		challenge := b.get("/login").to(t).Query().Get("flow")
		to := b.ask(challenge, fixture(0)).to(t)
		b.finish(challenge, to.Query().Get("challenge"), testCode).to(t) // not by SMS
		b.get("/account").wants(t, http.StatusOK, "page-account")
	})
}

func TestAWaitIsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		h.withPassword(0, "anna")
		stranger := h.browser()
		flow := stranger.openPassword("/start")
		for range 10 {
			stranger.byPassword(flow, "anna", otherPassword).wants(t, http.StatusUnprocessableEntity, "page-password")
		}
		for _, want := range []string{"1", "2", "4"} {
			page := stranger.byPassword(flow, "anna", goodPassword)
			page.wants(t, http.StatusTooManyRequests, "page-password")
			wait, err := time.ParseDuration(page.header.Get("Retry-After") + "s")
			if page.header.Get("Retry-After") != want || err != nil {
				t.Errorf("Retry-After %q, want %s", page.header.Get("Retry-After"), want)
			}
			time.Sleep(wait)
			stranger.byPassword(flow, "anna", otherPassword).wants(t, http.StatusUnprocessableEntity, "page-password")
		}
		// Where the owner signed in before they do not wait at all.
		own := h.browser()
		own.signIn(fixture(0))
		own.c.Jar = keptDevice(t, own)
		if to := own.byPassword(own.openPassword("/start"), "anna", goodPassword).to(t); to.Host != "rp.example" {
			t.Errorf("sent to %s", to)
		}
		time.Sleep(8 * time.Second)
		stranger.byPassword(flow, "anna", goodPassword).to(t)
	})
}

// keptDevice is a jar with the device cookie of a browser alone.
func keptDevice(t *testing.T, b *browser) http.CookieJar {
	t.Helper()
	device := b.cookie(deviceName)
	if device == "" {
		t.Fatal("the browser has no device cookie")
	}
	fresh := (&house{t: t}).browser()
	fresh.setCookie(deviceName, device)
	return fresh.c.Jar
}

// Who has agreed is not asked again; who has not is asked behind the right
// password, so that the question tells nobody else anything.
func TestPasswordSignInNeedsTheAgreementOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		if _, err := h.users.Import(t.Context(), csvRows(t, "phone,username,password_hash\n"+fixture(0)+",anna,"+djangoHash(t, goodPassword)+"\n")); err != nil {
			t.Fatal(err)
		}
		b := visit()
		flow := b.openPassword("/start")
		b.byPassword(flow, "anna", otherPassword).wants(t, http.StatusUnprocessableEntity, "page-password")
		for _, agree := range []string{"", "0", "on"} {
			page := b.byPassword(flow, "anna", goodPassword, "agree", agree)
			page.wants(t, http.StatusUnprocessableEntity, "agree-error")
			if strings.Contains(page.body, goodPassword) || !strings.Contains(page.body, `value="anna"`) {
				t.Error("the password is on the page, or the name is not")
			}
		}
		if n := h.rows(`SELECT count(*) FROM sessions`) + h.rows(`SELECT count(*) FROM agreements`); n != 0 || b.cookie(sessionName) != "" {
			t.Fatal("signed in without the agreement")
		}
		b.byPassword(flow, "anna", otherPassword, "agree", "1").wants(t, http.StatusUnprocessableEntity, "page-password")
		if n := h.rows(`SELECT count(*) FROM agreements`); n != 0 {
			t.Fatal("a wrong password agreed to something")
		}
		b.byPassword(flow, "anna", goodPassword, "agree", "1").to(t)
		if n := h.rows(`SELECT count(*) FROM agreements WHERE version = $1 AND client_id = 'shop'`, termsOfTest); n != 1 {
			t.Errorf("%d agreements", n)
		}
		b = visit()
		b.byPassword(b.openPassword("/start"), "anna", goodPassword).to(t)
		h.pages.AgreementVersion = "2027-01-01"
		b = visit()
		flow = b.openPassword("/start")
		b.byPassword(flow, "anna", goodPassword).wants(t, http.StatusUnprocessableEntity, "agree-error")
		b = visit()
		flow = b.openPassword("/start?skip=1") // its own terms cover it
		if page := b.get("/login/password?flow=" + flow); strings.Contains(page.body, `id="agree"`) {
			t.Error("the box is on a page that does not ask")
		}
		b.byPassword(flow, "anna", goodPassword).to(t)
	})
}

// T-26, T-144
func TestAPasswordFormNeedsItsOwnBrowser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		h.withPassword(0, "anna")
		a, b := visit(), visit()
		flow := a.openPassword("/start")
		b.byPassword(flow, "anna", goodPassword).fault(t, http.StatusBadRequest, "cookies_required")
		b.openPassword("/start")
		b.byPassword(flow, "anna", goodPassword).fault(t, http.StatusGone, "flow_expired")
		b.get("/login/password?flow="+flow).fault(t, http.StatusGone, "flow_expired")
		form := url.Values{"flow": {flow}, "identifier": {"anna"}, "password": {goodPassword}}
		for _, header := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
		} {
			if r := a.post("/login/password", form, header...); r.status != http.StatusForbidden {
				t.Errorf("%v: %d", header, r.status)
			}
		}
		for name, c := range map[string]struct {
			body, kind string
			status     int
		}{
			"two passwords": {form.Encode() + "&password=x", "application/x-www-form-urlencoded", 400},
			"two names":     {form.Encode() + "&identifier=otto", "application/x-www-form-urlencoded", 400},
			"NUL":           {form.Encode() + "&x=%00", "application/x-www-form-urlencoded", 400},
			"a megabyte":    {form.Encode() + "&x=" + strings.Repeat("x", 1<<20), "application/x-www-form-urlencoded", 413},
			"JSON":          {`{"flow":"` + flow + `","identifier":"anna","password":"` + goodPassword + `"}`, "application/json", 415},
			"no flow":       {"identifier=anna&password=" + goodPassword, "application/x-www-form-urlencoded", 410},
		} {
			if r := a.postRaw("/login/password", c.body, "Content-Type", c.kind); r.status != c.status {
				t.Errorf("%s: %d", name, r.status)
			}
		}
		if a.cookie(sessionName) != "" || b.cookie(sessionName) != "" || len(h.next.users) != 0 {
			t.Fatal("signed in")
		}
		a.byPassword(flow, "anna", goodPassword).to(t)
	})
}

func TestAPasswordPageExpiresWithItsFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		h.withPassword(0, "anna")
		b := h.browser()
		flow := b.openPassword("/start")
		time.Sleep(flowLife + time.Second)
		b.setCookie("other", "1") // the flow's own is gone from the jar
		b.byPassword(flow, "anna", goodPassword).fault(t, http.StatusGone, "flow_expired")
		if b.cookie(sessionName) != "" {
			t.Error("signed in")
		}
	})
}

// Whoever had this browser before is out of it, as after a sign-in by code.
func TestAPasswordSignInReplacesTheBrowsersSession(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		anna, otto := h.withPassword(0, "anna"), h.withPassword(1, "otto")
		before := h.rows(`SELECT count(*) FROM sessions`)
		b := visit()
		b.byPassword(b.openPassword("/start"), "anna", goodPassword).to(t)
		first := b.cookie(sessionName)
		b.byPassword(b.openPassword("/start"), "anna", goodPassword).to(t)
		second := b.cookie(sessionName)
		if first == second || strings.Split(first, ".")[0] != strings.Split(second, ".")[0] {
			t.Error("the cookie is the old one, or the session is not")
		}
		b.byPassword(b.openPassword("/start"), "otto", goodPassword).to(t)
		for i, old := range []string{first, second} {
			if _, _, err := h.users.SessionOf(with(old)); !isNotFound(err) {
				t.Errorf("cookie %d lives on: %v", i, err)
			}
		}
		if _, u, err := h.users.SessionOf(with(b.cookie(sessionName))); err != nil || u.ID != otto.ID || u.ID == anna.ID {
			t.Errorf("it is %v: %v", u, err)
		}
		if n := h.rows(`SELECT count(*) FROM sessions WHERE amr = 'pwd' AND ended_at IS NULL`); n != 1 || h.rows(`SELECT count(*) FROM sessions`) != before+2 {
			t.Errorf("%d live sessions by password", n)
		}
	})
}
