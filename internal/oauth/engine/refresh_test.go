package engine_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

func TestRefresh(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.signIn("web")
		_, before := w.claims(first.IDToken)
		_, accessBefore := w.claims(first.AccessToken)
		counters := w.db.Counters()
		next, err := w.refresh("web", first.RefreshToken)
		ok(t, err)
		if after := w.db.Counters(); after.Reads != counters.Reads+1 || after.Commits != counters.Commits+1 || after.TxStatements != counters.TxStatements {
			t.Errorf("refreshing cost %+v, want one SELECT and one UPDATE", after)
		}
		if next.RefreshToken == first.RefreshToken || next.RefreshToken == "" || next.Scope != first.Scope {
			t.Errorf("response %+v", next)
		}
		_, after := w.claims(next.IDToken)
		_, accessAfter := w.claims(next.AccessToken)
		for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr", "sid"} {
			if before[name] != after[name] {
				t.Errorf("%s of the ID token changed from %v to %v", name, before[name], after[name])
			}
		}
		if after["nonce"] != nil || after["jti"] == before["jti"] || accessAfter["jti"] == accessBefore["jti"] || accessAfter["gid"] != accessBefore["gid"] {
			t.Errorf("claims after a refresh: %v, %v", after, accessAfter)
		}
		if g := w.grantOf(next); g.Generation != 2 {
			t.Errorf("generation %d, want 2", g.Generation)
		}
	})
}

func TestManyRefreshesAtOnceGetOneSuccessor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.signIn("spa")
		servers := []*world{w, newWorld(t, w.db)}
		servers[1].client("spa")
		for round := range int64(3) {
			successors := make(chan string, 50)
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() {
					next, err := servers[i%2].refresh("spa", r.RefreshToken)
					if err != nil {
						t.Error(err)
						return
					}
					successors <- next.RefreshToken
				})
			}
			group.Wait()
			close(successors)
			distinct := map[string]bool{}
			for s := range successors {
				distinct[s] = true
			}
			if len(distinct) != 1 || distinct[r.RefreshToken] {
				t.Fatalf("50 refreshes made %d successors", len(distinct))
			}
			for s := range distinct {
				r.RefreshToken = s
			}
			if g := w.grantOf(r); g.Generation != round+2 || !g.Stands(time.Now()) {
				t.Fatalf("generation %d after round %d, revoked at %v", g.Generation, round, g.RevokedAt)
			}
		}
	})
}

func TestAGrandparentRevokesTheFamily(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.signIn("web")
		second, err := w.refresh("web", first.RefreshToken)
		ok(t, err)
		third, err := w.refresh("web", second.RefreshToken)
		ok(t, err)
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				_, err := w.refresh("web", first.RefreshToken)
				refused(t, err, "invalid_grant", first.RefreshToken)
			})
		}
		group.Wait()
		if g := w.grantOf(third); g.Stands(time.Now()) {
			t.Error("the family stands")
		}
		for _, r := range []engine.TokenResponse{first, second, third} {
			_, err := w.refresh("web", r.RefreshToken)
			refused(t, err, "invalid_grant", r.RefreshToken)
		}
		if n := w.events("grant.reuse_detected"); n != 1 {
			t.Errorf("the reuse was recorded %d times", n)
		}
	})
}

func TestAGrandparentOfAnotherClientRevokesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.signIn("web")
		second, err := w.refresh("web", first.RefreshToken)
		ok(t, err)
		third, err := w.refresh("web", second.RefreshToken)
		ok(t, err)
		for _, r := range []engine.TokenResponse{first, second, third} {
			_, err := w.refresh("web2", r.RefreshToken)
			refused(t, err, "invalid_grant", r.RefreshToken)
		}
		_, err = w.refresh("web", third.RefreshToken)
		ok(t, err)
	})
}

// The id of a grant is in its access tokens, which every API sees.
func TestAForgedOldGenerationRevokesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.signIn("web")
		second, err := w.refresh("web", first.RefreshToken)
		ok(t, err)
		third, err := w.refresh("web", second.RefreshToken)
		ok(t, err)
		g := w.grantOf(third)
		mac := first.RefreshToken[strings.LastIndex(first.RefreshToken, ".")+1:]
		zero := base64.RawURLEncoding.EncodeToString(make([]byte, 36))
		for _, forged := range []string{
			fmt.Sprintf("rt.%s.1.%s", g.ID, zero), fmt.Sprintf("rt.%s.1.", g.ID), fmt.Sprintf("rt.%s.2.%s", g.ID, mac),
			fmt.Sprintf("rt.%s.3.%s", g.ID, mac), fmt.Sprintf("rt.%s.0.%s", g.ID, mac), fmt.Sprintf("rt.%s.-1.%s", g.ID, mac),
			fmt.Sprintf("rt.%s.01.%s", g.ID, mac), fmt.Sprintf("rt.%s.1.%s", db.NewID(), mac), fmt.Sprintf("rt.%s.1.%s=", g.ID, mac),
			fmt.Sprintf("rt.%s.1.%s\n", g.ID, mac), strings.ToUpper(first.RefreshToken), first.RefreshToken[:len(first.RefreshToken)-1],
			first.RefreshToken + "A", "rt.", "rt...", first.AccessToken, strings.Repeat("rt.", 1000),
		} {
			_, err := w.refresh("web", forged)
			refused(t, err, "invalid_grant", forged)
			if g, usable, err := w.engine.RefreshToken(t.Context(), forged); err == nil || usable || g.ID != "" {
				t.Errorf("RefreshToken(%q) = %v, %v, %v", forged, g.ID, usable, err)
			}
		}
		_, err = w.refresh("web", third.RefreshToken)
		ok(t, err)
	})
}

func TestRefreshTokenSaysWhetherItIsUsable(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.signIn("web")
		second, err := w.refresh("web", first.RefreshToken)
		ok(t, err)
		third, err := w.refresh("web", second.RefreshToken)
		ok(t, err)
		usable := func(r engine.TokenResponse, want bool) {
			t.Helper()
			before := w.db.Counters().Reads
			g, got, err := w.engine.RefreshToken(t.Context(), r.RefreshToken)
			if err != nil || got != want || g.ClientID != "web" {
				t.Errorf("usable %v, want %v; client %s, %v", got, want, g.ClientID, err)
			}
			if n := w.db.Counters().Reads - before; n != 1 {
				t.Errorf("it cost %d reads", n)
			}
		}
		usable(first, false)
		usable(second, true)
		usable(third, true)
		ok(t, w.grants.Revoke(t.Context(), w.grantOf(third).ID, grant.ReasonClient))
		usable(second, false)
		usable(third, false)
	})
}

func TestThePredecessorHasAGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t))
		first := w.signIn("web")
		second, err := w.refresh("web", first.RefreshToken)
		ok(t, err)
		time.Sleep(30*time.Second - time.Millisecond)
		before := w.db.Counters().Commits
		again, err := w.refresh("web", first.RefreshToken)
		ok(t, err)
		if again.RefreshToken != second.RefreshToken || w.db.Counters().Commits != before {
			t.Error("the second use within the grace made another successor or a write")
		}
		time.Sleep(time.Millisecond)
		_, err = w.refresh("web", first.RefreshToken)
		refused(t, err, "invalid_grant", first.RefreshToken)
		_, err = w.refresh("web", second.RefreshToken)
		refused(t, err, "invalid_grant", second.RefreshToken)
		if n := w.events("grant.reuse_detected"); n != 1 {
			t.Errorf("the reuse was recorded %d times", n)
		}
	})
}

func TestWithoutGraceARaceIsTheft(t *testing.T) {
	each(t, func(t *testing.T, shared *world) {
		w := newWorld(t, shared.db, func(c *engine.Config) { c.RefreshGrace = 0 })
		r := w.signIn("web")
		var group sync.WaitGroup
		var mu sync.Mutex
		wins := 0
		for range 16 {
			group.Go(func() {
				if _, err := w.refresh("web", r.RefreshToken); err == nil {
					mu.Lock()
					wins++
					mu.Unlock()
				} else {
					refused(t, err, "invalid_grant")
				}
			})
		}
		group.Wait()
		if wins != 1 {
			t.Errorf("%d of 16 refreshed", wins)
		}
		if g := w.grantOf(r); g.Stands(time.Now()) {
			t.Error("the family stands")
		}
	})
}

func TestRefreshNarrowsAndNeverWidens(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		token := w.signIn("web").RefreshToken
		for _, test := range []struct{ ask, code, scope string }{
			{"phone", "", "phone"},
			{"openid profile", "invalid_scope", ""},
			{"openid openid", "invalid_scope", ""},
			{"OPENID", "invalid_scope", ""},
			{"openid", "", "openid"},
			{"offline_access phone openid", "", "offline_access phone openid"},
			{"", "", "openid phone offline_access"},
		} {
			r, err := w.refresh("web", token, "scope", test.ask)
			if test.code != "" {
				refused(t, err, test.code)
				continue
			}
			ok(t, err)
			_, claims := w.claims(r.AccessToken)
			if r.Scope != test.scope || claims["scope"] != test.scope || (r.IDToken != "") != strings.Contains(test.scope, "openid") || r.RefreshToken == "" {
				t.Errorf("asked for %q: %+v", test.ask, r)
			}
			token = r.RefreshToken
		}
	})
}

func TestRefreshDependsOnPersonClientAndGrant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		update := func(change func(*client.Client)) {
			t.Helper()
			c := *w.client("web")
			change(&c)
			ok(t, w.clients.Update(t.Context(), c))
		}
		undone := []struct {
			name     string
			do, undo func()
			code     string
		}{
			{"disabled person", func() { w.exec(`UPDATE users SET status = 'disabled'`) }, func() { w.exec(`UPDATE users SET status = 'active'`) }, "invalid_grant"},
			{"lost scope", func() { update(func(c *client.Client) { c.Scope = "openid offline_access" }) },
				func() { update(func(c *client.Client) { c.Scope = client.DefaultScope }) }, "invalid_grant"},
			{"lost grant type", func() { update(func(c *client.Client) { c.GrantTypes = []string{"authorization_code"} }) },
				func() { update(func(c *client.Client) { c.GrantTypes = nil }) }, "unauthorized_client"},
		}
		r := w.signIn("web")
		for _, test := range undone {
			test.do()
			_, err := w.refresh("web", r.RefreshToken)
			refused(t, err, test.code, r.RefreshToken)
			test.undo()
			if r, err = w.refresh("web", r.RefreshToken); err != nil {
				t.Fatalf("%s, undone: %v", test.name, err)
			}
		}
		ok(t, w.grants.Revoke(t.Context(), w.grantOf(r).ID, grant.ReasonPerson))
		_, err := w.refresh("web", r.RefreshToken)
		refused(t, err, "invalid_grant", r.RefreshToken)

		r = w.signIn("web")
		w.exec(`DELETE FROM users`)
		_, err = w.refresh("web", r.RefreshToken)
		refused(t, err, "invalid_grant", r.RefreshToken)
	})
}

func TestAFamilyEndsWhenIdleOrOld(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t))
		idle, used := w.signIn("web"), w.signIn("web")
		start := time.Now()
		for time.Since(start) < 29*day {
			time.Sleep(10 * day)
			var err error
			used, err = w.refresh("web", used.RefreshToken)
			ok(t, err)
		}
		time.Sleep(2 * day) // a day for the rounding
		_, err := w.refresh("web", idle.RefreshToken)
		refused(t, err, "invalid_grant", idle.RefreshToken)
		for time.Since(start) < 170*day {
			time.Sleep(8 * day)
			used, err = w.refresh("web", used.RefreshToken)
			ok(t, err)
		}
		if g, _, err := w.engine.RefreshToken(t.Context(), used.RefreshToken); err != nil || g.ExpiresAt.Sub(g.CreatedAt) != 180*day {
			t.Errorf("the family ends %v after it began, %v", g.ExpiresAt.Sub(g.CreatedAt), err)
		}
		time.Sleep(180*day - time.Since(start))
		_, err = w.refresh("web", used.RefreshToken)
		refused(t, err, "invalid_grant", used.RefreshToken)
	})
}

// Most rotations leave the indexed expiry as it is.
func TestRotationSeldomMovesTheExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t))
		r := w.signIn("web")
		ends := map[time.Time]int{}
		for range 48 {
			var err error
			r, err = w.refresh("web", r.RefreshToken)
			ok(t, err)
			g, _, err := w.engine.RefreshToken(t.Context(), r.RefreshToken)
			ok(t, err)
			ends[g.ExpiresAt]++
			if left := time.Until(g.ExpiresAt); left < 30*24*time.Hour || left > 31*24*time.Hour {
				t.Errorf("the family has %v left", left)
			}
			time.Sleep(time.Hour)
		}
		if len(ends) > 3 {
			t.Errorf("48 rotations in two days moved the expiry %d times", len(ends))
		}
	})
}

func TestRefreshTokensOutliveAChangeOfTheMasterSecret(t *testing.T) {
	d := dbtest.Open(t)
	before := newWorld(t, d)
	code, r := before.code(before.authorization("web")), before.signIn("web")
	after := build(t, d, openVault(t, d, 8), before.ring)
	next, err := after.refresh("web", r.RefreshToken)
	ok(t, err)
	_, err = after.refresh("web", next.RefreshToken)
	ok(t, err)
	_, err = after.redeem("web", code)
	ok(t, err)
}
