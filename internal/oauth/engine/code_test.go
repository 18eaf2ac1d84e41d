package engine_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
)

func TestACodeIsWorthOneSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.authorization("web")
		before := w.db.Counters()
		code := w.code(a)
		if w.db.Counters() != before {
			t.Error("issuing a code touched the database")
		}
		r, err := w.redeem("web", code)
		ok(t, err)
		if after := w.db.Counters(); after.Reads != before.Reads || after.Commits != before.Commits+1 || after.TxStatements != before.TxStatements {
			t.Errorf("redeeming cost %+v, want one INSERT", after)
		}
		if r.TokenType != "Bearer" || r.ExpiresIn != 600 || r.Scope != "openid phone offline_access" || r.RefreshToken == "" || r.IDToken == "" || r.UserCreated != nil {
			t.Errorf("response %+v", r)
		}
		if g := w.grantOf(r); !g.Stands(time.Now()) || g.Generation != 1 || g.UserID != person || g.ClientID != "web" {
			t.Errorf("grant %+v", g)
		}
	})
}

func TestOneOfManyRedemptionsWinsAndItsTokensDie(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.client("spa")
		code := w.code(w.authorization("spa"))
		servers := []*world{w, newWorld(t, w.db)}
		var won atomic.Pointer[engine.TokenResponse]
		var wins, losses atomic.Int32
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				r, err := servers[i%2].redeem("spa", code)
				if err == nil {
					wins.Add(1)
					won.Store(&r)
					return
				}
				refused(t, err, "invalid_grant", code)
				losses.Add(1)
			})
		}
		group.Wait()
		if wins.Load() != 1 || losses.Load() != 49 {
			t.Fatalf("%d redeemed the code, %d were refused", wins.Load(), losses.Load())
		}
		if g := w.grantOf(*won.Load()); g.Stands(time.Now()) {
			t.Error("the tokens of a code that came twice stand")
		}
		_, err := w.refresh("spa", won.Load().RefreshToken)
		refused(t, err, "invalid_grant")
		if n := w.events("grant.reuse_detected"); n != 1 {
			t.Errorf("the reuse was recorded %d times", n)
		}
	})
}

// fosite alone forgets the challenge at the first wrong verifier, and takes the code without one
// at the second try (RFC 9700 section 4.8).
func TestAWrongVerifierBurnsTheCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		wrong := strings.Repeat("a", 43)
		for _, id := range []string{"web", "spa", "exempt"} {
			for name, verifiers := range map[string][]string{
				"none, wrong, none, right": {"", wrong, "", verifier},
				"wrong, none, right":       {wrong, "", verifier},
				"wrong, right":             {wrong, verifier},
				"none, right":              {"", verifier},
				"too short, right":         {verifier[:42], verifier},
				"too long, right":          {strings.Repeat("a", 129), verifier},
				"bad characters, right":    {verifier[:42] + "+", verifier},
				"the challenge, right":     {w.authorization(id).CodeChallenge, verifier},
			} {
				code := w.code(w.authorization(id))
				for _, v := range verifiers {
					_, err := w.redeem(id, code, "code_verifier", v)
					refused(t, err, "invalid_grant", code, v)
				}
				if t.Failed() {
					t.Fatalf("client %s, verifier %s", id, name)
				}
			}
		}
	})
}

func TestAWrongVerifierAfterRedemptionRevokes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		code := w.code(w.authorization("web"))
		r, err := w.redeem("web", code)
		ok(t, err)
		_, err = w.redeem("web", code, "code_verifier", "")
		refused(t, err, "invalid_grant", code)
		if g := w.grantOf(r); g.Stands(time.Now()) {
			t.Error("the grant stands although somebody without the verifier has its code")
		}
	})
}

func TestAVerifierNeedsAChallenge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.authorization("exempt")
		a.CodeChallenge = ""
		_, err := w.redeem("exempt", w.code(a), "code_verifier", "")
		ok(t, err)
		code := w.code(a)
		_, err = w.redeem("exempt", code)
		refused(t, err, "invalid_grant", code)

		// A client that must use PKCE gets no code without, whatever the caller checked.
		a.Client = w.client("web")
		_, err = w.engine.Code(t.Context(), a)
		refused(t, err, "invalid_request")
	})
}

func TestACodeInWrongHandsIsRefusedAndNotBurnt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		code := w.code(w.authorization("web"))
		for _, other := range []string{"web2", "spa"} {
			_, err := w.redeem(other, code)
			refused(t, err, "invalid_grant", code)
		}
		for _, redirect := range []string{"", "https://rp.example/other", callback + "/"} {
			_, err := w.redeem("web", code, "redirect_uri", redirect)
			refused(t, err, "invalid_grant", code)
		}
		_, err := w.redeem("web", code)
		ok(t, err)
	})
}

func TestARedirectThatWasNotSentNeedNotBeRepeated(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	a := w.authorization("web")
	a.RedirectGiven = false
	_, err := w.redeem("web", w.code(a), "redirect_uri", "")
	ok(t, err)
}

func TestAnAlteredCodeIsRefused(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	code := w.code(w.authorization("web"))
	for i := range code {
		for _, c := range []byte{'A', 'B', '-', '.', '='} {
			if altered := code[:i] + string(c) + code[i+1:]; altered != code {
				_, err := w.redeem("web", altered)
				refused(t, err, "invalid_grant", code)
			}
		}
	}
	for _, altered := range []string{"x", code + "A", code + "=", code[1:], code[:len(code)-1], " " + code, code + "\n", strings.ToUpper(code)} {
		_, err := w.redeem("web", altered)
		refused(t, err, "invalid_grant")
	}
	other := newWorld(t, w.db, func(c *engine.Config) { c.Issuer = "https://other.example" })
	_, err := other.redeem("web", code)
	refused(t, err, "invalid_grant", code)
	_, err = w.redeem("web", code)
	ok(t, err)
}

func TestACodeExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t))
		fresh, stale := w.code(w.authorization("web")), w.code(w.authorization("web"))
		time.Sleep(time.Minute - time.Microsecond)
		_, err := w.redeem("web", fresh)
		ok(t, err)
		time.Sleep(time.Microsecond)
		_, err = w.redeem("web", stale)
		refused(t, err, "invalid_grant", stale)
	})
}

func TestACodeDependsOnPersonAndClient(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		code := w.code(w.authorization("web"))
		narrowed := *w.client("web")
		narrowed.Scope = "openid"
		ok(t, w.clients.Update(t.Context(), narrowed))
		_, err := w.redeem("web", code)
		refused(t, err, "invalid_grant", code)
		narrowed.Scope = client.DefaultScope
		ok(t, w.clients.Update(t.Context(), narrowed))

		w.exec(`UPDATE users SET status = 'disabled'`)
		_, err = w.redeem("web", code)
		refused(t, err, "invalid_grant", code)
		w.exec(`UPDATE users SET status = 'active'`)
		_, err = w.redeem("web", code)
		ok(t, err)
	})
}

func TestTokensAreWhatTheScopeAsksFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		changed := *w.client("web")
		changed.Scope += " OpenID Offline_Access"
		ok(t, w.clients.Update(t.Context(), changed))
		for _, test := range []struct {
			client      string
			scope       string
			id, refresh bool
		}{
			{"web", "openid offline_access", true, true},
			{"web", "openid", true, false},
			{"web", "phone offline_access", false, true},
			{"web", "phone", false, false},
			{"web", "OpenID Offline_Access", false, false}, // fosite compares without regard to case
			{"web", "OpenID offline_access", false, true},
			{"brief", "openid offline_access", true, false},
		} {
			a := w.authorization(test.client)
			a.Scope = strings.Fields(test.scope)
			r, err := w.redeem(test.client, w.code(a))
			if err != nil || (r.IDToken != "") != test.id || (r.RefreshToken != "") != test.refresh || r.Scope != test.scope {
				t.Errorf("%s with %s: ID token %v, refresh token %v, scope %q, %v", test.client, test.scope, r.IDToken != "", r.RefreshToken != "", r.Scope, err)
				continue
			}
			g := w.grantOf(r)
			if life := g.ExpiresAt.Sub(g.CreatedAt); test.refresh != (life > 24*time.Hour) || test.refresh != (g.Generation == 1) {
				t.Errorf("%s: the grant lives for %v, generation %d", test.scope, life, g.Generation)
			}
			if test.refresh {
				next, err := w.refresh(test.client, r.RefreshToken)
				if err != nil || (next.IDToken != "") != test.id {
					t.Errorf("%s: refreshed ID token %v, %v", test.scope, next.IDToken != "", err)
				}
			}
		}
	})
}

// A client that hangs up keeps nobody from burning its code.
func TestACodeIsBurntAlthoughTheCallerLeft(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		code := w.code(w.authorization("web"))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := w.engine.Token(gone, engine.TokenRequest{Client: w.client("web"), Form: url.Values{
			"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {strings.Repeat("a", 43)},
		}})
		refused(t, err, "invalid_grant", code)
		_, err = w.redeem("web", code)
		refused(t, err, "invalid_grant", code)
	})
}

// Theft that cannot be answered must not look like an everyday refusal: the caller comes again,
// and then it is.
func TestAReuseThatCannotBeRevokedIsNoRefusal(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		code := w.code(w.authorization("web"))
		first, err := w.redeem("web", code)
		ok(t, err)
		second, err := w.refresh("web", first.RefreshToken)
		ok(t, err)
		third, err := w.refresh("web", second.RefreshToken)
		ok(t, err)
		for name, reuse := range map[string]func() error{
			"code":     func() error { _, err := w.redeem("web", code); return err },
			"verifier": func() error { _, err := w.redeem("web", code, "code_verifier", ""); return err },
			"refresh":  func() error { _, err := w.refresh("web", first.RefreshToken); return err },
		} {
			w.exec(`ALTER TABLE audit RENAME TO away`)
			err := reuse()
			w.exec(`ALTER TABLE away RENAME TO audit`)
			if f := fault.From(err); f == nil || f.Status < 500 {
				t.Errorf("%s: %v", name, err)
			}
			if g := w.grantOf(third); !g.Stands(time.Now()) {
				t.Errorf("%s: the family was revoked without a record", name)
			}
		}
		_, err = w.refresh("web", first.RefreshToken)
		refused(t, err, "invalid_grant", first.RefreshToken)
		if g := w.grantOf(third); g.Stands(time.Now()) {
			t.Error("the family stands")
		}
	})
}

func TestASignInBySlightlyFastClocksIsFine(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	a := w.authorization("web")
	a.Person.AuthTime = time.Now().Add(time.Minute)
	r, err := w.redeem("web", w.code(a))
	ok(t, err)
	if _, claims := w.claims(r.IDToken); int64(claims["auth_time"].(float64)) != a.Person.AuthTime.Unix() {
		t.Errorf("auth_time %v, want %d", claims["auth_time"], a.Person.AuthTime.Unix())
	}
}

func TestCodeRefusesWhatItsCallerShouldHave(t *testing.T) {
	w := newWorld(t, dbtest.Open(t))
	for name, test := range map[string]struct {
		code   string
		change func(*engine.Authorization)
	}{
		"scope":    {"invalid_scope", func(a *engine.Authorization) { a.Scope = []string{"openid", "admin"} }},
		"audience": {"invalid_request", func(a *engine.Authorization) { a.Audience = []string{"https://api.example"} }},
		"redirect": {"invalid_request", func(a *engine.Authorization) { a.RedirectURI = "http://rp.example/cb" }},
		"URI":      {"invalid_request", func(a *engine.Authorization) { a.RedirectURI = "https://rp.example/%zz" }},
	} {
		a := w.authorization("web")
		test.change(&a)
		code, err := w.engine.Code(t.Context(), a)
		refused(t, err, test.code)
		if code != "" || t.Failed() {
			t.Fatalf("%s: code %q", name, code)
		}
	}
}

func TestASlowDatabaseIsAnOutage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		code, r := w.code(w.authorization("web")), w.signIn("web")
		gone, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		for _, form := range []map[string][]string{
			{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}},
			{"grant_type": {"refresh_token"}, "refresh_token": {r.RefreshToken}},
		} {
			_, err := w.engine.Token(gone, engine.TokenRequest{Client: w.client("web"), Form: form})
			refused(t, err, "temporarily_unavailable", code, r.RefreshToken)
		}
		_, err := w.redeem("web", code)
		ok(t, err)
		_, err = w.refresh("web", r.RefreshToken)
		ok(t, err)
	})
}
