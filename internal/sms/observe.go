package sms

import "time"

// Observer learns what happened, for metrics. Its methods must return at once.
// No field holds a number, a code or an address.
type Observer interface {
	SendSettled(SendSettled)
	CheckDone(CheckDone)
	ReceiptReceived(ReceiptReceived)
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
	Purpose Purpose
	Region  string // ISO 3166, "" unless a code was compared
	Ended   bool   // the challenge's last try was wrong
	Result  string // "right", "incorrect", "malformed", "expired", "exhausted", "limited", "stopped", "error"
}

// ReceiptReceived is one delivery report, or a push of them that was refused.
type ReceiptReceived struct {
	Provider string
	Status   string // "delivered", "undelivered", "pending", "duplicate", "unmatched", "refused"
	Source   string // "push", "pull"
}

// Statuses of ReceiptReceived besides the verdicts, and its sources.
const (
	receiptPending   = "pending"   // the message is on its way
	receiptDuplicate = "duplicate" // nothing that was not known, or known better
	receiptUnmatched = "unmatched" // about no message of ours
	receiptRefused   = "refused"   // a push whose signature or form is wrong

	sourcePush = "push"
	sourcePull = "pull"
)

// BreakerChanged is a provider that is no longer asked, is tried, or is asked
// again. New tells of each provider once.
type BreakerChanged struct {
	Provider string
	State    string // "closed", "half-open", "open"
	Reason   string // class and code of the failure that opened it, "" when closed
}

type nobody struct{}

func (nobody) SendSettled(SendSettled)         {}
func (nobody) CheckDone(CheckDone)             {}
func (nobody) ReceiptReceived(ReceiptReceived) {}
func (nobody) BreakerChanged(BreakerChanged)   {}
