package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/dialtone-id/dialtone/internal/sms"
)

// testNumber takes no limits, so that one person can sign in again and again.
const testNumber = "+8613800138088"

func (w *world) knowTestNumber() {
	w.inbox.mu.Lock()
	defer w.inbox.mu.Unlock()
	w.inbox.codes[testNumber] = "246810"
}

func (b *browser) refresh(clientID, token string) reply {
	b.t.Helper()
	return b.call("/oauth2/token", clientID, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func TestACodeIsWorthNothingAfterLogout(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		hint := b.tokens(webRequest()).text("id_token")
		q := webRequest()
		code := q.wantCode(b.authorize(q))
		b.endSession("id_token_hint", hint).wantPage(http.StatusOK, "page-signed-out")
		if r := b.redeem(q, code); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

// After a restored backup nothing stands that rests on a sign-in of before, however many
// accounts there are.
func TestSigningEverybodyOut(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.knowTestNumber()
		must(t, w.db.Tx(t.Context(), func(ctx context.Context) error {
			for i := range 1100 {
				if _, err := w.db.Exec(ctx, `INSERT INTO users (id, status, claims, created_at, updated_at) VALUES ($1, 'active', '{}', 0, 0)`,
					fmt.Sprintf("%08x", i*3_900_000)); err != nil {
					return err
				}
			}
			return nil
		}))
		b := w.browser(t)
		first := webRequest()
		tokens := b.redeem(first, first.wantCode(b.signIn(b.authorize(first), testNumber)))
		native := b.redeemSMS("app", b.challenge(agreed(testNumber)).text("challenge_id"), "246810")
		pending := webRequest()
		code := pending.wantCode(b.authorize(pending))

		n, err := w.users.SignOutAll(t.Context())
		if err != nil || n != 1101 {
			t.Fatalf("%d accounts, %v", n, err)
		}
		if !b.dead(t, "web", tokens) || b.refresh("app", native.text("refresh_token")).status != http.StatusBadRequest {
			t.Error("tokens stand")
		}
		if r := b.redeem(pending, code); r.text("error") != "invalid_grant" {
			t.Errorf("a code: %d %s", r.status, r.body)
		}
		none := webRequest("prompt", "none")
		none.wantError(b.authorize(none), w.url, "login_required")
		var behind int
		must(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM users WHERE grants_after = 0`).Scan(&behind))
		if behind != 0 || w.events(t, "user.all_signed_out") != 1 {
			t.Errorf("%d accounts were left out, %d records", behind, w.events(t, "user.all_signed_out"))
		}
		again := webRequest()
		if b.dead(t, "web", b.redeem(again, again.wantCode(b.signIn(b.authorize(again), testNumber)))) {
			t.Error("nobody can sign in any more")
		}
	})
}

// Withdrawing an app means what is under way as well.
func TestACodeIsWorthNothingAfterConsentIsWithdrawn(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		q := thirdRequest()
		tokens := b.redeem(q, q.wantCode(b.post("/consent", b.consentForm(b.signIn(b.authorize(q), newNumber()), "allow"))))
		sub, _ := sid(t, tokens)
		pending, ours := thirdRequest(), webRequest()
		code, own := pending.wantCode(b.authorize(pending)), ours.wantCode(b.authorize(ours))

		must(t, w.users.Withdraw(t.Context(), sub, "third"))
		if r := b.redeem(pending, code); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := b.redeem(ours, own); r.status != http.StatusOK {
			t.Errorf("an app of ours, which needs no consent: %d %s", r.status, r.body)
		}
		again := thirdRequest()
		if r := b.redeem(again, again.wantCode(b.post("/consent", b.consentForm(b.authorize(again), "allow")))); r.status != http.StatusOK {
			t.Errorf("allowed again: %d %s", r.status, r.body)
		}
	})
}

// What an operator does about a person ends everything that the person had, for good:
// it does not come back when the account is enabled, and whoever held the old number
// does not learn the new one.
func TestOperatorActsEndGrantsForGood(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.knowTestNumber()
		for name, act := range map[string]func(sub string) error{
			"disabled and enabled": func(sub string) error {
				return errors.Join(w.users.Disable(ctx, sub), w.users.Enable(ctx, sub))
			},
			"another number": func(sub string) error {
				next, err := sms.FromE164(newNumber())
				if err == nil {
					err = w.users.SetPhone(ctx, sub, next)
				}
				return err
			},
		} {
			b := w.browser(t)
			q := webRequest()
			tokens := b.redeem(q, q.wantCode(b.signIn(b.authorize(q), testNumber)))
			sub, _ := claims(t, tokens.text("id_token"))["sub"].(string)
			challenge := b.challenge(agreed(testNumber)).text("challenge_id")
			native := b.redeemSMS("app", challenge, "246810")
			if native.status != http.StatusOK {
				t.Fatalf("%s: %d %s", name, native.status, native.body)
			}
			pending := webRequest()
			code := pending.wantCode(b.authorize(pending))

			must(t, act(sub))
			if b.userinfo(tokens.text("access_token")).status != http.StatusUnauthorized || b.introspect(native.text("refresh_token"))["active"] != false {
				t.Errorf("%s: a token stands", name)
			}
			for what, r := range map[string]reply{
				"refresh token": b.refresh("web", tokens.text("refresh_token")), "native refresh token": b.refresh("app", native.text("refresh_token")),
				"code": b.redeem(pending, code),
			} {
				if r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" {
					t.Errorf("%s: %s: %d %s", name, what, r.status, r.body)
				}
			}
			again := webRequest()
			fresh := b.redeem(again, again.wantCode(b.signIn(b.authorize(again), testNumber)))
			if r := b.refresh("web", fresh.text("refresh_token")); r.status != http.StatusOK {
				t.Errorf("%s: signed in again: %d %s", name, r.status, r.body)
			}
		}
	})
}
