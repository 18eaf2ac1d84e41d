package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setHeaders sets what every page carries. Strict-Transport-Security is not
// about pages and is the server's.
func setHeaders(h http.Header, f facts, lang string) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", lang)
	h.Set("Content-Security-Policy", contentSecurityPolicy(f))
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept-Language, Cookie")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "otp-credentials=(self), publickey-credentials-get=(self), camera=(), geolocation=(), microphone=()")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// Anything but unsafe-none would cut the client's pop-up off from its
	// opener for good, also after it has come back to the client's own page.
	opener := "same-origin"
	if f.popup {
		opener = "unsafe-none"
	}
	h.Set("Cross-Origin-Opener-Policy", opener)
	if f.problem != nil && f.problem.RetryAfter > 0 && h.Get("Retry-After") == "" {
		seconds := (f.problem.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.Itoa(int(seconds)))
	}
}

// contentSecurityPolicy allows our own assets, one form target, where a client
// has a logo images and for its colour one style, and for a human check its worker,
// its sound or its vendor.
func contentSecurityPolicy(f facts) string {
	var b strings.Builder
	vendor := ""
	if f.check.script() != "" {
		for _, origin := range f.check.Origins {
			vendor += " " + origin
		}
	}
	b.WriteString("default-src 'none'; style-src 'self'" + f.brand.source + vendor + "; script-src 'self'" + vendor +
		"; connect-src 'self'" + vendor + "; img-src 'self'" + vendor)
	if f.client != nil {
		b.WriteString(imageSource(f.client.LogoURI))
	}
	b.WriteString(imageSources(f.logos))
	if f.check != nil {
		b.WriteString("; worker-src 'self'; media-src 'self'")
	}
	b.WriteString("; form-action 'self'")
	b.WriteString(formTargets(cmp.Or(f.target, f.common.FormAction)))
	b.WriteString("; frame-ancestors 'none'; base-uri 'none'")
	return b.String()
}

// imageSource allows a logo to come from anywhere on https: logo URLs are
// often redirected to another host.
func imageSource(logo string) string {
	switch logo = webURL(logo); {
	case logo == "":
		return ""
	case strings.HasPrefix(logo, "http:"):
		return hostSource(logo)
	default:
		return " https:"
	}
}

// imageSources is imageSource for several logos, each source once.
func imageSources(logos []string) string {
	var sources []string
	for _, logo := range logos {
		if source := imageSource(logo); source != "" && !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
	}
	return strings.Join(sources, "")
}

// formTargets lets the answer to a form redirect to a client. Chromium applies
// form-action to every hop after a POST, also to those behind the client's
// redirect URI, where a client may well go on to another host of its own. The
// target itself is named; for the hops after it all of https is open, and for
// a client on this machine all of this machine.
func formTargets(target string) string {
	scheme, rest, _ := strings.Cut(target, ":")
	scheme = strings.ToLower(scheme)
	switch {
	case target == "":
		return ""
	case scheme == "https":
		return hostSource(target) + " https:"
	case scheme == "http":
		return hostSource(target) + " https: http://localhost:* http://127.0.0.1:*"
	case isAppScheme(scheme) && isPrintable(rest):
		return " " + scheme + ":"
	default:
		return ""
	}
}

// hostSource writes the origin of an http or https URL as a CSP source. Hosts
// that CSP cannot name, such as IPv6 addresses, become their whole scheme.
func hostSource(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	named := host != ""
	for _, c := range []byte(host) {
		named = named && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_')
	}
	if !named {
		return " " + strings.ToLower(u.Scheme) + ":"
	}
	if port := u.Port(); port != "" {
		host += ":" + port // digits only, or Parse had refused it
	}
	return " " + strings.ToLower(u.Scheme) + "://" + host
}

// isAppScheme accepts the private-use schemes of native apps (RFC 8252 section
// 7.1) and none that a browser runs or shows itself.
func isAppScheme(s string) bool {
	switch s {
	case "", "javascript", "data", "blob", "file", "filesystem", "about", "vbscript", "view-source", "ws", "wss", "ftp":
		return false
	}
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return true
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < '!' || c > '~' })
}
