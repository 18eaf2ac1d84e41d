package password

import (
	_ "embed"
	"strings"
	"sync"
)

// A guesser does not try a list of passwords but of parts and the ways to join
// them: woaini1314, Password2024!, qwer1234, 1qaz2wsx. So the list here is of
// parts too, and the rest is rules.
//
// A password is cut into known parts and single characters in the cheapest way.
// It is common if that costs no more than maxCost. Eight unrelated digits cost 8,
// eight unrelated letters 16.
const (
	maxCost    = 6
	partCost   = 2 // a word of the list, a walk over the keyboard, a year, a date, one character again and again
	simpleCost = 1 // a digit or a symbol by itself
	letterCost = 2 // anything else by itself
)

const (
	minWord = 4
	maxWord = 16
	minWalk = 3
)

//go:embed words.txt
var wordList string

// words are the parts that people make passwords of: words, names, and whole
// passwords, in lower case.
var words = sync.OnceValue(func() map[string]bool {
	set := make(map[string]bool, 2000)
	for line := range strings.Lines(wordList) {
		for _, w := range strings.Fields(line) {
			set[w] = true
		}
	}
	return set
})

// walks are what fingers and habits write in a row; each is read in both
// directions. The shifted characters of a row count as the plain ones.
var walks = [...]string{
	"01234567890", "abcdefghijklmnopqrstuvwxyz",
	"`1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/", "qazwsxedcrfvtgbyhnujmikolp",
	"1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "a1b2c3d4e5f6g7", "1a2b3c4d5e6f7g",
	"qawsedrftgyhujikolp", "147258369", "159357", "789456123", "741852963", "24681012", "13579",
}

// isCommon reports whether a password is made of the parts that are tried first.
func isCommon(password string) bool {
	runes := []rune(strings.ToLower(password))
	if len(runes) > MaxLength || len(runes) == 0 {
		return false
	}
	runes = once(runes)
	leet, keys := make([]rune, len(runes)), make([]rune, len(runes))
	for i, r := range runes {
		leet[i], keys[i] = unleet(r), unshift(r)
	}
	// cost[i] is the least for what comes before position i.
	cost := make([]int, len(runes)+1)
	for i := range runes {
		cost[i+1] = cost[i] + single(runes[i])
		for start := range i {
			if cost[start]+partCost < cost[i+1] && isPart(runes[start:i+1], leet[start:i+1], keys[start:i+1]) {
				cost[i+1] = cost[start] + partCost
			}
		}
	}
	return cost[len(runes)] <= maxCost
}

// once is a text that is written several times over, such as abcabcabc, once.
func once(runes []rune) []rune {
	for unit := 1; unit <= len(runes)/2; unit++ {
		if len(runes)%unit != 0 {
			continue
		}
		again := true
		for i := unit; i < len(runes) && again; i++ {
			again = runes[i] == runes[i-unit]
		}
		if again {
			return runes[:unit]
		}
	}
	return runes
}

func single(r rune) int {
	if r >= 'a' && r <= 'z' || r > '~' {
		return letterCost
	}
	return simpleCost
}

func isPart(plain, leet, keys []rune) bool {
	if len(plain) < minWalk {
		return false
	}
	return isRun(plain) || isWalk(keys) || isDate(plain) || isWord(plain) || isWord(leet)
}

func isWord(runes []rune) bool {
	return len(runes) >= minWord && len(runes) <= maxWord && words()[string(runes)]
}

// isRun reports one character again and again.
func isRun(runes []rune) bool {
	for _, r := range runes {
		if r != runes[0] {
			return false
		}
	}
	return true
}

func isWalk(keys []rune) bool {
	if len(keys) > 40 {
		return false
	}
	text, back := string(keys), reversed(keys)
	for _, w := range walks {
		if strings.Contains(w, text) || strings.Contains(w, back) {
			return true
		}
	}
	return false
}

func reversed(runes []rune) string {
	out := make([]rune, len(runes))
	for i, r := range runes {
		out[len(runes)-1-i] = r
	}
	return string(out)
}

// isDate reports a year, and a day with or without one: 1987, 19870214, 14021987,
// 02141987, 870214, 1987-02-14.
func isDate(runes []rune) bool {
	if len(runes) > 10 {
		return false
	}
	var d []int
	for i, r := range runes {
		switch {
		case r >= '0' && r <= '9':
			d = append(d, int(r-'0'))
		case i == 0 || i == len(runes)-1 || !strings.ContainsRune("-./", r):
			return false
		}
	}
	two := func(i int) int { return 10*d[i] + d[i+1] }
	year := func(i int) bool { y := 100*two(i) + two(i+2); return y >= 1940 && y <= 2039 }
	day := func(m, d int) bool { return m >= 1 && m <= 12 && d >= 1 && d <= 31 }
	switch len(d) {
	case 4:
		return year(0)
	case 6:
		return day(two(2), two(4)) || day(two(0), two(2)) || day(two(2), two(0))
	case 8:
		return year(0) && day(two(4), two(6)) || year(4) && (day(two(0), two(2)) || day(two(2), two(0)))
	}
	return false
}

// unleet reads the characters that stand for letters in words.
func unleet(r rune) rune {
	switch r {
	case '@', '4':
		return 'a'
	case '3':
		return 'e'
	case '1', '!':
		return 'i'
	case '0':
		return 'o'
	case '$', '5':
		return 's'
	case '7':
		return 't'
	}
	return r
}

// unshift is the key of a symbol on the keyboard that most people have.
func unshift(r rune) rune {
	const shifted, plain = `~!@#$%^&*()_+{}:"<>?|`, "`1234567890-=[];',./\\"
	if i := strings.IndexRune(shifted, r); i >= 0 {
		return rune(plain[i])
	}
	return r
}
