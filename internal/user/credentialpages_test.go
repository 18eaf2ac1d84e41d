package user

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestAPasswordIsSetChangedAndRemoved(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		b.signIn(fixture(0))
		there := h.signIn(fixture(0))
		u := h.owner(b)
		page := b.get(pathPassword)
		page.wants(t, http.StatusOK, "page-account-password")
		if strings.Contains(page.body, `id="current"`) || strings.Contains(page.body, "remove-password") {
			t.Error("it speaks of a password that there is not")
		}
		for typed, want := range map[string]int{"short": 422, "password123": 422, strings.Repeat("x", 129): 422, "13800138000": 422} {
			r := b.post(pathPassword, url.Values{"password": {typed}})
			r.says(t, want, "password")
			if typed != "short" && strings.Contains(r.body, typed) && typed != "13800138000" {
				t.Error("what was typed is shown again")
			}
		}
		b.post(pathPassword, url.Values{"password": {"correct horse battery"}}).leads(t, pathSecurity+"?done=password")
		if err := h.users.CheckPassword(t.Context(), u.ID, "correct horse battery"); err != nil {
			t.Error(err)
		}
		if _, _, err := h.users.SessionOf(with(there.Secret)); err != nil {
			t.Errorf("the first password ended a session: %v", err)
		}
		b.post(pathPassword, url.Values{"password": {"another horse battery"}}).leads(t, pathSecurity+"?done=password")
		if _, _, err := h.users.SessionOf(with(there.Secret)); !isNotFound(err) {
			t.Errorf("a change left another session: %v", err)
		}
		b.get(pathPassword).wants(t, http.StatusOK, "remove-password")
		b.post(pathPassword+"/remove", url.Values{}).leads(t, pathSecurity+"?done=password_removed")
		if has, _, err := h.users.HasPassword(t.Context(), u.ID); has || err != nil {
			t.Errorf("has a password: %t, %v", has, err)
		}
	})
}

// After ten minutes the present password, or a code, is asked for.
func TestThePresentPasswordIsAsGoodAsAFreshSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		b := h.browser()
		b.signIn(fixture(0))
		u := h.owner(b)
		time.Sleep(freshSignIn + time.Second)
		if to := b.get(pathPassword).to(t); to.Path != "/login" {
			t.Fatalf("without a password: led to %s", to)
		}
		if err := h.users.SetPassword(t.Context(), u.ID, "correct horse battery", operatorBy); err != nil {
			t.Fatal(err)
		}
		b.get(pathPassword).wants(t, http.StatusOK, "current")
		b.post(pathPassword, url.Values{"current": {"wrong horse battery"}, "password": {"another horse battery"}}).says(t, http.StatusUnprocessableEntity, "current")
		b.post(pathPassword, url.Values{"password": {"another horse battery"}}).says(t, http.StatusUnprocessableEntity, "current")
		b.post(pathPassword, url.Values{"current": {"correct horse battery"}, "password": {"short"}}).says(t, http.StatusUnprocessableEntity, "password")
		if to := b.post(pathPassword+"/remove", url.Values{}).to(t); to.Path != "/login" {
			t.Errorf("removing leads to %s", to)
		}
		b.post(pathPassword, url.Values{"current": {"correct horse battery"}, "password": {"another horse battery"}}).leads(t, pathSecurity+"?done=password")
		// The change proved nothing anew.
		for i := range 10 {
			r := b.post(pathPassword, url.Values{"current": {fmt.Sprint("guess ", i)}, "password": {"yet another horse"}})
			if r.status != http.StatusUnprocessableEntity {
				t.Errorf("guess %d: %d", i, r.status)
			}
		}
	})
}

// Who forgot it signs in by code, which leads to the page for a new one.
func TestAForgottenPasswordIsSetAnew(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	u := h.signIn(fixture(0)).User
	if err := h.users.SetPassword(t.Context(), u.ID, "correct horse battery", operatorBy); err != nil {
		t.Fatal(err)
	}
	b := h.browser()
	flow := b.get("/login/password").to(t).Query().Get("flow")
	page := b.get("/login/password?flow=" + flow)
	if !strings.Contains(page.body, `href="/login/password/forgot?flow=`+flow+`"`) {
		t.Fatalf("the page leads nowhere: %s", page.body)
	}
	b.get("/login/password/forgot?flow="+flow).leads(t, "/login?flow="+flow)
	to := b.post("/login", url.Values{"flow": {flow}, "phone": {fixture(0)}, "agree": {"1"}}).to(t)
	b.finish(flow, to.Query().Get("challenge"), testCode).leads(t, pathPassword)
	b.post(pathPassword, url.Values{"password": {"another horse battery"}}).leads(t, pathSecurity+"?done=password")
	if err := h.users.CheckPassword(t.Context(), u.ID, "another horse battery"); err != nil {
		t.Error(err)
	}
	// From the account, a code is asked for although the sign-in is fresh.
	flow, challenge := b.begin(pathPassword+"/forgot", fixture(0))
	b.finish(flow, challenge, testCode).leads(t, pathPassword)
	// A client waits for its own answer.
	b = h.browser()
	flow = b.get("/start?x=1").to(t).Query().Get("flow")
	b.get("/login/password/forgot?flow="+flow).leads(t, "/login?flow="+flow)
	to = b.post("/login", url.Values{"flow": {flow}, "phone": {fixture(0)}, "agree": {"1"}}).to(t)
	if to := b.finish(flow, to.Query().Get("challenge"), testCode).to(t); to.Host != "rp.example" {
		t.Errorf("led to %s", to)
	}
	h.browser().get("/login/password/forgot?flow="+flow).fault(t, http.StatusBadRequest, "cookies_required")
}

func TestNamesAreSetAndRemoved(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b, other := h.browser(), h.browser()
		b.signIn(fixture(0))
		other.signIn(fixture(1))
		for kind, c := range map[string]struct{ path, good, twin, bad string }{
			kindUsername: {pathUsername, "Xiao.Man", "xiao.man", "13800138000"}, kindEmail: {pathEmail, "Man@mail.example", "man@MAIL.example", "man@mail"},
		} {
			for _, typed := range []string{"", " ", c.bad, "a@b", "+8613800138000"} {
				b.post(c.path, url.Values{"value": {typed}}).says(t, http.StatusUnprocessableEntity, kind)
			}
			b.post(c.path, url.Values{"value": {" " + c.good + " "}}).leads(t, pathSecurity+"?done="+kind)
			if page := b.get(c.path).body; !strings.Contains(page, `value="`+c.good+`"`) || !strings.Contains(page, "remove-identifier") {
				t.Errorf("the page shows %s", page)
			}
			r := other.post(c.path, url.Values{"value": {c.twin}})
			r.says(t, http.StatusConflict, kind)
			if !strings.Contains(r.body, `value="`+c.twin+`"`) {
				t.Error("what was typed is lost")
			}
			b.post(c.path+"/remove", url.Values{}).leads(t, pathSecurity+"?done="+kind+"_removed")
			other.post(c.path, url.Values{"value": {c.twin}}).leads(t, pathSecurity+"?done="+kind)
		}
		if u := h.owner(other); u.Claims["preferred_username"] != "xiao.man" || u.Claims["email_verified"] != false {
			t.Errorf("claims %v", u.Claims)
		}
	})
}

func TestAnAppIsSetUpAndCodesAreShown(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		b.signIn(fixture(0))
		u := h.owner(b)
		b.get(pathTOTP+"/confirm").leads(t, pathTOTP)
		b.post(pathTOTP+"/confirm", url.Values{"code": {"000000"}}).leads(t, pathTOTP)
		b.get(pathRecovery+"/codes").leads(t, pathRecovery)
		b.post(pathTOTP, url.Values{}).leads(t, pathTOTP+"/confirm")
		e, err := h.users.WaitingTOTP(t.Context(), u.ID, "Dialtone", "+86 138****8000")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // it survives a reload
			page := b.get(pathTOTP + "/confirm")
			page.wants(t, http.StatusOK, "totp-picture")
			if !strings.Contains(page.body, inFours(e.Secret)) || !strings.Contains(page.body, "otpauth://totp/Dialtone:") || strings.Contains(page.body, "13800138000") {
				t.Errorf("the page: %s", page.body)
			}
		}
		b.post(pathTOTP+"/confirm", url.Values{"code": {wrong(t, e)}}).says(t, http.StatusUnprocessableEntity, "totp-code")
		right := codeOf(t, e, 0)
		for range 2 { // pressed twice
			b.post(pathTOTP+"/confirm", url.Values{"code": {right}}).leads(t, pathRecovery+"/codes")
		}
		page := b.get(pathRecovery + "/codes")
		page.wants(t, http.StatusOK, "recovery-codes")
		file := b.get(pathRecovery + "/codes.txt?lang=en")
		codes := strings.Split(strings.TrimSpace(file.body), "\r\n")
		if len(codes) != 3+recoveryCodes || !strings.HasPrefix(file.header.Get("Content-Type"), "text/plain") ||
			!strings.Contains(file.header.Get("Content-Disposition"), "attachment") || file.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("the file: %v %q", file.header, file.body)
		}
		for _, code := range codes[3:] {
			if !strings.Contains(page.body, code) {
				t.Errorf("the page has no %s", code)
			}
		}
		if err := h.users.UseRecoveryCode(t.Context(), u.ID, codes[5]); err != nil {
			t.Error(err)
		}
		// Another session of the same person reads nothing from the cookie.
		thief := h.browser()
		thief.signInKnown(h, fixture(0))
		thief.setCookie("__Host-"+codesCookie, b.cookie("__Host-"+codesCookie))
		thief.get(pathRecovery+"/codes").leads(t, pathRecovery)
		b.post(pathRecovery+"/kept", url.Values{}).leads(t, pathSecurity+"?done=recovery")
		b.get(pathRecovery+"/codes").leads(t, pathRecovery)

		b.post(pathRecovery, url.Values{}).leads(t, pathRecovery+"/codes") // whoever has set the app up has shown it
		if err := h.users.UseRecoveryCode(t.Context(), u.ID, codes[6]); err == nil {
			t.Error("an old code still works")
		}
		b.get(pathRecovery+"/codes").wants(t, http.StatusOK, "recovery-codes")
		if _, err := h.users.NewRecoveryCodes(t.Context(), u.ID, operatorBy); err != nil { // as the button pressed twice does
			t.Fatal(err)
		}
		b.get(pathRecovery+"/codes").leads(t, pathRecovery)
		b.get(pathRecovery+"/codes.txt").leads(t, pathRecovery)
		b.post(pathTOTP, url.Values{}).leads(t, pathTOTP+"/confirm")
		e2, err := h.users.WaitingTOTP(t.Context(), u.ID, "Dialtone", "x")
		if err != nil || e2.Secret == e.Secret {
			t.Fatalf("the next app has the same secret, %v", err)
		}
		b.post(pathTOTP+"/confirm", url.Values{"code": {codeOf(t, e2, 0)}}).leads(t, pathSecurity+"?done=totp") // the codes stay
		b.post(pathTOTP+"/remove", url.Values{}).leads(t, pathSecurity+"?done=totp_removed")
		if has, err := h.users.OwnProofs().Available(t.Context(), u.ID); len(has) != 0 || err != nil {
			t.Errorf("left: %v, %v", has, err)
		}
	})
}
