package user

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestADirectVisitSignsInToTheAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		flow, challenge := b.begin("/account", fixture(60)) // strangers are sent to /login
		page := b.get("/login/code?flow=" + flow + "&challenge=" + challenge)
		page.wants(t, http.StatusOK, "page-code")
		if strings.Contains(page.body, "13800138060") || !strings.Contains(page.body, "138****8060") {
			t.Error("the code page does not show the masked number")
		}
		if to := b.finish(flow, challenge, h.sink.last(fixture(60))).to(t); to.Path != "/account" {
			t.Errorf("sent to %s", to)
		}
		account := b.get("/account")
		account.wants(t, http.StatusOK, "page-account")
		if strings.Contains(account.body, "13800138060") {
			t.Error("the account page shows the number")
		}
		if to := b.get("/login").to(t); to.Path != "/account" {
			t.Errorf("a signed-in visit of /login leads to %s", to)
		}
		if b.cookie(flowPrefix+flow) != "" {
			t.Error("the flow outlived its sign-in")
		}
		for _, kind := range []string{"terms", "privacy"} {
			b.get("/legal/"+kind).wants(t, http.StatusOK, "page-legal")
		}
	})
}

func TestAClientsFlowReturnsToTheClient(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		flow, challenge := b.begin("/start?state=1", fixture(0))
		if to := b.finish(flow, challenge, testCode).to(t); to.String() != "https://rp.example/cb?from=start&state=1" {
			t.Errorf("sent to %s", to)
		}
		if len(h.next.users) != 1 {
			t.Errorf("%d sign-ins", len(h.next.users))
		}
		to := b.get("/start").to(t)
		if to := b.post("/login/cancel", url.Values{"flow": {to.Query().Get("flow")}}).to(t); to.Query().Get("error") != "access_denied" {
			t.Errorf("cancelled to %s", to)
		}
		b.get(to.String()) // the flow is over
		direct := h.browser()
		to = direct.get("/login").to(t)
		if to := direct.post("/login/cancel", url.Values{"flow": {to.Query().Get("flow")}}).to(t); to.Path != "/" {
			t.Errorf("a direct visit cancelled to %s", to)
		}
	})
}

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

// The back button, or a second press of the button, after the sign-in.
func TestAUsedCodeContinuesWhereItSignedIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.next.keep = true // as when consent is asked for
		b := h.browser()
		flow, challenge := b.begin("/start?x=1", fixture(0))
		old := b.cookie(flowPrefix + flow)
		b.finish(flow, challenge, testCode).to(t)
		session := b.cookie(sessionName)
		for range 2 {
			if to := b.finish(flow, challenge, testCode).to(t); to.Host != "rp.example" {
				t.Errorf("sent to %s", to)
			}
			if to := b.get("/login/code?flow=" + flow + "&challenge=" + challenge).to(t); to.Host != "rp.example" {
				t.Errorf("sent to %s", to)
			}
		}
		if b.cookie(sessionName) != session || h.rows(`SELECT count(*) FROM sessions`) != 1 {
			t.Error("another session was made")
		}
		// The cookie of before the sign-in does not know of it, and the session
		// of somebody else is not what the page was about.
		thief := h.browser()
		thief.setCookie(flowPrefix+flow, old)
		thief.finish(flow, challenge, testCode).wants(t, http.StatusUnprocessableEntity, "page-code")
		other, sent := b.begin("/start", fixture(1))
		b.finish(other, sent, testCode).to(t)
		b.finish(flow, challenge, testCode).wants(t, http.StatusUnprocessableEntity, "page-code")
	})
}

// A flow that ended with its sign-in is no dead end for the browser it signed in.
func TestAnEndedFlowLeadsToTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		b := h.browser()
		flow, challenge := b.begin("/login", fixture(0))
		b.finish(flow, challenge, testCode).to(t)
		form := url.Values{"flow": {flow}, "challenge": {challenge}, "code": {testCode}, "phone": {fixture(0)}, "agree": {"1"}}
		for _, path := range []string{"/login", "/login/code", "/login/code/resend", "/login/cancel"} {
			if to := b.post(path, form).to(t); to.Path != "/account" {
				t.Errorf("%s leads to %s", path, to)
			}
		}
		time.Sleep(time.Hour)
		b.get("/login?flow="+flow).fault(t, http.StatusGone, "flow_expired")
	})
}

func TestNothingIsSentWithoutAgreement(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	flow := b.get("/start").to(t).Query().Get("flow")
	page := b.get("/login?flow=" + flow)
	if !strings.Contains(page.body, `id="agree"`) || strings.Contains(page.body, "checked") {
		t.Error("the box is missing or ticked")
	}
	for _, agree := range []string{"", "0", "on", "true"} {
		page := b.post("/login", url.Values{"flow": {flow}, "phone": {"138 0013 8060"}, "agree": {agree}})
		page.wants(t, http.StatusUnprocessableEntity, "agree-error")
		if !strings.Contains(page.body, "138 0013 8060") {
			t.Error("what was typed is lost")
		}
	}
	if h.sink.count() != 0 || h.rows(`SELECT count(*) FROM sms_ledger`) != 0 {
		t.Error("something was sent")
	}
	flow = b.get("/start?skip").to(t).Query().Get("flow")
	if strings.Contains(b.get("/login?flow="+flow).body, `id="agree"`) {
		t.Error("the box is shown to a client that skips it")
	}
	to := b.post("/login", url.Values{"flow": {flow}, "phone": {fixture(0)}}).to(t)
	b.finish(flow, to.Query().Get("challenge"), testCode).to(t)
	if n := h.rows(`SELECT count(*) FROM agreements`); n != 0 {
		t.Errorf("%d agreements of somebody who was not asked", n)
	}
	flow, challenge := b.begin("/start", fixture(0))
	b.finish(flow, challenge, testCode).to(t)
	if n := h.rows(`SELECT count(*) FROM agreements WHERE version = $1 AND client_id = 'shop' AND ip_prefix = '198.51.100.0/24'`, termsOfTest); n != 1 {
		t.Errorf("%d agreements, want 1", n)
	}
}

func TestMistakesShowTheFormAgain(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	flow := b.get("/start?hint=13800138001").to(t).Query().Get("flow")
	if page := b.get("/login?flow=" + flow); !strings.Contains(page.body, `value="13800138001"`) {
		t.Error("login_hint is not filled in")
	}
	for phone, code := range map[string]string{
		"": "phone-error", "12345": "phone-error", "13800138060,13800138061": "phone-error", "+44 7700 900123": "phone-error",
		"a@example.com": "phone-error", `"><script>`: "phone-error",
	} {
		page := b.post("/login", url.Values{"flow": {flow}, "phone": {phone}, "agree": {"1"}})
		page.wants(t, http.StatusUnprocessableEntity, code)
		if strings.Contains(page.body, "<script>\"") || strings.Contains(page.body, `"><script>`) {
			t.Error("not escaped")
		}
		if !strings.Contains(page.body, "checked") {
			t.Error("the tick is lost")
		}
	}
	b.post("/login", url.Values{"flow": {flow}, "phone": {"202 555 0123"}, "region": {"XX"}, "agree": {"1"}}).
		wants(t, http.StatusUnprocessableEntity, "page-login")
	b.post("/login", url.Values{"flow": {flow}, "phone[]": {"13800138000"}, "agree": {"1"}}).
		wants(t, http.StatusUnprocessableEntity, "phone-error")
	if h.sink.count() != 0 {
		t.Error("something was sent")
	}
}

func TestRequestsThatAreNoFormOfOursAreRefused(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	flow := b.get("/login").to(t).Query().Get("flow")
	const kind = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		body, kind string
		status     int
		code       string
	}{
		"two numbers":  {"flow=" + flow + "&agree=1&phone=13800138060&phone=13800138061", kind, 400, "invalid_request"},
		"bad escape":   {"flow=" + flow + "&agree=1&phone=%zz", kind, 400, "invalid_request"},
		"NUL":          {"flow=" + flow + "&agree=1&phone=13800138060%00", kind, 400, "invalid_request"},
		"JSON":         {`{"flow":"` + flow + `","phone":"13800138060"}`, "application/json", 415, "unsupported_media_type"},
		"no type":      {"flow=" + flow + "&agree=1&phone=13800138060", "", 415, "unsupported_media_type"},
		"huge":         {"flow=" + flow + "&agree=1&phone=" + strings.Repeat("1", 20<<10), kind, 413, "request_too_large"},
		"many fields":  {strings.Repeat("a=1&", 30_000), kind, 413, "request_too_large"},
		"no flow":      {"agree=1&phone=13800138060", kind, 410, "flow_expired"},
		"strange flow": {"flow=%0d%0a&agree=1&phone=13800138060", kind, 410, "flow_expired"},
	} {
		for _, path := range []string{"/login", "/login/code", "/login/code/resend", "/login/cancel"} {
			r := b.postRaw(path, c.body, "Content-Type", c.kind)
			if r.status != c.status || !strings.Contains(r.body, c.code) {
				t.Errorf("%s to %s: %d", name, path, r.status)
			}
		}
	}
	for _, path := range []string{"/login?flow=a&flow=b", "/login?flow=%ff", "/login/code?flow=" + flow + "&flow=" + flow} {
		b.get(path).fault(t, http.StatusBadRequest, "invalid_request")
	}
	if h.sink.count() != 0 {
		t.Error("something was sent")
	}
}

func TestWrongCodesKeepThePage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		flow, challenge := b.begin("/start", fixture(60))
		right := h.sink.last(fixture(60))
		wrong := "000000"
		if right == wrong {
			wrong = "000001"
		}
		for _, typed := range []string{"", "12345", "1e5000", "+" + right} { // no guesses, so no tries
			b.finish(flow, challenge, typed).wants(t, http.StatusUnprocessableEntity, "code-error")
		}
		for i := range 4 {
			page := b.finish(flow, challenge, wrong)
			page.wants(t, http.StatusUnprocessableEntity, "code-error")
			if !strings.Contains(page.body, "138****8060") || !strings.Contains(page.body, challenge) {
				t.Error("the page lost its number or challenge")
			}
			if i == 3 && !strings.Contains(page.body, "1") {
				t.Error("the last try is not named")
			}
		}
		b.finish(flow, challenge, wrong).wants(t, http.StatusTooManyRequests, "page-code")
		page := b.finish(flow, challenge, right)
		page.wants(t, http.StatusTooManyRequests, "resend-code")
		b.get("/login/code?flow="+flow+"&challenge="+challenge).wants(t, http.StatusOK, "resend-code")
		if b.cookie(sessionName) != "" {
			t.Error("signed in after five wrong codes")
		}
	})
}

// T-01, T-12: challenges that are not this flow's, in every spelling.
func TestInventedChallengesAreExpired(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	flow := b.get("/login").to(t).Query().Get("flow")
	other, sent := b.begin("/login", fixture(0))
	_ = other
	for _, challenge := range []string{"", "x", db.NewID(), sent, "\xff", strings.Repeat("a", 5000)} {
		form := url.Values{"flow": {flow}, "challenge": {challenge}, "code": {testCode}}
		for _, path := range []string{"/login/code", "/login/code/resend"} {
			if r := b.post(path, form); r.status != 422 && r.status != 400 {
				t.Errorf("%s with %.10q: %d", path, challenge, r.status)
			}
		}
	}
	if b.cookie(sessionName) != "" {
		t.Error("signed in")
	}
}

func TestResendWaitsAndThenRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		b := h.browser()
		flow, challenge := b.begin("/login", fixture(60))
		form := url.Values{"flow": {flow}, "challenge": {challenge}}
		time.Sleep(18 * time.Second)
		page := b.post("/login/code/resend", form)
		page.wants(t, http.StatusTooManyRequests, "resend-code")
		if left, _ := strconv.Atoi(page.header.Get("Retry-After")); left != 42 {
			t.Errorf("Retry-After %q, want 42", page.header.Get("Retry-After"))
		}
		// Asking again for the same number goes on with the code that is on its way;
		// another flow has none and waits.
		if to := b.post("/login", url.Values{"flow": {flow}, "phone": {fixture(60)}, "agree": {"1"}}).to(t); to.Path != "/login/code" || to.Query().Get("challenge") != challenge {
			t.Errorf("asking again leads to %s", to)
		}
		other := b.get("/login").to(t).Query().Get("flow")
		again := b.post("/login", url.Values{"flow": {other}, "phone": {fixture(60)}, "agree": {"1"}})
		again.wants(t, http.StatusTooManyRequests, "page-login")
		if again.header.Get("Retry-After") != "42" {
			t.Errorf("Retry-After %q, want 42", again.header.Get("Retry-After"))
		}
		time.Sleep(42 * time.Second)
		to := b.post("/login/code/resend", form).to(t)
		if to.Query().Get("challenge") != challenge || to.Query().Get("flow") != flow {
			t.Errorf("re-sent as %s", to)
		}
		if h.sink.count() != 2 {
			t.Errorf("%d messages", h.sink.count())
		}
		b.finish(flow, challenge, h.sink.last(fixture(60))).to(t)
	})
}

func TestAnExpiredChallengeOffersAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		b := h.browser()
		flow, challenge := b.begin("/login", fixture(60))
		old := h.sink.last(fixture(60))
		time.Sleep(6 * time.Minute)
		page := b.get("/login/code?flow=" + flow + "&challenge=" + challenge)
		page.wants(t, http.StatusOK, "resend-code")
		if !strings.Contains(page.body, "138****8060") {
			t.Error("the number is gone from the page")
		}
		b.finish(flow, challenge, old).wants(t, http.StatusUnprocessableEntity, "resend-code")
		for range 2 { // once more after the second has expired, too
			to := b.post("/login/code/resend", url.Values{"flow": {flow}, "challenge": {challenge}}).to(t)
			challenge = to.Query().Get("challenge")
			time.Sleep(8 * time.Minute)
		}
		to := b.post("/login/code/resend", url.Values{"flow": {flow}, "challenge": {challenge}}).to(t)
		b.finish(flow, to.Query().Get("challenge"), h.sink.last(fixture(60))).to(t)
		b.get("/account").wants(t, http.StatusOK, "page-account")
	})
}

// T-14, N-36: whether a number has an account shows nowhere before its code.
func TestKnownUnknownAndDisabledNumbersLookTheSame(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.signIn(fixture(0))
		if err := h.users.Disable(t.Context(), h.signIn(fixture(1)).User.ID); err != nil {
			t.Fatal(err)
		}
		walk := func(i int) (string, db.Counters) {
			b := h.browser()
			before := d.Counters()
			flow, challenge := b.begin("/start", fixture(i))
			page := b.get("/login/code?flow=" + flow + "&challenge=" + challenge)
			wrong := b.finish(flow, challenge, "000000")
			after := d.Counters()
			seen := fmt.Sprint(page.status, page.body, wrong.status, wrong.body)
			for _, own := range []string{flow, challenge, fmt.Sprintf("80%02d", i)} {
				seen = strings.ReplaceAll(seen, own, "")
			}
			return seen, db.Counters{Reads: after.Reads - before.Reads, TxStatements: after.TxStatements - before.TxStatements}
		}
		known, cost := walk(0)
		disabled, disabledCost := walk(1)
		unknown, unknownCost := walk(2)
		if known != unknown || known != disabled {
			t.Error("the pages differ")
		}
		if cost != unknownCost || cost != disabledCost {
			t.Errorf("the work differs: %+v %+v %+v", cost, disabledCost, unknownCost)
		}
		b := h.browser()
		flow, challenge := b.begin("/start", fixture(1))
		refused := b.finish(flow, challenge, testCode)
		refused.fault(t, http.StatusForbidden, "account_disabled")
		if !strings.Contains(refused.body, "/login?flow="+flow) || b.cookie(sessionName) != "" {
			t.Error("no way back, or a session")
		}
	})
}

// The reserve of a number's messages is for devices it signed in on.
func TestASignInMakesTheDeviceKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		b := h.browser()
		for range 2 {
			flow, challenge := b.begin("/start", fixture(60))
			b.finish(flow, challenge, h.sink.last(fixture(60))).to(t)
			time.Sleep(time.Minute)
		}
		if n := h.rows(`SELECT count(*) FROM sms_ledger WHERE known_device`); n != 1 {
			t.Errorf("%d messages on a known device, want 1", n)
		}
	})
}

func TestADatabaseThatIsAwayIsAnErrorPage(t *testing.T) {
	d := dbtest.Open(t)
	h := newHouse(t, d)
	b := h.browser()
	b.signIn(fixture(0))
	canceled := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithDeadline(r.Context(), time.Now()) // no answer in time
			defer cancel()
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
	b.c.Transport = direct{canceled(h.handler)}
	page := b.get("/account")
	page.fault(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	if page.header.Get("Retry-After") == "" || !strings.Contains(page.body, "request-1") {
		t.Errorf("no Retry-After or request id: %v", page.header)
	}
	if b.cookie(sessionName) == "" {
		t.Error("the session cookie was dropped")
	}
}

func TestOurMistakesAreLoggedOnceAndToldToNobody(t *testing.T) {
	d := dbtest.Open(t)
	h := newHouse(t, d)
	var log strings.Builder
	h.pages.Log = slog.New(slog.NewTextHandler(&log, nil))
	b := h.browser()
	flow, challenge := b.begin("/start", fixture(60))
	code := h.sink.last(fixture(60))
	if _, err := d.Exec(t.Context(), `ALTER TABLE users RENAME TO people`); err != nil {
		t.Fatal(err)
	}
	page := b.finish(flow, challenge, code)
	page.fault(t, http.StatusInternalServerError, "server_error")
	if strings.Contains(page.body, "users") || !strings.Contains(page.body, "request-1") {
		t.Error("the page tells what went wrong, or not where to find it")
	}
	if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "request-1") ||
		strings.Contains(text, "8060") || strings.Contains(text, code) {
		t.Errorf("log: %s", text)
	}
	if _, err := d.Exec(t.Context(), `ALTER TABLE people RENAME TO users`); err != nil {
		t.Fatal(err)
	}
	b.finish(flow, challenge, code).to(t) // nothing was used up
}

func TestAProviderThatIsAwayShowsTheFormAgain(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	h.sink.away = true
	b := h.browser()
	flow := b.get("/login").to(t).Query().Get("flow")
	page := b.post("/login", url.Values{"flow": {flow}, "phone": {fixture(60)}, "agree": {"1"}})
	page.wants(t, http.StatusServiceUnavailable, "send-code")
	if !strings.Contains(page.body, fixture(60)[1:]) {
		t.Error("what was typed is lost")
	}
}
