package sms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// The states of a ledger row.
const (
	reserved = "reserved"
	accepted = "accepted"
	rejected = "rejected"
	unknown  = "unknown"
)

// reservation is a message that the ledger allows: it may be sent once, by the
// process that reserved it.
type reservation struct {
	message   Message
	challenge Challenge
	region    string
	draft     draft
	plan      []Provider // who is asked, in this order
	refund    func()     // gives it back to the coarse limits
	cost      Millionths // that the ledger has for it until it is settled
}

// reserve takes a message out of the number's budget: one transaction of at
// most five statements. The number's row is locked first, here and in Check and
// Consume, so that nothing is counted twice and nobody waits in a circle.
// Faults: those of the budget, ErrSignInStopped, ErrTriesLimited.
func (s *Service) reserve(ctx context.Context, r Request, lookup []byte, region string) (reservation, error) {
	fresh := s.draft(r, lookup, newCode())
	m := Message{ID: db.NewID(), To: r.Number, Purpose: r.Purpose, Locale: r.Locale}
	var (
		c    Challenge
		plan []Provider
		cost Millionths
	)
	route := s.route(region).serving(r.Number, r.Purpose)
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		wrong, err := s.lockNumber(ctx, lookup)
		if err != nil {
			return err
		}
		sends, err := s.countSends(ctx, lookup)
		if err != nil {
			return err
		}
		now := clock() // after the lock: what was sent before it was got is in the past
		if f := s.config.refuseTry(wrong.of(r.KnownDevice), now); f != nil {
			return f // the code could not be used
		}
		if f := s.config.refuseSend(sends, now, r.KnownDevice); f != nil {
			if final(sends, now) {
				return settledRefusal{f}
			}
			return f
		}
		c, m.Code, err = s.repeatOrInsert(ctx, fresh, sends, now)
		if err != nil {
			return err
		}
		m.TTL = c.ExpiresAt.Sub(now)
		plan = s.plan(route, usedFor(c.ID, sends))
		cost = s.config.cost(unknown, plan[0].Name(), region)
		return s.enterLedger(ctx, m.ID, c.ID, fresh, region, plan[0].Name(), cost, now)
	})
	if err != nil {
		return reservation{}, fmt.Errorf("reserve a message: %w", err)
	}
	return reservation{message: m, challenge: c, region: region, draft: fresh, plan: plan, cost: cost}, nil
}

// usedFor is the providers of a challenge's messages that are not known to have
// arrived, the last one first.
func usedFor(challenge string, sends []sent) []string {
	var used []string
	for _, m := range sends {
		if m.challenge == challenge && !m.delivered {
			used = append(used, m.provider)
		}
	}
	return used
}

// reserveSecond takes one more message with the same code out of the budget of
// the number, after an outcome that nobody knows: a row of its own, since the
// person may get both. The cooldown is for people and does not apply. It is
// false if the number has no room, the code is of no use any more, or the carrier
// says that the first message arrived.
func (s *Service) reserveSecond(ctx context.Context, r reservation, provider string) (second reservation, ok bool, err error) {
	second = r
	second.message.ID, second.cost = db.NewID(), s.config.cost(unknown, provider, r.region)
	limits := s.config
	limits.Cooldown = 0
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		ok = false
		if _, err := s.lockNumber(ctx, r.draft.lookup); err != nil {
			return err
		}
		sends, err := s.countSends(ctx, r.draft.lookup)
		now := clock()
		arrived := slices.ContainsFunc(sends, func(m sent) bool { return m.id == r.message.ID && m.delivered })
		if err != nil || arrived || limits.refuseSend(sends, now, r.draft.known) != nil {
			return err
		}
		live, err := s.db.Exec(ctx, `
			UPDATE sms_challenges SET sends = sends + 1
			WHERE id = $1 AND consumed_at IS NULL AND tries < max_tries AND expires_at > $2`, r.challenge.ID, db.Micros(now))
		if err != nil || live != 1 {
			return err
		}
		ok = true
		second.message.TTL = r.challenge.ExpiresAt.Sub(now)
		second.challenge.ResendAt = now.Add(s.config.Cooldown)
		return s.enterLedger(ctx, second.message.ID, r.challenge.ID, r.draft, r.region, provider, second.cost, now)
	})
	if err != nil {
		return reservation{}, false, fmt.Errorf("reserve a second message: %w", err)
	}
	if ok {
		s.day.add(time.Now(), 1, int64(second.cost))
	}
	return second, ok, nil
}

// lockNumber makes the number's row if there is none and holds it until the
// transaction ends. What it returns is filled once the next statement is answered.
// touched_at is kept to the day, so that its index does not change with every message.
func (s *Service) lockNumber(ctx context.Context, lookup []byte) (*record, error) {
	r := &record{}
	err := s.db.QueryRowLater(ctx, func(row *db.Row) error { return row.Scan(r.fields()...) }, `
		INSERT INTO sms_numbers (lookup, touched_at, failures, consecutive, known_failures, known_consecutive)
		VALUES ($1, $2, '', 0, '', 0)
		ON CONFLICT (lookup) DO UPDATE SET touched_at = excluded.touched_at
		RETURNING failures, consecutive, known_failures, known_consecutive`, lookup, today())
	if err != nil {
		return nil, fmt.Errorf("lock number: %w", err)
	}
	return r, nil
}

// clock is the present as the database keeps it, so that what Send answers and
// what Get reads later are the same.
func clock() time.Time { return db.Time(db.Micros(time.Now())) }

func today() int64 { return db.Micros(time.Now().Truncate(day)) }

// repeatOrInsert gives the message its challenge: the live one of this flow with
// its code, or the fresh one. Only a number that was written to lately can have
// a live one, so the common case needs no search.
func (s *Service) repeatOrInsert(ctx context.Context, fresh draft, sends []sent, now time.Time) (Challenge, string, error) {
	c := Challenge{Number: fresh.secret.number, ResendAt: now.Add(s.config.Cooldown), Status: StatusSending}
	if len(sends) > 0 && sends[0].at > db.Micros(now.Add(-s.config.CodeMaxTTL)) {
		again, err := s.repeat(ctx, fresh, now)
		if err == nil {
			x, err := s.unseal(again.id, again.sealed)
			if err != nil {
				return Challenge{}, "", err
			}
			c.ID, c.ExpiresAt, c.TriesLeft = again.id, again.expires, s.config.MaxTries-again.tries
			return c, x.code, nil
		}
		if !errors.Is(err, db.ErrNotFound) {
			return Challenge{}, "", err
		}
	}
	expires, err := s.insert(ctx, fresh, now)
	if err != nil {
		return Challenge{}, "", err
	}
	c.ID, c.ExpiresAt, c.TriesLeft = fresh.ref.ID, expires, s.config.MaxTries
	return c, fresh.secret.code, nil
}

// enterLedger writes the row of a message, with what it costs if it is never settled.
func (s *Service) enterLedger(ctx context.Context, id, challenge string, d draft, region, provider string, cost Millionths, now time.Time) error {
	err := s.db.ExecLater(ctx, `
		INSERT INTO sms_ledger (id, challenge_id, lookup, purpose, client_id, region, prefix, known_device,
			state, provider, provider_ref, reason, reserved_at, cost)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'reserved', $10, '', '', $9, $11)`,
		id, challenge, d.lookup, string(d.ref.Purpose), d.ref.ClientID, region, d.prefix, d.known, db.Micros(now), provider, int64(cost))
	if err != nil {
		return fmt.Errorf("enter message in the ledger: %w", err)
	}
	return nil
}

// startTest is Send for a test number, which needs no ledger, no lock and no
// provider: one or two statements, each by itself.
func (s *Service) startTest(ctx context.Context, r Request, code string, again bool) (Challenge, error) {
	d := s.draft(r, r.Number.Index(s.vault), code)
	now := clock()
	c := Challenge{ID: d.ref.ID, Number: r.Number, ResendAt: now.Add(s.config.Cooldown), Status: StatusSent, TriesLeft: s.config.MaxTries}
	if again {
		same, err := s.repeat(ctx, d, now)
		if err == nil {
			c.ID, c.ExpiresAt, c.TriesLeft = same.id, same.expires, s.config.MaxTries-same.tries
			return c, nil
		}
		if !errors.Is(err, db.ErrNotFound) {
			return Challenge{}, err
		}
	}
	var err error
	c.ExpiresAt, err = s.insert(ctx, d, now)
	return c, err
}
