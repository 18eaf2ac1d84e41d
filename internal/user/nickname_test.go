package user

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestNamesAreCleanedOfWhatCannotBeShown(t *testing.T) {
	const family, wales = "👨‍👩‍👧‍👦", "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"
	for typed, want := range map[string]string{
		"小满": "小满", "  Ada \t Lovelace\n": "Ada Lovelace", "Zoe\u0308": "Zoë", "قمر": "قمر", "שָׁלוֹם": norm.NFC.String("שָׁלוֹם"),
		family: family, "👍🏽": "👍🏽", "❤️": "❤️", "🇨🇳🇫🇷": "🇨🇳🇫🇷", wales: wales, "می\u200cخواهم": "می\u200cخواهم",
		"a\u200fb": "a\u200fb", "\u200fقمر\u200f": "قمر", "a\u200d\u200d\u200db": "a\u200db", // marks and joiners stay inside, once
		"a\u202eb": "ab", "\u2066a\u2069": "a", "a\u202a\u202b\u202c\u202db": "ab", // what turns the text around it
		"a\x00b\x1b[31mc": "ab[31mc", "a\u200b\ufeff\u00adb": "ab", "a\ue000b": "ab", "\xffa": "a",
		"a\U000e0041\U000e0042":                  "a", // hidden text
		"e\u202a\u0301":                          "é", // composed after what stood between is gone
		"z" + strings.Repeat("\u0335", 40) + "y": "z" + strings.Repeat("\u0335", marksOnOne) + "y",
		"":                                       "", "  ": "", "\u200d\u200f": "", "\u3164": "", "\u202e": "", "\u0301": "", "\u2800 \u3164": "",
	} {
		if got := cleanName(typed); got != want {
			t.Errorf("%+q is cleaned to %+q, want %+q", typed, got, want)
		}
		if want != "" && !isName(want, maxNickname) {
			t.Errorf("%+q is no name", want)
		}
	}
}

func TestCharactersAreCountedAsPeopleDo(t *testing.T) {
	for text, want := range map[string]int{
		strings.Repeat("👩\u200d", 9) + "👩": 1, strings.Repeat("👩\u200d", 10) + "👩": 2, strings.Repeat("👩\u200d", 584) + "👩": 59,
		"": 0, "a": 1, "小满": 2, "Zoë": 3, "Zoe\u0308": 3, "👍🏽": 1, "👨‍👩‍👧‍👦": 1, "🇨🇳🇫🇷": 2, "🇨": 1, "🇨a🇫": 3, "❤️": 1, "3️⃣": 1,
		"🏴\U000e0067\U000e0062\U000e007f": 1, "👩‍❤️‍💋‍👨x": 2, "a\u200fb": 2,
		"a\u200db\u200dc": 3, // letters are not joined into one
		"क्षि":            2,
	} {
		if got := characters(text); got != want {
			t.Errorf("%q has %d characters, want %d", text, got, want)
		}
	}
}

func TestCleaningTwiceChangesNothing(t *testing.T) {
	runes := rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("e\u0301\u0335\u0958\u093c\u200d\u200f\u202e \u3164👨🏽🏴\U000e0067\U000e007f🇨\ufe0f")))
	rapid.Check(t, func(t *rapid.T) {
		typed := string(rapid.SliceOfN(runes, 0, 60).Draw(t, "typed"))
		name := cleanName(typed)
		if again := cleanName(name); again != name {
			t.Fatalf("%+q, then %+q", name, again)
		}
		if !utf8.ValidString(name) || strings.ContainsAny(name, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\n\x00") {
			t.Fatalf("%+q", name)
		}
		if name != "" && len(name) <= maxNameBytes && !isName(name, len(name)) {
			t.Fatalf("%+q is cleaned but no name", name)
		}
	})
}
