package grant

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// Create inserts the grant if its id is new, its user is active and its sign-in still counts:
// no later sign-out of everything else, and its browser session, if it has one, goes on. One
// statement, the compare-and-set of code redemption. ErrUsed if the id exists, else
// ErrUserInactive or ErrSignedOut.
func (s *Store) Create(ctx context.Context, g Grant) error { return s.create(ctx, g, "") }

// CreateConsented is Create for a client that has only what the person allowed it: if they
// withdrew that since, ErrSignedOut.
func (s *Store) CreateConsented(ctx context.Context, g Grant) error {
	return s.create(ctx, g, "AND EXISTS (SELECT 1 FROM consents WHERE user_id = $3 AND client_id = $2)")
}

// create takes one more condition, a literal of the two above, so that grants without it pay nothing for it.
func (s *Store) create(ctx context.Context, g Grant, condition string) error {
	n, err := s.db.Exec(ctx, `
		INSERT INTO grants (id, client_id, user_id, session_id, scope, audience, auth_time, amr, acr,
			salt, generation, rotated_at, created_at, expires_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
		WHERE EXISTS (SELECT 1 FROM users WHERE id = $3 AND status = 'active'
				AND (grants_after < $7 OR $4 <> '' AND kept_session = $4 AND grants_after < $16))
			AND ($4 = '' OR EXISTS (SELECT 1 FROM sessions WHERE id = $4 AND user_id = $3 AND ended_at IS NULL AND expires_at > $15))
			`+condition+`
		ON CONFLICT (id) DO NOTHING`,
		append(columns(g), db.Micros(time.Now()), db.Micros(g.issued()))...)
	switch {
	case errors.Is(err, db.ErrConflict): // the user was deleted between the check and the insert
		return ErrUserInactive
	case err != nil:
		return fmt.Errorf("create grant: %w", err)
	case n == 1:
		return nil
	}
	return s.whyNotCreated(ctx, g)
}

// whyNotCreated costs a read that only losers pay. That the grant exists comes first: a code
// that was used twice is a theft, whatever happened since.
func (s *Store) whyNotCreated(ctx context.Context, g Grant) error {
	var grants, users int
	err := s.db.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM grants WHERE id = $1), (SELECT count(*) FROM users WHERE id = $2 AND status = 'active')`,
		g.ID, g.UserID).Scan(&grants, &users)
	switch {
	case err != nil:
		return fmt.Errorf("read grant: %w", err)
	case grants > 0:
		return ErrUsed
	case users == 0:
		return ErrUserInactive
	}
	return ErrSignedOut
}

// columns are the values of a row in the order of the insert statements.
func columns(g Grant) []any {
	return []any{
		g.ID, g.ClientID, g.UserID, g.SessionID, strings.Join(g.Scope, " "), strings.Join(g.Audience, " "),
		db.Micros(g.AuthTime), strings.Join(g.AMR, " "), g.ACR, g.Salt, g.Generation,
		db.Micros(g.RotatedAt), db.Micros(g.CreatedAt), db.Micros(g.ExpiresAt),
	}
}

// Find reads one grant with what its tokens depend on. db.ErrNotFound.
func (s *Store) Find(ctx context.Context, id string) (Live, error) {
	l, err := scan(s.db.QueryRow(ctx, `
		SELECT g.id, g.client_id, g.user_id, g.session_id, g.scope, g.audience, g.auth_time, g.amr, g.acr,
			g.salt, g.generation, g.rotated_at, g.created_at, g.expires_at, g.revoked_at,
			u.status, u.claims, u.updated_at, u.grants_after, u.kept_session, i.sealed, i.verified_at, s.expires_at, s.ended_at, s.copied
		FROM grants g
		LEFT JOIN users u ON u.id = g.user_id
		LEFT JOIN identifiers i ON i.user_id = g.user_id AND i.kind = 'phone'
		LEFT JOIN sessions s ON s.id = g.session_id
		WHERE g.id = $1`, id))
	if err != nil {
		return Live{}, fmt.Errorf("read grant: %w", err)
	}
	return l, nil
}

// listed bounds ListUser: a script may sign in all day.
const listed = 1000

// ListUser returns 1000 grants of a person at most: those that are neither revoked nor
// expired first, then the others for as long as they are kept, each the newest first.
func (s *Store) ListUser(ctx context.Context, userID string) ([]Live, error) {
	rows, err := s.db.Query(ctx, `
		SELECT g.id, g.client_id, g.user_id, g.session_id, g.scope, g.audience, g.auth_time, g.amr, g.acr,
			g.salt, g.generation, g.rotated_at, g.created_at, g.expires_at, g.revoked_at,
			u.status, u.claims, u.updated_at, u.grants_after, u.kept_session, i.sealed, i.verified_at, s.expires_at, s.ended_at, s.copied
		FROM grants g
		LEFT JOIN users u ON u.id = g.user_id
		LEFT JOIN identifiers i ON i.user_id = g.user_id AND i.kind = 'phone'
		LEFT JOIN sessions s ON s.id = g.session_id
		WHERE g.user_id = $1
		ORDER BY CASE WHEN g.revoked_at IS NULL AND g.expires_at > $3 THEN 0 ELSE 1 END, g.created_at DESC, g.id DESC LIMIT $2`,
		userID, listed, db.Micros(time.Now()))
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	defer rows.Close()
	var list []Live
	for rows.Next() {
		l, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list grants: %w", err)
		}
		list = append(list, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	return list, nil
}

// scan reads the columns of Find and ListUser.
func scan(row interface{ Scan(...any) error }) (Live, error) {
	var l Live
	var scope, audience, amr string
	var authTime, rotated, created, expires int64
	var revoked, verified, updated, after, sessionExpires, sessionEnded sql.NullInt64
	var status, claims, kept sql.NullString
	var copied sql.NullBool
	if err := row.Scan(
		&l.ID, &l.ClientID, &l.UserID, &l.SessionID, &scope, &audience, &authTime, &amr, &l.ACR,
		&l.Salt, &l.Generation, &rotated, &created, &expires, &revoked,
		&status, &claims, &updated, &after, &kept, &l.PhoneSealed, &verified, &sessionExpires, &sessionEnded, &copied); err != nil {
		return Live{}, err
	}
	l.Scope, l.Audience, l.AMR = strings.Fields(scope), strings.Fields(audience), strings.Fields(amr)
	l.AuthTime, l.RotatedAt, l.CreatedAt, l.ExpiresAt = db.Time(authTime), db.Time(rotated), db.Time(created), db.Time(expires)
	if revoked.Valid {
		l.RevokedAt = db.Time(revoked.Int64)
	}
	l.UserActive, l.UserClaims, l.UserUpdatedAt = status.String == "active", claims.String, db.Time(updated.Int64)
	l.PhoneVerifiedAt, l.GrantsAfter, l.KeptSession = verified.Int64, db.Time(after.Int64), kept.String
	// A session that expired is deleted some time later, so a missing row means the same.
	over := !sessionExpires.Valid || sessionEnded.Valid || sessionExpires.Int64 <= db.Micros(time.Now())
	l.SessionCopied = copied.Bool
	l.SessionEnded = l.SessionID != "" && over
	return l, nil
}

// Rotate moves the generation from 'from' to from+1 and gives the grant a new expiry;
// false if it was not 'from', revoked or expired any more, or another client's.
func (s *Store) Rotate(ctx context.Context, id, clientID string, from int64, now, expires time.Time) (bool, error) {
	n, err := s.db.Exec(ctx, `
		UPDATE grants SET generation = generation + 1, rotated_at = $4, expires_at = $5
		WHERE id = $1 AND client_id = $2 AND generation = $3 AND revoked_at IS NULL AND expires_at > $4`,
		id, clientID, from, db.Micros(now), db.Micros(expires))
	if err != nil {
		return false, fmt.Errorf("rotate grant: %w", err)
	}
	return n == 1, nil
}

// purgeBatch rows are deleted at a time, so that no lock is held for long.
const purgeBatch = 500

// keepExpired is how long a grant stays after its end, for whoever looks into what happened.
const keepExpired = 30 * 24 * time.Hour

// Purge deletes grants 30 days after their expiry and revoked tokens after theirs, in
// small batches, and returns how many rows went. The last use of a grant is its
// person's before it goes: see user.Accounts for what depends on that.
func (s *Store) Purge(ctx context.Context, now time.Time) (int64, error) {
	grants, err := s.purge(ctx, `
		UPDATE users SET seen_at = (SELECT MAX(rotated_at) FROM grants WHERE user_id = users.id)
		WHERE id IN (SELECT user_id FROM grants WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
			AND EXISTS (SELECT 1 FROM grants g WHERE g.user_id = users.id AND g.rotated_at > users.seen_at)`, `
		DELETE FROM grants WHERE id IN (
			SELECT id FROM grants WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
			AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = grants.user_id AND u.seen_at < grants.rotated_at)`, now.Add(-keepExpired))
	if err != nil {
		return grants, fmt.Errorf("purge grants: %w", err)
	}
	tokens, err := s.purge(ctx, "", `
		DELETE FROM revoked_tokens WHERE jti IN (
			SELECT jti FROM revoked_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, now)
	if err != nil {
		return grants + tokens, fmt.Errorf("purge revoked tokens: %w", err)
	}
	return grants + tokens, nil
}

// purge runs statement, each time after another one if there is one, until it finds nothing more.
func (s *Store) purge(ctx context.Context, first, statement string, before time.Time) (total int64, err error) {
	for {
		if first != "" {
			if _, err := s.db.Exec(ctx, first, db.Micros(before), purgeBatch); err != nil {
				return total, err
			}
		}
		n, err := s.db.Exec(ctx, statement, db.Micros(before), purgeBatch)
		total += n
		if err != nil || n < purgeBatch {
			return total, err
		}
	}
}
