package user

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// How long a name that people give themselves may be, in characters as they
// count them, and in bytes: one family of emoji takes 40.
const (
	maxNickname  = 50
	maxName      = 100
	maxNameBytes = 4096
)

// marksOnOne is how many marks a letter may carry; more draw over the lines around.
const marksOnOne = 4

// cleanName makes a typed name fit to be shown: composed (NFC), on one line,
// without characters that nobody sees or that turn the text around them. What
// remains may be empty. Emoji, their joiners, and text of any direction stay, so
// names are shown isolated (<bdi>).
func cleanName(typed string) string {
	var b strings.Builder
	var before rune
	marks := 0
	for _, r := range norm.NFC.String(strings.ToValidUTF8(typed, "")) {
		if unicode.IsSpace(r) || isBlank(r) {
			r = ' '
		}
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		if marks > marksOnOne || !follows(r, before) {
			continue
		}
		b.WriteRune(r)
		before = r
	}
	// What was left out may have stood between a letter and its mark.
	name := strings.TrimFunc(norm.NFC.String(b.String()), func(r rune) bool { return r == ' ' || isInvisible(r) && !isTag(r) })
	if !strings.ContainsFunc(name, func(r rune) bool { return r != ' ' && !isInvisible(r) && !unicode.Is(unicode.M, r) }) {
		return ""
	}
	return name
}

// follows says whether a character may be in a name, after another. Of what
// Unicode calls Other these may: joiners, which emoji and Persian need, marks of
// direction, which turn nothing but their neighbours, and the tags of a flag.
func follows(r, before rune) bool {
	switch {
	case isTag(r):
		return before == blackFlag || isTag(before)
	case r == ' ' || isInvisible(r):
		return r != before
	}
	return !unicode.Is(unicode.C, r)
}

const (
	joiner    = '\u200d'
	blackFlag = 0x1f3f4 // with tags behind it the flag of a part of a country
)

func isInvisible(r rune) bool {
	switch r {
	case '\u200c', joiner, '\u200e', '\u200f', '\u061c':
		return true
	}
	return isTag(r)
}

func isTag(r rune) bool { return r >= 0xe0020 && r <= 0xe007f }

// isBlank is a letter or symbol that looks like a space.
func isBlank(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0':
		return true
	}
	return false
}

// isName is what cleanName makes, of at most so many characters.
func isName(s string, most int) bool {
	return s != "" && len(s) <= maxNameBytes && utf8.ValidString(s) && cleanName(s) == s && characters(s) <= most
}

// characters counts what a person would: letters with their marks, emoji with
// their skin and those joined to them, and flags are one each. It is near to the
// grapheme clusters of Unicode Standard Annex 29 and counts no less for text
// that nobody would write.
func characters(s string) int {
	const most = 10 // emoji in one; the longest that there are have four
	n, joins, joined, flag := 0, 0, false, false
	for _, r := range s {
		regional := r >= 0x1f1e6 && r <= 0x1f1ff
		switch {
		case unicode.Is(unicode.M, r), isInvisible(r), r >= 0x1f3fb && r <= 0x1f3ff: // marks, joiners, colours of skin
		case joined && joins < most-1 && unicode.Is(unicode.So, r): // one emoji with that before the joiner
			joins++
		case regional && flag: // the second half of a flag
			flag = false
			continue
		default:
			n++
			joins, flag = 0, regional
		}
		joined = r == joiner
		if !regional {
			flag = false
		}
	}
	return n
}
