package user

import (
	"context"
	"net/netip"
	"strings"
)

// Caller is what the server knows of whoever sent a request.
type Caller struct {
	Address   netip.Addr // of the person, behind trusted proxies; the zero Addr if unknown
	RequestID string
	ClientID  string // of the app that acts for the person, "" for their browser
}

type callerKey struct{}

// WithCaller returns a context that knows the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller, or the zero Caller if nobody named one.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// prefixOf is the part of an address that is kept with sessions and agreements:
// enough to recognise a place, too little to single out a household. "" if the
// address is unknown.
func prefixOf(a netip.Addr) string {
	a = a.Unmap()
	if !a.IsValid() {
		return ""
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// textOf is an address as the audit log has it, "" if unknown.
func textOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

// readablePrefix writes the part of an address that prefixOf keeps as people know
// addresses: "198.51.100.*".
func readablePrefix(prefix string) string {
	address, _, _ := strings.Cut(prefix, "/")
	switch {
	case address == "":
		return ""
	case strings.Contains(address, ":"):
		return strings.TrimRight(address, ":") + ":*"
	}
	return strings.TrimSuffix(address, "0") + "*"
}

// networkOf is what counts as one address: all of IPv4; of IPv6 a /64, which is one
// household.
func networkOf(a netip.Addr) []byte {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if network, err := a.Prefix(64); err == nil {
			a = network.Addr()
		}
	}
	return a.AsSlice()
}
