package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"math"
	"strings"
)

// brand is the style of a page in its client's colour. The Content-Security-Policy
// allows it by its hash, so that it costs no request and no inline style is
// allowed besides.
type brand struct {
	style  template.CSS // "" for our own colours
	source string       // of style-src
}

// newBrand makes the style of a client's colour, "#rrggbb", for one theme. A
// colour that is none of that form is ours: clients are validated elsewhere.
func newBrand(c *Client, t theme) brand {
	if c == nil {
		return brand{}
	}
	colour, ok := parseColour(c.BrandColor)
	if !ok {
		return brand{}
	}
	light, dark := accents(colour.atMost(lightMost), -hoverStep, "#fff"), accents(colour.atLeast(darkLeast), hoverStep, "#101214")
	style := ""
	switch t {
	case themeLight:
		style = light
	case themeDark:
		style = dark
	default:
		style = light + "@media (prefers-color-scheme:dark){" + dark + "}"
	}
	sum := sha256.Sum256([]byte(style))
	return brand{
		style:  template.CSS(style), //nolint:gosec // hexadecimal digits between texts of our own
		source: " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
	}
}

// Relative luminances (WCAG 2.2) between which a colour reaches 4.5:1 on every
// ground of a theme, and the theme's ink on the colour does, too. The grounds are
// --sunken of the light and --surface of the dark theme; a test compares. A little
// is kept for rounding to 8 bits.
const (
	lightMost = 0.155
	darkLeast = 0.232
	hoverStep = 0.05 // of lightness, away from the ground
)

func accents(c oklab, hover float64, on string) string {
	second := oklab{min(max(c.l+hover, 0), 1), c.a, c.b}.inGamut()
	return fmt.Sprintf(":root{--accent:%[1]s;--accent-2:%[2]s;--on-accent:%[3]s}", c.hex(), second.hex(), on)
}

// oklab is a colour by perceived lightness (0 to 1) and two opponent axes
// (CSS Color Module Level 4, section 9.4).
type oklab struct{ l, a, b float64 }

func parseColour(s string) (oklab, bool) {
	digits, found := strings.CutPrefix(s, "#")
	raw, err := hex.DecodeString(digits)
	if !found || err != nil || len(raw) != 3 {
		return oklab{}, false
	}
	var c [3]float64
	for i, v := range raw {
		c[i] = linear(float64(v) / 255)
	}
	l := math.Cbrt(0.4122214708*c[0] + 0.5363325363*c[1] + 0.0514459929*c[2])
	m := math.Cbrt(0.2119034982*c[0] + 0.6806995451*c[1] + 0.1073969566*c[2])
	n := math.Cbrt(0.0883024619*c[0] + 0.2817188376*c[1] + 0.6299787005*c[2])
	return oklab{
		0.2104542553*l + 0.7936177850*m - 0.0040720468*n,
		1.9779984951*l - 2.4285922050*m + 0.4505937099*n,
		0.0259040371*l + 0.7827717662*m - 0.8086757660*n,
	}, true
}

// rgb is the colour in linear light; a part outside 0 to 1 cannot be shown.
func (c oklab) rgb() [3]float64 {
	l, m, n := c.l+0.3963377774*c.a+0.2158037573*c.b, c.l-0.1055613458*c.a-0.0638541728*c.b, c.l-0.0894841775*c.a-1.2914855480*c.b
	l, m, n = l*l*l, m*m*m, n*n*n
	return [3]float64{
		4.0767416621*l - 3.3077115913*m + 0.2309699292*n,
		-1.2684380046*l + 2.6097574011*m - 0.3413193965*n,
		-0.0041960863*l - 0.7034186147*m + 1.7076147010*n,
	}
}

// luminance is the relative luminance of WCAG 2.2.
func (c oklab) luminance() float64 {
	v := c.rgb()
	return 0.2126*v[0] + 0.7152*v[1] + 0.0722*v[2]
}

// halvings bring an interval of 1 below what 8 bits can tell apart.
const halvings = 12

// inGamut takes chroma away until a screen can show the colour; lightness and hue stay.
func (c oklab) inGamut() oklab {
	shown := func(c oklab) bool {
		for _, v := range c.rgb() {
			if v < -1e-4 || v > 1+1e-4 {
				return false
			}
		}
		return true
	}
	if shown(c) {
		return c
	}
	least, most := 0.0, 1.0
	for range halvings {
		k := (least + most) / 2
		if shown(oklab{c.l, k * c.a, k * c.b}) {
			least = k
		} else {
			most = k
		}
	}
	return oklab{c.l, least * c.a, least * c.b}
}

// atMost darkens the colour until its luminance is not above y.
func (c oklab) atMost(y float64) oklab {
	if c.luminance() <= y {
		return c
	}
	return c.between(0, c.l, func(l float64) bool { return l > y })
}

// atLeast lightens the colour until its luminance is not below y.
func (c oklab) atLeast(y float64) oklab {
	if c.luminance() >= y {
		return c
	}
	return c.between(1, c.l, func(l float64) bool { return l < y })
}

// between returns the colour with the lightness nearest to bad that is not wrong.
func (c oklab) between(good, bad float64, wrong func(luminance float64) bool) oklab {
	for range halvings {
		middle := (good + bad) / 2
		if wrong(oklab{middle, c.a, c.b}.inGamut().luminance()) {
			bad = middle
		} else {
			good = middle
		}
	}
	return oklab{good, c.a, c.b}.inGamut()
}

// hex writes the colour as "#rrggbb".
func (c oklab) hex() string {
	s := "#"
	for _, v := range c.rgb() {
		s += fmt.Sprintf("%02x", int(math.Round(255*encoded(min(max(v, 0), 1)))))
	}
	return s
}

// linear and encoded are the transfer function of sRGB and its reverse.
func linear(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

func encoded(v float64) float64 {
	if v <= 0.0031308 {
		return v * 12.92
	}
	return 1.055*math.Pow(v, 1/2.4) - 0.055
}
