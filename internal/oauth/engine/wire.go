package engine

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
)

// settings is fosite's configuration with the getters that depend on the request. Every
// field that fosite would fill in at first use is set here, since it does so without a lock.
type settings struct {
	*fosite.Config
	authorize fosite.AuthorizeEndpointHandlers
	token     map[string]fosite.TokenEndpointHandlers // by grant type
}

var _ fosite.Configurator = (*settings)(nil)

// GetAuthorizeEndpointHandlers are the handlers that Code runs.
func (s *settings) GetAuthorizeEndpointHandlers(context.Context) fosite.AuthorizeEndpointHandlers {
	return s.authorize
}

// GetTokenEndpointHandlers are those of the request's grant type alone; the others would only
// be asked to say that they are not meant, which costs a stack trace each.
func (s *settings) GetTokenEndpointHandlers(ctx context.Context) fosite.TokenEndpointHandlers {
	return s.token[workOf(ctx).grantType]
}

// GetEnforcePKCE is the client's policy: OpenID's own test clients send no challenge.
func (s *settings) GetEnforcePKCE(ctx context.Context) bool { return workOf(ctx).client.PKCERequired() }

// GetMinParameterEntropy lets every state and nonce pass: their strength is the client's matter,
// and a request without state is valid (RFC 6749 section 4.1.1).
func (s *settings) GetMinParameterEntropy(context.Context) int { return 1 }

// GetTokenURLs are the audiences of client assertions, of which there are none yet.
func (s *settings) GetTokenURLs(context.Context) []string {
	return []string{s.IDTokenIssuer, s.TokenURL}
}

// wire puts the handlers together by hand. Those of OpenID follow the one whose access token
// they hash. compose.Compose would turn on the implicit and password grants, and fix the type
// of the configuration.
func wire(e *Engine) *fosite.Fosite {
	c := &settings{Config: &fosite.Config{
		AccessTokenLifespan:            e.config.AccessTokenTTL,
		RefreshTokenLifespan:           e.config.RefreshIdle,
		AuthorizeCodeLifespan:          e.config.CodeTTL,
		IDTokenLifespan:                e.config.IDTokenTTL,
		IDTokenIssuer:                  e.config.Issuer,
		AccessTokenIssuer:              e.config.Issuer,
		TokenURL:                       e.config.Issuer + "/oauth2/token",
		ScopeStrategy:                  fosite.ExactScopeStrategy,
		AudienceMatchingStrategy:       fosite.ExactAudienceMatchingStrategy,
		ClientSecretsHasher:            noSecrets{},
		JWKSFetcherStrategy:            noKeys{},
		ClientAuthenticationStrategy:   authenticated,
		RefreshTokenScopes:             []string{"offline_access"},
		OmitRedirectScopeParam:         true,
		EnablePKCEPlainChallengeMethod: false,
		SendDebugMessagesToClients:     false,
		UseLegacyErrorFormat:           false,
	}}
	tokens, memory := &strategies{engine: e}, &store{engine: e}
	idTokens := &openid.IDTokenHandleHelper{IDTokenStrategy: tokens}
	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: tokens, RefreshTokenStrategy: tokens, AuthorizeCodeStrategy: tokens,
		CoreStorage: memory, TokenRevocationStorage: memory, Config: c,
	}
	openID := &openid.OpenIDConnectExplicitHandler{
		OpenIDConnectRequestStorage: memory, OpenIDConnectRequestValidator: openid.NewOpenIDConnectRequestValidator(nil, c),
		Config: c, IDTokenHandleHelper: idTokens,
	}
	proof := &pkce.Handler{AuthorizeCodeStrategy: tokens, Storage: memory, Config: c}
	refresh := &oauth2.RefreshTokenGrantHandler{
		AccessTokenStrategy: tokens, RefreshTokenStrategy: tokens, TokenRevocationStorage: memory, Config: c,
	}
	c.authorize = fosite.AuthorizeEndpointHandlers{code, openID, proof}
	c.token = map[string]fosite.TokenEndpointHandlers{
		client.GrantAuthorizationCode: {code, openID, proof},
		client.GrantRefreshToken:      {refresh, &openid.OpenIDConnectRefreshHandler{IDTokenHandleHelper: idTokens, Config: c}},
		client.GrantClientCredentials: {&clientCredentials{tokens: tokens}},
		client.GrantSMSCode:           {&smsCode{tokens: tokens}},
	}
	return fosite.NewOAuth2Provider(memory, c)
}

// authenticated answers the client that the caller authenticated already.
func authenticated(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
	return workOf(ctx).client, nil
}

var errNotOurs = errors.New("clients are not authenticated here")

// noSecrets and noKeys stand where fosite would put a hasher that takes 200 ms and a fetcher
// that follows any URL.
type noSecrets struct{}

func (noSecrets) Compare(context.Context, []byte, []byte) error         { return errNotOurs }
func (noSecrets) Hash(context.Context, []byte) (hash []byte, err error) { return nil, errNotOurs }

type noKeys struct{}

func (noKeys) Resolve(context.Context, string, bool) (*jose.JSONWebKeySet, error) {
	return nil, errNotOurs
}
