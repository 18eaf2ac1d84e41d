package user

import (
	"net/netip"
	"strings"
	"testing"
)

func TestReadablePrefix(t *testing.T) {
	for address, want := range map[string]string{
		"198.51.100.7": "198.51.100.*", "198.51.10.70": "198.51.10.*", "2001:db8:1:2::3": "2001:db8:1:*", "::ffff:198.51.100.7": "198.51.100.*",
	} {
		if got := readablePrefix(prefixOf(netip.MustParseAddr(address))); got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
	if got := readablePrefix(prefixOf(netip.Addr{})); got != "" {
		t.Errorf("an unknown address is %q", got)
	}
}

func TestCodesToTypeAreDrawnEvenly(t *testing.T) {
	const codes = 20_000
	count := map[rune]int{}
	seen := map[string]bool{}
	for range codes {
		code := newQRCode()
		seen[code] = true
		if readQRCode(code) != code {
			t.Fatalf("%s is no code", code)
		}
		for _, letter := range code {
			count[letter]++
		}
	}
	if len(count) != len(qrAlphabet) || strings.ContainsAny(qrAlphabet, "AEIOUY0123456789") {
		t.Fatalf("letters: %v", count)
	}
	if len(seen) < codes-2 {
		t.Errorf("%d of %d codes came twice", codes-len(seen), codes)
	}
	for letter, n := range count { // 8000 each, standard deviation 87
		if n < 7400 || n > 8600 {
			t.Errorf("%c came %d times", letter, n)
		}
	}
}

func TestOneIPv6NetworkIsOneAddress(t *testing.T) {
	one, two := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff")
	if string(networkOf(one)) != string(networkOf(two)) {
		t.Error("two addresses of a household are two")
	}
	if string(networkOf(one)) == string(networkOf(netip.MustParseAddr("2001:db8:0:1::1"))) {
		t.Error("two households are one")
	}
}
