// Package fault is the one error a client may learn from.
//
// Everything that goes wrong inside is an ordinary error and reaches nobody but
// the log. What a caller may know - that a code was wrong, that a redirect URI
// is not registered - is an *Error: a stable code, a status, a short ASCII
// description and, where time heals it, how long to wait. The same Error is
// shown as an OAuth error response, as RFC 9457 problem+json or as a page; the
// package that answers chooses the form, never the content.
//
// No Error ever carries a phone number, a code, a token or a secret.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Error is safe to show. Two Errors are the same for errors.Is if their codes
// are equal.
type Error struct {
	Code        string            // stable and machine-readable: an RFC 6749 error code or one of ours, such as "sms_too_soon"
	Status      int               // HTTP status, always 4xx or 5xx
	Description string            // one ASCII sentence without quotes or backslashes (RFC 6749 section 5.2)
	RetryAfter  time.Duration     // zero where waiting does not help
	Params      map[string]string // values that a localised message may name, such as "tries"
	cause       error
}

// New makes an Error. Packages keep their own as variables and derive from them.
func New(status int, code, description string) *Error {
	return &Error{Code: code, Status: status, Description: description}
}

// Error is for logs: the code, the description and the hidden cause.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Description, e.cause)
	}
	return e.Code + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.cause }

// Is compares codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Because returns a copy that remembers why, for the log alone.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Describe returns a copy with another description.
func (e *Error) Describe(format string, args ...any) *Error {
	c := *e
	c.Description = fmt.Sprintf(format, args...)
	return &c
}

// After returns a copy that tells the client how long to wait.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// With returns a copy with one value for the localised message.
func (e *Error) With(name, value string) *Error {
	c := *e
	c.Params = make(map[string]string, len(e.Params)+1)
	for k, v := range e.Params {
		c.Params[k] = v
	}
	c.Params[name] = value
	return &c
}

// Errors that every package may need.
var (
	Internal    = New(http.StatusInternalServerError, "server_error", "something went wrong on our side; the request id finds it in our logs")
	Unavailable = New(http.StatusServiceUnavailable, "temporarily_unavailable", "the service cannot answer right now, try again shortly")
)

// From returns the Error that err is or wraps; anything else is Internal with
// err as its hidden cause. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Internal.Because(err)
}
