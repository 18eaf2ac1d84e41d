package sms

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unique"

	"github.com/nyaruka/phonenumbers"

	"github.com/dialtone-id/dialtone/internal/signing"
)

// Number is a phone number. However it is printed, logged or marshalled it is
// masked; E164 is the one way to its digits. Numbers are comparable with ==.
//
// The digits sit behind a unique.Handle because fmt does not call the methods
// of a value inside an unexported field: there it prints what the handle is, a
// pointer, and not what it points to.
type Number struct{ e164 unique.Handle[string] }

// FromE164 makes a Number of a stored canonical value. It asks for the shape
// of E.164 alone, so that a number outlives changes of numbering plans and of
// the allowed regions; what people type goes through ParseNumber.
func FromE164(s string) (Number, error) {
	if !shapedE164(s) {
		return Number{}, ErrNumberInvalid
	}
	return newNumber(s), nil
}

func newNumber(e164 string) Number { return Number{unique.Make(e164)} }

// E164 is the number in clear, such as "+8613800138000"; "" for the zero Number.
func (n Number) E164() string {
	if n.IsZero() {
		return ""
	}
	return n.e164.Value()
}

// Region is the ISO 3166 code of the number's region, such as "CN", or "ZZ"
// where no numbering plan has it (a test number may be such).
func (n Number) Region() string {
	e164 := n.E164()
	if strings.HasPrefix(e164, "+86") {
		return "CN"
	}
	p, err := phonenumbers.Parse(e164, phonenumbers.UNKNOWN_REGION)
	if err != nil {
		return phonenumbers.UNKNOWN_REGION
	}
	if r := phonenumbers.GetRegionCodeForNumber(p); r != "" {
		return r
	}
	return phonenumbers.UNKNOWN_REGION
}

// Index is what the number is found by in the database: 32 bytes.
func (n Number) Index(v *signing.Vault) []byte { return v.Index("number", []byte(n.E164())) }

// prefixDigits are cut off a number to get the prefix that its neighbours share.
const prefixDigits = 4

// prefixIndex names the block of ten thousand numbers that this one is in, without
// telling it: 8 bytes.
func (n Number) prefixIndex(v *signing.Vault) []byte {
	e164 := n.E164()
	return v.Index("number prefix", []byte(e164[:max(0, len(e164)-prefixDigits)]))[:8]
}

// IsZero says whether there is no number.
func (n Number) IsZero() bool { return n == Number{} }

// Equal lets go-cmp compare numbers.
func (n Number) Equal(other Number) bool { return n == other }

// String is the masked form, such as "+86 138****8000". At least four digits
// are hidden, and the mask does not tell how many.
func (n Number) String() string {
	e164 := n.E164()
	if e164 == "" {
		return "(no number)"
	}
	code := callingCode(e164[1:])
	national := e164[1+len(code):]
	shown := max(0, min(len(national)-4, 7))
	head, tail := shown/2, shown-shown/2
	masked := national[:head] + "****" + national[len(national)-tail:]
	if code == "" {
		return "+" + masked
	}
	return "+" + code + " " + masked
}

// Format prints the mask for every verb and flag.
func (n Number) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, n.String()) }

func (n Number) GoString() string             { return n.String() }
func (n Number) LogValue() slog.Value         { return slog.StringValue(n.String()) }
func (n Number) MarshalText() ([]byte, error) { return []byte(n.String()), nil }
func (n Number) MarshalJSON() ([]byte, error) { return json.Marshal(n.String()) }

// shapedE164 reports whether s is a plus sign and 7 to 15 digits, the first
// not 0 (ITU-T E.164 section 6.1; no assigned number is shorter than 7).
func shapedE164(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	return allDigits(s[1:])
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
