package client

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-id/dialtone/internal/fault"
)

var errRedirect = fault.New(http.StatusBadRequest, "invalid_request", "redirect_uri is not registered for this client")

// Redirect answers the redirect URI of an authorize request if the client registered
// it: the same string, character for character (RFC 9700 section 2.1). The one
// exception is the port of a registered http loopback URI, which a native app picks
// at run time (RFC 8252 section 7.3); for other clients it counts like the rest, since
// on a shared machine another port is another person's program. A request without redirect_uri, raw "", gets
// the registered one if there is exactly one (RFC 6749 section 3.1.2.3). Anything
// else is an invalid_request that must never be sent to the URI.
func (c *Client) Redirect(raw string) (*url.URL, error) {
	if raw == "" && len(c.RedirectURIs) == 1 {
		raw = c.RedirectURIs[0]
	}
	if !slices.Contains(c.RedirectURIs, raw) &&
		!(c.onDevice() && slices.ContainsFunc(c.RedirectURIs, func(registered string) bool { return sameButPort(registered, raw) })) {
		return nil, errRedirect
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errRedirect.Because(err)
	}
	return u, nil
}

// PostLogoutRedirect answers a post_logout_redirect_uri if the client registered exactly
// that string (OpenID Connect RP-Initiated Logout 1.0 section 3).
func (c *Client) PostLogoutRedirect(raw string) (*url.URL, error) {
	refused := errRedirect.Describe("post_logout_redirect_uri is not registered for this client")
	if !slices.Contains(c.PostLogoutRedirectURIs, raw) {
		return nil, refused
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, refused.Because(err)
	}
	return u, nil
}

// onDevice says whether the client may run on the person's own machine and listen on a
// port that it gets there: it says that it is native, or has no secret to keep on a server.
func (c *Client) onDevice() bool { return c.ApplicationType == "native" || c.Public() }

// sameButPort says whether two http loopback URIs differ in their port at most. It compares
// strings, never parsed URLs: two parsers that disagree about userinfo, escapes or slashes
// are how redirect checks are usually defeated.
func sameButPort(registered, presented string) bool {
	host, rest, ok := splitLoopback(registered)
	if !ok {
		return false
	}
	otherHost, otherRest, ok := splitLoopback(presented)
	return ok && host == otherHost && rest == otherRest
}

// splitLoopback takes an http loopback URI apart into its host as written and all that
// follows the port. The host must be one of three literals, so that a client that
// registered 127.0.0.1 is not sent to [::1] or to whatever localhost resolves to.
func splitLoopback(raw string) (host, rest string, ok bool) {
	authority, ok := strings.CutPrefix(raw, "http://")
	if !ok {
		return "", "", false
	}
	if i := strings.IndexAny(authority, "/?"); i >= 0 {
		authority, rest = authority[:i], authority[i:]
	}
	for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
		port, ok := strings.CutPrefix(authority, host)
		if !ok {
			continue
		}
		if port == "" {
			return host, rest, true
		}
		return host, rest, port[0] == ':' && isPort(port[1:])
	}
	return "", "", false
}

// isPort accepts 1 to 65535 without sign or leading zero.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s == strconv.FormatUint(n, 10)
}
