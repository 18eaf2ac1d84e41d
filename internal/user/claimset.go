package user

import (
	"maps"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// errClaim says which claim was refused; the value is not repeated.
var errClaim = fault.New(http.StatusBadRequest, "invalid_request", "a claim is not acceptable")

// apply returns claims changed by patch: nil removes a claim, anything else
// replaces it after it was checked. Faults: invalid_request for a claim that is
// not a standard one of OpenID Connect Core section 5.1, belongs to the account
// itself (sub, phone_number, updated_at...), or has the wrong type or form.
func apply(claims, patch map[string]any) (map[string]any, error) {
	out := maps.Clone(claims)
	if out == nil {
		out = make(map[string]any, len(patch))
	}
	for name, value := range patch {
		accepts := rule(name)
		switch {
		case accepts == nil:
			return nil, errClaim.Describe("%s is not a claim that can be set", claimName(name))
		case value == nil:
			delete(out, name)
		case !accepts(value):
			return nil, errClaim.Describe("the value of claim %s is not acceptable", name)
		default:
			out[name] = value
		}
	}
	return out, nil
}

// rule is the check of one claim, nil for a name that cannot be set.
func rule(name string) func(any) bool {
	switch name {
	case "middle_name", "gender":
		return text(isLine)
	case "name", "given_name", "family_name", "nickname": // also what people may call themselves
		return func(v any) bool {
			s, is := v.(string)
			return is && (isName(s, maxName) || text(isLine)(v))
		}
	case "preferred_username":
		return text(isUsername)
	case "profile", "picture", "website":
		return text(isWebURL)
	case "email":
		return text(isEmail)
	case "email_verified":
		return func(v any) bool { _, ok := v.(bool); return ok }
	case "birthdate":
		return text(isBirthdate)
	case "zoneinfo":
		return text(zoneName.MatchString)
	case "locale":
		return text(isLocale)
	case "address":
		return isAddress
	}
	return nil
}

// claimName is a name fit for a description: some other caller's text is not.
func claimName(name string) string {
	if len(name) > 40 || !plainName.MatchString(name) {
		return "one of them"
	}
	return name
}

var (
	plainName   = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	zoneName    = regexp.MustCompile(`^[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,3}$`) // the tz database's
	usernameFmt = regexp.MustCompile(`^\p{L}[\p{L}\p{Nd}._-]*$`)                           // a counted class of letters would take megabytes
)

func text(ok func(string) bool) func(any) bool {
	return func(v any) bool {
		s, is := v.(string)
		return is && s != "" && len(s) <= 512 && utf8.ValidString(s) && ok(s)
	}
}

// isLine is text without control characters and without the invisible ones
// that make text read as something else.
func isLine(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.C, r) })
}

// isUsername keeps user names apart from numbers and addresses: one identifier
// must never be taken for another kind. A number has no letters, an address has @.
func isUsername(s string) bool { return utf8.RuneCountInString(s) <= 64 && usernameFmt.MatchString(s) }

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && isLine(s)
}

func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && isLine(s)
}

// isBirthdate is YYYY-MM-DD, 0000-MM-DD without the year, or YYYY alone.
func isBirthdate(s string) bool {
	if _, err := time.Parse("2006", s); err == nil {
		return true
	}
	if rest, ok := strings.CutPrefix(s, "0000-"); ok {
		s = "2000-" + rest // a leap year: February 29 is a birthday
	}
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func isLocale(s string) bool {
	// Core section 5.1 asks for BCP 47 and tolerates the underscore.
	_, err := language.Parse(s)
	return err == nil
}

// isAddress is the object of section 5.1.1.
func isAddress(v any) bool {
	members, ok := v.(map[string]any)
	if !ok || len(members) == 0 {
		return false
	}
	lines := text(func(s string) bool { return isLine(strings.NewReplacer("\r\n", "", "\n", "").Replace(s)) })
	for name, value := range members {
		switch name {
		case "formatted", "street_address":
			if !lines(value) {
				return false
			}
		case "locality", "region", "postal_code", "country":
			if !text(isLine)(value) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
