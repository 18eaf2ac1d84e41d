// Package outbound makes the HTTP client for addresses that a client's metadata
// names. Whoever registers a client must not make the server look around in its
// own network, so it connects to public addresses alone, but for what the operator
// allows, and to what a name stands for at that very moment: a name cannot change
// its mind between a check and the connection. It follows no redirect, uses no
// proxy and no plain http.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Timeout is for a whole exchange.
const Timeout = 5 * time.Second

// Config is the section outbound of the settings.
type Config struct {
	TrustedCAFile string   // PEM, trusted besides the system's; "" for none
	AllowHosts    []string // names that may be connected to whatever they stand for
	AllowNetworks []string // addresses and networks that may be, though they are not public
}

var (
	errNotPublic = errors.New("the address is not public; outbound.allow_hosts and outbound.allow_networks allow exceptions")
	errPlain     = errors.New("the address is not https")
)

// New reads the certificates and connects to nothing.
func New(c Config) (*http.Client, error) {
	allowed := make([]netip.Prefix, 0, len(c.AllowNetworks))
	for _, text := range c.AllowNetworks {
		p, err := netip.ParsePrefix(text)
		if a, single := netip.ParseAddr(text); single == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("outbound: allow_networks: %w", err)
		}
		allowed = append(allowed, p.Masked())
	}
	security := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TrustedCAFile != "" {
		var err error
		if security.RootCAs, err = roots(c.TrustedCAFile); err != nil {
			return nil, err
		}
	}
	free := &net.Dialer{Timeout: Timeout}
	guarded := &net.Dialer{Timeout: Timeout, Control: func(_, address string, _ syscall.RawConn) error {
		return check(address, allowed)
	}}
	return &http.Client{
		Timeout: Timeout,
		Transport: httpsOnly{&http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, _, err := net.SplitHostPort(address)
				if err == nil && slices.ContainsFunc(c.AllowHosts, func(name string) bool { return strings.EqualFold(name, host) }) {
					return free.DialContext(ctx, network, address)
				}
				return guarded.DialContext(ctx, network, address)
			},
			TLSClientConfig: security, TLSHandshakeTimeout: Timeout, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: 10 * time.Second, MaxResponseHeaderBytes: 16 << 10,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

type httpsOnly struct{ http.RoundTripper }

func (h httpsOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errPlain
	}
	return h.RoundTripper.RoundTrip(r)
}

func roots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("outbound: trusted_ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("outbound: trusted_ca_file has no certificate in PEM")
	}
	return pool, nil
}

// check looks at the address of a connection that is about to be made.
func check(address string, allowed []netip.Prefix) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return errNotPublic
	}
	a := to.Addr().Unmap().WithZone("")
	if isPublic(a) || slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return nil
	}
	return errNotPublic
}

// isPublic is false for everything that IANA's special-purpose registries keep
// from the Internet, and for addresses of IPv6 that embed one of IPv4.
func isPublic(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	return !slices.ContainsFunc(special(), func(p netip.Prefix) bool { return p.Contains(a) })
}

// special are those that the standard library does not tell (RFC 6890).
func special() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
		netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"),
		netip.MustParsePrefix("fec0::/10"),
	}
}
