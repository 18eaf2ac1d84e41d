package sms

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

const (
	// refusalFactor is how many times the threshold of a human check an address
	// must reach to be refused: many people share one behind a carrier's NAT.
	refusalFactor = 5
	// networkFactor is how many addresses' worth a /48 of IPv6 may use: one
	// customer is often given that many.
	networkFactor = 4
	// blockSize is how many neighbouring numbers are looked at together.
	blockSize = 16
	// blockRoom is out of reach: the numbers of a block have their own windows.
	blockRoom = 128

	tenMinutes = 10 * time.Minute
)

// Levels of a human check, as ErrHumanCheckRequired names them.
const (
	levelCrowd     = 1 // many requests from one place, which may be many people
	levelSuspicion = 2 // what strangers ask for looks like pumping
	levelBreaker   = 3 // codes are asked for and not used, or the budget runs out
)

// quota is a coarse limit with what a refusal by it is called.
type quota struct {
	ephemeral.Limit
	scope, window string
	level         int // of the human check that Soft asks for
}

// asking is a request with what the limits need to know of it.
type asking struct {
	Request
	region string
	again  bool    // a re-send: it names no new number, and its challenge has passed what was asked for
	lookup []byte  // Number.Index
	prefix string  // Number.prefixIndex, printable
	trials []scope // see ruling
}

// stranger reports whether the limits against pumping are meant for the request:
// what recognised devices ask for has a reserve of its own.
func (a *asking) stranger() bool { return !a.KnownDevice }

// checkable reports whether a human check of that level may be asked for: an
// easier one that was passed does not stand for it.
func (a *asking) checkable(level int) bool { return !a.KnownDevice && a.Human < level && !a.again }

// quotas are the limits that a request spends from before its number's own
// budget is looked at, the narrowest first. They may live in a cache that is
// lost: they only keep strangers from using others' budgets up.
func (s *Service) quotas(a *asking) []quota {
	c := &s.config
	q := make([]quota, 0, 20)
	// add appends a limit; beyond soft, if that is not 0, a human check is due.
	add := func(scope, window, name string, per time.Duration, soft, most, level int) {
		l := ephemeral.Limit{Key: "sms:" + scope + ":" + window + ":" + name, Max: int64(most), Per: per}
		if soft != 0 && c.NoHumanCheck && a.stranger() {
			l.Max = int64(soft)
		} else if soft != 0 && a.checkable(level) {
			l.Soft = int64(soft)
		}
		q = append(q, quota{l, scope, window, level})
	}
	for _, from := range s.origins(a.Address) {
		if !a.again {
			n := c.PerAddressNumbers * from.factor
			add(from.scope, "10m", from.name, tenMinutes, n, n*refusalFactor, levelCrowd)
		}
		hour, day := c.PerAddressHour*from.factor, c.PerAddressDay*from.factor
		add(from.scope, "hour", from.name, time.Hour, hour, hour*refusalFactor, levelCrowd)
		add(from.scope, "day", from.name, 24*time.Hour, day, day*refusalFactor, levelCrowd)
	}
	if a.Device != "" {
		device := s.hidden("device", []byte(a.Device))
		if !a.again && a.stranger() {
			add("device_numbers", "day", device, day, min(c.PerDeviceNumbers, c.PerDeviceDay), c.PerDeviceDay, levelCrowd)
		}
		add("device", "day", device, day, 0, c.PerDeviceDay, 0)
	}
	if a.stranger() {
		if !a.again {
			for i, block := range s.blocks(a.Number) {
				add("block", strconv.Itoa(i), block, tenMinutes, c.Consecutive-1, blockRoom, levelSuspicion)
			}
			add("prefix", "10m", a.prefix, tenMinutes, min(c.PerPrefix10m, c.PerPrefixHour), c.PerPrefixHour, levelSuspicion)
		}
		add("prefix", "hour", a.prefix, time.Hour, 0, c.PerPrefixHour, 0)
		for _, sc := range a.trials {
			add("trial_"+sc.kind, "15m", sc.name, trialTime, 0, trialSends, 0)
		}
	}
	if code := callingCode(strings.TrimPrefix(a.Number.E164(), "+")); code != s.homeCode {
		add("dial_code", "day", code, day, 0, a.room(c.PerDialCodeDay), 0)
	}
	add("client", "hour", a.ClientID, time.Hour, 0, a.room(c.PerClientHour), 0)
	add("client", "day", a.ClientID, day, 0, a.room(c.PerClientDay), 0)
	add("service", "second", "", time.Second, 0, c.PerServiceSecond, 0)
	add("service", "day", "", day, int(share(int64(c.PerServiceDay), checkPercent)), a.room(c.PerServiceDay), levelBreaker)
	return q
}

// room is how far a request may go in what many people share: recognised
// devices have a tenth on top that strangers cannot use up.
func (a *asking) room(n int) int {
	if a.stranger() {
		return n
	}
	return n + int(share(int64(n), reservePercent))
}

// origin is a place that requests come from.
type origin struct {
	scope, name string
	factor      int // how many addresses' worth of limits it has
}

// origins are all of IPv4 or a /64 of IPv6, and for IPv6 the /48 around it. What
// has no address shares one origin.
func (s *Service) origins(a netip.Addr) []origin {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return []origin{{"address", s.hidden("address", a.AsSlice()), 1}}
	}
	return []origin{
		{"address", s.hidden("address", within(a, 64)), 1},
		{"network", s.hidden("network", within(a, 48)), networkFactor},
	}
}

// within is the network of that length around a.
func within(a netip.Addr, bits int) []byte {
	p, err := a.Prefix(bits)
	if err != nil {
		return a.AsSlice() // bits are constants
	}
	return p.Addr().AsSlice()
}

// blocks name the two blocks of neighbouring numbers that n is in: they overlap
// by half, so that no row of half a block lies across an edge of both.
func (s *Service) blocks(n Number) []string {
	digits, err := strconv.ParseUint(strings.TrimPrefix(n.E164(), "+"), 10, 64)
	if err != nil {
		return nil // no Number is like that
	}
	var names []string
	for _, shift := range []uint64{0, blockSize / 2} {
		first := (digits + shift) / blockSize
		names = append(names, s.hidden("number block", []byte(strconv.FormatUint(first, 10)+"+"+strconv.FormatUint(shift, 10))))
	}
	return names
}

// hidden is a name in the key of a limit that does not tell what it names.
func (s *Service) hidden(label string, name []byte) string {
	return base64.RawURLEncoding.EncodeToString(s.vault.Index(label, name)[:16])
}

// spend takes from every coarse limit or from none; the returned function gives
// it back. Without a store to count in strangers are not served.
func (s *Service) spend(ctx context.Context, a *asking) (refund func(), err error) {
	if err := s.refuseNumberByMemory(a); err != nil {
		return nil, err
	}
	verdict := s.refuseByVerdict(a)
	quotas := s.quotas(a)
	if no := harder(verdict, s.refuseByMemory(quotas), s.refuseByMoney(a)); no != nil {
		return nil, s.refuse(*no)
	}
	limits := make([]ephemeral.Limit, len(quotas))
	for i, q := range quotas {
		limits[i] = q.Limit
	}
	d, err := s.ephemeral.Spend(ctx, limits)
	if err != nil {
		return nil, fault.Unavailable.Because(fmt.Errorf("spend send limits: %w", err)).After(5 * time.Second)
	}
	if !d.Allowed {
		q := quotas[d.Refused]
		s.full.add(q.stop(d.Soft), time.Now(), d.RetryAfter, believe)
		return nil, s.refuse(denial{q.scope, q.window, q.levelOf(d.Soft), d.RetryAfter})
	}
	refund = func() { s.refund(ctx, quotas, limits, d) }
	if no := s.refuseByMessages(a); no != nil {
		refund()
		return nil, s.refuse(*no)
	}
	return refund, nil
}

func (s *Service) refund(ctx context.Context, quotas []quota, limits []ephemeral.Limit, d ephemeral.Decision) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := s.ephemeral.Refund(ctx, limits, d); err != nil {
		s.log().WarnContext(ctx, "give send limits back", "error", err)
	}
	for _, q := range quotas {
		s.full.remove(q.stop(false), q.stop(true))
	}
}

// refuseByMemory repeats the refusal of limits that were full moments ago.
func (s *Service) refuseByMemory(quotas []quota) (no *denial) {
	now := time.Now()
	for _, soft := range []bool{false, true} {
		for _, q := range quotas {
			if soft && q.Soft == 0 {
				continue
			}
			w := s.full.wait(q.stop(soft), now)
			level := q.levelOf(soft)
			if w > 0 && (no == nil || level > no.level || level == no.level && w > no.wait) {
				no = &denial{q.scope, q.window, level, w}
			}
		}
		if no != nil {
			return no
		}
	}
	return nil
}

// stop is what a spend came up against.
func (q *quota) stop(soft bool) stop {
	if soft {
		return stop{q.Key, q.Soft}
	}
	return stop{q.Key, q.Max}
}

// levelOf is the level of the human check that is due, 0 for none.
func (q *quota) levelOf(soft bool) int {
	if soft {
		return q.level
	}
	return 0
}
