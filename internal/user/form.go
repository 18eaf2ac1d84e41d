package user

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/dialtone-id/dialtone/internal/fault"
)

const formMaxBytes = 16 << 10

// What a form can be refused for before anybody reads its fields.
var (
	errMalformed    = fault.New(http.StatusBadRequest, "invalid_request", "the form is malformed")
	errFormTooLarge = fault.New(http.StatusRequestEntityTooLarge, "request_too_large", "the form is too large")
	errMediaType    = fault.New(http.StatusUnsupportedMediaType, "unsupported_media_type", "send the form as application/x-www-form-urlencoded")
)

// parse returns the fields of a POST's body or of any other request's query,
// never mixed. Every field has one value (RFC 6749 section 3.1 asks that of
// authorize requests; a page that sends two is no page of ours), of valid UTF-8
// without NUL. Fields that nobody asks for are ignored. A form that was read is
// left in r.PostForm, where error pages look for the step they belong to.
func parse(r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		return fields(r.URL.RawQuery)
	}
	if r.PostForm != nil {
		return r.PostForm, nil // read before, by this very function
	}
	if err := checkMediaType(r.Header["Content-Type"]); err != nil {
		return nil, err
	}
	// Without a ResponseWriter MaxBytesReader cannot close the connection after
	// an oversized body; the server's own limits do that.
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, formMaxBytes))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, errFormTooLarge
		}
		return nil, errMalformed.Because(err)
	}
	if r.PostForm, err = fields(string(body)); err != nil {
		return nil, err
	}
	return r.PostForm, nil
}

func checkMediaType(headers []string) error {
	if len(headers) != 1 {
		return errMediaType
	}
	kind, params, err := mime.ParseMediaType(headers[0])
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return errMediaType
	}
	if c, ok := params["charset"]; ok && !strings.EqualFold(c, "utf-8") {
		return errMediaType
	}
	return nil
}

func fields(encoded string) (url.Values, error) {
	form, err := url.ParseQuery(encoded)
	if err != nil {
		// The parser's message quotes the field, which may be a number.
		return nil, errMalformed.Describe("a field is not encoded correctly")
	}
	for name, values := range form {
		if len(values) != 1 {
			return nil, errMalformed.Describe("a field was sent twice")
		}
		if bad(name) || bad(values[0]) {
			return nil, errMalformed.Describe("a field is not valid text")
		}
	}
	return form, nil
}

func bad(text string) bool { return !utf8.ValidString(text) || strings.ContainsRune(text, 0) }
