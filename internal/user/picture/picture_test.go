package picture

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// stripes is an image whose middle square has four quarters: red, green, blue and
// yellow from the upper left on, and what a cut to the middle loses is black.
func stripes(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	side := min(w, h)
	left, top := (w-side)/2, (h-side)/2
	for y := range h {
		for x := range w {
			c := color.RGBA{A: 255}
			if u, v := x-left, y-top; u >= 0 && u < side && v >= 0 && v < side {
				c = quarters[2*(2*v/side)+2*u/side]
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

var quarters = [4]color.RGBA{{220, 20, 20, 255}, {20, 200, 20, 255}, {20, 20, 220, 255}, {220, 220, 20, 255}}

func encoded(t testing.TB, encode func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(t testing.TB, img image.Image) []byte {
	return encoded(t, func(w io.Writer) error { return jpeg.Encode(w, img, &jpeg.Options{Quality: 95}) })
}

func asPNG(t testing.TB, img image.Image) []byte {
	return encoded(t, func(w io.Writer) error { return png.Encode(w, img) })
}

func asGIF(t testing.TB, img *image.RGBA) []byte {
	p := image.NewPaletted(img.Rect, color.Palette{color.RGBA{A: 255}, quarters[0], quarters[1], quarters[2], quarters[3]})
	for i := range p.Pix {
		p.Pix[i] = uint8(p.Palette.Index(color.RGBA{img.Pix[4*i], img.Pix[4*i+1], img.Pix[4*i+2], img.Pix[4*i+3]}))
	}
	return encoded(t, func(w io.Writer) error { return gif.Encode(w, p, nil) })
}

// webps are pictures of one pixel: lossy, lossless and transparent.
var webps = map[string]string{
	"lossy":    "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA",
	"lossless": "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==",
	"alpha":    "UklGRkoAAABXRUJQVlA4WAoAAAAQAAAAAAAAAAAAQUxQSAwAAAARBxAR/Q9ERP8DAABWUDggGAAAABQBAJ0BKgEAAQAAAP4AAA3AAP7mtQAAAA==",
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seen decodes a made picture and checks its form.
func seen(t *testing.T, p Picture, kind string) image.Image {
	t.Helper()
	img, format, err := image.Decode(bytes.NewReader(p.Data))
	if err != nil || p.Type != kind || "image/"+format != kind || img.Bounds() != image.Rect(0, 0, Side, Side) {
		t.Fatalf("made a %s (%s) of %v: %v", p.Type, format, img.Bounds(), err)
	}
	if len(p.Data) > 200<<10 {
		t.Errorf("%d bytes", len(p.Data))
	}
	return img
}

// wantQuarters checks the colour in the middle of each quarter.
func wantQuarters(t *testing.T, img image.Image, want [4]color.RGBA) {
	t.Helper()
	for i, w := range want {
		r, g, b, _ := img.At(Side/4+i%2*Side/2, Side/4+i/2*Side/2).RGBA()
		for j, pair := range [3][2]int{{int(r >> 8), int(w.R)}, {int(g >> 8), int(w.G)}, {int(b >> 8), int(w.B)}} {
			if d := pair[0] - pair[1]; d < -12 || d > 12 {
				t.Errorf("quarter %d channel %d: %d, want %d", i, j, pair[0], pair[1])
			}
		}
	}
}

func TestSquareKeepsTheMiddle(t *testing.T) {
	m := NewMaker(1)
	for _, size := range []image.Point{{256, 256}, {640, 480}, {480, 640}, {40, 30}, {1500, 1100}, {1025, 2000}} {
		img := stripes(size.X, size.Y)
		for name, data := range map[string][]byte{
			"jpeg": asJPEG(t, img), "png": asPNG(t, img),
			"gif": asGIF(t, img),
		} {
			p, err := m.Square(t.Context(), bytes.NewReader(data))
			if err != nil {
				t.Fatalf("%s of %v: %v", name, size, err)
			}
			wantQuarters(t, seen(t, p, "image/jpeg"), quarters)
		}
	}
}

func TestOtherKindsOfImageAreRead(t *testing.T) {
	m := NewMaker(1)
	gray := image.NewGray16(image.Rect(0, 0, 300, 200))
	clear := stripes(300, 300)
	clear.SetRGBA(0, 0, color.RGBA{})
	for name, c := range map[string]struct {
		data []byte
		kind string
	}{
		"16-bit gray": {asPNG(t, gray), "image/jpeg"}, "transparent": {asPNG(t, clear), "image/png"},
		"one pixel": {asPNG(t, stripes(1, 1)), "image/jpeg"}, "lossy WebP": {unbase64(t, webps["lossy"]), "image/jpeg"},
		"lossless WebP": {unbase64(t, webps["lossless"]), "image/png"}, "transparent WebP": {unbase64(t, webps["alpha"]), "image/png"},
	} {
		p, err := m.Square(t.Context(), iotest.HalfReader(bytes.NewReader(c.data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		seen(t, p, c.kind)
	}
}

// withSegment puts a segment behind the start of a JPEG.
func withSegment(jpeg []byte, marker byte, content string) []byte {
	segment := append([]byte{0xff, marker}, binary.BigEndian.AppendUint16(nil, uint16(2+len(content)))...)
	return bytes.Join([][]byte{jpeg[:2], segment, []byte(content), jpeg[2:]}, nil)
}

// exif is EXIF data with one other tag, the orientation, and a place.
func exif(order binary.AppendByteOrder, orientation uint16) string {
	b := []byte("MM")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		b = []byte("II")
	}
	b = order.AppendUint32(order.AppendUint16(b, 42), 8)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint32(order.AppendUint32(order.AppendUint16(order.AppendUint16(b, 0x0100), 4), 1), 640)
	b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, 0x0112), 3), 1)
	b = append(order.AppendUint16(b, orientation), 0, 0)
	return "Exif\x00\x00" + string(b) + "GPSLatitude 39.9042"
}

func TestPicturesStandUpright(t *testing.T) {
	m := NewMaker(1)
	r, g, b, y := quarters[0], quarters[1], quarters[2], quarters[3]
	for o, want := range map[uint16][4]color.RGBA{
		1: {r, g, b, y}, 2: {g, r, y, b}, 3: {y, b, g, r}, 4: {b, y, r, g},
		5: {r, b, g, y}, 6: {b, r, y, g}, 7: {y, g, b, r}, 8: {g, y, r, b}, 0: {r, g, b, y}, 9: {r, g, b, y},
	} {
		for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
			data := withSegment(withSegment(asJPEG(t, stripes(600, 400)), 0xe1, exif(order, o)), 0xe0, "JFIF\x00\x01\x02")
			p, err := m.Square(t.Context(), bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			wantQuarters(t, seen(t, p, "image/jpeg"), want)
		}
	}
}

func TestNothingOfTheFileSurvives(t *testing.T) {
	m := NewMaker(1)
	secret := "GPSLatitude 39.9042"
	jpeg := append(withSegment(withSegment(asJPEG(t, stripes(300, 300)), 0xe1, exif(binary.BigEndian, 1)), 0xfe, secret), secret...)
	chunk := func(kind, content string) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
		b = append(append(b, kind...), content...)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(kind+content)))
	}
	png := asPNG(t, stripes(300, 300))
	png = bytes.Join([][]byte{png[:33], chunk("tEXt", "Comment\x00"+secret), png[33:], []byte("<script>" + secret)}, nil)
	for _, data := range [][]byte{jpeg, png} {
		if !bytes.Contains(data, []byte(secret)) {
			t.Fatal("the test's own picture has no secret")
		}
		p, err := m.Square(t.Context(), bytes.NewReader(data))
		if err != nil || bytes.Contains(p.Data, []byte("GPS")) || bytes.Contains(p.Data, []byte("Exif")) {
			t.Errorf("%v, %d bytes", err, len(p.Data))
		}
	}
}

// sized is a PNG whose header says w by h, with nothing behind it.
func sized(w, h uint32) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), w), h)
	header = append(header, 8, 2, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), header...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(header))
}

func TestWhatIsTooLargeOrNoPictureIsRefused(t *testing.T) {
	m := NewMaker(1)
	good := asJPEG(t, stripes(300, 300))
	wide := unbase64(t, webps["alpha"])
	copy(wide[24:], "\xff\xff\x00\xff\xff\x00") // the canvas of 65536 by 65536 that the header speaks of
	for name, c := range map[string]struct {
		data []byte
		want *fault.Error
	}{
		"5 MB and a byte": {make([]byte, MaxBytes+1), ErrTooLarge}, "a long good one": {append(bytes.Clone(good), make([]byte, MaxBytes)...), ErrTooLarge},
		"41 megapixels": {sized(6400, 6407), ErrTooLarge}, "a thread": {sized(16385, 1), ErrTooLarge}, "65535 squared": {sized(65535, 65535), ErrTooLarge},
		"two billion": {sized(1<<31-1, 1<<31-1), ErrUnreadable}, "no width": {sized(0, 5), ErrUnreadable}, "header alone": {sized(5, 5), ErrUnreadable},
		"a wide WebP": {wide, ErrUnreadable},
		"nothing":     {nil, ErrUnreadable}, "text": {[]byte("hello"), ErrUnreadable}, "SVG": {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), ErrUnreadable},
		"half a JPEG": {good[:len(good)/2], ErrUnreadable}, "a JPEG's first bytes": {good[:3], ErrUnreadable}, "a RIFF of sound": {[]byte("RIFF\x00\x00\x00\x00WAVEfmt "), ErrUnreadable},
		"BMP": {[]byte("BM" + strings.Repeat("\x00", 60)), ErrUnreadable},
	} {
		if _, err := m.Square(t.Context(), bytes.NewReader(c.data)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want.Code)
		}
	}
	if _, err := m.Square(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a broken upload: %v", err)
	}
}

func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMaker(0)
		m.turns <- struct{}{}
		start := time.Now()
		_, err := m.Square(t.Context(), bytes.NewReader(asPNG(t, stripes(9, 9))))
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.Unavailable.Code || f.RetryAfter <= 0 || time.Since(start) != m.wait {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Square(ctx, bytes.NewReader(asPNG(t, stripes(9, 9)))); !errors.Is(err, context.Canceled) {
			t.Errorf("who hung up: %v", err)
		}
		<-m.turns
		for range maxUploads {
			m.uploads <- struct{}{}
		}
		if _, err := m.Square(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.As(err, &f) || f.Code != fault.Unavailable.Code || f.RetryAfter <= 0 {
			t.Errorf("one more upload: %v", err)
		}
		for range maxUploads {
			<-m.uploads
		}
		if _, err := m.Square(t.Context(), bytes.NewReader(asPNG(t, stripes(9, 9)))); err != nil {
			t.Error(err)
		}
	})
}

func FuzzSquare(f *testing.F) {
	f.Add(asJPEG(f, stripes(20, 10)))
	f.Add(withSegment(asJPEG(f, stripes(20, 10)), 0xe1, exif(binary.LittleEndian, 6)))
	f.Add(asPNG(f, stripes(10, 20)))
	f.Add(asGIF(f, stripes(10, 10)))
	for _, w := range webps {
		f.Add(unbase64(f, w))
	}
	m := NewMaker(8)
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, _, err := image.DecodeConfig(bytes.NewReader(data)); err == nil && c.Width*c.Height > 1<<20 {
			return // slow, not wrong
		}
		p, err := m.Square(context.Background(), bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrUnreadable) && !errors.Is(err, ErrTooLarge) {
				t.Error(err)
			}
			return
		}
		seen(t, p, p.Type)
	})
}

func BenchmarkSquare(b *testing.B) {
	for name, img := range map[string]image.Image{"12 Mpx": stripes(4000, 3000), "1 Mpx": stripes(1200, 900)} {
		data := asJPEG(b, img)
		b.Run(name, func(b *testing.B) {
			m := NewMaker(1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Square(context.Background(), bytes.NewReader(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
