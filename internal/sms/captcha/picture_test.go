package captcha

import (
	"bytes"
	"encoding/base64"
	"errors"
	"image/png"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// typed is what a person reads off a ticket's picture.
func typed(t testing.TB, f *fixture, ticket string) string {
	t.Helper()
	opened, err := f.digits(ticket)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, len(opened.content))
	for i, d := range opened.content {
		text[i] = '0' + d
	}
	return string(text)
}

func TestPictureIsUsedUpByOneTry(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	right := f.puzzle(t, someone(), 1).Ticket
	f.wants(t, someone(), Answer{Ticket: right, Typed: typed(t, f, right)}, "picture", "passed")
	f.wants(t, someone(), Answer{Ticket: right, Typed: typed(t, f, right)}, "picture", "replayed")

	wrong := f.puzzle(t, someone(), 1).Ticket
	digits := []byte(typed(t, f, wrong))
	digits[5] = '0' + (digits[5]-'0'+1)%10
	f.wants(t, someone(), Answer{Ticket: wrong, Typed: string(digits)}, "picture", "failed")
	f.wants(t, someone(), Answer{Ticket: wrong, Typed: typed(t, f, wrong)}, "picture", "replayed")
}

func TestDigitsAsPeopleTypeThem(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	wide := strings.NewReplacer("0", "０", "1", "１", "2", "２", "3", "３", "4", "４", "5", "５", "6", "６", "7", "７", "8", "８", "9", "９")
	for name, write := range map[string]func(string) string{
		"full width": wide.Replace,
		"in groups":  func(s string) string { return " " + s[:3] + " " + s[3:] + "\u3000" },
		"hyphen":     func(s string) string { return s[:3] + "-" + s[3:] },
	} {
		ticket := f.puzzle(t, someone(), 1).Ticket
		t.Run(name, func(t *testing.T) {
			f.wants(t, someone(), Answer{Ticket: ticket, Typed: write(typed(t, f, ticket))}, "picture", "passed")
		})
	}
	// What is no try leaves the ticket as it is.
	ticket := f.puzzle(t, someone(), 1).Ticket
	for _, none := range []string{"", "   ", "abcdef", strings.Repeat("1", 65)} {
		f.wants(t, someone(), Answer{Ticket: ticket, Typed: none}, "picture", "failed")
	}
	f.wants(t, someone(), Answer{Ticket: ticket, Typed: typed(t, f, ticket)}, "picture", "passed")
	for _, length := range []int{1, 5, 7, 64} {
		ticket := f.puzzle(t, someone(), 1).Ticket
		f.wants(t, someone(), Answer{Ticket: ticket, Typed: strings.Repeat(typed(t, f, ticket), 11)[:length]}, "picture", "failed")
	}
}

func TestPictureIsForItsBindingAlone(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	ticket := f.puzzle(t, someone(), 1).Ticket
	for _, b := range []Binding{{}, {Flow: someone().Flow}, {Flow: someone().Flow, Number: []byte("another"), Action: "login"}} {
		f.wants(t, b, Answer{Ticket: ticket, Typed: typed(t, f, ticket)}, "picture", "failed")
	}
	f.wants(t, someone(), Answer{Ticket: ticket, Typed: typed(t, f, ticket)}, "picture", "passed")
}

func TestForgedTickets(t *testing.T) {
	f := newFixture(t, Config{Type: "geetest_v4", ID: "id", Key: "key"})
	ticket := f.puzzle(t, someone(), 1).Ticket
	raw, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil {
		t.Fatal(err)
	}
	raw[40] ^= 1
	state := f.seal(vendorLabel, someone(), time.Minute, make([]byte, digitCount))
	short := f.seal(pictureLabel, someone(), time.Minute, []byte{1})
	for name, forged := range map[string]string{
		"altered": base64.RawURLEncoding.EncodeToString(raw), "cut": ticket[:40], "padded": ticket + "=", "nonsense": "x",
		"a vendor's state": state, "too few digits": short, "oversized": strings.Repeat("A", 600),
	} {
		if _, err := f.Picture(t.Context(), home(), forged); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: picture: %v", name, err)
		}
		if _, err := f.Sound(t.Context(), home(), forged, "en"); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: sound: %v", name, err)
		}
		if _, err := f.Verify(t.Context(), someone(), Answer{Ticket: forged, Typed: "000000"}); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(string(raw), typed(t, f, ticket)) || strings.Contains(ticket, typed(t, f, ticket)) {
		t.Error("the ticket tells its digits")
	}
}

func TestPictureExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{Type: "pow"})
		ticket := f.puzzle(t, someone(), 1).Ticket
		text := typed(t, f, ticket)
		time.Sleep(pictureLife)
		f.wants(t, someone(), Answer{Ticket: ticket, Typed: text}, "picture", "expired")
		if _, err := f.Picture(t.Context(), home(), ticket); !errors.Is(err, ErrFailed) {
			t.Errorf("picture: %v", err)
		}
	})
}

func TestPictureAndSoundAreWhatTheySay(t *testing.T) {
	f := newFixture(t, Config{Type: "pow"})
	ticket := f.puzzle(t, someone(), 1).Ticket
	picture, err := f.Picture(t.Context(), home(), ticket)
	if err != nil {
		t.Fatal(err)
	}
	image, err := png.Decode(bytes.NewReader(picture))
	if err != nil || image.Bounds().Dx() != 240 || image.Bounds().Dy() != 80 {
		t.Fatalf("%v", err)
	}
	for _, spelling := range []string{ticket, ticket[:9] + "\n" + ticket[9:]} {
		if again, err := f.Picture(t.Context(), home(), spelling); err != nil || !bytes.Equal(again, picture) {
			t.Error("a second look shows another picture")
		}
	}
	other, err := f.Picture(t.Context(), home(), f.puzzle(t, someone(), 1).Ticket)
	if err != nil || bytes.Equal(other, picture) {
		t.Error("two tickets have one picture")
	}
	spoken := map[string][]byte{}
	for _, locale := range []string{"en", "zh", "ja", "ru"} {
		sound, err := f.Sound(t.Context(), home(), ticket, locale)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(sound, []byte("RIFF")) || !bytes.Equal(sound[8:12], []byte("WAVE")) || len(sound) < 50_000 {
			t.Errorf("%s: %d bytes", locale, len(sound))
		}
		for before, other := range spoken {
			if bytes.Equal(sound, other) {
				t.Errorf("%s sounds like %s", locale, before)
			}
		}
		spoken[locale] = sound
	}
	for locale, language := range map[string]string{"zh-CN": "zh", "ZH_hant_TW": "zh", "en-GB": "en", "": "en", "pt-BR": "en", "fr": "en", "zhx": "en"} {
		if sound, err := f.Sound(t.Context(), home(), ticket, locale); err != nil || !bytes.Equal(sound, spoken[language]) {
			t.Errorf("%q is not spoken in %s", locale, language)
		}
	}
}

func home() netip.Addr { return netip.MustParseAddr("198.51.100.7") }

// An address has so many pictures and sounds in ten minutes, whatever their
// tickets; what is no ticket takes none.
func TestDrawingsOfAnAddressAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{Type: "pow"})
		ctx, household := t.Context(), netip.MustParseAddr("2001:db8::1")
		draw := func(i int, from netip.Addr) (err error) {
			ticket := f.puzzle(t, someone(), 1).Ticket
			if i%20 == 0 {
				_, err = f.Sound(ctx, from, ticket, "en")
			} else {
				_, err = f.Picture(ctx, from, ticket)
			}
			return err
		}
		for i := range drawingsPerAddress {
			if _, err := f.Picture(ctx, household, "no ticket"); !errors.Is(err, ErrFailed) {
				t.Fatal(err)
			}
			if err := draw(i, household); err != nil {
				t.Fatalf("drawing %d: %v", i+1, err)
			}
		}
		for i := range 2 {
			err := draw(i, household.Next())
			if f := fault.From(err); !errors.Is(err, ErrTooManyDrawings) || f.RetryAfter != drawingsWindow {
				t.Fatalf("one more: %v, after %v", err, f.RetryAfter)
			}
		}
		if n := f.observed()["picture limited"]; n != 2 {
			t.Errorf("observed %d refusals", n)
		}
		if err := draw(1, netip.MustParseAddr("2001:db8:0:1::1")); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		time.Sleep(drawingsWindow)
		if err := draw(1, household); err != nil {
			t.Errorf("later: %v", err)
		}
	})
}

func BenchmarkPicture(b *testing.B) {
	f := newFixture(b, Config{Type: "pow"})
	t, err := f.digits(f.puzzle(b, someone(), 1).Ticket)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err = t.picture(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSound(b *testing.B) {
	f := newFixture(b, Config{Type: "pow"})
	t, err := f.digits(f.puzzle(b, someone(), 1).Ticket)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err = t.sound("zh"); err != nil {
			b.Fatal(err)
		}
	}
}
