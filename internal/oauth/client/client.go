// Package client keeps OAuth clients: what they may do, where they may redirect,
// and how they prove who they are.
//
// A client is metadata with the member names of RFC 7591 and the OpenID
// specifications, and a few of ours. It comes from the configuration (source
// "static") or from an operator (source "operator"), is validated once, when it
// is written, and is then served from a bounded cache that forgets everything as
// soon as any server changes any client.
//
// Mistakes in metadata are *fault.Error with the codes of RFC 7591 section 3.2.2
// and a description that names the member. A client that is unknown or disabled
// is db.ErrNotFound, one that cannot prove who it is ErrAuthentication.
package client

import (
	"slices"
	"strings"
	"time"
)

// Grant types a client can be registered for.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
	GrantSMSCode           = "urn:dialtone:params:oauth:grant-type:sms-code"
)

// Ways for a client to authenticate at the token endpoint.
const (
	AuthNone              = "none"
	AuthClientSecretBasic = "client_secret_basic"
	AuthClientSecretPost  = "client_secret_post"
)

// Response modes: how the answer to an authorize request travels.
const (
	ModeQuery    = "query"
	ModeFragment = "fragment"
	ModeFormPost = "form_post"
)

// DefaultScope is what a client may ask for that was registered without a scope.
const DefaultScope = "openid profile email address phone offline_access"

// Scopes of the account API, which only first-party clients can be registered for.
const (
	ScopeAccount      = "account"       // read the person's own data
	ScopeAccountWrite = "account.write" // change it
)

// Client has the member names of RFC 7591 and the OpenID specifications, and ours. A loaded Client
// has every default filled in and is shared: never change it.
type Client struct {
	ID                       string   `json:"client_id"`
	Name                     string   `json:"client_name,omitempty"`
	NameChinese              string   `json:"client_name#zh-CN,omitempty"` // RFC 7591 section 2.2, in the languages that pages have
	NameEnglish              string   `json:"client_name#en,omitempty"`
	RedirectURIs             []string `json:"redirect_uris,omitempty"`
	GrantTypes               []string `json:"grant_types,omitempty"`                // default authorization_code, refresh_token
	ResponseTypes            []string `json:"response_types,omitempty"`             // default code
	TokenEndpointAuthMethod  string   `json:"token_endpoint_auth_method,omitempty"` // client_secret_basic, client_secret_post, none
	Scope                    string   `json:"scope,omitempty"`                      // space-separated; what it may ask for
	PostLogoutRedirectURIs   []string `json:"post_logout_redirect_uris,omitempty"`
	LogoURI                  string   `json:"logo_uri,omitempty"`
	ClientURI                string   `json:"client_uri,omitempty"`
	PolicyURI                string   `json:"policy_uri,omitempty"`
	TOSURI                   string   `json:"tos_uri,omitempty"`
	Contacts                 []string `json:"contacts,omitempty"`
	ApplicationType          string   `json:"application_type,omitempty"`             // web, native
	IDTokenSignedResponseAlg string   `json:"id_token_signed_response_alg,omitempty"` // default RS256
	DefaultMaxAge            *int     `json:"default_max_age,omitempty"`              // seconds
	RequireAuthTime          bool     `json:"require_auth_time,omitempty"`

	FirstParty    bool     `json:"first_party,omitempty"`
	RequirePKCE   *bool    `json:"require_pkce,omitempty"` // nil means true
	SkipAgreement bool     `json:"skip_agreement,omitempty"`
	ResponseModes []string `json:"response_modes,omitempty"` // nil means all
	Disabled      bool     `json:"disabled,omitempty"`

	BrandColor       string `json:"brand_color,omitempty"`        // "#rrggbb"; pages adjust its lightness until it is readable
	SecurityEventURI string `json:"security_event_uri,omitempty"` // https; where security event tokens are pushed to (RFC 8935)

	SupportContact string `json:"support_contact,omitempty"` // mailto:, tel: or https: address that error pages name

	SecretHash string    `json:"-"` // "" for a public client
	Source     string    `json:"-"` // SourceStatic or SourceOperator
	CreatedAt  time.Time `json:"-"`
	UpdatedAt  time.Time `json:"-"`

	scopes []string // Scope, split once
}

// Public says whether the client cannot keep a secret and proves nothing but its client_id.
func (c *Client) Public() bool { return c.TokenEndpointAuthMethod == AuthNone }

// MayUse says whether the client is registered for a grant type.
func (c *Client) MayUse(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// PKCERequired says whether an authorize request needs a code_challenge (RFC 7636).
// Only a confidential client can be exempt; a challenge that was sent is always checked.
func (c *Client) PKCERequired() bool {
	return c.RequirePKCE == nil || *c.RequirePKCE || c.Public()
}

// Scopes are the scopes that the client may ask for. The slice is shared: never change it.
func (c *Client) Scopes() []string {
	if c.scopes == nil {
		return strings.Fields(c.Scope)
	}
	return c.scopes
}

// AllowsScope says whether the client may ask for one scope.
func (c *Client) AllowsScope(scope string) bool { return slices.Contains(c.Scopes(), scope) }

// AllowsResponseMode says whether an authorize request may ask for a response mode.
func (c *Client) AllowsResponseMode(mode string) bool {
	if c.ResponseModes == nil {
		return slices.Contains(responseModes, mode)
	}
	return slices.Contains(c.ResponseModes, mode)
}

// withDefaults returns a copy with every omitted member that has a default filled in
// (RFC 7591 section 2, OpenID Connect Dynamic Client Registration 1.0 section 2).
func (c Client) withDefaults() Client {
	if c.GrantTypes == nil {
		c.GrantTypes = []string{GrantAuthorizationCode, GrantRefreshToken}
	}
	if c.ResponseTypes == nil && c.MayUse(GrantAuthorizationCode) {
		c.ResponseTypes = []string{"code"}
	}
	if c.TokenEndpointAuthMethod == "" {
		c.TokenEndpointAuthMethod = AuthClientSecretBasic
	}
	if c.ApplicationType == "" {
		c.ApplicationType = "web"
	}
	if c.IDTokenSignedResponseAlg == "" {
		c.IDTokenSignedResponseAlg = "RS256"
	}
	if strings.TrimSpace(c.Scope) == "" {
		c.Scope = DefaultScope
	}
	c.scopes = strings.Fields(c.Scope)
	c.Scope = strings.Join(c.scopes, " ")
	return c
}
