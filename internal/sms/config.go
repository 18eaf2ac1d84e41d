package sms

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config is what an operator may set. Zero means the default, and nothing can
// be switched off. Bounds are those of the security policy; New names the field
// that breaks one.
type Config struct {
	Regions     []string          // allowed, ISO 3166; national spellings belong to the first
	TestNumbers map[string]string // E.164 to code: nothing is sent, no limit but MaxTries
	Routes      map[string]Route  // by region, "*" for the rest

	CodeTTL    time.Duration // life of a code from each send; 5 min
	CodeMaxTTL time.Duration // and from the first; 10 min
	Cooldown   time.Duration // between two messages to one number; 60 s
	MaxTries   int           // wrong codes that end a challenge; 5

	// Messages to one number.
	PerHour      int // 5
	PerDay       int // 10 in 24 h
	KnownReserve int // of PerDay, for recognised devices alone; 4 of 10

	// Wrong codes for one number, over all its challenges.
	FailuresPerHour int // 10
	FailuresPerDay  int // 30 in 24 h
	FailuresTotal   int // in a row, then sign-in by SMS stops; 100

	// Requests for a message before the number's own budget is looked at. An
	// address is one of IPv4 or a /64 of IPv6. Beyond its three thresholds a
	// human check is due, at five times of them it is refused.
	PerAddressNumbers int // in 10 min, re-sends apart; 5
	PerAddressHour    int // 20
	PerAddressDay     int // 100
	PerClientHour     int // 600
	PerClientDay      int // 5,000
	PerServiceSecond  int // 20
	PerServiceDay     int // 10,000

	InFlight int // messages that wait for a provider at once, the next is refused; 256

	Observer Observer     // nil for none
	Log      *slog.Logger // nil for slog.Default()
}

func (c *Config) setDefaults() {
	c.CodeTTL = cmp.Or(c.CodeTTL, 5*time.Minute)
	c.CodeMaxTTL = cmp.Or(c.CodeMaxTTL, max(10*time.Minute, c.CodeTTL))
	c.Cooldown = cmp.Or(c.Cooldown, time.Minute)
	c.MaxTries = cmp.Or(c.MaxTries, 5)
	c.PerHour = cmp.Or(c.PerHour, 5)
	c.PerDay = cmp.Or(c.PerDay, 10)
	c.KnownReserve = cmp.Or(c.KnownReserve, c.PerDay*4/10)
	c.FailuresPerHour = cmp.Or(c.FailuresPerHour, 10)
	c.FailuresPerDay = cmp.Or(c.FailuresPerDay, 30)
	c.FailuresTotal = cmp.Or(c.FailuresTotal, 100)
	c.PerAddressNumbers = cmp.Or(c.PerAddressNumbers, 5)
	c.PerAddressHour = cmp.Or(c.PerAddressHour, 20)
	c.PerAddressDay = cmp.Or(c.PerAddressDay, 100)
	c.PerClientHour = cmp.Or(c.PerClientHour, 600)
	c.PerClientDay = cmp.Or(c.PerClientDay, 5000)
	c.PerServiceSecond = cmp.Or(c.PerServiceSecond, 20)
	c.PerServiceDay = cmp.Or(c.PerServiceDay, 10_000)
	c.InFlight = cmp.Or(c.InFlight, 256)
	if c.Observer == nil {
		c.Observer = nobody{}
	}
}

// check holds what a wrong setting would break for good.
func (c *Config) check() error {
	for name, n := range map[string]int{
		"per_hour": c.PerHour, "per_day": c.PerDay, "known_reserve": c.KnownReserve + 1,
		"failures_per_hour": c.FailuresPerHour, "failures_per_day": c.FailuresPerDay, "failures_total": c.FailuresTotal,
		"per_address_numbers": c.PerAddressNumbers, "per_address_hour": c.PerAddressHour, "per_address_day": c.PerAddressDay,
		"per_client_hour": c.PerClientHour, "per_client_day": c.PerClientDay,
		"service_per_second": c.PerServiceSecond, "service_per_day": c.PerServiceDay, "in_flight": c.InFlight,
	} {
		if n < 1 {
			return fmt.Errorf("sms: %s must be positive", name)
		}
	}
	for _, r := range c.Routes {
		if err := r.check(); err != nil {
			return err
		}
	}
	const longest = 10 * time.Minute // SP 800-63B-4 section 3.1.3.2
	switch {
	case c.CodeTTL < 0 || c.CodeTTL > longest:
		return errors.New("sms: a code's life must be between 0 and 10 minutes")
	case c.CodeMaxTTL < c.CodeTTL || c.CodeMaxTTL > longest:
		return errors.New("sms: a code's life over re-sends must be between its life and 10 minutes")
	case c.Cooldown < 0:
		return errors.New("sms: the cooldown must not be negative")
	case c.MaxTries < 3 || c.MaxTries > 10:
		return errors.New("sms: the tries of a challenge must be between 3 and 10")
	case c.PerDay > 40:
		return errors.New("sms: no more than 40 messages a day to one number")
	case c.KnownReserve >= c.PerDay:
		return errors.New("sms: the reserve of recognised devices must leave something to others")
	case c.FailuresTotal > 100: // SP 800-63B-4 section 3.2.2
		return errors.New("sms: no more than 100 wrong codes in a row")
	}
	return nil
}
