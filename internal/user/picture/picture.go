// Package picture makes a small square picture of whatever image a person sends.
//
// The image is decoded, cut to its middle, scaled and encoded anew, so nothing of
// the file that was sent survives: no place where it was taken, no name of a
// camera, no bytes that a browser could take for something else. How large an
// image may be is decided from its header, before memory is taken for it, few are
// worked on at once, and none for long.
package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"time"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// Bounds of what is accepted, and the side of what is made, in pixels.
const (
	MaxBytes  = 5 << 20
	MaxPixels = 40_000_000
	maxSide   = 16_384
	Side      = 256

	maxScans = 100 // of a JPEG; encoders make up to 14
)

// Why an image is refused.
var (
	ErrTooLarge   = fault.New(http.StatusRequestEntityTooLarge, "picture_too_large", "a picture has at most 5 MB and 40 megapixels, fewer where its format takes much memory")
	ErrUnreadable = fault.New(http.StatusUnprocessableEntity, "picture_unreadable", "this is not a picture that can be read: send JPEG, PNG, GIF or WebP")
)

// Picture is Side by Side pixels.
type Picture struct {
	Data []byte
	Type string // image/jpeg, or image/png for one that is transparent somewhere
}

// maxUploads are read at once; each is MaxBytes at most.
const maxUploads = 16

// Maker makes pictures, a bounded number at once, each of which takes maxMemory at
// most.
type Maker struct {
	uploads, turns chan struct{}

	wait  time.Duration // for a turn
	limit time.Duration // for decoding
}

// NewMaker makes one that works on so many images at once, at least one.
func NewMaker(turns int) *Maker {
	return &Maker{
		uploads: make(chan struct{}, maxUploads), turns: make(chan struct{}, max(1, turns)),
		wait: 5 * time.Second, limit: 10 * time.Second,
	}
}

var errBusy = errors.New("all turns at pictures are taken")

// Square reads a JPEG, PNG, GIF (its first frame) or WebP image, turned as its
// EXIF orientation says. Faults: ErrTooLarge, ErrUnreadable - also for what takes
// longer to decode than the limit - and fault.Unavailable with RetryAfter if too
// many are sent at once; other errors are of reading.
func (m *Maker) Square(ctx context.Context, r io.Reader) (Picture, error) {
	select {
	case m.uploads <- struct{}{}: // for whoever sends slowly, no turn is held
		defer func() { <-m.uploads }()
	default:
		return Picture{}, fault.Unavailable.Because(errBusy).After(m.wait)
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return Picture{}, fmt.Errorf("read a picture: %w", err)
	}
	if len(data) > MaxBytes {
		return Picture{}, ErrTooLarge
	}
	f := formatOf(data)
	if f == nil {
		return Picture{}, ErrUnreadable
	}
	if err := f.check(data); err != nil {
		return Picture{}, err
	}
	timer := time.NewTimer(m.wait)
	defer timer.Stop()
	select {
	case m.turns <- struct{}{}:
		defer func() { <-m.turns }()
	case <-timer.C:
		return Picture{}, fault.Unavailable.Because(errBusy).After(m.wait)
	case <-ctx.Done():
		return Picture{}, ctx.Err()
	}
	p, err := f.square(&timed{file: bytes.NewReader(data), ctx: ctx, until: time.Now().Add(m.limit)}, data)
	if gone := ctx.Err(); gone != nil && err != nil {
		return Picture{}, gone
	}
	return p, err
}

// errSlow says that an image takes longer to decode than any that was not made to.
var errSlow = errors.New("it takes too long to decode")

// timed is a file that breaks off once whoever sent it is gone, or the time is over.
// It is handed out in small pieces, as little of it can keep a decoder busy for long.
type timed struct {
	file  io.Reader       // not embedded: a decoder would go by its ReadByte
	ctx   context.Context //nolint:containedctx // decoders take none
	until time.Time
}

func (t *timed) Read(b []byte) (int, error) {
	switch {
	case t.ctx.Err() != nil:
		return 0, t.ctx.Err()
	case time.Now().After(t.until):
		return 0, errSlow
	}
	return t.file.Read(b[:min(len(b), 512)])
}

// format is one kind of image file.
type format struct {
	begins string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

// formatOf goes by the first bytes, as the names of files and what browsers say
// of them prove nothing; nil for none.
func formatOf(data []byte) *format {
	for _, f := range []format{
		{"\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode},
		{"\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
		{"GIF87a", gif.DecodeConfig, gif.Decode},
		{"GIF89a", gif.DecodeConfig, gif.Decode},
		{"RIFF", webp.DecodeConfig, webp.Decode},
	} {
		if bytes.HasPrefix(data, []byte(f.begins)) {
			return &f
		}
	}
	return nil
}

// check decides from the header. The decoders refuse a body that is larger.
func (f *format) check(data []byte) (err error) {
	defer unreadable(&err)
	c, err := f.config(bytes.NewReader(data))
	switch {
	case err != nil || c.Width < 1 || c.Height < 1:
		return ErrUnreadable.Because(err)
	case c.Width > maxSide || c.Height > maxSide || c.Width*c.Height > MaxPixels || memory(data, c) > maxMemory:
		return ErrTooLarge
	case f.begins[0] == 0xff && bytes.Count(data, []byte("\xff\xda")) > maxScans:
		return ErrUnreadable.Because(errSlow)
	}
	return nil
}

func (f *format) square(file io.Reader, data []byte) (p Picture, err error) {
	defer unreadable(&err)
	img, err := f.decode(file)
	if err != nil {
		return Picture{}, ErrUnreadable.Because(err)
	}
	small := shrink(img)
	if f.begins[0] == 0xff {
		small = turn(small, orientation(data))
	}
	var out bytes.Buffer
	if small.Opaque() {
		p.Type = "image/jpeg"
		err = jpeg.Encode(&out, small, &jpeg.Options{Quality: 85})
	} else {
		p.Type = "image/png"
		err = png.Encode(&out, small)
	}
	if err != nil {
		return Picture{}, fmt.Errorf("encode a picture: %w", err)
	}
	p.Data = out.Bytes()
	return p, nil
}

// unreadable makes a refusal of a decoder's panic: decoders are large, and what
// they are given is anybody's.
func unreadable(err *error) {
	if p := recover(); p != nil {
		*err = ErrUnreadable.Because(fmt.Errorf("decoder: %v", p))
	}
}

// shrink cuts the middle square out and scales it. Of a large image it takes
// samples first: the good filter looks at every pixel several times.
func shrink(img image.Image) *image.RGBA {
	const samples = 4 * Side
	b := img.Bounds()
	side := min(b.Dx(), b.Dy())
	corner := b.Min.Add(image.Pt((b.Dx()-side)/2, (b.Dy()-side)/2))
	middle := image.Rectangle{corner, corner.Add(image.Pt(side, side))}
	if side > samples {
		part := image.NewRGBA(image.Rect(0, 0, samples, samples))
		draw.ApproxBiLinear.Scale(part, part.Rect, img, middle, draw.Src, nil)
		img, middle = part, part.Rect
	}
	out := image.NewRGBA(image.Rect(0, 0, Side, Side))
	draw.CatmullRom.Scale(out, out.Rect, img, middle, draw.Src, nil)
	return out
}
