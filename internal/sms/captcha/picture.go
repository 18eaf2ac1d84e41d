package captcha

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dchest/captcha"
)

const (
	pictureLabel = "captcha picture"
	pictureLife  = 5 * time.Minute // a person listens, types and may have to listen again
	digitCount   = captcha.DefaultLen
)

// pictureTicket is a new puzzle of digits.
func (c *Checker) pictureTicket(b Binding) string {
	return c.seal(pictureLabel, b, pictureLife, captcha.RandomDigits(digitCount))
}

// Picture is a ticket's digits as PNG; ErrFailed for a ticket that is none.
// Asked again, it is the same picture for as long as this process lives:
// several distortions of the same digits would be easier to read.
func (c *Checker) Picture(ticket string) ([]byte, error) {
	t, err := c.digits(ticket)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := captcha.NewImage(t.name, t.content, captcha.StdWidth, captcha.StdHeight).WriteTo(&b); err != nil {
		return nil, fmt.Errorf("captcha: draw a picture: %w", err)
	}
	return b.Bytes(), nil
}

// Sound is a ticket's digits as WAV, spoken in the language of locale if there is one; ErrFailed for a ticket that is none.
func (c *Checker) Sound(ticket, locale string) ([]byte, error) {
	t, err := c.digits(ticket)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := captcha.NewAudio(t.name, t.content, voice(locale)).WriteTo(&b); err != nil {
		return nil, fmt.Errorf("captcha: speak a sound: %w", err)
	}
	return b.Bytes(), nil
}

// voice is the language to speak in. The library has a Portuguese voice too,
// whose digits are so long that they may not fit into the sound it makes.
func voice(locale string) string {
	language, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(locale), "_", "-"), "-")
	if slices.Contains([]string{"zh", "ja", "ru"}, language) {
		return language
	}
	return "en"
}

// digits opens a ticket whose content they are.
func (c *Checker) digits(sealed string) (ticket, error) {
	t, r := c.open(pictureLabel, sealed)
	if r != passed || len(t.content) != digitCount {
		return ticket{}, ErrFailed
	}
	return t, nil
}

// judgePicture compares what was typed. The ticket is marked first: one try,
// right or wrong, is all there is. Nothing typed is no try.
func (c *Checker) judgePicture(ctx context.Context, b Binding, sealed, typed string) (result, error) {
	t, r := c.openFor(b, pictureLabel, sealed)
	if r != passed {
		return r, nil
	}
	digits := foldDigits(typed)
	if len(digits) == 0 {
		return failed, nil
	}
	if r, err := c.use(ctx, kindPicture, t.name, t.expires); r != passed {
		return r, err
	}
	if subtle.ConstantTimeCompare(digits, t.content) != 1 {
		return failed, nil
	}
	return passed, nil
}

// foldDigits reads digits as people type them, also in full width and in
// groups. Anything else, or too much, is none.
func foldDigits(typed string) []byte {
	if len(typed) > 64 {
		return nil
	}
	var digits []byte
	for _, r := range typed {
		switch {
		case r >= '0' && r <= '9':
			digits = append(digits, byte(r-'0'))
		case r >= '０' && r <= '９':
			digits = append(digits, byte(r-'０'))
		case unicode.IsSpace(r), r == '-', r == ',':
		default:
			return nil
		}
	}
	return digits
}
