package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/server"
)

// writeCertificate makes a certificate for 127.0.0.1 that lets the test recognise
// it by its serial number.
func writeCertificate(t *testing.T, dir string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"key.pem": {Type: "PRIVATE KEY", Bytes: private}, "cert.pem": {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	cert, _ := x509.ParseCertificate(der)
	pool.AddCert(cert)
	return pool
}

// Without --dev, over TLS of its own: a sign-in with cookies that only https may
// have, and a stop that announces itself before it closes the door.
func TestProductionOverTLS(t *testing.T) {
	dir := t.TempDir()
	pool := writeCertificate(t, dir, 1)
	s := &stack{sink: newSink(t), log: &safeBuffer{}}
	listen, operator := freeAddress(t), freeAddress(t)
	s.issuer = "https://" + listen
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, `
issuer: %s
listen: %q
operator_listen: %q
data_dir: %q
tls: {cert_file: %q, key_file: %q}
master_secrets: [%q]
sms:
  routes: {CN: [sink]}
  providers: {sink: {type: webhook, url: %q, secret: %s}}
clients:
  - {client_id: native, token_endpoint_auth_method: none, application_type: native, skip_agreement: true, first_party: true, redirect_uris: ["http://127.0.0.1/cb"]}
`, s.issuer, listen, operator, dir, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), masterSecret, s.sink.url, sinkSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Source{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	srv, err := server.New(ctx, c, server.Options{Version: "test", Log: slog.New(slog.NewTextHandler(s.log, nil)), Console: s.log})
	if err != nil {
		t.Fatal(err)
	}
	ready, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		err := srv.Serve(ctx, func(net.Addr) { close(ready) })
		stopped <- err
	}()
	<-ready

	a := newAgent(t, s)
	a.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	q := newRequest("native", "http://127.0.0.1:7001/cb")
	w := a.begin(q, newNumber())
	r := a.finish(w)
	a.codeOf(q, r)
	for _, cookie := range r.header.Values("Set-Cookie") {
		if !strings.HasPrefix(cookie, "__Host-") || !strings.Contains(cookie, "Secure") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
			t.Errorf("a cookie is not as strict as https allows: %.40s", cookie)
		}
	}
	if r.header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security")
	}
	if demo := a.get("/demo"); demo.status != http.StatusNotFound {
		t.Errorf("the demo is here without --dev: %d", demo.status)
	}

	cancel()
	announced := false
	for range 100 {
		res, err := http.Get("http://" + operator + "/readyz")
		if err != nil {
			break
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable {
			announced = true
			if page := a.get("/.well-known/jwks.json"); page.status != http.StatusOK {
				t.Errorf("while draining: %d", page.status)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !announced {
		t.Error("the replica closed without a word on /readyz")
	}
	if err := <-stopped; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := srv.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestMethodsAndOrigins(t *testing.T) {
	s := start(t, modes[0])
	a := newAgent(t, s)
	send := func(method, path string, header ...string) reply {
		req, err := http.NewRequest(method, s.issuer+path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		return a.do(req)
	}
	for path, allow := range map[string]string{"/login": "GET, HEAD, POST", "/login/cancel": "POST", "/account": "GET, HEAD"} {
		if r := send(http.MethodPut, path); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != allow {
			t.Errorf("PUT %s: %d, Allow %q", path, r.status, r.header.Get("Allow"))
		}
	}
	if r := send(http.MethodHead, "/legal/terms"); r.status != http.StatusOK || r.body != "" {
		t.Errorf("HEAD: %d", r.status)
	}
	// A browser that knows better says where the form came from; an old one says
	// nothing, and its flow decides.
	for name, c := range map[string]struct {
		header []string
		status int
	}{
		"another site":         {[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"another origin":       {[]string{"Origin", "https://evil.example"}, 403},
		"sandboxed, modern":    {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, 403},
		"no referrer, old":     {[]string{"Origin", "null"}, 410},
		"nothing":              {nil, 410},
		"our own page, modern": {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "null"}, 410},
	} {
		if r := send(http.MethodPost, "/login?"+url.Values{}.Encode(), c.header...); r.status != c.status {
			t.Errorf("%s: %d, want %d", name, r.status, c.status)
		}
	}
}
