package user

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/web"
)

func benchEach(b *testing.B, f func(b *testing.B, d *db.DB)) {
	b.Run("sqlite", func(b *testing.B) { f(b, dbtest.Open(b)) })
	if dbtest.HasPostgres(b) {
		b.Run("postgres", func(b *testing.B) { f(b, dbtest.OpenPostgres(b)) })
	}
}

func BenchmarkSessionOf(b *testing.B) {
	benchEach(b, func(b *testing.B, d *db.DB) {
		h := newHouse(b, d)
		value := h.signIn(fixture(0)).Secret
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			r := with(value)
			for pb.Next() {
				if _, _, err := h.users.SessionOf(r); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkSignInBySMS is the transaction of a known user's sign-in in a browser;
// sending and checking the code are not in it.
func BenchmarkSignInBySMS(b *testing.B) {
	benchEach(b, func(b *testing.B, d *db.DB) {
		h := newHouse(b, d)
		for i := range 50 {
			h.signIn(fixture(i))
		}
		for b.Loop() {
			b.StopTimer()
			proofs := make([]sms.Proof, 50)
			for i := range proofs {
				proofs[i] = h.prove(fixture(i))
			}
			b.StartTimer()
			for _, p := range proofs {
				if _, err := h.users.SignInBySMS(context.Background(), proven(p), Attempt{AgreementVersion: termsOfTest, Browser: true}); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(50*b.N), "ns/sign-in")
	})
}

func BenchmarkFlow(b *testing.B) {
	fs := newFlows(b)
	f := Flow{
		ClientID: "shop", Client: &web.Client{ID: "shop", Name: "Shop", LogoURI: "https://rp.example/logo.png"},
		FormAction: "https://rp.example", CreatedAt: time.Now(), Request: make([]byte, 400), secret: make([]byte, flowSecret),
	}
	b.Run("start", func(b *testing.B) {
		r := httptest.NewRequest(http.MethodGet, "/login", nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fs.Start(httptest.NewRecorder(), r, f); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		started, cookies := startIn(b, fs, nil, f)
		r := carrying(http.MethodGet, started.ID, cookies)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fs.Of(r); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(cookies[0].Value)), "cookie-bytes")
	})
}

func BenchmarkFromRow(b *testing.B) {
	h := newHouse(b, dbtest.Open(b))
	u := h.signIn(fixture(0)).User
	sealed := h.users.seal(u.Phone.E164(), u.ID)
	for name, claims := range map[string]string{"no claims": "{}", "claims": `{"name":"Zhang San","locale":"zh-CN","email":"z@example.com"}`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.users.FromRow(u.ID, claims, sealed, 1, u.UpdatedAt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
