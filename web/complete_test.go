package web

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Names that an element refers to exist; every control has a name; every image
// a text.
func TestPagesAreComplete(t *testing.T) {
	s := newSite(t, Options{})
	for name, p := range samples() {
		for _, lang := range s.Languages() {
			w := render(t, s, p, lang)
			doc := parseHTML(t, w)
			if got := attr(elements(doc, "html")[0], "lang"); got != lang || w.Header().Get("Content-Language") != lang {
				t.Errorf("%s: language %q", name, got)
			}
			for _, count := range []struct {
				element string
				want    int
			}{{"main", 1}, {"h1", 1}, {"header", 1}, {"footer", 1}, {"title", 1}} {
				if got := len(elements(doc, count.element)); got != count.want {
					t.Errorf("%s: %d <%s>", name, got, count.element)
				}
			}
			for _, n := range find(doc, func(*html.Node) bool { return true }) {
				checkReferences(t, name, doc, n)
				checkName(t, name, doc, n)
			}
			if strings.Contains(w.Body.String(), "ZgotmplZ") || strings.Contains(w.Body.String(), "&lt;nil&gt;") {
				t.Errorf("%s: a value was refused by its context", name)
			}
		}
	}
}

func checkReferences(t *testing.T, page string, doc, n *html.Node) {
	t.Helper()
	for _, a := range []string{"aria-describedby", "aria-labelledby", "for"} {
		for _, id := range strings.Fields(attr(n, a)) {
			if len(find(doc, func(n *html.Node) bool { return attr(n, "id") == id })) != 1 {
				t.Errorf("%s: %s=%q of <%s> leads nowhere", page, a, id, n.Data)
			}
		}
	}
	for _, a := range []string{"style", "onclick", "onsubmit", "onload"} {
		if _, ok := lookup(n, a); ok {
			t.Errorf("%s: <%s> has %s, which the policy forbids", page, n.Data, a)
		}
	}
	if _, src := lookup(n, "src"); n.Data == "script" && !src {
		t.Errorf("%s: inline <%s>", page, n.Data)
	}
	if attr(n, "target") == "_blank" && attr(n, "rel") != "noopener" {
		t.Errorf("%s: %s opens with an opener", page, attr(n, "href"))
	}
}

func checkName(t *testing.T, page string, doc, n *html.Node) {
	t.Helper()
	named := attr(n, "aria-label") != "" || attr(n, "aria-labelledby") != "" || text(n) != ""
	switch n.Data {
	case "a", "button":
	case "input", "select":
		if attr(n, "type") == "hidden" {
			return
		}
		named = attr(n, "aria-label") != "" ||
			len(find(doc, func(l *html.Node) bool { return l.Data == "label" && attr(l, "for") == attr(n, "id") && text(l) != "" })) == 1
	case "img":
		_, named = lookup(n, "alt")
	default:
		return
	}
	if !named {
		t.Errorf("%s: <%s id=%q> has no name", page, n.Data, attr(n, "id"))
	}
}
