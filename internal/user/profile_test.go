package user

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user/picture"
)

// portrait is an image that can be made a picture of.
func portrait(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPeopleSayWhoTheyAre(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx, u := t.Context(), h.signIn(fixture(0)).User
		if _, err := h.users.Update(ctx, u.ID, map[string]any{"email": "z@example.com", "name": "old"}); err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("👨‍👩‍👧‍👦", 25) + strings.Repeat("ق", 24) + "\u200f満"
		got, err := h.users.SaveProfile(ctx, u.ID, Profile{Nickname: " " + long + "\u202e ", FamilyName: "张", Locale: "zh-CN"})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"email": "z@example.com", "nickname": long, "family_name": "张", "locale": "zh-CN"}
		if diff := cmp.Diff(want, got.Claims); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
		stored, err := h.users.find(ctx, u.ID)
		if diff := cmp.Diff(got, stored); err != nil || diff != "" {
			t.Errorf("%v, stored (-returned +stored):\n%s", err, diff)
		}
		before := h.rows(`SELECT count(*) FROM audit WHERE event = 'user.updated' AND actor = $1`, "user:"+u.ID)
		again, err := h.users.SaveProfile(ctx, u.ID, ProfileOf(got))
		if err != nil || !again.UpdatedAt.Equal(got.UpdatedAt) || before != 1 ||
			h.rows(`SELECT count(*) FROM audit WHERE event = 'user.updated' AND actor = $1`, "user:"+u.ID) != 1 {
			t.Errorf("saving the same again: %v, %d records before", err, before)
		}
		for field, p := range map[string]Profile{
			"nickname": {Nickname: strings.Repeat("満", 51)}, "name": {Name: strings.Repeat("a", 101)}, "given_name": {GivenName: strings.Repeat("👨‍👩‍👧‍👦", 100) + strings.Repeat("👩🏽‍❤️‍💋‍👨🏽", 100)},
			"family_name": {FamilyName: "\u202e\u3164"}, "locale": {Locale: "no language"},
		} {
			var f *fault.Error
			if _, err := h.users.SaveProfile(ctx, u.ID, p); !errors.As(err, &f) || f.Status != 422 || f.Params["field"] != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		if _, err := h.users.SaveProfile(ctx, "nobody", Profile{}); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		if u, err := h.users.find(ctx, u.ID); err != nil || cmp.Diff(got, u) != "" {
			t.Errorf("a refused profile changed the account: %v", err)
		}
	})
}

// The operator changes one claim while the person saves others.
func TestAProfileAndAnOperatorLoseNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u := h.signIn(fixture(0)).User
		var wait sync.WaitGroup
		for i := range 20 {
			wait.Go(func() {
				var err error
				if i%2 == 0 {
					_, err = h.users.SaveProfile(context.Background(), u.ID, Profile{Nickname: "N", Locale: "en"})
				} else {
					_, err = h.users.Update(context.Background(), u.ID, map[string]any{"gender": "x", "email": "z@example.com"})
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		got, err := h.users.find(t.Context(), u.ID)
		want := map[string]any{"nickname": "N", "locale": "en", "gender": "x", "email": "z@example.com"}
		if diff := cmp.Diff(want, got.Claims); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func TestAPictureIsServedUntilItIsReplaced(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		ctx, u := t.Context(), h.signIn(fixture(0)).User
		set := func() string {
			t.Helper()
			got, err := h.users.SetPicture(ctx, u.ID, bytes.NewReader(portrait(t)))
			if err != nil {
				t.Fatal(err)
			}
			address, _ := got.Claims["picture"].(string)
			id, ok := strings.CutPrefix(address, issuer+pathPicture)
			if !ok || len(id) != 22 || h.users.picturePath(got) != pathPicture+id {
				t.Fatalf("the picture is at %q", address)
			}
			return id
		}
		missing := func(id string) bool {
			t.Helper()
			p, err := h.users.Picture(ctx, id)
			if err == nil && (p.Type != "image/png" || len(p.Data) == 0) {
				t.Errorf("%s of %d bytes", p.Type, len(p.Data))
			}
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				t.Fatal(err)
			}
			return err != nil
		}
		first := set()
		second := set()
		if !missing(first) || missing(second) || first == second {
			t.Error("the first picture stayed, or the second is not there")
		}
		for _, bad := range []string{"no picture", ""} {
			if _, err := h.users.SetPicture(ctx, u.ID, strings.NewReader(bad)); !errors.Is(err, picture.ErrUnreadable) || missing(second) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if err := h.users.Disable(ctx, u.ID); err != nil || !missing(second) {
			t.Errorf("a disabled person's picture is served: %v", err)
		}
		if err := h.users.Enable(ctx, u.ID); err != nil || missing(second) {
			t.Errorf("enabled again: %v", err)
		}
		for range 2 {
			if got, err := h.users.RemovePicture(ctx, u.ID); err != nil || got.Claims["picture"] != nil || !missing(second) {
				t.Errorf("removed: %v, %v", got.Claims, err)
			}
		}
		third := set()
		if err := h.users.Delete(ctx, u.ID); err != nil || !missing(third) || h.rows(`SELECT count(*) FROM pictures`) != 0 {
			t.Errorf("a deleted person's picture: %v", err)
		}
		if _, err := h.users.SetPicture(ctx, u.ID, bytes.NewReader(portrait(t))); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("nobody's picture: %v", err)
		}
		other := h.signIn(fixture(1)).User
		elsewhere, err := h.users.Update(ctx, other.ID, map[string]any{"picture": "https://pictures.example/account/picture/x"})
		if err != nil || h.users.picturePath(elsewhere) != "" {
			t.Errorf("another site's picture is ours: %v", err)
		}
	})
}

// The claim and the picture are of the same upload, whichever came last.
func TestPicturesSentAtOnceLeaveOne(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		u, data := h.signIn(fixture(0)).User, portrait(t)
		var wait sync.WaitGroup
		for range 10 {
			wait.Go(func() {
				if _, err := h.users.SetPicture(context.Background(), u.ID, bytes.NewReader(data)); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		got, err := h.users.find(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		id := strings.TrimPrefix(h.users.picturePath(got), pathPicture)
		if n := h.rows(`SELECT count(*) FROM pictures WHERE id = $1`, id); n != 1 || h.rows(`SELECT count(*) FROM pictures`) != 1 {
			t.Errorf("%d pictures of the claim's id", n)
		}
	})
}
