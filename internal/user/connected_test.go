package user

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/web"
)

// office stands for the authorization server: what clients hold, in memory.
type office struct {
	mu    sync.Mutex
	held  map[string]Held // by person
	ended []string        // calls, in order
	fails error
}

func (o *office) Client(_ context.Context, id string) (*web.Client, error) {
	if id == "gone" {
		return nil, nil
	}
	return &web.Client{ID: id, Name: strings.ToUpper(id), LogoURI: "https://" + id + ".example/logo.png"}, nil
}

func (o *office) Held(_ context.Context, userID string) (Held, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held[userID], nil
}

func (o *office) Withdraw(_ context.Context, userID, clientID string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.held[userID].Consents {
		if c.ClientID == clientID {
			o.ended = append(o.ended, userID+" withdraws "+clientID)
			delete(o.held, userID)
			return true, nil
		}
	}
	return false, nil
}

func (o *office) EndSession(_ context.Context, userID, sessionID string) error {
	return o.note(userID + " ends " + sessionID)
}

func (o *office) Erasing(_ context.Context, userID string) error {
	return o.note(userID + " is erased")
}

func (o *office) EndOthers(_ context.Context, userID string, keep Kept) error {
	return o.note(userID + " keeps " + keep.Session)
}

func (o *office) note(what string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = append(o.ended, what)
	return o.fails
}

// connected is a house with an office.
func connected(t testing.TB, d *db.DB) (*house, *office) {
	h, o := newHouse(t, d), &office{held: map[string]Held{}}
	HeldBy(o)(h.users)
	return h, o
}

func TestConnectedAppsAreConsentsAndLiveGrants(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h, o := connected(t, d)
		day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
		o.held["u"] = Held{
			Consents: []Consent{{ClientID: "shop", Scopes: []string{"openid"}, GrantedAt: day(3), ChangedAt: day(9)}, {ClientID: "gone", Scopes: []string{"openid"}, GrantedAt: day(1)}},
			Grants: []Grant{
				{ClientID: "shop", Scopes: []string{"openid", "phone"}, CreatedAt: day(4), UsedAt: day(5), Live: true},
				{ClientID: "shop", Scopes: []string{"email"}, CreatedAt: day(2), UsedAt: day(7)}, // dead, but it was a use
				{ClientID: "tv", Scopes: []string{"openid"}, CreatedAt: day(6), UsedAt: day(8), Live: true},
				{ClientID: "left", CreatedAt: day(6), UsedAt: day(9)},
			},
		}
		got, err := h.users.Apps(t.Context(), "u")
		if err != nil {
			t.Fatal(err)
		}
		want := []web.ConnectedApp{
			{Client: web.Client{ID: "tv", Name: "TV", LogoURI: "https://tv.example/logo.png"}, Scopes: []string{"openid"}, Since: day(6), Used: day(8)},
			{Client: web.Client{ID: "shop", Name: "SHOP", LogoURI: "https://shop.example/logo.png"}, Scopes: []string{"openid", "phone"}, Since: day(3), Used: day(7), Consent: true},
			{Client: web.Client{ID: "gone"}, Scopes: []string{"openid"}, Since: day(1), Consent: true},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("apps (-want +got):\n%s", diff)
		}
		if err := h.users.Withdraw(t.Context(), "v", "shop"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("another person's app: %v", err)
		}
	})
}

func TestASessionIsSignedOutByItsOwnPersonAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h, o := connected(t, d)
		ctx := t.Context()
		a, b, other := h.signIn(fixture(0)), h.signIn(fixture(0)), h.signIn(fixture(1))
		for _, id := range []string{other.Session.ID, db.NewID(), "", "\x00"} {
			if err := h.users.SignOutSession(ctx, a.User.ID, id); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
		o.fails = errors.New("the grants could not be ended")
		if err := h.users.SignOutSession(ctx, a.User.ID, b.Session.ID); !errors.Is(err, o.fails) {
			t.Errorf("got %v", err)
		}
		if live, err := h.users.LiveSessions(ctx, a.User.ID); err != nil || len(live) != 2 {
			t.Fatalf("half of it was done: %d live, %v", len(live), err)
		}
		o.fails, o.ended = nil, nil
		var wait sync.WaitGroup
		for range 10 { // a button pressed again and again
			wait.Go(func() {
				if err := h.users.SignOutSession(context.Background(), a.User.ID, b.Session.ID); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		live, err := h.users.LiveSessions(ctx, a.User.ID)
		if err != nil || len(live) != 1 || live[0].ID != a.Session.ID {
			t.Errorf("live %v, %v", live, err)
		}
		if _, _, err := h.users.SessionOf(with(other.Secret)); err != nil {
			t.Errorf("the other person: %v", err)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'session.ended'`); n != 1 || o.ended[0] != a.User.ID+" ends "+b.Session.ID {
			t.Errorf("%d records, %v", n, o.ended)
		}
	})
}

func TestSigningOutEverywhereElseKeepsOne(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h, o := connected(t, d)
		ctx := t.Context()
		var all []SignedIn
		for range 5 {
			all = append(all, h.signIn(fixture(0)))
		}
		other := h.signIn(fixture(1))
		me := all[2]
		if err := h.users.SignOutOthers(ctx, me.User.ID, Kept{Session: me.Session.ID}); err != nil {
			t.Fatal(err)
		}
		for i, in := range all {
			if _, _, err := h.users.SessionOf(with(in.Secret)); (err == nil) != (i == 2) {
				t.Errorf("session %d: %v", i, err)
			}
		}
		if _, _, err := h.users.SessionOf(with(other.Secret)); err != nil {
			t.Errorf("the other person: %v", err)
		}
		if err := h.users.SignOutOthers(ctx, me.User.ID, Kept{Session: me.Session.ID}); err != nil {
			t.Fatal(err)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'session.ended' AND user_id = $1`, me.User.ID); n != 1 || len(o.ended) != 2 {
			t.Errorf("%d records, %v", n, o.ended)
		}
	})
}

func TestLiveSessionsAreThoseThatStillSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.quiet()
		idle := h.signIn(fixture(0))
		time.Sleep(6 * 24 * time.Hour)
		used := h.signIn(fixture(0))
		time.Sleep(24*time.Hour + time.Second)
		live, err := h.users.LiveSessions(t.Context(), idle.User.ID)
		if err != nil || len(live) != 1 || live[0].ID != used.Session.ID {
			t.Errorf("live %v, %v", live, err)
		}
	})
}

func TestActivityIsReadInParts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx, in := t.Context(), h.signIn(fixture(0))
		for i := range 30 {
			name, detail := fmt.Sprintf("test.%02d", i), map[string]string{"session": in.Session.ID}
			if i%3 == 0 { // goes with another event
				name, detail = "grant.revoked", map[string]string{"reason": "session_ended"}
			}
			if err := h.users.record(ctx, name, "user:"+in.User.ID, in.User.ID, detail); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Exec(ctx, `UPDATE audit SET at = $1 WHERE event = 'user.created'`, db.Micros(time.Now().Add(-activityAge-time.Minute))); err != nil {
			t.Fatal(err)
		}
		other := h.signIn(fixture(1))
		var got []string
		next, pages := "", 0
		for {
			events, after, err := h.users.Activity(ctx, in.User.ID, next, 7)
			if err != nil || len(events) > 7 {
				t.Fatalf("%d events, %v", len(events), err)
			}
			for _, e := range events {
				got = append(got, e.Name)
				if e.UserID != in.User.ID {
					t.Errorf("%s of another person", e.Name)
				}
			}
			pages++
			if next = after; next == "" {
				break
			}
			if theirs, _, err := h.users.Activity(ctx, other.User.ID, next, 7); err != nil || len(theirs) != 0 {
				t.Errorf("with somebody's place in the record another reads %v, %v", theirs, err)
			}
		}
		var want []string
		for i := 29; i >= 0; i-- {
			if i%3 != 0 {
				want = append(want, fmt.Sprintf("test.%02d", i))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
			t.Errorf("%d parts (-want +got):\n%s", pages, diff)
		}
		for _, bad := range []string{"x", "1", "1.", ".x", "x." + db.NewID(), "9" + strings.Repeat("0", 30) + "." + db.NewID(), "1.\x00" + db.NewID()[1:]} {
			if events, next, err := h.users.Activity(ctx, in.User.ID, bad, 7); err != nil || len(events) != 0 || next != "" {
				t.Errorf("%q: %v, %q, %v", bad, events, next, err)
			}
		}
		lines, err := h.users.activityLines(ctx, in.User.ID, []audit.Entry{{Event: audit.Event{
			Name: "login.succeeded", IP: "198.51.100.77", Actor: operator, ClientID: "app", Detail: map[string]string{"session": in.Session.ID},
		}}})
		if err != nil || lines[0].Place != "198.51.100.0/24" || !lines[0].Operator || lines[0].App != "app" {
			t.Errorf("%+v, %v", lines, err)
		}
	})
}

func TestACopyOfOnesDataOnceAMinute(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h, o := connected(t, d)
		ctx, in := t.Context(), h.signIn(fixture(0))
		o.held[in.User.ID] = Held{Consents: []Consent{{ClientID: "shop"}}, Grants: []Grant{{ClientID: "tv", Live: true}}}
		if _, err := h.users.SetPicture(ctx, in.User.ID, strings.NewReader(string(portrait(t)))); err != nil {
			t.Fatal(err)
		}
		var texts, refused atomic.Int32
		var text []byte
		var wait sync.WaitGroup
		for range 20 {
			wait.Go(func() {
				got, err := h.users.ExportOwn(context.Background(), in.User.ID)
				var f *fault.Error
				switch {
				case err == nil:
					texts.Add(1)
					text = got
				case errors.As(err, &f) && f.Code == "rate_limited" && f.RetryAfter > 0 && f.RetryAfter <= time.Minute:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if texts.Load() != 1 || refused.Load() != 19 {
			t.Fatalf("%d copies, %d refused", texts.Load(), refused.Load())
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, part := range []string{"identifiers", "agreements", "sessions", "events", "consents", "grants"} {
			list, _ := got[part].([]any)
			count[part] = len(list)
		}
		want := map[string]int{"identifiers": 1, "agreements": 1, "sessions": 1, "events": 2, "consents": 1, "grants": 1}
		if diff := cmp.Diff(want, count); diff != "" {
			t.Errorf("parts (-want +got):\n%s", diff)
		}
		for _, member := range []string{`"value": "` + fixture(0) + `"`, `"phone_number": "` + fixture(0) + `"`, `"type": "image/png"`, `"event": "user.created"`} {
			if !strings.Contains(string(text), member) {
				t.Errorf("no %s in %s", member, text)
			}
		}
		_, secret, _ := strings.Cut(in.Secret, ".")
		for _, no := range []string{secret, "hash", "secret", "salt", "sealed", "lookup"} {
			if strings.Contains(string(text), no) {
				t.Errorf("%q is in the copy: %s", no, text)
			}
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'user.exported' AND actor = $1`, "user:"+in.User.ID); n != 1 {
			t.Errorf("%d records", n)
		}
		if _, err := d.Exec(ctx, `UPDATE users SET exported_at = $1`, db.Micros(time.Now().Add(-exportEvery))); err != nil {
			t.Fatal(err)
		}
		if _, err := h.users.ExportOwn(ctx, in.User.ID); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		if _, err := h.users.ExportOwn(ctx, "nobody"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
	})
}
