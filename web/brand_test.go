package web

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// grounds are the colours of our style sheet by role, of the light and the dark theme.
func grounds(t *testing.T) [2]map[string]string {
	t.Helper()
	css, err := files.ReadFile("static/dialtone.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := regexp.MustCompile(`(?s):root \{([^}]*--paper[^}]*)\}`).FindAllSubmatch(css, -1)
	if len(themes) != 2 {
		t.Fatalf("%d themes", len(themes))
	}
	var roles [2]map[string]string
	for i, theme := range themes {
		roles[i] = colours(string(theme[1]))
	}
	return roles
}

func colours(rules string) map[string]string {
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`--([a-z0-9-]+): ?(#[0-9a-f]+)`).FindAllStringSubmatch(rules, -1) {
		found[m[1]] = m[2]
	}
	return found
}

// Whatever colour a client has, it can be read on every ground of both themes and
// our text on it.
func TestBrandColoursAreReadable(t *testing.T) {
	roles := grounds(t)
	brands := []string{"#000000", "#ffffff", "#ff0000", "#00ff00", "#0000ff", "#ffff00", "#00ffff", "#ff00ff", "#07c160", "#1677ff", "#e4393c", "#FFC300", "#808080", "#0f6b5c"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		brands = append(brands, fmt.Sprintf("#%06x", random.IntN(1<<24)))
	}
	for _, colour := range brands {
		for i, chosen := range []theme{themeLight, themeDark} {
			made := colours(string(newBrand(&Client{BrandColor: colour}, chosen).style))
			for role, least := range map[string]float64{"paper": 4.5, "surface": 4.5, "sunken": 4.5} {
				if got := contrast(t, made["accent"], roles[i][role]); got < least {
					t.Fatalf("%s in the %s theme: accent %s on %s: %.2f", colour, chosen, made["accent"], role, got)
				}
			}
			for _, own := range []string{"accent", "accent-2"} {
				if got := contrast(t, made["on-accent"], made[own]); got < 4.5 {
					t.Fatalf("%s in the %s theme: text on %s %s: %.2f", colour, chosen, own, made[own], got)
				}
			}
		}
	}
}

// A colour that is readable already stays as it is; another keeps its hue.
func TestBrandColoursStayThemselves(t *testing.T) {
	for _, tt := range []struct {
		colour, light, dark string
	}{
		{"#0f6b5c", "#0f6b5c", ""},
		{"#4cc3ac", "", "#4cc3ac"},
		{"#000000", "#000000", ""},
		{"#ffffff", "", "#ffffff"},
	} {
		for chosen, want := range map[theme]string{themeLight: tt.light, themeDark: tt.dark} {
			if got := colours(string(newBrand(&Client{BrandColor: tt.colour}, chosen).style))["accent"]; want != "" && got != want {
				t.Errorf("%s in the %s theme is %s, want it as it is", tt.colour, chosen, got)
			}
		}
	}
	red := colours(string(newBrand(&Client{BrandColor: "#ff8080"}, themeLight).style))["accent"]
	if c, _ := parseColour(red); c.a < 0.1 || c.a < 2*c.b {
		t.Errorf("a red became %s", red)
	}
}

// The style is in the page, and the policy allows it and no other.
func TestPolicyAllowsTheStyleOfABrand(t *testing.T) {
	s := newSite(t, Options{})
	for _, colour := range []string{"", "red", "#fff", "#12345g", "#123456;}", "0f6b5c0"} {
		w := render(t, s, Login{Client: &Client{Name: "shop", BrandColor: colour}}, "en")
		if strings.Contains(w.Body.String(), "<style") || strings.Contains(w.Header().Get("Content-Security-Policy"), "sha256") {
			t.Errorf("%q makes a style", colour)
		}
	}
	w := render(t, s, Login{Client: &Client{Name: "shop", BrandColor: "#E4393C"}}, "en")
	style := find(parseHTML(t, w), func(n *html.Node) bool { return n.Data == "style" })
	if len(style) != 1 {
		t.Fatalf("%d styles", len(style))
	}
	css := style[0].FirstChild.Data
	sum := sha256.Sum256([]byte(css))
	if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "style-src 'self' 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';") {
		t.Errorf("policy %s does not fit %s", policy, css)
	}
	if !regexp.MustCompile(`^:root\{[^{}]+\}@media \(prefers-color-scheme:dark\)\{:root\{[^{}]+\}\}$`).MatchString(css) {
		t.Errorf("style %s", css)
	}
}

func TestNamesOfAClientFollowTheLanguage(t *testing.T) {
	s := newSite(t, Options{})
	c := &Client{ID: "shop", Name: "Shop", Names: map[string]string{"zh-CN": "小店"}}
	for lang, want := range map[string]string{"zh-CN": "小店", "en": "Shop"} {
		if page := render(t, s, Login{Client: c}, lang).Body.String(); !strings.Contains(page, "<bdi>"+want+"</bdi>") {
			t.Errorf("%s does not name %s", lang, want)
		}
	}
}

func TestRecordNumbersAreInTheFooter(t *testing.T) {
	s := newSite(t, Options{ICP: "沪ICP备00000000号-1", PSB: "沪公网安备 31010100000000 号"})
	doc := parseHTML(t, render(t, s, Login{}, "zh-CN"))
	for href, want := range map[string]string{
		"https://beian.miit.gov.cn/":                                     "沪ICP备00000000号-1",
		"https://beian.mps.gov.cn/#/query/webSearch?code=31010100000000": "沪公网安备 31010100000000 号",
	} {
		links := find(doc, func(n *html.Node) bool { return attr(n, "href") == href })
		if len(links) != 1 || text(links[0]) != want {
			t.Errorf("%d links to %s", len(links), href)
		}
	}
}

func BenchmarkBrand(b *testing.B) {
	for b.Loop() {
		newBrand(&Client{BrandColor: "#ff8800"}, themeSystem)
	}
}
