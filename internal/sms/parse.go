package sms

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// ParseNumber reads a number as people type and paste it and returns its one
// canonical form. regions are the allowed ones, ISO 3166; a national spelling
// belongs to the first.
//
// Folded, and nothing else: full-width digits and plus sign; spaces (also
// no-break and ideographic), hyphens and dots between digits; one level of
// brackets; a leading 00 for the plus sign; for China also a leading 86 or 086
// without one. Anything else anywhere in the input is refused rather than
// stripped, so one input is never two numbers and one number never has two
// budgets.
//
// Faults: ErrNumberInvalid for what is no number or cannot receive a text
// (fixed lines, short numbers, machines), ErrRegionUnsupported.
func ParseNumber(input string, regions []string) (Number, error) {
	if len(regions) == 0 {
		return Number{}, ErrRegionUnsupported
	}
	s, ok := fold(input)
	if !ok {
		return Number{}, ErrNumberInvalid
	}
	return parse(s, regions[0], regions)
}

// ParseNumber is the function of that name with the service's regions. A test
// number is accepted whether or not its region is.
func (s *Service) ParseNumber(input string) (Number, error) { return s.ParseNumberIn(input, "") }

// ParseNumberIn is ParseNumber for a person who chose a region (ISO 3166) from
// Regions; "" means the first.
func (s *Service) ParseNumberIn(input, region string) (Number, error) {
	folded, ok := fold(input)
	if !ok {
		return Number{}, ErrNumberInvalid
	}
	if region == "" && len(s.regions) > 0 {
		region = s.regions[0]
	}
	if n, ok := s.testNumber(folded, region); ok {
		return n, nil
	}
	if !slices.Contains(s.regions, region) {
		return Number{}, ErrRegionUnsupported
	}
	return parse(folded, region, s.regions)
}

// maxSpelling bounds what is looked at; the longest documented spelling of the
// longest number is shorter.
const maxSpelling = 40

// spelling is a folded input.
type spelling struct {
	digits        string
	international bool // it began with a plus sign or 00
}

// fold reduces an input to its digits; false if anything but the documented
// punctuation stands between them.
func fold(input string) (spelling, bool) {
	if len(input) > maxSpelling*utf8.UTFMax || utf8.RuneCountInString(input) > maxSpelling {
		return spelling{}, false
	}
	var (
		buf          [20]byte // 00, a calling code and 15 digits
		digits       = buf[:0]
		plus, inside bool
		joined       bool // a hyphen or dot waits for its next digit
	)
	for _, r := range input {
		if r >= '０' && r <= '９' {
			r = r - '０' + '0'
		}
		switch {
		case r >= '0' && r <= '9':
			if len(digits) == cap(digits) {
				return spelling{}, false
			}
			digits = append(digits, byte(r))
			joined = false
		case r == ' ' || r == '\u00a0' || r == '\u3000':
		case (r == '+' || r == '＋') && !plus && len(digits) == 0:
			plus = true
		case strings.ContainsRune("-.‐‑－", r) && len(digits) > 0 && !joined:
			joined = true
		case (r == '(' || r == '（') && !inside && !joined:
			inside = true
		case (r == ')' || r == '）') && inside && !joined:
			inside = false
		default:
			return spelling{}, false
		}
	}
	if len(digits) == 0 || inside || joined {
		return spelling{}, false
	}
	s := spelling{string(digits), plus}
	if !plus && strings.HasPrefix(s.digits, "00") {
		s = spelling{s.digits[2:], true}
	}
	return s, true
}

// parse decides about a folded spelling; national ones belong to region.
func parse(s spelling, region string, regions []string) (Number, error) {
	if !s.international {
		if region == "CN" {
			return parseCN(chineseNational(s.digits), regions)
		}
		return parseByPlan(s.digits, region, regions)
	}
	if !shapedE164("+" + s.digits) {
		return Number{}, ErrNumberInvalid
	}
	code := callingCode(s.digits)
	switch {
	case code == "":
		return Number{}, ErrNumberInvalid
	case !offered(code, regions): // the numbering plans of regions that are not offered stay cold
		return Number{}, ErrRegionUnsupported
	case code == "86":
		return parseCN(s.digits[2:], regions)
	}
	return parseByPlan("+"+s.digits, phonenumbers.UNKNOWN_REGION, regions)
}

// chineseNational takes off a calling code that was written without a plus
// sign. No Chinese mobile number begins with 86 or 0, so nothing is ambiguous.
func chineseNational(digits string) string {
	if rest, ok := strings.CutPrefix(digits, "086"); ok && len(rest) == 11 {
		return rest
	}
	if rest, ok := strings.CutPrefix(digits, "86"); ok && len(rest) == 11 {
		return rest
	}
	return digits
}

// parseCN decides without the library where the answer is known: mobile
// numbers are 1[3-9] and nine more digits, and most ranges are in use whole.
// The library decides about the others, among them those of machines.
func parseCN(national string, regions []string) (Number, error) {
	if len(national) != 11 || national[0] != '1' || national[1] < '3' || !allDigits(national) {
		return Number{}, ErrNumberInvalid
	}
	if !slices.Contains(regions, "CN") {
		return Number{}, ErrRegionUnsupported
	}
	e164 := "+86" + national
	switch third := national[2]; national[1] {
	case '3', '8':
		return newNumber(e164), nil
	case '5', '9':
		if third != '4' {
			return newNumber(e164), nil
		}
	case '7':
		if third != '4' && third != '9' {
			return newNumber(e164), nil
		}
	}
	return parseByPlan(e164, phonenumbers.UNKNOWN_REGION, regions)
}

// parseByPlan asks the library, which knows every region's numbering plan.
func parseByPlan(s, region string, regions []string) (Number, error) {
	p, err := phonenumbers.Parse(s, region)
	if err != nil || !phonenumbers.IsValidNumber(p) {
		return Number{}, ErrNumberInvalid
	}
	if !slices.Contains(regions, phonenumbers.GetRegionCodeForNumber(p)) {
		return Number{}, ErrRegionUnsupported
	}
	switch phonenumbers.GetNumberType(p) {
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
	default: // no text reaches fixed lines, toll-free or premium numbers, pagers...
		return Number{}, ErrNumberInvalid
	}
	e164 := phonenumbers.Format(p, phonenumbers.E164)
	if !shapedE164(e164) {
		return Number{}, ErrNumberInvalid
	}
	return newNumber(e164), nil
}
