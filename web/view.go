package web

import (
	"cmp"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

// view is what templates see: the frame, and the page's own struct as Page. It
// embeds nothing, because reflection finds promoted fields only slowly.
type view struct {
	edition  *edition
	editions []*edition
	problem  *Problem
	now      time.Time

	Page      Page
	At        notices
	Title     template.HTML // of the page
	Failed    bool
	Check     *checkView // of the form that has to pass one
	CodeSpent bool       // this code will never work, so the way on is a new one
	Delivery  string     // what became of the message, in words
	Path      string     // of this step, and Start, where its number is typed
	Start     string
	Suggest   bool         // let the browser suggest passkeys in the number's field
	Here      template.URL // this page, ready for "lang="; begins with "?" or with a path of ours
	Client    *clientView
	Region    *regionView  // the only one
	Regions   []regionView // if there are several
	Scripts   []string     // asset names
	Room      string       // of the account pages
	Inner     bool         // a page within Room
	Done      string       // what was just done, in words
	RequestID string

	Brand   template.CSS // what goes over the sheet, "" for nothing
	Back    string       // this page by GET, a path of ours, "" if that is not known
	Posted  bool         // this is the answer to a form, and Back is known
	Support *supportView // whom to turn to, where the page says so
}

// notices hold the text of a problem at the field that it belongs to.
type notices struct{ Form, Phone, Agree, Code, Password, Check, other *notice }

// Field is the problem of a field without a place of its own above; nil for none.
func (n notices) Field(id string) *notice {
	if n.other == nil || n.other.Field != id {
		return nil
	}
	return n.other
}

// notice is a localised Problem. Field is empty where it is about the whole form.
type notice struct{ Field, Text string }

// regionView is a region in the language of the page.
type regionView struct {
	ISO, Code, Name string // Code with its plus sign
	Selected        bool
}

// clientView has only URLs that may be shown.
type clientView struct {
	Name, Logo, Site, Policy, Terms string
	Support                         *supportView
	FirstParty                      bool
}

// Heading is the headline of an error page.
func (v *view) Heading() string {
	if v.problem == nil {
		return ""
	}
	return v.edition.fixed[headline(v.problem.Code)]
}

// ScopeText and ScopeDetail describe a scope value in plain words; "" if it is
// a client's own.
func (v *view) ScopeText(scope string) string   { return v.edition.scope(scope, "") }
func (v *view) ScopeDetail(scope string) string { return v.edition.scope(scope, "_detail") }

// StepTitle names a step of the demo.
func (v *view) StepTitle(title string) string { return cmp.Or(v.edition.fixed[title], title) }

// Link returns u if it may be shown, else "".
func (v *view) Link(u string) string { return linkURL(u) }

func (s *Site) view(e *edition, r *http.Request, p Page, f facts) *view {
	v := &view{
		edition:   e,
		editions:  s.editions,
		problem:   f.problem,
		now:       s.now(),
		Page:      p,
		Failed:    f.problem != nil,
		Here:      here(r, f),
		Client:    e.viewClient(f.client),
		Room:      f.room,
		Inner:     f.inner,
		Done:      e.fixed["done."+f.done],
		RequestID: f.common.RequestID,
		Path:      f.path,
		Start:     f.start,
		Suggest:   f.suggest,
		Brand:     f.brand.style,
	}
	v.Back = back(r, v.Here)
	v.Posted = v.Back != "" && r != nil && r.Method == http.MethodPost
	v.Support = s.support(f, v.Client)
	for _, script := range []string{f.script, f.check.script()} {
		if script != "" {
			v.Scripts = append(v.Scripts, script)
		}
	}
	if f.problem != nil {
		v.At = e.notices(f)
		v.CodeSpent = codeSpent(f.problem.Code)
	}
	v.Check = viewCheck(f, v.At.Check)
	if !v.CodeSpent {
		v.Delivery = e.delivery(f.status, f.reason)
	}
	for _, r := range f.regions {
		v.Regions = append(v.Regions, e.viewRegion(r))
	}
	if len(v.Regions) == 1 {
		v.Region, v.Regions = &v.Regions[0], nil
	}
	return v
}

func codeSpent(problem string) bool {
	return problem == "code_expired" || problem == "code_attempts_exceeded" || problem == "sms_not_sent"
}

func (e *edition) viewRegion(r Region) regionView {
	name := r.Name
	if name == "" {
		name = e.region(r.ISO)
	}
	return regionView{ISO: r.ISO, Code: "+" + strings.TrimPrefix(r.CallingCode, "+"), Name: name, Selected: r.Selected}
}

func (e *edition) viewClient(c *Client) *clientView {
	if c == nil {
		return nil
	}
	name := cmp.Or(c.Names[e.tag], c.Name, c.ID)
	return &clientView{
		Name: name, FirstParty: c.FirstParty, Support: newSupport(c.SupportContact, name),
		Logo: webURL(c.LogoURI), Site: webURL(c.ClientURI), Policy: webURL(c.PolicyURI), Terms: webURL(c.TOSURI),
	}
}

// notices puts the problem at its field, or above the form if the page does not
// have that field.
func (e *edition) notices(f facts) (at notices) {
	n := &notice{Field: f.problem.Field, Text: e.problem(f.problem.Code, f.problem.Params, f.problem.RetryAfter)}
	if n.Field == "region" {
		n.Field = "phone" // one frame holds both
	}
	switch {
	case !slices.Contains(f.fields, n.Field), codeSpent(f.problem.Code): // typing another code would not help
		n.Field = ""
		at.Form = n
	case n.Field == "phone":
		at.Phone = n
	case n.Field == "agree":
		at.Agree = n
	case n.Field == "code":
		at.Code = n
	case n.Field == "password":
		at.Password = n
	case n.Field != "captcha-typed":
		at.other = n
	case f.check == nil: // a form without a check has no such field
		n.Field = ""
		at.Form = n
	default:
		if f.check.Solved() {
			n.Field = "" // there is nothing to type
		}
		at.Check = n
	}
	return at
}
