package user

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/user/password"
	"github.com/dialtone-id/dialtone/internal/user/picture"
)

// Statuses of an account.
const (
	Active      = "active"
	Disabled    = "disabled"
	Closing     = "closing"     // its owner wants it deleted
	Quarantined = "quarantined" // its number went to somebody else
)

// User is an account.
type User struct {
	ID                   string // the sub
	Status               string // Active, Disabled, Closing or Quarantined
	Phone                sms.Number
	FormerPhone          sms.Number     // of an account that lost its number, for operators
	PhoneVerifiedAt      time.Time      // when a code proved the number first; zero until then
	Claims               map[string]any // standard OpenID claims but the phone's; nil if there are none
	CreatedAt, UpdatedAt time.Time
	ClosesAt             time.Time // when a Closing or Quarantined account is erased; known to operators and sign-ins
}

// LogValue keeps everything but the id out of logs.
func (u User) LogValue() slog.Value { return slog.StringValue("user:" + u.ID) }

// provenNumber is the account's number if a code proved it, else zero.
func (u User) provenNumber() sms.Number {
	if u.PhoneVerifiedAt.IsZero() {
		return sms.Number{}
	}
	return u.Phone
}

// Service keeps users, identifiers, agreements and sessions.
type Service struct {
	db      *db.DB
	vault   *signing.Vault
	audit   *audit.Log
	cookies cookies

	sessionIdle, sessionLife time.Duration

	passkeys    relyingParty
	passwords   *password.Hasher
	limits      ephemeral.Store // nil: nobody signs in by password
	regions     []string
	refusalTime time.Duration
	comparing   *sync.Map // what is typed as a name and being compared: tried.lookup

	deletionDelay, recycleAfter, quarantine time.Duration
	checkRecycled                           RecycledNumberCheck // nil for nobody to ask

	issuer   string
	clients  Clients
	pictures *picture.Maker
}

// Option changes what New builds.
type Option func(*Service)

// PlainHTTP drops the __Host- prefix and the Secure attribute from all cookies
// if yes: an http issuer, which is allowed on loopback only, needs that.
func PlainHTTP(yes bool) Option {
	return func(s *Service) { s.cookies.plain = yes }
}

// Lifetimes sets how long a browser session lives without being used, and at all.
func Lifetimes(idle, absolute time.Duration) Option {
	return func(s *Service) { s.sessionIdle, s.sessionLife = idle, absolute }
}

// Limits counts tries of addresses in store. Without it nobody can sign in by password.
func Limits(store ephemeral.Store) Option {
	return func(s *Service) { s.limits = store }
}

// Regions are those whose numbers may be typed without a country code, the first
// first (ISO 3166); without any a number begins with a plus sign.
func Regions(regions []string) Option {
	return func(s *Service) { s.regions = regions }
}

// RefusalTime is how long a refused sign-in by password takes at least, whatever
// was wrong; a second unless it is set, which is more than an imported hash takes on
// a slow processor: see package password for what may be imported.
func RefusalTime(d time.Duration) Option {
	return func(s *Service) { s.refusalTime = d }
}

// With is the same service with further options.
func (s *Service) With(options ...Option) *Service {
	c := *s
	for _, o := range options {
		o(&c)
	}
	return &c
}

// Issuer sets where this service is reached, for addresses that claims hold.
func Issuer(url string) Option {
	return func(s *Service) { s.issuer = url }
}

// HeldBy sets who keeps what clients hold; without it nobody holds anything.
func HeldBy(c Clients) Option {
	return func(s *Service) { s.clients = c }
}

// New makes the service. Its cookies are for https unless an option says else.
func New(d *db.DB, v *signing.Vault, a *audit.Log, options ...Option) *Service {
	s := &Service{
		db: d, vault: v, audit: a, sessionIdle: sessionIdle, sessionLife: sessionLife,
		passwords: password.NewHasher(0), refusalTime: time.Second, comparing: new(sync.Map),
		clients: noClients{}, pictures: picture.NewMaker(1),
	}
	Accounts(deletionDelay, recycleAfter, quarantine)(s)
	for _, o := range options {
		o(s)
	}
	return s
}

// Labels of what the vault seals, signs and indexes for this package.
const (
	labelIdentifier = "identifier"
	labelFlow       = "flow"
	labelDevice     = "device"
	labelPasskey    = "passkey"
	labelFailures   = "failures"
	labelTOTP       = "totp"
	labelRecovery   = "recovery"
	labelProven     = "proven"
	labelNewCodes   = "new recovery codes"
)

// seal encrypts an identifier for its row. The owner's id is authenticated with it:
// a row copied to another account does not open.
func (s *Service) seal(value, userID string) []byte {
	return s.vault.Seal(labelIdentifier, []byte(value), []byte(userID))
}

// index is what a number is found by.
func (s *Service) index(n sms.Number) []byte { return n.Index(s.vault) }

// FromRow builds a User from the columns users.claims, identifiers.sealed,
// identifiers.verified_at and users.updated_at, for whoever reads them in a
// SELECT of its own. phoneSealed is nil for an account without a number.
// Status and CreatedAt stay zero.
func (s *Service) FromRow(id, claimsJSON string, phoneSealed []byte, verifiedAt int64, updatedAt time.Time) (User, error) {
	u := User{ID: id, UpdatedAt: updatedAt}
	var err error
	if u.Claims, err = decodeClaims(claimsJSON); err != nil {
		return User{}, fmt.Errorf("claims of user %s: %w", id, err)
	}
	if len(phoneSealed) == 0 {
		return u, nil
	}
	digits, err := s.vault.Open(labelIdentifier, phoneSealed, []byte(id))
	if err != nil {
		return User{}, fmt.Errorf("open the number of user %s: %w", id, err)
	}
	if u.Phone, err = sms.FromE164(string(digits)); err != nil {
		return User{}, fmt.Errorf("number of user %s: %w", id, err)
	}
	if verifiedAt != 0 {
		u.PhoneVerifiedAt = db.Time(verifiedAt)
	}
	return u, nil
}

// row holds the columns that every query for a user brings along, in this order:
// users.id, status, claims, created_at, updated_at, identifiers.sealed and
// verified_at, the last two NULL for an account without a number.
type row struct {
	id, status, claims   string
	createdAt, updatedAt int64
	sealed               []byte
	verifiedAt           *int64
}

func (r *row) columns() []any {
	return []any{&r.id, &r.status, &r.claims, &r.createdAt, &r.updatedAt, &r.sealed, &r.verifiedAt}
}

func (s *Service) user(r row) (User, error) {
	var verified int64
	if r.verifiedAt != nil {
		verified = *r.verifiedAt
	}
	u, err := s.FromRow(r.id, r.claims, r.sealed, verified, db.Time(r.updatedAt))
	if err != nil {
		return User{}, err
	}
	u.Status, u.CreatedAt = r.status, db.Time(r.createdAt)
	return u, nil
}

func decodeClaims(text string) (map[string]any, error) {
	if text == "{}" || text == "" { // most accounts; spares the decoder at userinfo
		return nil, nil
	}
	var claims map[string]any
	if err := json.Unmarshal([]byte(text), &claims); err != nil {
		// The decoder's own message may quote what it read.
		return nil, errors.New("not a JSON object")
	}
	return claims, nil
}

func encodeClaims(claims map[string]any) (string, error) {
	if len(claims) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	return string(text), nil
}
