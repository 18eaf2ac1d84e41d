package oauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// BenchmarkEndpoints measures what clients call all day, without a network:
// handler, client authentication, engine and store.
func BenchmarkEndpoints(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkEndpoints(b, dbtest.Open(b)) })
	if dbtest.HasPostgres(b) {
		b.Run("postgres", func(b *testing.B) { benchmarkEndpoints(b, dbtest.OpenPostgres(b)) })
	}
}

func benchmarkEndpoints(b *testing.B, d *db.DB) {
	w := newWorldOn(b, d)
	router := chi.NewRouter()
	w.server.API(router)
	call := func(b *testing.B, path, clientID string, form url.Values) {
		header := credentialsOf(clientID, form)
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		rec := httptest.NewRecorder()
		router.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			b.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	access := w.browser(b).tokens(webRequest()).text("access_token")
	for name, do := range map[string]func(b *testing.B){
		"client-credentials": func(b *testing.B) {
			call(b, pathToken, "machine", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}})
		},
		"introspection": func(b *testing.B) {
			call(b, pathIntrospect, "web", url.Values{"token": {access}})
		},
		"userinfo": func(b *testing.B) {
			call(b, pathUserinfo, "spa", url.Values{"access_token": {access}})
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				do(b)
			}
		})
	}
}
