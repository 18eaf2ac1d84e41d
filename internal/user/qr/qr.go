// Package qr draws QR codes as SVG.
package qr

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/skip2/go-qrcode"
)

// SVG is content as a QR code (ISO/IEC 18004, error correction level M, with its
// quiet zone): an svg element without a size, one unit a module. It is dark on
// white whatever the page's colours are, since many readers know nothing else,
// and holds no style, so any Content-Security-Policy lets it pass. It fails for
// content of more than 2331 bytes.
func SVG(content string) (string, error) {
	code, err := qrcode.New(content, qrcode.Medium)
	if err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err) // the library's errors do not repeat the content
	}
	modules := code.Bitmap()
	side := strconv.Itoa(len(modules))
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + side + ` ` + side +
		`" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h` + side + `v` + side + `H0z"/><path stroke="#000" d="`)
	for y, row := range modules {
		drawRow(&b, y, row)
	}
	b.WriteString(`"/></svg>`)
	return b.String(), nil
}

// drawRow strokes each run of dark modules along its middle; all but the first
// begin where the one before ended.
func drawRow(b *strings.Builder, y int, row []bool) {
	end := -1
	for x := 0; x < len(row); x++ {
		if !row[x] {
			continue
		}
		start := x
		for x < len(row) && row[x] {
			x++
		}
		if end < 0 {
			fmt.Fprintf(b, "M%d %d.5h%d", start, y, x-start)
		} else {
			fmt.Fprintf(b, "m%d 0h%d", start-end, x-start)
		}
		end = x
	}
}
