package sms

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"time"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// refusalFactor is how many times the threshold of a human check an address
// must reach to be refused: many people share one behind a carrier's NAT.
const refusalFactor = 5

// coarse are the limits that a request spends from before its number's own
// budget is looked at, the narrowest first. They may live in a cache that is
// lost: they only keep strangers from using others' budgets up. Re-sends name
// no new number.
func (s *Service) coarse(r Request, again bool) []ephemeral.Limit {
	c := &s.config
	address := base64.RawURLEncoding.EncodeToString(s.vault.Index("address", addressKey(r.Address)))
	limits := []ephemeral.Limit{
		{Key: "sms:address:hour:" + address, Max: refusalFactor * int64(c.PerAddressHour), Per: time.Hour},
		{Key: "sms:address:day:" + address, Max: refusalFactor * int64(c.PerAddressDay), Per: day},
		{Key: "sms:client:hour:" + r.ClientID, Max: int64(c.PerClientHour), Per: time.Hour},
		{Key: "sms:client:day:" + r.ClientID, Max: int64(c.PerClientDay), Per: day},
		{Key: "sms:service:second", Max: int64(c.PerServiceSecond), Per: time.Second},
		{Key: "sms:service:day", Max: int64(c.PerServiceDay), Per: day},
	}
	if !again {
		limits = append(limits, ephemeral.Limit{
			Key: "sms:address:numbers:" + address, Max: refusalFactor * int64(c.PerAddressNumbers), Per: 10 * time.Minute,
		})
	}
	return limits
}

// addressKey is what counts as one address: all of IPv4, a /64 of IPv6. What
// has no address shares one key.
func addressKey(a netip.Addr) []byte {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return a.AsSlice()
}

// spend takes from every coarse limit or from none; the returned function gives
// it back. Without a store to count in strangers are not served.
func (s *Service) spend(ctx context.Context, r Request, again bool) (refund func(), err error) {
	limits := s.coarse(r, again)
	d, err := s.ephemeral.Spend(ctx, limits)
	if err != nil {
		return nil, fault.Unavailable.Because(fmt.Errorf("spend send limits: %w", err)).After(5 * time.Second)
	}
	if !d.Allowed {
		return nil, ErrRateLimited.After(d.RetryAfter)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := s.ephemeral.Refund(ctx, limits, d); err != nil {
			s.log().WarnContext(ctx, "give send limits back", "error", err)
		}
	}, nil
}
