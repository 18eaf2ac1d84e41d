package captcha

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// ErrFailed says that the check was not passed, whatever the reason; a new puzzle is due.
var ErrFailed = fault.New(http.StatusForbidden, "captcha_failed", "the security check was not passed, try again")

// Config chooses the check.
type Config struct {
	Type     string // "none", "pow", "geetest_v3", "geetest_v4"
	ID       string // of the vendor's account
	Key      string // of the vendor's account
	Endpoint string // replaces scheme, host and port of the vendor's service, its script's too; "" for the vendor's

	// Observe hears what became of every Verify, of every vendor that could not
	// make a puzzle, and of every picture or sound that was refused. kind is one of
	// Config.Type or "picture"; result is "passed", "failed", "expired",
	// "replayed", "limited" or "vendor_down". nil for nobody.
	Observe func(kind, result string)
	Log     *slog.Logger // nil for slog.Default()
}

// The kinds of puzzle.
const (
	kindNone      = "none"
	kindPow       = "pow"
	kindPicture   = "picture"
	kindGeetestV3 = "geetest_v3"
	kindGeetestV4 = "geetest_v4"
)

// Binding is what a solved puzzle is good for: nobody else's flow, no other number.
type Binding struct {
	Flow   []byte // sms.Request.Flow; for native clients anything stable that names the client
	Number []byte // sms.Number.Index
	Action string // what the check stands before, such as the purpose of a challenge; "" is one like any other
}

// Puzzle is what a page shows or an app solves.
type Puzzle struct {
	Type   string          `json:"type"` // "pow", "geetest_v3", "geetest_v4"
	Data   json.RawMessage `json:"data"` // what the script or app needs; for pow an ALTCHA v1 challenge
	Ticket string          `json:"-"`    // of the picture and sound for browsers without script
}

// Answer is what came back: Proof from a script or app, or Ticket and Typed from a form without script.
// Proof is base64 for the proof of work; for a vendor it is the JSON object that the widget gave, with
// the member "state" of Puzzle.Data added.
type Answer struct {
	Proof         string
	Ticket, Typed string
}

// Checker makes and judges puzzles. It is safe for concurrent use.
type Checker struct {
	kind    string
	vault   *signing.Vault
	marks   ephemeral.Store
	sign    func(challenge string) string // of a proof of work
	vendor  vendor                        // nil for the built-in check
	origins []string
	down    atomic.Int64 // until when the vendor is left alone, in Unix nanoseconds
	observe func(kind, result string)
	log     *slog.Logger
}

// New checks the configuration; it connects to nothing.
func New(c Config, v *signing.Vault, e ephemeral.Store) (*Checker, error) {
	k := &Checker{kind: c.Type, vault: v, marks: e, observe: c.Observe, log: c.Log}
	if k.observe == nil {
		k.observe = func(string, string) {}
	}
	if k.log == nil {
		k.log = slog.Default()
	}
	// Derived from the key that stays when master secrets rotate, so that every
	// replica accepts what another has signed.
	key := v.Index("captcha proof of work", nil)
	k.sign = func(challenge string) string { return powSignature(key, challenge) }
	switch c.Type {
	case kindNone, kindPow:
		if c.ID != "" || c.Key != "" || c.Endpoint != "" {
			return nil, fmt.Errorf("captcha: id, key and endpoint are a vendor's, type %s has none", c.Type)
		}
	case kindGeetestV3, kindGeetestV4:
		if c.ID == "" || c.Key == "" {
			return nil, fmt.Errorf("captcha: type %s needs id and key", c.Type)
		}
		var err error
		if k.vendor, k.origins, err = newGeetest(c); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("captcha: type is unknown")
	}
	return k, nil
}

// Enabled is false for type none.
func (c *Checker) Enabled() bool { return c.kind != kindNone }

// Origins are what a page's Content-Security-Policy must allow besides 'self' for the vendor's script, nil for the built-in check.
func (c *Checker) Origins() []string { return c.origins }

// Levels are from lowest to highest.
const (
	lowest  = 1
	highest = 3
)

// Puzzle makes one. level 1 to 3 says how hard it must be. It is a proof of
// work, whatever the configured type, while the vendor is away.
func (c *Checker) Puzzle(ctx context.Context, b Binding, level int) (Puzzle, error) {
	if !c.Enabled() {
		return Puzzle{}, ErrFailed
	}
	p := Puzzle{Type: kindPow, Ticket: c.pictureTicket(b)}
	if c.vendor != nil {
		if data, ok := c.vendorPuzzle(ctx, b); ok {
			p.Type, p.Data = c.kind, data
			return p, nil
		}
		if err := ctx.Err(); err != nil {
			return Puzzle{}, fmt.Errorf("captcha: ask the vendor for a puzzle: %w", err)
		}
		level = max(level, levelInVendorsPlace)
	}
	p.Data = c.powPuzzle(b, level)
	return p, nil
}

// levelInVendorsPlace makes up a little for the person that the vendor would
// have asked for.
const levelInVendorsPlace = 2

// result is what became of an answer.
type result string

const (
	passed     result = "passed"
	failed     result = "failed"
	expired    result = "expired"
	replayed   result = "replayed"
	limited    result = "limited"
	vendorDown result = "vendor_down"
)

// Verify uses the puzzle up, and says which level was passed: that of the puzzle
// for a proof of work; what a person did, with a picture or a vendor's widget,
// stands for every level. Faults: ErrFailed.
func (c *Checker) Verify(ctx context.Context, b Binding, a Answer) (level int, err error) {
	if !c.Enabled() {
		return 0, ErrFailed
	}
	kind, level, r, err := c.judge(ctx, b, a)
	if err != nil {
		return 0, fmt.Errorf("captcha: %w", err)
	}
	c.observe(kind, string(r))
	if r != passed {
		return 0, ErrFailed.Because(fmt.Errorf("%s: %s", kind, r))
	}
	return level, nil
}

// judge says what level an answer is of, whether or not it holds.
func (c *Checker) judge(ctx context.Context, b Binding, a Answer) (kind string, level int, r result, err error) {
	switch {
	case strings.HasPrefix(a.Proof, "{"):
		r, err = c.judgeVendor(ctx, b, a.Proof)
		return c.kind, highest, r, err
	case a.Proof != "":
		level, r, err = c.judgePow(ctx, b, a.Proof)
		return kindPow, level, r, err
	case a.Ticket != "":
		r, err = c.judgePicture(ctx, b, a.Ticket, a.Typed)
		return kindPicture, highest, r, err
	}
	return c.kind, 0, failed, nil
}

// skew is by how much the clocks of two replicas may differ: a mark outlives
// what it marks by it.
const skew = time.Minute

// use marks what name stands for as used until it expires, anywhere. The mark
// is replayed for all but one of its callers.
func (c *Checker) use(ctx context.Context, kind, name string, expires time.Time) (result, error) {
	first, err := c.marks.Mark(ctx, "captcha", kind+":"+name, max(time.Until(expires), 0)+skew)
	switch {
	case err != nil:
		return "", fmt.Errorf("mark an answer as used: %w", err)
	case !first:
		return replayed, nil
	}
	return passed, nil
}

// bindingSize is enough that nobody finds a second binding with the same hash.
const bindingSize = 16

// hash names the flow and the number to us alone.
func (c *Checker) hash(b Binding) []byte {
	var fields []byte
	for _, f := range [][]byte{b.Flow, b.Number, []byte(b.Action)} {
		fields = binary.AppendUvarint(fields, uint64(len(f))) // so that no two bindings run into each other
		fields = append(fields, f...)
	}
	return c.vault.Index("captcha binding", fields)[:bindingSize]
}
