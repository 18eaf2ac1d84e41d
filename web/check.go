package web

import (
	"html/template"
	"net/http"
	"net/url"
)

// Check is a human check inside a form that could not be sent without it: ids
// human-check, human-status, captcha-picture, captcha-sound, captcha-typed.
//
// A script solves the puzzle without the person's help, puts the proof into the
// field captcha and sends the form. It tells where it is by setting the text of
// #human-status to one of that element's data-working, data-done and
// data-failed. Without script a picture and its sound take the puzzle's place;
// what was typed arrives as captcha_ticket and captcha_typed. Whoever presses
// "use a picture" sends captcha_picture=1.
type Check struct {
	Type    string   // "pow", "geetest_v3", "geetest_v4": chooses the script
	Puzzle  string   // JSON {"type", "data"} for the script
	Ticket  string   // of picture and sound, "" if there are none
	Picture bool     // the picture for browsers with script, too
	Again   bool     // a proof failed before: the next failure brings the picture
	Origins []string // CSP sources of the vendor's script, nil for our own
}

// Solved reports whether a script is to solve the check.
func (c *Check) Solved() bool { return !c.Picture || c.Ticket == "" }

// Alone reports whether the script needs no person, as a vendor's widget does.
func (c *Check) Alone() bool { return c.Type == "pow" }

// script is the asset that solves the check, "" if the person does.
func (c *Check) script() string {
	switch {
	case c == nil || !c.Solved():
		return ""
	case c.Alone():
		return "pow.js"
	default:
		return "geetest.js"
	}
}

// checkView is a check with what its template needs besides.
type checkView struct {
	*Check
	PictureURL, SoundURL template.URL
	Action               string // where the form goes: a button that says so is not held back by the script
	Problem              *notice
}

func viewCheck(f facts, problem *notice) *checkView {
	if f.check == nil {
		return nil
	}
	c := &checkView{Check: f.check, Problem: problem, Action: f.send}
	c.PictureURL, c.SoundURL = media("png", f), media("wav", f)
	return c
}

// media is where the picture or the sound of a check is; kind is the file's extension.
func media(kind string, f facts) template.URL {
	q := url.Values{"ticket": {f.check.Ticket}}
	for _, field := range f.step {
		if field.Name == "flow" {
			q.Set(field.Name, field.Value)
		}
	}
	return template.URL("/login/captcha." + kind + "?" + q.Encode()) //nolint:gosec // a path of ours with an encoded query
}

// delivery says in words what became of a message: status and reason as in
// Code. "" for a status that has no text.
func (e *edition) delivery(status, reason string) string {
	if status == "undelivered" {
		if s, ok := e.fixed["code.status_undelivered_"+reason]; ok {
			return s
		}
	}
	return e.fixed["code.status_"+status]
}

// Delivery is the text that the code page has for a message's state, in the
// language of the request, chosen as Render does.
func (s *Site) Delivery(r *http.Request, uiLocales []string, status, reason string) string {
	return s.edition(r, uiLocales).delivery(status, reason)
}
