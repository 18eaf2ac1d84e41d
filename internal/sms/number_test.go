package sms

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/dialtone-id/dialtone/internal/fault"
)

func TestParseNumberFoldsDocumentedSpellings(t *testing.T) {
	const want = "+8613800138000"
	for _, input := range []string{
		"13800138000", "+8613800138000", "008613800138000", "8613800138000", "08613800138000",
		"138 0013 8000", "138-0013-8000", " 13800138000 ", "+86 138 0013 8000", "+86-138-0013-8000",
		"138.0013.8000", "(+86) 138 0013 8000", "+86 (138) 0013-8000", "0086 138 0013 8000", "086-138-0013-8000",
		"１３８００１３８０００", "＋８６１３８００１３８０００", "１３８　００１３　８０００", "138\u00a00013\u00a08000", "138‑0013‑8000", "138－0013－8000", "（+86）13800138000",
	} {
		n, err := ParseNumber(input, []string{"CN"})
		if err != nil || n.E164() != want || n.Region() != "CN" {
			t.Errorf("%q: %v, %v", input, n.E164(), err)
		}
	}
}

func TestParseNumberOfOtherRegions(t *testing.T) {
	regions := []string{"US", "CN", "GB", "HK", "SG", "IT", "AR", "MX", "DE"}
	for input, want := range map[string]string{
		"(202) 555-0101":           "+12025550101",
		"202.555.0101":             "+12025550101",
		"1 202 555 0101":           "+12025550101",
		"+1 (202) 555-0101":        "+12025550101",
		"0012025550101":            "+12025550101",
		"+86 138 0013 8000":        "+8613800138000",
		"011 86 138 0013 8000":     "+8613800138000",
		"+44 7400 123456":          "+447400123456",
		"+44 (0) 7400 123456":      "+447400123456",
		"+852 5123 4567":           "+85251234567",
		"+65 8123 4567":            "+6581234567",
		"+39 312 345 6789":         "+393123456789",
		"+54 9 11 2345 6789":       "+5491123456789",
		"+52 222 123 4567":         "+522221234567",
		"+49 1512 3456789":         "+4915123456789",
		"＋１　（202）555－0101":         "+12025550101",
		"+1\u00a0202\u00a05550101": "+12025550101",
	} {
		n, err := ParseNumber(input, regions)
		if err != nil || n.E164() != want {
			t.Errorf("%q: %v, %v", input, n.E164(), err)
		}
	}
}

// S-12, T-03, T-05: whole string, one number, nothing stripped.
func TestParseNumberRefuses(t *testing.T) {
	for _, input := range []string{
		"", " ", "+", "00", "86", "1", "12345", "phone", "null", "1380013800", "138001380000", "12800138000", "23800138000",
		"013800138000", "+86013800138000", "+868613800138000", "+0013800138000", "++8613800138000", "+86+13800138000",
		"13800138000,13800138001", "13800138000;13800138001", "13800138000 13800138001", "13800138000\n13800138001",
		"13800138000、13800138001", "13800138000|13800138001", "13800138000\x0013800138001", "13800138000/13800138001",
		"13800138000\n", "\n13800138000", "\t13800138000", "13800138000\r", "138\u200b00138000", "\u202e13800138000", "\u202d13800138000\u202c",
		"١٣٨٠٠١٣٨٠٠٠", "१३८००१३८०००", "𝟏𝟑𝟖00138000", "¹3800138000", "①3800138000",
		"1380013800x", "138OO138000", "13800138000 ext 5", "13800138000;ext=5", "13800138000#", "*13800138000", "tel:+8613800138000",
		"0x33675FFC0", "1.3800138e10", "-13800138000", "13800138000-", "138--00138000", "((138)00138000", "(138", "138)", "138(-)00138000",
		"13800138000\xff", "\xef\xbb\xbf13800138000", "13800138000'", "13800138000 OR 1=1", "<13800138000>", "%2B8613800138000",
		"138001380000138001380000", strings.Repeat("1", 41), strings.Repeat(" ", 30) + "13800138000", strings.Repeat("9", 10000),
		"01012345678", "+861012345678", "10690000000", "10086", "110", // fixed lines, short numbers
		"14400138000", "1440013800000", "+8614100138000", "1064012345678", // machines (P-14)
		"16100138000", "17900138000", // not assigned
		"+999123456789", "+8613800138000138",
	} {
		n, err := ParseNumber(input, []string{"CN"})
		if !errors.Is(err, ErrNumberInvalid) || !n.IsZero() {
			t.Errorf("%q: %v, %v", input, n.E164(), err)
		}
		if f := fault.From(err); f.Status != 422 || f.Code != "phone_invalid" {
			t.Errorf("%q: %v", input, f)
		}
	}
	for _, input := range []string{"+441212345678", "+448001234567", "+33123456789", "+81312345678", "+541123456789"} {
		if _, err := ParseNumber(input, []string{"GB", "FR", "JP", "AR"}); !errors.Is(err, ErrNumberInvalid) {
			t.Errorf("fixed line or free call %q: %v", input, err)
		}
	}
}

func TestParseNumberRefusesOtherRegions(t *testing.T) {
	for input, regions := range map[string][]string{
		"+12025550101":     {"CN"},
		"+852 5123 4567":   {"CN"},
		"0085251234567":    {"CN"},
		"+8613800138000":   {"US"},
		"+1 416 555 0101":  {"US"},       // Canada shares the calling code
		"+44 7911 123456":  {"GB", "CN"}, // Guernsey's
		"13800138000":      {},
		"+7 701 234 56 78": {"RU"}, // Kazakhstan's
	} {
		n, err := ParseNumber(input, regions)
		if !errors.Is(err, ErrRegionUnsupported) || !n.IsZero() {
			t.Errorf("%q in %v: %v, %v", input, regions, n, err)
		}
	}
}

// The fast path for China must say what the library says about every range.
func TestChineseRangesAgreeWithNumberingPlan(t *testing.T) {
	for prefix := 1000; prefix <= 1999; prefix++ {
		input := fmt.Sprintf("+86%d0138000", prefix)
		p, err := phonenumbers.Parse(input, "ZZ")
		want := err == nil && phonenumbers.IsValidNumber(p) && phonenumbers.GetNumberType(p) == phonenumbers.MOBILE
		if _, err := ParseNumber(input, []string{"CN"}); (err == nil) != want {
			t.Errorf("range %d: parsed %v, the numbering plan says %v", prefix, err == nil, want)
		}
	}
}

func TestTestNumberParsesWhateverItsRegion(t *testing.T) {
	s := pureService(t, Config{Regions: []string{"CN", "HK"}, TestNumbers: map[string]string{
		"+12025550101": "246810", "+8613800138000": "135790", "+8611100000000": "111111", "+99912345678": "222222",
	}})
	for input, want := range map[string]string{
		"+12025550101": "+12025550101", "001 202 555 0101": "+12025550101", "＋1 (202) 555-0101": "+12025550101",
		"138-0013-8000": "+8613800138000", "111 0000 0000": "+8611100000000", "+86 111 0000 0000": "+8611100000000", "+99912345678": "+99912345678",
	} {
		n, err := s.ParseNumber(input)
		if err != nil || n.E164() != want || !s.IsTest(n) {
			t.Errorf("%q: %v, %v", input, n.E164(), err)
		}
	}
	for _, input := range []string{"+12025550102", "11100000001", "12025550101,12025550101"} {
		if n, err := s.ParseNumber(input); err == nil {
			t.Errorf("%q parsed as %v", input, n)
		}
	}
	if n, err := s.ParseNumberIn("5123 4567", "HK"); err != nil || n.E164() != "+85251234567" || s.IsTest(n) {
		t.Errorf("chosen region: %v, %v", n, err)
	}
	if _, err := s.ParseNumberIn("2025550102", "US"); !errors.Is(err, ErrRegionUnsupported) {
		t.Errorf("a region that is not offered: %v", err)
	}
	if got := s.Regions(); !slices.Equal(got, []RegionInfo{{"CN", "+86"}, {"HK", "+852"}}) {
		t.Errorf("Regions() = %v", got)
	}
}

func TestFromE164AsksForShapeAlone(t *testing.T) {
	for _, ok := range []string{"+8613800138000", "+12025550101", "+8614400138000", "+99912345678"} {
		if n, err := FromE164(ok); err != nil || n.E164() != ok {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "+", "13800138000", "+0123456789", "+86138", "+861380013800012345", "+86 13800138000", "+8613800138000\n", "+86138٠0138000"} {
		if n, err := FromE164(bad); err == nil || !n.IsZero() {
			t.Errorf("%q was taken", bad)
		}
	}
	a, _ := FromE164("+8613800138000")
	b, _ := ParseNumber("138 0013 8000", []string{"CN"})
	if a != b || !a.Equal(b) {
		t.Error("two spellings of one number differ")
	}
}

func TestNumberMask(t *testing.T) {
	for e164, want := range map[string]string{
		"+8613800138000": "+86 138****8000", "+12025550101": "+1 202****101", "+6581234567": "+65 81****67", "+85251234567": "+852 51****67",
		"+447400123456": "+44 740****456", "+99912345678": "+999****5678", "+2904123": "+290 ****",
	} {
		n, err := FromE164(e164)
		if err != nil {
			t.Fatal(err)
		}
		if n.String() != want {
			t.Errorf("%s: %s, want %s", e164, n, want)
		}
	}
	if s := (Number{}).String(); s != "(no number)" {
		t.Errorf("zero: %s", s)
	}
}

// S-15: no way of printing shows the digits, not even from inside a struct.
func TestNumberPrintsMasked(t *testing.T) {
	n, err := FromE164("+8613800138000")
	if err != nil {
		t.Fatal(err)
	}
	message := Message{ID: "m", To: n, Purpose: Login, Code: "736251"}
	open := struct {
		Number  Number
		Pointer *Number
		Map     map[Number]Number
		Message Message
	}{n, &n, map[Number]Number{n: n}, message}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%o", "%t", "%p", "%T", "%e", "%U", "%c", "%10.3v", "%!"} {
		fmt.Fprintf(&out, verb+"\n", n)
		fmt.Fprintf(&out, verb+"\n", &n)
		if verb != "%p" { // a mistake of the program that no method can mend, and go vet finds
			fmt.Fprintf(&out, verb+"\n", message)
			fmt.Fprintf(&out, verb+"\n", open)
		}
		fmt.Fprintf(&out, verb+"\n", struct {
			a Number
			b *Number
			c []Number
		}{n, &n, []Number{n}})
	}
	fmt.Fprintln(&out, n, &n, []Number{n}, message)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "number", n, "pointer", &n, "list", []Number{n}, "struct", open.Pointer, "message", message)
	}
	for _, v := range []any{n, &n, message, []Number{n}, struct{ N Number }{n}} {
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		} else {
			t.Error(err)
		}
		if b, err := xml.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	for _, secret := range []string{"13800138000", "0013800", "736251"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s is in the output:\n%s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), "+86 138****8000") {
		t.Error("the mask is not in the output")
	}
}

func TestNewRefusesBadConfiguration(t *testing.T) {
	for name, c := range map[string]Config{
		"region":        {Regions: []string{"XX"}},
		"test number":   {TestNumbers: map[string]string{"13800138000": "246810"}},
		"test code":     {TestNumbers: map[string]string{"+8613800138000": "2468"}},
		"code life":     {CodeTTL: 11 * 60e9},
		"max life":      {CodeTTL: 5 * 60e9, CodeMaxTTL: 60e9},
		"few tries":     {MaxTries: 2},
		"many tries":    {MaxTries: 11},
		"negative":      {PerHour: -1},
		"many a day":    {PerDay: 41},
		"all reserved":  {PerDay: 3, KnownReserve: 3},
		"never stopped": {FailuresTotal: 101},
		"cooldown":      {Cooldown: -1},
		"no address":    {PerAddressHour: -1},
	} {
		_, err := New(c, nil, nil, testVault(t), nil)
		if err == nil {
			t.Errorf("%s was taken", name)
		} else if strings.Contains(err.Error(), "8000") || strings.Contains(err.Error(), "2468") {
			if !strings.Contains(err.Error(), "****8000") && !strings.Contains(err.Error(), "such as +8613800138000") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	s := pureService(t, Config{Regions: []string{"cn", "CN", "us"}})
	if len(s.Regions()) != 2 || s.Regions()[1].ISO != "US" {
		t.Errorf("regions: %v", s.Regions())
	}
}

func BenchmarkParseNumber(b *testing.B) {
	for name, input := range map[string]string{"CN": "138 0013 8000", "CN E164": "+8613800138000", "US": "+12025550101"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseNumber(input, []string{"CN", "US"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
