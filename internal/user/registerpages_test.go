package user

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// beginRegister opens /register by a path and asks for a code there.
func (b *browser) beginRegister(path, phone string) (flow, challenge string) {
	b.t.Helper()
	flow = b.get(path).to(b.t).Query().Get("flow")
	b.get("/register?flow="+flow).wants(b.t, http.StatusOK, "page-register")
	to := b.post("/register", url.Values{"flow": {flow}, "phone": {phone}, "agree": {"1"}}).to(b.t)
	if to.Path != "/register" || to.Query().Get("flow") != flow || to.Query().Get("challenge") == "" || len(to.Query()) != 2 {
		b.t.Fatalf("unexpected redirect to %s", to)
	}
	return flow, to.Query().Get("challenge")
}

func (b *browser) register(flow, challenge, code, chosen string) reply {
	b.t.Helper()
	return b.post("/register", url.Values{"flow": {flow}, "challenge": {challenge}, "code": {code}, "password": {chosen}})
}

func TestRegisteringMakesAnAccountWithItsPassword(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		b := visit()
		if to := b.get("/register").to(t); to.Path != "/register" || to.Query().Get("flow") == "" {
			t.Fatalf("a direct visit is sent to %s", to)
		}
		flow, challenge := b.beginRegister("/register", "138 0013 8060")
		second := "/register?flow=" + flow + "&challenge=" + challenge
		for range 2 { // it lives on when it is loaded again
			page := b.get(second)
			page.wants(t, http.StatusOK, "page-register")
			for _, id := range []string{"code", "password", "register", "resend-code", "change-phone"} {
				page.wants(t, http.StatusOK, id)
			}
			if strings.Contains(page.body, "13800138060") || !strings.Contains(page.body, "138****8060") || strings.Contains(page.body, `id="phone"`) {
				t.Error("the second step does not show the masked number alone")
			}
		}
		if n := h.rows(`SELECT count(*) FROM users`); n != 0 {
			t.Fatal("an account before its number was proved")
		}
		chosen := "  Grüße, 世界 🌧  " // as it is typed, blanks and all
		if to := b.register(flow, challenge, h.sink.last(fixture(60)), chosen).to(t); to.Path != "/account" {
			t.Errorf("sent to %s", to)
		}
		b.get("/account").wants(t, http.StatusOK, "page-account")
		if to := b.get(second).to(t); to.Path != "/account" { // back
			t.Errorf("going back leads to %s", to)
		}
		other := visit()
		wrong := other.openPassword("/start")
		other.byPassword(wrong, fixture(60), strings.TrimSpace(chosen)).wants(t, http.StatusUnprocessableEntity, "page-password")
		other.byPassword(wrong, fixture(60), chosen).to(t) // and the agreement stands
		for query, want := range map[string]int{
			`SELECT count(*) FROM users`:                                                1,
			`SELECT count(*) FROM passwords`:                                            1,
			`SELECT count(*) FROM agreements WHERE version = '` + termsOfTest + `'`:     1,
			`SELECT count(*) FROM sessions WHERE amr = 'sms otp'`:                       1,
			`SELECT count(*) FROM identifiers WHERE kind = 'phone' AND verified_at > 0`: 1,
			`SELECT count(*) FROM audit WHERE event = 'user.created'`:                   1,
			`SELECT count(*) FROM audit WHERE event = 'user.password_set'`:              1,
		} {
			if n := h.rows(query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
	})
}

// S-11: an owner who registers is signed in, by answers of the same looks and size
// as those for a new number, and keeps the password that they have, or none.
func TestRegisteringAnOwnersNumberShowsNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		own := h.withPassword(0, "anna")
		without := h.signIn(fixture(1)).User
		made, err := h.users.Create(t.Context(), number(t, fixture(2)), nil) // by an operator: not proved yet
		if err != nil {
			t.Fatal(err)
		}
		walk := func(i int) (pages, last string) {
			b := visit()
			flow := b.get("/start").to(t).Query().Get("flow")
			mask := "138****" + fixture(i)[len(fixture(i))-4:]
			first := b.get("/register?flow=" + flow)
			sent := b.post("/register", url.Values{"flow": {flow}, "phone": {fixture(i)}, "agree": {"1"}})
			challenge := sent.to(t).Query().Get("challenge")
			common := b.register(flow, challenge, testCode, "woaini1314")
			wrong := b.register(flow, challenge, "000000", otherPassword)
			second := b.get("/register?flow=" + flow + "&challenge=" + challenge)
			for _, page := range []reply{common, wrong} {
				page.wants(t, http.StatusUnprocessableEntity, "page-register")
			}
			for _, r := range []reply{first, sent, common, wrong, second} {
				pages += r.bare(flow, challenge, mask) + "\n"
			}
			in := b.register(flow, challenge, testCode, otherPassword)
			in.to(t)
			if s, u, err := h.users.SessionOf(with(b.cookie(sessionName))); err != nil || u.Phone.E164() != fixture(i) || s.ACR != "1" {
				t.Errorf("%d is %v: %v", i, u, err)
			}
			sizes := ""
			for _, c := range (&http.Response{Header: in.header}).Cookies() {
				if c.Name == sessionName || c.Name == deviceName { // the flow's has a time in it
					sizes += c.Name[:20] + strconv.Itoa(len(c.Value)) + " "
				}
			}
			return pages, in.bare(flow, challenge) + sizes
		}
		wantPages, wantLast := walk(9)
		for i, who := range []string{"an owner with a password", "one without", "one that an operator made"} {
			pages, last := walk(i)
			if pages != wantPages {
				t.Errorf("%s: the pages differ:\n%s\nwant\n%s", who, pages, wantPages)
			}
			if last != wantLast {
				t.Errorf("%s: the last answer differs:\n%s\nwant\n%s", who, last, wantLast)
			}
		}
		if err := h.users.CheckPassword(t.Context(), own.ID, goodPassword); err != nil {
			t.Errorf("the owner's own password: %v", err)
		}
		for _, u := range []User{without, made} {
			if has, _, err := h.users.HasPassword(t.Context(), u.ID); has || err != nil {
				t.Errorf("an account got a password by registering again: %v", err)
			}
		}
		if n := h.rows(`SELECT count(*) FROM users`); n != 4 {
			t.Errorf("%d users", n)
		}
	})
}

func TestRegisteringADisabledAccountIsRefusedBehindTheCode(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.online()()
		if err := h.users.Disable(t.Context(), h.signIn(fixture(0)).User.ID); err != nil {
			t.Fatal(err)
		}
		flow, challenge := b.beginRegister("/start", fixture(0))
		b.register(flow, challenge, "000000", goodPassword).wants(t, http.StatusUnprocessableEntity, "code-error")
		page := b.register(flow, challenge, testCode, goodPassword)
		page.fault(t, http.StatusForbidden, "account_disabled")
		if b.cookie(sessionName) != "" || h.rows(`SELECT count(*) FROM passwords`) != 0 {
			t.Error("a session, or a password")
		}
	})
}

// A password that may not be chosen is said so before the code is tried.
func TestARefusedPasswordLeavesTheCode(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.online()()
		flow, challenge := b.beginRegister("/register", fixture(60))
		code := h.sink.last(fixture(60))
		for _, chosen := range []string{
			"", "kx7Fq2w", "世界世界世界世", // seven
			strings.Repeat("kx7-", 33), strings.Repeat("世", 400), // too many, in characters and in bytes
			"passw0rd", "PASSWORD123", "woaini1314", "12345678", // in every list
			"x13800138060y", "8613800138060", "1380 0138 060 !", // the number
		} {
			page := b.register(flow, challenge, code, chosen)
			page.wants(t, http.StatusUnprocessableEntity, "password-error")
			if chosen != "" && strings.Contains(page.body, chosen) || strings.Contains(page.body, code) {
				t.Errorf("%.20q: the password or the code is on the page", chosen)
			}
			if !strings.Contains(page.body, challenge) || !strings.Contains(page.body, "138****8060") || strings.Contains(page.body, `id="code-error"`) {
				t.Errorf("%.20q: the page lost its challenge or number, or finds fault with the code", chosen)
			}
		}
		// No try was spent: a wrong code now is the first of five.
		wrong := "000000"
		if code == wrong {
			wrong = "000001"
		}
		for range 4 {
			b.register(flow, challenge, wrong, goodPassword).wants(t, http.StatusUnprocessableEntity, "code-error")
		}
		b.register(flow, challenge, code, goodPassword).to(t)
		if _, err := h.byPassword(fixture(60), goodPassword); err != nil {
			t.Errorf("the password that was taken: %v", err)
		}
	})
}

// T-42
func TestWithoutTheRightCodeNothingIsStored(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		visit := h.online()
		b := visit()
		flow, challenge := b.beginRegister("/start", fixture(60))
		code := h.sink.last(fixture(60))
		wrong := "000000"
		if code == wrong {
			wrong = "000001"
		}
		for _, typed := range []string{"", "12345", "1e5000", "+" + code, "null"} { // no guesses, so no tries
			b.register(flow, challenge, typed, goodPassword).wants(t, http.StatusUnprocessableEntity, "code-error")
		}
		// Another browser's flow, another flow's challenge, and inventions.
		other := visit()
		foreign, theirs := other.beginRegister("/start", fixture(61))
		other.register(flow, challenge, code, goodPassword).fault(t, http.StatusGone, "flow_expired")
		other.register(foreign, challenge, code, goodPassword).wants(t, http.StatusUnprocessableEntity, "page-register")
		b.register(flow, theirs, h.sink.last(fixture(61)), goodPassword).wants(t, http.StatusUnprocessableEntity, "page-register")
		visit().register(flow, challenge, code, goodPassword).fault(t, http.StatusBadRequest, "cookies_required")
		second, _ := b.beginRegister("/start", fixture(62)) // this browser's own, but another one
		b.register(second, challenge, code, goodPassword).wants(t, http.StatusUnprocessableEntity, "page-register")
		for _, invented := range []string{"", "x", db.NewID(), "\xff", strings.Repeat("a", 5000)} {
			if r := b.register(flow, invented, code, goodPassword); r.status != 422 && r.status != 400 {
				t.Errorf("%.10q: %d", invented, r.status)
			}
		}
		for range 4 {
			b.register(flow, challenge, wrong, goodPassword).wants(t, http.StatusUnprocessableEntity, "code-error")
		}
		b.register(flow, challenge, wrong, goodPassword).wants(t, http.StatusTooManyRequests, "resend-code")
		page := b.register(flow, challenge, code, goodPassword)
		page.wants(t, http.StatusTooManyRequests, "page-register")
		page.wants(t, http.StatusTooManyRequests, "resend-code")
		b.get("/register?flow="+flow+"&challenge="+challenge).wants(t, http.StatusOK, "resend-code")
		for _, table := range []string{"users", "passwords", "sessions", "identifiers", "agreements"} {
			if n := h.rows("SELECT count(*) FROM " + table); n != 0 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
		other.register(foreign, theirs, h.sink.last(fixture(61)), goodPassword).to(t) // no harm was done there
	})
}

// T-117
func TestNothingIsSentToRegisterWithoutAgreement(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.online()()
		flow := b.get("/start").to(t).Query().Get("flow")
		if page := b.get("/register?flow=" + flow); !strings.Contains(page.body, `id="agree"`) || strings.Contains(page.body, " checked") {
			t.Error("the box is missing or ticked")
		}
		for _, agree := range []string{"", "0", "on"} {
			page := b.post("/register", url.Values{"flow": {flow}, "phone": {"138 0013 8060"}, "agree": {agree}})
			page.wants(t, http.StatusUnprocessableEntity, "agree-error")
			page.wants(t, http.StatusUnprocessableEntity, "page-register")
			if !strings.Contains(page.body, "138 0013 8060") {
				t.Error("what was typed is lost")
			}
		}
		bad := b.post("/register", url.Values{"flow": {flow}, "phone": {"138 0013 806"}, "agree": {"1"}})
		bad.wants(t, http.StatusUnprocessableEntity, "phone-error")
		bad.wants(t, http.StatusUnprocessableEntity, "page-register")
		if !strings.Contains(bad.body, " checked") || h.sink.count() != 0 || h.rows(`SELECT count(*) FROM sms_ledger`) != 0 {
			t.Error("the agreement is lost, or something was sent")
		}
		to := b.post("/register", url.Values{"flow": {flow}, "phone": {fixture(0)}, "agree": {"1"}}).to(t)
		// The agreement is what was sent with the number; the second step cannot change it.
		b.post("/register", url.Values{"flow": {flow}, "challenge": {to.Query().Get("challenge")}, "code": {testCode}, "password": {goodPassword}, "agree": {"0"}}).to(t)
		if n := h.rows(`SELECT count(*) FROM agreements WHERE version = $1 AND client_id = 'shop'`, termsOfTest); n != 1 {
			t.Errorf("%d agreements", n)
		}
	})
}

// T-11: the button many times at once.
func TestManyRegistrationsAtOnceMakeOneAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.online()()
		flow, challenge := b.beginRegister("/start", fixture(0))
		form := url.Values{"flow": {flow}, "challenge": {challenge}, "code": {testCode}, "password": {goodPassword}}.Encode()
		cookie := flowPrefix + flow + "=" + b.cookie(flowPrefix+flow)
		client := &http.Client{Transport: b.c.Transport, CheckRedirect: b.c.CheckRedirect}
		var in atomic.Int64
		var wait sync.WaitGroup
		for range 20 {
			wait.Go(func() {
				r, err := http.NewRequest(http.MethodPost, b.base+"/register", strings.NewReader(form))
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
				switch res.StatusCode {
				case http.StatusSeeOther:
					in.Add(1)
				case http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable:
				default:
					t.Errorf("status %d", res.StatusCode)
				}
			})
		}
		wait.Wait()
		if in.Load() != 1 {
			t.Errorf("%d signed in", in.Load())
		}
		for _, table := range []string{"users", "sessions", "passwords", "agreements"} {
			if n := h.rows("SELECT count(*) FROM " + table); n != 1 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
	})
}
