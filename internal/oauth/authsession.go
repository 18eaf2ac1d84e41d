package oauth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/user"
)

// errInvalidSession says the same of every auth_session that does not do: forged,
// expired, used, another client's or another key's.
var errInvalidSession = fault.New(http.StatusBadRequest, "invalid_session", "the auth_session is unknown, expired, used or bound to something else; start again without one")

const (
	authSessionLabel = "auth session" // of the vault
	authSessionMark  = "auth_session" // ephemeral kind: which of them gave a code
	authSessionLife  = 10 * time.Minute
	maxAuthSession   = 8 << 10 // characters
)

// authSession is a sign-in by a native app between two of its requests. It travels
// sealed, as the auth_session of the draft, so nothing is stored for somebody who
// walks away; what may happen once is marked or counted elsewhere. Every answer has
// another sealed value, and an older one is as good as it was: of guesses it gives
// none, since they are counted by challenge, number and account.
type authSession struct {
	ID        string        `json:"i"` // random; the same through all steps, known to nobody outside
	Request   authRequest   `json:"q"`
	Demanded  bool          `json:"d,omitempty"` // the account asks for two factors
	Challenge string        `json:"n,omitempty"` // a nativeChallenge, once a code was sent
	Person    *authPerson   `json:"p,omitempty"` // who brought a first proof
	Waiting   *user.Waiting `json:"w,omitempty"` // the sign-in of that, where Demanded holds it up
	Locale    string        `json:"o,omitempty"` // in which the person agreed, for the sign-in that Demanded holds up
	Stepped   string        `json:"s,omitempty"` // the second proof that is not on record yet
	proven    bool          // this request brought a proof
	key       string        // thumbprint of the DPoP key, "" for none
}

// authPerson is an engine.Person on its way.
type authPerson struct {
	UserID   string   `json:"u"`
	AuthTime int64    `json:"a"` // microseconds since 1970
	AMR      []string `json:"m"`
	ACR      string   `json:"l"`
	Created  bool     `json:"c,omitempty"`
}

func (p *authPerson) engine() engine.Person {
	return engine.Person{UserID: p.UserID, AuthTime: db.Time(p.AuthTime), AMR: p.AMR, ACR: p.ACR, Created: p.Created}
}

func newAuthSession(q authRequest, key string) *authSession {
	return &authSession{ID: rand.Text(), Request: q, key: key}
}

// enough says whether what was proven does.
func (a *authSession) enough() bool {
	return a.Person != nil && (a.Person.ACR == user.ACRTwoFactors || !a.Request.ACR.prefersTwo() && !a.Demanded)
}

// passkeyBinding binds the question for a passkey to this sign-in.
func (a *authSession) passkeyBinding() []byte { return []byte("auth session|" + a.ID) }

// seal makes the auth_session. Client and key are authenticated with it: for others
// it does not open.
func (s *Server) sealAuthSession(a *authSession) (string, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("encode auth_session: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.vault.Seal(authSessionLabel, text, s.authSessionOwner(a.Request.ClientID, a.key))), nil
}

// authSessionOwner: neither an issuer nor a client_id nor a thumbprint has a NUL.
func (s *Server) authSessionOwner(clientID, key string) []byte {
	return []byte(strings.Join([]string{s.issuer, clientID, key}, "\x00"))
}

// openAuthSession opens what a client brought with a key, "" for none. Fault:
// invalid_session.
func (s *Server) openAuthSession(value string, c *client.Client, key string) (*authSession, error) {
	if len(value) > maxAuthSession || strings.ContainsAny(value, "\r\n") {
		return nil, errInvalidSession
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil {
		return nil, errInvalidSession.Because(errors.New("not base64url"))
	}
	text, err := s.vault.Open(authSessionLabel, sealed, s.authSessionOwner(c.ID, key))
	if err != nil {
		return nil, errInvalidSession.Because(err)
	}
	a := &authSession{key: key}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, errInvalidSession.Because(errors.New("of another release"))
	}
	// A minute for replicas whose clocks differ.
	if age := time.Since(a.Request.requestedAt()); age > authSessionLife || age < -time.Minute {
		return nil, errInvalidSession.Because(errors.New("expired"))
	}
	a.Request.client = c
	return a, nil
}
