package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
)

// maxMemory is what decoding may take, in bytes by the estimate of memory.
const maxMemory = 200_000_000

// memory estimates how many bytes the decoder takes for an image, of which the header
// could be read: the picture itself, and what it is put together from.
func memory(data []byte, c image.Config) int {
	pixels := c.Width * c.Height
	switch data[0] {
	case 0xff:
		return jpegMemory(data, c)
	case 'G':
		return pixels
	case 'R': // lossy alone; lossless, or with a layer of it for what is transparent
		if bytes.HasPrefix(data[12:], []byte("VP8 ")) {
			return 2 * pixels
		}
		return 11 * pixels
	}
	depth, kind, interlaced := data[24], data[25], data[28] // PNG 3rd edition section 11.2.1
	switch {
	case depth == 16:
		pixels *= 8
	case kind != 3: // gray has a colour that is transparent, maybe
		pixels *= 4
	}
	if interlaced != 0 { // each pass is a picture of its own
		pixels *= 2
	}
	return pixels
}

// jpegMemory adds up the samples of a frame: one byte each, and four more for the
// coefficients of a progressive one (ITU-T T.81 section G). RGB and CMYK are then
// copied.
func jpegMemory(data []byte, c image.Config) int {
	kind, sampling := jpegFrame(data)
	if sampling == nil {
		return 24 * c.Width * c.Height // no more is possible
	}
	wide, high := 1, 1
	for _, hv := range sampling {
		wide, high = max(wide, int(hv>>4)), max(high, int(hv&15))
	}
	across, down := (c.Width+8*wide-1)/(8*wide), (c.Height+8*high-1)/(8*high)
	bytes := 0
	for _, hv := range sampling {
		bytes += 64 * across * down * int(hv>>4) * int(hv&15)
	}
	if kind == 0xc2 {
		bytes *= 5
	}
	if c.ColorModel == color.RGBAModel || c.ColorModel == color.CMYKModel {
		bytes += 4 * c.Width * c.Height
	}
	return bytes
}

// jpegFrame finds the frame header: its marker, and the sampling factors of each
// component. nil where something stands before it that a decoder may put up with.
func jpegFrame(data []byte) (kind byte, sampling []byte) {
	data = data[2:]
	for len(data) >= 4 && data[0] == 0xff && data[1] >= 0xc0 && (data[1] < 0xd0 || data[1] > 0xda) && data[1] != 0xff {
		size := int(binary.BigEndian.Uint16(data[2:]))
		if size < 2 || 2+size > len(data) {
			return 0, nil
		}
		segment := data[4 : 2+size]
		if kind = data[1]; kind <= 0xc2 {
			for at := 6; at+2 < len(segment); at += 3 {
				sampling = append(sampling, segment[at+1])
			}
			return kind, sampling
		}
		data = data[2+size:]
	}
	return 0, nil
}
