package sms

import (
	"slices"
	"testing"
	"unicode"
)

var fuzzRegions = [][]string{
	{"CN"}, {"US", "CN", "CA"}, {"GB", "HK", "MO", "TW", "SG", "JP"}, {"MX", "AR", "BR", "IT", "DE", "RU", "KZ", "FR", "ID", "TH", "VA", "SM"},
}

// FuzzParseNumber: whatever is typed, parsing does not panic, what it accepts is
// one canonical number of an allowed region, and that number's canonical form
// parses to itself.
func FuzzParseNumber(f *testing.F) {
	for i, s := range []string{
		"13800138000", "+8613800138000", "0086 138-0013-8000", "8613800138000", "１３８００１３８０００", "(202) 555-0101", "+1 202 555 0101",
		"+44 (0) 7400 123456", "+39 312 345 6789", "+52 1 222 123 4567", "011 52 222 123 4567", "+5491123456789", "\u202e13800138000",
		"13800138000,13800138001", "٠١٢", "+7 701 234 5678", "+0", "00", "\xff", "+390669812345", "1-800-FLOWERS", "+86 86 13800138000",
	} {
		f.Add(s, uint8(i))
	}
	f.Fuzz(func(t *testing.T, input string, which uint8) {
		regions := fuzzRegions[int(which)%len(fuzzRegions)]
		n, err := ParseNumber(input, regions)
		if err != nil {
			if !n.IsZero() {
				t.Fatalf("%q: a number beside %v", input, err)
			}
			return
		}
		e164 := n.E164()
		if !shapedE164(e164) {
			t.Fatalf("%q: %q is not E.164", input, e164)
		}
		if !slices.Contains(regions, n.Region()) {
			t.Fatalf("%q: %q is of %s", input, e164, n.Region())
		}
		again, err := ParseNumber(e164, regions)
		if err != nil || again != n {
			t.Fatalf("%q: %q parses to %q, %v", input, e164, again.E164(), err)
		}
		stored, err := FromE164(e164)
		if err != nil || stored != n {
			t.Fatalf("%q: %q is stored as %q, %v", input, e164, stored.E164(), err)
		}
		for _, r := range input {
			if unicode.IsControl(r) || unicode.IsLetter(r) {
				t.Fatalf("%q was accepted", input)
			}
		}
		_ = n.String()
	})
}

// FuzzFoldCode: what is accepted is six ASCII digits and folds to itself.
func FuzzFoldCode(f *testing.F) {
	for _, s := range []string{"123456", " 123 456", "１２３４５６", "+123456", "0x1E240", "1e5", "12345", "1234567", "123456\n", "", "null", "٠٠٠٠٠٠"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, input string) {
		code, ok := foldCode(input)
		if !ok {
			return
		}
		if len(code) != 6 || !allDigits(code) {
			t.Fatalf("%q folds to %q", input, code)
		}
		if again, ok := foldCode(code); !ok || again != code {
			t.Fatalf("%q folds to %q and that to %q", input, code, again)
		}
	})
}
