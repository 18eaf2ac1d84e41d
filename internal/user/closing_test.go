package user

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// closeAccount presses the button on the page of whoever is signed in.
func (b *browser) closeAccount() reply {
	b.t.Helper()
	page := b.get("/account/delete")
	page.wants(b.t, http.StatusOK, "page-delete")
	session := regexp.MustCompile(`name="session" value="([^"]+)"`).FindStringSubmatch(page.body)
	if session == nil {
		b.t.Fatal("the page does not say for whom it was made")
	}
	return b.post("/account/delete", url.Values{"session": {session[1]}, "decision": {"yes"}})
}

func (h *house) status(id string) string {
	h.t.Helper()
	var status string
	if err := h.db.QueryRow(context.Background(), `SELECT status FROM users WHERE id = $1`, id).Scan(&status); err != nil && !isNotFound(err) {
		h.t.Fatal(err)
	}
	return status
}

// idOf is the sub of a number, "" if it has none.
func (h *house) idOf(phone string) string {
	h.t.Helper()
	acc, err := h.users.accountOf(context.Background(), number(h.t, phone).Index(h.vault))
	if err != nil && !isNotFound(err) {
		h.t.Fatal(err)
	}
	return acc.ID
}

func TestAPersonClosesTheAccountAndChangesTheirMind(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b, other := h.browser(), h.browser()
		b.signIn(fixture(0))
		other.signIn(fixture(0))
		id := h.idOf(fixture(0))
		old := b.cookie(sessionName)
		to := b.closeAccount().to(t)
		if to.Path != "/account/deleted" {
			t.Fatalf("sent to %s", to)
		}
		for range 2 { // a receipt survives a reload
			receipt := b.get(to.String())
			receipt.wants(t, http.StatusOK, "page-deleted")
			if until := time.Now().Add(7 * 24 * time.Hour).UTC().Format("2006-01-02"); !strings.Contains(receipt.body, until) {
				t.Errorf("the receipt does not say %s", until)
			}
		}
		if b.cookie(sessionName) != "" || h.status(id) != Closing {
			t.Errorf("cookie %q, status %s", b.cookie(sessionName), h.status(id))
		}
		if _, _, err := h.users.SessionOf(with(old)); !isNotFound(err) {
			t.Errorf("the session lives: %v", err)
		}
		if to := other.get("/account").to(t); to.Path != "/login" {
			t.Errorf("another browser is still signed in: %s", to)
		}

		flow, challenge := b.begin("/start?state=1", fixture(0))
		to = b.finish(flow, challenge, testCode).to(t)
		if to.Path != "/login/closing" {
			t.Fatalf("a sign-in to a closing account leads to %s", to)
		}
		b.get(to.String()).wants(t, http.StatusOK, "page-closing")
		if again := b.finish(flow, challenge, testCode).to(t); again.Path != "/login/closing" { // back, and the code once more
			t.Errorf("the code a second time leads to %s", again)
		}
		if b.cookie(sessionName) != "" {
			t.Fatal("signed in without a decision")
		}
		if to := b.post("/login/closing", url.Values{"flow": {flow}}).to(t); to.Host != "rp.example" || to.Query().Get("state") != "1" {
			t.Errorf("kept, and sent to %s", to)
		}
		b.get("/account").wants(t, http.StatusOK, "page-account")
		if h.status(id) != Active || h.idOf(fixture(0)) != id {
			t.Errorf("status %s", h.status(id))
		}
		if to := other.get("/account").to(t); to.Path != "/login" {
			t.Error("keeping the account revived another session")
		}
		for event, want := range map[string]int{"account.deletion_requested": 1, "account.deletion_cancelled": 1, "login.refused": 1} {
			if n := h.rows(`SELECT count(*) FROM audit WHERE event = $1`, event); n != want {
				t.Errorf("%s recorded %d times", event, n)
			}
		}
	})
}

func TestLeavingAClosingAccountChangesNothing(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	b.signIn(fixture(0))
	id := h.idOf(fixture(0))
	b.closeAccount().to(t)
	flow, challenge := b.begin("/start", fixture(0))
	b.finish(flow, challenge, testCode).to(t)
	if to := b.post("/login/cancel", url.Values{"flow": {flow}}).to(t); to.Query().Get("error") != "access_denied" {
		t.Errorf("left to %s", to)
	}
	if h.status(id) != Closing {
		t.Errorf("status %s", h.status(id))
	}
}

func TestDeletingAsksAgainWhoItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		b := h.browser()
		b.signIn(fixture(0))
		id := h.idOf(fixture(0))
		page := b.get("/account/delete")
		page.wants(t, http.StatusOK, "page-delete")
		session := strings.Split(b.cookie(sessionName), ".")[0]
		time.Sleep(freshSignIn + time.Second)
		to := b.get("/account/delete").to(t)
		if to.Path != "/login" {
			t.Fatalf("an old sign-in leads to %s", to)
		}
		if page := b.get(to.String()); strings.Contains(page.body, fixture(0)[3:]) {
			t.Error("an old session shows the whole number")
		}
		if to := b.post("/account/delete", url.Values{"session": {session}, "decision": {"yes"}}).to(t); to.Path != "/login" || h.status(id) != Active {
			t.Fatalf("an old sign-in closes the account: %s, %s", to, h.status(id))
		}
		flow := to.Query().Get("flow")
		to = b.post("/login", url.Values{"flow": {flow}, "phone": {fixture(0)}, "agree": {"1"}}).to(t)
		if to := b.finish(flow, to.Query().Get("challenge"), testCode).to(t); to.Path != "/account/delete" {
			t.Errorf("after the proof: %s", to)
		}
		b.closeAccount().to(t)
		if h.status(id) != Closing {
			t.Errorf("status %s", h.status(id))
		}
	})
}

func TestDeletingIsForWhomThePageWasMade(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	b.signIn(fixture(0))
	other := h.signIn(fixture(1))
	for name, form := range map[string]url.Values{
		"another session": {"session": {other.Session.ID}, "decision": {"yes"}},
		"no session":      {"decision": {"yes"}},
		"cancelled":       {"session": {strings.Split(b.cookie(sessionName), ".")[0]}, "decision": {"no"}},
		"undecided":       {"session": {strings.Split(b.cookie(sessionName), ".")[0]}},
	} {
		b.post("/account/delete", form).to(t)
		if h.status(h.idOf(fixture(0))) != Active || h.status(other.User.ID) != Active {
			t.Fatalf("%s: closed", name)
		}
	}
	if to := h.browser().post("/account/delete", url.Values{"decision": {"yes"}}, "Cookie", "a=b").to(t); to.Path != "/login" {
		t.Errorf("a stranger is sent to %s", to)
	}
	for _, receipt := range []string{"", "x", "AAAA", strings.Repeat("A", 200)} {
		h.browser().get("/account/deleted?receipt="+receipt).fault(t, http.StatusNotFound, "not_found")
	}
}

func TestADoubleClickOnDeleteEndsOnTheReceipt(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	b.signIn(fixture(0))
	cookie := b.cookie(sessionName)
	first := b.closeAccount().to(t)
	b.setCookie(sessionName, cookie) // the second request left before the first answer came
	again := b.post("/account/delete", url.Values{"session": {strings.Split(cookie, ".")[0]}, "decision": {"yes"}}).to(t)
	if again.Path != first.Path {
		t.Errorf("the second click leads to %s", again)
	}
	b.setCookie(sessionName, strings.Split(cookie, ".")[0]+"."+strings.Repeat("A", 43))
	if to := b.post("/account/delete", url.Values{"decision": {"yes"}}).to(t); to.Path != "/login" {
		t.Errorf("a forged session is answered with %s", to)
	}
}

func TestAHeldSignInIsWorthSomethingOnceAndNotForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		id := h.signIn(fixture(0)).User.ID
		closing := func() (*browser, string) {
			if _, err := h.users.RequestDeletion(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			b := h.browser()
			flow, challenge := b.begin("/login", fixture(0))
			b.finish(flow, challenge, testCode).to(t)
			return b, flow
		}
		b, flow := closing()
		copied := b.cookie(flowPrefix + flow)
		if to := b.post("/login/closing", url.Values{"flow": {flow}}).to(t); to.Path != "/account" {
			t.Fatalf("kept, and sent to %s", to)
		}
		time.Sleep(time.Minute)
		if _, err := h.users.RequestDeletion(t.Context(), id); err != nil { // again, which the first proof says nothing about
			t.Fatal(err)
		}
		thief := h.browser()
		thief.setCookie(flowPrefix+flow, copied)
		thief.post("/login/closing", url.Values{"flow": {flow}}).fault(t, http.StatusGone, "flow_expired")
		if h.status(id) != Closing || thief.cookie(sessionName) != "" {
			t.Error("a proof counted twice")
		}
		late, flow := closing()
		time.Sleep(heldFor + time.Second)
		late.get("/login/closing?flow="+flow).fault(t, http.StatusGone, "flow_expired")
		late.post("/login/closing", url.Values{"flow": {flow}}).fault(t, http.StatusGone, "flow_expired")
		if h.status(id) != Closing {
			t.Error("an old proof kept the account")
		}
		plain := h.browser()
		to := plain.get("/login").to(t)
		plain.post("/login/closing", url.Values{"flow": {to.Query().Get("flow")}}).fault(t, http.StatusGone, "flow_expired")
		plain.post("/login/recycled", url.Values{"flow": {to.Query().Get("flow")}, "decision": {"new"}}).fault(t, http.StatusGone, "flow_expired")
	})
}

// The proof was for the number that the account had then.
func TestAHeldSignInEndsWithItsNumber(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		id := h.signIn(fixture(0)).User.ID
		if _, err := h.users.RequestDeletion(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		wait := h.held(fixture(0))
		if err := h.users.SetPhone(t.Context(), id, number(t, fixture(1))); err != nil {
			t.Fatal(err)
		}
		if _, err := h.users.keepAccount(t.Context(), wait, Attempt{Browser: true}); !errors.Is(err, ErrFlowExpired) {
			t.Errorf("kept by the number before: %v", err)
		}
	})
}

// held is a sign-in that waits for a decision, without the pages.
func (h *house) held(phone string) held {
	h.t.Helper()
	in, err := h.users.SignInBySMS(context.Background(), proven(h.prove(phone)), Attempt{Browser: true})
	if !errors.Is(err, ErrClosing) && !errors.Is(err, ErrRecycled) {
		h.t.Fatalf("nothing holds the sign-in: %v", err)
	}
	return held{UserID: in.User.ID, Number: phone, Code: in.against.Code, At: time.Now().UnixMicro(), Mark: in.mark, AMR: in.AMR, ACR: in.ACR}
}

// An operator's number is proven by the code that keeps or claims its account, too.
func TestAHeldSignInProvesTheNumber(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		for i, how := range []func(context.Context, held, Attempt) (SignedIn, error){h.users.keepAccount, h.users.claim} {
			u, err := h.users.Create(t.Context(), number(t, fixture(i)), nil)
			if err != nil {
				t.Fatal(err)
			}
			query := `UPDATE users SET status = 'closing', closes_at = $1 WHERE id = $2`
			if i == 1 {
				query = `UPDATE users SET created_at = $1 - 100 * 86400000000, seen_at = 0 WHERE id = $2`
			}
			if _, err := d.Exec(t.Context(), query, db.Micros(time.Now().Add(time.Hour)), u.ID); err != nil {
				t.Fatal(err)
			}
			in, err := how(t.Context(), h.held(fixture(i)), Attempt{Browser: true})
			if err != nil || in.User.PhoneVerifiedAt.IsZero() {
				t.Errorf("%d: verified %v, %v", i, in.User.PhoneVerifiedAt, err)
			}
			if n := h.rows(`SELECT count(*) FROM identifiers WHERE user_id = $1 AND verified_at > 0`, u.ID); n != 1 {
				t.Errorf("%d: not on record", i)
			}
		}
	})
}

func TestADelayOfNothingErasesAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		Accounts(0, recycleAfter, quarantine)(h.users)
		b := h.browser()
		b.signIn(fixture(0))
		id := h.idOf(fixture(0))
		receipt := b.get(b.closeAccount().to(t).String())
		receipt.wants(t, http.StatusOK, "page-deleted")
		if h.rows(`SELECT count(*) FROM users WHERE id = $1`, id) != 0 || strings.Contains(receipt.body, "<time") {
			t.Error("not gone")
		}
		if in := h.signIn(fixture(0)); !in.Created || in.User.ID == id {
			t.Error("the account came back")
		}
	})
}

func TestClosingAccountsKeepTheirEnd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		id := h.signIn(fixture(0)).User.ID
		due, err := h.users.RequestDeletion(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for name, act := range map[string]func(context.Context, string) error{"disable": h.users.Disable, "enable": h.users.Enable} {
			if err := act(t.Context(), id); !errors.Is(err, db.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		h.signIn(fixture(1))
		list, err := h.users.ListOf(t.Context(), Filter{Status: Closing}, "", 10)
		if err != nil || len(list) != 1 || list[0].ID != id || !list[0].ClosesAt.Equal(due) {
			t.Errorf("the queue is %v, %v", list, err)
		}
		if _, err := h.users.RequestDeletion(t.Context(), "nobody"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		if n, err := h.users.EraseDue(t.Context(), due.Add(-time.Second)); n != 0 || err != nil {
			t.Errorf("erased %d before their time, %v", n, err)
		}
		if n, err := h.users.EraseDue(t.Context(), due); n != 1 || err != nil {
			t.Errorf("erased %d, %v", n, err)
		}
	})
}
