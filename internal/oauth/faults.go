package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

// oauthCodes are the error codes that an OAuth response may carry (RFC 6749
// sections 4.1.2.1 and 5.2, RFC 6750 section 3.1, RFC 7009 section 2.2.1, RFC 8707
// section 2, RFC 9449 section 5, RFC 9470 section 3, OpenID Connect Core section 3.1.2.6 and its
// unmet_authentication_requirements, and those of the authorization challenge endpoint). Faults with other codes, ours and those of HTTP,
// are told by the nearest of these; the status keeps the difference.
var oauthCodes = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true, "unauthorized_client": true,
	"unsupported_grant_type": true, "invalid_scope": true, "invalid_target": true, "access_denied": true, "unsupported_response_type": true,
	"server_error": true, "temporarily_unavailable": true, "invalid_token": true, "insufficient_scope": true,
	"unsupported_token_type": true, "insufficient_user_authentication": true, "login_required": true, "consent_required": true, "interaction_required": true,
	"invalid_dpop_proof": true, "invalid_session": true, "redirect_to_web": true,
	"request_not_supported": true, "request_uri_not_supported": true, "registration_not_supported": true,
	"unmet_authentication_requirements": true,
}

// told is what a caller may learn of err. Errors from inside are logged here,
// once, and become server_error or, while a store is away, temporarily_unavailable.
func (s *Server) told(ctx context.Context, err error) *fault.Error {
	f := fault.From(err)
	if f.Status < 500 {
		return f
	}
	if errors.Is(err, context.Canceled) {
		s.log.DebugContext(ctx, "the caller hung up", s.requestID(ctx))
		return fault.Unavailable
	}
	if f.Code == fault.Internal.Code && away(err) {
		f = fault.Unavailable.Because(err)
	}
	if f.Code == fault.Unavailable.Code && f.RetryAfter == 0 {
		// Spread over some seconds, so that an outage does not end in a stampede.
		f = f.After(time.Duration(1+rand.IntN(5)) * time.Second)
	}
	s.log.ErrorContext(ctx, "request failed", s.requestID(ctx), slog.String("code", f.Code), slog.Any("error", err))
	return f
}

// away says whether err is a store that does not answer.
func away(err error) bool {
	return errors.Is(err, db.ErrUnavailable) || errors.Is(err, ephemeral.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

func (s *Server) requestID(ctx context.Context) slog.Attr {
	return slog.String("request_id", user.CallerOf(ctx).RequestID)
}

// oauthCode is the code under which an OAuth response tells f.
func oauthCode(f *fault.Error) string {
	switch {
	case oauthCodes[f.Code]:
		return f.Code
	case f.Status == http.StatusTooManyRequests, f.Status == http.StatusServiceUnavailable:
		return "temporarily_unavailable"
	case f.Status >= 500:
		return "server_error"
	}
	return "invalid_request"
}

type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// writeOAuthError answers JSON (RFC 6749 section 5.2). Every 401 names a way to
// authenticate, as HTTP demands of it (RFC 9110 section 15.5.2).
func (s *Server) writeOAuthError(w http.ResponseWriter, r *http.Request, err error) {
	f := s.told(r.Context(), err)
	if f.Status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", basicChallenge)
	}
	setRetryAfter(w, f)
	writeJSON(w, f.Status, oauthError{Error: oauthCode(f), Description: f.Description})
}

// errorPage shows an error that must not, or cannot, be sent to a client.
func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, uiLocales []string, err error) {
	f := s.told(r.Context(), err)
	setRetryAfter(w, f)
	back := ""
	switch {
	case r.URL.Path == pathLogout:
		back = pathLogout
	case errors.Is(f, user.ErrFlowExpired), errors.Is(f, user.ErrCookiesRequired):
		back = pathLogin
	}
	s.site.Render(w, r, f.Status, web.Error{
		Common: s.common(r, uiLocales, ""), Code: f.Code, Description: f.Description, Params: f.Params, RetryAfter: f.RetryAfter, BackURL: back,
	})
}

// noFlow is the answer where the flow of a request does not open. Somebody who signed in a
// moment ago has pressed the back button, or a button twice.
func (s *Server) noFlow(w http.ResponseWriter, r *http.Request, uiLocales []string, err error) {
	if errors.Is(err, user.ErrFlowExpired) && s.users.JustSignedIn(r) {
		seeOther(w, pathAccount)
		return
	}
	s.errorPage(w, r, uiLocales, err)
}

// showFault is errorPage without a language preference.
func (s *Server) showFault(w http.ResponseWriter, r *http.Request, err error) {
	s.errorPage(w, r, nil, err)
}

func (s *Server) common(r *http.Request, uiLocales []string, formAction string) web.Common {
	return web.Common{UILocales: uiLocales, FormAction: formAction, RequestID: user.CallerOf(r.Context()).RequestID}
}

func setRetryAfter(w http.ResponseWriter, f *fault.Error) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds(f.RetryAfter)))
	}
}

// seconds rounds up: who waits that long does not come too early.
func seconds(d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int((d + time.Second - 1) / time.Second)
}

// writeJSON answers something that no cache may keep (RFC 6749 section 5.1).
func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller hung up; there is nobody left to tell
}
