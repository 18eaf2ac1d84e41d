package engine

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// store answers fosite from the unit of work. What fosite wants created, deleted or made
// invalid is either in the unit of work already or is decided by the commit, so those
// methods do nothing; it opens no transaction either (storage.Transactional is not
// implemented on purpose), since what fosite would roll back must stay.
type store struct{ engine *Engine }

var (
	_ fosite.Storage                     = (*store)(nil)
	_ oauth2.CoreStorage                 = (*store)(nil)
	_ oauth2.TokenRevocationStorage      = (*store)(nil)
	_ openid.OpenIDConnectRequestStorage = (*store)(nil)
	_ pkce.PKCERequestStorage            = (*store)(nil)
)

// GetClient is never asked for a client that authenticated; it answers for any other.
func (s *store) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	c, err := s.engine.clients.Get(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, fosite.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return s.engine.registered(c), nil
}

// ClientAssertionJWTValid refuses: client assertions are not supported.
func (s *store) ClientAssertionJWTValid(context.Context, string) error { return errNotOurs }

// SetClientAssertionJWT refuses: client assertions are not supported.
func (s *store) SetClientAssertionJWT(context.Context, string, time.Time) error { return errNotOurs }

// GetAuthorizeCodeSession opens the code once. Whether it was used is known when the grant is
// inserted; fosite asks twice, and must find it both times.
func (s *store) GetAuthorizeCodeSession(ctx context.Context, code string, _ fosite.Session) (fosite.Requester, error) {
	w := workOf(ctx)
	if w.stored == nil {
		opened, err := s.engine.openCode(code, w.now)
		if err != nil || !opened.fits(w.form.Get("redirect_uri"), w.key) {
			return nil, fosite.ErrNotFound
		}
		w.code = opened
		w.grant = opened.grant()
		if len(w.grant.Audience) == 0 {
			w.grant.Audience = s.engine.audience
		}
		w.stored = w.asRequest(opened.ClientID, opened.form())
	}
	return w.stored, nil
}

// GetOpenIDConnectSession is found exactly if openid was granted.
func (s *store) GetOpenIDConnectSession(ctx context.Context, _ string, _ fosite.Requester) (fosite.Requester, error) {
	w := workOf(ctx)
	if !slices.Contains(w.grant.Scope, "openid") {
		return nil, openid.ErrNoSessionFound
	}
	return w.stored, nil
}

// GetPKCERequestSession finds the challenge as long as the code lives, so that no number of
// wrong tries makes it go away. The handler of the code itself comes first, so whoever gets
// here is the right client with the right redirect URI.
func (s *store) GetPKCERequestSession(ctx context.Context, _ string, _ fosite.Session) (fosite.Requester, error) {
	w := workOf(ctx)
	w.pkceReached = true
	if w.code.Challenge == "" {
		return nil, fosite.ErrNotFound
	}
	return w.stored, nil
}

// GetRefreshTokenSession reads the grant of a refresh token, once. A token that is not ours,
// another client's, or over is not found; ErrInactiveToken is for one that is ours and was
// used before, and makes fosite revoke the family. The MAC is checked before that: a grant's
// id is in every access token, so anybody could forge an old generation.
func (s *store) GetRefreshTokenSession(ctx context.Context, token string, _ fosite.Session) (fosite.Requester, error) {
	w := workOf(ctx)
	live, generation, err := s.engine.findRefreshToken(ctx, token)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil, fosite.ErrNotFound
	case err != nil:
		w.failure = err
		return nil, err
	case live.ClientID != w.client.ID || !live.Stands(w.now):
		return nil, fosite.ErrNotFound
	}
	w.grant, w.presented = live.Grant, generation
	w.stored = w.asRequest(live.ClientID, url.Values{})
	switch s.engine.ageOf(&live.Grant, generation, w.now) {
	case newest:
		w.rotate = true
		return w.stored, nil
	case predecessor:
		return w.stored, nil
	case reused:
		return w.stored, fosite.ErrInactiveToken
	}
	return nil, fosite.ErrNotFound
}

// asRequest is the grant as fosite's handlers compare it with the request.
func (w *work) asRequest(clientID string, form url.Values) *fosite.Request {
	owner := w.client
	if clientID != w.client.ID {
		owner = registered{Client: &client.Client{ID: clientID}} // the handler refuses it by its id
	}
	return &fosite.Request{
		ID: w.grant.ID, RequestedAt: w.now, Client: owner, Form: form,
		RequestedScope: w.grant.Scope, GrantedScope: w.grant.Scope,
		RequestedAudience: w.grant.Audience, GrantedAudience: w.grant.Audience,
		Session: newSession(w.grant.UserID, w.grant.AuthTime, w.now),
	}
}

// RevokeRefreshToken ends the family of a refresh token that was used twice. It is done although
// the request fails; if it cannot be done, the request fails as unavailable, so that the client
// tries again and the family dies then.
func (s *store) RevokeRefreshToken(ctx context.Context, grantID string) error {
	err := s.engine.revoke(ctx, grantID, grant.ReasonRefreshReused)
	if err != nil {
		workOf(ctx).failure = err
	}
	return err
}

// RevokeAccessToken has nothing to add: the access tokens went with the grant.
func (s *store) RevokeAccessToken(context.Context, string) error { return nil }

// The rest is in the unit of work or left to the commit.

func (s *store) CreateAuthorizeCodeSession(context.Context, string, fosite.Requester) error {
	return nil
}
func (s *store) InvalidateAuthorizeCodeSession(context.Context, string) error { return nil }

func (s *store) CreateOpenIDConnectSession(context.Context, string, fosite.Requester) error {
	return nil
}
func (s *store) DeleteOpenIDConnectSession(context.Context, string) error { return nil }

func (s *store) CreatePKCERequestSession(context.Context, string, fosite.Requester) error { return nil }
func (s *store) DeletePKCERequestSession(context.Context, string) error                   { return nil }

func (s *store) CreateAccessTokenSession(context.Context, string, fosite.Requester) error { return nil }
func (s *store) DeleteAccessTokenSession(context.Context, string) error                   { return nil }

// GetAccessTokenSession finds nothing: access tokens are not stored and not validated by fosite.
func (s *store) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}

func (s *store) CreateRefreshTokenSession(context.Context, string, string, fosite.Requester) error {
	return nil
}
func (s *store) DeleteRefreshTokenSession(context.Context, string) error  { return nil }
func (s *store) RotateRefreshToken(context.Context, string, string) error { return nil }
