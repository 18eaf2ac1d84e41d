package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/dialtone-id/dialtone/internal/fault"
)

// pngOf is sized of another depth, kind of colour and order of its lines.
func pngOf(w, h uint32, depth, kind, interlaced byte) []byte {
	b := sized(w, h)
	b[24], b[25], b[28] = depth, kind, interlaced
	return binary.BigEndian.AppendUint32(b[:29], crc32.ChecksumIEEE(b[12:29]))
}

// webpOf writes sides into one of webps.
func webpOf(t *testing.T, kind string, w, h uint32) []byte {
	b := unbase64(t, webps[kind])
	if kind == "lossless" {
		binary.LittleEndian.PutUint32(b[21:], (h-1)<<14|(w-1))
	} else {
		binary.LittleEndian.PutUint32(b[26:], h<<16|w)
	}
	return b
}

// A header tells what decoding takes; what is let through has nothing behind it.
func TestMemoryIsBoundedByTheHeader(t *testing.T) {
	m := NewMaker(1)
	odd := frame(0xc2, 6000, 4000, 0x22, 0x11, 0x11)
	odd = append(bytes.Clone(odd[:20]), append([]byte{0}, odd[20:]...)...) // between two segments
	for name, c := range map[string]struct {
		data []byte
		want *fault.Error
	}{
		"a camera's JPEG, 40 Mpx":         {frame(0xc0, 8000, 5000, 0x22, 0x11, 0x11), ErrUnreadable},
		"a JPEG of full colour, 40 Mpx":   {frame(0xc0, 8000, 5000, 0x11, 0x11, 0x11), ErrUnreadable},
		"a progressive JPEG, 24 Mpx":      {frame(0xc2, 6000, 4000, 0x22, 0x11, 0x11), ErrUnreadable},
		"a progressive JPEG, 40 Mpx":      {frame(0xc2, 8000, 5000, 0x22, 0x11, 0x11), ErrTooLarge},
		"a JPEG with something before it": {odd, ErrTooLarge},
		"a CMYK JPEG, 40 Mpx":             {frame(0xc0, 8000, 5000, 0x11, 0x11, 0x11, 0x11), ErrTooLarge},
		"a progressive CMYK JPEG, 24 Mpx": {frame(0xc2, 6000, 4000, 0x11, 0x11, 0x11, 0x11), ErrTooLarge},
		"a narrow JPEG, progressive":      {frame(0xc2, 1, 16_000, 0x22, 0x11, 0x11), ErrUnreadable},
		"a PNG, 40 Mpx":                   {pngOf(8000, 5000, 8, 6, 0), ErrUnreadable},
		"a PNG of 16 bits, 24 Mpx":        {pngOf(6000, 4000, 16, 6, 0), ErrUnreadable},
		"a PNG of 16 bits, 40 Mpx":        {pngOf(8000, 5000, 16, 2, 0), ErrTooLarge},
		"an interlaced PNG of 16 bits":    {pngOf(6000, 4000, 16, 6, 1), ErrTooLarge},
		"an interlaced PNG, 40 Mpx":       {pngOf(8000, 5000, 8, 6, 1), ErrTooLarge},
		"a lossy WebP, 40 Mpx":            {webpOf(t, "lossy", 8000, 5000), ErrUnreadable},
		"a lossless WebP, 40 Mpx":         {webpOf(t, "lossless", 8000, 5000), ErrTooLarge},
	} {
		if _, err := m.Square(t.Context(), bytes.NewReader(c.data)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want.Code)
		}
	}
}
