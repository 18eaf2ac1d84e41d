package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

// errUnknownClient is for pages only; at the token endpoint nobody learns
// whether a client exists.
var errUnknownClient = fault.New(http.StatusBadRequest, "invalid_client", "no client is registered under this client_id")

// authorize is the authorization endpoint (RFC 6749 section 3.1, OpenID Connect
// Core section 3.1.2). A GET is decided at once. A POST usually comes from
// another site, so the browser keeps the session cookie back (SameSite=Lax); its
// request is sealed into a flow and decided by resume, which the browser gets to
// by a GET of its own.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	p, err := frontParams(w, r)
	if err != nil {
		s.showFault(w, r, err)
		return
	}
	q := &authRequest{RequestedAt: db.Micros(time.Now())}
	if err := s.locate(r.Context(), q, p); err != nil {
		s.errorPage(w, r, parseLocales(p.get("ui_locales")), err)
		return
	}
	if err := q.read(p, s.issuer, s.engine.IDTokenHint); err != nil {
		s.refuse(w, r, q, err)
		return
	}
	// A hint is a courtesy: what is no number that could be texted is ignored, lest
	// the person finds a name or an address in the field for the number.
	if _, err := s.sms.ParseNumber(p.get("login_hint")); err == nil {
		q.loginHint = p.get("login_hint")
	}
	if r.Method == http.MethodPost {
		s.wait(w, r, q, pathResume)
		return
	}
	s.decide(w, r, q)
}

// resume decides a request that came as a POST.
func (s *Server) resume(w http.ResponseWriter, r *http.Request) {
	p, err := queryParams(r, maxAuthorizeBytes)
	if err != nil {
		s.showFault(w, r, err)
		return
	}
	f, q, err := s.waiting(r, p.get("flow"))
	if err != nil {
		s.errorPage(w, r, f.UILocales, err)
		return
	}
	// From here on it is a request like any that came as a GET, with a flow of
	// its own if a person is needed.
	s.flows.End(w, f)
	q.RequestedAt = db.Micros(time.Now())
	s.decide(w, r, q)
}

func (s *Server) locate(ctx context.Context, q *authRequest, p params) error {
	id := p.get("client_id")
	if id == "" {
		return errInvalidRequest.Describe("client_id is required")
	}
	c, err := s.client(ctx, id)
	if err != nil {
		return err
	}
	return q.locate(c, p)
}

// client finds a client by the id that a browser brought.
func (s *Server) client(ctx context.Context, id string) (*client.Client, error) {
	if len(id) > maxClientID {
		return nil, errUnknownClient
	}
	c, err := s.clients.Get(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errUnknownClient
	}
	return c, err
}

// wait starts a flow that carries the request on and sends the browser to a page
// of it.
func (s *Server) wait(w http.ResponseWriter, r *http.Request, q *authRequest, path string) {
	request, err := q.pack()
	if err != nil {
		s.refuse(w, r, q, fmt.Errorf("pack the authorize request: %w", err))
		return
	}
	f, err := s.flows.Start(w, r, user.Flow{
		ClientID: q.ClientID, Client: clientView(q.client), LoginHint: q.loginHint, UILocales: q.uiLocales,
		SkipAgreement: q.client.SkipAgreement, FormAction: formAction(q.target), Request: request, ProvenAfter: q.provenAfter(),
	})
	if err != nil {
		s.refuse(w, r, q, err)
		return
	}
	goOn(w, f, path)
}

// goOn sends the browser to a page of a flow.
func goOn(w http.ResponseWriter, f user.Flow, path string) {
	seeOther(w, path+"?flow="+f.ID)
}

// waiting opens the request behind the flow that the browser brought.
func (s *Server) waiting(r *http.Request, flow string) (user.Flow, *authRequest, error) {
	f, err := s.flows.Find(r, flow)
	if err != nil {
		return user.Flow{}, nil, err
	}
	q, err := s.reopen(r.Context(), f)
	return f, q, err
}

// reopen unpacks the request of a flow. The client may be gone meanwhile, or the
// redirect URI not be its own any more; then there is nobody to answer to.
func (s *Server) reopen(ctx context.Context, f user.Flow) (*authRequest, error) {
	if len(f.Request) == 0 {
		return nil, user.ErrFlowExpired // a visit of its own, which no client waits for
	}
	q, err := unpack(f.Request)
	if err != nil {
		return nil, user.ErrFlowExpired.Because(err) // of another release
	}
	c, err := s.client(ctx, q.ClientID)
	if err != nil {
		return nil, err
	}
	if q.target, err = c.Redirect(q.RedirectURI); err != nil {
		return nil, errInvalidRequest.Describe("redirect_uri is not registered for this client any more").Because(err)
	}
	q.client, q.loginHint, q.uiLocales = c, f.LoginHint, f.UILocales
	return q, nil
}

// stillAllowed repeats the rest of the client's side for a request that waited.
func (q *authRequest) stillAllowed() error {
	if err := q.readResponseType("code"); err != nil {
		return err
	}
	for _, scope := range q.Scope {
		if !q.client.AllowsScope(scope) {
			return errInvalidScope
		}
	}
	if q.Challenge == "" && q.client.PKCERequired() {
		return errInvalidRequest.Describe("code_challenge is required (PKCE, RFC 7636)")
	}
	return nil
}

func clientView(c *client.Client) *web.Client {
	return &web.Client{
		ID: c.ID, Name: c.Name, LogoURI: c.LogoURI, ClientURI: c.ClientURI, PolicyURI: c.PolicyURI, TOSURI: c.TOSURI,
		FirstParty: c.FirstParty, BrandColor: c.BrandColor, SupportContact: c.SupportContact, Names: names(c),
	}
}

// names are a client's names by language, nil if it has only one.
func names(c *client.Client) map[string]string {
	var all map[string]string
	for tag, name := range map[string]string{"zh-CN": c.NameChinese, "en": c.NameEnglish} {
		if name != "" {
			if all == nil {
				all = map[string]string{}
			}
			all[tag] = name
		}
	}
	return all
}
