package sms

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
)

// recordTime bounds what a refusal waits for its record.
const recordTime = 5 * time.Second

// recordRefused writes down that a code was wrong, at most MaxTries times a challenge,
// and that sign-in stopped where this was the try that did it.
func (s *Service) recordRefused(ctx context.Context, ref Ref, t try) {
	var ip string
	if a := ref.Address.Unmap(); a.IsValid() {
		ip = a.String()
	}
	s.keep(ctx, audit.Event{
		Name: "login.code_refused", Actor: "system", ClientID: ref.ClientID, IP: ip,
		Detail: map[string]string{"challenge": ref.ID, "purpose": string(ref.Purpose)},
	})
	if t.consecutive != s.config.FailuresTotal || s.indexes[string(t.lookup)] {
		return
	}
	s.keep(ctx, audit.Event{
		Name: "sms.sign_in_stopped", Actor: "system", ClientID: ref.ClientID, IP: ip,
		Detail: map[string]string{"challenge": ref.ID, "number": reference(t.lookup), "known_device": strconv.FormatBool(t.known)},
	})
}

// keep writes down an event about a refusal, which stands whether or not this
// succeeds. Who hangs up is recorded like who waits.
func (s *Service) keep(ctx context.Context, e audit.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if err := s.audit.Record(ctx, e); err != nil {
		s.log().ErrorContext(ctx, "keep a refusal on record", "event", e.Name, "error", err)
	}
}

// reference tells numbers apart in records without telling them: the start of
// their keyed hash.
func reference(lookup []byte) string { return fmt.Sprintf("%x", lookup[:8]) }
