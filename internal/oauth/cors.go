package oauth

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
)

// Browsers may read what the public documents say from anywhere. The answers
// of the token, userinfo and revocation endpoints are readable only by origins
// that a client registered a redirect URI on. Errors that come before the client is
// known may be read from anywhere: they tell of nobody, and without them an app in a
// browser could not tell an expired token from a network that is down. No answer ever
// allows credentials, so no cookie of ours works from another origin.

// preflight answers OPTIONS. Which client will call is not known yet, so the
// answer depends on nothing; the real answer decides who may read it.
func preflight(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" && origin != "null" {
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Access-Control-Allow-Methods", methods)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "600")
		}
		h.Set("Allow", methods+", OPTIONS")
		w.WriteHeader(http.StatusNoContent)
	}
}

// shareErrors lets every origin read the answer, until share knows better. Every
// answer of such an endpoint varies by origin.
func shareErrors(w http.ResponseWriter) {
	h := w.Header()
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
}

// share lets the request's origin alone read the answer if it is one of the
// client's, and nobody if it is not.
func share(w http.ResponseWriter, r *http.Request, c *client.Client) {
	h := w.Header()
	origin := r.Header.Get("Origin")
	if origin == "" || !ownsOrigin(c, origin) {
		h.Del("Access-Control-Allow-Origin")
		h.Del("Access-Control-Expose-Headers")
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
}

// ownsOrigin compares serialised origins (RFC 6454 section 6.2). "null" is nobody's.
func ownsOrigin(c *client.Client, origin string) bool {
	for _, raw := range c.RedirectURIs {
		u, err := url.Parse(raw)
		if err == nil && (u.Scheme == "https" || u.Scheme == "http") && originOf(u) == origin {
			return true
		}
	}
	return false
}

// originOf is the ASCII serialisation of a web origin: no default port, lower case.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}
