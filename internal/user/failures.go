package user

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// ErrTooManyTries asks to wait, by RetryAfter. Whether anything that was typed is
// anybody's does not show in it.
var ErrTooManyTries = fault.New(http.StatusTooManyRequests, "rate_limited", "too many tries, wait before the next one")

// failureWindow is how long a failure counts, unless another one follows.
const failureWindow = 15 * time.Minute

// tried is one thing that tries are counted of.
type tried struct {
	lookup []byte // of credential_failures
	userID string // whose row it is, "" for nobody's
}

// triedFactor counts wrong passwords, codes or recovery codes of an account.
func (s *Service) triedFactor(userID, factor string) tried {
	return tried{s.vault.Index(labelFailures, []byte("account|"+userID+"|"+factor)), userID}
}

// triedName counts what was typed as the name of an account. The devices that the
// owner signed in on before have a count of their own, here and of the factor, so
// no stranger's guesses make the owner wait there.
func (s *Service) triedName(id identifier, o owner) tried {
	return tried{s.vault.Index(labelFailures, []byte("typed"+o.pool()+"|"+id.kind+"|"+id.value)), o.ID}
}

// charge counts a try as a failure before anything is compared, and is durable when
// it returns; a right answer takes it back by forgive. It returns how long to wait
// instead where the try must not be made: after ten failures, none of which 15
// minutes passed behind, a second, then twice as long each time, 15 minutes at
// most. The statement that counts decides, so no two tries share a place.
func (s *Service) charge(ctx context.Context, t tried) (wait time.Duration, err error) {
	now := time.Now()
	var owner any
	if t.userID != "" {
		owner = t.userID
	}
	err = s.db.QueryRow(ctx, `
		INSERT INTO credential_failures AS f (lookup, user_id, failures, last_at, next_at) VALUES ($1, $2, 1, $3, 0)
		ON CONFLICT (lookup) DO UPDATE SET
			user_id = excluded.user_id,
			failures = CASE WHEN f.last_at <= $4 THEN 1 ELSE f.failures + 1 END,
			last_at = excluded.last_at,
			next_at = CASE
				WHEN f.last_at <= $4 OR f.failures < 9 THEN 0
				WHEN f.failures < 19 THEN excluded.last_at + 1000000 * (CAST(1 AS BIGINT) << CAST(f.failures - 9 AS INTEGER))
				ELSE excluded.last_at + 900000000 END
		WHERE f.next_at <= excluded.last_at
		RETURNING 0`,
		t.lookup, owner, db.Micros(now), db.Micros(now.Add(-failureWindow))).Scan(&wait)
	if !isNotFound(err) {
		if err != nil {
			return 0, fmt.Errorf("count a try: %w", err)
		}
		return 0, nil
	}
	var next int64
	err = s.db.QueryRow(ctx, `SELECT next_at FROM credential_failures WHERE lookup = $1`, t.lookup).Scan(&next)
	if err != nil && !isNotFound(err) { // deleted meanwhile: somebody got it right
		return 0, fmt.Errorf("look at failures: %w", err)
	}
	return max(db.Time(next).Sub(now), time.Second), nil
}

// forgive ends the counts of what was right; it joins the transaction in ctx.
func (s *Service) forgive(ctx context.Context, list ...tried) error {
	for _, t := range list {
		if err := s.db.ExecLater(ctx, `DELETE FROM credential_failures WHERE lookup = $1`, t.lookup); err != nil {
			return fmt.Errorf("forget failures: %w", err)
		}
	}
	return nil
}

// perAddress is how many passwords of one address may be wrong in failureWindow,
// whosever they are. Many people share one behind a carrier's NAT.
const perAddress = 50

// spend takes from a coarse limit, which a cache may lose; refund gives it back.
func (s *Service) spend(ctx context.Context, l ephemeral.Limit) (refund func(context.Context), err error) {
	if s.limits == nil {
		return nil, fault.Unavailable.Because(fmt.Errorf("spend %s: no store to count in", l.Key))
	}
	limits := []ephemeral.Limit{l}
	d, err := s.limits.Spend(ctx, limits)
	if err != nil {
		return nil, fault.Unavailable.Because(fmt.Errorf("spend tries: %w", err)).After(5 * time.Second)
	}
	if !d.Allowed {
		return nil, ErrTooManyTries.After(d.RetryAfter)
	}
	return func(ctx context.Context) {
		// Without it an address has one try less for 15 minutes.
		_ = s.limits.Refund(ctx, limits, d)
	}, nil
}

// spendOwn takes one of most that a person has of an act which costs us much.
func (s *Service) spendOwn(ctx context.Context, act, userID string, most int64, per time.Duration) error {
	_, err := s.spend(ctx, ephemeral.Limit{Key: act + ":user:" + userID, Max: most, Per: per})
	return err
}

func (s *Service) spendAddress(ctx context.Context, a netip.Addr) (refund func(context.Context), err error) {
	key := base64.RawURLEncoding.EncodeToString(s.vault.Index(labelFailures, []byte("address|"+string(networkOf(a)))))
	return s.spend(ctx, ephemeral.Limit{Key: "password:address:" + key, Max: perAddress, Per: failureWindow})
}
