package engine_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
)

func TestTokenRefusesWithTheExactCode(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	code := w.code(w.authorization("web"))
	for _, test := range []struct {
		client, code string
		form         url.Values
	}{
		{"web", "invalid_request", url.Values{}},
		{"web", "invalid_request", url.Values{"grant_type": {""}}},
		{"web", "unsupported_grant_type", url.Values{"grant_type": {"password"}, "username": {"a"}, "password": {"b"}}},
		{"web", "unsupported_grant_type", url.Values{"grant_type": {"implicit"}}},
		{"web", "unsupported_grant_type", url.Values{"grant_type": {"authorization_code refresh_token"}, "code": {code}}},
		{"web", "unsupported_grant_type", url.Values{"grant_type": {" authorization_code"}, "code": {code}}},
		{"web", "unsupported_grant_type", url.Values{"grant_type": {"Authorization_Code"}, "code": {code}}},
		{"web", "unsupported_grant_type", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {"x"}}},
		{"web", "unauthorized_client", url.Values{"grant_type": {"client_credentials"}}},
		{"web", "unauthorized_client", url.Values{"grant_type": {client.GrantSMSCode}, "challenge_id": {"x"}, "code": {"1"}}},
		{"m2m", "unauthorized_client", url.Values{"grant_type": {"authorization_code"}, "code": {code}}},
		{"brief", "unauthorized_client", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}},
		{"web", "invalid_request", url.Values{"grant_type": {"authorization_code"}}},
		{"web", "invalid_request", url.Values{"grant_type": {"refresh_token"}}},
		{"app", "invalid_request", url.Values{"grant_type": {client.GrantSMSCode}, "code": {"1"}}},
		{"app", "invalid_request", url.Values{"grant_type": {client.GrantSMSCode}, "challenge_id": {"x"}}},
		{"web", "invalid_target", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "resource": {"https://api.example"}}},
		{"m2m", "invalid_scope", url.Values{"grant_type": {"client_credentials"}, "scope": {"admin"}}},
		{"m2m", "invalid_scope", url.Values{"grant_type": {"client_credentials"}, "scope": {"read openid"}}},
		{"m2m", "invalid_scope", url.Values{"grant_type": {"client_credentials"}, "scope": {"offline_access"}}},
		{"m2m", "invalid_scope", url.Values{"grant_type": {"client_credentials"}, "scope": {"READ"}}},
		{"m2m", "invalid_target", url.Values{"grant_type": {"client_credentials"}, "resource": {"https://api.example"}}},
	} {
		_, err := w.token(test.client, test.form)
		refused(t, err, test.code, code)
		if t.Failed() {
			t.Fatalf("%s with %v", test.client, test.form)
		}
	}
	_, err := w.redeem("web", code, "resource", issuer, "audience", "https://api.example", "unknown", "parameter")
	ok(t, err)
}

func TestClientCredentialsTouchNoDatabase(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.client("m2m")
		for _, scope := range []string{"", "read", "write read"} {
			before := w.db.Counters()
			r, err := w.token("m2m", url.Values{"grant_type": {"client_credentials"}}, "scope", scope)
			ok(t, err)
			if w.db.Counters() != before {
				t.Error("the database was asked")
			}
			if r.Scope != scope || r.RefreshToken != "" || r.IDToken != "" {
				t.Errorf("response %+v", r)
			}
			token, err := w.engine.AccessToken(r.AccessToken)
			ok(t, err)
			if token.Subject != "m2m" || token.ClientID != "m2m" || token.GrantID != "" || token.SessionID != "" || !token.AuthTime.IsZero() {
				t.Errorf("token %+v", token)
			}
		}
	})
}

// smsForm is a request of the SMS-code grant.
func smsForm(scope string) url.Values {
	return url.Values{"grant_type": {client.GrantSMSCode}, "challenge_id": {"challenge"}, "code": {"246810"}, "scope": {scope}, "client_id": {"app"}}
}

func TestSMSCodeGrant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		app := w.client("app")
		for _, test := range []struct {
			scope       string
			created     bool
			id, refresh bool
		}{{"openid phone offline_access", true, true, true}, {"phone", false, false, false}, {"", false, false, false}} {
			form := smsForm(test.scope)
			before := w.db.Counters().Commits
			r, err := w.engine.Token(t.Context(), engine.TokenRequest{Client: app, Form: form, Check: func(_ context.Context, c *client.Client, challenge, code string) (engine.Person, error) {
				if c != app || challenge != "challenge" || code != "246810" {
					t.Errorf("asked about %s, %s", c.ID, challenge)
				}
				return engine.Person{UserID: person, AuthTime: time.Now(), AMR: []string{"sms", "otp"}, ACR: "1", Created: test.created}, nil
			}})
			ok(t, err)
			if n := w.db.Counters().Commits - before; n != 1 {
				t.Errorf("it cost %d commits", n)
			}
			if r.UserCreated == nil || *r.UserCreated != test.created || (r.IDToken != "") != test.id || (r.RefreshToken != "") != test.refresh || r.Scope != test.scope {
				t.Errorf("with scope %q: %+v", test.scope, r)
			}
			if form.Get("code") != "246810" {
				t.Error("the caller's form was changed")
			}
			if g := w.grantOf(r); !g.Stands(time.Now()) || g.SessionID != "" || g.UserID != person || !slices.Equal(g.AMR, []string{"sms", "otp"}) {
				t.Errorf("grant %+v", g)
			}
			if test.refresh {
				next, err := w.refresh("app", r.RefreshToken)
				ok(t, err)
				if next.UserCreated != nil || next.IDToken == "" {
					t.Errorf("refreshed: %+v", next)
				}
			}
		}
	})
}

func TestSMSCodeGrantFails(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		app := w.client("app")
		wrong := fault.New(400, "invalid_grant", "the challenge or its code is wrong")
		for _, test := range []struct {
			name, scope, code string
			check             engine.CodeCheck
		}{
			{"wrong code", "openid", "invalid_grant", func(context.Context, *client.Client, string, string) (engine.Person, error) {
				return engine.Person{}, wrong
			}},
			{"a scope the client may not have", "openid admin", "invalid_scope", func(context.Context, *client.Client, string, string) (engine.Person, error) {
				t.Error("the code was used up for a request that cannot succeed")
				return engine.Person{}, wrong
			}},
			{"broken inside", "openid", "server_error", func(context.Context, *client.Client, string, string) (engine.Person, error) {
				return engine.Person{}, errors.New("broken")
			}},
			{"nobody to ask", "openid", "server_error", nil},
			{"disabled meanwhile", "openid", "invalid_grant", func(context.Context, *client.Client, string, string) (engine.Person, error) {
				w.exec(`UPDATE users SET status = 'disabled'`)
				return engine.Person{UserID: person, AuthTime: time.Now()}, nil
			}},
		} {
			_, err := w.engine.Token(t.Context(), engine.TokenRequest{Client: app, Form: smsForm(test.scope), Check: test.check})
			if f := fault.From(err); f == nil || f.Code != test.code {
				t.Errorf("%s: %v, want %s", test.name, err, test.code)
			}
		}
		var rows int
		ok(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM grants`).Scan(&rows))
		if rows != 0 {
			t.Errorf("%d grants were left behind", rows)
		}
	})
}

func TestConfigHasBounds(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	for name, c := range map[string]engine.Config{
		"no issuer":      {},
		"long code":      {Issuer: issuer, CodeTTL: 2 * time.Minute},
		"long grace":     {Issuer: issuer, RefreshGrace: 2 * time.Minute},
		"negative grace": {Issuer: issuer, RefreshGrace: -1},
		"no lifetime":    {Issuer: issuer, AccessTokenTTL: -time.Second},
		"idle for ever":  {Issuer: issuer, RefreshIdle: 2 * time.Hour, RefreshAbsolute: time.Hour},
	} {
		if _, err := engine.New(c, w.ring, nil, w.clients, w.grants); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
