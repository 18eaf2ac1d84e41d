package config

import (
	"fmt"
	"regexp"
	"time"
)

// lives checks how long things live, and the lives that depend on each other.
func (k *checker) lives(c *Config) {
	const year = 8760 * time.Hour
	k.within("shutdown_grace", c.ShutdownGrace, time.Second, 10*time.Minute)
	k.within("sessions.idle", c.Sessions.Idle, time.Second, year)
	k.within("sessions.absolute", c.Sessions.Absolute, time.Second, year)
	k.atMost("sessions.idle", c.Sessions.Idle, "sessions.absolute", c.Sessions.Absolute)
	k.within("accounts.deletion_delay", c.Accounts.DeletionDelay, 0, 15*24*time.Hour) // an account must be gone in 15 working days
	if c.Accounts.RecycleAfter != 0 {
		k.within("accounts.recycle_after", c.Accounts.RecycleAfter, 24*time.Hour, 5*year)
	}
	k.within("accounts.quarantine", c.Accounts.Quarantine, 24*time.Hour, 5*year)
	k.within("tokens.access", c.Tokens.Access, time.Second, time.Hour)
	k.within("tokens.id", c.Tokens.ID, time.Second, 24*time.Hour)
	k.within("tokens.code", c.Tokens.Code, time.Second, time.Minute) // RFC 9700 section 2.1.1: short
	k.within("tokens.refresh_idle", c.Tokens.RefreshIdle, time.Second, 2*year)
	k.within("tokens.refresh_absolute", c.Tokens.RefreshAbsolute, time.Second, 2*year)
	k.atMost("tokens.refresh_idle", c.Tokens.RefreshIdle, "tokens.refresh_absolute", c.Tokens.RefreshAbsolute)
	k.within("tokens.refresh_grace", c.Tokens.RefreshGrace, 0, time.Minute)

	// Clients cache the key set, and tokens outlive the key that signed them.
	leastPublish := time.Hour
	if k.dev {
		leastPublish = time.Second
	}
	k.within("keys.publish", c.Keys.Publish, leastPublish, 720*time.Hour)
	k.within("keys.rotate_every", c.Keys.RotateEvery, time.Second, 2*year)
	if c.Keys.RotateEvery <= c.Keys.Publish {
		k.add("keys.rotate_every", "must be longer than keys.publish", "")
	}
	k.within("keys.keep", c.Keys.Keep, max(c.Tokens.Access, c.Tokens.ID)+time.Minute, year)
}

func (k *checker) atMost(path string, value time.Duration, other string, most time.Duration) {
	if value > most {
		k.add(path, fmt.Sprintf("must not be longer than %s (%s)", other, duration(most)), "")
	}
}

// unbounded is for limits that the operator may raise as he likes.
const unbounded = 1_000_000_000

// limits checks that no limit is switched off, and that those which protect
// people are not raised beyond reason.
func (k *checker) limits(l *Limits) {
	const path = "sms.limits."
	k.within(path+"code_ttl", l.CodeTTL, time.Minute, 10*time.Minute)
	k.within(path+"code_max_ttl", l.CodeMaxTTL, time.Minute, 10*time.Minute)
	k.atMost(path+"code_ttl", l.CodeTTL, path+"code_max_ttl", l.CodeMaxTTL)
	k.within(path+"cooldown", l.Cooldown, time.Second, time.Hour)
	k.within(path+"conversion_pause", l.ConversionPause, time.Minute, 24*time.Hour)
	for i, prefix := range l.CheckedPrefixes {
		if !regexp.MustCompile(`^\+[1-9][0-9]{0,14}$`).MatchString(prefix) {
			k.add(fmt.Sprintf("%schecked_prefixes[%d]", path, i), "is not the beginning of a number in E.164", "write it like +86170")
		}
	}
	for _, limit := range []struct {
		name               string
		value, least, most int
	}{
		{"per_hour", l.PerHour, 1, 40},
		{"per_day", l.PerDay, 2, 40},
		{"known_reserve", l.KnownReserve, 1, max(l.PerDay-1, 1)},
		{"tries", l.Tries, 3, 10},
		{"failures_per_hour", l.FailuresPerHour, 3, 100},
		{"failures_per_day", l.FailuresPerDay, 3, 100},
		{"failures_total", l.FailuresTotal, 3, 100},
		{"per_address_numbers_10m", l.PerAddressNumbers10m, 1, unbounded},
		{"per_address_hour", l.PerAddressHour, 1, unbounded},
		{"per_address_day", l.PerAddressDay, 1, unbounded},
		{"per_client_hour", l.PerClientHour, 1, unbounded},
		{"per_client_day", l.PerClientDay, 1, unbounded},
		{"service_per_second", l.ServicePerSecond, 1, unbounded},
		{"service_per_day", l.ServicePerDay, 1, unbounded},
		{"per_device_numbers_day", l.PerDeviceNumbersDay, 1, unbounded},
		{"per_device_day", l.PerDeviceDay, 1, unbounded},
		{"per_dial_code_day", l.PerDialCodeDay, 1, unbounded},
		{"per_prefix_10m", l.PerPrefix10m, 1, unbounded},
		{"per_prefix_hour", l.PerPrefixHour, 1, unbounded},
		{"consecutive", l.Consecutive, 2, 128},
		{"conversion_percent", l.ConversionPercent, 1, 90},
		{"conversion_percent_whole", l.ConversionWhole, 1, 90},
	} {
		if limit.value < limit.least || limit.value > limit.most {
			k.add(path+limit.name, fmt.Sprintf("must be between %d and %d", limit.least, limit.most), "a limit can be set and not be switched off")
		}
	}
	for _, pair := range []struct {
		smaller, larger string
		less, more      int
	}{
		{"per_hour", "per_day", l.PerHour, l.PerDay},
		{"failures_per_hour", "failures_per_day", l.FailuresPerHour, l.FailuresPerDay},
		{"per_address_hour", "per_address_day", l.PerAddressHour, l.PerAddressDay},
		{"per_client_hour", "per_client_day", l.PerClientHour, l.PerClientDay},
		{"per_device_numbers_day", "per_device_day", l.PerDeviceNumbersDay, l.PerDeviceDay},
		{"per_prefix_10m", "per_prefix_hour", l.PerPrefix10m, l.PerPrefixHour},
	} {
		if pair.less > pair.more {
			k.add(path+pair.smaller, fmt.Sprintf("must not be more than %s%s (%d)", path, pair.larger, pair.more), "")
		}
	}
}
