package client

import (
	"errors"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/fault"
)

func TestRedirectMatchesCharacterByCharacter(t *testing.T) {
	c := &Client{RedirectURIs: []string{"https://rp.example/cb", "https://rp.example/with?a=1"}}
	for _, raw := range c.RedirectURIs {
		u, err := c.Redirect(raw)
		if err != nil || u.String() != raw {
			t.Errorf("Redirect(%q) = %v, %v", raw, u, err)
		}
	}
	for _, raw := range []string{
		"", "https://rp.example/CB", "https://RP.example/cb", "HTTPS://rp.example/cb", "https://rp.example/cb/",
		"https://rp.example/cb/..", "https://rp.example/x/../cb", "https://rp.example/..;/cb", "https://rp.example/%2e%2e/cb",
		"https://rp.example/%63b", "https://rp.example/cb?x=1", "https://rp.example/cb?", "https://rp.example/cb#",
		"https://rp.example/cb#x", "https://rp.example@evil.example/cb", `https://rp.example\@evil.example/cb`,
		"//evil.example/cb", "https://rp.example.evil.example/cb", "https://rp.example:443/cb", "https://rp.example./cb",
		"https://rр.example/cb", "https://rp.example/cb\t", "https://rp.example/cb\n", " https://rp.example/cb",
		"http://rp.example/cb", "https://rp.example/with?a=1&b=2", "https://rp.example/with", "javascript:alert(1)",
	} {
		refused(t, c, raw)
	}
}

func TestRedirectLetsOnlyTheLoopbackPortDiffer(t *testing.T) {
	c := &Client{ApplicationType: "native", RedirectURIs: []string{"http://127.0.0.1/cb"}}
	for _, raw := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:8080/cb", "http://127.0.0.1:65535/cb"} {
		if u, err := c.Redirect(raw); err != nil || u.String() != raw {
			t.Errorf("Redirect(%q) = %v, %v", raw, u, err)
		}
	}
	for _, raw := range []string{
		"http://localhost:8080/cb", "http://127.0.0.2:8080/cb", "http://[::1]:8080/cb", "https://127.0.0.1:8080/cb",
		"http://user@127.0.0.1:8080/cb", "http://127.0.0.1:80@evil.example/cb", "http://127.0.0.1:8080/%63b", "http://127.0.0.1:8080/other",
		"http://127.0.0.1:8080/cb?x=1", "http://127.0.0.1:8080/cb#x", "http://127.0.0.1:8080", "http://127.0.0.1:8080/",
		"http://127.0.0.1:0/cb", "http://127.0.0.1:65536/cb", "http://127.0.0.1:080/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:+80/cb",
		"http://127.0.0.1.evil.example/cb", "http://127.0.0.1:8080.evil.example/cb", `http://127.0.0.1:8080\cb`, "http://127.1:8080/cb",
		"HTTP://127.0.0.1:8080/cb",
	} {
		refused(t, c, raw)
	}
}

func TestRedirectToLocalhostAndIPv6KeepsTheirPortsFree(t *testing.T) {
	c := &Client{TokenEndpointAuthMethod: AuthNone, RedirectURIs: []string{"http://localhost:8080/demo/callback", "http://[::1]/cb", "https://localhost/cb"}}
	for _, raw := range []string{"http://localhost:9000/demo/callback", "http://localhost/demo/callback", "http://[::1]:9/cb"} {
		if _, err := c.Redirect(raw); err != nil {
			t.Errorf("Redirect(%q): %v", raw, err)
		}
	}
	for _, raw := range []string{"http://127.0.0.1:9000/demo/callback", "https://localhost:8443/cb", "http://[::1]:9/demo/callback"} {
		refused(t, c, raw)
	}
}

// N-01: only what runs on the person's machine gets its port from there.
func TestThePortOfAWebApplicationIsExact(t *testing.T) {
	for name, c := range map[string]struct {
		client Client
		free   bool
	}{
		"web with a secret":    {Client{ApplicationType: "web", TokenEndpointAuthMethod: AuthClientSecretBasic}, false},
		"defaults":             {Client{}, false},
		"native with a secret": {Client{ApplicationType: "native", TokenEndpointAuthMethod: AuthClientSecretPost}, true},
		"web without a secret": {Client{ApplicationType: "web", TokenEndpointAuthMethod: AuthNone}, true},
	} {
		c.client.RedirectURIs = []string{"http://127.0.0.1:8080/cb"}
		full := c.client.withDefaults()
		if _, err := full.Redirect("http://127.0.0.1:8080/cb"); err != nil {
			t.Errorf("%s, as registered: %v", name, err)
		}
		if _, err := full.Redirect("http://127.0.0.1:9090/cb"); (err == nil) != c.free {
			t.Errorf("%s, another port: %v", name, err)
		}
	}
}

func TestRedirectMayBeLeftOutIfThereIsOnlyOne(t *testing.T) {
	one := &Client{RedirectURIs: []string{"https://rp.example/cb"}}
	if u, err := one.Redirect(""); err != nil || u.String() != "https://rp.example/cb" {
		t.Errorf("Redirect of the only one = %v, %v", u, err)
	}
	refused(t, &Client{}, "")
	refused(t, &Client{RedirectURIs: []string{"https://rp.example/a", "https://rp.example/b"}}, "")
}

func TestPostLogoutRedirectIsExact(t *testing.T) {
	c := &Client{PostLogoutRedirectURIs: []string{"http://localhost:8080/out", "https://rp.example/out"}}
	if u, err := c.PostLogoutRedirect("https://rp.example/out"); err != nil || u.String() != "https://rp.example/out" {
		t.Errorf("registered: %v, %v", u, err)
	}
	for _, raw := range []string{"", "http://localhost:9/out", "https://rp.example/out?x=1", "https://rp.example/"} {
		if _, err := c.PostLogoutRedirect(raw); !errors.Is(err, errRedirect) {
			t.Errorf("PostLogoutRedirect(%q): %v", raw, err)
		}
	}
}

func refused(t *testing.T, c *Client, raw string) {
	t.Helper()
	u, err := c.Redirect(raw)
	if fault.From(err) == nil || fault.From(err).Code != "invalid_request" || u != nil {
		t.Errorf("Redirect(%q) = %v, %v, want invalid_request", raw, u, err)
	}
}

// FuzzRedirect holds what the matcher is for: whatever comes, a match is the registered string
// itself, or it is after the port of an http loopback URI was taken out of both.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{
		"https://rp.example/cb", "http://127.0.0.1/cb", "http://127.0.0.1:8080/cb", "http://[::1]:1/cb?x", "http://localhost:80",
		"http://127.0.0.1:80:80/cb", "http://127.0.0.1:8080@evil.example/cb", "com.example.app:/cb", "http://127.0.0.1:9\\cb", "",
	} {
		f.Add(seed, seed)
		f.Add(seed, "http://127.0.0.1:8080/cb")
	}
	f.Fuzz(func(t *testing.T, registered, presented string) {
		c := &Client{ApplicationType: "native", RedirectURIs: []string{registered}}
		u, err := c.Redirect(presented)
		if err != nil || presented == "" || presented == registered {
			return
		}
		if withoutPort(t, registered) != withoutPort(t, presented) {
			t.Errorf("%q matched %q", presented, registered)
		}
		if h := u.Hostname(); h != "127.0.0.1" && h != "::1" && h != "localhost" || u.User != nil || u.Scheme != "http" {
			t.Errorf("%q matched %q and leads to %s", presented, registered, u.Host)
		}
	})
}

// withoutPort is written apart from the matcher on purpose.
func withoutPort(t *testing.T, raw string) string {
	for _, prefix := range []string{"http://127.0.0.1", "http://[::1]", "http://localhost"} {
		rest, ok := strings.CutPrefix(raw, prefix)
		if !ok || !strings.HasPrefix(rest, ":") {
			continue
		}
		return prefix + strings.TrimLeft(rest[1:], "0123456789")
	}
	return raw
}

func BenchmarkRedirect(b *testing.B) {
	c := &Client{ApplicationType: "native", RedirectURIs: []string{"https://rp.example/cb", "http://127.0.0.1/cb"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Redirect("http://127.0.0.1:8080/cb"); err != nil {
			b.Fatal(err)
		}
	}
}
