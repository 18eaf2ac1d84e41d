package oauth

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/user"
)

// forgetful is a store that cannot mark anything once it is told so.
type forgetful struct {
	ephemeral.Store
	away atomic.Bool
}

func (f *forgetful) Mark(ctx context.Context, kind, key string, ttl time.Duration) (bool, error) {
	if f.away.Load() {
		return false, ephemeral.ErrUnavailable
	}
	return f.Store.Mark(ctx, kind, key, ttl)
}

// What was proven in a request that failed on our side need not be proven again.
func TestAppGoesOnAfterAFailure(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		store := &forgetful{Store: w.server.short}
		w.server.short = store
		fails := func(a *app, pairs ...string) {
			t.Helper()
			store.away.Store(true)
			a.failing = true
			r := a.give(pairs...)
			if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || r.text("auth_session") == "" {
				t.Fatalf("%d %v %s", r.status, r.header, r.body)
			}
			store.away.Store(false)
		}
		a, number := w.app(t), newNumber()
		fails(a, "code", a.textCode(number))
		r := a.exchange(a.give().wantAppCode())
		a.give().wantRefusal(http.StatusBadRequest, "invalid_session")

		id, _ := claims(t, r.text("id_token"))["sub"].(string)
		w.setPassword(t, id)
		w.forget(t)
		b := w.app(t, "acr_values", "2")
		b.give("code", b.textCode(number)).wantMore("password")
		fails(b, "password", aPassword)
		said := claims(t, b.exchange(b.give().wantAppCode()).text("id_token"))
		if n := w.events(t, "login.stepped_up"); said["acr"] != "2" || n != 1 {
			t.Errorf("acr %v, %d second proofs on record", said["acr"], n)
		}
	})
}

// A sign-in that gave its code, or ended with all others, asks for nothing and uses nothing up.
func TestAppIsToldThatASignInIsOver(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, number := w.app(t), newNumber()
		code := a.textCode(number)
		a.give("code", code).wantAppCode() // an answer that is lost
		sent := w.inbox.sent.Load()
		for _, step := range [][]string{{"code", code}, {"resend", "1"}, {"phone", newNumber(), "agreement_version", "1"}, {"passkey", "options"}, nil} {
			a.give(step...).wantRefusal(http.StatusBadRequest, "invalid_session")
		}
		if w.inbox.sent.Load() != sent {
			t.Error("a message was sent for nothing")
		}

		id, number := w.account(t)
		enrolled, err := w.users.EnrolTOTP(t.Context(), id, "Dialtone", "somebody")
		must(t, err)
		recovery, err := w.users.ConfirmTOTP(t.Context(), id, totpCode(t, enrolled.Secret, 0), user.By{Actor: "user:" + id})
		must(t, err)
		waiting := func() *app {
			t.Helper()
			w.forget(t)
			b := w.app(t)
			b.give("code", b.textCode(number)).wantMore("totp", "recovery_code")
			return b
		}
		b := waiting()
		b.give("recovery_code", recovery[0]).wantAppCode()
		b.give("recovery_code", recovery[1]).wantRefusal(http.StatusBadRequest, "invalid_session")
		if left, err := w.users.RecoveryCodesLeft(t.Context(), id); left != len(recovery)-1 || err != nil {
			t.Errorf("%d recovery codes are left, %v", left, err)
		}

		c := waiting()
		w.setPassword(t, id)
		w.setPassword(t, id) // a change, which ends every sign-in
		c.give("recovery_code", recovery[2]).wantRefusal(http.StatusBadRequest, "invalid_session")
	})
}
