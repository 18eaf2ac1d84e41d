package web

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// defaultLanguage is used where a person's languages are unknown or not ours.
const defaultLanguage = "zh-CN"

// edition is everything in one language.
type edition struct {
	tag       string            // BCP 47, "zh-CN"
	name      string            // in its own language
	fixed     map[string]string // texts without parameters, ready to use
	phrases   map[string]phrase // texts with parameters but one form
	known     map[string]bool   // all keys
	localizer *i18n.Localizer   // for texts with parameters or plurals
	regions   display.Namer
	zone      *time.Location // of times that are shown

	layouts map[theme]layout
	pages   map[string]page
}

// loadEditions reads messages/TAG.yaml, the default language first.
func loadEditions(files embed.FS) ([]*edition, error) {
	paths, err := fs.Glob(files, "messages/*.yaml")
	if err != nil {
		return nil, err
	}
	bundle := i18n.NewBundle(language.MustParse(defaultLanguage))
	bundle.RegisterUnmarshalFunc("yaml", yaml.Unmarshal)
	var editions []*edition
	for _, p := range paths {
		e, err := loadEdition(files, bundle, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if e.tag == defaultLanguage {
			editions = append([]*edition{e}, editions...)
		} else {
			editions = append(editions, e)
		}
	}
	return editions, nil
}

func loadEdition(files embed.FS, bundle *i18n.Bundle, file string) (*edition, error) {
	raw, err := files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed, err := bundle.ParseMessageFileBytes(raw, file)
	if err != nil {
		return nil, err
	}
	tag, err := language.Parse(strings.TrimSuffix(path.Base(file), ".yaml"))
	if err != nil {
		return nil, err
	}
	e := &edition{
		tag: tag.String(), fixed: map[string]string{}, phrases: map[string]phrase{}, known: map[string]bool{},
		localizer: i18n.NewLocalizer(bundle, tag.String()), regions: display.Regions(tag),
	}
	for _, m := range parsed.Messages {
		e.known[m.ID] = true
		switch {
		case m.One != "": // left to the localizer
		case strings.Contains(m.Other, "{{"):
			e.phrases[m.ID] = parsePhrase(m.Other)
		default:
			e.fixed[m.ID] = m.Other
		}
	}
	if e.name, err = e.text("language.name"); err != nil {
		return nil, err
	}
	hours, err := strconv.Atoi(e.fixed["date.zone_hours"])
	if err != nil {
		return nil, fmt.Errorf("date.zone_hours: %w", err)
	}
	e.zone = time.FixedZone("", hours*60*60)
	return e, nil
}

// text returns a text without parameters.
func (e *edition) text(key string) (string, error) {
	if s, ok := e.fixed[key]; ok {
		return s, nil
	}
	return "", fmt.Errorf("no text %q without parameters", key)
}

// say returns a text whose parameters are given as name, value, name, value;
// "n" also chooses the plural form.
func (e *edition) say(key string, pairs ...any) (string, error) {
	params := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return "", fmt.Errorf("text %q: parameter %d has no name", key, i/2)
		}
		params[name] = pairs[i+1]
	}
	return e.localize(key, params)
}

// sayLiterals is say where all values are texts.
func (e *edition) sayLiterals(args ...string) (string, error) {
	if len(args)%2 != 1 {
		return "", fmt.Errorf("text with parameters: want a key and pairs, got %d arguments", len(args))
	}
	params := make(map[string]any, len(args)/2)
	for i := 1; i < len(args); i += 2 {
		params[args[i]] = args[i+1]
	}
	return e.localize(args[0], params)
}

func (e *edition) localize(key string, params map[string]any) (string, error) {
	if s, ok := e.fixed[key]; ok {
		return s, nil
	}
	if p, ok := e.phrases[key]; ok {
		return p.fill(params), nil
	}
	c := i18n.LocalizeConfig{MessageID: key, TemplateData: params}
	switch n := params["n"].(type) {
	case int:
		c.PluralCount = n
	case string:
		if count, err := strconv.Atoi(n); err == nil {
			c.PluralCount = count
		}
	}
	return e.localizer.Localize(&c)
}

// phrase is a text cut at its parameters: text, name, text, name ... text. The
// localizer would parse and match languages anew for each use.
type phrase []string

func parsePhrase(s string) phrase {
	var p phrase
	for {
		before, rest, found := strings.Cut(s, "{{.")
		p = append(p, before)
		if !found {
			return p
		}
		name, after, _ := strings.Cut(rest, "}}")
		p = append(p, name)
		s = after
	}
}

func (p phrase) fill(params map[string]any) string {
	var b strings.Builder
	for i, part := range p {
		if i%2 == 0 {
			b.WriteString(part)
		} else {
			fmt.Fprint(&b, params[part])
		}
	}
	return b.String()
}

// problem returns the text of a fault code. Unknown codes get a general text:
// better vague than blank.
func (e *edition) problem(code string, params map[string]string, retry time.Duration) string {
	if code == "code_incorrect_last" && params["tries"] == "" {
		code = "code_incorrect"
	}
	if !e.known[code] || strings.Contains(code, ".") {
		code = "unknown_error"
	}
	if s, ok := e.fixed[code]; ok {
		return s
	}
	if seconds, err := strconv.Atoi(params["seconds"]); err == nil && retry <= 0 {
		retry = time.Duration(seconds) * time.Second
	}
	data := map[string]any{"when": e.when(retry), "n": params["tries"]}
	for name, value := range params {
		data[name] = value
	}
	s, err := e.localize(code, data)
	if err != nil {
		return e.fixed["unknown_error"]
	}
	return s
}

// when says how long to wait in words: "in 42 seconds", "later".
func (e *edition) when(d time.Duration) string {
	unit, per := "seconds", time.Second
	switch {
	case d <= 0:
		return e.fixed["when.later"]
	case d > 36*time.Hour:
		unit, per = "days", 24*time.Hour
	case d > 100*time.Minute:
		unit, per = "hours", time.Hour
	case d > 100*time.Second:
		unit, per = "minutes", time.Minute
	}
	s, err := e.say("when."+unit, "n", int(math.Ceil(float64(d)/float64(per))))
	if err != nil {
		return e.fixed["when.later"]
	}
	return s
}

// region names a country or region; the operator's texts go before CLDR's.
func (e *edition) region(iso string) string {
	if s, ok := e.fixed["region."+iso]; ok {
		return s
	}
	r, err := language.ParseRegion(iso)
	if err != nil {
		return iso
	}
	if name := e.regions.Name(r); name != "" {
		return name
	}
	return iso
}

// scopes that the texts describe; a client may ask for others of its own.
func (e *edition) scope(scope, suffix string) string {
	switch scope {
	case "openid", "profile", "email", "phone", "address", "offline_access":
		return e.fixed["scope."+scope+suffix]
	case "account", "account.write":
		return e.fixed["scope."+strings.ReplaceAll(scope, ".", "_")+suffix]
	}
	return ""
}

// headline returns the key of an error page's headline.
func headline(code string) string {
	switch code {
	case "flow_expired", "code_expired", "invalid_request_uri":
		return "error.head_expired"
	case "not_found":
		return "error.head_missing"
	case "access_denied":
		return "error.head_cancelled"
	case "account_disabled":
		return "error.head_disabled"
	case "account_closing":
		return "closing.title"
	case "number_recycled":
		return "recycled.title"
	case "second_factor_required":
		return "second.title"
	case "cookies_required":
		return "error.head_cookies"
	case "server_error", "temporarily_unavailable", "sms_provider_unavailable":
		return "error.head_ours"
	case "rate_limited", "sms_too_soon", "sms_hourly_limit", "sms_daily_limit", "code_tries_limited":
		return "error.head_wait"
	case "invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type",
		"unsupported_response_type", "unsupported_response_mode", "invalid_scope", "invalid_target",
		"invalid_redirect_uri", "invalid_client_metadata", "invalid_request_object",
		"request_not_supported", "request_uri_not_supported", "registration_not_supported":
		return "error.head_client"
	}
	return "error.head_other"
}

// clock writes a time of day, and day its date, in the zone of the language.
func (e *edition) clock(t time.Time) string { return t.In(e.zone).Format(e.fixed["date.clock"]) }
func (e *edition) day(t time.Time) string   { return t.In(e.zone).Format(e.fixed["date.layout"]) }

// ago says how long something is past; beyond a day it is otherwise.
func (e *edition) ago(d time.Duration, otherwise string) string {
	unit, per := "minutes", time.Minute
	switch {
	case d < -time.Minute: // what is to come
		return otherwise
	case d < time.Minute: // also what another server's clock puts into the future
		return e.fixed["ago.now"]
	case d >= 24*time.Hour:
		return otherwise
	case d >= time.Hour:
		unit, per = "hours", time.Hour
	}
	s, err := e.say("ago."+unit, "n", int(d/per))
	if err != nil {
		return otherwise
	}
	return s
}

// device names a browser; the names of some are known better in another language.
func (e *edition) device(d Device) string {
	browser := cmp.Or(e.fixed["browser."+strings.ToLower(d.Browser)], d.Browser)
	switch {
	case browser == "" && d.OS == "":
		return e.fixed["device.unknown"]
	case browser == "" || d.OS == "":
		return cmp.Or(browser, d.OS)
	}
	s, err := e.say("device.both", "browser", browser, "os", d.OS)
	if err != nil {
		return browser
	}
	return s
}

// Text returns one text - of a fault code or another key without a dot - in
// the language of the request, chosen as Render does. params may be nil; a
// parameter "seconds" says when trying again helps.
func (s *Site) Text(r *http.Request, uiLocales []string, key string, params map[string]string) string {
	return s.edition(r, uiLocales).problem(key, params, 0)
}

// Languages returns the BCP 47 tags that pages exist in, the default first:
// ui_locales_supported.
func (s *Site) Languages() []string {
	tags := make([]string, len(s.editions))
	for i, e := range s.editions {
		tags[i] = e.tag
	}
	return tags
}
