package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/ory/fosite"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// clientCredentials is the grant of RFC 6749 section 4.4: a client acts for itself. It gets what
// it asks for of its own scopes, and nothing if it asks for nothing; there is no person, so no ID
// token, and no refresh token either, since the client can ask again at any time.
type clientCredentials struct{ tokens *strategies }

var _ fosite.TokenEndpointHandler = (*clientCredentials)(nil)

// CanHandleTokenEndpointRequest is asked of the grant's own handler alone.
func (h *clientCredentials) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(client.GrantClientCredentials)
}

// CanSkipClientAuth never.
func (h *clientCredentials) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool {
	return false
}

// HandleTokenEndpointRequest checks the scope.
func (h *clientCredentials) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	for _, s := range r.GetRequestedScopes() {
		if s == "openid" || s == "offline_access" {
			return errInvalidScope.Describe("openid and offline_access need a person")
		}
	}
	return grantRequested(ctx, r)
}

// PopulateTokenEndpointResponse signs.
func (h *clientCredentials) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, a fosite.AccessResponder) error {
	return respondAccess(ctx, h.tokens, r, a)
}

// smsCode is our grant for first-party apps: a challenge and the code that was sent to a number
// become tokens. The code is checked last, since checking uses it up.
type smsCode struct{ tokens *strategies }

var _ fosite.TokenEndpointHandler = (*smsCode)(nil)

// CanHandleTokenEndpointRequest is asked of the grant's own handler alone.
func (h *smsCode) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(client.GrantSMSCode)
}

// CanSkipClientAuth never: a public client too must say which it is.
func (h *smsCode) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// HandleTokenEndpointRequest signs the person in and drafts the grant.
func (h *smsCode) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	w := workOf(ctx)
	if !w.client.FirstParty {
		return errUnauthorized
	}
	if err := grantRequested(ctx, r); err != nil {
		return err
	}
	if w.check == nil {
		return fault.Internal.Because(errors.New("the SMS-code grant has nobody to check codes"))
	}
	challenge, code := w.form.Get("challenge_id"), w.form.Get("code")
	h.forget(r)
	person, err := w.check(ctx, w.client.Client, challenge, code)
	if err != nil {
		return err
	}
	w.signed = person
	w.grant = grant.Grant{
		ID: db.NewID(), ClientID: w.client.ID, UserID: person.UserID, SessionID: person.SessionID,
		Scope: r.GetGrantedScopes(), Audience: h.tokens.engine.audience, AuthTime: person.AuthTime,
		AMR: person.AMR, ACR: person.ACR, Salt: newSalt(),
	}
	return nil
}

// forget takes code and challenge out of what fosite passes on and might keep. The caller's
// own form stays as it is.
func (h *smsCode) forget(r fosite.AccessRequester) {
	if request, ok := r.(*fosite.AccessRequest); ok {
		request.Form = nil
	}
}

// PopulateTokenEndpointResponse makes the tokens that the scope asks for.
func (h *smsCode) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, a fosite.AccessResponder) error {
	if err := respondAccess(ctx, h.tokens, r, a); err != nil {
		return err
	}
	w := workOf(ctx)
	if w.client.MayUse(client.GrantRefreshToken) {
		refresh, _, err := h.tokens.GenerateRefreshToken(ctx, r)
		if err != nil {
			return err
		}
		a.SetExtra("refresh_token", refresh)
	}
	if !slices.Contains(r.GetGrantedScopes(), "openid") {
		return nil
	}
	id, err := h.tokens.GenerateIDToken(ctx, h.tokens.engine.config.IDTokenTTL, r)
	if err != nil {
		return err
	}
	a.SetExtra("id_token", id)
	return nil
}

// grantRequested grants the requested scopes if the client may have all of them.
func grantRequested(ctx context.Context, r fosite.AccessRequester) error {
	c := workOf(ctx).client
	for _, s := range r.GetRequestedScopes() {
		if !c.AllowsScope(s) {
			return errInvalidScope
		}
		r.GrantScope(s)
	}
	return nil
}

// respondAccess puts an access token into the response.
func respondAccess(ctx context.Context, tokens *strategies, r fosite.AccessRequester, a fosite.AccessResponder) error {
	token, _, err := tokens.GenerateAccessToken(ctx, r)
	if err != nil {
		return err
	}
	a.SetAccessToken(token)
	a.SetTokenType("Bearer")
	return nil
}
