package sms

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

const (
	reportWindow = 3 * day          // how old a message may be when its report comes
	orphanAge    = 30 * time.Second // a row reserved for longer belongs to a process that died: deliverTime and settleTime are less
	reportBatch  = 100              // rows changed in one transaction, so that SQLite's writer is not held for long
)

// reported is the ledger row that a report is about.
type reported struct {
	id, state, provider, receipt string
	lookup                       []byte
	receiptAt, reservedAt        int64
}

// change is a report and its row.
type change struct {
	row    reported
	report Report
	made   bool
}

// apply writes reports into the ledger. A row takes the first verdict, and after
// that only the other one if its carrier gave it later, whichever came in first;
// so duplicates, replays and late reports of a message on its way change nothing.
//
// A report of any status shows that the vendor took the message: an unknown row
// becomes accepted, and so does one that a dead process left reserved. Both
// count like before. No row becomes rejected, and a rejected one, which was
// given back, stays as it is.
func (s *Service) apply(ctx context.Context, provider, source string, reports []Report) error {
	now := clock()
	tell := func(status string) {
		s.config.Observer.ReceiptReceived(ReceiptReceived{Provider: provider, Status: status, Source: source})
	}
	var changes []change
	for _, r := range reports {
		row, err := s.findReported(ctx, provider, r, now)
		switch {
		case errors.Is(err, db.ErrNotFound):
			tell(receiptUnmatched)
		case err != nil:
			return err
		default:
			r.At = verdictTime(r.At, row, now)
			changes = append(changes, change{row: row, report: r})
		}
	}
	// In one order everywhere: pushes that overlap do not wait in a circle.
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.row.id, b.row.id) })
	for batch := range slices.Chunk(changes, reportBatch) {
		if err := s.record(ctx, provider, batch, now); err != nil {
			return err
		}
		for _, c := range batch {
			tell(c.status())
		}
	}
	return nil
}

// verdictTime is neither before the message nor in the future.
func verdictTime(at time.Time, row reported, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	if reserved := db.Time(row.reservedAt); at.Before(reserved) {
		return reserved
	}
	return at
}

// status is what the observer is told of a report whose row was found.
func (c change) status() string {
	switch {
	case c.report.Status == StatusSent:
		return receiptPending
	case c.made:
		return c.report.Status
	}
	return receiptDuplicate
}

const reportedColumns = `id, lookup, state, provider, receipt, COALESCE(receipt_at, 0), reserved_at`

// findReported finds the row by the message's own id where the vendor brings it
// back, else by number, provider and the vendor's id. The number must be the
// row's if the vendor tells it, and the provider must be the last that was asked;
// while one is being asked the row does not name it yet. db.ErrNotFound if there
// is none.
func (s *Service) findReported(ctx context.Context, provider string, r Report, now time.Time) (reported, error) {
	since := db.Micros(now.Add(-reportWindow))
	var row reported
	into := []any{&row.id, &row.lookup, &row.state, &row.provider, &row.receipt, &row.receiptAt, &row.reservedAt}
	if r.MessageID != "" {
		err := s.db.QueryRow(ctx, `SELECT `+reportedColumns+` FROM sms_ledger WHERE id = $1`, r.MessageID).Scan(into...)
		switch {
		case err != nil:
			return reported{}, fmt.Errorf("find message of a report: %w", err)
		case row.reservedAt < since, row.state == rejected, row.provider != provider && row.state != reserved, !s.isOf(row.lookup, r.Numbers):
			return reported{}, db.ErrNotFound
		}
		return row, nil
	}
	if r.Ref == "" {
		return reported{}, db.ErrNotFound
	}
	for _, n := range r.Numbers {
		err := s.db.QueryRow(ctx, `
			SELECT `+reportedColumns+` FROM sms_ledger
			WHERE lookup = $1 AND reserved_at >= $2 AND provider = $3 AND provider_ref = $4 AND state <> 'rejected'
			ORDER BY reserved_at DESC LIMIT 1`, n.Index(s.vault), since, provider, r.Ref).Scan(into...)
		if err == nil {
			return row, nil
		}
		if !errors.Is(err, db.ErrNotFound) {
			return reported{}, fmt.Errorf("find message of a report: %w", err)
		}
	}
	return reported{}, db.ErrNotFound
}

// isOf reports whether a row is of one of the numbers; it is if there are none.
func (s *Service) isOf(lookup []byte, numbers []Number) bool {
	return len(numbers) == 0 || slices.ContainsFunc(numbers, func(n Number) bool { return bytes.Equal(n.Index(s.vault), lookup) })
}

// record makes the changes that are still due, in one transaction; none is begun
// if all of them were made before. Each statement decides for itself, so that of
// parallel duplicates one changes the row.
func (s *Service) record(ctx context.Context, provider string, changes []change, now time.Time) error {
	if !slices.ContainsFunc(changes, func(c change) bool { return c.settles(now) || c.decides() }) {
		return nil
	}
	return s.db.Tx(ctx, func(ctx context.Context) error {
		for i := range changes {
			c := &changes[i]
			c.made = false
			if c.settles(now) {
				if err := s.acceptReported(ctx, provider, *c, now); err != nil {
					return err
				}
			}
			if !c.decides() {
				continue
			}
			n, err := s.db.Exec(ctx, `
				UPDATE sms_ledger SET receipt = $2, receipt_code = $3, receipt_at = $4
				WHERE id = $1 AND state <> 'rejected' AND (receipt = '' OR receipt <> $2 AND receipt_at < $4)`,
				c.row.id, c.report.Status, c.report.Reason, db.Micros(c.report.At))
			if err != nil {
				return fmt.Errorf("record delivery report: %w", err)
			}
			c.made = n == 1
		}
		return nil
	})
}

// settles reports whether the row is still open whether the vendor took the message.
func (c change) settles(now time.Time) bool {
	return c.row.state == unknown || c.row.state == reserved && c.row.reservedAt < db.Micros(now.Add(-orphanAge))
}

// decides reports whether the verdict is news for the row.
func (c change) decides() bool {
	return c.report.Status != StatusSent &&
		(c.row.receipt == "" || c.row.receipt != c.report.Status && c.row.receiptAt < db.Micros(c.report.At))
}

// acceptReported settles the row of a message that the vendor knows. A reference
// that repeats the number is left out, as it is from an answer to Send.
func (s *Service) acceptReported(ctx context.Context, provider string, c change, now time.Time) error {
	ref := ""
	for _, n := range c.report.Numbers {
		if ref = wireRef(c.report.Ref, Message{To: n}); ref == "" {
			break
		}
	}
	_, err := s.db.Exec(ctx, `
		UPDATE sms_ledger SET state = 'accepted', provider = $2, settled_at = COALESCE(settled_at, $4),
			provider_ref = CASE WHEN provider_ref = '' THEN $3 ELSE provider_ref END
		WHERE id = $1 AND (state = 'unknown' OR state = 'reserved' AND reserved_at < $5)`,
		c.row.id, provider, ref, db.Micros(now), db.Micros(now.Add(-orphanAge)))
	if err != nil {
		return fmt.Errorf("settle a message by its report: %w", err)
	}
	return nil
}

// undeliveredReason is what a person may be told of a receipt_code. That a number
// is on a list is nobody's to learn, and the provider's troubles are ours.
func undeliveredReason(receiptCode string) string {
	class, _, _ := strings.Cut(receiptCode, " ")
	switch Class(class) {
	case Unreachable:
		return "off"
	case BadNumber:
		return "number"
	case NumberLimited:
		return "limited"
	}
	return ""
}
