package server_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"
)

// A native app of ours signs a new number in, step by step, whichever replica answers
// which step, and its code is worth tokens once.
func TestNativeAppSignsInStepByStep(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		a, number := newAgent(t, s), newNumber()
		s.settle(t)
		discovered := a.get("/.well-known/openid-configuration").json(t)
		if got := text(discovered, "authorization_challenge_endpoint"); got != s.issuer+"/oauth2/challenge" {
			t.Fatalf("discovery names %q", got)
		}
		verifier := rand.Text() + rand.Text()
		sum := sha256.Sum256([]byte(verifier))
		first := a.post("/oauth2/challenge", url.Values{
			"client_id": {"native"}, "response_type": {"code"}, "scope": {"openid phone offline_access"}, "nonce": {"n"},
			"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}, "phone": {number},
		})
		if first.status != http.StatusForbidden || text(first.json(t), "error") != "insufficient_authorization" {
			t.Fatalf("%d %s", first.status, first.body)
		}
		code := s.sink.last(t, number)
		session := text(first.json(t), "auth_session")
		signIn := s.cost(func() {
			r := a.post("/oauth2/challenge", url.Values{"client_id": {"native"}, "auth_session": {session}, "code": {code}})
			if body := r.json(t); r.status != http.StatusOK || body["user_created"] != true {
				t.Fatalf("%d %s", r.status, r.body)
			}
			code = text(r.json(t), "authorization_code")
		})
		// As at the sign-in page, and a look at the mark that this sign-in gave its code.
		if signIn.Commits > 3 || signIn.roundTrips > 2 {
			t.Errorf("a right code costs %+v", signIn)
		}
		form := url.Values{"grant_type": {"authorization_code"}, "client_id": {"native"}, "code": {code}, "code_verifier": {verifier}}
		tokens := a.post("/oauth2/token", form)
		if body := tokens.json(t); tokens.status != http.StatusOK || text(body, "refresh_token") == "" || text(body, "id_token") == "" {
			t.Fatalf("%d %s", tokens.status, tokens.body)
		}
		if r := a.userinfo(text(tokens.json(t), "access_token")); text(r.json(t), "phone_number") != number {
			t.Errorf("userinfo: %s", r.body)
		}
		if again := a.post("/oauth2/token", form); again.status != http.StatusBadRequest || text(again.json(t), "error") != "invalid_grant" {
			t.Errorf("again: %d %s", again.status, again.body)
		}
	})
}
