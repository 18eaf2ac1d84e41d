package client

import (
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

func checkRedirects(c *Client) error {
	if c.MayUse(GrantAuthorizationCode) && len(c.RedirectURIs) == 0 {
		return errRedirectURI.Describe("redirect_uris must not be empty if grant_types has authorization_code")
	}
	if err := checkTargets("redirect_uris", c.RedirectURIs); err != nil {
		return err
	}
	return checkTargets("post_logout_redirect_uris", c.PostLogoutRedirectURIs)
}

func checkTargets(member string, uris []string) error {
	if len(uris) > maxURIs {
		return errRedirectURI.Describe("%s has more than %d entries", member, maxURIs)
	}
	for i, raw := range uris {
		if wrong := wrongTarget(raw); wrong != "" {
			return errRedirectURI.Describe("%s[%d] %s", member, i, wrong)
		}
		if slices.Contains(uris[:i], raw) {
			return errRedirectURI.Describe("%s[%d] is there twice", member, i)
		}
	}
	return nil
}

// wrongTarget says what forbids sending a browser to a URI with an answer in it, "" if
// nothing does. Allowed are https anywhere, http on loopback (RFC 8252 section 7.3) and
// private-use schemes, which need a dot (section 7.1): that rules out javascript, data,
// file and every other scheme that a browser or a system handles itself.
func wrongTarget(raw string) string {
	u, wrong := parseURI(raw)
	switch {
	case wrong != "":
		return wrong
	case strings.Contains(raw, "#"):
		return "must not have a fragment"
	case strings.Contains(raw, "*"):
		return "must not have a wildcard"
	case u.Scheme == "https":
		return wrongHost(u)
	case u.Scheme == "http":
		if _, _, ok := splitLoopback(raw); !ok {
			return "must use https, or http with the host 127.0.0.1, [::1] or localhost"
		}
		return ""
	case !strings.Contains(u.Scheme, "."):
		return "must use https, http on loopback, or a private-use scheme with a dot in it"
	case u.Opaque != "" || u.Path == "" && u.Host == "":
		return "must have a path after its private-use scheme"
	}
	return ""
}

// parseURI accepts an absolute URI of printable ASCII. Backslashes, blanks and the like
// are refused before parsing, since browsers repair them and Go does not.
func parseURI(raw string) (_ *url.URL, wrong string) {
	if raw == "" || len(raw) > maxURI {
		return nil, "must be a URI of at most 2000 bytes"
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\\\"<>^`{|}", r) }) {
		return nil, "has a character that a URI cannot have, such as a blank, a backslash or one outside ASCII"
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" {
		return nil, "must be an absolute URI"
	}
	if u.User != nil || strings.Contains(u.Host, "@") {
		return nil, "must not have a user name or password"
	}
	return u, ""
}

// wrongHost accepts a DNS name or an IP address, with a port or without.
func wrongHost(u *url.URL) string {
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		return wrongPort(u)
	}
	if host == "" || len(host) > 253 {
		return "must name a host"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if !isLabel(label) {
			return "must name a host by a DNS name or an IP address"
		}
	}
	return wrongPort(u)
}

func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	})
}

func wrongPort(u *url.URL) string {
	if p := u.Port(); strings.HasSuffix(u.Host, ":") || p != "" && !isPort(p) {
		return "must have a port between 1 and 65535, or none"
	}
	return ""
}

// checkPages looks at the URIs that pages show to people.
func checkPages(c *Client) error {
	sum := len(c.SupportContact)
	for _, name := range []string{c.Name, c.NameChinese, c.NameEnglish} {
		sum += len(name) + strings.Count(name, `"`) + strings.Count(name, `\`) // as JSON spells it
	}
	for _, extra := range []string{c.NameChinese, c.NameEnglish, c.BrandColor, c.SupportContact} {
		if extra != "" {
			sum += shownMember
		}
	}
	for _, page := range []struct{ member, uri string }{
		{"logo_uri", c.LogoURI}, {"client_uri", c.ClientURI}, {"policy_uri", c.PolicyURI}, {"tos_uri", c.TOSURI},
	} {
		if err := checkPage(page.member, page.uri); err != nil {
			return err
		}
		sum += len(page.uri)
	}
	if sum > maxShown {
		return errMetadata.Describe("client_name, client_uri, logo_uri, policy_uri, tos_uri and support_contact must have at most %d bytes together", maxShown)
	}
	if !isColour(c.BrandColor) {
		return errMetadata.Describe("brand_color must be a colour like #0f6b5c")
	}
	return checkContact(c.SupportContact)
}

// shownMember is what the name of a member that few clients have takes in the cookie.
const shownMember = 20

func isColour(s string) bool {
	return s == "" || len(s) == 7 && s[0] == '#' && strings.Trim(s[1:], "0123456789abcdefABCDEF") == ""
}

// checkContact looks at the address where a client's people find help.
func checkContact(raw string) error {
	scheme, rest, _ := strings.Cut(raw, ":")
	right := raw == ""
	switch scheme {
	case "mailto":
		a, err := mail.ParseAddress(rest)
		right = err == nil && a.Address == rest && !strings.ContainsAny(rest, `"<>%?&\ `)
	case "tel": // RFC 3966 section 3, without parameters
		right = strings.ContainsAny(rest, "0123456789") && strings.Trim(rest, "+0123456789-.()") == ""
	case "https":
		return checkPage("support_contact", raw)
	}
	if !right {
		return errMetadata.Describe("support_contact must be a mailto:, tel: or https: address")
	}
	return nil
}

func checkPage(member, raw string) error {
	if raw == "" {
		return nil
	}
	u, wrong := parseURI(raw)
	if wrong == "" && u.Scheme == "https" {
		wrong = wrongHost(u)
	} else if _, _, loopback := splitLoopback(raw); wrong == "" && !loopback {
		wrong = "must use https"
	}
	if wrong != "" {
		return errMetadata.Describe("%s %s", member, wrong)
	}
	return nil
}

// checkReceiver looks at the address that security event tokens are pushed to.
func checkReceiver(c *Client) error {
	if c.SecurityEventURI == "" {
		return nil
	}
	u, wrong := parseURI(c.SecurityEventURI)
	switch {
	case wrong != "":
	case u.Scheme != "https":
		wrong = "must use https"
	case strings.Contains(c.SecurityEventURI, "#"):
		wrong = "must not have a fragment"
	default:
		wrong = wrongHost(u)
	}
	if wrong != "" {
		return errMetadata.Describe("security_event_uri %s", wrong)
	}
	return nil
}
