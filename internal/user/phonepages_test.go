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

// changing opens the pages and proves the old number; it returns the flow.
func (b *browser) changing(t *testing.T) (flow string) {
	t.Helper()
	flow = b.get(pathPhone).to(t).Query().Get("flow")
	b.get(pathPhone+"?flow="+flow).wants(t, http.StatusOK, "phone-lost")
	to := b.post(pathPhone, url.Values{"flow": {flow}}).to(t)
	if to.Path != pathPhone+"/old" {
		t.Fatalf("led to %s", to)
	}
	b.get(to.String()).wants(t, http.StatusOK, "page-account-phone-code")
	form := url.Values{"flow": {flow}, "challenge": {to.Query().Get("challenge")}, "code": {"000000"}}
	b.post(pathPhone+"/old", form).says(t, http.StatusUnprocessableEntity, "code")
	form.Set("code", testCode)
	for range 2 { // pressed twice
		b.post(pathPhone+"/old", form).leads(t, pathPhone+"/new?flow="+flow)
	}
	b.get(pathPhone+"/new?flow="+flow).wants(t, http.StatusOK, "send-code")
	return flow
}

// asksFor sends a code to the new number and returns the form that types it.
func (b *browser) asksFor(t *testing.T, flow, phone string) url.Values {
	t.Helper()
	to := b.post(pathPhone+"/new", url.Values{"flow": {flow}, "phone": {phone}}).to(t)
	if to.Path != pathPhone+"/confirm" {
		t.Fatalf("led to %s", to)
	}
	return url.Values{"flow": {flow}, "challenge": {to.Query().Get("challenge")}, "code": {testCode}}
}

func TestANumberIsChangedByCodesToBoth(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		taken := h.signIn(fixture(1)).User
		there := h.signIn(fixture(0))
		b := h.browser()
		b.signIn(fixture(0))
		u := h.owner(b)
		flow := b.changing(t)

		b.post(pathPhone+"/new", url.Values{"flow": {flow}, "phone": {"12345"}}).says(t, http.StatusUnprocessableEntity, "phone")
		b.post(pathPhone+"/new", url.Values{"flow": {flow}, "phone": {fixture(0)}}).says(t, http.StatusUnprocessableEntity, "phone")
		// A number with an account and one without look the same until the code is right.
		known, free := b.asksFor(t, flow, fixture(1)), b.asksFor(t, flow, fixture(2))
		show := func(f url.Values) string {
			page := b.get(pathPhone + "/confirm?" + url.Values{"flow": f["flow"], "challenge": f["challenge"]}.Encode())
			page.wants(t, http.StatusOK, "page-account-phone-code")
			return strings.NewReplacer(f.Get("challenge"), "", "8001", "", "8002", "").Replace(page.body)
		}
		if show(known) != show(free) {
			t.Error("the page tells a number with an account from one without")
		}
		wrongs := func(f url.Values) string {
			r := b.post(pathPhone+"/confirm", url.Values{"flow": f["flow"], "challenge": f["challenge"], "code": {"000000"}})
			r.says(t, http.StatusUnprocessableEntity, "code")
			return strings.NewReplacer(f.Get("challenge"), "", "8001", "", "8002", "").Replace(r.body)
		}
		if wrongs(known) != wrongs(free) {
			t.Error("a wrong code tells a number with an account from one without")
		}
		b.post(pathPhone+"/confirm", known).says(t, http.StatusConflict, "phone")
		if h.owner(b).Phone.E164() != fixture(0) {
			t.Fatal("it was changed")
		}
		for range 2 { // pressed twice
			b.post(pathPhone+"/confirm", free).leads(t, pathSecurity+"?done=phone")
		}
		page := b.get(pathSecurity + "?done=phone&lang=en")
		if !strings.Contains(page.body, "138****8002") || !strings.Contains(page.body, "Your mobile number has been changed.") {
			t.Errorf("the room: %s", page.body)
		}
		if _, _, err := h.users.SessionOf(with(there.Secret)); !isNotFound(err) {
			t.Errorf("another session: %v", err)
		}
		if h.signIn(fixture(2)).User.ID != u.ID || h.signIn(fixture(1)).User.ID != taken.ID || h.signIn(fixture(0)).User.ID == u.ID {
			t.Error("the numbers lead elsewhere")
		}
		if n := h.audited(`event = 'user.phone_changed' AND detail LIKE '%"how":"code"%'`, u.ID); n != 1 {
			t.Errorf("%d changes by codes on record", n)
		}
		for _, want := range []string{"Mobile number changed", "Number not changed"} {
			if page := b.get("/account/activity?lang=en"); !strings.Contains(page.body, want) {
				t.Errorf("no %q in %s", want, page.body)
			}
		}
		if !h.users.KnownDevice(deviceRequest(b), number(t, fixture(2))) {
			t.Error("the device does not know the new number")
		}
	})
}

// deviceRequest is a request with the device cookie of b.
func deviceRequest(b *browser) *http.Request {
	r := with(b.cookie(sessionName))
	r.Header.Set("Cookie", deviceName+"="+b.cookie(deviceName))
	return r
}

// A code is for its purpose, its flow and its session.
func TestTheStepsOfAChangeCannotBeSkipped(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b, other := h.browser(), h.browser()
		b.signIn(fixture(0))
		other.signIn(fixture(1))
		flow := b.get(pathPhone).to(t).Query().Get("flow")
		for _, path := range []string{"/new", "/confirm", "/confirm/resend"} {
			b.post(pathPhone+path, url.Values{"flow": {flow}, "phone": {fixture(2)}, "code": {testCode}}).leads(t, pathPhone)
		}
		b.get(pathPhone+"/new?flow="+flow).leads(t, pathPhone)
		to := b.post(pathPhone, url.Values{"flow": {flow}}).to(t)
		old := url.Values{"flow": {flow}, "challenge": {to.Query().Get("challenge")}, "code": {testCode}}
		other.post(pathPhone+"/old", old).leads(t, pathPhone)
		other.setCookie(flowPrefix+flow, b.cookie(flowPrefix+flow))
		other.post(pathPhone+"/old", old).leads(t, pathPhone)
		// Neither does it sign in.
		stranger := h.browser()
		stranger.setCookie(flowPrefix+flow, b.cookie(flowPrefix+flow))
		stranger.post("/login/code", old).wants(t, http.StatusUnprocessableEntity, "page-code")
		if stranger.cookie(sessionName) != "" {
			t.Fatal("a code for a change of number signs in")
		}
		// Nor does a code of a sign-in change a number.
		login, challenge := b.begin(pathPassword+"/forgot", fixture(0))
		b.post(pathPhone+"/old", url.Values{"flow": {login}, "challenge": {challenge}, "code": {testCode}}).leads(t, pathPhone)
		b.post(pathPhone+"/old", url.Values{"flow": {flow}, "challenge": {challenge}, "code": {testCode}}).wants(t, http.StatusUnprocessableEntity, "page-account-phone-code")
		status := b.get("/login/code/status?" + url.Values{"flow": {flow}, "challenge": old["challenge"]}.Encode())
		if status.status != http.StatusOK || !strings.Contains(status.body, `"status":"sent"`) {
			t.Errorf("the message's state: %d %s", status.status, status.body)
		}
		b.post(pathPhone+"/old", old).leads(t, pathPhone+"/new?flow="+flow)
		// The code of the old number is none for the new one.
		b.post(pathPhone+"/confirm", old).wants(t, http.StatusUnprocessableEntity, "page-account-phone-code")
		if got := h.owner(b).Phone.E164(); got != fixture(0) {
			t.Errorf("the number is %s", got)
		}
	})
}

func TestAProofOfTheOldNumberLastsTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		b := h.browser()
		b.signIn(fixture(0))
		flow := b.changing(t)
		time.Sleep(9 * time.Minute)
		form := b.asksFor(t, flow, fixture(2))
		time.Sleep(2 * time.Minute)
		b.post(pathPhone+"/confirm", form).leads(t, pathPhone)
		if to := b.get(pathPhone).to(t); to.Path != "/login" {
			t.Errorf("led to %s", to)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'user.phone_changed'`); n != 0 {
			t.Error("it was changed")
		}
	})
}

func TestALostNumberIsMadeUpForByAnotherProof(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		b.signIn(fixture(0))
		u := h.owner(b)
		page := b.get(pathPhoneLost + "?lang=en")
		page.wants(t, http.StatusOK, "page-account-prove")
		if !strings.Contains(page.body, "contact support") {
			t.Errorf("an account with a number alone: %s", page.body)
		}
		b.post(pathPhoneLost, url.Values{}).leads(t, pathPhoneLost)
		if err := h.users.SetPassword(t.Context(), u.ID, "correct horse battery", operatorBy); err != nil {
			t.Fatal(err)
		}
		form := url.Values{"proof": {"password"}, "password": {"correct horse battery"}}
		b.post(pathPhoneLost, form).wants(t, http.StatusUnprocessableEntity, "page-account-prove") // one factor is not enough
		e := h.confirmedTOTP(u.ID)
		h.aged(u.ID)
		form = url.Values{"proof": {"totp"}, "totp": {codeOf(t, e, 0)}}
		b.post(pathPhoneLost, form).wants(t, http.StatusUnprocessableEntity, "page-account-prove")
		form = url.Values{"proof": {"password_totp"}, "password": {"wrong horse battery"}, "totp": {codeOf(t, e, 0)}}
		b.post(pathPhoneLost, form).says(t, http.StatusUnprocessableEntity, "proof-password")
		form.Set("password", "correct horse battery")
		form.Set("totp", wrong(t, e))
		b.post(pathPhoneLost, form).says(t, http.StatusUnprocessableEntity, "proof-totp")
		form.Set("totp", codeOf(t, e, 0))
		to := b.post(pathPhoneLost, form).to(t)
		if to.Path != pathPhone+"/new" {
			t.Fatalf("led to %s", to)
		}
		page = b.get(to.String())
		page.wants(t, http.StatusOK, "phone")
		if !strings.Contains(page.body, "138****8000") || !strings.Contains(page.body, `class="caution"`) {
			t.Errorf("no note: %s", page.body)
		}
		b.post(pathPhone+"/confirm", b.asksFor(t, to.Query().Get("flow"), fixture(2))).leads(t, pathSecurity+"?done=phone")
		for event, detail := range map[string]string{
			"user.phone_changed": `%"how":"lost"%`, "user.proof_shown": `%"for":"phone_lost","method":"password totp"%`,
		} {
			if n := h.audited(`event = $2 AND detail LIKE $3`, u.ID, event, detail); n != 1 {
				t.Errorf("%d of %s", n, event)
			}
		}
		if n := h.owner(b).Phone; n.E164() != fixture(2) {
			t.Errorf("the number is %v", n)
		}
		b.get(pathPhoneLost).wants(t, http.StatusOK, "lost-continue") // it still counts

		// A recovery code, in a session of its own.
		b = h.browser()
		b.signInKnown(h, fixture(2))
		codes, err := h.users.NewRecoveryCodes(t.Context(), u.ID, operatorBy)
		if err != nil {
			t.Fatal(err)
		}
		h.aged(u.ID)
		form = url.Values{"proof": {"recovery_code"}, "recovery_code": {"AAAA-AAAA-AAAA-AAAA"}}
		b.post(pathPhoneLost, form).says(t, http.StatusUnprocessableEntity, "proof-recovery_code")
		form.Set("recovery_code", strings.ToLower(codes[0]))
		if to := b.post(pathPhoneLost, form).to(t); to.Path != pathPhone+"/new" {
			t.Errorf("led to %s", to)
		}
		// A passkey.
		b = h.browser()
		b.signIn(fixture(3))
		key := newAuthenticator(t)
		b.addPasskey(key)
		b.post(pathPhoneLost, url.Values{}).leads(t, pathPhoneLost) // that it was made is no proof
		h.aged(h.owner(b).ID)
		c := b.asked(pathProve+"/passkey/options", url.Values{})
		b.post(pathProve+"/passkey", url.Values{"lost": {"1"}, "state": {c.State}, "response": {string(key.get(c))}}).leads(t, pathPhoneLost)
		to = b.post(pathPhoneLost, url.Values{}).to(t)
		b.post(pathPhone+"/confirm", b.asksFor(t, to.Query().Get("flow"), fixture(4))).leads(t, pathSecurity+"?done=phone")
	})
}

// Both messages are under the limits of all messages, and a human check is asked for on the page.
func TestTheMessagesOfAChangeAreLimited(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	b.signIn(fixture(0))
	flow := b.changing(t)
	texts := &demanding{Service: h.sms, level: "2"}
	h.pages.SMS, h.pages.Captcha = texts, &gate{}
	before := h.sink.count()
	r := b.post(pathPhone+"/new", url.Values{"flow": {flow}, "phone": {fixture(60)}})
	r.wants(t, http.StatusForbidden, "human-check")
	r = b.post(pathPhone+"/new", url.Values{"flow": {flow}, "phone": {fixture(60)}, "captcha_picture": {"1"}})
	r.wants(t, http.StatusForbidden, "captcha-picture")
	ticket := r.field("captcha_ticket")
	if picture := b.get("/login/captcha.png?" + url.Values{"flow": {flow}, "ticket": {ticket}}.Encode()); picture.status != http.StatusOK {
		t.Errorf("the picture: %d", picture.status)
	}
	form := url.Values{"flow": {flow}, "phone": {fixture(60)}, "captcha_ticket": {ticket}, "captcha_typed": {strings.TrimPrefix(ticket, "ticket-")}}
	to := b.post(pathPhone+"/new", form).to(t)
	if to.Path != pathPhone+"/confirm" || h.sink.count() != before+1 || len(texts.asked) == 0 {
		t.Fatalf("led to %s after %d messages", to, h.sink.count()-before)
	}
	// Asking again goes on with the code that was sent; so does the button for another.
	r = b.post(pathPhone+"/confirm/resend", url.Values{"flow": {flow}, "challenge": to.Query()["challenge"]})
	if r.status != http.StatusForbidden && r.status != http.StatusTooManyRequests {
		t.Errorf("a second message at once: %d", r.status)
	}
	if h.sink.count() != before+1 {
		t.Errorf("%d messages", h.sink.count()-before)
	}
	form = url.Values{"flow": {flow}, "challenge": to.Query()["challenge"], "code": {h.sink.last(fixture(60))}}
	b.post(pathPhone+"/confirm", form).leads(t, pathSecurity+"?done=phone")
}
