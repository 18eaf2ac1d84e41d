package fake

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Received is a message that a fake vendor has taken. It is the delivery
// channel and no log: number and code are in clear.
type Received struct {
	Provider  string    `json:"provider"`       // of the fake
	To        string    `json:"to"`             // E.164
	Sign      string    `json:"sign,omitempty"` // the signature (签名), "" if the vendor binds it to the template
	Template  string    `json:"template"`       // its id
	Values    []string  `json:"values"`
	Text      string    `json:"text"`       // the template with its values, behind 【sign】
	MessageID string    `json:"message_id"` // ours, as the vendor got it
	Ref       string    `json:"ref"`        // the vendor's
	At        time.Time `json:"at"`
}

// Inbox keeps messages in the order of their arrival. It is safe for concurrent use.
type Inbox struct {
	mu      sync.Mutex
	all     []Received
	changed chan struct{} // closed at the next message
}

// NewInbox is an empty inbox.
func NewInbox() *Inbox { return &Inbox{changed: make(chan struct{})} }

// Messages is all that came in, the oldest first.
func (b *Inbox) Messages() []Received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// To is what came in for one number (E.164).
func (b *Inbox) To(number string) []Received {
	return slices.DeleteFunc(b.Messages(), func(m Received) bool { return m.To != number })
}

// Wait returns the messages as soon as there are n, or the context's error.
func (b *Inbox) Wait(ctx context.Context, n int) ([]Received, error) {
	for {
		b.mu.Lock()
		all, changed := slices.Clone(b.all), b.changed
		b.mu.Unlock()
		if len(all) >= n {
			return all, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return all, fmt.Errorf("wait for %d messages, got %d: %w", n, len(all), ctx.Err())
		}
	}
}

// Clear empties the inbox. What counts against the limits of a number stays.
func (b *Inbox) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = nil
}

func (b *Inbox) put(m Received) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, m)
	close(b.changed)
	b.changed = make(chan struct{})
}
