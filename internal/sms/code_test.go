package sms

import (
	"math"
	"testing"
)

// S-02: six digits, uniform, kept as text.
func TestNewCodeIsSixUniformDigits(t *testing.T) {
	const n = 200_000
	var counts [codeDigits][10]int
	leadingZero := false
	for range n {
		code := newCode()
		if len(code) != codeDigits || !allDigits(code) {
			t.Fatalf("%q", code)
		}
		leadingZero = leadingZero || code[0] == '0'
		for i := range codeDigits {
			counts[i][code[i]-'0']++
		}
	}
	if !leadingZero {
		t.Error("no code begins with 0")
	}
	// Six standard deviations: a false alarm in ten million runs.
	limit := 6 * math.Sqrt(n*0.1*0.9)
	for place, digits := range counts {
		for digit, count := range digits {
			if math.Abs(float64(count)-n/10) > limit {
				t.Errorf("digit %d at place %d came %d times in %d", digit, place, count, n)
			}
		}
	}
}

// T-02: one documented trim, anything else is no code.
func TestFoldCode(t *testing.T) {
	for input, want := range map[string]string{
		"123456": "123456", "000000": "000000", " 123456": "123456", "123 456": "123456", "123456 ": "123456",
		"１２３４５６": "123456", "１２３　４５６": "123456", "123\u00a0456": "123456",
	} {
		if got, ok := foldCode(input); !ok || got != want {
			t.Errorf("%q: %q, %v", input, got, ok)
		}
	}
	for _, input := range []string{
		"", " ", "12345", "1234567", "123456\n", "\t123456", "+123456", "-123456", "0x1E240", "1e5", "12345a", "123-456", "123.456", "null",
		"123456\x00", "\u200b123456", "١٢٣٤٥٦", "𝟏23456", "12345६", "123456,654321", "\xff123456", "123456                                                           ",
	} {
		if got, ok := foldCode(input); ok {
			t.Errorf("%q was taken as %q", input, got)
		}
	}
}
