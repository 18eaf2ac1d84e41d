package oauth

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/web"
)

// field is one parameter of an authorization response.
type field struct{ name, value string }

// refuse sends a fault to the client (RFC 6749 section 4.1.2.1). The redirect
// URI was checked before q came to be; nothing else gets here.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, q *authRequest, err error) {
	f := s.told(r.Context(), err)
	s.respond(w, r, q, field{"error", authorizeCode(oauthCode(f))}, field{"error_description", f.Description})
}

// authorizeCode replaces codes of other endpoints, which no authorization
// response may carry.
func authorizeCode(code string) string {
	switch code {
	case "invalid_client", "invalid_grant", "unsupported_grant_type", "invalid_token", "insufficient_scope", "unsupported_token_type":
		return "invalid_request"
	}
	return code
}

// respond answers in the requested response mode. State is repeated if there was
// one; iss says who answers (RFC 9207).
func (s *Server) respond(w http.ResponseWriter, r *http.Request, q *authRequest, fields ...field) {
	if q.State != "" {
		fields = append(fields, field{"state", q.State})
	}
	fields = append(fields, field{"iss", s.issuer})
	if q.Mode == client.ModeFormPost {
		s.formPost(w, r, q, fields)
		return
	}
	seeOther(w, answerURL(q.RedirectURI, q.Mode, fields))
}

// formPost is the Form Post Response Mode: a page that posts itself.
func (s *Server) formPost(w http.ResponseWriter, r *http.Request, q *authRequest, fields []field) {
	page := web.FormPost{Common: s.common(r, q.uiLocales, formAction(q.target)), Client: clientView(q.client), Action: q.RedirectURI}
	for _, f := range fields {
		page.Fields = append(page.Fields, web.Field{Name: f.name, Value: f.value})
	}
	s.site.Render(w, r, http.StatusOK, page)
}

// answerURL adds the fields to a redirect URI, whose own text stays byte for
// byte what was registered (RFC 6749 section 3.1.2). It has no fragment.
func answerURL(redirect, mode string, fields []field) string {
	var b strings.Builder
	b.WriteString(redirect)
	switch {
	case mode == client.ModeFragment:
		b.WriteByte('#')
	case !strings.Contains(redirect, "?"):
		b.WriteByte('?')
	case !strings.HasSuffix(redirect, "?") && !strings.HasSuffix(redirect, "&"):
		b.WriteByte('&')
	}
	for i, f := range fields {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(f.name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(f.value))
	}
	return b.String()
}

// seeOther is 303, never 307: what was posted here is not for where it leads
// (RFC 9700 section 4.12). What stands in the Location is nobody else's.
func seeOther(w http.ResponseWriter, to string) {
	h := w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// formAction is what a page's Content-Security-Policy has to allow so that the
// answer to its form may lead to the redirect URI: browsers apply form-action to
// the whole chain.
func formAction(target *url.URL) string {
	if target.Scheme == "https" || target.Scheme == "http" {
		return target.Scheme + "://" + target.Host
	}
	return target.Scheme + ":"
}
