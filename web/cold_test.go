package web

import (
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// What a first visit costs over the wire: the page, its sheet and its script, and
// where a human check is, what solves that. A client's logo is the client's.
func TestColdPagesCostLittle(t *testing.T) {
	parent := browser(t)
	if parent == nil {
		return
	}
	st, names := newGallery(t)
	var mu sync.Mutex
	ours, size := map[network.RequestID]string{}, 0.0
	err := chromedp.Listen(parent, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if strings.HasPrefix(e.Request.URL, "http") && !strings.HasSuffix(e.Request.URL, "/logo.svg") && !strings.Contains(e.Request.URL, "/captcha.") && !strings.Contains(e.Request.URL, "/account/picture/") && !strings.Contains(e.Request.URL, "/status?") {
				ours[e.RequestID] = strings.TrimPrefix(e.Request.URL, st.URL)
			}
		case *network.EventLoadingFinished:
			if ours[e.RequestID] != "" {
				size += e.EncodedDataLength
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(parent, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}); err != nil {
		t.Fatal(err)
	}
	heaviest := 0.0
	for _, name := range names {
		tab{t, parent}.do(chromedp.Navigate("about:blank"))
		mu.Lock()
		clear(ours)
		size = 0
		mu.Unlock()
		tab{t, parent}.do(chromedp.Navigate(st.URL + "/p/" + name + "?lang=zh-CN"))
		mu.Lock()
		most := 3
		for _, url := range ours {
			if strings.Contains(url, "/pow.") || strings.Contains(url, "/geetest.") || strings.Contains(url, "vendor.example") {
				most++
			}
		}
		if len(ours) > most || len(ours) < 2 || size > 40<<10 || size < 2<<10 {
			t.Errorf("%s: %d requests and %.0f bytes: %v", name, len(ours), size, ours)
		}
		heaviest = max(heaviest, size)
		mu.Unlock()
	}
	t.Logf("the heaviest page costs %.0f bytes", heaviest)
}
