package web

import (
	"bytes"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
)

// Render writes the page with its status and headers, in the language that
// Language describes. A choice of language by ?lang= is remembered in a cookie.
func (s *Site) Render(w http.ResponseWriter, r *http.Request, status int, p Page) {
	f := p.facts()
	e := s.edition(r, f.common.UILocales)
	f.theme = s.theme(r)
	f.brand = newBrand(f.client, f.theme)
	b := s.buffers.Get().(*bytes.Buffer)
	defer s.putBuffer(b)
	if err := s.write(b, e, s.view(e, r, p, f), f); err != nil {
		slog.ErrorContext(r.Context(), "page not rendered", "page", f.template, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	s.rememberChoice(w, r)
	setHeaders(w.Header(), f, e.tag)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the person may have gone; nobody is left to tell
}

// write executes the templates of a page.
func (s *Site) write(w io.Writer, e *edition, v *view, f facts) error {
	p, around := e.pages[f.template], e.layouts[f.theme]
	var title strings.Builder
	if err := p.title.Execute(&title, v); err != nil {
		return err
	}
	v.Title = template.HTML(title.String()) //nolint:gosec // a template made it
	for _, part := range []*template.Template{around.top, p.main, around.bottom} {
		if err := part.Execute(w, v); err != nil {
			return err
		}
	}
	return nil
}

// largestBuffer is more than any page needs; a larger one is not kept.
const largestBuffer = 64 << 10

func newBuffer() any { return bytes.NewBuffer(make([]byte, 0, 12<<10)) }

func (s *Site) putBuffer(b *bytes.Buffer) {
	if b.Cap() > largestBuffer {
		return
	}
	b.Reset()
	s.buffers.Put(b)
}
