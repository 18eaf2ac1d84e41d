package oauth

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// Limits of what is parsed at all.
const (
	maxFormBytes      = 64 << 10 // body of a form
	maxAuthorizeBytes = 8 << 10  // all parameters of an authorize or logout request
	maxParams         = 100
)

var (
	errInvalidRequest   = fault.New(http.StatusBadRequest, "invalid_request", "the request is malformed")
	errTooLarge         = fault.New(http.StatusRequestEntityTooLarge, "request_too_large", "the request is too large")
	errFormType         = errInvalidRequest.Describe("the request body must be application/x-www-form-urlencoded") // 400, RFC 6749 section 5.2
	errMethodNotAllowed = fault.New(http.StatusMethodNotAllowed, "method_not_allowed", "the method is not allowed here")
)

// params are the parameters of one request. Each was sent at most once; one sent
// without a value is like one that was not sent (RFC 6749 sections 3.1 and 3.2).
type params map[string]string

func (p params) get(name string) string { return p[name] }

// form is what the engine takes.
func (p params) form() url.Values {
	f := make(url.Values, len(p))
	for name, value := range p {
		if value != "" {
			f[name] = []string{value}
		}
	}
	return f
}

// parseParams reads application/x-www-form-urlencoded text. Go's own parser
// keeps duplicates for its caller to take the first, which is how parameter
// pollution begins; here a name that comes twice is refused, whatever its values.
func parseParams(raw string) (params, error) {
	p := make(params)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := unescape(rawName)
		if err != nil {
			return nil, err
		}
		value, err := unescape(rawValue)
		if err != nil {
			return nil, err
		}
		if _, seen := p[name]; seen {
			return nil, errInvalidRequest.Describe("a parameter was sent more than once")
		}
		if len(p) == maxParams {
			return nil, errInvalidRequest.Describe("the request has more than %d parameters", maxParams)
		}
		p[name] = value
	}
	return p, nil
}

func unescape(raw string) (string, error) {
	s, err := url.QueryUnescape(raw)
	if err != nil {
		return "", errInvalidRequest.Describe("a parameter has a malformed percent escape")
	}
	if !utf8.ValidString(s) {
		return "", errInvalidRequest.Describe("a parameter is not valid UTF-8")
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", errInvalidRequest.Describe("a parameter contains a NUL character")
	}
	return s, nil
}

// queryParams reads the parameters of a GET request.
func queryParams(r *http.Request, limit int) (params, error) {
	if len(r.URL.RawQuery) > limit {
		return nil, errInvalidRequest.Describe("the parameters exceed %d bytes", limit)
	}
	return parseParams(r.URL.RawQuery)
}

// formParams reads the parameters of a POST request: a form in the body and
// nothing in the URL (OAuth 2.1 section 3.2: credentials never travel in a URL).
func formParams(w http.ResponseWriter, r *http.Request, limit int) (params, error) {
	if r.URL.RawQuery != "" {
		return nil, errInvalidRequest.Describe("parameters belong in the request body, not in the URL")
	}
	if !mediaTypeIs(r.Header, "application/x-www-form-urlencoded") {
		return nil, errFormType
	}
	body, err := readBody(w, r, limit)
	if err != nil {
		return nil, err
	}
	return parseParams(string(body))
}

// frontParams reads an authorize or logout request, which may be either.
func frontParams(w http.ResponseWriter, r *http.Request) (params, error) {
	if r.Method == http.MethodPost {
		return formParams(w, r, maxAuthorizeBytes)
	}
	return queryParams(r, maxAuthorizeBytes)
}

func readBody(w http.ResponseWriter, r *http.Request, limit int) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, errTooLarge.Describe("the request body exceeds %d bytes", limit)
	}
	if err != nil {
		return nil, errInvalidRequest.Describe("the request body could not be read").Because(err)
	}
	return body, nil
}

// mediaTypeIs says whether there is exactly one Content-Type and it is want,
// in UTF-8 where it names a charset, with no content coding on top.
func mediaTypeIs(h http.Header, want string) bool {
	if len(h.Values("Content-Type")) != 1 || h.Get("Content-Encoding") != "" {
		return false
	}
	got, attributes, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || got != want {
		return false
	}
	charset, named := attributes["charset"]
	return !named || strings.EqualFold(charset, "utf-8")
}

// allow answers methods other than those listed with 405 and Allow.
func allow(h http.HandlerFunc, refuse func(http.ResponseWriter, *http.Request, error), methods ...string) http.HandlerFunc {
	list := strings.Join(methods, ", ")
	return func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(methods, r.Method) {
			h(w, r)
			return
		}
		w.Header().Set("Allow", list)
		refuse(w, r, errMethodNotAllowed)
	}
}
