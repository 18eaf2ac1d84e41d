package user

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

// ListSessions returns a user's sessions that did not expire, newest first,
// ended ones included.
func (s *Service) ListSessions(ctx context.Context, userID string) ([]Session, error) {
	rows, err := s.db.Query(ctx, `
		SELECT id, user_id, auth_time, copied, amr, acr, user_agent, ip_prefix, created_at, seen_at, expires_at, ended_at
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
		if err := rows.Scan(&sess.ID, &sess.UserID, &authTime, &sess.Copied, &amr, &sess.ACR, &sess.UserAgent, &sess.IPPrefix,
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

// Export returns what is kept about one person as a JSON object: the account under
// the standard claim names, and identifiers, picture, agreements, consents, grants,
// sessions and events. No secret is in it. Exporting is recorded.
func (s *Service) Export(ctx context.Context, id string) ([]byte, error) {
	return s.export(ctx, id, operator)
}

// exportEvery is how often people may take a copy of their data.
const exportEvery = time.Minute

var errExportTooSoon = fault.New(http.StatusTooManyRequests, "rate_limited", "a copy of this account was taken just now, try again shortly")

// ExportOwn is Export by the person themselves, once a minute at most. Fault:
// rate_limited with RetryAfter.
func (s *Service) ExportOwn(ctx context.Context, id string) ([]byte, error) {
	now := time.Now()
	n, err := s.db.Exec(ctx, `UPDATE users SET exported_at = $1 WHERE id = $2 AND exported_at <= $3`,
		db.Micros(now), id, db.Micros(now.Add(-exportEvery)))
	if err != nil {
		return nil, fmt.Errorf("begin an export: %w", err)
	}
	if n == 1 {
		return s.export(ctx, id, "user:"+id)
	}
	var last int64
	if err := s.db.QueryRow(ctx, `SELECT exported_at FROM users WHERE id = $1`, id).Scan(&last); err != nil {
		return nil, fmt.Errorf("find user: %w", err)
	}
	return nil, errExportTooSoon.After(min(max(time.Second, db.Time(last).Add(exportEvery).Sub(now)), exportEvery)) // the other may have begun later
}

func (s *Service) export(ctx context.Context, id, actor string) ([]byte, error) {
	u, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	document := u.Document()
	for _, part := range []struct {
		name string
		read func(context.Context, string) (any, error)
	}{
		{"identifiers", read(s.Identifiers)}, {"picture_file", read(s.pictureFile)}, {"agreements", read(s.Agreements)},
		{"sessions", read(s.ListSessions)}, {"passkeys", read(s.Passkeys)}, {"credentials", read(s.credentials)}, {"events", read(s.events)},
	} {
		if document[part.name], err = part.read(ctx, id); err != nil {
			return nil, err
		}
	}
	held, err := s.clients.Held(ctx, id)
	if err != nil {
		return nil, err
	}
	document["consents"], document["grants"] = orNone(held.Consents), orNone(held.Grants)
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode export: %w", err)
	}
	return text, s.record(ctx, "user.exported", actor, id, nil)
}

// read is a reader of one part for the encoder, which takes anything.
func read[T any](f func(context.Context, string) (T, error)) func(context.Context, string) (any, error) {
	return func(ctx context.Context, id string) (any, error) { return f(ctx, id) }
}

// orNone is a list that is [] in JSON, not null.
func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// pictureFile is a person's picture as a file, nil for none.
type pictureFile struct {
	Type      string    `json:"type"`
	Data      []byte    `json:"data"` // base64
	CreatedAt time.Time `json:"created_at"`
}

func (s *Service) pictureFile(ctx context.Context, id string) (*pictureFile, error) {
	var f pictureFile
	var at int64
	err := s.db.QueryRow(ctx, `SELECT type, data, created_at FROM pictures WHERE user_id = $1`, id).Scan(&f.Type, &f.Data, &at)
	if isNotFound(err) {
		return nil, nil //nolint:nilnil // null in JSON
	}
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	f.CreatedAt = db.Time(at)
	return &f, nil
}

// exportedEvents bounds an export; nobody has so many in half a year.
const exportedEvents = 10_000

// event is a line of the audit record.
type event struct {
	At       time.Time         `json:"at"`
	Name     string            `json:"event"`
	Actor    string            `json:"actor"`
	ClientID string            `json:"client_id,omitempty"`
	IP       string            `json:"ip,omitempty"`
	Detail   map[string]string `json:"detail,omitempty"`
}

func (s *Service) events(ctx context.Context, id string) ([]event, error) {
	const batch = 500
	out := []event{}
	var last audit.Entry
	for len(out) < exportedEvents {
		list, err := s.audit.List(ctx, id, last, batch)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			out = append(out, event{e.At, e.Name, e.Actor, e.ClientID, e.IP, e.Detail})
			last = e
		}
		if len(list) < batch {
			break
		}
	}
	return out, nil
}

// Agreements returns what a person agreed to, the oldest first.
func (s *Service) Agreements(ctx context.Context, id string) ([]Agreement, error) {
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
