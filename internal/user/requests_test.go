package user

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// caller is the address that requests seem to come from.
type caller struct {
	mu   sync.Mutex
	addr netip.Addr
}

func (c *caller) set(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addr = a
}

func (c *caller) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		who := Caller{Address: c.addr, RequestID: "request-1"}
		c.mu.Unlock()
		next.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), who)))
	})
}

// browser keeps cookies and stops at redirects. It talks to the handler without
// a socket, so that it works under synctest, or to a server.
type browser struct {
	t    testing.TB
	c    *http.Client
	base string
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{t: h.t, base: issuer, c: &http.Client{
		Jar: jar, Transport: direct{h.handler},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// direct is a transport that calls the handler.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	d.handler.ServeHTTP(rec, in)
	res := rec.Result()
	res.Request = r
	return res, nil
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(r *http.Request) reply {
	b.t.Helper()
	res, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body)}
}

func (b *browser) get(path string) reply {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(path string, form url.Values, header ...string) reply {
	b.t.Helper()
	return b.postRaw(path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

func (b *browser) postRaw(path, body string, header ...string) reply {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return b.do(r)
}

// cookie returns the value of the cookie of that name, "" if there is none.
func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.base)
	for _, c := range b.c.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(name, value string) {
	u, _ := url.Parse(b.base)
	b.c.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: u.Scheme == "https"}})
}

// to is where a 303 leads.
func (r reply) to(t testing.TB) *url.URL {
	t.Helper()
	u, err := url.Parse(r.header.Get("Location"))
	if r.status != http.StatusSeeOther || err != nil {
		t.Fatalf("want a redirect, got %d to %q: %s", r.status, r.header.Get("Location"), r.body)
	}
	return u
}

// wants checks status and that the page is the one with this element id.
func (r reply) wants(t testing.TB, status int, id string) {
	t.Helper()
	if r.status != status || !strings.Contains(r.body, `id="`+id+`"`) {
		t.Fatalf("want %d with #%s, got %d: %s", status, id, r.status, r.body)
	}
}

// fault checks the error page.
func (r reply) fault(t testing.TB, status int, code string) {
	t.Helper()
	r.wants(t, status, "page-error")
	if !strings.Contains(r.body, code) {
		t.Fatalf("want %s: %s", code, r.body)
	}
}
