package user

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

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

// Who is asked about one number and types another is not led back to the first.
func TestAnExpiredCodeLeadsToNoOtherNumbersDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		if _, err := h.users.RequestDeletion(t.Context(), h.signIn(fixture(0)).User.ID); err != nil {
			t.Fatal(err)
		}
		b := h.browser()
		flow, first := b.begin("/start", fixture(0))
		if to := b.finish(flow, first, testCode).to(t); to.Path != "/login/closing" {
			t.Fatalf("led to %s", to)
		}
		if to := b.finish(flow, first, testCode).to(t); to.Path != "/login/closing" { // the button twice
			t.Errorf("twice: led to %s", to)
		}
		held := b.cookie(flowPrefix + flow)
		to := b.post("/login", url.Values{"flow": {flow}, "phone": {fixture(60)}, "agree": {"1"}}).to(t)
		second := to.Query().Get("challenge")
		b.get("/login/closing?flow="+flow).fault(t, http.StatusGone, "flow_expired") // it was left for the other number
		time.Sleep(10 * time.Minute)
		for _, cookie := range []string{b.cookie(flowPrefix + flow), held} { // of now, and of another tab
			b.setCookie(flowPrefix+flow, cookie)
			page := b.finish(flow, second, h.sink.last(fixture(60)))
			page.wants(t, http.StatusUnprocessableEntity, "page-code")
			if !strings.Contains(page.body, "138****8060") {
				t.Errorf("the page is about another number: %s", page.body)
			}
		}
	})
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
