package grant

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
)

// Burn leaves a revoked row for a code that must never be redeemed (wrong verifier), or revokes
// the existing one. A person who is gone needs no row: the code cannot be redeemed either.
func (s *Store) Burn(ctx context.Context, g Grant) error {
	now := db.Micros(time.Now())
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		n, err := s.db.Exec(ctx, `
			INSERT INTO grants (id, client_id, user_id, session_id, scope, audience, auth_time, amr, acr,
				salt, generation, rotated_at, created_at, expires_at, revoked_at)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
			WHERE EXISTS (SELECT 1 FROM users WHERE id = $3)
			ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at WHERE grants.revoked_at IS NULL`,
			append(columns(g), now)...)
		if err != nil || n == 0 {
			return err
		}
		return s.audit.Record(ctx, event(g.UserID, g.ClientID, g.ID, ReasonWrongVerifier))
	})
	if err != nil && !errors.Is(err, db.ErrConflict) {
		return fmt.Errorf("burn grant: %w", err)
	}
	return nil
}

// Revoke ends a grant and with it every token under it. Revoking again, or what does not
// exist, changes nothing and records nothing.
func (s *Store) Revoke(ctx context.Context, id, reason string) error {
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		var userID, clientID string
		err := s.db.QueryRow(ctx, `
			UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL
			RETURNING user_id, client_id`, id, db.Micros(time.Now())).Scan(&userID, &clientID)
		if errors.Is(err, db.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.audit.Record(ctx, event(userID, clientID, id, reason))
	})
	if err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return nil
}

// event tells theft from ordinary ends, since somebody should look at the former.
func event(userID, clientID, id, reason string) audit.Event {
	e := audit.Event{
		Name: "grant.revoked", Actor: "system", UserID: userID, ClientID: clientID,
		Detail: map[string]string{"grant": id, "reason": reason},
	}
	switch reason {
	case ReasonCodeReused, ReasonRefreshReused:
		e.Name = "grant.reuse_detected"
	case ReasonWrongVerifier:
		e.Name = "grant.code_burnt"
	case ReasonClient:
		e.Actor = "client:" + clientID
	case ReasonPerson:
		e.Actor = "user:" + userID
	case ReasonOperator:
		e.Actor = "operator"
	}
	return e
}

// RevokeSession ends the grants that live no longer than a person's browser session, that is
// those without offline_access, and returns how many.
func (s *Store) RevokeSession(ctx context.Context, userID, sessionID string) (int64, error) {
	if sessionID == "" { // native grants have none and must not end together
		return 0, nil
	}
	e := event(userID, "", "", ReasonSessionEnded)
	e.Detail["session"] = sessionID
	return s.revokeAll(ctx, e, `
		UPDATE grants SET revoked_at = $1
		WHERE session_id = $2 AND user_id = $3 AND revoked_at IS NULL
			AND replace(' ' || scope || ' ', ' offline_access ', '') = ' ' || scope || ' '`, sessionID, userID)
}

// EndSession ends everything that a person granted in one browser session, offline access
// included, at their own wish, and returns how many grants that was.
func (s *Store) EndSession(ctx context.Context, userID, sessionID string) (int64, error) {
	if sessionID == "" {
		return 0, nil
	}
	e := event(userID, "", "", ReasonPerson)
	e.Detail["session"] = sessionID
	return s.revokeAll(ctx, e, `
		UPDATE grants SET revoked_at = $1 WHERE user_id = $2 AND session_id = $3 AND revoked_at IS NULL`, userID, sessionID)
}

// EndOthers ends everything that a person granted outside of one browser session, by native
// apps too, at their own wish, and returns how many grants that was. One grant stays whatever
// its session; without a session ("") it is all that stays.
func (s *Store) EndOthers(ctx context.Context, userID, sessionID, grantID string) (int64, error) {
	return s.revokeAll(ctx, event(userID, "", "", ReasonPerson), `
		UPDATE grants SET revoked_at = $1
		WHERE user_id = $2 AND (session_id <> $3 OR session_id = '') AND id <> $4 AND revoked_at IS NULL`, userID, sessionID, grantID)
}

// RevokeUserClient ends everything a person granted to a client, and returns how many grants that was.
func (s *Store) RevokeUserClient(ctx context.Context, userID, clientID string) (int64, error) {
	e := event(userID, clientID, "", ReasonPerson)
	return s.revokeAll(ctx, e, `
		UPDATE grants SET revoked_at = $1 WHERE user_id = $2 AND client_id = $3 AND revoked_at IS NULL`, userID, clientID)
}

// RevokeUser ends everything a person granted to anybody, and returns how many grants that was.
func (s *Store) RevokeUser(ctx context.Context, userID, reason string) (int64, error) {
	return s.revokeAll(ctx, event(userID, "", "", reason), `
		UPDATE grants SET revoked_at = $1 WHERE user_id = $2 AND revoked_at IS NULL`, userID)
}

// revokeAll runs an update whose first argument is the time, with one audit record for all its rows.
func (s *Store) revokeAll(ctx context.Context, e audit.Event, statement string, args ...any) (n int64, err error) {
	args = append([]any{db.Micros(time.Now())}, args...)
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		n, err = s.db.Exec(ctx, statement, args...)
		if err != nil || n == 0 {
			return err
		}
		delete(e.Detail, "grant")
		e.Detail["grants"] = strconv.FormatInt(n, 10)
		return s.audit.Record(ctx, e)
	})
	if err != nil {
		return 0, fmt.Errorf("revoke grants: %w", err)
	}
	return n, nil
}

// RevokeToken remembers until its expiry that an access token without a grant, one of the
// client credentials grant, is void.
func (s *Store) RevokeToken(ctx context.Context, jti string, expires time.Time) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO revoked_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING`, jti, db.Micros(expires))
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// TokenRevoked says whether RevokeToken was told of a token.
func (s *Store) TokenRevoked(ctx context.Context, jti string) (bool, error) {
	var one int
	err := s.db.QueryRow(ctx, `SELECT 1 FROM revoked_tokens WHERE jti = $1`, jti).Scan(&one)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read revoked token: %w", err)
	}
	return true, nil
}
