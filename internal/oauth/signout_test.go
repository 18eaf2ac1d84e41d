package oauth

import (
	"errors"
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
