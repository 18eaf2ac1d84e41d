package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// each runs f on a registry over every engine.
func each(t *testing.T, f func(t *testing.T, d *db.DB, r *client.Registry)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d *db.DB) { f(t, d, registry(t, d)) })
}

func registry(t testing.TB, d *db.DB) *client.Registry {
	t.Helper()
	v, err := signing.OpenVault(t.Context(), d, [][]byte{bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return client.NewRegistry(d, v, audit.New(d))
}

func shop() client.Client {
	return client.Client{ID: "shop", Name: "Shop", RedirectURIs: []string{"https://shop.example/cb"}}
}

// machine may use client credentials alone.
func machine(id string) client.Client {
	return client.Client{ID: id, GrantTypes: []string{client.GrantClientCredentials}}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, r *client.Registry, c client.Client, secret string) string {
	t.Helper()
	made, err := r.Create(t.Context(), c, secret, client.SourceOperator)
	ok(t, err)
	return made
}

func get(t testing.TB, r *client.Registry, id string) *client.Client {
	t.Helper()
	c, err := r.Get(t.Context(), id)
	ok(t, err)
	return c
}

// events are the names of all audit records, oldest first.
func events(t testing.TB, d *db.DB) []string {
	t.Helper()
	rows, err := d.Query(t.Context(), `SELECT event || ' ' || actor || ' ' || client_id FROM audit ORDER BY id`)
	ok(t, err)
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		ok(t, rows.Scan(&name))
		names = append(names, name)
	}
	ok(t, rows.Err())
	return names
}

func TestLifeOfAClient(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		secret := create(t, r, shop(), "")
		if len(secret) != 43 {
			t.Errorf("generated secret has %d characters", len(secret))
		}
		c := get(t, r, "shop")
		if c.Name != "Shop" || c.Public() || c.Source != client.SourceOperator || c.CreatedAt.IsZero() || !c.AllowsScope("phone") {
			t.Errorf("created %+v", c)
		}
		if strings.Contains(c.SecretHash, secret) {
			t.Error("the secret is stored in clear")
		}
		ok(t, r.CheckSecret(t.Context(), c, secret, nil))

		changed := *c
		changed.Name, changed.Scope = "Store", "openid"
		ok(t, r.Update(t.Context(), changed))
		if c = get(t, r, "shop"); c.Name != "Store" || c.AllowsScope("phone") {
			t.Errorf("updated %+v", c)
		}
		ok(t, r.CheckSecret(t.Context(), c, secret, nil))

		fresh, err := r.RotateSecret(t.Context(), "shop")
		ok(t, err)
		c = get(t, r, "shop")
		ok(t, r.CheckSecret(t.Context(), c, fresh, nil))
		if err := r.CheckSecret(t.Context(), c, secret, nil); !errors.Is(err, client.ErrAuthentication) {
			t.Errorf("the old secret: %v", err)
		}

		ok(t, r.Delete(t.Context(), "shop"))
		if _, err := r.Get(t.Context(), "shop"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("deleted client: %v", err)
		}
		want := []string{"client.created operator shop", "client.updated operator shop", "client.secret_rotated operator shop", "client.deleted operator shop"}
		if diff := cmp.Diff(want, events(t, d)); diff != "" {
			t.Errorf("audit (-want +got)\n%s", diff)
		}
	})
}

func TestGetReadsOnceAndForgets(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		create(t, r, shop(), "")
		before := d.Counters().Reads
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				for range 20 {
					if _, err := r.Get(context.Background(), "shop"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if reads := d.Counters().Reads - before; reads != 1 {
			t.Errorf("1000 Gets of one client cost %d reads, want 1", reads)
		}

		// Another server changes the client; its registry shares nothing with ours.
		changed := shop()
		changed.Name = "Elsewhere"
		ok(t, registry(t, d).Update(t.Context(), changed))
		if get(t, r, "shop").Name != "Shop" {
			t.Error("the cache was not used")
		}
		r.Forget()
		if get(t, r, "shop").Name != "Elsewhere" {
			t.Error("Forget did not forget")
		}
	})
}

func TestAMissIsNotRemembered(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		for _, id := range []string{"", "shop", "a\x00b", "\xff", strings.Repeat("a", 1000)} {
			if _, err := r.Get(t.Context(), id); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("Get(%q): %v", id, err)
			}
		}
		create(t, registry(t, d), shop(), "")
		get(t, r, "shop")
	})
}

func TestADisabledClientIsNotFound(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		create(t, r, shop(), "")
		get(t, r, "shop")
		c := shop()
		c.Disabled = true
		ok(t, r.Update(t.Context(), c))
		if _, err := r.Get(t.Context(), "shop"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("Get: %v", err)
		}
		read, err := r.Read(t.Context(), "shop")
		if err != nil || !read.Disabled {
			t.Errorf("Read: %+v, %v", read, err)
		}
	})
}

func TestChangesOfUnknownClientsAreNotFound(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		_, err := r.RotateSecret(t.Context(), "shop")
		for name, err := range map[string]error{"update": r.Update(t.Context(), shop()), "delete": r.Delete(t.Context(), "shop"), "rotate": err} {
			if !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := events(t, d); len(got) > 0 {
			t.Errorf("audit has %v", got)
		}
	})
}

func TestOneOfManyCreatesWins(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		var made, refused atomic.Int32
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				_, err := r.Create(context.Background(), shop(), "", client.SourceOperator)
				switch {
				case err == nil:
					made.Add(1)
				case errors.Is(err, client.ErrExists):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if made.Load() != 1 || refused.Load() != 19 {
			t.Errorf("%d made it, %d were refused", made.Load(), refused.Load())
		}
		if got := events(t, d); len(got) != 1 {
			t.Errorf("audit has %v", got)
		}
	})
}

func TestCreateRefusesWhatCannotWork(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		user := "0b9f9f3a-6a0e-4d3c-9b0a-3f6f8f2f1a11"
		_, err := d.Exec(t.Context(), `INSERT INTO users (id, status, claims, created_at, updated_at) VALUES ($1, 'active', '{}', 0, 0)`, user)
		ok(t, err)
		public := shop()
		public.TokenEndpointAuthMethod = client.AuthNone
		for name, try := range map[string]struct {
			c      client.Client
			secret string
		}{
			"client_id of a user":      {machine(user), ""},
			"secret of a public one":   {public, "a-secret"},
			"secret with a line break": {shop(), "a\nb"},
			"endless secret":           {shop(), strings.Repeat("a", 513)},
			"no client_id":             {machine(""), ""},
		} {
			if _, err := r.Create(t.Context(), try.c, try.secret, client.SourceOperator); err == nil {
				t.Errorf("%s was accepted", name)
			}
		}
		list, err := r.List(t.Context(), "", 10)
		if err != nil || len(list) != 0 {
			t.Errorf("there are %d clients, %v", len(list), err)
		}
	})
}

func TestListPagesByID(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		var want, got []string
		for i := range 7 {
			id := fmt.Sprintf("c%d", i)
			create(t, r, machine(id), "")
			want = append(want, id)
		}
		after := ""
		for {
			page, err := r.List(t.Context(), after, 3)
			ok(t, err)
			if len(page) == 0 {
				break
			}
			for _, c := range page {
				got = append(got, c.ID)
			}
			after = got[len(got)-1]
		}
		if !slices.Equal(want, got) {
			t.Errorf("pages give %v, want %v", got, want)
		}
	})
}

func TestDeleteTakesGrantsAndConsentsAlong(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		create(t, r, shop(), "")
		create(t, r, machine("other"), "")
		_, err := d.Exec(t.Context(), `INSERT INTO users (id, status, claims, created_at, updated_at) VALUES ('u', 'active', '{}', 0, 0)`)
		ok(t, err)
		for _, id := range []string{"shop", "other"} {
			_, err = d.Exec(t.Context(), `
				INSERT INTO grants (id, client_id, user_id, session_id, scope, audience, auth_time, amr, acr, salt, generation, rotated_at, created_at, expires_at)
				VALUES ($1, $2, 'u', '', '', '', 0, '', '', $3, 0, 5, 0, 0)`, "grant-"+id, id, []byte("salt"))
			ok(t, err)
			_, err = d.Exec(t.Context(), `INSERT INTO consents (user_id, client_id, scope, granted_at, changed_at) VALUES ('u', $1, '', 0, 0)`, id)
			ok(t, err)
		}
		ok(t, r.Delete(t.Context(), "shop"))
		for _, table := range []string{"grants", "consents"} {
			var left string
			ok(t, d.QueryRow(t.Context(), `SELECT client_id FROM `+table).Scan(&left))
			if left != "other" {
				t.Errorf("%s has a row of %s left", table, left)
			}
		}
		var seen int64
		ok(t, d.QueryRow(t.Context(), `SELECT seen_at FROM users`).Scan(&seen))
		if seen != 5 {
			t.Errorf("the last use of the account is %d", seen)
		}
	})
}

func TestStoredMetadataIsWhatWasGiven(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		no, age := false, 3600
		c := client.Client{
			ID: "full", Name: "商店", RedirectURIs: []string{"https://a.example/cb", "com.example.app:/cb"},
			GrantTypes:    []string{client.GrantAuthorizationCode, client.GrantSMSCode, client.GrantRefreshToken},
			ResponseTypes: []string{"code"}, TokenEndpointAuthMethod: client.AuthClientSecretPost, Scope: "openid phone orders",
			PostLogoutRedirectURIs: []string{"https://a.example/out"}, LogoURI: "https://a.example/logo", ClientURI: "https://a.example",
			PolicyURI: "https://a.example/p", TOSURI: "https://a.example/t", Contacts: []string{"a@a.example"}, ApplicationType: "native",
			IDTokenSignedResponseAlg: "ES256", DefaultMaxAge: &age, RequireAuthTime: true,
			FirstParty: true, RequirePKCE: &no, SkipAgreement: true, ResponseModes: []string{"query"},
		}
		create(t, r, c, "")
		got := *get(t, r, "full")
		ignored := cmpopts.IgnoreFields(client.Client{}, "SecretHash", "Source", "CreatedAt", "UpdatedAt")
		if diff := cmp.Diff(c, got, ignored, cmpopts.IgnoreUnexported(client.Client{})); diff != "" {
			t.Errorf("stored (-want +got)\n%s", diff)
		}
		if time.Since(got.CreatedAt) > time.Minute || !got.CreatedAt.Equal(got.UpdatedAt) {
			t.Errorf("created at %v, updated at %v", got.CreatedAt, got.UpdatedAt)
		}
	})
}
