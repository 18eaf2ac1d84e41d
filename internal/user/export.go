package user

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// ListSessions returns a user's sessions that did not expire, newest first,
// ended ones included.
func (s *Service) ListSessions(ctx context.Context, userID string) ([]Session, error) {
	rows, err := s.db.Query(ctx, `
		SELECT id, user_id, auth_time, amr, acr, user_agent, ip_prefix, created_at, seen_at, expires_at, ended_at
		FROM sessions WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at DESC, id DESC`,
		userID, db.Micros(time.Now()))
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	defer rows.Close()
	out := []Session{} // [] in JSON, not null
	for rows.Next() {
		var (
			sess                        Session
			amr                         string
			authTime, from, seen, until int64
			ended                       *int64
		)
		if err := rows.Scan(&sess.ID, &sess.UserID, &authTime, &amr, &sess.ACR, &sess.UserAgent, &sess.IPPrefix,
			&from, &seen, &until, &ended); err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
		sess.AuthTime, sess.AMR = db.Time(authTime), strings.Fields(amr)
		sess.CreatedAt, sess.SeenAt, sess.ExpiresAt = db.Time(from), db.Time(seen), db.Time(until)
		if ended != nil {
			sess.EndedAt = db.Time(*ended)
		}
		out = append(out, sess)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return out, nil
}

// Agreement is a version of the terms that a person agreed to.
type Agreement struct {
	Version  string    `json:"version"`
	ClientID string    `json:"client_id,omitempty"`
	Locale   string    `json:"locale"`
	IPPrefix string    `json:"ip_prefix,omitempty"`
	AgreedAt time.Time `json:"agreed_at"`
}

// Export returns what this package keeps about one person as a JSON object: the
// account under the standard claim names, what it is found by, which credentials
// there are (never what they are), agreements, sessions and the names of passkeys.
// Exporting is recorded.
func (s *Service) Export(ctx context.Context, id string) ([]byte, error) {
	u, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	agreements, err := s.agreements(ctx, id)
	if err != nil {
		return nil, err
	}
	sessions, err := s.ListSessions(ctx, id)
	if err != nil {
		return nil, err
	}
	passkeys, err := s.Passkeys(ctx, id)
	if err != nil {
		return nil, err
	}
	identifiers, err := s.Identifiers(ctx, id)
	if err != nil {
		return nil, err
	}
	credentials, err := s.credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	document := u.Document()
	document["identifiers"] = identifiers
	document["credentials"] = credentials
	document["agreements"] = agreements
	document["sessions"] = sessions
	document["passkeys"] = passkeys
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode export: %w", err)
	}
	return text, s.record(ctx, "user.exported", operator, id, nil)
}

func (s *Service) agreements(ctx context.Context, id string) ([]Agreement, error) {
	rows, err := s.db.Query(ctx, `
		SELECT version, client_id, locale, ip_prefix, agreed_at FROM agreements WHERE user_id = $1 ORDER BY agreed_at, id`, id)
	if err != nil {
		return nil, fmt.Errorf("list agreements: %w", err)
	}
	defer rows.Close()
	out := []Agreement{}
	for rows.Next() {
		var a Agreement
		var at int64
		if err := rows.Scan(&a.Version, &a.ClientID, &a.Locale, &a.IPPrefix, &at); err != nil {
			return nil, fmt.Errorf("list agreements: %w", err)
		}
		a.AgreedAt = db.Time(at)
		out = append(out, a)
	}
	return out, rows.Err()
}

// credentials are when the account's were set and how many recovery codes are left.
func (s *Service) credentials(ctx context.Context, id string) (map[string]any, error) {
	out := map[string]any{}
	has, at, err := s.HasPassword(ctx, id)
	if err != nil {
		return nil, err
	}
	if has {
		out["password"] = map[string]time.Time{"changed_at": at}
	}
	if has, at, err = s.HasTOTP(ctx, id); err != nil {
		return nil, err
	}
	if has {
		out["totp"] = map[string]time.Time{"confirmed_at": at}
	}
	left, err := s.RecoveryCodesLeft(ctx, id)
	if err != nil {
		return nil, err
	}
	out["recovery_codes"] = map[string]int{"unused": left}
	return out, nil
}
