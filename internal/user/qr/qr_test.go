package qr

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/skip2/go-qrcode"
)

// drawn reads the modules back from the path.
func drawn(t *testing.T, svg string) [][]bool {
	t.Helper()
	size := regexp.MustCompile(`viewBox="0 0 (\d+) (\d+)"`).FindStringSubmatch(svg)
	path := regexp.MustCompile(`stroke="#000" d="([^"]*)"`).FindStringSubmatch(svg)
	if size == nil || size[1] != size[2] || path == nil {
		t.Fatalf("unexpected svg %.200s", svg)
	}
	side, _ := strconv.Atoi(size[1])
	out := make([][]bool, side)
	for y := range out {
		out[y] = make([]bool, side)
	}
	step := regexp.MustCompile(`^(?:M(\d+) (\d+)\.5|m(\d+) 0)h(\d+)`)
	x, y := 0, 0
	for rest := path[1]; rest != ""; {
		m := step.FindStringSubmatch(rest)
		if m == nil {
			t.Fatalf("unexpected path %.50s", rest)
		}
		rest = rest[len(m[0]):]
		number := func(i int) int { n, _ := strconv.Atoi(m[i]); return n }
		if m[1] != "" {
			x, y = number(1), number(2)
		} else {
			x += number(3)
		}
		for range number(4) {
			if out[y][x] {
				t.Errorf("module %d,%d is drawn twice", x, y)
			}
			out[y][x] = true
			x++
		}
	}
	return out
}

func TestTheSVGShowsTheModules(t *testing.T) {
	for _, content := range []string{
		"x", "https://id.example/qr/7Kq2vX9mB4cW",
		"otpauth://totp/id.example:+86%20138****8000?algorithm=SHA1&digits=6&issuer=id.example&period=30&secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
		strings.Repeat("电话", 100),
	} {
		svg, err := SVG(content)
		if err != nil {
			t.Fatal(err)
		}
		code, err := qrcode.New(content, qrcode.Medium)
		if err != nil {
			t.Fatal(err)
		}
		got := drawn(t, svg)
		if diff := cmp.Diff(code.Bitmap(), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", content, diff)
		}
		for y, row := range got {
			for x, dark := range row {
				if dark && (min(x, y) < 4 || max(x, y) >= len(got)-4) {
					t.Fatalf("%s: the quiet zone is not", content)
				}
			}
		}
		if len(content) < 200 && len(svg) > 6000 {
			t.Errorf("%s: %d bytes", content, len(svg))
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTooMuchContentIsAnError(t *testing.T) {
	secret := strings.Repeat("secret", 500)
	if _, err := SVG(secret); err == nil || strings.Contains(fmt.Sprint(err), "secret") {
		t.Errorf("got %v", err)
	}
}
