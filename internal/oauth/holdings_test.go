package oauth

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/user"
)

// sid is the browser session behind an ID token.
func sid(t *testing.T, r reply) (sub, session string) {
	t.Helper()
	c := claims(t, r.text("id_token"))
	sub, _ = c["sub"].(string)
	session, _ = c["sid"].(string)
	if sub == "" || session == "" {
		t.Fatalf("the ID token says %v", c)
	}
	return sub, session
}

// dead says whether a refresh token and an access token are worth nothing.
func (b *browser) dead(t *testing.T, clientID string, tokens reply) bool {
	t.Helper()
	info, refresh := b.userinfo(tokens.text("access_token")).status, b.refresh(clientID, tokens.text("refresh_token")).status
	if (info == http.StatusOK) != (refresh == http.StatusOK) {
		t.Errorf("userinfo answers %d, the token endpoint %d", info, refresh)
	}
	return info != http.StatusOK
}

func offline() request { return ask("web", "https://rp.example/cb", "scope", "openid offline_access") }

func TestSigningADeviceOutEndsWhatWasGrantedThere(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.knowTestNumber()
		ctx := t.Context()
		here, there := w.browser(t), w.browser(t)
		q := offline()
		mine := here.redeem(q, q.wantCode(here.signIn(here.authorize(q), testNumber)))
		q = offline()
		theirs := there.redeem(q, q.wantCode(there.signIn(there.authorize(q), testNumber)))
		native := here.redeemSMS("app", here.challenge(agreed(testNumber)).text("challenge_id"), "246810")
		sub, session := sid(t, theirs)
		if me, _ := sid(t, mine); me != sub {
			t.Fatal("two people")
		}
		if here.dead(t, "web", theirs) {
			t.Fatal("the tokens are worth nothing from the start")
		}
		pending := offline()
		code := pending.wantCode(there.authorize(pending))
		must(t, w.users.SignOutSession(ctx, sub, session))
		if !here.dead(t, "web", theirs) || here.dead(t, "web", mine) || here.refresh("app", native.text("refresh_token")).status != http.StatusOK {
			t.Error("the wrong tokens are worth nothing")
		}
		if r := there.redeem(pending, code); r.status != http.StatusBadRequest {
			t.Errorf("a code of the device: %d %s", r.status, r.body)
		}
		_, keep := sid(t, mine)
		must(t, w.users.SignOutOthers(ctx, sub, user.Kept{Session: keep}))
		q = offline()
		if again := here.redeem(q, q.wantCode(here.authorize(q))); here.dead(t, "web", again) {
			t.Error("this device is signed out")
		}
		if r := here.refresh("app", native.text("refresh_token")); r.status != http.StatusBadRequest {
			t.Errorf("the native app: %d", r.status)
		}
	})
}

// Everything is ended or nothing, and once, whoever presses at the same time.
func TestWithdrawingEndsConsentAndGrants(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a, b := w.browser(t), w.browser(t)
		allow := func(b *browser) reply {
			q := thirdRequest("scope", "openid profile offline_access")
			page := b.signIn(b.authorize(q), newNumber())
			return b.redeem(q, q.wantCode(b.post("/consent", b.consentForm(page, "allow"))))
		}
		mine, theirs := allow(a), allow(b)
		sub, _ := sid(t, mine)
		other, _ := sid(t, theirs)
		apps, err := w.users.Apps(ctx, sub)
		must(t, err)
		if len(apps) != 1 || apps[0].Client.Name != "Third Party" || !apps[0].Consent || apps[0].Since.IsZero() || apps[0].Used.IsZero() ||
			!cmp.Equal(apps[0].Scopes, []string{"openid", "profile", "offline_access"}) {
			t.Errorf("apps %+v", apps)
		}
		var wait sync.WaitGroup
		for range 10 {
			wait.Go(func() { _ = w.users.Withdraw(ctx, sub, "third") })
		}
		wait.Wait()
		if n := w.events(t, "consent.revoked"); n != 1 {
			t.Errorf("%d records", n)
		}
		if !a.dead(t, "third", mine) || a.dead(t, "third", theirs) {
			t.Error("the wrong tokens are worth nothing")
		}
		held, err := w.users.Export(ctx, other)
		must(t, err)
		for _, part := range []string{`"client_id": "third"`, `"live": true`, `"granted_at"`, `"changed_at"`} {
			if !strings.Contains(string(held), part) {
				t.Errorf("no %s in the copy of the other person: %s", part, held)
			}
		}
		if apps, err := w.users.Apps(ctx, sub); err != nil || len(apps) != 0 {
			t.Errorf("afterwards %+v, %v", apps, err)
		}
		q := thirdRequest()
		if to := a.authorize(q).location(); to.Path != "/consent" {
			t.Errorf("asked again at %s", to)
		}
	})
}

func TestConsentRemembersItsFirstDay(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		q := thirdRequest("scope", "openid")
		page := b.signIn(b.authorize(q), newNumber())
		tokens := b.redeem(q, q.wantCode(b.post("/consent", b.consentForm(page, "allow"))))
		sub, _ := sid(t, tokens)
		_, err := w.db.Exec(t.Context(), `UPDATE consents SET granted_at = 1000000, changed_at = 1000000`)
		must(t, err)
		q = thirdRequest("scope", "openid profile")
		q.wantCode(b.post("/consent", b.consentForm(b.authorize(q), "allow")))
		held, err := NewHoldings(w.db, w.server.vault, w.clients, w.grants, nil).Held(t.Context(), sub)
		must(t, err)
		if c := held.Consents; len(c) != 1 || c[0].GrantedAt.Unix() != 1 || c[0].ChangedAt.Unix() == 1 || !cmp.Equal(c[0].Scopes, []string{"openid", "profile"}) {
			t.Errorf("%+v", c)
		}
	})
}

func TestClientsAreNamedWhateverTheirState(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		h := NewHoldings(w.db, w.server.vault, w.clients, w.grants, nil)
		c, err := w.clients.Read(t.Context(), "third")
		must(t, err)
		c.Disabled = true
		must(t, w.clients.Update(t.Context(), c))
		w.clients.Forget()
		if c, err := h.Client(t.Context(), "third"); err != nil || c == nil || c.Name != "Third Party" {
			t.Errorf("disabled: %v, %v", c, err)
		}
		for _, id := range []string{"nobody", "", strings.Repeat("x", 5000), "\x00"} {
			if c, err := h.Client(t.Context(), id); err != nil || c != nil {
				t.Errorf("%q: %v, %v", id, c, err)
			}
		}
	})
}
