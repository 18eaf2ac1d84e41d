package client

import (
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// Mistakes in metadata, with the codes of RFC 7591 section 3.2.2. The description names
// the member and never repeats its value.
var (
	errMetadata    = fault.New(http.StatusBadRequest, "invalid_client_metadata", "the client metadata is invalid")
	errRedirectURI = fault.New(http.StatusBadRequest, "invalid_redirect_uri", "a redirect URI is invalid")
)

// What the members may hold.
var (
	grantTypes    = []string{GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials, GrantSMSCode}
	authMethods   = []string{AuthClientSecretBasic, AuthClientSecretPost, AuthNone}
	responseModes = []string{ModeQuery, ModeFragment, ModeFormPost}
	signingAlgs   = []string{"RS256", "ES256", "PS256", "EdDSA"}
)

// Bounds that keep one client's metadata small enough to cache thousands of.
const (
	maxID       = 128
	maxName     = 256  // bytes
	maxURI      = 2000 // bytes
	maxURIs     = 100
	maxScope    = 4000 // bytes
	maxContacts = 20

	// maxShown is for the names, the URIs of pages and the contact together, in bytes. While a person
	// signs in they travel in one cookie with the request, and browsers cut that at 4 KiB.
	// It leaves room for a state of 256 bytes and a nonce of 384 under any client_id.
	maxShown = 1000
)

// Validate says what is wrong with a client's metadata, first mistake first. Members
// that have a default may be missing.
func (c *Client) Validate() error {
	full := c.withDefaults()
	for _, check := range []func(*Client) error{
		checkID, checkNames, checkGrants, checkAuthentication, checkScope, checkRedirects, checkPages, checkTokens, checkReceiver,
	} {
		if err := check(&full); err != nil {
			return err
		}
	}
	return nil
}

// checkID keeps to characters that mean the same in a header, a form, a URL and a log line.
func checkID(c *Client) error {
	if c.ID == "" || len(c.ID) > maxID {
		return errMetadata.Describe("client_id must have 1 to %d characters", maxID)
	}
	if strings.ContainsFunc(c.ID, func(r rune) bool { return !isUnreserved(r) }) {
		return errMetadata.Describe("client_id may contain only letters, digits, hyphen, period, underscore and tilde")
	}
	return nil
}

func isUnreserved(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~", r)
}

func checkNames(c *Client) error {
	for _, name := range []struct{ member, text string }{
		{"client_name", c.Name}, {"client_name#zh-CN", c.NameChinese}, {"client_name#en", c.NameEnglish},
	} {
		if !isPlainText(name.text, maxName) {
			return errMetadata.Describe("%s must be plain text of at most %d bytes", name.member, maxName)
		}
	}
	if len(c.Contacts) > maxContacts {
		return errMetadata.Describe("contacts has more than %d entries", maxContacts)
	}
	for i, contact := range c.Contacts {
		if contact == "" || !isPlainText(contact, maxName) {
			return errMetadata.Describe("contacts[%d] must be plain text of 1 to %d bytes", i, maxName)
		}
	}
	if c.ApplicationType != "web" && c.ApplicationType != "native" {
		return errMetadata.Describe("application_type must be web or native")
	}
	return nil
}

// isPlainText refuses control characters, line separators and what nobody sees, such as the marks that reverse the
// direction of text, with which a name can pose as another on the consent page.
func isPlainText(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point)
	})
}

func checkGrants(c *Client) error {
	if err := checkList("grant_types", c.GrantTypes, grantTypes); err != nil {
		return err
	}
	if len(c.GrantTypes) == 0 {
		return errMetadata.Describe("grant_types must not be empty")
	}
	if err := checkList("response_types", c.ResponseTypes, []string{"code"}); err != nil {
		return err
	}
	if c.MayUse(GrantAuthorizationCode) != (len(c.ResponseTypes) > 0) {
		return errMetadata.Describe("response_types must be code exactly if grant_types has authorization_code")
	}
	if c.Public() && c.MayUse(GrantClientCredentials) {
		return errMetadata.Describe("grant_types must not have client_credentials if token_endpoint_auth_method is none")
	}
	if c.MayUse(GrantSMSCode) && !c.FirstParty {
		return errMetadata.Describe("grant_types may have the SMS-code grant only if first_party is true")
	}
	return nil
}

func checkAuthentication(c *Client) error {
	if !slices.Contains(authMethods, c.TokenEndpointAuthMethod) {
		return errMetadata.Describe("token_endpoint_auth_method must be one of %s", strings.Join(authMethods, ", "))
	}
	if c.Public() && c.RequirePKCE != nil && !*c.RequirePKCE {
		return errMetadata.Describe("require_pkce must not be false if token_endpoint_auth_method is none")
	}
	return nil
}

// checkScope accepts the scope-tokens of RFC 6749 section 3.3.
func checkScope(c *Client) error {
	if len(c.Scope) > maxScope {
		return errMetadata.Describe("scope has more than %d bytes", maxScope)
	}
	for i, scope := range c.scopes {
		if strings.ContainsFunc(scope, func(r rune) bool { return r < 0x21 || r > 0x7e || r == '"' || r == '\\' }) {
			return errMetadata.Describe("scope has a character that RFC 6749 section 3.3 does not allow")
		}
		if slices.Contains(c.scopes[:i], scope) {
			return errMetadata.Describe("scope names a scope twice")
		}
		if !c.FirstParty && (scope == ScopeAccount || scope == ScopeAccountWrite) {
			return errMetadata.Describe("scope may have %s and %s only if first_party is true", ScopeAccount, ScopeAccountWrite)
		}
	}
	return nil
}

func checkTokens(c *Client) error {
	if !slices.Contains(signingAlgs, c.IDTokenSignedResponseAlg) {
		return errMetadata.Describe("id_token_signed_response_alg must be one of %s", strings.Join(signingAlgs, ", "))
	}
	if c.DefaultMaxAge != nil && *c.DefaultMaxAge < 0 {
		return errMetadata.Describe("default_max_age must not be negative")
	}
	if c.ResponseModes != nil && len(c.ResponseModes) == 0 {
		return errMetadata.Describe("response_modes must not be empty")
	}
	return checkList("response_modes", c.ResponseModes, responseModes)
}

// checkList says which entry of a list is unknown or comes twice.
func checkList(member string, values, known []string) error {
	for i, v := range values {
		if !slices.Contains(known, v) {
			return errMetadata.Describe("%s[%d] must be one of %s", member, i, strings.Join(known, ", "))
		}
		if slices.Contains(values[:i], v) {
			return errMetadata.Describe("%s[%d] is there twice", member, i)
		}
	}
	return nil
}
