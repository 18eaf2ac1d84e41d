package user

import (
	"context"
	"fmt"
)

// Reseal seals the numbers anew that an older master secret sealed, in batches
// beside the running service, and returns how many it did. Once it returns 0 with
// the new secret first everywhere, the old one opens nothing here any more.
func (s *Service) Reseal(ctx context.Context) (int64, error) {
	var total int64
	after := []byte{}
	for {
		batch, err := s.sealedAfter(ctx, after)
		if err != nil || len(batch) == 0 {
			return total, err
		}
		for _, r := range batch {
			after = r.lookup
			if s.vault.Current(r.sealed) {
				continue
			}
			number, err := s.vault.Open(labelIdentifier, r.sealed, []byte(r.userID))
			if err != nil {
				return total, fmt.Errorf("open the number of user %s: %w", r.userID, err)
			}
			// The number may be another's by now; then its row is as new as can be.
			n, err := s.db.Exec(ctx, `UPDATE identifiers SET sealed = $1 WHERE kind = 'phone' AND lookup = $2 AND user_id = $3`,
				s.vault.Seal(labelIdentifier, number, []byte(r.userID)), r.lookup, r.userID)
			if err != nil {
				return total, fmt.Errorf("reseal a number: %w", err)
			}
			total += n
		}
	}
}

type sealedNumber struct {
	lookup, sealed []byte
	userID         string
}

func (s *Service) sealedAfter(ctx context.Context, after []byte) ([]sealedNumber, error) {
	rows, err := s.db.Query(ctx, `
		SELECT lookup, user_id, sealed FROM identifiers WHERE kind = 'phone' AND lookup > $1 ORDER BY lookup LIMIT 500`, after)
	if err != nil {
		return nil, fmt.Errorf("list sealed numbers: %w", err)
	}
	defer rows.Close()
	var batch []sealedNumber
	for rows.Next() {
		var r sealedNumber
		if err := rows.Scan(&r.lookup, &r.userID, &r.sealed); err != nil {
			return nil, fmt.Errorf("read a sealed number: %w", err)
		}
		batch = append(batch, r)
	}
	return batch, rows.Err()
}
