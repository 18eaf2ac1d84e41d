package web

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The account pages: a home and its rooms, which share a navigation. Their ids
// are page-account and page-account-ROOM.

// Device is what a browser said of itself, in one word each; "" if it said nothing.
type Device struct {
	Browser, OS string // "Chrome", "Windows"
	Handheld    bool
}

// Account is /account, the way into the rooms: ids account-phone, account-since,
// account-device, sign-out.
type Account struct {
	Common
	Nickname   string // or the name, "" for neither
	Picture    string // path of ours, "" for none
	Masked     string // the number, "" for none
	Since      time.Time
	Device     Device    // this browser
	SignedInAt time.Time // of this browser
}

func (p Account) facts() facts {
	return facts{template: "account", common: p.Common, script: "dialtone.js", room: "home", path: "/account"}
}

// AccountProfile is /account/profile: ids nickname, name, family-name, given-name,
// locale, save-profile, picture, save-picture, remove-picture.
type AccountProfile struct {
	Common
	Picture                               string // path of ours, "" for none
	Nickname, Name, FamilyName, GivenName string // as typed, if there is a Problem
	Locale                                string // BCP 47, "" for none
	Done                                  string // as in AccountProfile
	Problem                               *Problem
}

func (p AccountProfile) facts() facts {
	return facts{
		template: "account-profile", common: p.Common, done: p.Done, problem: p.Problem, script: "dialtone.js", room: "profile", path: "/account/profile",
		fields: []string{"nickname", "name", "family-name", "given-name", "locale", "picture"},
	}
}

// AccountSecurity is /account/security: one row for each way to sign in.
type AccountSecurity struct {
	Common
	Rows    []SecurityRow
	Done    string // as in AccountProfile
	Problem *Problem
}

// SecurityRow is label, value, action. Label, Value and Action are message keys.
type SecurityRow struct {
	ID           string // of the row's element: security-ID; action: security-ID-action
	Label, Value string
	Count        int       // the n of Value's text; 0 for a text without
	Since        time.Time // shown behind Value; zero for nothing
	Shown        string    // what is no text of ours, in Value's place: a name, a number
	Number       bool      // Shown is set in tabular figures
	Action, URL  string    // a path of ours; "" for a row without action
}

func (p AccountSecurity) facts() facts {
	return facts{
		template: "account-security", common: p.Common, done: p.Done, problem: p.Problem, script: "dialtone.js", room: "security", path: "/account/security",
	}
}

// AccountSessions is /account/sessions: ids session-ID of each, end-others.
type AccountSessions struct {
	Common
	Sessions []BrowserSession // this browser's first
	More     bool             // there are more than are shown
	Minutes  int              // that an access token may live on, 0 to say nothing
	Done     string           // as in AccountProfile
}

// BrowserSession is one signed-in browser.
type BrowserSession struct {
	ID     string
	Device Device
	Place  string // part of an address
	Since  time.Time
	Seen   time.Time
	This   bool // the browser that asks
}

func (p AccountSessions) facts() facts {
	return facts{template: "account-sessions", common: p.Common, done: p.Done, script: "dialtone.js", room: "sessions", path: "/account/sessions"}
}

// AccountApps is /account/apps: ids app-N of each, withdraw-N.
type AccountApps struct {
	Common
	Apps    []ConnectedApp
	Minutes int    // as in AccountSessions
	Done    string // as in AccountProfile
}

// ConnectedApp is a client that a person let in.
type ConnectedApp struct {
	Client  Client
	Scopes  []string
	Since   time.Time // when it was allowed first
	Used    time.Time // the last use that left a trace; zero for none
	Consent bool      // the person was asked, and allowed it
}

func (p AccountApps) facts() facts {
	f := facts{template: "account-apps", common: p.Common, done: p.Done, script: "dialtone.js", room: "apps", path: "/account/apps"}
	for _, a := range p.Apps {
		f.logos = append(f.logos, a.Client.LogoURI)
	}
	return f
}

// AccountActivity is /account/activity: ids activity-older, activity-newest.
type AccountActivity struct {
	Common
	Events []ActivityEvent
	Before string // what the page was asked with, "" for the newest
	Older  string // what the next page is asked with, "" for the last one
}

// ActivityEvent is one line of a person's record.
type ActivityEvent struct {
	Name     string // of the audit event, "login.succeeded"
	At       time.Time
	Place    string // part of an address, "" if unknown
	App      string // the client's name, "" for none
	Device   Device
	Operator bool // an operator did it
}

func (p AccountActivity) facts() facts {
	return facts{template: "account-activity", common: p.Common, script: "dialtone.js", room: "activity", path: "/account/activity"}
}

// AccountPrivacy is /account/privacy: ids export-data, delete-account, withdraw-N.
type AccountPrivacy struct {
	Common
	Agreements []AgreementLine
	Consents   []ConnectedApp
	Done       string // as in AccountProfile
	Problem    *Problem
}

// AgreementLine is a version of the terms that was agreed to.
type AgreementLine struct {
	Version string
	At      time.Time
	App     string // the client's name, "" for none
}

func (p AccountPrivacy) facts() facts {
	return facts{
		template: "account-privacy", common: p.Common, done: p.Done, problem: p.Problem, script: "dialtone.js", room: "privacy", path: "/account/privacy",
	}
}

// moment is a time as a page shows it.
type moment struct{ ISO, Text, Full string }

// Moment writes a time: lately as "5 minutes ago", else date and time in the
// zone of the language. The person's own is not known, so pages name it.
func (v *view) Moment(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	full := v.edition.clock(t)
	return moment{ISO: t.UTC().Format(time.RFC3339), Text: v.edition.ago(v.now.Sub(t), full), Full: full}
}

// Day is Moment without the time of day.
func (v *view) Day(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	return moment{ISO: t.UTC().Format(time.RFC3339), Text: v.edition.day(t), Full: v.edition.clock(t)}
}

// Word is the text of a message key, with its number if it has one.
// "" for a key without a text.
func (v *view) Word(key string, n int) string {
	s, err := v.edition.say(key, "n", n)
	if err != nil {
		return ""
	}
	return s
}

// DeviceText says "Chrome on Windows".
func (v *view) DeviceText(d Device) string { return v.edition.device(d) }

// EventText is what happened, in words.
func (v *view) EventText(name string) string {
	if s, ok := v.edition.fixed["event."+strings.ReplaceAll(name, ".", "_")]; ok {
		return s
	}
	return v.edition.fixed["event.unknown"]
}

// Web returns u if it may be shown as a stranger's link or image, else "".
func (v *view) Web(u string) string { return webURL(u) }

// Initial is the first letter of a name, for want of a picture; "" if it begins
// with something else.
func (v *view) Initial(name string) string {
	r, _ := utf8.DecodeRuneInString(name)
	if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
		return ""
	}
	return string(unicode.ToUpper(r))
}

// languageView is a choice of language.
type languageView struct {
	Tag, Name string
	Selected  bool
}

// Locales are the languages that there are, and the person's own if it is another.
func (v *view) Locales(current string) []languageView {
	var list []languageView
	known := current == ""
	for _, e := range v.editions {
		list = append(list, languageView{e.tag, e.name, e.tag == current})
		known = known || e.tag == current
	}
	if !known {
		list = append(list, languageView{current, current, true})
	}
	return list
}
