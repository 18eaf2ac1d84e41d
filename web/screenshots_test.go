//go:build screenshots

package web

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestScreenshots takes a picture of every sample page in every language, at two
// widths and in both themes, into the directory DIALTONE_SCREENSHOTS.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("DIALTONE_SCREENSHOTS")
	parent := browser(t)
	if dir == "" || parent == nil {
		t.Fatal("set DIALTONE_SCREENSHOTS to a directory and DIALTONE_TEST_CHROMIUM to a browser")
	}
	parent = context.WithoutCancel(parent) // the minute of the tests is not enough for hundreds of pictures
	st, names := newGallery(t)
	next := make(chan string)
	var wait sync.WaitGroup
	for range 2 {
		ctx, cancel := chromedp.NewContext(parent)
		defer cancel()
		if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // the first call owns the tab: no deadline on it
			t.Fatal(err)
		}
		wait.Go(func() {
			for name := range next {
				photograph(t, ctx, st, dir, name)
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	wait.Wait()
}

// photograph takes all pictures of one page.
func photograph(t *testing.T, ctx context.Context, st *stage, dir, name string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, size := range [][2]int64{{1280, 800}, {375, 812}} {
		for _, theme := range []string{"light", "dark"} {
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			for _, lang := range []string{"zh-CN", "en"} {
				if err := chromedp.Do(ctx, chromedp.EmulateViewport(size[0], size[1]), chromedp.Navigate(st.URL+"/p/"+name+"?lang="+lang)); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%s.%d.%s.png", name, lang, size[0], theme)), picture, 0o644)
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}
