package captcha

import (
	"context"
	"errors"
	"strconv"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// Gate is the part of a Checker that Guard needs.
type Gate interface {
	Enabled() bool
	Puzzle(ctx context.Context, b Binding, level int) (Puzzle, error)
	Verify(ctx context.Context, b Binding, a Answer) error
}

// Guard sends a message with the answer that was brought, if one was. An answer
// that does not hold is the same as none: the message may go out without. If it
// may not, the Puzzle is what has to be solved before the next attempt, and the
// error is ErrFailed for an answer that did not hold, else
// sms.ErrHumanCheckRequired. Where no check can be offered (g is nil or not
// enabled) that is the plain refusal sms.ErrRateLimited.
func Guard(ctx context.Context, g Gate, b Binding, a Answer, send func(human bool) (sms.Challenge, error)) (sms.Challenge, *Puzzle, error) {
	offered := g != nil && g.Enabled()
	refused, human := sms.ErrHumanCheckRequired, false
	if offered && a != (Answer{}) {
		switch err := g.Verify(ctx, b, a); {
		case err == nil:
			human = true
		case errors.Is(err, ErrFailed):
			refused = ErrFailed
		default:
			return sms.Challenge{}, nil, err
		}
	}
	challenge, err := send(human)
	if !errors.Is(err, sms.ErrHumanCheckRequired) {
		return challenge, nil, err
	}
	if human || !offered { // asking again would not help
		return sms.Challenge{}, nil, sms.ErrRateLimited.Because(err)
	}
	puzzle, err := g.Puzzle(ctx, b, levelOf(err))
	if err != nil {
		return sms.Challenge{}, nil, err
	}
	return sms.Challenge{}, &puzzle, refused
}

// levelOf is how hard a check err asks for, 1 to 3.
func levelOf(err error) int {
	var f *fault.Error
	if !errors.As(err, &f) {
		return 1
	}
	level, _ := strconv.Atoi(f.Params["level"]) // 0 for none
	return min(max(level, 1), 3)
}
