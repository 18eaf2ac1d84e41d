package sms

import "time"

// Observer learns what happened, for metrics. Its methods must return at once.
// No field holds a number, a code or an address.
type Observer interface {
	SendSettled(SendSettled)
	CheckDone(CheckDone)
	ReceiptReceived(ReceiptReceived)
	BreakerChanged(BreakerChanged)
	QuotaRefused(QuotaRefused)
	BudgetStep(BudgetStep)
	ScopeChanged(ScopeChanged)
}

// SendSettled is the end of one message.
type SendSettled struct {
	Provider string // the last that was asked, "" if none was
	Region   string // ISO 3166
	Purpose  Purpose
	Result   string        // "accepted", "rejected", "unknown"
	Reason   string        // class and code of the last failure, "" if there was none
	Duration time.Duration // of all provider calls
	Cost     Millionths    // of Config.Currency
	Currency string
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

// QuotaRefused is a request for a message that met a limit.
type QuotaRefused struct {
	Scope  string // "number", "address", "network", "device", "prefix", "service"...
	Window string // "10m", "hour", "day"...
	Human  bool   // a human check was asked for; else the request was refused
}

// BudgetStep says that a budget of the day has been used up so far.
type BudgetStep struct {
	Of      string // "messages" or "money"
	Percent int    // 50, 80 or 100
}

// ScopeChanged is a new verdict about the codes of one scope.
type ScopeChanged struct {
	Kind  string // "prefix", "region", "client" or "whole"
	Name  string // of a region or client
	State string // Normal, Checked, Paused or Probation
}

type nobody struct{}

func (nobody) SendSettled(SendSettled)         {}
func (nobody) CheckDone(CheckDone)             {}
func (nobody) ReceiptReceived(ReceiptReceived) {}
func (nobody) BreakerChanged(BreakerChanged)   {}

func (nobody) QuotaRefused(QuotaRefused) {}
func (nobody) BudgetStep(BudgetStep)     {}
func (nobody) ScopeChanged(ScopeChanged) {}
