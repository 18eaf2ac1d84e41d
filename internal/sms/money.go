package sms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// anyRegion is the key of what holds for regions that are not named.
const anyRegion = "*"

// Millionths is an amount of money in millionths of its currency: prices of
// messages have up to five places, and sums of them stay exact.
type Millionths int64

// ParseMillionths reads a decimal such as "0.045", exactly: at most six places,
// no sign, no exponent.
func ParseMillionths(text string) (Millionths, error) {
	const places, longest = 6, 18
	errAmount := errors.New("must be an amount such as 0.045, with no more than six places")
	var n Millionths
	digits, after, point := 0, 0, false
	for _, r := range text {
		switch {
		case r == '.' && !point && digits > 0:
			point = true
		case r >= '0' && r <= '9' && after < places:
			n = 10*n + Millionths(r-'0')
			digits++
			if point {
				after++
			}
		default:
			return 0, errAmount
		}
	}
	if digits == 0 || point && after == 0 || digits-after > longest-places {
		return 0, errAmount
	}
	for ; after < places; after++ {
		n *= 10
	}
	return n, nil
}

// String is the amount as a decimal without needless zeros.
func (m Millionths) String() string {
	const unit = 1_000_000
	text := fmt.Sprintf("%d.%06d", m/unit, m%unit)
	for text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	if text[len(text)-1] == '.' {
		text = text[:len(text)-1]
	}
	return text
}

// Float is the amount for a chart.
func (m Millionths) Float() float64 { return float64(m) / 1e6 }

// cost is what a message costs that a provider took or may have taken.
func (c *Config) cost(state, provider, region string) Millionths {
	if state != accepted && state != unknown {
		return 0
	}
	prices := c.Prices[provider]
	if price, ok := prices[region]; ok {
		return price
	}
	return prices[anyRegion]
}

// SpendRow is what one provider was given to send to one region.
type SpendRow struct {
	Provider, Region string
	Messages         int64 // taken by the provider, or perhaps taken
	Delivered        int64 // as far as there are receipts
	Verified         int64 // challenges whose code was used; challenges are kept for a day
	Cost             Millionths
}

// Spend sums up the messages since from, by provider and region. It needs no
// Service, for an operator beside running servers.
func Spend(ctx context.Context, d *db.DB, from time.Time) ([]SpendRow, error) {
	rows, err := d.Query(ctx, `
		SELECT l.provider, l.region, count(*), count(CASE WHEN l.receipt = 'delivered' THEN 1 END),
			count(DISTINCT CASE WHEN c.consumed_at IS NOT NULL THEN c.id END), CAST(sum(l.cost) AS BIGINT)
		FROM sms_ledger l LEFT JOIN sms_challenges c ON c.id = l.challenge_id
		WHERE l.reserved_at >= $1 AND l.state IN ('accepted', 'unknown')
		GROUP BY l.provider, l.region ORDER BY l.provider, l.region`, db.Micros(from))
	if err != nil {
		return nil, fmt.Errorf("sum up messages: %w", err)
	}
	defer rows.Close()
	var all []SpendRow
	for rows.Next() {
		var r SpendRow
		if err := rows.Scan(&r.Provider, &r.Region, &r.Messages, &r.Delivered, &r.Verified, &r.Cost); err != nil {
			return nil, fmt.Errorf("sum up messages: %w", err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sum up messages: %w", err)
	}
	return all, nil
}

// checkMoney holds the prices against the routes.
func (c *Config) checkMoney() error {
	if c.BudgetPerDay < 0 {
		return errors.New("sms: the day's budget must not be negative")
	}
	for _, region := range c.Regions {
		route, own := c.Routes[region]
		if !own {
			route = c.Routes[anyRegion]
		}
		for _, p := range route.Providers {
			_, here := c.Prices[p.Name()][region]
			_, anywhere := c.Prices[p.Name()][anyRegion]
			if c.BudgetPerDay > 0 && !here && !anywhere {
				return fmt.Errorf("sms: provider %s has no price for region %s, so the day's budget could not hold", p.Name(), region)
			}
		}
	}
	if len(c.Prices) > 0 && c.Currency == "" {
		return errors.New("sms: prices need a currency")
	}
	return nil
}
