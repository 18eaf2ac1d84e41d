package sms

import (
	"context"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Status is how sending goes, for an operator. It holds no number.
type Status struct {
	Since     time.Time       `json:"since"`
	Providers []ProviderState `json:"providers"` // those whose state some server has written
	Sends     []Sends         `json:"sends"`     // by provider and region
	Today     int64           `json:"today"`     // messages of the last 24 h that count against the service's day
	Stopped   int64           `json:"stopped"`   // numbers that cannot sign in by SMS after too many wrong codes
}

// ProviderState is a provider as the server that last changed it sees it.
type ProviderState struct {
	Name      string    `json:"name"`
	State     string    `json:"state"`            // closed, half-open or open
	Reason    string    `json:"reason,omitempty"` // class and code of the last failure
	Until     time.Time `json:"until,omitzero"`   // when an open one is tried again
	ChangedAt time.Time `json:"changed_at"`
}

// Sends is what became of the messages of one provider to one region.
type Sends struct {
	Provider    string `json:"provider"` // the last that was asked, "" if none was
	Region      string `json:"region"`
	Messages    int64  `json:"messages"`
	Accepted    int64  `json:"accepted"`
	Rejected    int64  `json:"rejected"`
	Unknown     int64  `json:"unknown"` // those that are under way included
	Delivered   int64  `json:"delivered"`
	Undelivered int64  `json:"undelivered"`

	// Codes that were sent and have had their time: typed, or expired. A code is
	// forgotten a day after it expired, so over a longer time these are the last day's.
	Codes    int64 `json:"codes"`
	Verified int64 `json:"verified"`

	Cost int64 `json:"cost_micros"` // millionths of the configured currency
}

// Conversion is the share of codes that were typed, false if there were none.
func (s Sends) Conversion() (float64, bool) {
	if s.Codes == 0 {
		return 0, false
	}
	return float64(s.Verified) / float64(s.Codes), true
}

// ReadStatus reads what the database knows about messages asked for after since.
// stopAt is Config.FailuresTotal. It needs no Service and takes three reads, the
// long one by the index of the ledger's time.
func ReadStatus(ctx context.Context, d *db.DB, since time.Time, stopAt int) (Status, error) {
	now := time.Now()
	s := Status{Since: since, Providers: []ProviderState{}, Sends: []Sends{}}
	err := d.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM sms_ledger WHERE reserved_at > $1 AND state <> 'rejected'),
			(SELECT count(*) FROM sms_numbers WHERE consecutive >= $2 OR known_consecutive >= $2)`,
		db.Micros(now.Add(-day)), stopAt).Scan(&s.Today, &s.Stopped)
	if err != nil {
		return Status{}, fmt.Errorf("count messages of the day: %w", err)
	}
	if err := s.readProviders(ctx, d, now); err != nil {
		return Status{}, err
	}
	return s, s.readSends(ctx, d, now)
}

// readProviders says half-open of a provider whose pause is over: the next message
// tries it, and a server that was started again since asks it like any other.
func (s *Status) readProviders(ctx context.Context, d *db.DB, now time.Time) error {
	rows, err := d.Query(ctx, `SELECT name, state, reason, until_at, changed_at FROM sms_providers ORDER BY name`)
	if err != nil {
		return fmt.Errorf("read states of providers: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p ProviderState
		var until, changed int64
		if err := rows.Scan(&p.Name, &p.State, &p.Reason, &until, &changed); err != nil {
			return fmt.Errorf("read states of providers: %w", err)
		}
		if until > 0 {
			p.Until = db.Time(until)
		}
		if p.State == gobreaker.StateOpen.String() && !p.Until.After(now) {
			p.State = gobreaker.StateHalfOpen.String()
		}
		p.ChangedAt = db.Time(changed)
		s.Providers = append(s.Providers, p)
	}
	return rows.Err()
}

// readSends counts a code once, whichever of its messages brought it, and leaves
// out those that may still be typed.
func (s *Status) readSends(ctx context.Context, d *db.DB, now time.Time) error {
	rows, err := d.Query(ctx, `
		SELECT l.provider, l.region, count(*),
			count(CASE WHEN l.state = 'accepted' THEN 1 END),
			count(CASE WHEN l.state = 'rejected' THEN 1 END),
			count(CASE WHEN l.state IN ('unknown', 'reserved') THEN 1 END),
			count(CASE WHEN l.receipt = 'delivered' THEN 1 END),
			count(CASE WHEN l.receipt = 'undelivered' THEN 1 END),
			count(DISTINCT CASE WHEN c.consumed_at IS NOT NULL OR c.expires_at <= $2 THEN c.id END),
			count(DISTINCT CASE WHEN c.consumed_at IS NOT NULL THEN c.id END),
			CAST(COALESCE(sum(l.cost), 0) AS BIGINT)
		FROM sms_ledger l
		LEFT JOIN sms_challenges c ON c.id = l.challenge_id AND l.state <> 'rejected'
		WHERE l.reserved_at > $1
		GROUP BY l.provider, l.region ORDER BY l.provider, l.region`, db.Micros(s.Since), db.Micros(now))
	if err != nil {
		return fmt.Errorf("read what was sent: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var x Sends
		if err := rows.Scan(&x.Provider, &x.Region, &x.Messages, &x.Accepted, &x.Rejected, &x.Unknown,
			&x.Delivered, &x.Undelivered, &x.Codes, &x.Verified, &x.Cost); err != nil {
			return fmt.Errorf("read what was sent: %w", err)
		}
		s.Sends = append(s.Sends, x)
	}
	return rows.Err()
}
