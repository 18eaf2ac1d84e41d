package engine

import (
	"context"
	"errors"
	"net/http"

	"github.com/ory/fosite"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// The answers of RFC 6749 section 5.2, RFC 8707 section 2 and RFC 6750 section 3.1. Each
// grant has one sentence for all that can be wrong with its token, so that none tells
// whether the token ever existed.
var (
	errInvalidRequest   = fault.New(http.StatusBadRequest, "invalid_request", "the request is malformed")
	errUnsupportedGrant = fault.New(http.StatusBadRequest, "unsupported_grant_type", "grant_type is not supported")
	errUnauthorized     = fault.New(http.StatusBadRequest, "unauthorized_client", "the client is not registered for this grant_type")
	errInvalidScope     = fault.New(http.StatusBadRequest, "invalid_scope", "scope is malformed or exceeds what the client may have")
	errInvalidTarget    = fault.New(http.StatusBadRequest, "invalid_target", "resource is unknown")
	errInvalidCode      = fault.New(http.StatusBadRequest, "invalid_grant", "the authorization code is invalid, expired or used, or its client_id, redirect_uri or code_verifier does not match")
	errInvalidRefresh   = fault.New(http.StatusBadRequest, "invalid_grant", "the refresh token is invalid, expired, used or revoked")
	errInvalidSignIn    = fault.New(http.StatusBadRequest, "invalid_grant", "the challenge or its code is wrong, expired, used or exhausted")
	errInvalidToken     = fault.New(http.StatusUnauthorized, "invalid_token", "the access token is invalid or expired")
	errInvalidHint      = fault.New(http.StatusBadRequest, "invalid_request", "id_token_hint is not an ID token of this issuer")
)

// inside makes a fault of an error from a store or the key ring.
func inside(err error) *fault.Error {
	if errors.Is(err, db.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.Unavailable.Because(err)
	}
	return fault.From(err)
}

// translate makes a fault of what fosite or a handler returned. fosite answers invalid_request
// or server_error where a loser of a race or a malformed token needs invalid_grant, and it wraps
// outages in both, so its code counts only where nothing better is known: every refusal while it
// looks at the token of a grant is that grant's invalid_grant.
func (w *work) translate(err error) error {
	var own *fault.Error
	var theirs *fosite.RFC6749Error
	switch {
	case err == nil:
		return nil
	case w.failure != nil:
		return inside(w.failure)
	case errors.As(err, &own):
		return own
	case errors.Is(err, grant.ErrUsed), errors.Is(err, grant.ErrUserInactive), errors.Is(err, grant.ErrSignedOut):
		return w.refusal.Because(err)
	case errors.As(err, &theirs) && theirs.CodeField < http.StatusInternalServerError && w.refusal != nil:
		return w.refusal.Because(err)
	case errors.Is(err, fosite.ErrInvalidScope): // Code, whose caller should have checked
		return errInvalidScope.Because(err)
	case errors.As(err, &theirs) && theirs.CodeField < http.StatusInternalServerError:
		return errInvalidRequest.Because(err)
	}
	return inside(err)
}
