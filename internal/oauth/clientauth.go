package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/user"
)

const basicChallenge = `Basic realm="Dialtone", charset="UTF-8"`

// errInvalidClient says the same of an unknown client, a wrong secret and a
// method that is not the registered one.
var errInvalidClient = client.ErrAuthentication

// maxClientID bounds what is looked up, counted and logged under a client's name.
const maxClientID = 256

// credentials are how a client introduced itself.
type credentials struct {
	method   string
	clientID string
	secret   string
}

// readCredentials takes exactly one way of authentication from the request
// (RFC 6749 section 2.3).
func readCredentials(h http.Header, p params) (credentials, error) {
	if p.get("client_assertion") != "" || p.get("client_assertion_type") != "" {
		return credentials{}, errInvalidClient.Describe("client assertions are not supported")
	}
	c := credentials{method: client.AuthNone, clientID: p.get("client_id"), secret: p.get("client_secret")}
	if c.secret != "" {
		c.method = client.AuthClientSecretPost
	}
	switch len(h.Values("Authorization")) {
	case 0:
	case 1:
		if c.secret != "" {
			return credentials{}, errInvalidRequest.Describe("the client authenticated in more than one way")
		}
		id, secret, err := readBasic(h.Get("Authorization"))
		if err != nil {
			return credentials{}, err
		}
		if c.clientID != "" && c.clientID != id {
			return credentials{}, errInvalidRequest.Describe("client_id differs from the authenticated client")
		}
		c = credentials{method: client.AuthClientSecretBasic, clientID: id, secret: secret}
	default:
		return credentials{}, errInvalidRequest.Describe("the Authorization header was sent more than once")
	}
	if c.clientID == "" {
		return credentials{}, errInvalidClient.Describe("the client did not introduce itself")
	}
	if len(c.clientID) > maxClientID {
		return credentials{}, errInvalidClient
	}
	return c, nil
}

// readBasic decodes the Basic scheme. Both halves are form-encoded before they
// are joined (RFC 6749 section 2.3.1).
func readBasic(header string) (id, secret string, err error) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", errInvalidClient.Describe("the Authorization scheme must be Basic")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil {
		return "", "", errInvalidClient.Describe("the Basic credentials are malformed")
	}
	rawID, rawSecret, found := strings.Cut(string(raw), ":")
	if !found {
		return "", "", errInvalidClient.Describe("the Basic credentials are malformed")
	}
	id, idErr := unescape(rawID)
	secret, secretErr := unescape(rawSecret)
	if idErr != nil || secretErr != nil {
		return "", "", errInvalidClient.Describe("the Basic credentials are malformed; client_id and secret are form-encoded first")
	}
	return id, secret, nil
}

// authenticate finds out which client calls and lets it prove that.
func (s *Server) authenticate(r *http.Request, p params) (*client.Client, error) {
	given, err := readCredentials(r.Header, p)
	if err != nil {
		s.logRefused(r.Context(), nil, err)
		return nil, err
	}
	c, err := s.clients.Get(r.Context(), given.clientID)
	if errors.Is(err, db.ErrNotFound) {
		c, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.verify(r.Context(), c, given); err != nil {
		s.logRefused(r.Context(), c, err)
		return nil, err
	}
	return c, nil
}

// verify looks at what a client presents; c is nil for one that nobody knows, and
// costs as much as a wrong secret. Failures of whoever presents a secret are counted by
// client and address. A weak secret can be guessed, so it is counted before it is
// compared, and after too many nothing is. What nobody can guess is compared first: the
// right one is never refused for what others behind its address do, and nor is a public
// client.
func (s *Server) verify(ctx context.Context, c *client.Client, given credentials) error {
	guessable := c == nil || !c.Public()
	switch {
	case given.method == client.AuthNone && !guessable:
		return nil
	case given.method == client.AuthNone, !guessable:
		return errInvalidClient
	}
	key := s.guesses.key(given.clientID, user.CallerOf(ctx).Address)
	counted := false
	count := func(delta int64) error {
		counted = true
		return s.countFailure(ctx, c, key, delta)
	}
	var err error = errInvalidClient
	if c == nil || given.method == c.TokenEndpointAuthMethod {
		err = s.clients.CheckSecret(ctx, c, given.secret, count)
	}
	if !errors.Is(err, errInvalidClient) || counted {
		return err
	}
	if failed := count(1); errors.Is(failed, errTooManyFailures) {
		return failed
	}
	return err
}

// countFailure answers errTooManyFailures for one too many. A store that does not answer
// is logged, and refuses a weak secret.
func (s *Server) countFailure(ctx context.Context, c *client.Client, key string, delta int64) error {
	wait, first, err := s.guesses.count(ctx, key, delta)
	switch {
	case err != nil:
		s.log.WarnContext(ctx, "a failed client authentication was not counted", s.requestID(ctx), slog.Any("error", err))
		return err
	case first:
		s.log.WarnContext(ctx, "too many failed client authentications", s.requestID(ctx), clientID(c))
	}
	if wait > 0 {
		return errTooManyFailures.After(wait)
	}
	return nil
}

// logRefused notes a client that could not prove who it is. Being throttled is
// noted once, when it begins, and an outage where it is told.
func (s *Server) logRefused(ctx context.Context, c *client.Client, err error) {
	if errors.Is(err, errInvalidClient) {
		s.log.InfoContext(ctx, "client authentication failed", s.requestID(ctx), clientID(c))
	}
}

// clientID is for the log: only a registered one, since what a stranger sends in
// its place may be anything, a number or a secret included.
func clientID(c *client.Client) slog.Attr {
	if c == nil {
		return slog.Attr{} // which handlers ignore
	}
	return slog.String("client_id", c.ID)
}

// authenticateConfidential is authenticate for endpoints that a client without
// a secret has no business at.
func (s *Server) authenticateConfidential(r *http.Request, p params) (*client.Client, error) {
	c, err := s.authenticate(r, p)
	if err == nil && c.Public() {
		err = errInvalidClient.Describe("only confidential clients may call this endpoint")
		s.logRefused(r.Context(), c, err)
		return nil, err
	}
	return c, err
}
