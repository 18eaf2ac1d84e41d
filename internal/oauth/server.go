package oauth

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/dpop"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
	"github.com/dialtone-id/dialtone/internal/oauth/grant"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

// Paths, as design section 6 fixes them.
const (
	pathAuthorize  = "/oauth2/authorize"
	pathResume     = "/oauth2/authorize/resume"
	pathToken      = "/oauth2/token" //nolint:gosec // a path, not a credential
	pathUserinfo   = "/oauth2/userinfo"
	pathIntrospect = "/oauth2/introspect"
	pathRevoke     = "/oauth2/revoke"
	pathEndSession = "/oauth2/logout"
	pathJWKS       = "/.well-known/jwks.json"
	pathOpenID     = "/.well-known/openid-configuration"
	pathMetadata   = "/.well-known/oauth-authorization-server"
	pathChallenge  = "/oauth2/challenge"
	pathConsent    = "/consent"
	pathLogout     = "/logout"

	// Pages of package user.
	pathLogin   = "/login"
	pathSecond  = "/login/second"
	pathAccount = "/account"
)

// Config is what the authorization server is made of. All but Captcha, Observer and Log is required.
type Config struct {
	Issuer    string
	Engine    *engine.Engine
	Clients   *client.Registry
	Grants    *grant.Store
	Users     *user.Service
	Flows     *user.Flows
	SMS       *sms.Service
	Ring      *signing.Ring
	Vault     *signing.Vault
	Site      *web.Site
	Audit     *audit.Log
	DB        *db.DB
	Ephemeral ephemeral.Store
	Observer  Observer     // nil for none
	Captcha   captcha.Gate // nil for none: what asks for a human check is then refused
	TellTaken bool         // whether first-party clients may ask if a number has an account
	Log       *slog.Logger // nil means slog.Default()
}

// Server answers the endpoints of the authorization server. It is the
// continuation of the sign-ins that authorize requests wait for.
type Server struct {
	issuer  string
	engine  *engine.Engine
	clients *client.Registry
	grants  *grant.Store
	users   *user.Service
	flows   *user.Flows
	sms     texts
	ring    *signing.Ring
	vault   *signing.Vault
	site    *web.Site
	audit   *audit.Log
	db      *db.DB
	captcha captcha.Gate
	short   ephemeral.Store
	proofs  *dpop.Verifier
	log     *slog.Logger

	tellTaken bool

	observer Observer
	metadata document
	guesses  *throttle
}

var _ user.Continuation = (*Server)(nil)

// New prepares the documents; it reads and writes nothing.
func New(c Config) (*Server, error) {
	if c.Issuer == "" || c.Engine == nil || c.Clients == nil || c.Grants == nil || c.Users == nil || c.Flows == nil || c.SMS == nil ||
		c.Ring == nil || c.Vault == nil || c.Site == nil || c.Audit == nil || c.DB == nil || c.Ephemeral == nil {
		return nil, errors.New("oauth: the configuration is incomplete")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	d, err := prepare(describe(c.Issuer))
	if err != nil {
		return nil, err
	}
	proofs, err := dpop.New(c.Issuer, c.Ephemeral)
	if err != nil {
		return nil, err
	}
	return &Server{
		issuer: c.Issuer, engine: c.Engine, clients: c.Clients, grants: c.Grants, users: c.Users, flows: c.Flows, sms: c.SMS,
		ring: c.Ring, vault: c.Vault, site: c.Site, audit: c.Audit, db: c.DB, captcha: c.Captcha, log: c.Log,
		tellTaken: c.TellTaken, short: c.Ephemeral, proofs: proofs,
		observer: c.Observer, metadata: d, guesses: newThrottle(c.Ephemeral, c.Vault),
	}, nil
}

// API mounts what other origins and other programs call: the well-known
// documents, everything under /oauth2, and the calls of native apps. Authorize
// and logout are among them, since browsers are sent there, and sometimes post
// there, from clients' sites. No cross-origin check may stand before these; each
// carries its own proof.
func (s *Server) API(r chi.Router) {
	for _, path := range []string{pathOpenID, pathMetadata} {
		r.HandleFunc(path, allow(s.discovery, s.writeOAuthError, http.MethodGet, http.MethodHead))
	}
	r.HandleFunc(pathJWKS, allow(s.jwks, s.writeOAuthError, http.MethodGet, http.MethodHead))

	r.HandleFunc(pathAuthorize, allow(s.authorize, s.showFault, http.MethodGet, http.MethodPost))
	r.HandleFunc(pathResume, allow(s.resume, s.showFault, http.MethodGet))
	r.HandleFunc(pathEndSession, allow(s.endSession, s.showFault, http.MethodGet, http.MethodPost))

	// The preflight comes second: it replaces one method of all.
	r.HandleFunc(pathToken, allow(s.token, s.writeOAuthError, http.MethodPost))
	r.Options(pathToken, preflight("POST"))
	r.HandleFunc(pathRevoke, allow(s.revoke, s.writeOAuthError, http.MethodPost))
	r.Options(pathRevoke, preflight("POST"))
	r.HandleFunc(pathUserinfo, allow(s.userinfo, s.writeOAuthError, http.MethodGet, http.MethodPost))
	r.Options(pathUserinfo, preflight("GET, POST"))
	r.HandleFunc(pathChallenge, allow(s.challenge, s.writeOAuthError, http.MethodPost))
	r.HandleFunc(pathIntrospect, allow(s.introspect, s.writeOAuthError, http.MethodPost))

	for _, path := range []string{pathChallenges, pathResend, pathNumberCheck} {
		r.HandleFunc(path, allow(nil, s.writeProblem, http.MethodPost)) // POST is huma's
	}
	api := humachi.New(r, apiConfig())
	s.Native(api)
	s.numberCheck(api)
	s.account(r, api)
	describeProblems(api.OpenAPI())
	r.HandleFunc(pathOpenAPI, allow(s.openAPI(api), s.writeProblem, http.MethodGet, http.MethodHead))
}

// apiConfig is huma without documents of its own and without links to schemas
// in answers.
func apiConfig() huma.Config {
	c := huma.DefaultConfig("Dialtone", "1")
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil
	return c
}

// Pages mounts the pages of this package. Their forms come from our own pages
// alone, so the server refuses cross-origin POSTs before them.
func (s *Server) Pages(r chi.Router) {
	r.HandleFunc(pathConsent, byMethod(s.showConsent, s.decideConsent, s.showFault))
	r.HandleFunc(pathLogout, byMethod(s.showLogout, s.confirmLogout, s.showFault))
}

// byMethod serves a page with GET and takes its form with POST.
func byMethod(get, post http.HandlerFunc, refuse func(http.ResponseWriter, *http.Request, error)) http.HandlerFunc {
	return allow(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			post(w, r)
			return
		}
		get(w, r)
	}, refuse, http.MethodGet, http.MethodPost)
}
