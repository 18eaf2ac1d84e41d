package user

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

const offerName = "__Host-" + offerCookie

// asked posts to a route for options and returns the question.
func (b *browser) asked(path string, form url.Values) PasskeyChallenge {
	b.t.Helper()
	r := b.post(path, form)
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" {
		b.t.Fatalf("%s: %d %v %s", path, r.status, r.header, r.body)
	}
	return decode[PasskeyChallenge](b.t.(*testing.T), r.body)
}

// code is the fault of an answer as problem details.
func (r reply) code(t *testing.T) string {
	t.Helper()
	if r.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d %s: %s", r.status, r.header.Get("Content-Type"), r.body)
	}
	return decode[struct{ Code string }](t, r.body).Code
}

// addPasskey is what the script of the account does.
func (b *browser) addPasskey(a *authenticator) {
	b.t.Helper()
	c := b.asked("/account/passkeys/options", url.Values{})
	to := b.post("/account/passkeys", url.Values{"state": {c.State}, "response": {string(a.create(c))}}, "User-Agent", "an iPhone").to(b.t)
	if to.String() != "/account/security/passkeys?done=passkey" {
		b.t.Fatalf("sent to %s", to)
	}
}

// forget drops what was shown besides the sign-in, as ten minutes do.
func (b *browser) forget() { b.setCookie("__Host-"+provenCookie, "") }

// provePasskey is what the script does on the page that asks for a further proof.
func (b *browser) provePasskey(a *authenticator) {
	b.t.Helper()
	c := b.asked(pathProve+"/passkey/options", url.Values{})
	to := b.post(pathProve+"/passkey", url.Values{"state": {c.State}, "response": {string(a.get(c))}, "for": {pathPasskeys}}).to(b.t)
	if to.Path != pathPasskeys {
		b.t.Fatalf("led to %s", to)
	}
}

func TestAPersonAddsAPasskeyAndSignsInWithIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		key := newAuthenticator(t)
		b := h.browser()
		b.signIn(fixture(1))
		b.addPasskey(key)
		if n := h.rows(`SELECT COUNT(*) FROM passkeys WHERE name = 'iPhone'`); n != 1 {
			t.Error("the passkey is not called by the device it was made on")
		}

		// Another browser, for a client; the number page asks already.
		b = h.browser()
		flow := b.get("/start?x=1").to(t).Query().Get("flow")
		page := b.get("/login?flow=" + flow)
		page.wants(t, http.StatusOK, "passkey-sign-in")
		if !strings.Contains(page.body, ` webauthn"`) {
			t.Error("the field for the number suggests no passkeys")
		}
		c := b.asked("/login/passkey/options", url.Values{"flow": {flow}})
		form := url.Values{"flow": {flow}, "state": {c.State}, "response": {string(key.get(c))}}
		h.next.keep = true // so that the browser may come back to the flow
		if to := b.post("/login/passkey", form).to(t); to.String() != "https://rp.example/cb?from=start&x=1" {
			t.Errorf("sent to %s", to)
		}
		session, _, err := h.users.SessionOf(with(b.cookie(sessionName)))
		if err != nil || session.ACR != ACRPasskey {
			t.Fatalf("session %+v, %v", session, err)
		}
		if b.cookie(deviceName) == "" {
			t.Error("the device is not recognised")
		}
		// The back button, or the button twice: the sign-in goes on.
		if to := b.post("/login/passkey", form).to(t); to.Host != "rp.example" {
			t.Errorf("twice: sent to %s", to)
		}
		if sessions := h.rows(`SELECT COUNT(*) FROM sessions`); sessions != 2 {
			t.Errorf("%d sessions", sessions)
		}

		// A direct visit leads to the account; the session of before is replaced.
		form = url.Values{"flow": {b.get("/start").to(t).Query().Get("flow")}}
		c = b.asked("/login/passkey/options", form)
		form.Set("state", c.State)
		form.Set("response", string(key.get(c)))
		before := b.cookie(sessionName)
		b.post("/login/passkey", form).to(t)
		if _, _, err := h.users.SessionOf(with(before)); !isNotFound(err) {
			t.Errorf("the cookie of before still works: %v", err)
		}
	})
}

func TestPasskeyFormsOfOthersDoNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		key := newAuthenticator(t)
		owner := h.browser()
		owner.signIn(fixture(1))
		owner.addPasskey(key)
		owner.forget()

		// A question of another browser's flow, and no flow.
		victim, attacker := h.browser(), h.browser()
		flow, theirs := victim.get("/login").to(t).Query().Get("flow"), attacker.get("/login").to(t).Query().Get("flow")
		c := victim.asked("/login/passkey/options", url.Values{"flow": {flow}})
		form := url.Values{"flow": {theirs}, "state": {c.State}, "response": {string(key.get(c))}}
		page := attacker.post("/login/passkey", form)
		page.wants(t, http.StatusUnprocessableEntity, "page-login")
		if attacker.cookie(sessionName) != "" {
			t.Error("another browser's answer signs in")
		}
		form.Set("flow", flow)
		attacker.post("/login/passkey", form).fault(t, http.StatusGone, "flow_expired")
		if code := attacker.post("/login/passkey/options", url.Values{"flow": {flow}}).code(t); code != "flow_expired" {
			t.Errorf("options of another's flow: %s", code)
		}
		victim.post("/login/passkey", form, "Sec-Fetch-Site", "cross-site")
		if victim.cookie(sessionName) != "" {
			t.Error("another site's form signs in")
		}
		if to := victim.post("/login/passkey", form).to(t); to.Path != "/account" {
			t.Errorf("the owner is sent to %s", to)
		}

		// Strangers add and remove nothing.
		if r := attacker.post("/account/passkeys/options", url.Values{}); r.status != http.StatusUnauthorized || r.code(t) != "login_required" {
			t.Errorf("a stranger is asked for a passkey: %d", r.status)
		}
		for _, path := range []string{"/account/passkeys", "/account/passkeys/" + key.credentialID() + "/remove", "/account/passkeys/" + key.credentialID() + "/rename"} {
			if to := attacker.post(path, url.Values{"name": {"mine"}}).to(t); to.Path != "/login" {
				t.Errorf("%s leads a stranger to %s", path, to)
			}
			owner.post(path, url.Values{"name": {"mine"}}, "Sec-Fetch-Site", "cross-site")
		}
		other := h.browser()
		other.signIn(fixture(2))
		other.post("/account/passkeys/"+key.credentialID()+"/remove", url.Values{}).wants(t, http.StatusUnprocessableEntity, "page-account-passkeys")
		if to := owner.post("/account/passkeys/"+key.credentialID()+"/remove", url.Values{}).to(t); to.Path != pathProve {
			t.Errorf("a text message removes a passkey: led to %s", to)
		}
		if code := owner.post("/account/passkeys/options", url.Values{}).code(t); code != "reauthentication_required" {
			t.Errorf("a text message adds a passkey: %s", code)
		}
		owner.provePasskey(key)
		c = owner.asked("/account/passkeys/options", url.Values{})
		other.post("/account/passkeys", url.Values{"state": {c.State}, "response": {string(newAuthenticator(t).create(c))}}).
			wants(t, http.StatusUnprocessableEntity, "page-account-passkeys")
		if n := h.rows(`SELECT COUNT(*) FROM passkeys WHERE name <> 'mine'`); n != 1 {
			t.Fatal("somebody else changed a passkey")
		}

		if to := owner.post("/account/passkeys/"+key.credentialID()+"/rename", url.Values{"name": {"手机 📱"}}).to(t); to.Query().Get("done") != "passkey_renamed" {
			t.Errorf("renamed to %s", to)
		}
		if n := h.rows(`SELECT COUNT(*) FROM passkeys WHERE name = '手机 📱'`); n != 1 {
			t.Error("not renamed")
		}
		owner.post("/account/passkeys/"+key.credentialID()+"/remove", url.Values{}).to(t)
		if n := h.rows(`SELECT COUNT(*) FROM passkeys`); n != 0 {
			t.Error("not removed")
		}
		flow = other.get("/start?skip").to(t).Query().Get("flow")
		c = other.asked("/login/passkey/options", url.Values{"flow": {flow}})
		page = other.post("/login/passkey", url.Values{"flow": {flow}, "state": {c.State}, "response": {string(key.get(c))}})
		page.wants(t, http.StatusUnprocessableEntity, "page-login")
	})
}

// A new version of the terms is agreed to before a passkey signs in.
func TestAPasskeySignInAsksForNewTerms(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		key := newAuthenticator(t)
		b := h.browser()
		b.signIn(fixture(1))
		b.addPasskey(key)
		h.pages.AgreementVersion = "2027-01-01"
		b = h.browser()
		flow := b.get("/login").to(t).Query().Get("flow")
		try := func(agree string) reply {
			c := b.asked("/login/passkey/options", url.Values{"flow": {flow}})
			return b.post("/login/passkey", url.Values{"flow": {flow}, "state": {c.State}, "response": {string(key.get(c))}, "agree": {agree}})
		}
		page := try("")
		page.wants(t, http.StatusUnprocessableEntity, "agree-error")
		if b.cookie(sessionName) != "" {
			t.Fatal("signed in without agreeing")
		}
		if to := try("1").to(t); to.Path != "/account" {
			t.Errorf("sent to %s", to)
		}
		if n := h.rows(`SELECT COUNT(*) FROM agreements WHERE version = '2027-01-01'`); n != 1 {
			t.Errorf("%d agreements", n)
		}
	})
}

func TestChangingPasskeysNeedsAFreshSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		key := newAuthenticator(t)
		b := h.browser()
		b.signIn(fixture(1))
		b.addPasskey(key)
		c := b.asked("/account/passkeys/options", url.Values{})
		time.Sleep(freshSignIn + time.Second)
		if r := b.post("/account/passkeys/options", url.Values{}); r.status != http.StatusForbidden || r.code(t) != "reauthentication_required" {
			t.Errorf("options: %d", r.status)
		}
		for _, path := range []string{"/account/passkeys", "/account/passkeys/" + key.credentialID() + "/remove"} {
			if to := b.post(path, url.Values{"state": {c.State}, "response": {"{}"}}).to(t); to.Path != "/login" {
				t.Errorf("%s leads to %s", path, to)
			}
		}
		if n := h.rows(`SELECT COUNT(*) FROM passkeys`); n != 1 {
			t.Errorf("%d passkeys", n)
		}
	})
}

func TestQuestionsAreLimitedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		b := h.browser()
		form := url.Values{"flow": {b.get("/login").to(t).Query().Get("flow")}}
		for range questionsPerMinute {
			b.asked("/login/passkey/options", form)
		}
		r := b.post("/login/passkey/options", form)
		if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" || r.code(t) != "rate_limited" {
			t.Errorf("%d %v", r.status, r.header)
		}
		h.now.set(netip.MustParseAddr("2001:db8::1"))
		b.asked("/login/passkey/options", form)
		h.now.set(netip.MustParseAddr("198.51.100.7"))
		time.Sleep(time.Minute + time.Second)
		b.asked("/login/passkey/options", form)
	})
}

// offered signs in by code with a script that says whether the device can make a
// passkey, and tells whether the offer was made.
func (b *browser) offered(phone, can string) (offer bool, flow string) {
	b.t.Helper()
	flow, challenge := b.begin("/start?x=1", phone)
	to := b.post("/login/code", url.Values{"flow": {flow}, "challenge": {challenge}, "code": {testCode}, "passkey": {can}}).to(b.t)
	return to.Path == "/login/passkey-setup" && to.Query().Get("flow") == flow, flow
}

func TestTheOfferOfAPasskey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.next.keep = true
		plain := h.browser()
		if offer, _ := plain.offered(fixture(1), ""); offer || plain.cookie(offerName) != "" {
			t.Error("offered to a browser that said nothing")
		}

		b := h.browser()
		offer, flow := b.offered(fixture(1), "1")
		if !offer || b.cookie(offerName) == "" {
			t.Fatal("no offer")
		}
		for range 2 { // it survives a reload
			b.get("/login/passkey-setup?flow="+flow).wants(t, http.StatusOK, "passkey-continue")
		}
		h.browser().get("/login/passkey-setup?flow="+flow).fault(t, http.StatusBadRequest, "cookies_required")
		c := b.asked("/account/passkeys/options", url.Values{"flow": {flow}})
		form := url.Values{"flow": {flow}, "state": {c.State}, "response": {"{}"}}
		b.post("/login/passkey-setup", form).wants(t, http.StatusUnprocessableEntity, "add-passkey")
		key := newAuthenticator(t)
		form.Set("response", string(key.create(c)))
		if to := b.post("/login/passkey-setup", form).to(t); to.String() != "https://rp.example/cb?from=start&x=1" {
			t.Errorf("sent to %s", to)
		}
		if n := h.rows(`SELECT COUNT(*) FROM passkeys`); n != 1 {
			t.Errorf("%d passkeys", n)
		}
		another := h.browser()
		if offer, _ := another.offered(fixture(1), "1"); offer {
			t.Error("offered to a person who has one")
		}

		h.confirmedTOTP(h.signIn(fixture(4)).User.ID)
		if offer, _ := h.browser().offered(fixture(4), "1"); offer {
			t.Error("offered to a person who has an app, which a code must not overrule")
		}

		later := h.browser()
		if offer, flow = later.offered(fixture(2), "1"); !offer {
			t.Fatal("no offer")
		}
		if to := later.post("/login/passkey-setup", url.Values{"flow": {flow}, "decision": {"later"}}).to(t); to.Host != "rp.example" {
			t.Errorf("not now leads to %s", to)
		}
		if offer, _ = later.offered(fixture(2), "1"); offer {
			t.Error("offered twice")
		}
		h.pages.OfferPasskeys = false
		if offer, _ = h.browser().offered(fixture(3), "1"); offer {
			t.Error("offered although the operator does not want it")
		}
	})
}

// The page of the offer adds no passkey that the account's own page would not.
func TestTheOfferDoesNotOverruleMore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.next.keep = true
		b := h.browser()
		_, flow := b.offered(fixture(1), "1")
		c := b.asked("/account/passkeys/options", url.Values{"flow": {flow}})
		h.confirmedTOTP(h.owner(b).ID) // in between
		form := url.Values{"flow": {flow}, "state": {c.State}, "response": {string(newAuthenticator(t).create(c))}}
		b.post("/login/passkey-setup", form).wants(t, http.StatusForbidden, "page-passkey-setup")
		if n := h.rows(`SELECT COUNT(*) FROM passkeys`); n != 0 {
			t.Error("it was added")
		}
		// After a password alone there is nothing to offer.
		h.withPassword(2, "berta")
		other := h.browser()
		flow = other.openPassword("/start")
		if to := other.byPassword(flow, "berta", goodPassword, "agree", "1", "passkey", "1").to(t); to.Host != "rp.example" {
			t.Errorf("led to %s", to)
		}
	})
}

// A flow in which nobody signed in has no such page, whoever is signed in.
func TestTheOfferBelongsToItsSignIn(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	b.signIn(fixture(1))
	flow := b.get("/start").to(t).Query().Get("flow")
	for _, r := range []reply{b.get("/login/passkey-setup?flow=" + flow), b.post("/login/passkey-setup", url.Values{"flow": {flow}})} {
		if to := r.to(t); to.Path != "/account" { // as of any page of a sign-in that is over
			t.Errorf("led to %s", to)
		}
	}
	if len(h.next.users) != 0 {
		t.Error("a flow went on without a sign-in of its own")
	}
}

func TestAskNeverAgainLastsAYear(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	_, flow := b.offered(fixture(1), "1")
	age := func(r reply) (age int) {
		res := http.Response{Header: r.header}
		for _, c := range res.Cookies() {
			if c.Name == offerName {
				age = c.MaxAge
			}
		}
		return age
	}
	if got := age(b.post("/login/passkey-setup", url.Values{"flow": {flow}, "decision": {"never"}})); got != int(offerNever/time.Second) {
		t.Errorf("remembered for %d seconds", got)
	}
}
