package captcha

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dchest/captcha"

	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
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

// What one address (an IPv6 /64) may have drawn and spoken: a picture takes some
// 2 ms of a core and a sound 8, and one ticket is good for any number of them.
const (
	drawingsPerAddress = 200
	drawingsWindow     = 10 * time.Minute
)

// ErrTooManyDrawings says that an address had its share of pictures and sounds.
var ErrTooManyDrawings = fault.New(http.StatusTooManyRequests, "rate_limited", "too many pictures and sounds of the security check, try again later")

// Picture is a ticket's digits as PNG, for somebody at that address. Asked again,
// it is the same picture for as long as this process lives: several distortions
// of the same digits would be easier to read. Faults: ErrFailed for a ticket that
// is none, ErrTooManyDrawings.
func (c *Checker) Picture(ctx context.Context, from netip.Addr, ticket string) ([]byte, error) {
	t, err := c.drawable(ctx, from, ticket)
	if err != nil {
		return nil, err
	}
	return t.picture()
}

func (t ticket) picture() ([]byte, error) {
	var b bytes.Buffer
	if _, err := captcha.NewImage(t.name, t.content, captcha.StdWidth, captcha.StdHeight).WriteTo(&b); err != nil {
		return nil, fmt.Errorf("captcha: draw a picture: %w", err)
	}
	return b.Bytes(), nil
}

// Sound is a ticket's digits as WAV, spoken in the language of locale if there is
// one. Faults: those of Picture.
func (c *Checker) Sound(ctx context.Context, from netip.Addr, ticket, locale string) ([]byte, error) {
	t, err := c.drawable(ctx, from, ticket)
	if err != nil {
		return nil, err
	}
	return t.sound(locale)
}

func (t ticket) sound(locale string) ([]byte, error) {
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

// drawable opens a ticket, and takes one drawing from what the address may have.
func (c *Checker) drawable(ctx context.Context, from netip.Addr, sealed string) (ticket, error) {
	t, err := c.digits(sealed)
	if err != nil {
		return ticket{}, err
	}
	from = from.Unmap().WithZone("")
	if network, err := from.Prefix(64); err == nil && from.Is6() {
		from = network.Addr()
	}
	key := base64.RawURLEncoding.EncodeToString(c.vault.Index("captcha address", from.AsSlice())[:16])
	d, err := c.marks.Spend(ctx, []ephemeral.Limit{{Key: "captcha:address:" + key, Max: drawingsPerAddress, Per: drawingsWindow}})
	if err != nil {
		return ticket{}, fault.Unavailable.Because(fmt.Errorf("captcha: count drawings: %w", err)).After(5 * time.Second)
	}
	if !d.Allowed {
		c.observe(kindPicture, string(limited))
		return ticket{}, ErrTooManyDrawings.After(d.RetryAfter)
	}
	return t, nil
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
