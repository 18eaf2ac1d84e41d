package user

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// cookies gives every cookie of this package the same attributes. On https the
// name carries the __Host- prefix, which binds it to this very host (RFC 6265bis
// section 4.1.3.2); browsers refuse that prefix, and Secure, on plain http.
type cookies struct {
	plain bool // the issuer is http on loopback
}

func (c cookies) name(base string) string {
	if c.plain {
		return base
	}
	return "__Host-" + base
}

func (c cookies) set(w http.ResponseWriter, base, value string, life time.Duration) {
	c.put(w, base, value, int(life/time.Second))
}

func (c cookies) clear(w http.ResponseWriter, base string) { c.put(w, base, "", -1) }

// put sets a cookie in the place of one that this answer set before: two of one
// name in an answer are left to the browser's taste (RFC 6265 section 4.1.1).
func (c cookies) put(w http.ResponseWriter, base, value string, maxAge int) {
	cookie := http.Cookie{
		Name: c.name(base), Value: value, Path: "/", MaxAge: maxAge,
		Secure: !c.plain, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	h := w.Header()
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(earlier string) bool {
		return strings.HasPrefix(earlier, cookie.Name+"=")
	})
	http.SetCookie(w, &cookie)
}

// read returns the cookie's value. Two cookies of one name mean that somebody
// else had a hand in it, so neither counts.
func (c cookies) read(r *http.Request, base string) (string, bool) {
	found := r.CookiesNamed(c.name(base))
	if len(found) != 1 || found[0].Value == "" {
		return "", false
	}
	return found[0].Value, true
}
