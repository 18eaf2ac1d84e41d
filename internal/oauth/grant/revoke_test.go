package grant_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

func TestRevokeOnceAndRecordOnce(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		reasons := map[string]string{
			grant.ReasonCodeReused: "grant.reuse_detected by system", grant.ReasonRefreshReused: "grant.reuse_detected by system",
			grant.ReasonClient: "grant.revoked by client:shop", grant.ReasonPerson: "grant.revoked by user:" + person,
			grant.ReasonOperator: "grant.revoked by operator", "other": "grant.revoked by system",
		}
		want := map[string]int{}
		for reason, event := range reasons {
			want[event]++
			g := create(t, s, fresh("openid"))
			var group sync.WaitGroup
			for range 10 {
				group.Go(func() {
					if err := s.Revoke(context.Background(), g.ID, reason); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if l := find(t, s, g.ID); l.RevokedAt.IsZero() || l.Stands(time.Now()) {
				t.Errorf("revoked for %s, still stands", reason)
			}
		}
		ok(t, s.Revoke(t.Context(), db.NewID(), grant.ReasonOperator))
		if diff := cmp.Diff(want, events(t, d)); diff != "" {
			t.Errorf("audit (-want +got)\n%s", diff)
		}
	})
}

func TestASessionTakesItsGrantsAlongButNotOfflineOnes(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		session, other := openSession(t, d, time.Now().Add(time.Hour)), openSession(t, d, time.Now().Add(time.Hour))
		with := func(session string, scope ...string) grant.Grant {
			g := fresh(scope...)
			g.SessionID = session
			return create(t, s, g)
		}
		bound, offline := with(session, "openid"), with(session, "openid", "offline_access", "phone")
		lookalike, elsewhere, native := with(session, "openid", "Offline_access"), with(other, "openid"), with("", "openid")

		exec(t, d, `UPDATE sessions SET ended_at = 1 WHERE id = $1`, session)
		for name, test := range map[string]struct {
			g      grant.Grant
			stands bool
		}{
			"bound": {bound, false}, "offline": {offline, true}, "a scope that looks alike": {lookalike, false},
			"of another session": {elsewhere, true}, "native": {native, true},
		} {
			if l := find(t, s, test.g.ID); l.Stands(time.Now()) != test.stands {
				t.Errorf("%s stands = %v after the session ended", name, !test.stands)
			}
		}
		n, err := s.RevokeSession(t.Context(), person, session)
		if err != nil || n != 2 {
			t.Errorf("RevokeSession = %d, %v, want 2", n, err)
		}
		var whose string // erasing the person takes the session out of the record
		ok(t, d.QueryRow(t.Context(), `SELECT user_id FROM audit WHERE event = 'grant.revoked'`).Scan(&whose))
		if whose != person {
			t.Errorf("on record of %q", whose)
		}
		if n, err := s.RevokeSession(t.Context(), person, ""); err != nil || n != 0 {
			t.Errorf("RevokeSession of no session = %d, %v", n, err)
		}
		for _, g := range []grant.Grant{offline, elsewhere, native} {
			if l := find(t, s, g.ID); !l.RevokedAt.IsZero() {
				t.Errorf("grant with scope %v was revoked", g.Scope)
			}
		}
	})
}

func TestAnExpiredOrDeletedSessionIsOver(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		for name, ending := range map[string]string{
			"expired": `UPDATE sessions SET expires_at = 1 WHERE id = $1`, "deleted": `DELETE FROM sessions WHERE id = $1`,
		} {
			g := fresh("openid")
			g.SessionID = openSession(t, d, time.Now().Add(time.Hour))
			create(t, s, g)
			exec(t, d, ending, g.SessionID)
			if l := find(t, s, g.ID); !l.SessionEnded {
				t.Errorf("the %s session goes on", name)
			}
		}
	})
}

func TestRevokeByPersonAndClient(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		for _, id := range []string{"shop", "shop", "web", "web", "web"} {
			g := fresh("openid", "offline_access")
			g.ClientID = id
			create(t, s, g)
		}
		count := func(what string, want int64, n int64, err error) {
			t.Helper()
			if err != nil || n != want {
				t.Errorf("%s = %d, %v, want %d", what, n, err, want)
			}
		}
		n, err := s.RevokeUserClient(t.Context(), person, "shop")
		count("RevokeUserClient", 2, n, err)
		n, err = s.RevokeUserClient(t.Context(), person, "shop")
		count("RevokeUserClient again", 0, n, err)
		n, err = s.RevokeUser(t.Context(), person, grant.ReasonOperator)
		count("RevokeUser", 3, n, err)
		want := map[string]int{"grant.revoked by user:" + person: 1, "grant.revoked by operator": 1}
		if diff := cmp.Diff(want, events(t, d)); diff != "" {
			t.Errorf("audit (-want +got)\n%s", diff)
		}
	})
}

// However much a person signed in and out since, what stands is listed.
func TestListedFirstIsWhatStands(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		g := create(t, s, fresh("openid"))
		exec(t, d, `
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
			INSERT INTO grants (id, client_id, user_id, session_id, scope, audience, auth_time, amr, acr, salt, generation, rotated_at, created_at, expires_at, revoked_at)
			SELECT 'dead' || CAST(n.i AS TEXT), client_id, user_id, session_id, scope, audience, auth_time, amr, acr, salt, generation, rotated_at, created_at + n.i, expires_at, created_at + n.i
			FROM grants, n WHERE id = $1`, g.ID)
		list, err := s.ListUser(t.Context(), person)
		ok(t, err)
		if len(list) != 1000 || list[0].ID != g.ID {
			t.Errorf("%d grants, the first is %s", len(list), list[0].ID)
		}
	})
}

func TestADeletedPersonLeavesNoGrant(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		g := create(t, s, fresh("openid"))
		exec(t, d, `UPDATE users SET status = 'disabled' WHERE id = $1`, person)
		if l := find(t, s, g.ID); l.UserActive || l.Stands(time.Now()) {
			t.Error("the grant of a disabled person stands")
		}
		exec(t, d, `DELETE FROM users WHERE id = $1`, person)
		if _, err := s.Find(t.Context(), g.ID); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("grant of a deleted person: %v", err)
		}
	})
}

func TestRevokedTokens(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		revoked := func(jti string) bool {
			t.Helper()
			yes, err := s.TokenRevoked(t.Context(), jti)
			ok(t, err)
			return yes
		}
		if revoked("a") {
			t.Error("a token nobody revoked is revoked")
		}
		ok(t, s.RevokeToken(t.Context(), "a", time.Now().Add(time.Minute)))
		ok(t, s.RevokeToken(t.Context(), "a", time.Now().Add(time.Minute)))
		if !revoked("a") || revoked("b") {
			t.Error("the wrong token is revoked")
		}
	})
}

func TestPurge(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		now := time.Now()
		ok(t, d.Tx(t.Context(), func(ctx context.Context) error {
			for i := range 1200 {
				g := fresh("openid")
				g.ExpiresAt = now.Add(-31 * 24 * time.Hour)
				if err := s.Create(ctx, g); err != nil {
					return err
				}
				if err := s.RevokeToken(ctx, fmt.Sprint(i), now.Add(-time.Minute)); err != nil {
					return err
				}
			}
			return nil
		}))
		recent := fresh("openid")
		recent.ExpiresAt = now.Add(-29 * 24 * time.Hour)
		create(t, s, recent)
		ok(t, s.RevokeToken(t.Context(), "live", now.Add(time.Minute)))
		n, err := s.Purge(t.Context(), now)
		if err != nil || n != 2400 {
			t.Errorf("Purge = %d, %v, want 2400", n, err)
		}
		find(t, s, recent.ID)
		var seen int64
		ok(t, d.QueryRow(t.Context(), `SELECT seen_at FROM users`).Scan(&seen))
		if seen < db.Micros(now)-1 {
			t.Errorf("the person was last seen at %v", db.Time(seen))
		}
		if yes, err := s.TokenRevoked(t.Context(), "live"); !yes || err != nil {
			t.Errorf("a token that could still be used: %v, %v", yes, err)
		}
	})
}

func TestASessionEndsByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		s := open(t, d)
		g := fresh("openid")
		g.SessionID, g.ExpiresAt = openSession(t, d, time.Now().Add(time.Minute)), time.Now().Add(time.Hour)
		create(t, s, g)
		if l := find(t, s, g.ID); !l.Stands(time.Now()) {
			t.Error("the grant does not stand while its session lives")
		}
		time.Sleep(2 * time.Minute)
		if l := find(t, s, g.ID); l.Stands(time.Now()) {
			t.Error("the grant outlived its session")
		}
	})
}
