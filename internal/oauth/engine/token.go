package engine

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
)

// Token runs authorization_code, refresh_token, client_credentials and the SMS-code grant. Errors are
// *fault.Error with RFC 6749 codes. It costs one write for a code or an SMS code, one read and one
// write for a refresh token, and neither for client credentials.
func (e *Engine) Token(ctx context.Context, r TokenRequest) (TokenResponse, error) {
	w, err := e.begin(r)
	if err != nil {
		return TokenResponse{}, err
	}
	ctx = w.in(ctx)
	request, err := e.provider.NewAccessRequest(ctx, post(w.form), &session{})
	if err != nil {
		return TokenResponse{}, e.refuse(ctx, w, err)
	}
	if err := w.gap(request); err != nil {
		return TokenResponse{}, err
	}
	response, err := e.provider.NewAccessResponse(ctx, request)
	if err != nil {
		return TokenResponse{}, w.translate(err)
	}
	if err := e.commit(ctx, w); err != nil {
		return TokenResponse{}, w.translate(err)
	}
	return e.answer(w, request, response), nil
}

// required are the parameters of each grant, and what it answers to a token that will not do.
type required struct {
	parameters []string
	refusal    *fault.Error
}

// grants are all there are; whatever else a client asks for is unsupported_grant_type.
func grants(grantType string) (required, bool) {
	switch grantType {
	case client.GrantAuthorizationCode:
		return required{[]string{"code"}, errInvalidCode}, true
	case client.GrantRefreshToken:
		return required{[]string{"refresh_token"}, errInvalidRefresh}, true
	case client.GrantSMSCode:
		return required{[]string{"challenge_id", "code"}, errInvalidSignIn}, true
	case client.GrantClientCredentials:
		return required{}, true
	}
	return required{}, false
}

// begin makes the checks that need no handler, so that each mistake gets its exact code.
func (e *Engine) begin(r TokenRequest) (*work, error) {
	grantType := r.Form.Get("grant_type")
	if grantType == "" {
		return nil, errInvalidRequest.Describe("grant_type is required")
	}
	needs, ok := grants(grantType)
	if !ok {
		return nil, errUnsupportedGrant
	}
	if !r.Client.MayUse(grantType) || r.Client.Public() && grantType == client.GrantClientCredentials {
		return nil, errUnauthorized
	}
	for _, name := range needs.parameters {
		if r.Form.Get(name) == "" {
			return nil, errInvalidRequest.Describe("%s is required", name)
		}
	}
	if resource := r.Form.Get("resource"); resource != "" && resource != e.config.Issuer {
		return nil, errInvalidTarget
	}
	return &work{
		now: time.Now(), client: e.registered(r.Client), grantType: grantType, form: r.Form, check: r.Check, key: r.KeyThumbprint, refusal: needs.refusal,
	}, nil
}

// post is the token request in the one form in which fosite takes it.
func post(form url.Values) *http.Request {
	return &http.Request{Method: http.MethodPost, Form: form, PostForm: form, Header: http.Header{}}
}

// refuse answers a request that fosite turned down. A code that came from the right client
// with the right redirect URI and still without its verifier is in the wrong hands: it is burnt,
// so that nobody can try again, and what it was redeemed for before is revoked.
func (e *Engine) refuse(ctx context.Context, w *work, err error) error {
	if !w.pkceReached {
		return w.translate(err)
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	if err := e.grants.Burn(ctx, e.dated(w)); err != nil {
		return inside(err)
	}
	return w.refusal.Because(err)
}

// gap is between fosite's two halves: the client is authenticated, the token is found, nothing
// is used up yet. What fosite leaves open is decided here.
func (w *work) gap(r fosite.AccessRequester) error {
	switch w.grantType {
	case client.GrantAuthorizationCode:
		// The client may have lost a scope since it sent the person here.
		if slices.ContainsFunc(w.grant.Scope, func(s string) bool { return !w.client.AllowsScope(s) }) {
			return w.refusal
		}
	case client.GrantRefreshToken:
		return w.narrow(r)
	}
	return nil
}

// narrow applies the scope of a refresh request to the access token it asks for (RFC 6749 section
// 6). The grant keeps its scope, so the next refresh may ask for all of it again.
func (w *work) narrow(r fosite.AccessRequester) error {
	wanted := strings.Fields(w.form.Get("scope"))
	if len(wanted) == 0 {
		return nil
	}
	for i, s := range wanted {
		if !slices.Contains(w.grant.Scope, s) || slices.Contains(wanted[:i], s) {
			return errInvalidScope.Describe("scope exceeds what was granted")
		}
	}
	request, ok := r.(*fosite.AccessRequest)
	if !ok {
		return fault.Internal.Because(errors.New("fosite made another kind of access request"))
	}
	request.GrantedScope = wanted
	return nil
}

// commit is the one write of a request.
func (e *Engine) commit(ctx context.Context, w *work) error {
	switch w.grantType {
	case client.GrantAuthorizationCode, client.GrantSMSCode:
		return e.create(ctx, w)
	case client.GrantRefreshToken:
		return e.rotate(ctx, w)
	}
	return nil
}

// create inserts the grant. A code that was redeemed before is refused, and what it was redeemed
// for is revoked: of the two who had it, one stole it (RFC 6749 section 4.1.2).
func (e *Engine) create(ctx context.Context, w *work) error {
	create := e.grants.Create
	if !w.client.FirstParty {
		create = e.grants.CreateConsented
	}
	err := create(ctx, e.dated(w))
	if errors.Is(err, grant.ErrUsed) {
		if failed := e.revoke(ctx, w.grant.ID, grant.ReasonCodeReused); failed != nil {
			return failed
		}
	}
	return err
}

// dated is the grant as it is stored. Without a refresh token it ends with its access token.
func (e *Engine) dated(w *work) grant.Grant {
	g := w.grant
	g.CreatedAt, g.RotatedAt = w.now, w.now
	g.ExpiresAt = w.now.Add(e.config.AccessTokenTTL)
	if g.Generation > 0 {
		g.ExpiresAt = e.expiry(w.now, w.now)
	}
	return g
}

// rotate moves the generation from the one that came. Whoever loses that race reads again: if
// the winner was quick enough, the successor both have made is the same, and stands.
func (e *Engine) rotate(ctx context.Context, w *work) error {
	if !w.rotate {
		return nil
	}
	g := &w.grant
	moved, err := e.grants.Rotate(ctx, g.ID, w.client.ID, w.presented, w.now, e.expiry(g.CreatedAt, w.now))
	if err != nil || moved {
		return err
	}
	live, err := e.grants.Find(ctx, g.ID)
	if errors.Is(err, db.ErrNotFound) { // the person was deleted meanwhile, or the client
		return w.refusal.Because(err)
	}
	if err != nil {
		return err
	}
	now := time.Now()
	if !live.Stands(now) {
		return w.refusal
	}
	switch e.ageOf(&live.Grant, w.presented, now) {
	case predecessor:
		return nil
	case reused:
		if err := e.revoke(ctx, g.ID, grant.ReasonRefreshReused); err != nil {
			return err
		}
	}
	return w.refusal
}

// answer is what the client gets, in our words and not in fosite's.
func (e *Engine) answer(w *work, request fosite.AccessRequester, response fosite.AccessResponder) TokenResponse {
	t := TokenResponse{
		AccessToken: w.accessToken,
		TokenType:   "Bearer",
		ExpiresIn:   int64(e.config.AccessTokenTTL / time.Second),
		Scope:       strings.Join(request.GetGrantedScopes(), " "),
	}
	t.RefreshToken, _ = response.GetExtra("refresh_token").(string)
	t.IDToken, _ = response.GetExtra("id_token").(string)
	if w.grantType == client.GrantSMSCode {
		t.UserCreated = &w.signed.Created
	}
	return t
}
