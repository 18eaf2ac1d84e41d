package client_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/signing"
)

func TestCheckSecret(t *testing.T) {
	r := registry(t, dbtest.Open(t))
	strong, weak := strings.Repeat("s", 32), "short-secret"
	create(t, r, machine("strong"), strong)
	create(t, r, machine("weak"), weak)
	public := shop()
	public.TokenEndpointAuthMethod = client.AuthNone
	create(t, r, public, "")

	for _, test := range []struct {
		id, secret string
		right      bool
	}{
		{"strong", strong, true}, {"strong", strong + "s", false}, {"strong", strong[1:], false}, {"strong", "", false}, {"strong", weak, false},
		{"weak", weak, true}, {"weak", weak, true}, {"weak", "Short-secret", false}, {"weak", "", false}, {"weak", strings.Repeat("x", 1<<20), false},
		{"shop", "", false}, {"shop", strong, false},
	} {
		err := r.CheckSecret(t.Context(), get(t, r, test.id), test.secret, nil)
		if test.right && err != nil || !test.right && !errors.Is(err, client.ErrAuthentication) {
			t.Errorf("%s with %d characters, right=%v: %v", test.id, len(test.secret), test.right, err)
		}
	}
	if err := r.CheckSecret(t.Context(), nil, strong, nil); !errors.Is(err, client.ErrAuthentication) {
		t.Errorf("unknown client: %v", err)
	}
	if h := get(t, r, "weak").SecretHash; !strings.HasPrefix(h, "$argon2id$") {
		t.Errorf("a weak secret is stored as %.10s...", h)
	}
	if h := get(t, r, "strong").SecretHash; !strings.HasPrefix(h, "hmac:") {
		t.Errorf("a strong secret is stored as %.10s...", h)
	}
}

func TestAHashIsWorthNothingInAnotherRow(t *testing.T) {
	d := dbtest.Open(t)
	r := registry(t, d)
	secret := create(t, r, machine("mine"), "")
	create(t, r, machine("theirs"), "")
	_, err := d.Exec(t.Context(), `UPDATE clients SET secret_hash = $1 WHERE client_id = 'theirs'`, get(t, r, "mine").SecretHash)
	ok(t, err)
	r.Forget()
	if err := r.CheckSecret(t.Context(), get(t, r, "theirs"), secret, nil); !errors.Is(err, client.ErrAuthentication) {
		t.Errorf("a copied hash: %v", err)
	}
}

func TestSecretsOutliveARotationOfTheMasterSecret(t *testing.T) {
	d := dbtest.Open(t)
	old, fresh := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	secret := create(t, registry(t, d), machine("m"), "")
	for _, masters := range [][][]byte{{fresh, old}, {fresh}} {
		v, err := signing.OpenVault(t.Context(), d, masters)
		ok(t, err)
		r := client.NewRegistry(d, v, audit.New(d))
		ok(t, r.CheckSecret(t.Context(), get(t, r, "m"), secret, nil))
	}
}

// A weak secret that was right is answered from memory for ten minutes: fifty thousand checks
// by argon2id would take a quarter of an hour. A new secret is not, and neither is a wrong one.
func TestAWeakSecretIsRememberedForAWhile(t *testing.T) {
	r := registry(t, dbtest.Open(t))
	create(t, r, machine("weak"), "short-secret")
	weak := get(t, r, "weak")
	ok(t, r.CheckSecret(t.Context(), weak, "short-secret", nil))
	var group sync.WaitGroup
	start := time.Now()
	for range 50 {
		group.Go(func() {
			for range 1000 {
				if err := r.CheckSecret(context.Background(), weak, "short-secret", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("50,000 checks took %v", took)
	}
	if _, err := r.RotateSecret(t.Context(), "weak"); err != nil {
		t.Fatal(err)
	}
	if err := r.CheckSecret(t.Context(), get(t, r, "weak"), "short-secret", nil); !errors.Is(err, client.ErrAuthentication) {
		t.Errorf("the old secret after a rotation: %v", err)
	}
}

func TestSyncWritesOnlyWhatChanged(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		sync := func(static ...client.Static) (commits int64) {
			t.Helper()
			before := d.Counters().Commits
			ok(t, r.Sync(t.Context(), static))
			return d.Counters().Commits - before
		}
		strong := client.Static{Client: shop(), Secret: strings.Repeat("s", 40)}
		weak := client.Static{Client: machine("weak"), Secret: "short-secret"}
		public := client.Static{Client: client.Client{ID: "app", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"http://127.0.0.1/cb"}}}

		if n := sync(strong, weak, public); n != 1 {
			t.Errorf("the first start committed %d times", n)
		}
		if n := sync(strong, weak, public); n != 0 {
			t.Errorf("a start without changes committed %d times", n)
		}
		ok(t, r.CheckSecret(t.Context(), get(t, r, "shop"), strong.Secret, nil))

		strong.Secret, weak.Secret, public.Name = strings.Repeat("S", 40), "other-secret", "App"
		if n := sync(strong, weak, public); n != 1 {
			t.Errorf("a start with changes committed %d times", n)
		}
		ok(t, r.CheckSecret(t.Context(), get(t, r, "shop"), strong.Secret, nil))
		ok(t, r.CheckSecret(t.Context(), get(t, r, "weak"), weak.Secret, nil))
		if get(t, r, "app").Name != "App" {
			t.Error("changed metadata was not written")
		}

		if sync(weak, public); true {
			if _, err := r.Get(t.Context(), "shop"); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("a client that left the configuration: %v", err)
			}
		}
		if n := sync(weak, public); n != 0 {
			t.Errorf("a client that stays away was written again, %d commits", n)
		}
		sync(strong, weak, public)
		ok(t, r.CheckSecret(t.Context(), get(t, r, "shop"), strong.Secret, nil))

		want := 3 + 3 + 1 + 1 // created, changed, left, returned
		if got := events(t, d); len(got) != want {
			t.Errorf("audit has %d records, want %d: %v", len(got), want, got)
		}
	})
}

func TestSyncIsTheTruthOfItsClients(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		create(t, r, shop(), "")
		create(t, r, machine("operators"), "")
		static := client.Static{Client: shop(), Secret: strings.Repeat("s", 40)}
		static.Name = "Configured"
		ok(t, r.Sync(t.Context(), []client.Static{static}))
		if c := get(t, r, "shop"); c.Name != "Configured" || c.Source != client.SourceStatic {
			t.Errorf("taken over: %+v", c)
		}
		get(t, r, "operators")

		public := static
		public.TokenEndpointAuthMethod, public.Secret = client.AuthNone, ""
		ok(t, r.Sync(t.Context(), []client.Static{public}))
		if c := get(t, r, "shop"); c.SecretHash != "" {
			t.Error("a client that became public kept its secret")
		}
	})
}

func TestSyncNamesTheEntry(t *testing.T) {
	r := registry(t, dbtest.Open(t))
	good := client.Static{Client: machine("good"), Secret: strings.Repeat("s", 40)}
	bad := client.Static{Client: client.Client{ID: "bad", RedirectURIs: []string{"http://bad.example/"}}, Secret: "s"}
	for want, static := range map[string][]client.Static{
		"clients[1] (bad): invalid_redirect_uri: redirect_uris[0] must use https":                          {good, bad},
		"clients[0] (bare): invalid_client_metadata: client_secret must be present":                        {{Client: machine("bare")}},
		"clients[1] (good): client_id is there twice":                                                      {good, good},
		"clients[0] (app): invalid_client_metadata: client_secret must be absent if token_endpoint_auth_m": {{Client: client.Client{ID: "app", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"https://a.example/"}}, Secret: "s"}},
	} {
		if err := r.Sync(t.Context(), static); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s...", err, want)
		}
	}
	if list, err := r.List(t.Context(), "", 10); err != nil || len(list) > 0 {
		t.Errorf("a refused configuration left %d clients, %v", len(list), err)
	}
}

func TestServersThatStartAtOnceAgree(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, r *client.Registry) {
		static := []client.Static{{Client: shop(), Secret: strings.Repeat("s", 40)}, {Client: machine("weak"), Secret: "short-secret"}}
		var group sync.WaitGroup
		for range 8 {
			other := registry(t, d)
			group.Go(func() {
				if err := other.Sync(context.Background(), static); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		r.Forget()
		for _, s := range static {
			ok(t, r.CheckSecret(t.Context(), get(t, r, s.ID), s.Secret, nil))
		}
	})
}

func BenchmarkCheckSecret(b *testing.B) {
	r := registry(b, dbtest.Open(b))
	strong, weak := create(b, r, machine("strong"), ""), "short-secret"
	create(b, r, machine("weak"), weak)
	for name, secret := range map[string]string{"strong": strong, "weak": weak} {
		c := get(b, r, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := r.CheckSecret(b.Context(), c, secret, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	r := registry(b, dbtest.Open(b))
	create(b, r, machine("m"), "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Get(b.Context(), "m"); err != nil {
			b.Fatal(err)
		}
	}
}
