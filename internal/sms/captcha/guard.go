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
	Verify(ctx context.Context, b Binding, a Answer) (level int, err error)
}

// Guard sends a message with the level of the answer that was brought, 0 if none
// was. An answer that does not hold is the same as none: the message may go out
// without, and so it may with one of too low a level. If it may not, the Puzzle is
// what has to be solved before the next attempt, and the error is ErrFailed for
// an answer that did not hold, else sms.ErrHumanCheckRequired. Where no check can
// be offered (g is nil or not enabled) that is the plain refusal
// sms.ErrRateLimited.
func Guard(ctx context.Context, g Gate, b Binding, a Answer, send func(human int) (sms.Challenge, error)) (sms.Challenge, *Puzzle, error) {
	offered := g != nil && g.Enabled()
	refused, human := sms.ErrHumanCheckRequired, 0
	if offered && a != (Answer{}) {
		switch level, err := g.Verify(ctx, b, a); {
		case err == nil:
			human = level
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
	level := levelOf(err)
	if human >= level || !offered { // asking again would not help
		return sms.Challenge{}, nil, sms.ErrRateLimited.Because(err)
	}
	puzzle, err := g.Puzzle(ctx, b, level)
	if err != nil {
		return sms.Challenge{}, nil, err
	}
	return sms.Challenge{}, &puzzle, refused
}

// levelOf is how hard a check err asks for.
func levelOf(err error) int {
	var f *fault.Error
	if !errors.As(err, &f) {
		return lowest
	}
	level, _ := strconv.Atoi(f.Params["level"]) // 0 for none
	return min(max(level, lowest), highest)
}
