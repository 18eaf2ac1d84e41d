package sms

import (
	"context"
	"fmt"
	"io"
	"math"
	"sync"
)

// Console prints messages for a developer. The writer is the delivery channel
// and no log: number and code are in clear, so that two people who sign in at
// once can be told apart. It is for --dev alone.
type Console struct {
	name string
	mu   sync.Mutex
	w    io.Writer
}

// NewConsole prints to w, one line a message:
//
//	SMS to +8613800138000: code 123456 (login, valid 5 min)
func NewConsole(name string, w io.Writer) *Console { return &Console{name: name, w: w} }

// Name is the one in the configuration (Provider).
func (c *Console) Name() string { return c.name }

// Send prints the message (Provider).
func (c *Console) Send(ctx context.Context, m Message) (string, error) {
	if ctx.Err() != nil {
		return "", &SendError{Class: Failover, Provider: c.name, Code: "timeout"}
	}
	line := fmt.Sprintf("SMS to %s: code %s (%s, valid %d min)\n", m.To.E164(), m.Code, m.Purpose, int(math.Ceil(m.TTL.Minutes())))
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := io.WriteString(c.w, line); err != nil {
		return "", &SendError{Class: Ambiguous, Provider: c.name, Code: "write"}
	}
	return "", nil
}
