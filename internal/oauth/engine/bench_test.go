package engine_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
)

// quick is a world whose database answers before its commits are on the disk, so that the
// benchmarks show the engine and not the disk.
func quick(b *testing.B) *world {
	b.Helper()
	d, err := db.Open(context.Background(), dbtest.SQLiteURL(b), db.Relaxed)
	ok(b, err)
	b.Cleanup(func() { ok(b, d.Close()) })
	return newWorld(b, d)
}

func BenchmarkClientCredentials(b *testing.B) {
	w := quick(b)
	r := engine.TokenRequest{Client: w.client("m2m"), Form: url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.engine.Token(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCode(b *testing.B) {
	w := quick(b)
	a := w.authorization("ES256")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.engine.Code(context.Background(), a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCodeExchange(b *testing.B) {
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		b.Run(alg, func(b *testing.B) {
			w := quick(b)
			a := w.authorization(alg)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				code := w.code(a)
				b.StartTimer()
				if _, err := w.redeem(alg, code); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRefresh(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256"} {
		b.Run(alg, func(b *testing.B) {
			w := quick(b)
			token := w.signIn(alg).RefreshToken
			b.ReportAllocs()
			for b.Loop() {
				r, err := w.refresh(alg, token)
				if err != nil {
					b.Fatal(err)
				}
				token = r.RefreshToken
			}
		})
	}
}

// BenchmarkRefreshSQL is the part of a refresh that is the database's.
func BenchmarkRefreshSQL(b *testing.B) {
	w := quick(b)
	g := w.grantOf(w.signIn("ES256"))
	b.ReportAllocs()
	for b.Loop() {
		l, err := w.grants.Find(context.Background(), g.ID)
		ok(b, err)
		if moved, err := w.grants.Rotate(context.Background(), g.ID, g.ClientID, l.Generation, l.RotatedAt, l.ExpiresAt); !moved || err != nil {
			b.Fatal(moved, err)
		}
	}
}

func BenchmarkAccessTokenVerify(b *testing.B) {
	w := quick(b)
	token := w.signIn("ES256").AccessToken
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.engine.AccessToken(token); err != nil {
			b.Fatal(err)
		}
	}
}
