package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

// showConsent asks for consent, or moves on if the request needs something else
// by now: another tab may have signed out, or allowed the client already.
func (s *Server) showConsent(w http.ResponseWriter, r *http.Request) {
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
	v, err := s.visitor(r)
	if err != nil {
		s.errorPage(w, r, f.UILocales, err)
		return
	}
	next, err := s.next(r.Context(), q, v)
	if err != nil || next != stepConsent {
		s.carryOn(w, r, f, q, v)
		return
	}
	s.site.Render(w, r, http.StatusOK, web.Consent{
		Common:       s.common(r, q.uiLocales, formAction(q.target)),
		Flow:         f.ID,
		Session:      v.session.ID,
		Client:       *clientView(q.client),
		RedirectHost: redirectHost(q),
		Scopes:       q.Scope,
		Masked:       masked(v.user),
		Remembered:   q.provesItsClient(),
	})
}

// redirectHost is where the answer goes, as a person can judge it: a host, or
// the private scheme of an app.
func redirectHost(q *authRequest) string {
	if q.target.Host != "" {
		return q.target.Host
	}
	return q.target.Scheme + ":"
}

func masked(u user.User) string {
	if u.Phone.IsZero() {
		return ""
	}
	return u.Phone.String()
}

// decideConsent takes the person's answer. The page named the session that it
// was shown to; if somebody else is signed in by now the page is shown again,
// so that nobody allows anything in another's name.
func (s *Server) decideConsent(w http.ResponseWriter, r *http.Request) {
	p, err := formParams(w, r, maxFormBytes)
	if err != nil {
		s.showFault(w, r, err)
		return
	}
	f, q, err := s.waiting(r, p.get("flow"))
	if err != nil {
		s.errorPage(w, r, f.UILocales, err)
		return
	}
	v, err := s.visitor(r)
	if err != nil {
		s.errorPage(w, r, f.UILocales, err)
		return
	}
	next, err := s.next(r.Context(), q, v)
	if err == nil {
		err = q.stillAllowed()
	}
	decision := p.get("decision")
	switch {
	case err != nil || next == stepLogin || next == stepSecond:
		s.carryOn(w, r, f, q, v)
	case p.get("session") != v.session.ID:
		goOn(w, f, pathConsent)
	case decision == "deny":
		s.denyConsent(w, r, f, q, v)
	case decision == "allow":
		s.allowConsent(w, r, f, q, v)
	default:
		s.errorPage(w, r, f.UILocales, errInvalidRequest.Describe("decision must be allow or deny"))
	}
}

func (s *Server) denyConsent(w http.ResponseWriter, r *http.Request, f user.Flow, q *authRequest, v visitor) {
	if err := s.audit.Record(r.Context(), s.consentEvent(r.Context(), "consent.denied", q, v.session.UserID)); err != nil {
		s.errorPage(w, r, f.UILocales, err)
		return
	}
	s.flows.End(w, f)
	s.refuse(w, r, q, errAccessDenied.Describe("the person refused consent"))
}

func (s *Server) allowConsent(w http.ResponseWriter, r *http.Request, f user.Flow, q *authRequest, v visitor) {
	if err := s.remember(r.Context(), q, v.session.UserID); err != nil {
		s.errorPage(w, r, f.UILocales, err)
		return
	}
	s.flows.End(w, f)
	s.issue(w, r, q, v.session)
}

// provesItsClient says whether the answer reaches this client and nobody else. An app
// that anybody could pretend to be (RFC 8252 section 8.6) is asked about every time:
// its redirect URI proves nothing about who listens.
func (q *authRequest) provesItsClient() bool {
	return q.client.ApplicationType != "native" || !q.client.Public() || q.target.Scheme == "https"
}

// consented says whether the person allowed this client all of these scopes before,
// where that counts.
func (s *Server) consented(ctx context.Context, q *authRequest, userID string) (bool, error) {
	if !q.provesItsClient() {
		return false, nil
	}
	allowed, err := s.consent(ctx, userID, q.ClientID)
	if err != nil {
		return false, err
	}
	return covers(allowed, q.Scope), nil
}

func covers(allowed, asked []string) bool {
	return !slices.ContainsFunc(asked, func(scope string) bool { return !slices.Contains(allowed, scope) })
}

// consent is what a person allowed a client so far.
func (s *Server) consent(ctx context.Context, userID, clientID string) ([]string, error) {
	var scope string
	err := s.db.QueryRow(ctx, `SELECT scope FROM consents WHERE user_id = $1 AND client_id = $2`, userID, clientID).Scan(&scope)
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read consent: %w", err)
	}
	return strings.Fields(scope), nil
}

// remember adds the scopes to what the person allowed before. The update only
// takes if nobody else changed the row since it was read, so that two pages
// answered at once keep both their scopes.
func (s *Server) remember(ctx context.Context, q *authRequest, userID string) error {
	const tries = 5
	return s.db.Tx(ctx, func(ctx context.Context) error {
		for range tries {
			before, err := s.consent(ctx, userID, q.ClientID)
			if err != nil {
				return err
			}
			after := slices.Clone(before)
			for _, scope := range q.Scope {
				if !slices.Contains(after, scope) {
					after = append(after, scope)
				}
			}
			changed, err := s.db.Exec(ctx, `
				INSERT INTO consents (user_id, client_id, scope, granted_at, changed_at) VALUES ($1, $2, $3, $4, $4)
				ON CONFLICT (user_id, client_id) DO UPDATE SET scope = excluded.scope, changed_at = excluded.changed_at
				WHERE consents.scope = $5`,
				userID, q.ClientID, strings.Join(after, " "), db.Micros(time.Now()), strings.Join(before, " "))
			if err != nil {
				return fmt.Errorf("remember consent: %w", err)
			}
			if changed == 1 {
				return s.audit.Record(ctx, s.consentEvent(ctx, "consent.granted", q, userID))
			}
		}
		return fmt.Errorf("remember consent: changed by others %d times: %w", tries, db.ErrUnavailable)
	})
}

func (s *Server) consentEvent(ctx context.Context, name string, q *authRequest, userID string) audit.Event {
	return audit.Event{
		Name: name, Actor: "user:" + userID, UserID: userID, ClientID: q.ClientID, IP: address(ctx),
		Detail: map[string]string{"scope": strings.Join(q.Scope, " ")},
	}
}

// address is the caller's address for the audit record, empty if unknown.
func address(ctx context.Context) string {
	a := user.CallerOf(ctx).Address
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}
