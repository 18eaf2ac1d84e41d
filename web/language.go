package web

import (
	"fmt"
	"html"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// A language chosen in the footer goes before the client's ui_locales while a
// sign-in may still be under way, so that the switch works there too; after
// that it is only this browser's habit and the client knows better.
const (
	choiceFresh  = 30 * time.Minute
	choiceMaxAge = 365 * 24 * time.Hour
)

// longestHeader bounds what is parsed of Accept-Language and ui_locales.
const longestHeader = 200

// chooser finds the edition for a list of languages.
type chooser struct {
	matcher  language.Matcher
	matches  []*edition // by index of the matcher's tags
	editions []*edition
}

func newChooser(editions []*edition) chooser {
	c := chooser{editions: editions}
	var tags []language.Tag
	add := func(tag language.Tag, e *edition) {
		tags, c.matches = append(tags, tag), append(c.matches, e)
	}
	for _, e := range editions {
		add(language.MustParse(e.tag), e)
		if e.tag == defaultLanguage {
			// Who reads traditional characters is served better by simplified
			// ones than by English.
			add(language.TraditionalChinese, e)
		}
	}
	c.matcher = language.NewMatcher(tags)
	return c
}

// match returns nil if none of the wanted languages is one of ours.
func (c chooser) match(wanted string) *edition {
	if wanted == "" || len(wanted) > longestHeader {
		return nil
	}
	if e := c.exact(wanted); e != nil {
		return e
	}
	tags, _, err := language.ParseAcceptLanguage(wanted)
	if err != nil {
		return nil
	}
	if _, i, confidence := c.matcher.Match(tags...); confidence > language.No {
		return c.matches[i]
	}
	return nil
}

// exact returns the edition with this tag, nil if there is none.
func (c chooser) exact(tag string) *edition {
	for _, e := range c.editions {
		if strings.EqualFold(tag, e.tag) {
			return e
		}
	}
	return nil
}

// Language returns the BCP 47 tag of the language that Render would choose:
// for texts that leave by another way, such as an SMS. In order: ?lang=, a
// choice made in the footer within the last half hour, uiLocales, an older
// choice, Accept-Language, zh-CN. r may be nil.
func (s *Site) Language(r *http.Request, uiLocales []string) string {
	return s.edition(r, uiLocales).tag
}

func (s *Site) edition(r *http.Request, uiLocales []string) *edition {
	var chosen *edition
	if r != nil {
		if e := s.choice.exact(queryLang(r.URL.RawQuery)); e != nil {
			return e
		}
		var fresh bool
		if chosen, fresh = s.rememberedChoice(r); fresh {
			return chosen
		}
	}
	for _, wanted := range uiLocales {
		if e := s.choice.match(wanted); e != nil {
			return e
		}
	}
	if chosen != nil {
		return chosen
	}
	if r != nil {
		if e := s.choice.match(r.Header.Get("Accept-Language")); e != nil {
			return e
		}
	}
	return s.editions[0]
}

func (s *Site) languageCookie() string { return s.cookie("dialtone_lang") }

// Chosen says whether this browser keeps a language.
func (s *Site) Chosen(r *http.Request) bool {
	e, _ := s.rememberedChoice(r)
	return e != nil
}

// rememberedChoice reads the cookie "TAG.UNIXSECONDS"; nil if there is none.
func (s *Site) rememberedChoice(r *http.Request) (chosen *edition, fresh bool) {
	c, err := r.Cookie(s.languageCookie())
	if err != nil {
		return nil, false
	}
	tag, at, _ := strings.Cut(c.Value, ".")
	chosen = s.choice.exact(tag)
	seconds, err := strconv.ParseInt(at, 10, 64)
	if chosen == nil || err != nil {
		return chosen, false
	}
	age := s.now().Sub(time.Unix(seconds, 0))
	return chosen, age >= 0 && age < choiceFresh
}

// rememberChoice keeps a language that the person has just chosen.
func (s *Site) rememberChoice(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.Choose(w, queryLang(r.URL.RawQuery))
	}
}

// Choose keeps a language for this browser, as the switch in the footer does. One
// that pages do not exist in changes nothing.
func (s *Site) Choose(w http.ResponseWriter, tag string) {
	e := s.choice.exact(tag)
	if e == nil {
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.languageCookie(), Value: e.tag + "." + strconv.FormatInt(s.now().Unix(), 10),
		Path: "/", MaxAge: int(choiceMaxAge / time.Second),
		Secure: s.options.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// queryLang finds lang= without parsing the whole query into a map.
func queryLang(query string) string {
	for part := range strings.SplitSeq(query, "&") {
		if lang, ok := strings.CutPrefix(part, "lang="); ok {
			return lang
		}
	}
	return ""
}

// languageSwitch is the template of the links to a page's other languages.
func (s *Site) languageSwitch(current *edition) string {
	var b strings.Builder
	for _, e := range s.editions {
		now := ""
		if e == current {
			now = ` aria-current="true"`
		}
		fmt.Fprintf(&b, "\n<a href=\"{{.Here}}lang=%[1]s\" lang=\"%[1]s\" hreflang=\"%[1]s\"%[2]s>%[3]s</a>", e.tag, now, html.EscapeString(e.name))
	}
	return b.String()
}

// here keeps the page and its query in the links of the language switch. A page
// that answers a POST cannot be asked for again, so there the links lead to the
// GET of the same step.
func here(r *http.Request, f facts) template.URL {
	prefix := "?"
	switch {
	case r == nil:
	case r.Method == http.MethodPost:
		prefix = stepURL(r, f)
	default:
		prefix = "?" + withoutLang(r.URL.RawQuery)
	}
	return template.URL(prefix) //nolint:gosec // relative by construction; the template escapes it for its attribute
}

// withoutLang drops lang from a query and ends with "&" unless nothing is left.
func withoutLang(query string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(query, "&") {
		if part != "" && !strings.HasPrefix(part, "lang=") {
			b.WriteString(part)
			b.WriteByte('&')
		}
	}
	return b.String()
}

// pageOver is the nearest page at or above an address that takes forms, "" for none.
func pageOver(address string) string {
	for ; address != ""; address = address[:max(strings.LastIndexByte(address, '/'), 0)] {
		switch address {
		case "/login", "/login/code", "/login/closing", "/login/password", "/login/passkey-setup", "/login/qr", "/login/recycled", "/login/second",
			"/register", "/consent", "/logout", "/account", "/account/delete", pathSecurity, "/demo", "/qr":
			return address
		}
		if id, ok := strings.CutPrefix(address, "/qr/"); ok && !strings.Contains(id, "/") {
			return address
		}
	}
	return ""
}

// stepURL is where GET shows the step that r posted to, ready for another
// parameter. The page's own values count; an error page takes the form's.
func stepURL(r *http.Request, f facts) string {
	path, step := f.path, f.step
	if path == "" {
		if path = pageOver(r.URL.Path); path == "" {
			return "?"
		}
	}
	if step == nil {
		for _, name := range []string{"flow", "challenge", "ticket"} {
			step = append(step, Field{name, r.PostForm.Get(name)})
		}
	}
	to := path + "?"
	for _, f := range step {
		if f.Value != "" {
			to += f.Name + "=" + url.QueryEscape(f.Value) + "&"
		}
	}
	return to
}
