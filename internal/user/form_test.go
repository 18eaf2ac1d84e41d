package user

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/fault"
)

func TestFormsAreReadStrictly(t *testing.T) {
	const kind = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		body   string
		kinds  []string
		status int // 0 for a form that is taken
	}{
		"plain":              {"phone=1&agree=1", []string{kind}, 0},
		"charset":            {"phone=1", []string{kind + "; charset=UTF-8"}, 0},
		"empty":              {"", []string{kind}, 0},
		"unknown field":      {"phone[]=1&x=y", []string{kind}, 0},
		"no content type":    {"phone=1", nil, 415},
		"two content types":  {"phone=1", []string{kind, kind}, 415},
		"JSON":               {`{"phone":"1"}`, []string{"application/json"}, 415},
		"multipart":          {"phone=1", []string{"multipart/form-data; boundary=x"}, 415},
		"plain text":         {"phone=1", []string{"text/plain"}, 415},
		"other charset":      {"phone=1", []string{kind + "; charset=gbk"}, 415},
		"broken media type":  {"phone=1", []string{kind + "; ="}, 415},
		"twice":              {"phone=1&phone=2", []string{kind}, 400},
		"twice the same":     {"phone=1&phone=1", []string{kind}, 400},
		"twice, encoded":     {"phone=1&%70hone=1", []string{kind}, 400},
		"unknown twice":      {"x=1&x=1", []string{kind}, 400},
		"bad escape":         {"phone=%zz", []string{kind}, 400},
		"semicolon":          {"phone=1;agree=1", []string{kind}, 400},
		"NUL":                {"phone=1%00", []string{kind}, 400},
		"NUL in a name":      {"ph%00one=1", []string{kind}, 400},
		"bad UTF-8":          {"phone=%ff", []string{kind}, 400},
		"bad UTF-8 in names": {"%c3=1", []string{kind}, 400},
		"just fits":          {"x=" + strings.Repeat("a", formMaxBytes-2), []string{kind}, 0},
		"one too many":       {"x=" + strings.Repeat("a", formMaxBytes-1), []string{kind}, 413},
		"10 MB":              {strings.Repeat("x", 10<<20), []string{kind}, 413},
	} {
		r := httptest.NewRequest(http.MethodPost, "/login?phone=query", strings.NewReader(c.body))
		r.Header["Content-Type"] = c.kinds
		form, err := parse(r)
		if c.status == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			want, _ := url.ParseQuery(c.body)
			if diff := cmp.Diff(want, form); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			continue
		}
		if err == nil || fault.From(err).Status != c.status {
			t.Errorf("%s: got %v, want status %d", name, err, c.status)
		}
	}
}

func TestQueriesAreReadStrictly(t *testing.T) {
	for query, ok := range map[string]bool{
		"": true, "flow=a&lang=en": true, "flow=a&flow=a": false, "flow=%ff": false, "flow=%zz": false, "flow=a%00": false, "a;b": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/login", nil)
		r.URL.RawQuery = query
		if _, err := parse(r); (err == nil) != ok {
			t.Errorf("%q: %v", query, err)
		}
	}
}

// FuzzParse holds that no body is worth more than a 4xx, and that what is taken
// has one value of valid text for every field.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "phone=1", "a=1&a=2", "%", "a=%00", "=&=", "+=+", "a=%F0%9F%98%80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		form, err := parse(r)
		if err != nil {
			if s := fault.From(err).Status; s < 400 || s > 499 {
				t.Fatalf("status %d: %v", s, err)
			}
			return
		}
		for name, values := range form {
			if len(values) != 1 || bad(name) || bad(values[0]) {
				t.Fatalf("took %q = %q", name, values)
			}
		}
	})
}
