package config

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the settings.
type Problem struct {
	Where   string `json:"where,omitempty"` // "line 3" of the file, a variable, a flag; "" for a default
	Path    string `json:"path"`            // such as "sms.limits.per_day", "" for the whole
	Message string `json:"message"`         // what is wrong
	Cure    string `json:"cure,omitempty"`  // what to do about it
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Cure != "" {
		b.WriteString("; " + p.Cure)
	}
	if p.Where != "" {
		b.WriteString(" (" + p.Where + ")")
	}
	return b.String()
}

// Invalid is the error for settings that cannot be used. It lists everything
// that is wrong at once.
type Invalid struct {
	Problems []Problem
}

func (e *Invalid) Error() string {
	if len(e.Problems) == 1 {
		return "the configuration cannot be used: " + e.Problems[0].String()
	}
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = "\n  " + p.String()
	}
	return fmt.Sprintf("the configuration cannot be used, %d problems:%s", len(e.Problems), strings.Join(lines, ""))
}

// invalid is nil where there are no problems.
func invalid(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Invalid{Problems: problems}
}

// suggest is a cure that names the candidate most like name, or "" if none is.
func suggest(name string, candidates []string) string {
	// What all variables begin with says nothing; a third of the rest may be wrong.
	name, isVariable := strings.CutPrefix(name, prefix)
	best, bestDistance := "", len(name)/3+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		tail, ok := strings.CutPrefix(c, prefix)
		if ok != isVariable {
			continue
		}
		if d := distance(name, tail); d < bestDistance || d == bestDistance && best == "" {
			best, bestDistance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
