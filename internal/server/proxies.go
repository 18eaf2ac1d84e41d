package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// proxies are the networks whose X-Forwarded-For is believed.
type proxies []netip.Prefix

func parseProxies(list []string) (proxies, error) {
	var ps proxies
	for _, raw := range list {
		prefix, err := netip.ParsePrefix(raw)
		if err != nil {
			addr, addrErr := netip.ParseAddr(raw)
			if addrErr != nil {
				return nil, fmt.Errorf("trusted_proxies: %q is neither an address nor a network", raw)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		ps = append(ps, prefix.Masked())
	}
	return ps, nil
}

func (ps proxies) trust(a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientAddress is the right-most address that is not one of our proxies. Only
// X-Forwarded-For is read, and only from a trusted peer; every other header that
// claims an address is a client's invention. What follows a malformed entry is
// not believed either.
func (ps proxies) clientAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap()
	if len(ps) == 0 || !ps.trust(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			return addr
		}
		addr = hop
		if !ps.trust(addr) {
			return addr
		}
	}
	return addr
}

// parseHop reads an address as proxies write it: bare, in brackets, or with a port.
func parseHop(raw string) (netip.Addr, bool) {
	if hop, err := netip.ParseAddrPort(raw); err == nil {
		return hop.Addr().Unmap(), true
	}
	if inner, ok := strings.CutPrefix(raw, "["); ok {
		if raw, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
	}
	hop, err := netip.ParseAddr(raw)
	return hop.Unmap(), err == nil
}
