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
	"maps"
	"path"
	"strconv"
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

// page are the templates of one page, and layout what is around it in one theme.
type (
	page   struct{ title, main *template.Template }
	layout struct{ top, bottom *template.Template }
)

// parse makes the templates of one language: the layouts, and one set in which each
// page's "title" and "main" have its name in front.
func (s *Site) parse(e *edition) error {
	constants := s.constants(e)
	funcs := functions(constants)
	funcs["say"] = e.say // also with arguments that are not literals
	set, err := template.New("").Funcs(funcs).ParseFS(files, "templates/parts.html", "templates/legal/"+e.tag+"/*.html")
	if err != nil {
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
	e.pages = make(map[string]page, len(paths))
	for _, file := range paths {
		name := pageName(file)
		e.pages[name] = page{set.Lookup(name + ".title"), set.Lookup(name + ".main")}
	}
	e.layouts = make(map[theme]layout, 3)
	for _, t := range themes() {
		if e.layouts[t], err = s.layout(e, t, constants); err != nil {
			return err
		}
	}
	return nil
}

// layout makes what is around every page in one theme.
func (s *Site) layout(e *edition, t theme, constants map[string]constant) (layout, error) {
	own := maps.Clone(constants)
	own["scheme"] = option(t.scheme())
	own["sheet"] = func(...string) (string, error) { return s.assets.url(t.sheet()) }
	own["chosen"] = one(func(name string) (string, error) { return strconv.FormatBool(name == string(t)), nil })
	set, err := template.New("").Funcs(functions(own)).ParseFS(files, "templates/layout.html")
	if err != nil {
		return layout{}, err
	}
	if _, err := set.New("languages").Parse(s.languageSwitch(e)); err != nil {
		return layout{}, err
	}
	if err := fold(set, own); err != nil {
		return layout{}, err
	}
	return layout{set.Lookup("top"), set.Lookup("bottom")}, nil
}

func functions(constants map[string]constant) template.FuncMap {
	funcs := make(template.FuncMap, len(constants))
	for name, value := range constants {
		funcs[name] = value
	}
	return funcs
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
	return map[string]constant{
		"t":       one(e.text),
		"say":     e.sayLiterals,
		"asset":   one(s.assets.url),
		"lang":    option(e.tag),
		"service": option(s.options.ServiceName),
		"terms":   option(linkURL(s.options.TermsURL)),
		"privacy": option(linkURL(s.options.PrivacyURL)),
		"icp":     option(s.options.ICP),
		"psb":     option(s.options.PSB),
		"psbURL":  one(func(record string) (string, error) { return psbURL(record), nil }),
	}
}

func option(value string) constant {
	return func(...string) (string, error) { return value, nil }
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
	tried := themes()
	for _, p := range everyPage() {
		f := p.facts()
		if t := e.pages[f.template]; t.title == nil || t.main == nil {
			return fmt.Errorf("page %s has no template", f.template)
		}
		for _, f.theme = range tried {
			if err := s.write(io.Discard, e, s.view(e, nil, p, f), f); err != nil {
				return err
			}
		}
		tried = tried[:1] // what differs by theme is the same around every page
	}
	return nil
}

// pageName is the name of a page's file: "templates/pages/login.html" is login.
func pageName(file string) string { return strings.TrimSuffix(path.Base(file), ".html") }
