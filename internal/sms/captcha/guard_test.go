package captcha

import (
	"context"
	"errors"
	"testing"

	"github.com/dialtone-id/dialtone/internal/sms"
)

// fakeGate verifies with an error and keeps the levels it was asked for.
type fakeGate struct {
	off    bool
	verify error
	levels []int
}

func (g *fakeGate) Enabled() bool { return !g.off }

func (g *fakeGate) Puzzle(_ context.Context, _ Binding, level int) (Puzzle, error) {
	g.levels = append(g.levels, level)
	return Puzzle{Type: "pow"}, nil
}

func (g *fakeGate) Verify(context.Context, Binding, Answer) error { return g.verify }

func TestGuard(t *testing.T) {
	broken := errors.New("no store")
	answer := Answer{Proof: "x"}
	demand := sms.ErrHumanCheckRequired.With("level", "2")
	for name, c := range map[string]struct {
		gate   *fakeGate // nil for none
		answer Answer
		plain  error // what a send without a human check is answered
		human  error // and with one
		want   error
		puzzle bool
		sends  int
	}{
		"nothing is demanded":            {&fakeGate{}, Answer{}, nil, nil, nil, false, 1},
		"demanded":                       {&fakeGate{}, Answer{}, demand, nil, sms.ErrHumanCheckRequired, true, 1},
		"passed":                         {&fakeGate{}, answer, demand, nil, nil, false, 1},
		"passed, refused all the same":   {&fakeGate{}, answer, demand, sms.ErrTooSoon, sms.ErrTooSoon, false, 1},
		"passed, and demanded again":     {&fakeGate{}, answer, demand, demand, sms.ErrRateLimited, false, 1},
		"failed":                         {&fakeGate{verify: ErrFailed.Because(broken)}, answer, demand, nil, ErrFailed, true, 1},
		"failed, but nothing demanded":   {&fakeGate{verify: ErrFailed}, answer, nil, nil, nil, false, 1},
		"failed, refused anyhow":         {&fakeGate{verify: ErrFailed}, answer, sms.ErrTooSoon, nil, sms.ErrTooSoon, false, 1},
		"judged by nobody":               {&fakeGate{verify: broken}, answer, nil, nil, broken, false, 0},
		"demanded, and none is offered":  {&fakeGate{off: true}, answer, demand, nil, sms.ErrRateLimited, false, 1},
		"demanded, and there is no gate": {nil, answer, demand, nil, sms.ErrRateLimited, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var g Gate
			if c.gate != nil {
				g = c.gate
			}
			sends := 0
			_, puzzle, err := Guard(t.Context(), g, Binding{}, c.answer, func(human bool) (sms.Challenge, error) {
				sends++
				if human {
					return sms.Challenge{ID: "1"}, c.human
				}
				return sms.Challenge{ID: "1"}, c.plain
			})
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (puzzle != nil) != c.puzzle || sends != c.sends {
				t.Errorf("%v, puzzle %v, %d sends", err, puzzle, sends)
			}
			if c.puzzle && (len(c.gate.levels) != 1 || c.gate.levels[0] != 2) {
				t.Errorf("levels %v", c.gate.levels)
			}
		})
	}
}

func TestLevelsAreOneToThree(t *testing.T) {
	for text, want := range map[string]int{"": 1, "0": 1, "1": 1, "2": 2, "3": 3, "9": 3, "-1": 1, "x": 1} {
		if got := levelOf(sms.ErrHumanCheckRequired.With("level", text)); got != want {
			t.Errorf("%q is level %d, want %d", text, got, want)
		}
	}
	if got := levelOf(errors.New("x")); got != 1 {
		t.Errorf("level %d", got)
	}
}
