package sms

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Provider sends one message to exactly one number. Send returns soon after
// ctx ends, gives up nothing silently and repeats nothing by itself. ref is the
// provider's own id of the message, "" if it gives none; err is a *SendError.
//
// A provider that is not for every number or purpose has a method
// Serves(Number, Purpose) bool too, by which routes leave it out.
type Provider interface {
	Name() string
	Send(ctx context.Context, m Message) (ref string, err error)
}

// Message is one text to send. Printed, logged or marshalled it shows neither
// its number nor its code.
type Message struct {
	ID      string // of the ledger row; give it to the provider, receipts bring it back
	To      Number
	Purpose Purpose
	Code    string        // six digits
	TTL     time.Duration // how long the code is valid from now
	Locale  string        // BCP 47, "" if unknown
}

func (m Message) String() string {
	return fmt.Sprintf("message %s (%s to %v)", m.ID, m.Purpose, m.To)
}

// Format prints the safe form for every verb and flag.
func (m Message) Format(s fmt.State, _ rune)   { _, _ = io.WriteString(s, m.String()) }
func (m Message) LogValue() slog.Value         { return slog.StringValue(m.String()) }
func (m Message) MarshalText() ([]byte, error) { return []byte(m.String()), nil }
func (m Message) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }

// Class says what a failed Send means for the message, the number and the
// providers after this one.
type Class string

// The classes.
const (
	Failover      Class = "F" // the account or the provider cannot serve: certainly not sent, another may
	BadNumber     Class = "U" // the provider refuses the number: certainly not sent, nobody else is asked
	NumberLimited Class = "R" // the provider's own limit for the number: certainly not sent, nobody else is asked
	Blocked       Class = "B" // blacklisted or unsubscribed: answered like success, nobody else is asked
	Misconfigured Class = "C" // credential, signature, template, address: certainly not sent, another may
	Ambiguous     Class = "A" // it may have been sent: counted, never repeated on the same provider
)

// SendError is why a provider did not send, or may not have sent. It holds no
// text of the provider's and no cause: both repeat numbers, codes and URLs.
type SendError struct {
	Class      Class
	Provider   string
	Code       string        // the provider's, or ours such as "timeout"; see safeCode for what is kept
	RetryAfter time.Duration // zero if the provider did not say
}

func (e *SendError) Error() string {
	return fmt.Sprintf("sms provider %s: class %s: %s", e.Provider, e.Class, safeCode(e.Code))
}

// The codes for a message that the provider is not set up for, of class F. They
// say nothing about its health.
const (
	codeInternational = "international"
	codeNoTemplate    = "no_template"
)

// unserved says that nobody was called: the message is not for this provider.
func (e *SendError) unserved() bool {
	return e.Class == Failover && (e.Code == codeInternational || e.Code == codeNoTemplate)
}

// safeCode keeps the error code of a provider only if it looks like one, since
// it goes into the ledger, logs and metric labels.
func safeCode(code string) string {
	const longest = 64
	if code == "" || len(code) > longest {
		return "other"
	}
	for _, r := range code {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '.':
		default:
			return "other"
		}
	}
	return code
}
