// Package fake stands in for the services of SMS vendors. Its handlers verify
// signatures as strictly as the vendors do, answer with their shapes, statuses
// and codes, keep their default limits for one number, fail as told, and put
// what they take into an inbox instead of sending it.
//
// It serves tests and, as an [Office], operators who want to try providers
// without an account. It logs nothing. It is no part of what a production server uses.
package fake

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what the fakes of all vendors have in common.
type Config struct {
	Name      string           // in Received.Provider; "" for the vendor's name
	Now       func() time.Time // nil for time.Now
	Inbox     *Inbox           // several fakes may share one; nil for one of its own
	Templates []Template       // what may be sent
	Signs     []string         // signatures (签名) that are approved; empty for any
	Limits    []Limit          // for one number; nil for the vendor's defaults, empty for none
}

// Template is one that the vendor has approved.
type Template struct {
	ID     string
	Text   string  // with the vendor's placeholders, such as ${code}, {1} or #{code}
	Params []Param // in order; names are for vendors that name them
	Abroad bool    // for numbers outside mainland China instead of inside
	Both   bool    // for both
}

// Param is one variable of a template.
type Param struct {
	Name    string
	Pattern *regexp.Regexp // what a value must match; nil for anything
}

// Serves reports whether the template is for numbers inside or outside mainland China.
func (t Template) Serves(abroad bool) bool { return t.Both || t.Abroad == abroad }

// Render puts values, one for each of Params, in the places that placeholder
// gives for them; i counts from 0.
func (t Template) Render(placeholder func(i int, name string) string, values []string) string {
	var pairs []string
	for i, p := range t.Params {
		pairs = append(pairs, placeholder(i, p.Name), values[i])
	}
	return strings.NewReplacer(pairs...).Replace(t.Text)
}

// Limit is how many messages one number may get. Over it the vendor answers Code.
type Limit struct {
	Count   int
	Within  time.Duration // rolling; zero for the natural day of Beijing
	Same    bool          // counts messages of the same text only
	Code    string
	Message string
}

// Beijing is the time zone of every vendor's natural day.
var beijing = time.FixedZone("Asia/Shanghai", 8*60*60)

// since is where the limit's window begins.
func (l Limit) since(now time.Time) time.Time {
	if l.Within > 0 {
		return now.Add(-l.Within)
	}
	y, m, d := now.In(beijing).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, beijing).Add(-1)
}

// Core is what every vendor's fake embeds: clock, inbox, templates, limits and
// the script of what is to go wrong. It is safe for concurrent use.
type Core struct {
	config Config

	mu     sync.Mutex
	calls  int
	script []Outcome
	always Outcome
	nonces map[string]time.Time
	sent   map[string][]Received // by number
	told   map[string]Report     // by reference and number
	follow []func(Received)
}

// newCore fills in a vendor's defaults.
func newCore(c Config, name string, limits []Limit) *Core {
	if c.Name == "" {
		c.Name = name
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Inbox == nil {
		c.Inbox = NewInbox()
	}
	if c.Limits == nil {
		c.Limits = limits
	}
	return &Core{config: c, nonces: map[string]time.Time{}, sent: map[string][]Received{}, told: map[string]Report{}}
}

// Inbox is where the accepted messages are.
func (c *Core) Inbox() *Inbox { return c.config.Inbox }

// Calls is how many requests have come in, refused ones included.
func (c *Core) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Script sets what becomes of the next calls, one outcome each, after those
// scripted before. The zero Outcome is the ordinary course.
func (c *Core) Script(next ...Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.script = append(c.script, next...)
}

// Always sets what becomes of every call that is not scripted.
func (c *Core) Always(o Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.always = o
}

func (c *Core) now() time.Time { return c.config.Now() }

// next counts a call and takes its outcome.
func (c *Core) next() Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if len(c.script) == 0 {
		return c.always
	}
	o := c.script[0]
	c.script = c.script[1:]
	return o
}

// template finds an approved one.
func (c *Core) template(id string) (Template, bool) {
	i := slices.IndexFunc(c.config.Templates, func(t Template) bool { return t.ID == id })
	if i < 0 {
		return Template{}, false
	}
	return c.config.Templates[i], true
}

// signed reports whether a signature is approved.
func (c *Core) signed(sign string) bool {
	return sign != "" && (len(c.config.Signs) == 0 || slices.Contains(c.config.Signs, sign))
}

// fresh reports whether a nonce was not used within a time, and remembers it.
func (c *Core) fresh(nonce string, within time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for old, at := range c.nonces {
		if now.Sub(at) > within {
			delete(c.nonces, old)
		}
	}
	if _, used := c.nonces[nonce]; used {
		return false
	}
	c.nonces[nonce] = now
	return true
}

// deliver puts a message into the inbox, unless its number has reached a
// limit: that is returned, and nothing is kept. It fills in Provider and At.
func (c *Core) deliver(m Received) (over *Limit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.Provider, m.At = c.config.Name, c.now()
	for _, l := range c.config.Limits {
		n, since := 0, l.since(m.At)
		for _, old := range c.sent[m.To] {
			if old.At.After(since) && (!l.Same || old.Text == m.Text) {
				n++
			}
		}
		if n >= l.Count {
			return &l
		}
	}
	c.sent[m.To] = append(c.sent[m.To], m)
	c.config.Inbox.put(m)
	for _, f := range c.follow {
		f(m)
	}
	return nil
}

// watch has f called with every message that is taken; f must return at once.
func (c *Core) watch(f func(Received)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.follow = append(c.follow, f)
}

// reply is what a vendor answers.
type reply struct {
	status int
	kind   string // Content-Type
	body   []byte
}

// maxRequest bounds what is read of a request.
const maxRequest = 1 << 20

// serve is the course of every call: it counts, fails as scripted, and has the
// vendor judge. judge gets the whole body, and the outcome whose Code it must
// answer once the request has passed as authentic.
func (c *Core) serve(w http.ResponseWriter, r *http.Request, judge func(r *http.Request, body []byte, o Outcome) reply) {
	o := c.next()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
		return
	}
	if o.Fault.early() {
		o.Fault.play(w, r, reply{})
		return
	}
	answer := judge(r, body, o)
	o.Fault.play(w, r, answer)
}
