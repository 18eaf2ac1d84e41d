package user

import (
	"context"
	"errors"
	"fmt"
)

// Reseal seals the identifiers and authenticator secrets anew that an older master
// secret sealed, in batches beside the running service, and returns how many it
// did. What does not open stays, and the error tells of it. Once it returns 0 with the new secret first everywhere, the old one opens
// nothing here any more.
func (s *Service) Reseal(ctx context.Context) (int64, error) {
	var total int64
	var errs []error
	for _, t := range []sealedColumn{
		{labelIdentifier, `SELECT user_id, kind, sealed FROM identifiers WHERE (user_id, kind) > ($1, $2) ORDER BY user_id, kind LIMIT 500`,
			`UPDATE identifiers SET sealed = $1 WHERE user_id = $2 AND kind = $3 AND sealed = $4`},
		{labelIdentifier, `SELECT user_id, 'phone', sealed FROM former_numbers WHERE (user_id, 'phone') > ($1, $2) ORDER BY user_id LIMIT 500`,
			`UPDATE former_numbers SET sealed = $1 WHERE user_id = $2 AND $3 = 'phone' AND sealed = $4`},
		{labelTOTP, `SELECT user_id, 'sealed', sealed FROM totp WHERE (user_id, 'sealed') > ($1, $2) AND sealed IS NOT NULL ORDER BY user_id LIMIT 500`,
			`UPDATE totp SET sealed = $1 WHERE user_id = $2 AND $3 = 'sealed' AND sealed = $4`},
		{labelTOTP, `SELECT user_id, 'pending', pending FROM totp WHERE (user_id, 'pending') > ($1, $2) AND pending IS NOT NULL ORDER BY user_id LIMIT 500`,
			`UPDATE totp SET pending = $1 WHERE user_id = $2 AND $3 = 'pending' AND pending = $4`},
	} {
		n, err := s.resealColumn(ctx, t)
		total += n
		errs = append(errs, err)
	}
	return total, errors.Join(errs...)
}

// sealedColumn is one whose values are sealed under a label for their user. list
// goes on after a row's key; replace changes a value that is still what was read,
// so what was written meanwhile, which is as new as can be, stays.
type sealedColumn struct{ label, list, replace string }

func (s *Service) resealColumn(ctx context.Context, c sealedColumn) (total int64, err error) {
	var last sealedValue
	var errs []error
	for {
		batch, err := s.sealedAfter(ctx, c, last)
		if err != nil || len(batch) == 0 {
			return total, errors.Join(append(errs, err)...)
		}
		for _, r := range batch {
			last = r
			if s.vault.Current(r.sealed) {
				continue
			}
			value, err := s.vault.Open(c.label, r.sealed, []byte(r.userID))
			if err != nil {
				errs = append(errs, fmt.Errorf("open what is sealed for user %s: %w", r.userID, err))
				continue
			}
			n, err := s.db.Exec(ctx, c.replace, s.vault.Seal(c.label, value, []byte(r.userID)), r.userID, r.kind, r.sealed)
			if err != nil {
				return total, errors.Join(append(errs, fmt.Errorf("reseal: %w", err))...)
			}
			total += n
		}
	}
}

type sealedValue struct {
	userID, kind string
	sealed       []byte
}

func (s *Service) sealedAfter(ctx context.Context, c sealedColumn, after sealedValue) ([]sealedValue, error) {
	rows, err := s.db.Query(ctx, c.list, after.userID, after.kind)
	if err != nil {
		return nil, fmt.Errorf("list what is sealed: %w", err)
	}
	defer rows.Close()
	var batch []sealedValue
	for rows.Next() {
		var r sealedValue
		if err := rows.Scan(&r.userID, &r.kind, &r.sealed); err != nil {
			return nil, fmt.Errorf("read what is sealed: %w", err)
		}
		batch = append(batch, r)
	}
	return batch, rows.Err()
}
