package sms

import "time"

// Observer learns what happened, for metrics. Its methods must return at once.
// No field holds a number, a code or an address.
type Observer interface {
	SendSettled(SendSettled)
	CheckDone(CheckDone)
	BreakerChanged(BreakerChanged)
}

// SendSettled is the end of one message.
type SendSettled struct {
	Provider string // the last that was asked, "" if none was
	Region   string // ISO 3166
	Purpose  Purpose
	Result   string        // "accepted", "rejected", "unknown"
	Reason   string        // class and code of the last failure, "" if there was none
	Duration time.Duration // of all provider calls
}

// CheckDone is the end of one Check.
type CheckDone struct {
	Result string // "right", "incorrect", "malformed", "expired", "exhausted", "limited", "stopped", "error"
}

// BreakerChanged is a provider that is no longer asked, is tried, or is asked
// again. New tells of each provider once.
type BreakerChanged struct {
	Provider string
	State    string // "closed", "half-open", "open"
	Reason   string // class and code of the failure that opened it, "" when closed
}

type nobody struct{}

func (nobody) SendSettled(SendSettled) {}
func (nobody) CheckDone(CheckDone)     {}

func (nobody) BreakerChanged(BreakerChanged) {}
