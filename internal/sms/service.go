package sms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// Purpose is what a code is good for; a code of one purpose is none of another.
type Purpose string

// The purposes.
const (
	Login       Purpose = "login"
	ChangePhone Purpose = "change_phone"
	StepUp      Purpose = "step_up"
	Delete      Purpose = "delete"
)

// Valid reports whether p is one of the purposes.
func (p Purpose) Valid() bool {
	switch p {
	case Login, ChangePhone, StepUp, Delete:
		return true
	}
	return false
}

// Ref names a challenge together with what may use it. A mismatch of any field
// but Address is the same as no challenge.
type Ref struct {
	ID       string
	Purpose  Purpose
	ClientID string
	Flow     []byte // 32 bytes: the browser flow or the native client it is bound to

	Address netip.Addr // of whoever types the code, for the record of wrong ones; it binds nothing and may be left out
}

// Request asks for a code.
type Request struct {
	Number      Number
	Purpose     Purpose
	ClientID    string
	Flow        []byte // see Ref
	Locale      string
	Address     netip.Addr // of the person, for address limits
	KnownDevice bool       // somebody signed in with Number on this device before
	Device      string     // opaque name of the browser or app that asks, "" if it has none: it can only tighten limits
	Human       int        // level of the human check bound to Flow and Number that was passed for this very request, 0 for none
	Note        string     // opaque here, sealed with the challenge and handed back by Proof: the agreed version of the terms
}

// Statuses of a challenge: what became of its message.
const (
	StatusSending = "sending" // the provider has not answered yet
	StatusSent    = "sent"
	StatusUnknown = "unknown" // it may have been sent; asking again is possible after the cooldown
	StatusFailed  = "failed"  // it was certainly not sent; asking again is possible at once

	StatusDelivered   = "delivered"   // the carrier says that it arrived
	StatusUndelivered = "undelivered" // the carrier says that it did not; see Challenge.Reason
)

// Challenge is what a page or an app may know.
type Challenge struct {
	ID        string
	Number    Number
	ExpiresAt time.Time
	ResendAt  time.Time // when another message may be asked for; for a test number a courtesy, nothing is enforced
	Status    string    // one of the Status constants
	Reason    string    // of StatusUndelivered: "off" (switched off, no signal), "number", "limited", or "" for none of these
	TriesLeft int       // 0: only a new code helps
}

// Service sends codes and checks them. It is safe for concurrent use, also by
// several servers on one database. Close it before the database.
type Service struct {
	config  Config // defaults filled in
	regions []string
	tests   map[Number]string // test numbers and their fixed codes
	indexes map[string]bool   // Index of the test numbers

	db        *db.DB
	ephemeral ephemeral.Store
	vault     *signing.Vault
	audit     *audit.Log

	breakers   map[string]*breaker // by the name of the provider
	keeping    sync.Mutex          // one breaker is written down at a time
	homeCode   string              // calling code of the first region
	full       stops
	conversion conversion
	day        dayTotal

	slots   chan struct{} // one for each message under way
	mu      sync.Mutex    // guards closed against sending.Add
	closed  bool
	sending sync.WaitGroup
	stop    context.Context // ends when Close loses patience
	halt    context.CancelFunc

	compared atomic.Int64 // codes compared so far; tests count them
}

// New checks the configuration and makes a Service. With test numbers it asks
// the database, by one query, whether any of them is a real one.
func New(c Config, d *db.DB, e ephemeral.Store, v *signing.Vault, a *audit.Log) (*Service, error) {
	regions, err := checkRegions(c.Regions)
	if err != nil {
		return nil, err
	}
	c.setDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &Service{
		config: c, regions: regions,
		tests: make(map[Number]string, len(c.TestNumbers)), indexes: make(map[string]bool, len(c.TestNumbers)),
		db: d, ephemeral: e, vault: v, audit: a,
		slots: make(chan struct{}, c.InFlight), breakers: map[string]*breaker{},
	}
	for _, r := range c.Routes {
		for _, p := range r.Providers {
			if name := p.Name(); s.breakers[name] == nil {
				s.breakers[name] = newBreaker(name, s.breakerChanged)
				c.Observer.BreakerChanged(s.breakers[name].told)
			}
		}
	}
	if len(regions) > 0 {
		s.homeCode = strings.TrimPrefix(s.Regions()[0].CallingCode, "+")
	}
	s.conversion.policy.scopePercent, s.conversion.policy.wholePercent = s.config.ConversionPercent, s.config.ConversionPercentWhole
	s.conversion.policy.pause, s.conversion.policy.noCheck = s.config.ConversionPause, s.config.NoHumanCheck
	s.stop, s.halt = context.WithCancel(context.Background())
	for e164, code := range c.TestNumbers {
		n, err := FromE164(e164)
		if err != nil {
			return nil, errors.New("sms: a test number is not written in E.164, such as +8613800138000")
		}
		if folded, ok := foldCode(code); !ok || folded != code {
			return nil, fmt.Errorf("sms: the code of test number %v is not six digits", n)
		}
		s.tests[n] = code
		s.indexes[string(n.Index(v))] = true
	}
	if err := s.refuseUsedTests(); err != nil {
		return nil, err
	}
	return s, nil
}

// enter takes a place for one message; false if the service is closed or full.
func (s *Service) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	select {
	case s.slots <- struct{}{}:
		s.sending.Add(1)
		return true
	default:
		return false
	}
}

func (s *Service) leave() {
	<-s.slots
	s.sending.Done()
}

// Close refuses further messages and waits for those under way to settle. When
// ctx ends first they are broken off, settle as unknown, and ctx's error is
// returned.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	settled := make(chan struct{})
	go func() {
		s.sending.Wait()
		close(settled)
	}()
	defer s.halt()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		s.halt()
		<-settled // bounded by settleTime
		return fmt.Errorf("wait for messages under way: %w", ctx.Err())
	}
}

func (s *Service) log() *slog.Logger {
	if s.config.Log != nil {
		return s.config.Log
	}
	return slog.Default()
}
