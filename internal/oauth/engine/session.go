package engine

import (
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
)

// session is what fosite's handlers need of a session and no more: whom and when it is about
// is in the unit of work. It is flat, so that cloning it is one copy and not a walk by
// reflection.
type session struct {
	claims  jwt.IDTokenClaims // handlers check the subject and leave at_hash here; ours never reads it
	headers jwt.Headers
	access  time.Time // expiry
	refresh time.Time
	code    time.Time
}

var _ openid.Session = (*session)(nil)

// newSession hides a sign-in that seems to lie ahead: fosite takes it for a broken server, but
// it is what two servers see whose clocks differ.
func newSession(subject string, authTime, requestedAt time.Time) *session {
	if now := time.Now(); authTime.After(now) {
		authTime = now
	}
	return &session{claims: jwt.IDTokenClaims{Subject: subject, AuthTime: authTime, RequestedAt: requestedAt}}
}

func (s *session) IDTokenClaims() *jwt.IDTokenClaims { return &s.claims }
func (s *session) IDTokenHeaders() *jwt.Headers      { return &s.headers }
func (s *session) GetUsername() string               { return "" }
func (s *session) GetSubject() string                { return s.claims.Subject }

// Clone shares nothing that anybody changes: the slices and maps of the claims stay nil.
func (s *session) Clone() fosite.Session {
	c := *s
	return &c
}

func (s *session) SetExpiresAt(key fosite.TokenType, at time.Time) {
	if p := s.expiry(key); p != nil {
		*p = at
	}
}

func (s *session) GetExpiresAt(key fosite.TokenType) time.Time {
	if p := s.expiry(key); p != nil {
		return *p
	}
	return time.Time{}
}

func (s *session) expiry(key fosite.TokenType) *time.Time {
	switch key {
	case fosite.AccessToken:
		return &s.access
	case fosite.RefreshToken:
		return &s.refresh
	case fosite.AuthorizeCode:
		return &s.code
	}
	return nil
}
