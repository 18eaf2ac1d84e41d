package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// frame begins a JPEG: JFIF, and a frame header (0xc0 baseline, 0xc2 progressive)
// of these components, each written as its two sampling factors.
func frame(kind byte, w, h uint16, sampling ...byte) []byte {
	b := append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff"), kind)
	b = binary.BigEndian.AppendUint16(b, uint16(8+3*len(sampling)))
	b = binary.BigEndian.AppendUint16(append(b, 8), h)
	b = append(binary.BigEndian.AppendUint16(b, w), byte(len(sampling)))
	for i, hv := range sampling {
		b = append(b, byte(i+1), hv, 0)
	}
	return b
}

// scans are 2000 by 2000 grey pixels that are told to be refined so often; a scan
// takes 18 bytes, and a walk over all blocks.
func scans(n int) []byte {
	b := frame(0xc2, 2000, 2000, 0x11)
	b = append(b, "\xff\xc4\x00\x14\x10\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xe0"...) // one code: 0 for a run of 16384 blocks
	b = append(b, strings.Repeat("\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"+"\x00\x00\x00\x00\x00\x00\x00\x00", n)...)
	return append(b, 0xff, 0xd9)
}

func TestScansWithoutEndAreRefused(t *testing.T) {
	m := NewMaker(1)
	start := time.Now()
	if _, err := m.Square(t.Context(), bytes.NewReader(scans(20_000))); !errors.Is(err, ErrUnreadable) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
	for name, data := range map[string][]byte{"a picture": asJPEG(t, stripes(300, 300)), "some scans": scans(20)} {
		if _, err := m.Square(t.Context(), bytes.NewReader(data)); err != nil {
			t.Errorf("%s after it: %v", name, err)
		}
	}
}

// hangUp ends like a file, and whoever sends it is gone by then.
type hangUp struct {
	io.Reader
	cancel context.CancelFunc
}

func (h hangUp) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	if err != nil {
		h.cancel()
	}
	return n, err
}

func TestDecodingEnds(t *testing.T) {
	m := NewMaker(1)
	m.limit = -time.Second
	for name, data := range map[string][]byte{
		"jpeg": asJPEG(t, stripes(300, 300)), "png": asPNG(t, stripes(300, 300)), "gif": asGIF(t, stripes(300, 300)), "webp": unbase64(t, webps["lossless"]),
	} {
		if _, err := m.Square(t.Context(), bytes.NewReader(data)); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: the time is over, but got %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := m.Square(ctx, hangUp{bytes.NewReader(data), cancel}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: who hung up: %v", name, err)
		}
		cancel()
	}
}
