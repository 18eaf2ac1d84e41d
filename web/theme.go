package web

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
	"time"
)

// theme is light or dark as a person chose it in the footer; what the system
// says where nobody chose.
type theme string

const (
	themeSystem theme = "system"
	themeLight  theme = "light"
	themeDark   theme = "dark"
)

func themes() []theme { return []theme{themeSystem, themeLight, themeDark} }

// sheet is the asset that a theme's pages link to.
func (t theme) sheet() string {
	switch t {
	case themeLight:
		return "light.css"
	case themeDark:
		return "dark.css"
	}
	return "dialtone.css"
}

// scheme is the theme's value of the meta element color-scheme.
func (t theme) scheme() string {
	if t == themeLight || t == themeDark {
		return string(t)
	}
	return bothSchemes
}

const (
	bothSchemes = "light dark"
	darkQuery   = "@media (prefers-color-scheme: dark)"
)

// fixed is the style sheet with the dark theme always on or always off, so that a
// choice costs no second set of rules in the one that everybody loads.
func fixed(sheet []byte, t theme) []byte {
	query := "@media all"
	if t == themeLight {
		query = "@media not all"
	}
	sheet = bytes.ReplaceAll(sheet, []byte(darkQuery), []byte(query))
	return bytes.ReplaceAll(sheet, []byte("color-scheme: "+bothSchemes), []byte("color-scheme: "+t.scheme()))
}

// theme reads the choice; r may be nil.
func (s *Site) theme(r *http.Request) theme {
	if r == nil {
		return themeSystem
	}
	c, err := r.Cookie(s.cookie("dialtone_theme"))
	if err != nil {
		return themeSystem
	}
	switch t := theme(c.Value); t {
	case themeLight, themeDark:
		return t
	}
	return themeSystem
}

// themeMaxBytes is ample for a theme and an address of ours.
const themeMaxBytes = 8 << 10

// SetTheme answers POST /theme: it remembers the choice and leads back to the page
// that the form was on.
func (s *Site) SetTheme() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, themeMaxBytes)
		to, chosen := "/", theme(r.PostFormValue("theme"))
		if path := r.PostForm.Get("to"); strings.HasPrefix(path, "/") && linkURL(path) != "" {
			to = linkURL(path)
		}
		cookie := http.Cookie{
			Name: s.cookie("dialtone_theme"), Value: string(chosen), Path: "/", MaxAge: int(choiceMaxAge / time.Second),
			Secure: s.options.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		}
		switch chosen {
		case themeLight, themeDark:
			http.SetCookie(w, &cookie)
		case themeSystem:
			cookie.Value, cookie.MaxAge = "", -1
			http.SetCookie(w, &cookie)
		}
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // a path of ours, checked above
	})
}

// cookie is the full name of one of our cookies: on https its prefix binds it to
// this very host.
func (s *Site) cookie(base string) string {
	if s.options.Secure {
		return "__Host-" + base
	}
	return base
}

// back is where GET shows a page again: its path before what begins with "?"; "" for
// the answer to a form whose page is not known.
func back(r *http.Request, here template.URL) string {
	to := string(here)
	switch {
	case r == nil || !strings.HasPrefix(to, "?"):
	case r.Method == http.MethodPost:
		return ""
	default:
		to = r.URL.EscapedPath() + to
	}
	return strings.TrimRight(to, "?&")
}
