package picture

import (
	"bytes"
	"encoding/binary"
	"image"
)

// orientation is how a JPEG's camera was held: the tag 0x0112 of its EXIF data
// (JEITA CP-3451 section 4.6.4), 1 to 8; 1, which is upright, where there is none.
func orientation(data []byte) int {
	data = bytes.TrimPrefix(data, []byte("\xff\xd8"))
	for len(data) >= 4 && data[0] == 0xff {
		size := int(binary.BigEndian.Uint16(data[2:]))
		if data[1] == 0xda || size < 2 || 2+size > len(data) { // the picture itself begins
			return 1
		}
		segment := data[4 : 2+size]
		if data[1] == 0xe1 && bytes.HasPrefix(segment, []byte("Exif\x00\x00")) {
			return orientationOf(segment[6:])
		}
		data = data[2+size:]
	}
	return 1
}

// orientationOf looks through the first directory of a TIFF header.
func orientationOf(tiff []byte) int {
	var order binary.ByteOrder = binary.BigEndian
	switch {
	case len(tiff) < 8:
		return 1
	case bytes.HasPrefix(tiff, []byte("II*\x00")):
		order = binary.LittleEndian
	case !bytes.HasPrefix(tiff, []byte("MM\x00*")):
		return 1
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 1
		}
		if order.Uint16(entries) == 0x0112 {
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}

// turn is a square image the right way up.
func turn(img *image.RGBA, orientation int) *image.RGBA {
	if orientation == 1 {
		return img
	}
	out := image.NewRGBA(img.Rect)
	last := img.Rect.Dx() - 1
	for y := range last + 1 {
		for x := range last + 1 {
			u, v := x, y // where the pixel of (x, y) comes from
			if orientation >= 5 {
				u, v = y, x
			}
			switch orientation {
			case 2, 8:
				u = last - u
			case 4, 6:
				v = last - v
			case 3, 7:
				u, v = last-u, last-v
			}
			copy(out.Pix[out.PixOffset(x, y):][:4], img.Pix[img.PixOffset(u, v):][:4])
		}
	}
	return out
}
