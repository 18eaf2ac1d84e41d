package user

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestSessionOfFindsTheSessionAndItsUser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in := h.signIn(fixture(0))
		before := d.Counters()
		s, u, err := h.users.SessionOf(with(in.Secret))
		if err != nil {
			t.Fatal(err)
		}
		if c := d.Counters(); c.Reads != before.Reads+1 || c.Writes != before.Writes {
			t.Errorf("cost %d reads and %d writes, want one read", c.Reads-before.Reads, c.Writes-before.Writes)
		}
		if diff := cmp.Diff(in.Session, s); diff != "" {
			t.Errorf("session (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(in.User, u); diff != "" {
			t.Errorf("user (-want +got):\n%s", diff)
		}
		if got := s.IPPrefix; got != "198.51.100.0/24" {
			t.Errorf("address kept as %s", got)
		}
	})
}

func TestForgedSessionCookiesAreNoSession(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in, other := h.signIn(fixture(0)), h.signIn(fixture(1))
		id, secret, _ := strings.Cut(in.Secret, ".")
		_, otherSecret, _ := strings.Cut(other.Secret, ".")
		flipped := []byte(secret)
		flipped[len(flipped)-1] ^= 1
		for name, value := range map[string]string{
			"empty": "", "dot": ".", "id alone": id, "no secret": id + ".", "no id": "." + secret,
			"secret of another": id + "." + otherSecret, "last bit": id + "." + string(flipped),
			"cut": in.Secret[:len(in.Secret)-1], "longer": in.Secret + "A", "two secrets": in.Secret + "." + secret,
			"upper case": strings.ToUpper(id) + "." + secret, "swapped": secret + "." + id,
			"bytes": strings.Repeat("\xff", 36) + "." + secret, "10 KB": strings.Repeat("a", 10_000),
		} {
			if _, _, err := h.users.SessionOf(with(value)); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%s: got %v, want not found", name, err)
			}
		}
		r := with(in.Secret)
		r.Header.Add("Cookie", sessionName+"="+in.Secret)
		if _, _, err := h.users.SessionOf(r); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("two cookies of the name: got %v", err)
		}
		r = with("")
		r.Header.Set("Cookie", sessionCookie+"="+in.Secret)
		if _, _, err := h.users.SessionOf(r); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("without the __Host- prefix: got %v", err)
		}
		if n := h.rows(`SELECT count(*) FROM sessions WHERE secret_hash = $1`, []byte(secret)); n != 0 {
			t.Error("the secret itself is stored")
		}
	})
}

func TestEndedAndDisabledSessionsAreGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		a, b, c := h.signIn(fixture(0)), h.signIn(fixture(0)), h.signIn(fixture(1))
		gone := func(in SignedIn) bool {
			_, _, err := h.users.SessionOf(with(in.Secret))
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				t.Fatal(err)
			}
			return err != nil
		}
		for range 2 { // ending twice is no error
			if err := h.users.EndSession(t.Context(), a.Session.ID, "user:"+a.User.ID); err != nil {
				t.Fatal(err)
			}
		}
		if !gone(a) || gone(b) || gone(c) {
			t.Fatal("EndSession ended another session")
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'session.ended'`); n != 1 {
			t.Errorf("%d records of one end", n)
		}
		if n, err := h.users.EndSessions(t.Context(), b.User.ID, "operator"); n != 1 || err != nil {
			t.Fatalf("EndSessions: %d, %v", n, err)
		}
		if !gone(b) || gone(c) {
			t.Fatal("EndSessions ended another user's session")
		}
		if err := h.users.Disable(t.Context(), c.User.ID); err != nil {
			t.Fatal(err)
		}
		if !gone(c) {
			t.Fatal("a disabled user has a session")
		}
		if err := h.users.Enable(t.Context(), c.User.ID); err != nil {
			t.Fatal(err)
		}
		if !gone(c) {
			t.Fatal("enabling revived a session")
		}
	})
}

func TestSessionsExpire(t *testing.T) {
	alive := func(h *house, in SignedIn) bool {
		_, _, err := h.users.SessionOf(with(in.Secret))
		return err == nil
	}
	t.Run("idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, dbtest.Open(t))
			in := h.signIn(fixture(0))
			h.quiet()
			time.Sleep(sessionIdle - time.Second)
			if !alive(h, in) {
				t.Fatal("gone before its time")
			}
			time.Sleep(sessionIdle - time.Second) // the look above was a use
			if !alive(h, in) {
				t.Fatal("use did not count")
			}
			time.Sleep(sessionIdle)
			if alive(h, in) {
				t.Fatal("idle and alive")
			}
		})
	})
	t.Run("absolute", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, dbtest.Open(t))
			in := h.signIn(fixture(0))
			h.quiet()
			for range 29 {
				time.Sleep(24 * time.Hour)
				if !alive(h, in) {
					t.Fatal("gone before its time")
				}
			}
			time.Sleep(24 * time.Hour)
			if alive(h, in) {
				t.Fatal("alive after 30 days")
			}
		})
	})
}

// A limit shorter than the hour after which use is otherwise noted.
func TestAShortIdleLimitDoesNotEndSessionsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		Lifetimes(30*time.Minute, 24*time.Hour)(h.users)
		in := h.signIn(fixture(0))
		h.quiet()
		before := h.db.Counters().Writes
		for range 60 {
			time.Sleep(2 * time.Minute)
			if _, _, err := h.users.SessionOf(with(in.Secret)); err != nil {
				t.Fatal(err)
			}
		}
		if n := h.db.Counters().Writes - before; n != 30 {
			t.Errorf("use was noted %d times in two hours, want every fourth minute", n)
		}
		time.Sleep(30 * time.Minute)
		if _, _, err := h.users.SessionOf(with(in.Secret)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("idle and alive: %v", err)
		}
	})
}

func TestUseIsNotedOnceAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		in := h.signIn(fixture(0))
		h.quiet()
		seen := map[time.Time]bool{}
		for range 180 {
			s, _, err := h.users.SessionOf(with(in.Secret))
			if err != nil {
				t.Fatal(err)
			}
			if time.Since(s.SeenAt) >= time.Hour {
				t.Errorf("seen %v ago", time.Since(s.SeenAt))
			}
			seen[s.SeenAt] = true
			time.Sleep(time.Minute)
		}
		if len(seen) != 3 {
			t.Errorf("use was noted %d times in three hours", len(seen)-1)
		}
	})
}

func TestPurgeDeletesOnlyExpiredSessions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in := h.signIn(fixture(0))
		h.signIn(fixture(1))
		if err := h.users.EndSession(t.Context(), in.Session.ID, "operator"); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			at   time.Time
			want int64
		}{
			{time.Now(), 0},
			{time.Now().Add(sessionLife + time.Hour), 0}, // grants still look at ended ones
			{time.Now().Add(sessionLife + 25*time.Hour), 2},
		} {
			if n, err := h.users.Purge(t.Context(), step.at); n != step.want || err != nil {
				t.Errorf("purged %d, want %d: %v", n, step.want, err)
			}
		}
	})
}

func TestPurgeWorksInBatches(t *testing.T) {
	d := dbtest.Open(t)
	h := newHouse(t, d)
	u := h.signIn(fixture(0)).User
	err := d.Tx(t.Context(), func(ctx context.Context) error {
		for range 1200 {
			if _, _, err := h.users.openSession(ctx, u.ID, Attempt{}, time.Now().Add(-60*24*time.Hour)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := h.users.Purge(t.Context(), time.Now()); n != 1200 || err != nil {
		t.Errorf("purged %d: %v", n, err)
	}
}

func TestUserAgentIsStoredSafely(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		for _, agent := range []string{"\xff\xfe", "a\x00b\r\nc", strings.Repeat("中", 200), ""} {
			in, err := h.users.SignInBySMS(t.Context(), proven(h.prove(fixture(0))), Attempt{Browser: true, UserAgent: agent})
			if err != nil {
				t.Fatalf("%q: %v", agent, err)
			}
			if s := in.Session.UserAgent; len(s) > 256 || strings.ContainsAny(s, "\x00\r\n") {
				t.Errorf("kept as %q", s)
			}
		}
	})
}
