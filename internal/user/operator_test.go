package user

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestOperatorCreatesFindsAndLists(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx := t.Context()
		var made []User
		for i := range 5 {
			u, err := h.users.Create(ctx, number(t, fixture(i)), map[string]any{"nickname": fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, u)
		}
		if _, err := h.users.Create(ctx, number(t, fixture(0)), nil); !errors.Is(err, db.ErrConflict) {
			t.Errorf("a taken number: got %v", err)
		}
		if got, err := h.users.Get(ctx, made[2].ID); err != nil || !cmp.Equal(got, made[2]) {
			t.Errorf("Get: %v\n%s", err, cmp.Diff(made[2], got))
		}
		if got, err := h.users.FindByNumber(ctx, number(t, fixture(3))); err != nil || !cmp.Equal(got, made[3]) {
			t.Errorf("FindByNumber: %v\n%s", err, cmp.Diff(made[3], got))
		}
		for _, err := range []error{
			second(h.users.Get(ctx, "nobody")), second(h.users.Get(ctx, "\xff")), second(h.users.FindByNumber(ctx, number(t, fixture(9)))),
			second(h.users.List(ctx, "nobody", 5)), second(h.users.Update(ctx, "nobody", nil)), second(h.users.Export(ctx, "nobody")),
			h.users.Disable(ctx, "nobody"), h.users.Enable(ctx, "nobody"), h.users.Delete(ctx, "nobody"),
			h.users.SetPhone(ctx, "nobody", number(t, fixture(9))), h.users.RevokeSession(ctx, "nothing"),
		} {
			if !errors.Is(err, db.ErrNotFound) {
				t.Errorf("unknown id: got %v", err)
			}
		}
		var listed []User
		for after := ""; ; {
			page, err := h.users.List(ctx, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			listed = append(listed, page...)
			after = page[len(page)-1].ID
		}
		if diff := cmp.Diff(ids(made), ids(listed)); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func ids(users []User) []string {
	var out []string
	for _, u := range users {
		out = append(out, u.ID)
	}
	return out
}

func TestParallelUpdatesLoseNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		claims := []string{"name", "given_name", "family_name", "middle_name", "nickname", "gender", "birthdate", "zoneinfo"}
		var wait sync.WaitGroup
		for _, name := range claims {
			wait.Go(func() {
				value := "1990"
				if _, err := h.users.Update(context.Background(), u.ID, map[string]any{name: value}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		got, err := h.users.Get(t.Context(), u.ID)
		if err != nil || len(got.Claims) != len(claims) || !got.UpdatedAt.After(u.UpdatedAt) {
			t.Errorf("claims %v, updated %v: %v", got.Claims, got.UpdatedAt, err)
		}
	})
}

func TestARefusedUpdateChangesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		if _, err := h.users.Update(t.Context(), u.ID, map[string]any{"name": "A", "role": "admin"}); err == nil {
			t.Fatal("an unknown claim was taken")
		}
		got, err := h.users.Get(t.Context(), u.ID)
		if err != nil || !cmp.Equal(got, u) {
			t.Errorf("%v (-want +got):\n%s", err, cmp.Diff(u, got))
		}
	})
}

func TestADeletedUserComesBackAsSomebodyElse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in := h.signIn(fixture(0))
		if err := h.users.Delete(t.Context(), in.User.ID); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"users", "identifiers", "sessions", "agreements"} {
			if n := h.rows("SELECT count(*) FROM " + table); n != 0 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
		if _, _, err := h.users.SessionOf(with(in.Secret)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("the session lives: %v", err)
		}
		if again := h.signIn(fixture(0)); !again.Created || again.User.ID == in.User.ID {
			t.Error("the old account came back")
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE user_id = $1`, h.users.pseudonym(in.User.ID)); n != 2 {
			t.Errorf("%d audit lines of the deleted user, want 2", n)
		}
	})
}

// The clock of the bubble stands still, so all of this is in one microsecond.
func TestSignInsAreBeforeOrAfterASignOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		after := func(id string) time.Time {
			var us int64
			if err := h.db.QueryRow(t.Context(), `SELECT grants_after FROM users WHERE id = $1`, id).Scan(&us); err != nil {
				t.Fatal(err)
			}
			return db.Time(us)
		}
		in := h.signIn(fixture(0))
		id := in.User.ID
		if !in.AuthTime.After(after(id)) || !in.AuthTime.Equal(in.Session.AuthTime) {
			t.Errorf("signed in at %v, session of %v", in.AuthTime, in.Session.AuthTime)
		}
		for name, act := range map[string]func() error{
			"disable": func() error {
				return errors.Join(h.users.Disable(t.Context(), id), h.users.Enable(t.Context(), id))
			},
			"set-phone": func() error { return h.users.SetPhone(t.Context(), id, in.User.Phone) },
		} {
			if err := act(); err != nil {
				t.Fatal(err)
			}
			if in.AuthTime.After(after(id)) {
				t.Errorf("%s: the sign-in before it counts", name)
			}
			in = h.signIn(fixture(0))
			if in.Created || !in.AuthTime.After(after(id)) || !in.AuthTime.Equal(in.Session.AuthTime) {
				t.Errorf("%s: the sign-in after it does not count", name)
			}
			if _, _, err := h.users.SessionOf(with(in.Secret)); err != nil {
				t.Errorf("%s: the session after it: %v", name, err)
			}
		}
		// A sign-in that another machine committed in between, and nobody ended.
		if _, err := h.db.Exec(t.Context(), `UPDATE users SET grants_after = $1`, db.Micros(in.AuthTime)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.users.SessionOf(with(in.Secret)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a session of before lives: %v", err)
		}
	})
}

func TestSetPhoneMovesTheAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in, other := h.signIn(fixture(0)), h.signIn(fixture(1))
		if err := h.users.SetPhone(t.Context(), in.User.ID, other.User.Phone); !errors.Is(err, db.ErrConflict) {
			t.Fatalf("a taken number: got %v", err)
		}
		if _, _, err := h.users.SessionOf(with(in.Secret)); err != nil {
			t.Fatalf("a refused change ended the session: %v", err)
		}
		if err := h.users.SetPhone(t.Context(), in.User.ID, number(t, fixture(2))); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.users.SessionOf(with(in.Secret)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("the session of the old number lives: %v", err)
		}
		u, err := h.users.Get(t.Context(), in.User.ID)
		if err != nil || u.Phone.E164() != fixture(2) || !u.PhoneVerifiedAt.IsZero() {
			t.Errorf("now %v, verified %v: %v", u.Phone, u.PhoneVerifiedAt, err)
		}
		if moved := h.signIn(fixture(2)); moved.Created || moved.User.ID != in.User.ID {
			t.Error("the new number does not lead to the account")
		}
		if old := h.signIn(fixture(0)); !old.Created {
			t.Error("the old number still leads to the account")
		}
	})
}

func TestOperatorListsAndRevokesSessions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		a, b := h.signIn(fixture(0)), h.signIn(fixture(0))
		h.signIn(fixture(1))
		if err := h.users.RevokeSession(t.Context(), a.Session.ID); err != nil {
			t.Fatal(err)
		}
		if err := h.users.RevokeSession(t.Context(), a.Session.ID); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a second time: %v", err)
		}
		sessions, err := h.users.ListSessions(t.Context(), a.User.ID)
		if err != nil || len(sessions) != 2 || sessions[0].ID != b.Session.ID || sessions[1].EndedAt.IsZero() || !sessions[0].EndedAt.IsZero() {
			t.Errorf("sessions %+v: %v", sessions, err)
		}
	})
}

func TestExportHoldsEverythingOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in := h.signIn(fixture(0))
		text, err := h.users.Export(t.Context(), in.User.ID)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Sub         string      `json:"sub"`
			PhoneNumber string      `json:"phone_number"`
			Verified    bool        `json:"phone_number_verified"`
			UpdatedAt   int64       `json:"updated_at"`
			Agreements  []Agreement `json:"agreements"`
			Sessions    []struct {
				Sid string `json:"sid"`
			} `json:"sessions"`
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got.Sub != in.User.ID || got.PhoneNumber != fixture(0) || !got.Verified || got.UpdatedAt == 0 ||
			len(got.Agreements) != 1 || got.Agreements[0].Version != termsOfTest || len(got.Sessions) != 1 || got.Sessions[0].Sid != in.Session.ID {
			t.Errorf("export %s", text)
		}
		if _, secret, _ := strings.Cut(in.Secret, "."); strings.Contains(string(text), secret) {
			t.Error("the export holds a secret")
		}
	})
}

func TestEveryVerbIsRecorded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx := t.Context()
		u, err := h.users.Create(ctx, number(t, fixture(0)), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			second(h.users.Get(ctx, u.ID)), second(h.users.Update(ctx, u.ID, map[string]any{"name": "A"})),
			h.users.Disable(ctx, u.ID), h.users.Enable(ctx, u.ID), h.users.SetPhone(ctx, u.ID, number(t, fixture(1))),
			second(h.users.Export(ctx, u.ID)), h.users.Delete(ctx, u.ID),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		lines, err := audit.New(d).List(ctx, h.users.pseudonym(u.ID), audit.Entry{}, 20)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range lines {
			got = append(got, l.Name)
			if l.Actor != "operator" {
				t.Errorf("%s by %s", l.Name, l.Actor)
			}
		}
		want := []string{"user.deleted", "user.exported", "user.phone_changed", "user.enabled", "user.disabled", "user.updated", "user.viewed", "user.created"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("audit (-want +got):\n%s", diff)
		}
		if _, err := h.users.List(ctx, "", 10); err != nil {
			t.Fatal(err)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'user.listed' AND actor = 'operator'`); n != 1 {
			t.Errorf("%d records of listing", n)
		}
	})
}

// A row that was copied to another account, or sealed by somebody else, must not
// pass for a number.
func TestFromRowOpensOnlyItsOwnersNumber(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in := h.signIn(fixture(0))
		sealed := h.users.seal(in.User.Phone.E164(), in.User.ID)
		u, err := h.users.FromRow(in.User.ID, `{"name":"A"}`, sealed, 5, in.User.UpdatedAt)
		if err != nil || u.Phone != in.User.Phone || u.PhoneVerifiedAt != db.Time(5) || u.Claims["name"] != "A" {
			t.Errorf("own row: %+v, %v", u, err)
		}
		if _, err := h.users.FromRow("another", "{}", sealed, 5, in.User.UpdatedAt); err == nil {
			t.Error("another account's number opened")
		}
		if u, err := h.users.FromRow(in.User.ID, "{}", nil, 0, in.User.UpdatedAt); err != nil || !u.Phone.IsZero() || u.Claims != nil {
			t.Errorf("without a number: %+v, %v", u, err)
		}
		for _, claims := range []string{`{"name":`, `[]`} {
			if _, err := h.users.FromRow(in.User.ID, claims, nil, 0, in.User.UpdatedAt); err == nil || strings.Contains(err.Error(), "name") {
				t.Errorf("broken claims %s: %v", claims, err)
			}
		}
	})
}

func TestUsersPrintNoNumber(t *testing.T) {
	u := User{ID: "an-id", Phone: number(t, fixture(0)), Claims: map[string]any{"name": "Zhang San"}}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "user", u, "phone", u.Phone)
	if strings.Contains(log.String(), "13800138000") || strings.Contains(log.String(), "Zhang") || !strings.Contains(log.String(), "an-id") {
		t.Error(log.String())
	}
	if text := fmt.Sprintf("%v %+v %#v", u, u, u); strings.Contains(text, "13800138000") {
		t.Error(text)
	}
}

func TestUserAndSessionMarshalUnderStandardNames(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	in := h.signIn(fixture(0))
	for value, names := range map[any][]string{
		&in.User:    {"sub", "phone_number", "phone_number_verified", "updated_at", "created_at", "status"},
		&in.Session: {"sid", "sub", "auth_time", "amr", "acr", "user_agent", "ip_prefix", "created_at", "seen_at", "expires_at"},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if _, ok := members[name]; !ok {
				t.Errorf("%s is missing in %s", name, text)
			}
			delete(members, name)
		}
		if len(members) != 0 {
			t.Errorf("unexpected members %v", members)
		}
	}
}
