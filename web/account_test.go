package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

func TestTimesAreSaidAsPeopleSayThem(t *testing.T) {
	s := newSite(t, Options{})
	for past, want := range map[time.Duration][2]string{
		-7 * 24 * time.Hour: {"2026年11月27日 12:00", "27 November 2026, 04:00"}, -time.Hour: {"2026年11月20日 13:00", "20 November 2026, 05:00"},
		-time.Minute: {"刚刚", "just now"}, 0: {"刚刚", "just now"}, 59 * time.Second: {"刚刚", "just now"},
		time.Minute: {"1 分钟前", "1 minute ago"}, 59*time.Minute + 59*time.Second: {"59 分钟前", "59 minutes ago"},
		time.Hour: {"1 小时前", "1 hour ago"}, 24*time.Hour - 1: {"23 小时前", "23 hours ago"},
		24 * time.Hour: {"2026年11月19日 12:00", "19 November 2026, 04:00"}, 10 * time.Hour * 24: {"2026年11月10日 12:00", "10 November 2026, 04:00"},
	} {
		for i, e := range s.editions {
			v := &view{edition: e, now: noon}
			m := v.Moment(noon.Add(-past))
			if m.Text != want[i] || m.ISO != noon.Add(-past).Format(time.RFC3339) || m.Full == "" {
				t.Errorf("%v ago in %s: %+v, want %s", past, e.tag, m, want[i])
			}
		}
	}
	evening := time.Date(2026, 11, 19, 20, 0, 0, 0, time.UTC)
	for i, want := range []string{"2026年11月20日", "19 November 2026"} {
		v := &view{edition: s.editions[i], now: noon}
		if got := v.Day(evening).Text; got != want {
			t.Errorf("the day is %s, want %s", got, want)
		}
		if v.Day(time.Time{}) != (moment{}) || v.Moment(time.Time{}) != (moment{}) {
			t.Error("a time that is not known is shown")
		}
	}
}

func TestDevicesAndEventsAreNamed(t *testing.T) {
	s := newSite(t, Options{})
	for d, want := range map[Device][2]string{
		{Browser: "WeChat", OS: "Android"}: {"Android 上的 微信", "WeChat on Android"}, {Browser: "Edge"}: {"Edge", "Edge"},
		{OS: "iOS"}: {"iOS", "iOS"}, {}: {"未知设备", "Unknown device"},
	} {
		for i, e := range s.editions {
			if got := (&view{edition: e}).DeviceText(d); got != want[i] {
				t.Errorf("%+v in %s: %s", d, e.tag, got)
			}
		}
	}
	for name, want := range map[string]string{"login.succeeded": "Signed in", "no.such": "Something else changed", "": "Something else changed", "unknown": "Something else changed"} {
		if got := (&view{edition: s.editions[1]}).EventText(name); got != want {
			t.Errorf("%q reads %q", name, got)
		}
	}
	for name, want := range map[string]string{"ada": "A", "小满": "小", "": "", "🌾": "", " x": ""} {
		if got := (&view{}).Initial(name); got != want {
			t.Errorf("the initial of %q is %q", name, got)
		}
	}
}

// Of the rooms exactly the open one is marked, and each can be reached from each.
func TestRoomsLeadToEachOther(t *testing.T) {
	s := newSite(t, Options{})
	for name, p := range samples() {
		room := p.facts().room
		if room == "" {
			continue
		}
		doc := parseHTML(t, render(t, s, p, "en"))
		current, path := "page", p.facts().path
		if p.facts().inner { // the room is open, its own page is not
			current, path = "true", "/account/"+room
		}
		marked := find(doc, func(n *html.Node) bool {
			return n.Data == "a" && attr(n, "aria-current") == current && strings.HasPrefix(attr(n, "href"), "/account")
		})
		if len(marked) != 1 || attr(marked[0], "href") != path {
			t.Errorf("%s: %d rooms are marked", name, len(marked))
		}
		for _, path := range []string{"", "/profile", "/security", "/sessions", "/apps", "/activity", "/privacy"} {
			if len(find(doc, func(n *html.Node) bool { return n.Data == "a" && attr(n, "href") == "/account"+path })) == 0 {
				t.Errorf("%s: no way to /account%s", name, path)
			}
		}
	}
}

func TestLogosOfSeveralClientsMayBeShown(t *testing.T) {
	s := newSite(t, Options{})
	app := func(logo string) ConnectedApp { return ConnectedApp{Client: Client{ID: "a", LogoURI: logo}} }
	for want, apps := range map[string][]ConnectedApp{
		"img-src 'self'; ":                              {app(""), app("http://shop.example/l.png"), app("javascript:x")},
		"img-src 'self' https:; ":                       {app("https://a.example/l.png"), app("https://b.example/l.png"), app("")},
		"img-src 'self' https: http://localhost:3000; ": {app("https://a.example/l.png"), app("http://localhost:3000/l.png")},
	} {
		w := render(t, s, AccountApps{Apps: apps}, "en")
		if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, want) {
			t.Errorf("policy %s, want %s", got, want)
		}
		if strings.Contains(w.Body.String(), "http://shop.example") {
			t.Error("a logo is loaded without encryption")
		}
	}
}

func TestALanguageIsChosenForTheBrowser(t *testing.T) {
	s := newSite(t, Options{Secure: true})
	for tag, want := range map[string]bool{"en": true, "zh-CN": true, "fr": false, "": false} {
		w := httptest.NewRecorder()
		s.Choose(w, tag)
		r := httptest.NewRequest(http.MethodGet, "/account", nil)
		for _, c := range w.Result().Cookies() {
			r.AddCookie(c)
		}
		if s.Chosen(r) != want || want && s.Language(r, []string{"zh-CN", "en"}) != tag {
			t.Errorf("%q: chosen %t, pages in %s", tag, s.Chosen(r), s.Language(r, nil))
		}
	}
}

// Where a time of day is shown, the page says in which zone.
func TestTimesOfDayHaveAZone(t *testing.T) {
	s := newSite(t, Options{})
	for name, p := range samples() {
		for _, e := range s.editions {
			doc := parseHTML(t, render(t, s, p, e.tag))
			clocks := find(doc, func(n *html.Node) bool { return n.Data == "time" && attr(n, "title") != "" })
			if len(clocks) > 0 && p.facts().template != "account-privacy" && // which shows days
				!strings.Contains(text(doc), e.fixed["date.zone_note"]) {
				t.Errorf("%s in %s shows times without their zone", name, e.tag)
			}
		}
	}
}
