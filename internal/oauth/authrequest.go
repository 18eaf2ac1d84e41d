package oauth

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/oauth/engine"
)

// Limits of what an authorize request may make us carry, in bytes: while a person
// signs in all of it lies in one cookie, which browsers cut at 4 KiB.
const (
	maxState     = 2048
	maxNonce     = 512
	maxUILocales = 8
)

// Prompts (OpenID Connect Core section 3.1.2.1, Initiating User Registration section 4.1).
const (
	promptNone          = "none"
	promptLogin         = "login"
	promptConsent       = "consent"
	promptSelectAccount = "select_account"
	promptCreate        = "create"
)

const scopeOpenID = "openid"

var (
	errUnsupportedResponseType  = fault.New(http.StatusBadRequest, "unsupported_response_type", "the only response type is code")
	errInvalidScope             = fault.New(http.StatusBadRequest, "invalid_scope", "a requested scope is malformed or not open to this client")
	errUnauthorizedClient       = fault.New(http.StatusBadRequest, "unauthorized_client", "the client may not use this grant")
	errInvalidTarget            = fault.New(http.StatusBadRequest, "invalid_target", "resource is unknown")
	errAccessDenied             = fault.New(http.StatusForbidden, "access_denied", "the person declined")
	errLoginRequired            = fault.New(http.StatusForbidden, "login_required", "the person has to sign in")
	errConsentRequired          = fault.New(http.StatusForbidden, "consent_required", "the person has to be asked for consent")
	errRequestNotSupported      = fault.New(http.StatusBadRequest, "request_not_supported", "request objects are not supported")
	errRequestURINotSupported   = fault.New(http.StatusBadRequest, "request_uri_not_supported", "request_uri is not supported")
	errRegistrationNotSupported = fault.New(http.StatusBadRequest, "registration_not_supported", "the registration parameter is not supported")
)

// authRequest is a validated authorize request. Its JSON is sealed into the flow
// while a person is needed, hence the short names; the client is looked up again
// each time it is opened.
type authRequest struct {
	ClientID      string     `json:"c"`
	RedirectURI   string     `json:"r"`
	RedirectGiven bool       `json:"g,omitempty"` // the request named it, so the token request must too
	Mode          string     `json:"m,omitempty"`
	State         string     `json:"s,omitempty"`
	Scope         []string   `json:"o"`
	Nonce         string     `json:"n,omitempty"`
	Challenge     string     `json:"p,omitempty"` // PKCE, S256
	Prompts       []string   `json:"q,omitempty"`
	MaxAge        *int64     `json:"a,omitempty"` // seconds
	ACR           acrRequest `json:"l,omitzero"`
	HintSubject   string     `json:"h,omitempty"` // sub of the id_token_hint
	SeenSignIn    string     `json:"v,omitempty"` // the browser's session and its sign-in when the request came, see freshLogin
	RequestedAt   int64      `json:"t"`           // Unix microseconds

	client    *client.Client
	target    *url.URL // RedirectURI, parsed
	loginHint string   // kept by the flow itself
	uiLocales []string // likewise
}

func (q *authRequest) asks(prompt string) bool { return slices.Contains(q.Prompts, prompt) }

func (q *authRequest) requestedAt() time.Time { return time.UnixMicro(q.RequestedAt) }

// hintReader reads an id_token_hint: an ID token of ours, expired or not.
type hintReader func(raw string) (engine.IDTokenHint, error)

// locate finds out where answers go. It fails with what only a page may show:
// nothing is ever redirected to a URI that is not registered (RFC 9700 section 4.11).
func (q *authRequest) locate(c *client.Client, p params) error {
	q.ClientID, q.client = c.ID, c
	raw := p.get("redirect_uri")
	q.RedirectGiven = raw != ""
	if raw == "" {
		if len(c.RedirectURIs) != 1 || slices.Contains(strings.Split(p.get("scope"), " "), scopeOpenID) {
			return errInvalidRequest.Describe("redirect_uri is required")
		}
		raw = c.RedirectURIs[0]
	}
	target, err := c.Redirect(raw)
	if err != nil {
		return errInvalidRequest.Describe("redirect_uri is not registered for this client").Because(err)
	}
	q.RedirectURI, q.target = raw, target
	return nil
}

// read validates everything else. Its faults go back to the client, so that
// state and response mode are settled before any of them.
func (q *authRequest) read(p params, issuer string, hint hintReader) error {
	stateErr := q.readState(p.get("state"))
	modeErr := q.readMode(p.get("response_mode"))
	q.uiLocales = parseLocales(p.get("ui_locales"))
	for _, err := range []error{
		unsupported(p), q.readResponseType(p.get("response_type")), modeErr, stateErr,
		q.readScope(p.get("scope")), checkResource(p.get("resource"), issuer), q.readChallenge(p), q.readNonce(p.get("nonce")),
		q.readPrompt(p.get("prompt")), q.readMaxAge(p.get("max_age")), q.readACR(p.get("acr_values"), p.get("claims")),
		q.readHint(p.get("id_token_hint"), hint),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkResource refuses tokens for somebody else (RFC 8707 section 2), here as at the
// token endpoint: they are for this issuer, and who asks for less has to hear that.
func checkResource(resource, issuer string) error {
	if resource != "" && resource != issuer {
		return errInvalidTarget
	}
	return nil
}

// unsupported refuses what changes the meaning of a request if ignored (OpenID
// Connect Core sections 3.1.2.6 and 6.1).
func unsupported(p params) error {
	switch {
	case p.get("request") != "":
		return errRequestNotSupported
	case p.get("request_uri") != "":
		return errRequestURINotSupported
	case p.get("registration") != "":
		return errRegistrationNotSupported
	}
	return nil
}

// readState keeps even a state that is too long: the client must get back what
// it sent. Only control characters are dropped with it.
func (q *authRequest) readState(state string) error {
	if hasControl(state) {
		return errInvalidRequest.Describe("state contains a control character")
	}
	q.State = state
	if len(state) > maxState {
		return errInvalidRequest.Describe("state is longer than %d bytes", maxState)
	}
	return nil
}

func (q *authRequest) readMode(mode string) error {
	q.Mode = client.ModeQuery
	switch mode {
	case "":
		return nil
	case client.ModeQuery, client.ModeFragment, client.ModeFormPost:
	default:
		return errInvalidRequest.Describe("response_mode must be query, fragment or form_post")
	}
	if !q.client.AllowsResponseMode(mode) {
		return errInvalidRequest.Describe("the client is not registered for this response_mode")
	}
	if mode == client.ModeFormPost && q.target.Scheme != "https" && q.target.Scheme != "http" {
		return errInvalidRequest.Describe("response_mode form_post needs an https redirect URI")
	}
	q.Mode = mode
	return nil
}

func (q *authRequest) readResponseType(responseType string) error {
	switch {
	case responseType == "":
		return errInvalidRequest.Describe("response_type is required")
	case responseType != "code":
		return errUnsupportedResponseType
	case !q.client.MayUse(client.GrantAuthorizationCode), !slices.Contains(q.client.ResponseTypes, "code"):
		return errUnauthorizedClient
	}
	return nil
}

func (q *authRequest) readScope(raw string) error {
	scope, err := parseScope(raw)
	if err != nil {
		return err
	}
	if len(scope) == 0 {
		return errInvalidScope.Describe("scope is required")
	}
	for _, s := range scope {
		if !q.client.AllowsScope(s) {
			return errInvalidScope
		}
	}
	q.Scope = scope
	return nil
}

// parseScope splits a scope (RFC 6749 section 3.3) and drops repetitions.
func parseScope(raw string) ([]string, error) {
	var scope []string
	for s := range strings.SplitSeq(raw, " ") {
		if s == "" || slices.Contains(scope, s) {
			continue
		}
		for i := range len(s) {
			if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
				return nil, errInvalidScope
			}
		}
		scope = append(scope, s)
	}
	return scope, nil
}

// base64url of a SHA-256 digest.
var challengePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// readChallenge demands S256 (RFC 7636 section 4.3; RFC 9700 section 2.1.1).
// An absent method means plain there, so it is refused like plain.
func (q *authRequest) readChallenge(p params) error {
	challenge, method := p.get("code_challenge"), p.get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		return errInvalidRequest.Describe("code_challenge is missing")
	case challenge == "" && q.client.PKCERequired():
		return errInvalidRequest.Describe("code_challenge is required (PKCE, RFC 7636)")
	case challenge == "":
		return nil
	case method != "S256":
		return errInvalidRequest.Describe("code_challenge_method must be S256")
	case !challengePattern.MatchString(challenge):
		return errInvalidRequest.Describe("code_challenge must be 43 characters of base64url")
	}
	q.Challenge = challenge
	return nil
}

func (q *authRequest) readNonce(nonce string) error {
	if len(nonce) > maxNonce {
		return errInvalidRequest.Describe("nonce is longer than %d bytes", maxNonce)
	}
	if hasControl(nonce) {
		return errInvalidRequest.Describe("nonce contains a control character")
	}
	q.Nonce = nonce
	return nil
}

func (q *authRequest) readPrompt(raw string) error {
	for prompt := range strings.SplitSeq(raw, " ") {
		switch prompt {
		case "":
		case promptNone, promptLogin, promptConsent, promptSelectAccount, promptCreate:
			if !q.asks(prompt) {
				q.Prompts = append(q.Prompts, prompt)
			}
		default:
			return errInvalidRequest.Describe("prompt has an unsupported value")
		}
	}
	if q.asks(promptNone) && len(q.Prompts) > 1 {
		return errInvalidRequest.Describe("prompt none excludes every other prompt")
	}
	return nil
}

func (q *authRequest) readMaxAge(raw string) error {
	if raw == "" {
		if d := q.client.DefaultMaxAge; d != nil {
			age := int64(*d)
			q.MaxAge = &age
		}
		return nil
	}
	age, err := strconv.ParseUint(raw, 10, 31)
	if err != nil || raw[0] == '+' {
		return errInvalidRequest.Describe("max_age must be a non-negative number of seconds")
	}
	seconds := int64(age)
	q.MaxAge = &seconds
	return nil
}

// readHint keeps whom the hint is about. It need not be current, nor issued to
// this client: it identifies, it proves nothing.
func (q *authRequest) readHint(raw string, read hintReader) error {
	if raw == "" {
		return nil
	}
	hint, err := read(raw)
	if err != nil {
		return errInvalidRequest.Describe("id_token_hint is not an ID token of this issuer").Because(err)
	}
	q.HintSubject = hint.Subject
	return nil
}

var localePattern = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$`)

// parseLocales takes what looks like language tags, in order, and ignores the rest.
func parseLocales(raw string) []string {
	var locales []string
	for l := range strings.SplitSeq(raw, " ") {
		if len(locales) < maxUILocales && localePattern.MatchString(l) {
			locales = append(locales, l)
		}
	}
	return locales
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
