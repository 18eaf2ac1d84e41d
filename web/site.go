// Package web holds the pages: page structs, templates, styles, script and
// messages in zh-CN and en, all embedded.
//
// A handler fills a page struct and calls Site.Render; everything that a page
// needs besides - language, escaping, security headers, asset names - is in
// here. The package decides nothing about signing in, imports nothing of ours
// and keeps no state but what New prepared. Pages are complete without
// JavaScript and load nothing from elsewhere except a client's logo.
package web

import (
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed messages templates static
var files embed.FS

// Site renders pages. Templates and messages are parsed and checked once; a
// missing one is an error of New.
type Site struct {
	options  Options
	assets   assets
	editions []*edition // the first is the default
	choice   chooser
	buffers  sync.Pool
	now      func() time.Time
}

// Options are the operator's.
type Options struct {
	ServiceName string // shown where no client is, default "Dialtone"
	TermsURL    string // https, loopback or a path of ours; default /legal/terms
	PrivacyURL  string // likewise; default /legal/privacy
	ICP         string // record number in the footer, "" for none
	PSB         string // record number of the public security bureau in the footer, "" for none
	Secure      bool   // https issuer: cookies get Secure and the __Host- prefix

	// SupportContact is a mailto:, tel: or https: address that error pages name, "" for none.
	SupportContact string
}

// New parses the embedded templates once for each language. It reports texts
// that a template names and a language lacks, and pages without a template.
func New(o Options) (*Site, error) {
	o.ServiceName = cmp.Or(o.ServiceName, "Dialtone")
	o.TermsURL = cmp.Or(o.TermsURL, "/legal/terms")
	o.PrivacyURL = cmp.Or(o.PrivacyURL, "/legal/privacy")
	for _, u := range []string{o.TermsURL, o.PrivacyURL} {
		if linkURL(u) == "" {
			return nil, fmt.Errorf("legal text at %q: want an https URL or a path", u)
		}
	}
	if o.SupportContact != "" && newSupport(o.SupportContact, "") == nil {
		return nil, fmt.Errorf("support contact %q: want a mailto:, tel: or https: address", o.SupportContact)
	}
	s := &Site{options: o, now: time.Now}
	s.buffers.New = newBuffer
	var err error
	if s.assets, err = loadAssets(files); err != nil {
		return nil, fmt.Errorf("load assets: %w", err)
	}
	if s.editions, err = loadEditions(files); err != nil {
		return nil, fmt.Errorf("load messages: %w", err)
	}
	s.choice = newChooser(s.editions)
	for _, e := range s.editions {
		if err := s.parse(e); err != nil {
			return nil, fmt.Errorf("parse templates in %s: %w", e.tag, err)
		}
		if err := s.tryAll(e); err != nil {
			return nil, fmt.Errorf("try templates in %s: %w", e.tag, err)
		}
	}
	return s, nil
}

// page are the templates of one page, between the top and the bottom of all.
type page struct{ title, main *template.Template }

// parse makes the templates of one language: one set, in which each page's "title"
// and "main" have its name in front.
func (s *Site) parse(e *edition) error {
	constants := s.constants(e)
	funcs := template.FuncMap{
		"icp": func() string { return s.options.ICP }, "psb": func() string { return s.options.PSB }, "psbURL": psbURL,
	}
	for name, value := range constants {
		funcs[name] = value
	}
	funcs["say"] = e.say // also with arguments that are not literals
	set, err := template.New("").Funcs(funcs).ParseFS(files, "templates/*.html", "templates/legal/"+e.tag+"/*.html")
	if err != nil {
		return err
	}
	if _, err := set.New("languages").Parse(s.languageSwitch(e)); err != nil {
		return err
	}
	paths, err := fs.Glob(files, "templates/pages/*.html")
	if err != nil {
		return err
	}
	for _, file := range paths {
		if err := addPage(set, funcs, file); err != nil {
			return err
		}
	}
	if err := fold(set, constants); err != nil {
		return err
	}
	e.top, e.bottom = set.Lookup("top"), set.Lookup("bottom")
	e.pages = make(map[string]page, len(paths))
	for _, file := range paths {
		name := pageName(file)
		e.pages[name] = page{set.Lookup(name + ".title"), set.Lookup(name + ".main")}
	}
	return nil
}

// addPage adds what a page's file defines to the set.
func addPage(set *template.Template, funcs template.FuncMap, file string) error {
	own, err := template.New("").Funcs(funcs).ParseFS(files, file)
	if err != nil {
		return err
	}
	for _, t := range own.Templates() {
		name := t.Name()
		switch name {
		case "", path.Base(file): // what is between the definitions
			continue
		case "title", "main":
			name = pageName(file) + "." + name
		}
		if set.Lookup(name) != nil {
			return fmt.Errorf("%s: %q is defined twice", file, name)
		}
		if _, err := set.AddParseTree(name, t.Tree); err != nil {
			return err
		}
	}
	return nil
}

// constants are the template functions whose value is known when a language's
// templates are parsed. Their argument is a literal, or there is none.
func (s *Site) constants(e *edition) map[string]constant {
	option := func(value string) constant {
		return func(...string) (string, error) { return value, nil }
	}
	return map[string]constant{
		"t":       one(e.text),
		"say":     e.sayLiterals,
		"asset":   one(s.assets.url),
		"lang":    option(e.tag),
		"service": option(s.options.ServiceName),
		"terms":   option(linkURL(s.options.TermsURL)),
		"privacy": option(linkURL(s.options.PrivacyURL)),
	}
}

func one(f func(string) (string, error)) constant {
	return func(args ...string) (string, error) {
		if len(args) != 1 {
			return "", fmt.Errorf("want one argument, got %d", len(args))
		}
		return f(args[0])
	}
}

// tryAll renders every page empty, which also makes html/template do its
// one-time contextual escaping now and not in the first person's request.
func (s *Site) tryAll(e *edition) error {
	for _, p := range everyPage() {
		f := p.facts()
		if t := e.pages[f.template]; t.title == nil || t.main == nil {
			return fmt.Errorf("page %s has no template", f.template)
		}
		if err := s.write(io.Discard, e, s.view(e, nil, p, f), f.template); err != nil {
			return err
		}
	}
	return nil
}

// pageName is the name of a page's file: "templates/pages/login.html" is login.
func pageName(file string) string { return strings.TrimSuffix(path.Base(file), ".html") }
