// Package captcha is the human check: it makes a puzzle for one flow and one
// number and says, once, whether it was solved.
package captcha

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// ErrFailed says that the check was not passed, whatever the reason; a new puzzle is due.
var ErrFailed = fault.New(http.StatusForbidden, "captcha_failed", "the security check was not passed, try again")

// Config chooses the check.
type Config struct {
	Type string // "none", "pow", "geetest_v3", "geetest_v4"
	ID   string // of the vendor's account
	Key  string // of the vendor's account
}

// Binding is what a solved puzzle is good for: nobody else's flow, no other number.
type Binding struct {
	Flow   []byte // sms.Request.Flow; for native clients anything stable that names the client
	Number []byte // sms.Number.Index
}

// Puzzle is what a page shows or an app solves.
type Puzzle struct {
	Type   string          `json:"type"` // "pow", "geetest_v3", "geetest_v4"
	Data   json.RawMessage `json:"data"` // what the script or app needs; for pow an ALTCHA v1 challenge
	Ticket string          `json:"-"`    // of the picture and sound for browsers without script
}

// Answer is what came back: Proof from a script or app, or Ticket and Typed from a form without script.
type Answer struct {
	Proof         string
	Ticket, Typed string
}

// Checker makes and judges puzzles. It is safe for concurrent use.
type Checker struct{}

// New checks the configuration.
func New(c Config, v *signing.Vault, e ephemeral.Store) (*Checker, error) { panic("not built") }

// Enabled is false for type none.
func (c *Checker) Enabled() bool { panic("not built") }

// Puzzle makes one. level 1 to 3 says how hard it should be.
func (c *Checker) Puzzle(ctx context.Context, b Binding, level int) (Puzzle, error) {
	panic("not built")
}

// Verify uses the puzzle up. Faults: ErrFailed.
func (c *Checker) Verify(ctx context.Context, b Binding, a Answer) error { panic("not built") }

// Picture is a ticket's digits as PNG; ErrFailed for a ticket that is none.
func (c *Checker) Picture(ticket string) ([]byte, error) { panic("not built") }

// Sound is a ticket's digits as WAV, spoken in the language of locale if there is one; ErrFailed for a ticket that is none.
func (c *Checker) Sound(ticket, locale string) ([]byte, error) { panic("not built") }

// Origins are what a page's Content-Security-Policy must allow besides 'self' for the vendor's script, nil for the built-in check.
func (c *Checker) Origins() []string { panic("not built") }
