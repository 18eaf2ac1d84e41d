package oauth

import (
	"context"
	"errors"
	"net/http"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// revoke is the revocation endpoint (RFC 7009). Who asks about a token that is
// unknown, over or somebody else's gets the same 200: there is nothing to do,
// and nothing to be learnt.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	shareErrors(w)
	p, err := formParams(w, r, maxFormBytes)
	if err != nil {
		s.writeOAuthError(w, r, err)
		return
	}
	c, err := s.authenticate(r, p)
	if err != nil {
		s.writeOAuthError(w, r, err)
		return
	}
	share(w, r, c)
	token := p.get("token")
	if token == "" {
		s.writeOAuthError(w, r, errInvalidRequest.Describe("token is required"))
		return
	}
	if err := s.revokeToken(r.Context(), c, token); err != nil {
		s.writeOAuthError(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// revokeToken ends the whole grant behind a token, so that a stolen successor
// dies with it (RFC 7009 section 2.1). A token without a grant is remembered as
// void until it expires.
func (s *Server) revokeToken(ctx context.Context, c *client.Client, token string) error {
	if isRefreshToken(token) {
		g, _, err := s.engine.RefreshToken(ctx, token)
		if errors.Is(err, db.ErrNotFound) {
			return nil
		}
		if err != nil || g.ClientID != c.ID {
			return err
		}
		return s.grants.Revoke(ctx, g.ID, grant.ReasonClient)
	}
	t, err := s.engine.AccessToken(token)
	if err != nil || t.ClientID != c.ID {
		return nil //nolint:nilerr // what is no token needs no revoking
	}
	if t.GrantID != "" {
		return s.grants.Revoke(ctx, t.GrantID, grant.ReasonClient)
	}
	return s.grants.RevokeToken(ctx, t.ID, t.ExpiresAt)
}
