package user

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
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

// Who agrees to terms can see which ones those were.
func TestLegalTextsSayTheirVersion(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	for _, path := range []string{"/legal/terms", "/legal/privacy"} {
		if page := h.browser().get(path); !strings.Contains(page.body, termsOfTest) {
			t.Errorf("%s does not say %s", path, termsOfTest)
		}
	}
}
