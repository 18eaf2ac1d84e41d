package user

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
)

// How long a browser session lives, unless Lifetimes says else: until it was not
// used for sessionIdle, and never longer than sessionLife.
const (
	sessionIdle = 7 * 24 * time.Hour
	sessionLife = 30 * 24 * time.Hour
)

// seenEvery is how often use is written down at most, so the idle limit is exact
// to that: an hour, or a tenth of a short limit, lest a session in use runs into it.
func (s *Service) seenEvery() time.Duration { return min(time.Hour, s.sessionIdle/10) }

const sessionCookie = "dialtone_session"

// Session is a browser session.
type Session struct {
	ID        string    `json:"sid"`
	UserID    string    `json:"sub"`
	AuthTime  time.Time `json:"auth_time"`
	Copied    bool      `json:"copied,omitempty"` // its proof was another session's: never fresh, see Session.fresh
	AMR       []string  `json:"amr"`              // RFC 8176
	ACR       string    `json:"acr"`
	UserAgent string    `json:"user_agent,omitempty"`
	IPPrefix  string    `json:"ip_prefix,omitempty"` // of the sign-in
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
	ExpiresAt time.Time `json:"expires_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"` // zero while it lives
}

// openSession makes the session of a sign-in and returns it with the value of its
// cookie, "<id>.<secret>". Only the secret's hash is kept: a copy of the table
// signs nobody in.
//
// The cookie is always a new one. A person who signs in again in the browser that
// they are signed in with keeps the session's id, and with it what other clients
// were granted in it; anybody else's session there ends.
func (s *Service) openSession(ctx context.Context, userID string, a Attempt, now time.Time) (Session, string, error) {
	secret, hash := newSessionSecret()
	now = db.Time(db.Micros(now))
	amr, acr := a.methods()
	authTime, expires := a.times(now, s.sessionLife)
	sess := Session{
		ID: db.NewID(), UserID: userID, AuthTime: authTime, Copied: a.Copies.Copied, AMR: amr, ACR: acr,
		UserAgent: clip(a.UserAgent, 256), IPPrefix: prefixOf(a.Address),
		CreatedAt: now, ExpiresAt: expires, SeenAt: now,
	}
	if a.Replaces != "" {
		renewed, err := s.replace(ctx, a.Replaces, sess, hash)
		if err != nil {
			return Session{}, "", err
		}
		if renewed {
			sess.ID = a.Replaces
			return sess, sess.ID + "." + secret, nil
		}
	}
	err := s.db.ExecLater(ctx, `
		INSERT INTO sessions (id, user_id, secret_hash, auth_time, amr, acr, user_agent, ip_prefix, created_at, seen_at, expires_at, copied)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11)`,
		sess.ID, userID, hash, db.Micros(sess.AuthTime), strings.Join(sess.AMR, " "), sess.ACR,
		sess.UserAgent, sess.IPPrefix, db.Micros(now), db.Micros(sess.ExpiresAt), sess.Copied)
	if err != nil {
		return Session{}, "", fmt.Errorf("open session: %w", err)
	}
	return sess, sess.ID + "." + secret, nil
}

// replace turns the browser's session into sess if it is of the same user; else it
// ends it and answers false.
func (s *Service) replace(ctx context.Context, id string, sess Session, hash []byte) (bool, error) {
	n, err := s.db.Exec(ctx, `
		UPDATE sessions SET secret_hash = $1, auth_time = $2, amr = $3, acr = $4, user_agent = $5, ip_prefix = $6, seen_at = $10, expires_at = $7, copied = $11
		WHERE id = $8 AND user_id = $9 AND ended_at IS NULL`,
		hash, db.Micros(sess.AuthTime), strings.Join(sess.AMR, " "), sess.ACR, sess.UserAgent, sess.IPPrefix,
		db.Micros(sess.ExpiresAt), id, sess.UserID, db.Micros(sess.SeenAt), sess.Copied)
	if err != nil {
		return false, fmt.Errorf("renew session: %w", err)
	}
	if n == 1 {
		return true, nil
	}
	if _, err := s.db.Exec(ctx, `UPDATE sessions SET ended_at = $1 WHERE id = $2 AND ended_at IS NULL`, db.Micros(sess.SeenAt), id); err != nil {
		return false, fmt.Errorf("end the session before: %w", err)
	}
	return false, nil
}

// SessionOf returns the live session of the request's cookie and its active
// user: one SELECT, and now and then an UPDATE that notes the use. Whatever is
// wrong - no cookie, two of them, a wrong secret, ended, expired, disabled, signed
// out of everything since without keeping it - is db.ErrNotFound; other errors mean that the question could not be answered.
func (s *Service) SessionOf(r *http.Request) (Session, User, error) {
	value, ok := s.cookies.read(r, sessionCookie)
	if !ok {
		return Session{}, User{}, db.ErrNotFound
	}
	id, secret, ok := strings.Cut(value, ".")
	if !ok || len(id) != 36 || len(secret) != 43 {
		return Session{}, User{}, db.ErrNotFound
	}
	ctx, now := r.Context(), time.Now()
	var (
		sess                        Session
		u                           row
		hash                        []byte
		amr                         string
		authTime, from, seen, until int64
	)
	err := s.db.QueryRow(ctx, `
		SELECT u.id, u.status, u.claims, u.created_at, u.updated_at, i.sealed, i.verified_at,
		       s.id, s.user_id, s.secret_hash, s.auth_time, s.copied, s.amr, s.acr, s.user_agent, s.ip_prefix, s.created_at, s.seen_at, s.expires_at
		FROM sessions s
		JOIN users u ON u.id = s.user_id
		LEFT JOIN identifiers i ON i.user_id = u.id AND i.kind = 'phone'
		WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND s.seen_at > $3 AND u.status = 'active'
			AND (s.auth_time > u.grants_after OR s.id = u.kept_session)`,
		id, db.Micros(now), db.Micros(now.Add(-s.sessionIdle))).
		Scan(append(u.columns(), &sess.ID, &sess.UserID, &hash, &authTime, &sess.Copied, &amr, &sess.ACR,
			&sess.UserAgent, &sess.IPPrefix, &from, &seen, &until)...)
	if err != nil {
		return Session{}, User{}, fmt.Errorf("find session: %w", err)
	}
	given := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(given[:], hash) != 1 {
		return Session{}, User{}, db.ErrNotFound
	}
	person, err := s.user(u)
	if err != nil {
		return Session{}, User{}, err
	}
	sess.AuthTime, sess.AMR = db.Time(authTime), strings.Fields(amr)
	sess.CreatedAt, sess.SeenAt, sess.ExpiresAt = db.Time(from), db.Time(seen), db.Time(until)
	if now.Sub(sess.SeenAt) >= s.seenEvery() {
		s.noteUse(ctx, &sess, now)
	}
	return sess, person, nil
}

// noteUse moves seen_at on. Of several requests at once one writes; a failure
// costs some of the idle limit, not the request.
func (s *Service) noteUse(ctx context.Context, sess *Session, now time.Time) {
	_, err := s.db.Exec(ctx, `UPDATE sessions SET seen_at = $1 WHERE id = $2 AND seen_at = $3 AND ended_at IS NULL`,
		db.Micros(now), sess.ID, db.Micros(sess.SeenAt))
	if err != nil {
		slog.WarnContext(ctx, "the use of a session was not noted", "session", sess.ID, "error", err)
		return
	}
	sess.SeenAt = db.Time(db.Micros(now))
}

// EndSession ends a session for actor ("user:ID", "client:ID", "operator").
// Ending one that is over, or never was, changes nothing and is no error.
// Grants that stand on the session see its ended_at when they are next used.
func (s *Service) EndSession(ctx context.Context, id, actor string) error {
	_, err := s.endSession(ctx, id, actor)
	return err
}

func (s *Service) endSession(ctx context.Context, id, actor string) (ended bool, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		var owner string
		err := s.db.QueryRow(ctx, `UPDATE sessions SET ended_at = $1 WHERE id = $2 AND ended_at IS NULL RETURNING user_id`,
			db.Micros(time.Now()), id).Scan(&owner)
		if isNotFound(err) {
			ended = false
			return nil
		}
		if err != nil {
			return fmt.Errorf("end session: %w", err)
		}
		ended = true
		return s.record(ctx, "session.ended", actor, owner, map[string]string{"session": id})
	})
	return ended, err
}

// EndSessions ends every session of a user and returns how many there were.
func (s *Service) EndSessions(ctx context.Context, userID, actor string) (int64, error) {
	return s.endSessionsBut(ctx, "", userID, actor)
}

func (s *Service) endSessionsBut(ctx context.Context, keep, userID, actor string) (int64, error) {
	var n int64
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		err := s.holdSessions(ctx, userID)
		if err != nil {
			return err
		}
		n, err = s.db.Exec(ctx, `UPDATE sessions SET ended_at = $1 WHERE user_id = $2 AND ended_at IS NULL AND id <> $3`,
			db.Micros(time.Now()), userID, keep)
		if err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		if n == 0 {
			return nil
		}
		return s.record(ctx, "session.ended", actor, userID, map[string]string{"count": fmt.Sprint(n)})
	})
	return n, err
}

// holdSessions makes transactions that end a user's sessions, or copy one, wait for each
// other: an UPDATE does not see rows that come up while it waits for another.
func (s *Service) holdSessions(ctx context.Context, userID string) error {
	if _, err := s.db.Exec(ctx, `UPDATE users SET updated_at = updated_at WHERE id = $1`, userID); err != nil {
		return fmt.Errorf("hold sessions: %w", err)
	}
	return nil
}

// setCookie hands the browser its session. The cookie outlives the idle limit,
// which is the table's to enforce.
func (s *Service) setCookie(w http.ResponseWriter, in SignedIn) {
	s.cookies.set(w, sessionCookie, in.Secret, s.sessionLife)
}

// ClearCookie makes the browser forget its session; ending it is EndSession's.
func (s *Service) ClearCookie(w http.ResponseWriter) { s.cookies.clear(w, sessionCookie) }

// Purge deletes sessions that expired more than a day before now and failures that
// are older than that, in batches, and returns how many. Ended sessions stay until
// then: grants look at them. A session goes once its last use is the account's.
func (s *Service) Purge(ctx context.Context, now time.Time) (int64, error) {
	const batch = 500
	var total int64
	before := db.Micros(now.Add(-24 * time.Hour))
	for _, query := range []struct{ first, purge string }{
		{`UPDATE users SET seen_at = (SELECT MAX(seen_at) FROM sessions WHERE user_id = users.id)
			WHERE id IN (SELECT user_id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
				AND EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = users.id AND s.seen_at > users.seen_at)`,
			`DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
				AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = sessions.user_id AND u.seen_at < sessions.seen_at)`},
		{"", `DELETE FROM credential_failures WHERE lookup IN (SELECT lookup FROM credential_failures WHERE last_at < $1 ORDER BY last_at LIMIT $2)`},
	} {
		for n := int64(batch); n == batch; total += n {
			if query.first != "" {
				if _, err := s.db.Exec(ctx, query.first, before, batch); err != nil {
					return total, fmt.Errorf("keep the last use of accounts: %w", err)
				}
			}
			var err error
			if n, err = s.db.Exec(ctx, query.purge, before, batch); err != nil {
				return total, fmt.Errorf("purge sessions: %w", err)
			}
		}
	}
	return total, nil
}

// record writes one audit line; it joins the transaction in ctx.
func (s *Service) record(ctx context.Context, event, actor, userID string, detail map[string]string) error {
	caller := CallerOf(ctx)
	return s.audit.Record(ctx, audit.Event{
		Name: event, Actor: actor, UserID: userID, ClientID: caller.ClientID, IP: textOf(caller.Address), Detail: detail,
	})
}

// clip shortens text to at most n bytes of valid UTF-8 without control characters.
func clip(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r == 0x7f {
			return -1
		}
		return r
	}, text)
	for len(text) > n {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
