package browsertest

import (
	"fmt"
	"testing"
)

// Whatever goes wrong where two things meet, the language and the theme say, is met.
func TestViewsMeetEveryPair(t *testing.T) {
	met := func(rows []View) map[string]bool {
		pairs := map[string]bool{}
		for _, v := range rows {
			row := []any{v.Script, v.Lang, v.Width, v.Theme}
			for i, a := range row {
				for _, b := range row[i+1:] {
					pairs[fmt.Sprint(a, " ", b)] = true
				}
			}
		}
		return pairs
	}
	for name, c := range map[string]struct {
		rows []View
		want int
	}{
		"all": {Views(), 6 * 4}, "with script": {ViewsOf(true), 3*4 + 3*2}, "without": {ViewsOf(false), 3*4 + 3*2},
	} {
		if got := met(c.rows); len(got) != c.want {
			t.Errorf("%s: %d pairs, want %d: %v", name, len(got), c.want, got)
		}
	}
}
