package oauth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

const (
	labelTicket = "logout ticket"
	ticketLife  = 30 * time.Minute
)

// logoutRequest is a validated request to end a session (OpenID Connect
// RP-Initiated Logout 1.0 section 2). Sealed, it is the ticket of the
// confirmation page.
type logoutRequest struct {
	ClientID  string   `json:"c,omitempty"`
	Redirect  string   `json:"r,omitempty"` // post_logout_redirect_uri, registered by the client
	State     string   `json:"t,omitempty"`
	Hinted    string   `json:"h,omitempty"` // sid of a genuine id_token_hint
	Session   string   `json:"s,omitempty"` // the session that the confirmation page was shown for
	UILocales []string `json:"l,omitempty"`
	ExpiresAt int64    `json:"e,omitempty"` // of the ticket, Unix seconds

	client *client.Client
}

// endSession is the logout endpoint. A genuine hint at the very session of this
// browser ends it at once; everything else asks the person, so that no image or
// link of a stranger signs anybody out.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request) {
	p, err := frontParams(w, r)
	if err != nil {
		s.showFault(w, r, err)
		return
	}
	q, err := s.readLogout(r.Context(), p)
	if err != nil {
		s.errorPage(w, r, parseLocales(p.get("ui_locales")), err)
		return
	}
	if r.Method == http.MethodPost {
		// From another site a POST comes without the session cookie; a GET brings it.
		ticket, err := s.sealLogout(q)
		if err != nil {
			s.errorPage(w, r, q.UILocales, err)
			return
		}
		seeOther(w, pathLogout+"?"+url.Values{"ticket": {ticket}}.Encode())
		return
	}
	s.logOutOrAsk(w, r, q)
}

// readLogout validates. Without a client whose URI it is there is no redirect,
// whatever the request says (section 3).
//
// A hint that is no ID token of ours may be forged, or so old that its key is
// forgotten. The person wants to sign out all the same and is asked; but nothing
// that came with it is believed, so that nobody is redirected.
func (s *Server) readLogout(ctx context.Context, p params) (*logoutRequest, error) {
	q := &logoutRequest{ClientID: p.get("client_id"), UILocales: parseLocales(p.get("ui_locales"))}
	if raw := p.get("id_token_hint"); raw != "" {
		hint, err := s.engine.IDTokenHint(raw)
		if err != nil || len(hint.Audience) == 0 {
			return &logoutRequest{UILocales: q.UILocales}, nil //nolint:nilerr // as if there were no hint
		}
		if q.ClientID == "" {
			q.ClientID = hint.Audience[0]
		} else if !slices.Contains(hint.Audience, q.ClientID) {
			return nil, errInvalidRequest.Describe("id_token_hint was not issued to this client")
		}
		q.Hinted = hint.SessionID
	}
	if q.ClientID == "" {
		return q, nil
	}
	var err error
	q.client, err = s.client(ctx, q.ClientID)
	if errors.Is(err, errUnknownClient) && p.get("client_id") == "" {
		return &logoutRequest{UILocales: q.UILocales}, nil // it was deleted since it got the ID token
	}
	if err != nil {
		return nil, err
	}
	return q, q.readRedirect(p)
}

func (q *logoutRequest) readRedirect(p params) error {
	raw, state := p.get("post_logout_redirect_uri"), p.get("state")
	if raw == "" {
		return nil
	}
	if _, err := q.client.PostLogoutRedirect(raw); err != nil {
		return errInvalidRequest.Describe("post_logout_redirect_uri is not registered for this client").Because(err)
	}
	if len(state) > maxState || hasControl(state) {
		return errInvalidRequest.Describe("state is too long or contains a control character")
	}
	q.Redirect, q.State = raw, state
	return nil
}

// target is where the browser goes afterwards, or "" if no client takes it back.
func (q *logoutRequest) target() string {
	if q.Redirect == "" || q.State == "" {
		return q.Redirect
	}
	return answerURL(q.Redirect, client.ModeQuery, []field{{"state", q.State}})
}

func (s *Server) logOutOrAsk(w http.ResponseWriter, r *http.Request, q *logoutRequest) {
	v, err := s.visitor(r)
	switch {
	case err != nil:
		s.errorPage(w, r, q.UILocales, err)
	case !v.signedIn():
		s.signedOut(w, r, q)
	case q.Hinted != "" && q.Hinted == v.session.ID:
		if err := s.logOut(w, r, v.session); err != nil {
			s.errorPage(w, r, q.UILocales, err)
			return
		}
		s.signedOut(w, r, q)
	default:
		s.askLogout(w, r, q, v)
	}
}

// askLogout shows the confirmation page for the session of this browser.
func (s *Server) askLogout(w http.ResponseWriter, r *http.Request, q *logoutRequest, v visitor) {
	q.Session = v.session.ID
	ticket, err := s.sealLogout(q)
	if err != nil {
		s.errorPage(w, r, q.UILocales, err)
		return
	}
	page := web.Logout{Common: s.common(r, q.UILocales, q.formAction()), Ticket: ticket, Masked: masked(v.user)}
	if q.client != nil {
		page.Client = clientView(q.client)
	}
	s.site.Render(w, r, http.StatusOK, page)
}

// signedOut sends the browser back to the client, or says that it is done.
func (s *Server) signedOut(w http.ResponseWriter, r *http.Request, q *logoutRequest) {
	if to := q.target(); to != "" {
		seeOther(w, to)
		return
	}
	page := web.SignedOut{Common: s.common(r, q.UILocales, "")}
	if q.client != nil {
		page.Client = clientView(q.client)
	}
	s.site.Render(w, r, http.StatusOK, page)
}

// showLogout is /logout: the confirmation page, for the ticket of a request or
// for a person who came from the account page; the farewell if nobody is signed in.
func (s *Server) showLogout(w http.ResponseWriter, r *http.Request) {
	p, err := queryParams(r, maxAuthorizeBytes)
	if err != nil {
		s.showFault(w, r, err)
		return
	}
	q := &logoutRequest{}
	if ticket := p.get("ticket"); ticket != "" {
		if q, err = s.openLogout(r.Context(), ticket); err != nil {
			s.showFault(w, r, err)
			return
		}
	}
	s.logOutOrAsk(w, r, q)
}

// confirmLogout takes the person's answer. Signed in as somebody else by now, or
// with an answer to a page that was shown for another session, the person is asked again.
func (s *Server) confirmLogout(w http.ResponseWriter, r *http.Request) {
	p, err := formParams(w, r, maxFormBytes)
	if err != nil {
		s.showFault(w, r, err)
		return
	}
	q, err := s.openLogout(r.Context(), p.get("ticket"))
	if err != nil {
		s.showFault(w, r, err)
		return
	}
	switch p.get("decision") {
	case "yes":
		s.logOutConfirmed(w, r, q)
	case "no":
		seeOther(w, pathAccount)
	default:
		s.errorPage(w, r, q.UILocales, errInvalidRequest.Describe("decision must be yes or no"))
	}
}

func (s *Server) logOutConfirmed(w http.ResponseWriter, r *http.Request, q *logoutRequest) {
	v, err := s.visitor(r)
	if err == nil && v.signedIn() && v.session.ID != q.Session {
		seeOther(w, pathLogout)
		return
	}
	if err != nil {
		s.users.ClearCookie(w) // at least in this browser
	} else {
		err = s.logOut(w, r, v.session)
	}
	if err != nil {
		s.errorPage(w, r, q.UILocales, err)
		return
	}
	to := q.target()
	if to == "" {
		to = pathLogout // shows the farewell
	}
	seeOther(w, to)
}

// logOut ends the session and the grants that live no longer than it. The
// cookie goes in any case: if the store fails, the person hears of it, and this
// browser is signed out all the same.
func (s *Server) logOut(w http.ResponseWriter, r *http.Request, session user.Session) error {
	s.users.ClearCookie(w)
	if session.ID == "" {
		return nil
	}
	ctx := context.WithoutCancel(r.Context()) // closing the tab must not undo it
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.users.EndSession(ctx, session.ID, "user:"+session.UserID); err != nil {
			return err
		}
		_, err := s.grants.RevokeSession(ctx, session.UserID, session.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

func (q *logoutRequest) formAction() string {
	u, err := url.Parse(q.Redirect)
	if q.Redirect == "" || err != nil {
		return ""
	}
	return formAction(u)
}

func (s *Server) sealLogout(q *logoutRequest) (string, error) {
	sealed := *q
	sealed.ExpiresAt = time.Now().Add(ticketLife).Unix()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // a state of many & would outgrow what a URL may have
	if err := encoder.Encode(sealed); err != nil {
		return "", fmt.Errorf("seal logout: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.vault.Seal(labelTicket, text.Bytes(), nil)), nil
}

var errTicket = fault.New(http.StatusGone, "flow_expired", "this page expired, sign out again")

// openLogout opens a ticket. A client that is gone takes its redirect with it,
// and so does one that gave the URI up.
func (s *Server) openLogout(ctx context.Context, ticket string) (*logoutRequest, error) {
	raw, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil {
		return nil, errTicket.Because(err)
	}
	text, err := s.vault.Open(labelTicket, raw, nil)
	if err != nil {
		return nil, errTicket.Because(err)
	}
	q := &logoutRequest{}
	if err := json.Unmarshal(text, q); err != nil {
		return nil, errTicket.Because(err)
	}
	if time.Now().Unix() > q.ExpiresAt {
		return nil, errTicket
	}
	if q.ClientID == "" {
		return q, nil
	}
	q.client, err = s.clients.Get(ctx, q.ClientID)
	if errors.Is(err, db.ErrNotFound) {
		q.client, q.Redirect = nil, ""
		return q, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := q.client.PostLogoutRedirect(q.Redirect); err != nil {
		q.Redirect = ""
	}
	return q, nil
}
