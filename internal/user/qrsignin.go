package user

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
)

// signInBySession makes a session for another browser of a user, who allowed it in
// the session standsOn. There is no proof in it but that session's, so the new one
// says the same of how and when (auth_time, amr, acr) and lives no longer. It does
// for nothing that asks for a fresh proof, unless askedAt is when one was asked of
// that session for this very sign-in and it was given since; zero: none was.
// Faults: qr_signed_out if that session is over by now, account_disabled, account_closing.
func (s *Service) signInBySession(ctx context.Context, userID, standsOn string, askedAt time.Time, a Attempt) (SignedIn, error) {
	in, err := settle(func() (in SignedIn, err error) {
		err = s.db.Tx(ctx, func(ctx context.Context) error {
			now := time.Now()
			if err := s.holdSessions(ctx, userID); err != nil {
				return err
			}
			from, acc, alive, err := s.liveSession(ctx, userID, standsOn, now)
			if err != nil {
				return err
			}
			in = SignedIn{User: acc.User, AuthTime: from.AuthTime}
			event := "login.refused"
			switch {
			case acc.Status == Disabled:
				in.against = ErrDisabled
			case acc.Status == Closing:
				in.against = ErrClosing
			case acc.Status != Active || !alive:
				in.against = errQRSignedOut
			default:
				event = "login.succeeded"
				if err := s.noteSignIn(ctx, acc, now); err != nil {
					return err
				}
				from.Copied = from.Copied || askedAt.IsZero() || !from.AuthTime.After(askedAt)
				a.AMR, a.ACR, a.Copies = from.AMR, from.ACR, from
				if in.Session, in.Secret, err = s.openSession(ctx, userID, a, now); err != nil {
					return err
				}
			}
			return s.recordQR(ctx, event, standsOn, in, a)
		})
		return in, err
	})
	if isNotFound(err) { // the account was deleted, or the session purged
		return SignedIn{}, errQRSignedOut
	}
	return in, err
}

// liveSession returns a session of a user by its id and whether another may stand on
// it, by the rules of SessionOf; db.ErrNotFound without a row. One that outlived a
// sign-out of everything else is good where it is and no longer for a copy, which
// would be of a sign-in that counts no more. Until the transaction is over nobody
// ends it.
func (s *Service) liveSession(ctx context.Context, userID, id string, now time.Time) (sess Session, acc account, alive bool, err error) {
	var (
		amr             string
		authTime, until int64
		live            int
	)
	if _, err := s.db.Exec(ctx, `UPDATE sessions SET seen_at = seen_at WHERE id = $1 AND user_id = $2 AND ended_at IS NULL`, id, userID); err != nil {
		return Session{}, account{}, false, fmt.Errorf("hold the session that allowed another: %w", err)
	}
	acc, err = s.account(s.db.QueryRow(ctx, `
		SELECT `+accountColumns+`, s.auth_time, s.copied, s.amr, s.acr, s.expires_at,
		       CASE WHEN s.ended_at IS NULL AND s.expires_at > $3 AND s.seen_at > $4 AND s.auth_time > u.grants_after THEN 1 ELSE 0 END
		FROM sessions s
		JOIN users u ON u.id = s.user_id
		LEFT JOIN identifiers i ON i.user_id = u.id AND i.kind = 'phone'
		WHERE s.id = $1 AND s.user_id = $2`,
		id, userID, db.Micros(now), db.Micros(now.Add(-s.sessionIdle))),
		&authTime, &sess.Copied, &amr, &sess.ACR, &until, &live)
	if err != nil {
		return Session{}, account{}, false, fmt.Errorf("find the session that allowed another: %w", err)
	}
	sess.ID, sess.UserID, sess.AMR = id, userID, strings.Fields(amr)
	sess.AuthTime, sess.ExpiresAt = db.Time(authTime), db.Time(until)
	return sess, acc, live == 1, nil
}

func (s *Service) recordQR(ctx context.Context, event, allowedIn string, in SignedIn, a Attempt) error {
	detail := map[string]string{"method": "qr", "allowed_in": allowedIn}
	if in.Session.ID != "" {
		detail["session"] = in.Session.ID
	}
	return s.audit.Record(ctx, audit.Event{
		Name: event, Actor: "user:" + in.User.ID, UserID: in.User.ID, ClientID: a.ClientID,
		IP: textOf(a.Address), Detail: detail,
	})
}
