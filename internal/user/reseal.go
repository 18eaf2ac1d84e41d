package user

import (
	"context"
	"fmt"
)

// Reseal seals the numbers anew that an older master secret sealed, in batches
// beside the running service, and returns how many it did. Once it returns 0 with
// the new secret first everywhere, the old one opens nothing here any more.
func (s *Service) Reseal(ctx context.Context) (int64, error) {
	// The number may be another's by the time of the update; then its row is as new as can be.
	live, err := reseal[[]byte](ctx, s, `
		SELECT lookup, user_id, sealed FROM identifiers WHERE kind = 'phone' AND lookup > $1 ORDER BY lookup LIMIT 500`, `
		UPDATE identifiers SET sealed = $1 WHERE kind = 'phone' AND lookup = $2 AND user_id = $3`)
	if err != nil {
		return live, err
	}
	former, err := reseal[string](ctx, s, `
		SELECT user_id, user_id, sealed FROM former_numbers WHERE user_id > $1 ORDER BY user_id LIMIT 500`, `
		UPDATE former_numbers SET sealed = $1 WHERE user_id = $2 AND user_id = $3`)
	return live + former, err
}

// reseal goes through the rows that list returns after a key, in its order; update
// is given what is sealed anew, the key and the account.
func reseal[K string | []byte](ctx context.Context, s *Service, list, update string) (total int64, err error) {
	for after := K(""); ; {
		batch, err := sealedAfter(ctx, s, list, after)
		if err != nil || len(batch) == 0 {
			return total, err
		}
		for _, r := range batch {
			after = r.key
			if s.vault.Current(r.sealed) {
				continue
			}
			number, err := s.vault.Open(labelIdentifier, r.sealed, []byte(r.userID))
			if err != nil {
				return total, fmt.Errorf("open the number of user %s: %w", r.userID, err)
			}
			n, err := s.db.Exec(ctx, update, s.vault.Seal(labelIdentifier, number, []byte(r.userID)), r.key, r.userID)
			if err != nil {
				return total, fmt.Errorf("reseal a number: %w", err)
			}
			total += n
		}
	}
}

type sealedNumber[K string | []byte] struct {
	key    K
	userID string
	sealed []byte
}

func sealedAfter[K string | []byte](ctx context.Context, s *Service, list string, after K) ([]sealedNumber[K], error) {
	rows, err := s.db.Query(ctx, list, after)
	if err != nil {
		return nil, fmt.Errorf("list sealed numbers: %w", err)
	}
	defer rows.Close()
	var batch []sealedNumber[K]
	for rows.Next() {
		var r sealedNumber[K]
		if err := rows.Scan(&r.key, &r.userID, &r.sealed); err != nil {
			return nil, fmt.Errorf("read a sealed number: %w", err)
		}
		batch = append(batch, r)
	}
	return batch, rows.Err()
}
