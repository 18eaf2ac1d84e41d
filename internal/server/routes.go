package server

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

// routes mounts everything the public listener answers. Two groups differ in who
// may send what:
//
//   - pages take forms from our own pages alone: cross-origin POSTs are refused
//     before a handler sees them;
//   - protocol endpoints are called by other origins by design. They carry their
//     own proof (client authentication, PKCE, tokens) and never act on a cookie
//     alone.
func (s *Server) routes(dev bool) http.Handler {
	r := chi.NewRouter()
	if s.tracer != nil {
		r.Use(traced(s.tracer))
	}
	r.Use(s.identify, s.observe, s.harden, middleware.GetHead)
	r.NotFound(s.notFound)
	r.MethodNotAllowed(s.methodNotAllowed)

	r.Group(s.oauth.API)
	r.Post(pathReceipts, s.receipts)
	r.Handle("/assets/*", s.site.Assets())
	r.Handle("/favicon.ico", s.site.Favicon())

	r.Group(func(r chi.Router) {
		r.Use(s.sameOrigin)
		r.Method(http.MethodPost, "/theme", s.site.SetTheme())
		s.pages.Mount(r)
		s.oauth.Pages(r)
		r.Get("/", s.home(dev))
	})
	if dev {
		d := &demo{issuer: s.config.Issuer, root: r, vault: s.core.Vault, site: s.site, secure: s.secure, log: s.log}
		r.Group(func(r chi.Router) {
			r.Use(s.sameOrigin)
			d.mount(r)
		})
	}
	return r
}

var errCrossOrigin = fault.New(http.StatusForbidden, "cross_origin", "this form was sent by another site")

// sameOrigin refuses state-changing requests that a browser says come from
// elsewhere (Sec-Fetch-Site, Origin). Behind it stand SameSite cookies and flows
// bound to their browser, for browsers that say nothing.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	if err := guard.AddTrustedOrigin(origin(s.config.Issuer)); err != nil {
		panic("server: issuer was validated: " + err.Error())
	}
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.showError(w, r, errCrossOrigin.Status, errCrossOrigin.Code, errCrossOrigin.Description)
	}))
	guarded := guard.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Browsers without Fetch Metadata send "null" as the origin of our own forms,
		// because our pages have no referrer. That says nothing, as no header does.
		if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "null" {
			next.ServeHTTP(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// origin is scheme, host and port of the issuer.
func origin(issuer string) string {
	scheme, rest, _ := strings.Cut(issuer, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// home sends people somewhere useful: developers to the demo, everybody else to
// their account.
func (s *Server) home(dev bool) http.HandlerFunc {
	to := "/account"
	if dev {
		to = "/demo"
	}
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusSeeOther) }
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.showError(w, r, http.StatusNotFound, "not_found", "there is nothing at this address")
}

// methodNotAllowed names the methods that are allowed (RFC 9110 section 15.5.6).
func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		as := method
		if method == http.MethodHead {
			as = http.MethodGet // served by the same handlers
		}
		if chi.RouteContext(r.Context()).Routes.Match(chi.NewRouteContext(), as, r.URL.Path) {
			allowed = append(allowed, method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.showError(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "this address does not take requests of this method")
}

func (s *Server) showError(w http.ResponseWriter, r *http.Request, status int, code, description string) {
	s.site.Render(w, r, status, web.Error{
		Common: web.Common{RequestID: user.CallerOf(r.Context()).RequestID}, Code: code, Description: description,
	})
}
