package web

import (
	"net/netip"
	"net/url"
	"strings"
)

// webURL returns raw if a page may show it as a stranger's link or image: an
// absolute https URL, or http on this machine; else "".
func webURL(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return ""
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return u.String()
	}
	return ""
}

// linkURL is webURL, or a path of ours.
func linkURL(raw string) string {
	if strings.HasPrefix(raw, "/") {
		// "//host" and "/\host" lead elsewhere.
		if u, err := url.Parse(raw); err == nil && u.Host == "" && !strings.ContainsAny(raw, "\\") && !strings.HasPrefix(raw, "//") {
			return u.String()
		}
		return ""
	}
	return webURL(raw)
}

func isLoopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
