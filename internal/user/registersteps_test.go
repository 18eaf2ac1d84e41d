package user

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestRegisterResendsAndExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		b := h.browser()
		flow, challenge := b.beginRegister("/start", fixture(60))
		code := h.sink.last(fixture(60))
		form := url.Values{"flow": {flow}, "challenge": {challenge}}
		time.Sleep(18 * time.Second)
		page := b.post("/register/resend", form)
		page.wants(t, http.StatusTooManyRequests, "resend-code")
		page.wants(t, http.StatusTooManyRequests, "page-register")
		if page.header.Get("Retry-After") != "42" {
			t.Errorf("Retry-After %q, want 42", page.header.Get("Retry-After"))
		}
		time.Sleep(42 * time.Second)
		to := b.post("/register/resend", form).to(t)
		if to.Path != "/register" || to.Query().Get("challenge") != challenge || h.sink.last(fixture(60)) != code || h.sink.count() != 2 {
			t.Errorf("re-sent as %s, %d messages", to, h.sink.count())
		}
		time.Sleep(11 * time.Minute)
		page = b.register(flow, challenge, code, goodPassword)
		page.wants(t, http.StatusUnprocessableEntity, "resend-code")
		if !strings.Contains(page.body, "138****8060") {
			t.Error("the number is gone from the page")
		}
		to = b.post("/register/resend", form).to(t)
		if to.Path != "/register" || to.Query().Get("challenge") == challenge {
			t.Errorf("after the code expired: %s", to)
		}
		challenge = to.Query().Get("challenge")
		time.Sleep(18 * time.Minute) // the flow's half hour is over
		b.setCookie("other", "1")
		b.register(flow, challenge, h.sink.last(fixture(60)), goodPassword).fault(t, http.StatusGone, "flow_expired")
		b.get("/register?flow="+flow+"&challenge="+challenge).fault(t, http.StatusGone, "flow_expired")
		b.post("/register/resend", url.Values{"flow": {flow}, "challenge": {challenge}}).fault(t, http.StatusGone, "flow_expired")
		if n := h.rows(`SELECT count(*) FROM users`); n != 0 || b.cookie(sessionName) != "" {
			t.Error("somebody registered")
		}
	})
}

// A code asked for on one of the two pages serves on the other: it proves the same
// thing to the same flow. Without a password the account has none.
func TestTheTwoPagesShareTheirCodes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		b := visit()
		flow, challenge := b.begin("/start", fixture(0))
		b.register(flow, challenge, testCode, goodPassword).to(t)
		b = visit()
		flow, challenge = b.beginRegister("/start", fixture(1))
		b.finish(flow, challenge, testCode).to(t)
		if n := h.rows(`SELECT count(*) FROM passwords`); n != 1 {
			t.Errorf("%d passwords", n)
		}
		if _, err := h.byPassword(fixture(0), goodPassword); err != nil {
			t.Error(err)
		}
	})
}

func TestRegisterAsksForTheHumanCheck(t *testing.T) {
	h, texts, _ := guarded(t, dbtest.Open(t), "2")
	b := h.browser()
	flow := b.get("/start").to(t).Query().Get("flow")
	form := url.Values{"flow": {flow}, "phone": {fixture(60)}, "agree": {"1"}}
	page := b.post("/register", form)
	page.wants(t, http.StatusForbidden, "human-check")
	page.wants(t, http.StatusForbidden, "page-register")
	if h.sink.count() != 0 {
		t.Fatal("something was sent without the check")
	}
	form.Set("captcha", page.solution(t))
	challenge := b.post("/register", form).to(t).Query().Get("challenge")
	again := url.Values{"flow": {flow}, "challenge": {challenge}}
	page = b.post("/register/resend", again)
	page.wants(t, http.StatusForbidden, "human-check")
	if !strings.Contains(page.body, `action="/register/resend"`) || !strings.Contains(page.body, `id="password"`) {
		t.Error("the check is not on the second step")
	}
	texts.want("")
	b.register(flow, challenge, h.sink.last(fixture(60)), goodPassword).to(t)
}

// A visitor's choice of language outlives the redirect that gives them a flow.
func TestADirectVisitKeepsItsLanguage(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	for _, path := range []string{"/login", "/login/password", "/register", "/account"} {
		for _, lang := range []string{"zh-CN", "en"} {
			b := h.browser()
			page := b.get(b.get(path + "?lang=" + lang).to(t).String())
			if page.header.Get("Content-Language") != lang {
				t.Errorf("%s?lang=%s is in %s", path, lang, page.header.Get("Content-Language"))
			}
		}
		if to := h.browser().get(path + "?lang=%0d%0aX:1").to(t); strings.ContainsAny(to.String(), "\r\n") {
			t.Errorf("%s is sent to %q", path, to)
		}
	}
}
