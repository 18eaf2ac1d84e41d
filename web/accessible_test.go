package web

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/accessible.js
var accessible string

// findings are what keeps somebody from reading or using the page that a tab shows.
func (tb tab) findings(rule string) (found []string) {
	tb.Helper()
	if err := json.Unmarshal([]byte(tb.js("JSON.stringify(("+accessible+")('"+rule+"'))")), &found); err != nil {
		tb.Fatal(err)
	}
	return found
}

func (tb tab) theme(name string) {
	tb.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
	if _, err := chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, media); err != nil {
		tb.Fatal(err)
	}
}

// Every page in every state, language and theme: structure, names, contrast, size
// of what is pressed, and nothing cut off at 320 px or with text twice as large.
func TestPagesAreAccessible(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	axe := readAxe(t)
	st, names := newGallery(t)
	tb := tab{t, parent}
	for _, name := range names {
		for _, lang := range []string{"zh-CN", "en"} {
			report := func(where string, found []string) {
				for _, f := range found {
					t.Errorf("%s in %s, %s: %s", name, lang, where, f)
				}
			}
			tb.theme("light")
			tb.do(chromedp.EmulateViewport(375, 812), chromedp.Navigate(st.URL+"/p/"+name+"?lang="+lang))
			report("structure", tb.findings("structure"))
			report("names", tb.unnamed())
			report("size", tb.findings("size"))
			report("light", append(tb.findings("contrast"), tb.axe(axe)...))
			tb.theme("dark")
			report("dark", append(tb.findings("contrast"), tb.axe(axe)...))
			tb.do(chromedp.EmulateViewport(320, 640))
			report("320 px", tb.findings("fit"))
			tb.do(chromedp.EmulateViewport(1280, 800))
			report("1280 px", tb.findings("fit"))
			tb.do(chromedp.EmulateViewport(375, 812))
			tb.js("document.documentElement.style.fontSize = '200%'")
			report("large text", tb.findings("fit"))
		}
	}
}

// readAxe returns the axe-core script that DIALTONE_TEST_AXE names, "" if it names
// none: Debian has no package of it, so the checks of our own are what must hold.
func readAxe(t *testing.T) string {
	t.Helper()
	file := os.Getenv("DIALTONE_TEST_AXE")
	if file == "" {
		return ""
	}
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// axe returns what axe-core finds, nothing without its script.
func (tb tab) axe(script string) []string {
	tb.Helper()
	if script == "" {
		return nil
	}
	const run = `axe.run().then((r) => r.violations.map((v) => v.impact + ' ' + v.id + ' ' + v.nodes.map((n) => n.target.join(' ')).join(', ')))`
	found, err := chromedp.Run(tb.ctx, chromedp.Evaluate[[]string](script+";\n"+run, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// unnamed are the controls without a name in the browser's accessibility tree.
func (tb tab) unnamed() (found []string) {
	tb.Helper()
	tree, err := chromedp.Call(tb.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		tb.Fatal(err)
	}
	value := func(v *accessibility.Value) string {
		if v == nil {
			return ""
		}
		return strings.Trim(string(v.Value), `"`)
	}
	controls := 0
	for _, n := range tree.Nodes {
		role := value(n.Role)
		switch role {
		case "button", "link", "textbox", "checkbox", "combobox", "form", "navigation", "dialog", "region", "image", "RootWebArea", "Audio":
		default:
			continue
		}
		if n.Ignored {
			continue
		}
		controls++
		if strings.TrimSpace(value(n.Name)) == "" && (role != "form" && role != "image") {
			found = append(found, fmt.Sprintf("a %s has no name", role))
		}
	}
	if controls < 5 {
		tb.Errorf("the accessibility tree has only %d controls", controls)
	}
	return found
}

// By keyboard: every control is reached once, in the order of the page, and shows
// that it has the focus.
func TestKeyboardReachesEverything(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	st, names := newGallery(t)
	tb := tab{t, parent}
	for _, name := range names {
		tb.do(chromedp.EmulateViewport(375, 812), chromedp.Navigate(st.URL+"/p/"+name+"?lang=en"))
		tb.until("!document.querySelector('[autofocus]') || document.activeElement !== document.body") // which comes after the load event
		stops := tb.js(`(window.stops = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, audio, [tabindex]')].filter((e) => e.getClientRects().length && e.checkVisibility()), stops.length)`)
		tb.js("(document.body.tabIndex = -1, document.body.focus(), document.body.removeAttribute('tabindex'))") // back to the top
		last := -1
		for range 60 {
			tb.do(chromedp.KeyEvent("\t"))
			var at struct {
				Index int
				Ring  bool
				What  string
			}
			if err := json.Unmarshal([]byte(tb.js(`JSON.stringify((() => {
				const e = document.activeElement;
				const ring = [e, e.closest('.frame, .cells')].some((r) => r && (getComputedStyle(r).outlineStyle !== 'none' && parseFloat(getComputedStyle(r).outlineWidth) >= 2 || getComputedStyle(r).boxShadow !== 'none'));
				return { index: stops.indexOf(e), ring: ring, what: e.tagName + '#' + e.id };
			})())`)), &at); err != nil {
				t.Fatal(err)
			}
			if at.Index == last { // inside a player of sound
				continue
			}
			if at.Index < 0 {
				break
			}
			if at.Index != last+1 {
				t.Errorf("%s: the focus goes from stop %d to %d, %s", name, last, at.Index, at.What)
			}
			if !at.Ring {
				t.Errorf("%s: %s does not show its focus", name, at.What)
			}
			last = at.Index
		}
		if fmt.Sprint(last+1) != stops {
			t.Errorf("%s: %d of %s stops were reached", name, last+1, stops)
		}
	}
}
