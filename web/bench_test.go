package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// discard is a ResponseWriter that costs nothing, so that the benchmark
// measures the page.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func benchmarkRender(b *testing.B, p Page) {
	site, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/login?flow=Zk3mP0aQ", nil)
	r.Header.Set("Accept-Language", "en-GB,en;q=0.9,de;q=0.8")
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		site.Render(w, r, http.StatusOK, p)
	}
}

func BenchmarkLogin(b *testing.B) { benchmarkRender(b, samples()["login"]) }
func BenchmarkCode(b *testing.B)  { benchmarkRender(b, samples()["code"]) }
func BenchmarkError(b *testing.B) { benchmarkRender(b, samples()["error"]) }

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
