package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/signing"
)

// metadata is OpenID Connect Discovery 1.0 section 3 and RFC 8414 section 2.
// Members whose default is not what we do are always there; what is not offered
// is left out, and nothing here is our own invention.
type metadata struct {
	Issuer                                     string   `json:"issuer"`
	AuthorizationEndpoint                      string   `json:"authorization_endpoint"`
	TokenEndpoint                              string   `json:"token_endpoint"`
	UserinfoEndpoint                           string   `json:"userinfo_endpoint"`
	JWKSURI                                    string   `json:"jwks_uri"`
	IntrospectionEndpoint                      string   `json:"introspection_endpoint"`
	RevocationEndpoint                         string   `json:"revocation_endpoint"`
	EndSessionEndpoint                         string   `json:"end_session_endpoint"`
	AuthorizationChallengeEndpoint             string   `json:"authorization_challenge_endpoint"` // OAuth 2.0 for First-Party Applications
	ScopesSupported                            []string `json:"scopes_supported"`
	ResponseTypesSupported                     []string `json:"response_types_supported"`
	ResponseModesSupported                     []string `json:"response_modes_supported"`
	GrantTypesSupported                        []string `json:"grant_types_supported"`
	ACRValuesSupported                         []string `json:"acr_values_supported"`
	SubjectTypesSupported                      []string `json:"subject_types_supported"`
	IDTokenSigningAlgValuesSupported           []string `json:"id_token_signing_alg_values_supported"`
	TokenEndpointAuthMethodsSupported          []string `json:"token_endpoint_auth_methods_supported"`
	IntrospectionEndpointAuthMethodsSupported  []string `json:"introspection_endpoint_auth_methods_supported"`
	RevocationEndpointAuthMethodsSupported     []string `json:"revocation_endpoint_auth_methods_supported"`
	ClaimTypesSupported                        []string `json:"claim_types_supported"`
	ClaimsSupported                            []string `json:"claims_supported"`
	UILocalesSupported                         []string `json:"ui_locales_supported"`
	CodeChallengeMethodsSupported              []string `json:"code_challenge_methods_supported"`
	PromptValuesSupported                      []string `json:"prompt_values_supported"`
	ClaimsParameterSupported                   bool     `json:"claims_parameter_supported"`
	RequestParameterSupported                  bool     `json:"request_parameter_supported"`
	RequestURIParameterSupported               bool     `json:"request_uri_parameter_supported"`
	AuthorizationResponseIssParameterSupported bool     `json:"authorization_response_iss_parameter_supported"`
}

func describe(issuer string) metadata {
	at := func(path string) string { return strings.TrimSuffix(issuer, "/") + path }
	return metadata{
		Issuer:                         issuer,
		AuthorizationEndpoint:          at(pathAuthorize),
		TokenEndpoint:                  at(pathToken),
		UserinfoEndpoint:               at(pathUserinfo),
		JWKSURI:                        at(pathJWKS),
		IntrospectionEndpoint:          at(pathIntrospect),
		RevocationEndpoint:             at(pathRevoke),
		EndSessionEndpoint:             at(pathEndSession),
		AuthorizationChallengeEndpoint: at(pathChallenge),
		ScopesSupported:                append(strings.Fields(client.DefaultScope), client.ScopeAccount, client.ScopeAccountWrite),
		ResponseTypesSupported:         []string{"code"},
		ResponseModesSupported:         []string{client.ModeQuery, client.ModeFragment, client.ModeFormPost},
		GrantTypesSupported: []string{
			client.GrantAuthorizationCode, client.GrantRefreshToken, client.GrantClientCredentials, client.GrantSMSCode,
		},
		ACRValuesSupported:    acrValues(),
		SubjectTypesSupported: []string{"public"},
		IDTokenSigningAlgValuesSupported: []string{
			string(signing.RS256), string(signing.ES256), string(signing.PS256), string(signing.EdDSA),
		},
		TokenEndpointAuthMethodsSupported:         []string{client.AuthClientSecretBasic, client.AuthClientSecretPost, client.AuthNone},
		IntrospectionEndpointAuthMethodsSupported: []string{client.AuthClientSecretBasic, client.AuthClientSecretPost},
		RevocationEndpointAuthMethodsSupported:    []string{client.AuthClientSecretBasic, client.AuthClientSecretPost, client.AuthNone},
		ClaimTypesSupported:                       []string{"normal"},
		ClaimsSupported: []string{
			"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid",
			"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
			"website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
			"email", "email_verified", "address", "phone_number", "phone_number_verified",
		},
		UILocalesSupported:                         []string{"zh-CN", "en"},
		CodeChallengeMethodsSupported:              []string{"S256"},
		PromptValuesSupported:                      []string{promptNone, promptLogin, promptConsent, promptSelectAccount, promptCreate},
		AuthorizationResponseIssParameterSupported: true,
	}
}

// document is a prepared answer with its strong entity tag.
type document struct {
	body []byte
	etag string
}

func prepare(m metadata) (document, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return document{}, fmt.Errorf("prepare metadata: %w", err)
	}
	sum := sha256.Sum256(body)
	return document{body: body, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}, nil
}

// Public documents may be kept for this long. A new signing key is published for
// longer than that before it signs.
const documentCache = "public, max-age=300"

// discovery serves both well-known documents: RFC 8414 registers the members of
// OpenID Connect Discovery for its own.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	serveDocument(w, r, s.metadata)
}

// jwks serves the public keys as application/json, which every client library takes.
func (s *Server) jwks(w http.ResponseWriter, r *http.Request) {
	body, etag := s.ring.JWKS()
	serveDocument(w, r, document{body: body, etag: etag})
}

func serveDocument(w http.ResponseWriter, r *http.Request, d document) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", documentCache)
	h.Set("ETag", d.etag)
	if matchesTag(r.Header.Values("If-None-Match"), d.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	_, _ = w.Write(d.body) // a HEAD's body is dropped by net/http
}

// matchesTag compares weakly, as RFC 9110 section 13.1.2 asks.
func matchesTag(given []string, etag string) bool {
	for _, line := range given {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}
