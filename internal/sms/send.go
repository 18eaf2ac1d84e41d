package sms

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// patience is how long Send waits for a provider before it answers "sending".
const patience = 1500 * time.Millisecond

// busyRetry is when to come back if too many messages are under way.
const busyRetry = 5 * time.Second

// Send starts a challenge, or repeats the live one of the same flow, number,
// purpose, client and KnownDevice with the same code and the same tries. It takes the
// message out of every budget, hands it to a provider, and returns when that
// has answered or after 1.5 s; the outcome is kept either way. It must not be
// called inside a transaction: a message cannot be rolled back.
//
// Faults: ErrRegionUnsupported, ErrTooSoon, ErrHourlyLimit, ErrDailyLimit,
// ErrRateLimited, ErrHumanCheckRequired, ErrSignInStopped, ErrTriesLimited (the number's owner could
// not use the code), ErrProviderUnavailable, ErrRejected. After the last two
// the send is given back and a code sent before is still good; the last but one
// is also the answer, before anything is reserved, while every provider is known
// to be down. The code itself is in no answer.
//
// A message that repeats a code goes through another provider than the messages
// before it, unless those are known to have arrived.
func (s *Service) Send(ctx context.Context, r Request) (Challenge, error) {
	return s.send(ctx, r, false)
}

// Again is what may be new when a message is asked for once more; the fields are those of Request.
type Again struct {
	Locale  string
	Address netip.Addr
	Device  string
	Human   int
}

// Resend asks for another message for a challenge whose flow, client and
// purpose are ref's. While its code lives that code is sent again, the tries
// already used stay used, and the Challenge is the same. Otherwise, for a day,
// it is a new challenge for the same number with an ID of its own: callers must
// go on with the ID they get. Faults: those of Send, ErrCodeExpired.
func (s *Service) Resend(ctx context.Context, ref Ref, a Again) (Challenge, error) {
	if !ref.possible() {
		return Challenge{}, ErrCodeExpired
	}
	var (
		sealed []byte
		known  bool
	)
	err := s.db.QueryRow(ctx, `
		SELECT sealed, known_device FROM sms_challenges
		WHERE id = $1 AND flow = $2 AND client_id = $3 AND purpose = $4 AND consumed_at IS NULL`,
		ref.ID, ref.Flow, ref.ClientID, string(ref.Purpose)).Scan(&sealed, &known)
	if errors.Is(err, db.ErrNotFound) {
		return Challenge{}, ErrCodeExpired
	}
	if err != nil {
		return Challenge{}, fmt.Errorf("find challenge to repeat: %w", err)
	}
	x, err := s.unseal(ref.ID, sealed)
	if err != nil {
		return Challenge{}, err
	}
	return s.send(ctx, Request{
		Number: x.number, Purpose: ref.Purpose, ClientID: ref.ClientID, Flow: ref.Flow,
		Locale: a.Locale, Address: a.Address, KnownDevice: known, Device: a.Device, Human: a.Human, Note: x.note,
	}, true)
}

func (s *Service) send(ctx context.Context, r Request, again bool) (Challenge, error) {
	if r.Number.IsZero() || !r.Purpose.Valid() || len(r.Flow) == 0 {
		return Challenge{}, errors.New("send a code: number, purpose and flow are needed")
	}
	if code, ok := s.tests[r.Number]; ok {
		return s.startTest(ctx, r, code, again)
	}
	region := r.Number.Region()
	if !slices.Contains(s.regions, region) {
		return Challenge{}, ErrRegionUnsupported
	}
	route := s.route(region).serving(r.Number, r.Purpose)
	if len(route.Providers) == 0 {
		return Challenge{}, ErrProviderUnavailable.Because(fmt.Errorf("no provider for region %s and purpose %s", region, r.Purpose))
	}
	if wait, ok := s.askable(route); !ok {
		return Challenge{}, ErrProviderUnavailable.After(wait)
	}
	if !s.enter() { // before anything is reserved
		return Challenge{}, ErrProviderUnavailable.After(busyRetry)
	}
	message, err := s.prepare(ctx, r, region, again)
	if err != nil {
		s.leave()
		return Challenge{}, err
	}
	settled := make(chan outcome, 1)
	go func() {
		defer s.leave()
		o := s.deliver(context.WithoutCancel(ctx), message)
		if o.unserved() {
			message.refund()
		}
		settled <- o
	}()
	return s.await(ctx, message.challenge, settled)
}

// prepare takes the message out of the coarse limits and the ledger.
func (s *Service) prepare(ctx context.Context, r Request, region string, again bool) (reservation, error) {
	a := &asking{
		Request: r, region: region, again: again,
		lookup: r.Number.Index(s.vault), prefix: nameOfPrefix(r.Number.prefixIndex(s.vault)),
	}
	refund, err := s.spend(ctx, a)
	if err != nil {
		return reservation{}, err
	}
	message, err := s.reserve(ctx, r, a.lookup, region)
	if err != nil {
		refund()
		s.noteNumber(a, err)
		return reservation{}, err
	}
	message.refund = refund
	s.day.add(time.Now(), 1, int64(message.cost))
	return message, nil
}

// await gives the provider a moment to answer.
func (s *Service) await(ctx context.Context, c Challenge, settled <-chan outcome) (Challenge, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case o := <-settled:
		if o.fault != nil {
			return Challenge{}, o.fault
		}
		c.Status = statusOf(o.state, o.reason, 0)
		if !o.resend.IsZero() {
			c.ResendAt = o.resend
		}
	case <-timer.C:
	case <-ctx.Done(): // nobody listens any more; the message goes on
	}
	return c, nil
}
