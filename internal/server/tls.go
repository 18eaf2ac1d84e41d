package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// tlsConfig offers TLS 1.2 with ECDHE and AES-GCM only, and 1.3 (FAPI 2.0
// Security Profile section 5.2.1, BCP 195).
func tlsConfig(c *certificate) *tls.Config {
	return &tls.Config{
		GetCertificate: c.get,
		MinVersion:     tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		NextProtos: []string{"h2", "http/1.1"},
	}
}

// lookEvery is how often a handshake looks whether the certificate was renewed.
const lookEvery = 10 * time.Second

// certificate is the server's, read again when its file changes: renewing one
// needs no restart.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time // of the certificate's file
	looked  time.Time
}

func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	return c, c.read()
}

func (c *certificate) read() error {
	if key, err := os.Stat(c.keyFile); err != nil {
		return fmt.Errorf("tls: %w", err)
	} else if key.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("tls: everybody may write %s: chmod 600 %s", c.keyFile, c.keyFile)
	} else if key.Mode().Perm()&0o004 != 0 {
		c.log.Warn("everybody may read the private key: chmod 600", "file", c.keyFile)
	}
	info, err := os.Stat(c.certFile)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	c.current, c.changed = &pair, info.ModTime()
	return nil
}

// get is called for each handshake. A renewal that cannot be read, because it is
// half written, leaves the old certificate in place until the next look.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if info, err := os.Stat(c.certFile); err == nil && !info.ModTime().Equal(c.changed) {
			if err := c.read(); err != nil {
				c.log.Warn("read the renewed certificate", "error", err)
			}
		}
	}
	return c.current, nil
}
