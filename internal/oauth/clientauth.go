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

// authenticate finds out which client calls and lets it prove that. Failures are
// counted by client and address; too many are refused before anything is compared.
func (s *Server) authenticate(r *http.Request, p params) (*client.Client, error) {
	given, err := readCredentials(r.Header, p)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	key := s.guesses.key(given.clientID, user.CallerOf(ctx).Address)
	if wait := s.guesses.refused(key); wait > 0 {
		return nil, errTooManyFailures.After(wait)
	}
	c, err := s.verify(r, given)
	if errors.Is(err, errInvalidClient) {
		s.countFailure(ctx, given.clientID, key)
	}
	return c, err
}

// countFailure never fails the request: that has been refused already.
func (s *Server) countFailure(ctx context.Context, clientID, key string) {
	tooMany, err := s.guesses.failed(ctx, key)
	switch {
	case err != nil:
		s.log.WarnContext(ctx, "a failed client authentication was not counted", s.requestID(ctx), slog.Any("error", err))
	case tooMany:
		s.log.WarnContext(ctx, "too many failed client authentications", s.requestID(ctx), slog.String("client_id", clientID))
	}
}

// verify costs an unknown client as much as a wrong secret.
func (s *Server) verify(r *http.Request, given credentials) (*client.Client, error) {
	ctx := r.Context()
	c, err := s.clients.Get(ctx, given.clientID)
	switch {
	case errors.Is(err, db.ErrNotFound):
		if given.method != client.AuthNone {
			_ = s.clients.CheckSecret(ctx, nil, given.secret)
		}
		return nil, errInvalidClient
	case err != nil:
		return nil, err
	case given.method != c.TokenEndpointAuthMethod:
		return nil, errInvalidClient
	case given.method == client.AuthNone:
		return c, nil
	}
	return c, s.clients.CheckSecret(ctx, c, given.secret)
}

// authenticateConfidential is authenticate for endpoints that a client without
// a secret has no business at.
func (s *Server) authenticateConfidential(r *http.Request, p params) (*client.Client, error) {
	c, err := s.authenticate(r, p)
	if err == nil && c.Public() {
		return nil, errInvalidClient.Describe("only confidential clients may call this endpoint")
	}
	return c, err
}
