package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func newSite(t testing.TB, o Options) *Site {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// render answers a GET in one language.
func render(t testing.TB, s *Site, p Page, lang string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.Render(w, httptest.NewRequest(http.MethodGet, "/step?flow=Zk3mP0aQ&lang="+lang, nil), http.StatusOK, p)
	return w
}

func parseHTML(t testing.TB, w *httptest.ResponseRecorder) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// find returns all elements that match, in document order.
func find(doc *html.Node, match func(*html.Node) bool) []*html.Node {
	var found []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			found = append(found, n)
		}
	}
	return found
}

func elements(doc *html.Node, name string) []*html.Node {
	return find(doc, func(n *html.Node) bool { return n.Data == name })
}

// byID fails the test unless exactly one element has the id.
func byID(t testing.TB, doc *html.Node, id string) *html.Node {
	t.Helper()
	found := find(doc, func(n *html.Node) bool { return attr(n, "id") == id })
	if len(found) != 1 {
		t.Fatalf("%d elements have the id %q, want 1", len(found), id)
	}
	return found[0]
}

func attr(n *html.Node, name string) string {
	value, _ := lookup(n, name)
	return value
}

func lookup(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// text is what a person reads, with white space made single.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// formOf is the form that an element belongs to.
func formOf(t testing.TB, n *html.Node) *html.Node {
	t.Helper()
	for a := range n.Ancestors() {
		if a.Data == "form" {
			return a
		}
	}
	t.Fatalf("<%s id=%q> is in no form", n.Data, attr(n, "id"))
	return nil
}

// values are the named controls of a form as a browser would send them without
// any typing; submitters are left out.
func values(form *html.Node) map[string]string {
	sent := map[string]string{}
	for _, n := range find(form, func(n *html.Node) bool { return n.Data == "input" || n.Data == "select" }) {
		if _, checked := lookup(n, "checked"); attr(n, "type") == "checkbox" && !checked {
			continue
		}
		if name := attr(n, "name"); name != "" {
			sent[name] = attr(n, "value")
		}
	}
	return sent
}
