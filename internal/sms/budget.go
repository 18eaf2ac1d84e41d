package sms

import (
	"context"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// day is the longest window of the ledger and of failures.
const day = 24 * time.Hour

// knownInHour is how many a recognised device may have on top of PerHour when
// strangers have used that up: else whoever bombs a number keeps its owner out for
// an hour, whatever is left of the day.
const knownInHour = 1

// sent is one message that counts against its number's budget.
type sent struct {
	at    int64 // Unix microseconds
	known bool

	id, challenge, provider string
	delivered               bool // the carrier says that it arrived
}

// countSends reads what counts for the number, newest first: all rows of the last
// 24 h but the rejected ones, and no more of them than the budget. The caller has
// asked for the number's lock; what leaves a window while that is waited for is
// read all the same, so the present is to be taken afterwards.
func (s *Service) countSends(ctx context.Context, lookup []byte) ([]sent, error) {
	rows, err := s.db.Query(ctx, `
		SELECT reserved_at, known_device, id, challenge_id, provider, receipt = 'delivered' FROM sms_ledger
		WHERE lookup = $1 AND reserved_at > $2 AND state <> 'rejected'
		ORDER BY reserved_at DESC LIMIT $3`, lookup, db.Micros(time.Now().Add(-day)), s.config.PerDay)
	if err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	defer rows.Close()
	var sends []sent
	for rows.Next() {
		var m sent
		if err := rows.Scan(&m.at, &m.known, &m.id, &m.challenge, &m.provider, &m.delivered); err != nil {
			return nil, fmt.Errorf("count messages: %w", err)
		}
		sends = append(sends, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	return sends, nil
}

// refuseSend decides from the exact times of a number's messages, newest first,
// whether one more has room in every window; nil if it has. Of several full
// windows it reports the one that keeps it longest. Times after now, left by a
// clock that was set back, count like now.
func (c *Config) refuseSend(sends []sent, now time.Time, known bool) *fault.Error {
	all := make([]int64, len(sends))
	var strangers, recognised []int64
	for i, m := range sends {
		all[i] = m.at
		if m.known {
			recognised = append(recognised, m.at)
		} else {
			strangers = append(strangers, m.at)
		}
	}
	refusal, longest := ErrTooSoon, wait(all, 1, c.Cooldown, now)
	inDay := wait(all, c.PerDay, day, now)
	if !known {
		inDay = max(inDay, wait(strangers, c.PerDay-c.KnownReserve, day, now))
	}
	if inDay > longest {
		refusal, longest = ErrDailyLimit, inDay
	}
	// The hour is looked at when the others have room: what is on top does not last.
	then := now.Add(longest)
	inHour := wait(all, c.PerHour, time.Hour, then)
	if onTop := wait(recognised, knownInHour, time.Hour, then); known && onTop < inHour &&
		wait(strangers, c.PerHour, time.Hour, then.Add(onTop)) > 0 {
		inHour = onTop
	}
	if inHour > 0 {
		refusal, longest = ErrHourlyLimit, longest+inHour
	}
	if longest > 0 {
		return refusal.After(longest)
	}
	return nil
}

// wait is how long it takes until a window of length per has room for one more
// than the given times, newest first; 0 if it has now.
func wait(times []int64, limit int, per time.Duration, now time.Time) time.Duration {
	if len(times) < limit {
		return 0
	}
	return max(0, db.Time(times[limit-1]).Add(per).Sub(now))
}
