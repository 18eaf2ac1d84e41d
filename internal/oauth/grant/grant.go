// Package grant keeps what people granted to clients: one row per family of
// refresh tokens, and the single access tokens that were revoked without one.
//
// A grant's id is inside the authorization code that becomes it, inside its
// refresh tokens and inside its access tokens. Inserting the row is what redeems
// the code, once; a refresh token is a generation of the row, and moving the
// generation is what rotates it, once. So the table grows with sign-ins and never
// with use, and revoking is one write that every token check sees.
//
// The package fails with ErrUsed, ErrUserInactive, ErrSignedOut and the errors of package db.
package grant

import (
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
)

var (
	// ErrUsed means that a grant with this id exists: its code was redeemed or burnt.
	ErrUsed = errors.New("grant exists already")
	// ErrUserInactive means that the person was disabled or deleted meanwhile.
	ErrUserInactive = errors.New("user is not active")
	// ErrSignedOut means that what was behind a code was ended before it was redeemed:
	// the browser session, everything that the person had, or what they allowed the client.
	ErrSignedOut = errors.New("the sign-in was ended")
)

// Why a grant was revoked; the audit record keeps it. A caller may give another reason,
// a word without spaces.
const (
	ReasonCodeReused    = "code_reused"          // an authorization code came twice
	ReasonRefreshReused = "refresh_token_reused" // a refresh token came after its successor was used
	ReasonWrongVerifier = "wrong_code_verifier"  // a code came without the verifier it was asked for with
	ReasonClient        = "client"               // the client revoked a token (RFC 7009)
	ReasonSessionEnded  = "session_ended"        // the browser session behind it was ended
	ReasonPerson        = "person"               // the person withdrew it
	ReasonOperator      = "operator"
)

// Grant is what one person granted to one client at one sign-in.
type Grant struct {
	ID         string // UUIDv7; inside the code, the refresh tokens and the access tokens (claim "gid")
	ClientID   string
	UserID     string
	SessionID  string // the browser session it came from; "" for native apps
	Scope      []string
	Audience   []string
	AuthTime   time.Time
	AMR        []string
	ACR        string
	Salt       []byte // 16 bytes
	Generation int64  // of the newest refresh token; 0 means that none was issued
	RotatedAt  time.Time
	CreatedAt  time.Time
	ExpiresAt  time.Time // the end of everything under it
	RevokedAt  time.Time // zero while it stands
}

// Offline says whether the grant outlives its browser session (OpenID Connect Core 1.0 section 11).
func (g *Grant) Offline() bool { return slices.Contains(g.Scope, "offline_access") }

// Live is a grant as token, introspection and userinfo endpoints need it: one SELECT that also looks at the user and the session.
type Live struct {
	Grant
	UserActive      bool
	GrantsAfter     time.Time // users.grants_after: sign-ins at this time or before count no more
	KeptSession     string    // users.kept_session: goes on all the same, "" for none
	SessionEnded    bool      // the browser session behind it was ended, replaced or has expired; false if there is none
	SessionCopied   bool      // another session let that one in: AuthTime and AMR are the other's
	UserClaims      string    // users.claims JSON
	PhoneSealed     []byte    // identifiers.sealed, nil if none
	PhoneVerifiedAt int64     // microseconds since 1970
	UserUpdatedAt   time.Time
}

// Stands says whether tokens under the grant are good at a time: it is neither revoked nor
// expired, its person is active and was not signed out of everything since, and its browser
// session goes on or does not matter. What counts is the time of the sign-in, not of the
// grant: a code that was made before may be redeemed after. In a session that was kept it
// is the time of the code.
func (l *Live) Stands(now time.Time) bool {
	counts := l.AuthTime.After(l.GrantsAfter) || l.SessionID != "" && l.SessionID == l.KeptSession && l.issued().After(l.GrantsAfter)
	return l.RevokedAt.IsZero() && now.Before(l.ExpiresAt) && l.UserActive && counts && (l.Offline() || !l.SessionEnded)
}

// issued is when the code was made that became the grant, to the millisecond, which its
// id says (RFC 9562 section 5.7); the end of that one. The zero time if it does not.
func (g *Grant) issued() time.Time {
	id, err := uuid.Parse(g.ID)
	if err != nil || id.Version() != 7 {
		return time.Time{}
	}
	return time.Unix(id.Time().UnixTime()).Add(time.Millisecond)
}

// Store is the tables grants and revoked_tokens.
type Store struct {
	db    *db.DB
	audit *audit.Log
}

// NewStore makes a store whose revocations are recorded in a.
func NewStore(d *db.DB, a *audit.Log) *Store { return &Store{db: d, audit: a} }
