package server_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/user"
)

// people works on the accounts beside the running servers, as operators do.
func (s *stack) people(t *testing.T) (*user.Service, *db.DB) {
	t.Helper()
	d, err := db.Open(t.Context(), s.database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	vault, err := signing.OpenVault(t.Context(), d, [][]byte{[]byte(masterSecret)})
	if err != nil {
		t.Fatal(err)
	}
	limits, err := ephemeral.OpenSQL(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = limits.Close() })
	return user.New(d, vault, audit.New(d), user.Limits(limits)), d
}

const testNumber = "+8613800138999" // which takes no limit

// typed signs in by the test number as far as the code, for client web.
func (a *agent) typed(q request) (flow string, answer reply) {
	a.t.Helper()
	flow = a.authorize(q).location(a.t).Query().Get("flow")
	sent := a.post("/login", url.Values{"flow": {flow}, "phone": {testNumber}}).location(a.t)
	return flow, a.finish(waiting{flow: flow, challenge: sent.Query().Get("challenge"), code: "246810"})
}

// native redeems a code of the test number as the app.
func (a *agent) native() map[string]any {
	a.t.Helper()
	challenge := text(a.ask(map[string]any{"client_id": "app", "phone": testNumber}).json(a.t), "challenge_id")
	return a.smsGrant(challenge, "246810").json(a.t)
}

func (a *agent) closeAccount() {
	a.t.Helper()
	page := a.get("/account/delete")
	session := regexp.MustCompile(`name="session" value="([^"]+)"`).FindStringSubmatch(page.body)
	if session == nil {
		a.t.Fatalf("no button: %d %s", page.status, page.body)
	}
	if to := a.post("/account/delete", url.Values{"session": {session[1]}, "decision": {"yes"}}).location(a.t); to.Path != "/account/deleted" {
		a.t.Fatalf("sent to %s", to)
	}
}

// T-114, by what clients see: tokens die with the wish, a second thought brings the
// account back and not its tokens, and after erasure the number is somebody else.
func TestDeletionEndsWhatClientsHold(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		people, _ := s.people(t)
		a, q := newAgent(t, s), newRequest("web", "https://rp.example/cb")
		_, in := a.typed(q)
		answer := a.redeem(q, a.codeOf(q, in)).json(t)
		access, refresh, sub := text(answer, "access_token"), text(answer, "refresh_token"), text(claims(t, text(answer, "id_token")), "sub")
		dead := func(when string) {
			t.Helper()
			if r := a.userinfo(access); r.status != http.StatusUnauthorized {
				t.Errorf("%s: userinfo answers %d", when, r.status)
			}
			if said := a.introspect(access); said["active"] != false {
				t.Errorf("%s: introspection says %v", when, said)
			}
			if r := a.refresh("web", refresh); r.status != http.StatusBadRequest || text(r.json(t), "error") != "invalid_grant" {
				t.Errorf("%s: refresh answers %d", when, r.status)
			}
		}

		a.closeAccount()
		dead("closing")
		if said := a.native(); text(said, "error") != "invalid_grant" || !strings.HasPrefix(text(said, "error_description"), "account_closing: ") {
			t.Errorf("the app is told %v", said)
		}
		flow, held := a.typed(q)
		if to := held.location(t); to.Path != "/login/closing" {
			t.Fatalf("sent to %s", to)
		}
		kept := a.redeem(q, a.codeOf(q, a.post("/login/closing", url.Values{"flow": {flow}}))).json(t)
		if got := text(claims(t, text(kept, "id_token")), "sub"); got != sub {
			t.Errorf("kept as %q, was %q", got, sub)
		}
		dead("kept")

		a.closeAccount()
		if n, err := people.EraseDue(t.Context(), time.Now().Add(7*24*time.Hour)); n != 1 || err != nil {
			t.Fatalf("erased %d, %v", n, err)
		}
		dead("erased")
		access, refresh = text(kept, "access_token"), text(kept, "refresh_token")
		dead("erased, once kept")
		_, in = a.typed(q)
		next := a.redeem(q, a.codeOf(q, in)).json(t)
		if got := text(claims(t, text(next, "id_token")), "sub"); got == "" || got == sub {
			t.Errorf("the number signs in as %q, was %q", got, sub)
		}
	})
}

func TestARecycledNumberStartsAnew(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		people, d := s.people(t)
		owner, q := newAgent(t, s), newRequest("web", "https://rp.example/cb")
		_, in := owner.typed(q)
		sub := text(claims(t, text(owner.redeem(q, owner.codeOf(q, in)).json(t), "id_token")), "sub")
		for _, update := range []string{
			`UPDATE users SET created_at = created_at - $1, seen_at = seen_at - $1`,
			`UPDATE sessions SET seen_at = seen_at - $1`, `UPDATE grants SET rotated_at = rotated_at - $1`,
		} {
			if _, err := d.Exec(t.Context(), update, int64(100*24*time.Hour/time.Microsecond)); err != nil {
				t.Fatal(err)
			}
		}
		if said := newAgent(t, s).native(); text(said, "error") != "invalid_grant" || !strings.HasPrefix(text(said, "error_description"), "number_recycled: ") {
			t.Errorf("the app is told %v", said)
		}
		stranger := newAgent(t, s)
		flow, held := stranger.typed(q)
		if to := held.location(t); to.Path != "/login/recycled" {
			t.Fatalf("sent to %s", to)
		}
		answer := stranger.redeem(q, stranger.codeOf(q, stranger.post("/login/recycled", url.Values{"flow": {flow}, "decision": {"new"}}))).json(t)
		if got := text(claims(t, text(answer, "id_token")), "sub"); got == "" || got == sub {
			t.Errorf("the stranger is %q, the owner %q", got, sub)
		}
		if u, err := people.Get(t.Context(), sub); err != nil || u.Status != user.Quarantined {
			t.Errorf("the owner's account is %s, %v", u.Status, err)
		}
	})
}
