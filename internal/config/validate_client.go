package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var brandColor = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

// clients checks what can be told from the file alone; package client has the
// rules of the protocol.
func (k *checker) clients(clients []Client) {
	first := map[string]int{}
	for i, c := range clients {
		path := fmt.Sprintf("clients[%d]", i)
		if j, twice := first[c.ClientID]; twice && c.ClientID != "" {
			k.add(path+".client_id", fmt.Sprintf("is the same as that of clients[%d]", j), "give every client its own")
		}
		first[c.ClientID] = i
		k.client(path, c)
	}
}

func (k *checker) client(path string, c Client) {
	switch {
	case c.ClientID == "":
		k.add(path+".client_id", "is not set", "give every client one, such as web")
	case len(c.ClientID) > 128 || strings.ContainsFunc(c.ClientID, func(r rune) bool { return r <= ' ' || r > '~' }):
		k.add(path+".client_id", "is not printable ASCII without spaces, up to 128 characters", "")
	}
	k.credentials(path, c)
	for i, grant := range c.GrantTypes {
		k.choice(fmt.Sprintf("%s.grant_types[%d]", path, i), grant,
			[]string{"authorization_code", "refresh_token", "client_credentials", smsCodeGrant},
			[]string{"urn:ietf:params:oauth:grant-type:device_code", "urn:openid:params:grant-type:ciba"})
		if grant == smsCodeGrant && !c.FirstParty {
			k.add(fmt.Sprintf("%s.grant_types[%d]", path, i), "the SMS-code grant is for first-party clients", "set first_party, or remove the grant")
		}
	}
	for i, t := range c.ResponseTypes {
		k.choice(fmt.Sprintf("%s.response_types[%d]", path, i), t, []string{"code"}, nil)
	}
	for i, m := range c.ResponseModes {
		k.choice(fmt.Sprintf("%s.response_modes[%d]", path, i), m, []string{"query", "fragment", "form_post"},
			[]string{"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"})
	}
	k.optional(path+".application_type", c.ApplicationType, []string{"web", "native"}, nil)
	k.optional(path+".subject_type", c.SubjectType, []string{"public"}, []string{"pairwise"})
	k.optional(path+".id_token_signed_response_alg", c.IDTokenSignedResponseAlg, []string{"RS256", "ES256", "PS256", "EdDSA"}, nil)
	if c.DefaultMaxAge != nil && *c.DefaultMaxAge < 0 {
		k.add(path+".default_max_age", "is negative", "give seconds")
	}
	if code := len(c.GrantTypes) == 0 || slices.Contains(c.GrantTypes, "authorization_code"); code && len(c.RedirectURIs) == 0 {
		k.add(path+".redirect_uris", "none is given", "the authorization code grant needs one")
	}
	k.uris(path+".redirect_uris", c.RedirectURIs)
	k.uris(path+".post_logout_redirect_uris", c.PostLogoutRedirectURIs)
	k.webURL(path+".client_uri", c.ClientURI)
	k.webURL(path+".logo_uri", c.LogoURI)
	k.webURL(path+".policy_uri", c.PolicyURI)
	k.webURL(path+".tos_uri", c.TOSURI)
	k.webURL(path+".security_event_uri", c.SecurityEventURI)
	k.contact(path+".support_contact", c.SupportContact)
	if c.BrandColor != "" && !brandColor.MatchString(c.BrandColor) {
		k.add(path+".brand_color", "is not a colour", "write it like #0f6b5c")
	}
}

// contact is a way for people to reach somebody; package client has the rules.
func (k *checker) contact(path, raw string) {
	scheme, rest, _ := strings.Cut(raw, ":")
	if raw != "" && (rest == "" || !slices.Contains([]string{"mailto", "tel", "https"}, scheme)) {
		k.add(path, "is not a mailto:, tel: or https: address", "write it like mailto:help@example.com")
	}
}

// credentials checks that a confidential client has a secret and a public one none.
func (k *checker) credentials(path string, c Client) {
	k.optional(path+".token_endpoint_auth_method", c.TokenEndpointAuthMethod,
		[]string{"client_secret_basic", "client_secret_post", "none"},
		[]string{"private_key_jwt", "client_secret_jwt", "tls_client_auth", "self_signed_tls_client_auth"})
	switch {
	case c.Public() && c.ClientSecret != "":
		k.add(path+".client_secret", "is given for a public client", "remove it, or set token_endpoint_auth_method to client_secret_basic")
	case !c.Public() && c.ClientSecret == "":
		k.add(path+".client_secret", "is not set", "give one, or set token_endpoint_auth_method to none for a public client")
	case !k.dev && isExample(c.ClientSecret):
		k.add(path+".client_secret", "is an example", "make one with openssl rand -base64 32")
	}
}

// uris checks that each could be redirected to at all.
func (k *checker) uris(path string, uris []string) {
	for i, raw := range uris {
		u, err := url.Parse(raw)
		switch {
		case err != nil || u.Scheme == "" || u.Host == "" && u.Path == "" || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }):
			k.add(fmt.Sprintf("%s[%d]", path, i), "is not an absolute URI in ASCII", "")
		case strings.Contains(raw, "#"):
			k.add(fmt.Sprintf("%s[%d]", path, i), "has a fragment", "remove what begins with #")
		case u.Scheme == "https" && u.Host == "":
			k.add(fmt.Sprintf("%s[%d]", path, i), "names no host", "")
		}
	}
}

// choice refuses what is neither allowed nor known to come.
func (k *checker) choice(path, value string, allowed, later []string) {
	switch {
	case slices.Contains(allowed, value):
	case slices.Contains(later, value):
		k.add(path, value+" is not available in this version", "use "+strings.Join(allowed, " or "))
	default:
		k.add(path, "is unknown", or(suggest(value, allowed), "use "+strings.Join(allowed, " or ")))
	}
}

func (k *checker) optional(path, value string, allowed, later []string) {
	if value != "" {
		k.choice(path, value, allowed, later)
	}
}
