package oauth

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user"
)

var (
	errNoToken           = fault.New(http.StatusUnauthorized, "invalid_token", "an access token is required")
	errInvalidToken      = fault.New(http.StatusUnauthorized, "invalid_token", "the access token is malformed, expired or revoked")
	errInsufficientScope = fault.New(http.StatusForbidden, "insufficient_scope", "the access token does not have scope openid")
)

// userinfo is OpenID Connect Core section 5.3. The answer holds sub and the
// claims of the token's scopes.
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	shareErrors(w)
	form, err := tokenForm(w, r)
	var raw string
	if err == nil {
		raw, err = bearerToken(r, form)
	}
	if err != nil {
		s.bearerError(w, r, err)
		return
	}
	t, err := s.liveToken(r.Context(), raw)
	if err != nil {
		s.bearerError(w, r, err)
		return
	}
	share(w, r, t.client)
	if t.GrantID == "" || !slices.Contains(t.Scope, scopeOpenID) {
		s.bearerError(w, r, errInsufficientScope)
		return
	}
	g := t.grant
	u, err := s.users.FromRow(g.UserID, g.UserClaims, g.PhoneSealed, g.PhoneVerifiedAt, g.UserUpdatedAt)
	if err != nil {
		s.bearerError(w, r, fmt.Errorf("userinfo: %w", err))
		return
	}
	claims := user.StandardClaims(t.Scope, u)
	claims["sub"] = t.Subject
	writeJSON(w, http.StatusOK, claims)
}

// tokenForm is the form of a POST, which may have the access token in it.
func tokenForm(w http.ResponseWriter, r *http.Request) (params, error) {
	if r.Method != http.MethodPost || !mediaTypeIs(r.Header, "application/x-www-form-urlencoded") {
		return nil, nil //nolint:nilnil // no parameters
	}
	body, err := readBody(w, r, maxFormBytes)
	if err != nil {
		return nil, err
	}
	return parseParams(string(body))
}

// bearerToken takes the access token from the one place it was sent in (RFC 6750
// section 2): the Authorization header, or a form, nil where there can be none.
// Never the URL.
func bearerToken(r *http.Request, form params) (string, error) {
	query, err := queryParams(r, maxAuthorizeBytes)
	if err != nil {
		return "", err
	}
	if query.get("access_token") != "" {
		return "", errInvalidRequest.Describe("an access token never travels in a URL")
	}
	headers, inBody := r.Header.Values("Authorization"), form.get("access_token")
	if len(headers) > 1 {
		return "", errInvalidRequest.Describe("the Authorization header was sent more than once")
	}
	switch {
	case len(headers) == 1 && inBody != "":
		return "", errInvalidRequest.Describe("the access token was sent in more than one way")
	case inBody != "":
		return inBody, nil
	case len(headers) == 0:
		return "", errNoToken
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errNoToken
	}
	return token, nil
}

// bearerChallenge is the WWW-Authenticate of a refusal. A request that brought no
// token at all is told no error code there.
func bearerChallenge(f *fault.Error) string {
	const challenge = `Bearer realm="Dialtone"`
	if f.Status >= 500 || f == errNoToken {
		return challenge
	}
	return challenge + fmt.Sprintf(`, error="%s", error_description="%s"`, oauthCode(f), f.Description)
}

// bearerError answers with the challenge of RFC 6750 section 3.
func (s *Server) bearerError(w http.ResponseWriter, r *http.Request, err error) {
	f := s.told(r.Context(), err)
	challenge := bearerChallenge(f)
	if f.Code == errInsufficientScope.Code {
		challenge += `, scope="openid"`
	}
	if f.Status < 500 {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	setRetryAfter(w, f)
	writeJSON(w, f.Status, oauthError{Error: oauthCode(f), Description: f.Description})
}
