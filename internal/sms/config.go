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
	PerHour      int // and one on top for recognised devices where strangers used them up; 5
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
	PerDeviceNumbers  int // a day, re-sends apart, then a human check; 3
	PerDeviceDay      int // 10
	PerDialCodeDay    int // of a calling code that is not the first region's; 50
	PerClientHour     int // and a tenth on top for recognised devices; 600
	PerClientDay      int // the same; 5,000
	PerServiceSecond  int // 20
	PerServiceDay     int // at 50 % an alert, at 80 % a human check for strangers, at 100 % no more for them; 10,000

	// What strangers ask for among neighbouring numbers. A prefix is a number less
	// its last four digits.
	PerPrefix10m  int // then a human check; 10
	PerPrefixHour int // then strangers are refused; 30
	Consecutive   int // in 10 min among 16 neighbours: the last of them needs a human check; 5

	CheckedPrefixes []string // numbers that begin so always need a human check of strangers; see checkedPrefixes

	// Codes used of those sent, in percent, below which strangers are checked and
	// then paused.
	ConversionPercent      int           // of a prefix from 10 on, of a region or client from 20 on; 15
	ConversionPercentWhole int           // of all, from 50 on; 30
	ConversionPause        time.Duration // 30 min

	// NoHumanCheck says that nobody can be asked for a human check: what would ask
	// for one refuses instead.
	NoHumanCheck bool

	Currency     string                           // ISO 4217, of the two below
	Prices       map[string]map[string]Millionths // of one message by provider and region, "*" for the rest
	BudgetPerDay Millionths                       // with the steps of PerServiceDay; 0 for none

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
	c.PerDeviceNumbers = cmp.Or(c.PerDeviceNumbers, 3)
	c.PerDeviceDay = cmp.Or(c.PerDeviceDay, 10)
	c.PerDialCodeDay = cmp.Or(c.PerDialCodeDay, 50)
	c.PerPrefix10m = cmp.Or(c.PerPrefix10m, 10)
	c.PerPrefixHour = cmp.Or(c.PerPrefixHour, 30)
	c.Consecutive = cmp.Or(c.Consecutive, 5)
	if len(c.CheckedPrefixes) == 0 {
		c.CheckedPrefixes = checkedPrefixes()
	}
	c.ConversionPercent = cmp.Or(c.ConversionPercent, 15)
	c.ConversionPercentWhole = cmp.Or(c.ConversionPercentWhole, 30)
	c.ConversionPause = cmp.Or(c.ConversionPause, 30*time.Minute)
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
		"per_device_numbers": c.PerDeviceNumbers, "per_device_day": c.PerDeviceDay, "per_dial_code_day": c.PerDialCodeDay,
		"per_prefix_10m": c.PerPrefix10m, "per_prefix_hour": c.PerPrefixHour,
		"conversion_percent": c.ConversionPercent, "conversion_percent_whole": c.ConversionPercentWhole, "conversion_pause": int(c.ConversionPause),
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
	case c.Consecutive < 2 || c.Consecutive > blockRoom:
		return fmt.Errorf("sms: the neighbours of a block must be between 2 and %d", blockRoom)
	case max(c.ConversionPercent, c.ConversionPercentWhole) > 90:
		return errors.New("sms: the rates of used codes must not be above 90 percent")
	}
	return c.checkMoney()
}
