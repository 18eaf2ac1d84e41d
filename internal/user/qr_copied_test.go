package user

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// wantsNothingFresh tries what asks for a fresh sign-in.
func (b *browser) wantsNothingFresh(t *testing.T) {
	t.Helper()
	for _, path := range []string{pathPhone, pathPhoneLost, pathPassword, pathTOTP, pathRecovery, pathPasskeys, pathProve, "/account/delete"} {
		if to := b.get(path).to(t); to.Path != "/login" {
			t.Errorf("%s leads to %s", path, to)
		}
	}
	for _, path := range []string{"/account/privacy/export", pathPassword, "/account/passkeys"} {
		if to := b.post(path, url.Values{}).to(t); to.Path != "/login" {
			t.Errorf("POST %s leads to %s", path, to)
		}
	}
	for _, path := range []string{"/account/passkeys/options", pathProve + "/passkey/options"} {
		if r := b.post(path, url.Values{}); r.status != http.StatusForbidden || r.code(t) != "reauthentication_required" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

// Pressing a button on a phone proves nothing to the pages of the desktop, however
// lately the phone itself was signed in.
func TestACopiedSessionIsNeverFresh(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk, third := h.browser(), h.browser(), h.browser()
		phone.signIn(fixture(0))
		d := desk.drawQR("/login")
		phone.allow(d)
		d.finish().to(t)
		desk.wantsNothingFresh(t)

		d = third.drawQR("/login") // nor is a copy of a copy
		desk.allow(d)
		d.finish().to(t)
		third.wantsNothingFresh(t)

		flow, challenge := desk.begin(pathPhone, fixture(0))
		desk.finish(flow, challenge, testCode).leads(t, pathPhone) // a proof of its own makes the same session fresh
		desk.get(pathTOTP).wants(t, http.StatusOK, "page-account-totp")
		phone.get(pathTOTP).wants(t, http.StatusOK, "page-account-totp")
		d = desk.drawQR("/start") // and a copy takes that away again
		phone.allow(d)
		d.finish().to(t)
		desk.wantsNothingFresh(t)
	})
}

// What the phone showed when it signed in does not make up for the old number on
// the desktop.
func TestACopyHasNoneOfThePhonesProofs(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	phone, desk, key := h.browser(), h.browser(), newAuthenticator(t)
	phone.signIn(fixture(0))
	phone.addPasskey(key)
	phone = h.browser()
	flow := phone.get("/login").to(t).Query().Get("flow")
	c := phone.asked("/login/passkey/options", url.Values{"flow": {flow}})
	phone.post("/login/passkey", url.Values{"flow": {flow}, "state": {c.State}, "response": {string(key.get(c))}}).to(t)
	phone.get(pathTOTP).wants(t, http.StatusOK, "page-account-totp")

	d := desk.drawQR("/login")
	phone.allow(d)
	d.finish().to(t)
	desk.wantsNothingFresh(t)
	if to := desk.post(pathPhoneLost, url.Values{}).to(t); to.Path != "/login" {
		t.Errorf("the lost number is made up for: %s", to)
	}
}

// A proof that was asked of the phone for this sign-in is the desktop's, too.
func TestAProofAskedOfThePhoneMakesTheDesktopFresh(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk := h.browser(), h.browser()
		phone.signIn(fixture(0))
		d := desk.drawQR("/login")
		phone.allow(d)
		d.finish().to(t)
		d = desk.drawQR(pathPhone)
		phone.scan(d).wants(t, http.StatusOK, "page-qr-confirm")
		flow, challenge := phone.begin2(phone.decide(d, "allow"), fixture(0))
		if to := phone.finish(flow, challenge, testCode).to(t); to.Path != "/qr/"+d.id {
			t.Fatalf("sent to %s", to)
		}
		phone.allow(d)
		d.finish().leads(t, pathPhone)
		desk.get(pathTOTP).wants(t, http.StatusOK, "page-account-totp")
	})
}

// A sign-in of before the code was drawn was not made for it, though it is young
// enough for the client (max_age), or younger than a flow that waited.
func TestAProofOfBeforeTheCodeIsNoneForIt(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	phone, desk := h.browser(), h.browser()
	d := desk.drawQR("/start?fresh")
	phone.signIn(fixture(0))
	d.id = desk.get("/login/qr?flow=" + d.flow).to(t).Query().Get("request")
	phone.allow(d)
	if to := d.finish().to(t); !strings.HasPrefix(to.String(), "https://rp.example/cb") {
		t.Fatalf("sent to %s", to)
	}
	desk.wantsNothingFresh(t)
}
