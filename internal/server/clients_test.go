package server_test

import (
	"context"
	"net/http"
	"net/url"
	"os/exec"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// An unmodified client library is the judge: discovery, code with PKCE, the ID
// token's signature and nonce, userinfo, refresh.
func TestGoOIDCClient(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		for _, c := range []struct {
			id, secret, redirect string
			algs                 []string
		}{
			{"web", clientSecret, "https://rp.example/cb", []string{oidc.RS256}},
			{"web2", clientSecret, "https://rp2.example/cb", []string{oidc.ES256}},
			{"native", "", "http://127.0.0.1:50123/cb", []string{oidc.RS256}},
		} {
			ctx := context.Background()
			provider, err := oidc.NewProvider(ctx, s.issuer)
			if err != nil {
				t.Fatal(err)
			}
			client := oauth2.Config{ClientID: c.id, ClientSecret: c.secret, Endpoint: provider.Endpoint(),
				RedirectURL: c.redirect, Scopes: []string{oidc.ScopeOpenID, "phone", oidc.ScopeOfflineAccess}}
			a := newAgent(t, s)
			verifier, number := oauth2.GenerateVerifier(), newNumber()
			to := a.get(client.AuthCodeURL("state-of-the-test", oidc.Nonce("nonce-of-the-test"), oauth2.S256ChallengeOption(verifier))).location(t)
			flow := to.Query().Get("flow")
			to = a.post("/login", url.Values{"flow": {flow}, "phone": {number}}).location(t)
			to = a.finish(waiting{flow: flow, challenge: to.Query().Get("challenge"), number: number, code: s.sink.last(t, number)}).location(t)

			token, err := client.Exchange(ctx, to.Query().Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatalf("%s: exchange: %v", c.id, err)
			}
			raw, _ := token.Extra("id_token").(string)
			verified, err := provider.Verifier(&oidc.Config{ClientID: c.id, SupportedSigningAlgs: c.algs}).Verify(ctx, raw)
			if err != nil {
				t.Fatalf("%s: ID token: %v", c.id, err)
			}
			if err := verified.VerifyAccessToken(token.AccessToken); err != nil {
				t.Fatalf("%s: at_hash: %v", c.id, err)
			}
			if verified.Nonce != "nonce-of-the-test" {
				t.Fatalf("%s: nonce %q", c.id, verified.Nonce)
			}
			info, err := provider.UserInfo(ctx, client.TokenSource(ctx, token))
			if err != nil || info.Subject != verified.Subject {
				t.Fatalf("%s: userinfo: %v", c.id, err)
			}
		}
	})
}

// The same with a client of another family: Authlib, in Python.
func TestAuthlibClient(t *testing.T) {
	python := needed(t, "DIALTONE_TEST_PYTHON")
	s := start(t, modes[0])
	number := newNumber()
	// The script is the relying party and the browser; the code reaches it through
	// a URL of this test, as it would reach a person's phone.
	phone := newPhone(t, s.sink, number)
	cmd := exec.CommandContext(t.Context(), python, "testdata/authlib_client.py", s.issuer, clientSecret, number, phone)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("Authlib (Debian packages python3-authlib, python3-requests): %v\n%s", err, out)
	}
}

// newPhone answers the newest code of a number as text.
func newPhone(t *testing.T, s *sink, number string) string {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s.last(t, number))) })
}
