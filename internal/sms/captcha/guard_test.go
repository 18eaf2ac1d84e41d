package captcha

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/dialtone-id/dialtone/internal/sms"
)

// fakeGate verifies with an error and keeps the levels it was asked for.
type fakeGate struct {
	off    bool
	verify error
	level  int // that is passed, 2 if it is none
	levels []int
}

func (g *fakeGate) Enabled() bool { return !g.off }

func (g *fakeGate) Puzzle(_ context.Context, _ Binding, level int) (Puzzle, error) {
	g.levels = append(g.levels, level)
	return Puzzle{Type: "pow"}, nil
}

func (g *fakeGate) Verify(context.Context, Binding, Answer) (int, error) {
	if g.verify != nil {
		return 0, g.verify
	}
	return cmp.Or(g.level, 2), nil
}

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
		"too easy":                       {&fakeGate{level: 1}, answer, demand, demand, sms.ErrHumanCheckRequired, true, 1},
		"too easy, but not demanded":     {&fakeGate{level: 1}, answer, nil, nil, nil, false, 1},
		"harder than demanded":           {&fakeGate{level: 3}, answer, demand, demand, sms.ErrRateLimited, false, 1},
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
			_, puzzle, err := Guard(t.Context(), g, Binding{}, c.answer, func(human int) (sms.Challenge, error) {
				sends++
				if human > 0 {
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

// A puzzle that was made for a lower level, solved for its flow and number, sends
// nothing where a higher one is asked for; a picture stands for every level.
func TestAnEasyPuzzleDoesNotPassForAHardOne(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	sent := 0
	demand := func(least int) func(int) (sms.Challenge, error) {
		return func(human int) (sms.Challenge, error) {
			if human < least {
				return sms.Challenge{}, sms.ErrHumanCheckRequired.With("level", strconv.Itoa(least))
			}
			sent++
			return sms.Challenge{ID: "1"}, nil
		}
	}
	easy := f.puzzle(t, someone(), 1)
	_, hard, err := Guard(t.Context(), f, someone(), Answer{Proof: work(t, easy).proof(t)}, demand(2))
	if !errors.Is(err, sms.ErrHumanCheckRequired) || hard == nil || sent != 0 {
		t.Fatalf("%v, puzzle %v, %d sent", err, hard, sent)
	}
	if c := challengeOf(t, *hard); c.MaxNumber != maxNumber(2) {
		t.Errorf("the next puzzle has %d numbers", c.MaxNumber)
	}
	if _, _, err := Guard(t.Context(), f, someone(), Answer{Proof: work(t, *hard).proof(t)}, demand(2)); err != nil || sent != 1 {
		t.Errorf("%v, %d sent", err, sent)
	}
	ticket := f.puzzle(t, someone(), 1).Ticket
	if _, _, err := Guard(t.Context(), f, someone(), Answer{Ticket: ticket, Typed: typed(t, f, ticket)}, demand(3)); err != nil || sent != 2 {
		t.Errorf("with a picture: %v, %d sent", err, sent)
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
