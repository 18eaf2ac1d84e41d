package user

import (
	"net/netip"
	"strings"
	"testing"
)

func TestDescribeAgentNamesBrowserAndSystem(t *testing.T) {
	for header, want := range map[string]string{
		desktopAgent: "Chrome Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":                    "Edge Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                            "Safari macOS",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                           "Firefox Linux",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":                                   "Chrome ChromeOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1":       "Chrome iPhone",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.50 NetType/WIFI": "WeChat iPhone",
		"Mozilla/5.0 (Linux; Android 15; SM-S9210) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36":       "Samsung Internet Android",
		"Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1 HuaweiBrowser/5.0 Mobile":   "Huawei Browser HarmonyOS",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Safari/537.36 QQBrowser/19.0":                   "QQ Browser Windows",
		"curl/8.5.0": " ", "": " ",
	} {
		browser, system := describeAgent(header)
		if got := browser + " " + system; got != want {
			t.Errorf("%s\nis %q, want %q", header, got, want)
		}
	}
}

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
	if string(qrNetwork(one)) != string(qrNetwork(two)) {
		t.Error("two addresses of a household are two")
	}
	if string(qrNetwork(one)) == string(qrNetwork(netip.MustParseAddr("2001:db8:0:1::1"))) {
		t.Error("two households are one")
	}
}
