package grant_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

const person = "0b9f9f3a-6a0e-4d3c-9b0a-3f6f8f2f1a11"

// each runs f on a store over every engine, where one person is active.
func each(t *testing.T, f func(t *testing.T, d *db.DB, s *grant.Store)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d *db.DB) { f(t, d, open(t, d)) })
}

func open(t testing.TB, d *db.DB) *grant.Store {
	t.Helper()
	exec(t, d, `INSERT INTO users (id, status, claims, created_at, updated_at) VALUES ($1, 'active', '{"name":"A"}', 1, 2)`, person)
	return grant.NewStore(d, audit.New(d))
}

func exec(t testing.TB, d *db.DB, statement string, args ...any) {
	t.Helper()
	_, err := d.Exec(t.Context(), statement, args...)
	ok(t, err)
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fresh is a grant that nobody stored yet.
func fresh(scope ...string) grant.Grant {
	now := db.Time(db.Micros(time.Now()))
	return grant.Grant{
		ID: db.NewID(), ClientID: "shop", UserID: person, Scope: scope, Audience: []string{"https://id.example"},
		AuthTime: now.Add(-time.Minute), AMR: []string{"sms", "otp"}, ACR: "1", Salt: []byte("0123456789abcdef"), Generation: 1,
		RotatedAt: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
}

func create(t testing.TB, s *grant.Store, g grant.Grant) grant.Grant {
	t.Helper()
	ok(t, s.Create(t.Context(), g))
	return g
}

func find(t testing.TB, s *grant.Store, id string) grant.Live {
	t.Helper()
	l, err := s.Find(t.Context(), id)
	ok(t, err)
	return l
}

// events are all audit records as "event client reason".
func events(t testing.TB, d *db.DB) map[string]int {
	t.Helper()
	rows, err := d.Query(t.Context(), `SELECT event, actor FROM audit`)
	ok(t, err)
	defer rows.Close()
	count := map[string]int{}
	for rows.Next() {
		var event, actor string
		ok(t, rows.Scan(&event, &actor))
		count[event+" by "+actor]++
	}
	ok(t, rows.Err())
	return count
}

func TestFindReturnsAllThatTokensDependOn(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		exec(t, d, `INSERT INTO identifiers (kind, lookup, user_id, sealed, verified_at) VALUES ('phone', $1, $2, $3, 42)`, []byte("lookup"), person, []byte("sealed"))
		session := openSession(t, d, time.Now().Add(time.Hour))
		g := fresh("openid", "phone")
		g.SessionID = session
		before := d.Counters()
		create(t, s, g)
		if cost := d.Counters().Commits - before.Commits; cost != 1 || d.Counters().Reads != before.Reads {
			t.Errorf("Create cost %d commits and %d reads, want 1 and 0", cost, d.Counters().Reads-before.Reads)
		}
		before = d.Counters()
		got := find(t, s, g.ID)
		if cost := d.Counters().Reads - before.Reads; cost != 1 {
			t.Errorf("Find cost %d reads, want 1", cost)
		}
		want := grant.Live{
			Grant: g, UserActive: true, UserClaims: `{"name":"A"}`, PhoneSealed: []byte("sealed"), PhoneVerifiedAt: 42, UserUpdatedAt: db.Time(2), GrantsAfter: db.Time(0),
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Find (-want +got)\n%s", diff)
		}
		if !got.Stands(time.Now()) || got.Stands(g.ExpiresAt) {
			t.Error("a fresh grant stands until it expires")
		}
		for _, id := range []string{"", "x", db.NewID(), "\xff"} {
			if _, err := s.Find(t.Context(), id); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("Find(%q): %v", id, err)
			}
		}
	})
}

func openSession(t testing.TB, d *db.DB, expires time.Time) string {
	t.Helper()
	id := db.NewID()
	exec(t, d, `
		INSERT INTO sessions (id, user_id, secret_hash, auth_time, amr, acr, user_agent, ip_prefix, created_at, seen_at, expires_at)
		VALUES ($1, $2, $3, 0, 'sms otp', '1', '', '', 0, 0, $4)`, id, person, []byte("hash"), db.Micros(expires))
	return id
}

func TestOneOfManyCreatesWins(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		g := fresh("openid")
		var made, used atomic.Int32
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				switch err := s.Create(context.Background(), g); {
				case err == nil:
					made.Add(1)
				case errors.Is(err, grant.ErrUsed):
					used.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if made.Load() != 1 || used.Load() != 49 {
			t.Errorf("%d created it, %d found it used", made.Load(), used.Load())
		}
	})
}

func TestCreateNeedsAnActivePerson(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		g := fresh("openid")
		g.UserID = db.NewID()
		if err := s.Create(t.Context(), g); !errors.Is(err, grant.ErrUserInactive) {
			t.Errorf("unknown person: %v", err)
		}
		exec(t, d, `UPDATE users SET status = 'disabled' WHERE id = $1`, person)
		if err := s.Create(t.Context(), fresh("openid")); !errors.Is(err, grant.ErrUserInactive) {
			t.Errorf("disabled person: %v", err)
		}
	})
}

func TestCreateNeedsTheSession(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		for name, c := range map[string]struct {
			session func() string
			want    error
		}{
			"live": {func() string { return openSession(t, d, time.Now().Add(time.Hour)) }, nil},
			"none": {func() string { return "" }, nil},
			"ended": {func() string {
				id := openSession(t, d, time.Now().Add(time.Hour))
				exec(t, d, `UPDATE sessions SET ended_at = 1 WHERE id = $1`, id)
				return id
			}, grant.ErrSignedOut},
			"expired": {func() string { return openSession(t, d, time.Now().Add(-time.Second)) }, grant.ErrSignedOut},
			"purged":  {db.NewID, grant.ErrSignedOut},
		} {
			g := fresh("openid", "offline_access")
			g.SessionID = c.session()
			if err := s.Create(t.Context(), g); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	})
}

// A code that comes twice is a theft also after its person signed out.
func TestUsedIsToldBeforeSignedOut(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		g := fresh("openid")
		g.SessionID = openSession(t, d, time.Now().Add(time.Hour))
		create(t, s, g)
		exec(t, d, `UPDATE sessions SET ended_at = 1`)
		if err := s.Create(t.Context(), g); !errors.Is(err, grant.ErrUsed) {
			t.Errorf("after the session ended: %v", err)
		}
		exec(t, d, `UPDATE users SET status = 'disabled'`)
		if err := s.Create(t.Context(), g); !errors.Is(err, grant.ErrUsed) {
			t.Errorf("after the person was disabled: %v", err)
		}
	})
}

// Where one session outlives a sign-out of all else, what was granted in it before ends,
// codes that wait included, and what is granted after stands.
func TestGrantsOfAKeptSession(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		kept, other := openSession(t, d, time.Now().Add(time.Hour)), openSession(t, d, time.Now().Add(time.Hour))
		of := func(session string) grant.Grant {
			g := fresh("openid", "offline_access")
			g.SessionID = session
			return g
		}
		old, waiting, native := create(t, s, of(kept)), of(kept), create(t, s, of(""))
		time.Sleep(2 * time.Millisecond) // ids tell milliseconds
		exec(t, d, `UPDATE users SET grants_after = $1, kept_session = $2`, db.Micros(time.Now()), kept)
		time.Sleep(2 * time.Millisecond)
		for name, g := range map[string]grant.Grant{"waits": waiting, "is of another session": of(other), "is of none": of("")} {
			if err := s.Create(t.Context(), g); !errors.Is(err, grant.ErrSignedOut) {
				t.Errorf("a code that %s: %v", name, err)
			}
		}
		next := create(t, s, of(kept))
		for name, c := range map[string]struct {
			id   string
			want bool
		}{"before": {old.ID, false}, "after": {next.ID, true}, "without a session": {native.ID, false}} {
			if l := find(t, s, c.id); l.Stands(time.Now()) != c.want {
				t.Errorf("%s: stands %t", name, !c.want)
			}
		}
		exec(t, d, `UPDATE users SET grants_after = $1, kept_session = ''`, db.Micros(time.Now()))
		if l := find(t, s, next.ID); l.Stands(time.Now()) {
			t.Error("it stands after all ended")
		}
	})
}

func TestGrantsOfEarlierSignInsDoNotStand(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		old := create(t, s, fresh("openid", "offline_access"))
		exec(t, d, `UPDATE users SET grants_after = $1`, db.Micros(old.AuthTime)) // equal counts as before
		if l := find(t, s, old.ID); l.Stands(time.Now()) || !l.GrantsAfter.Equal(old.AuthTime) {
			t.Errorf("stands, with grants after %v", l.GrantsAfter)
		}
		code := fresh("openid", "offline_access")
		code.AuthTime = old.AuthTime
		if err := s.Create(t.Context(), code); !errors.Is(err, grant.ErrSignedOut) {
			t.Errorf("a code of before: %v", err)
		}
		next := fresh("openid", "offline_access")
		next.AuthTime = old.AuthTime.Add(time.Microsecond)
		create(t, s, next)
		if l := find(t, s, next.ID); !l.Stands(time.Now()) {
			t.Error("a later sign-in does not count")
		}
	})
}

func TestABurntGrantCanNeverBeCreated(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		g := fresh("openid")
		ok(t, s.Burn(t.Context(), g))
		ok(t, s.Burn(t.Context(), g))
		if err := s.Create(t.Context(), g); !errors.Is(err, grant.ErrUsed) {
			t.Errorf("Create after Burn: %v", err)
		}
		l := find(t, s, g.ID)
		if l.Stands(time.Now()) {
			t.Error("a burnt grant stands")
		}
		redeemed := create(t, s, fresh("openid"))
		ok(t, s.Burn(t.Context(), redeemed))
		if l := find(t, s, redeemed.ID); l.RevokedAt.IsZero() {
			t.Error("Burn left a redeemed grant standing")
		}
		gone := fresh("openid")
		gone.UserID = db.NewID()
		ok(t, s.Burn(t.Context(), gone))
		want := map[string]int{"grant.code_burnt by system": 2}
		if diff := cmp.Diff(want, events(t, d)); diff != "" {
			t.Errorf("audit (-want +got)\n%s", diff)
		}
	})
}

// Whoever comes first, a code is either redeemed or burnt, and what was redeemed is revoked.
func TestCreateAndBurnAtOnceLeaveNothingStanding(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		for range 10 {
			g := fresh("openid")
			var group sync.WaitGroup
			for i := range 10 {
				group.Go(func() {
					var err error
					if i%2 == 0 {
						err = s.Create(context.Background(), g)
					} else {
						err = s.Burn(context.Background(), g)
					}
					if err != nil && !errors.Is(err, grant.ErrUsed) {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if l := find(t, s, g.ID); l.RevokedAt.IsZero() {
				t.Fatal("the grant stands")
			}
		}
	})
}

func TestOneOfManyRotationsWins(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		g := create(t, s, fresh("openid", "offline_access"))
		now := time.Now()
		for from := int64(1); from <= 3; from++ {
			var moved atomic.Int32
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() {
					won, err := s.Rotate(context.Background(), g.ID, "shop", from, now, now.Add(2*time.Hour))
					if err != nil {
						t.Error(err)
					}
					if won {
						moved.Add(1)
					}
				})
			}
			group.Wait()
			if moved.Load() != 1 {
				t.Errorf("%d of 50 moved generation %d", moved.Load(), from)
			}
		}
		l := find(t, s, g.ID)
		if l.Generation != 4 || !l.RotatedAt.Equal(db.Time(db.Micros(now))) || !l.ExpiresAt.Equal(db.Time(db.Micros(now.Add(2*time.Hour)))) {
			t.Errorf("rotated to generation %d at %v until %v", l.Generation, l.RotatedAt, l.ExpiresAt)
		}
	})
}

func TestRotateRefuses(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, s *grant.Store) {
		g := create(t, s, fresh("openid", "offline_access"))
		now := time.Now()
		for name, try := range map[string]struct {
			id, client string
			from       int64
			now        time.Time
		}{
			"another client":        {g.ID, "web", 1, now},
			"an earlier generation": {g.ID, "shop", 0, now},
			"a later generation":    {g.ID, "shop", 2, now},
			"an expired grant":      {g.ID, "shop", 1, g.ExpiresAt},
			"an unknown grant":      {db.NewID(), "shop", 1, now},
		} {
			if won, err := s.Rotate(t.Context(), try.id, try.client, try.from, try.now, now.Add(time.Hour)); won || err != nil {
				t.Errorf("%s: %v, %v", name, won, err)
			}
		}
		ok(t, s.Revoke(t.Context(), g.ID, grant.ReasonOperator))
		if won, err := s.Rotate(t.Context(), g.ID, "shop", 1, now, now.Add(time.Hour)); won || err != nil {
			t.Errorf("a revoked grant: %v, %v", won, err)
		}
	})
}
