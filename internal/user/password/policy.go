package password

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// Bounds of a new password: characters, and bytes, which bound the work.
const (
	MinLength = 8
	MaxLength = 128
	MaxBytes  = 1024
)

// Why a new password is refused.
var (
	ErrTooShort = fault.New(http.StatusUnprocessableEntity, "password_too_short", "a password has at least 8 characters").With("min", "8")
	ErrTooLong  = fault.New(http.StatusUnprocessableEntity, "password_too_long", "a password has at most 128 characters").With("max", "128")
	ErrCommon   = fault.New(http.StatusUnprocessableEntity, "password_common", "this password is easy to guess, choose another")
)

// Check says whether a password may be chosen: nil, ErrTooShort, ErrTooLong, or
// ErrCommon for one that is in every guesser's list or holds one of the account's
// own identifiers: its number, user name or e-mail address.
func Check(password string, own ...string) error {
	if len(password) > MaxBytes {
		return ErrTooLong
	}
	switch n := utf8.RuneCountInString(password); {
	case n < MinLength:
		return ErrTooShort
	case n > MaxLength:
		return ErrTooLong
	}
	if isCommon(password) || holdsAny(password, own) {
		return ErrCommon
	}
	return nil
}

const (
	ownDigits = 8 // of a number, its last ones: a password with fewer is not about the number
	ownRunes  = 4 // of a name: shorter ones are inside too many words
)

// holdsAny reports whether one of the identifiers is part of the password.
func holdsAny(password string, own []string) bool {
	folded, digits := strings.ToLower(password), digitsOf(password)
	holds := func(part string) bool {
		return utf8.RuneCountInString(part) >= ownRunes && strings.Contains(folded, part)
	}
	for _, id := range own {
		if d := digitsOf(id); len(d) >= ownDigits && strings.Contains(digits, d[len(d)-ownDigits:]) {
			return true
		}
		id = strings.ToLower(id)
		local, _, _ := strings.Cut(id, "@")
		if holds(id) || holds(local) {
			return true
		}
	}
	return false
}

// digitsOf leaves the decimal digits of s alone, in ASCII's form.
func digitsOf(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9':
			return r
		case r >= '０' && r <= '９':
			return r - '０' + '0'
		case unicode.IsDigit(r):
			return '?' // other scripts' digits spell no number of ours
		}
		return -1
	}, s)
}
