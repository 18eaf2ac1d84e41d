package outbound

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyPublicAddressesAreConnectedTo(t *testing.T) {
	allowed := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for address, want := range map[string]bool{
		"1.1.1.1:443": true, "8.8.8.8:443": true, "[2606:4700::1]:443": true, "[::ffff:8.8.8.8]:443": true, "10.1.2.3:443": true, "[::ffff:10.1.2.3]:443": true,
		"127.0.0.1:443": false, "127.1.2.3:443": false, "0.0.0.0:443": false, "0.1.2.3:443": false, "10.0.0.1:443": false, "172.16.0.1:443": false,
		"192.168.0.1:443": false, "169.254.169.254:80": false, "100.64.0.1:443": false, "198.18.0.1:443": false, "224.0.0.1:443": false, "255.255.255.255:443": false,
		"[::1]:443": false, "[::]:443": false, "[fe80::1%eth0]:443": false, "[fc00::1]:443": false, "[::ffff:127.0.0.1]:443": false, "[64:ff9b::7f00:1]:443": false,
		"[2002:7f00:1::]:443": false, "[::7f00:1]:443": false, "[ff02::1]:443": false, "x": false,
	} {
		if got := check(address, allowed) == nil; got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestExceptionsRedirectsAndPlainHTTP(t *testing.T) {
	reached := 0
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached++
		http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusFound)
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config Config
		ok     bool
	}{
		"no exception": {Config{TrustedCAFile: file}, false},
		"network":      {Config{TrustedCAFile: file, AllowNetworks: []string{"127.0.0.0/8"}}, true},
		"address":      {Config{TrustedCAFile: file, AllowNetworks: []string{"127.0.0.1"}}, true},
		"host":         {Config{TrustedCAFile: file, AllowHosts: []string{"127.0.0.1"}}, true},
		"no CA":        {Config{AllowHosts: []string{"127.0.0.1"}}, false},
	} {
		client, err := New(c.config)
		if err != nil {
			t.Fatal(err)
		}
		before := reached
		res, err := client.Get(srv.URL)
		if (err == nil) != c.ok || (reached > before) != c.ok {
			t.Errorf("%s: %v, reached %d times", name, err, reached-before)
		}
		if err == nil {
			if res.StatusCode != http.StatusFound {
				t.Errorf("%s: followed to %d", name, res.StatusCode)
			}
			_ = res.Body.Close()
		}
		if _, err := client.Get(strings.Replace(srv.URL, "https", "http", 1)); err == nil {
			t.Errorf("%s: plain http", name)
		}
	}
	if _, err := New(Config{TrustedCAFile: os.DevNull}); err == nil {
		t.Error("an empty file of certificates")
	}
	if _, err := New(Config{AllowNetworks: []string{"x"}}); err == nil {
		t.Error("a network that is none")
	}
}
