package user

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

var roomPaths = map[string]string{
	"/account": "page-account", "/account/profile": "page-account-profile", "/account/security": "page-account-security",
	"/account/sessions": "page-account-sessions", "/account/apps": "page-account-apps", "/account/activity": "page-account-activity",
	"/account/privacy": "page-account-privacy",
}

var roomPosts = []string{
	"/account/profile", "/account/picture", "/account/picture/remove", "/account/sessions/end", "/account/sessions/end-others",
	"/account/apps/revoke", "/account/privacy/export",
}

// sid is the session of a browser.
func (b *browser) sid() string {
	id, _, _ := strings.Cut(b.cookie(sessionName), ".")
	return id
}

// upload posts a file as the profile page does.
func (b *browser) upload(field string, data []byte) reply {
	b.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile(field, "me.png")
	if err == nil {
		_, err = part.Write(data)
	}
	if err != nil || form.Close() != nil {
		b.t.Fatal(err)
	}
	return b.postRaw("/account/picture", body.String(), "Content-Type", form.FormDataContentType())
}

func TestEveryRoomIsForTheSignedIn(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	for path := range roomPaths {
		to := b.get(path).to(t)
		if to.Path != "/login" {
			t.Errorf("%s: a stranger is sent to %s", path, to)
		}
	}
	for _, path := range roomPosts {
		if to := b.post(path, url.Values{}).to(t); to.Path != "/login" {
			t.Errorf("POST %s: a stranger is sent to %s", path, to)
		}
	}
	// The page that was asked for is where the sign-in leads.
	flow, challenge := b.begin("/account/activity", fixture(0))
	if to := b.finish(flow, challenge, testCode).to(t); to.Path != "/account/activity" {
		t.Errorf("signed in to %s", to)
	}
	for path, id := range roomPaths {
		for lang, word := range map[string]string{"zh-CN": "概览", "en": "Overview"} {
			r := b.get(path + "?done=nonsense&lang=" + lang)
			r.wants(t, http.StatusOK, id)
			if !strings.Contains(r.body, word) || strings.Contains(r.body, `class="done"`) || !strings.Contains(r.header.Get("Cache-Control"), "no-store") {
				t.Errorf("%s in %s: %s", path, lang, r.body)
			}
		}
	}
	for _, path := range roomPosts {
		r := b.post(path, url.Values{}, "Sec-Fetch-Site", "cross-site")
		if r.status != http.StatusForbidden {
			t.Errorf("POST %s of another site: %d", path, r.status)
		}
	}
}

// An account that is disabled or deleted while its pages are open is nobody's.
func TestALiveSessionEndsWithItsAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		for i, end := range []func(string) error{
			func(id string) error { return h.users.Disable(t.Context(), id) },
			func(id string) error { return h.users.Delete(t.Context(), id) },
		} {
			b := h.browser()
			b.signIn(fixture(i))
			_, u, err := h.users.SessionOf(with(b.cookie(sessionName)))
			if err != nil || end(u.ID) != nil {
				t.Fatal(err)
			}
			for path := range roomPaths {
				if to := b.get(path).to(t); to.Path != "/login" {
					t.Errorf("%s leads to %s", path, to)
				}
			}
			for _, path := range roomPosts {
				if to := b.post(path, url.Values{"nickname": {"back"}}).to(t); to.Path != "/login" {
					t.Errorf("POST %s leads to %s", path, to)
				}
			}
			if to := b.upload("picture", portrait(t)).to(t); to.Path != "/login" {
				t.Errorf("an upload leads to %s", to)
			}
		}
		if n := h.rows(`SELECT count(*) FROM pictures`); n != 0 {
			t.Errorf("%d pictures", n)
		}
	})
}

func TestDevicesAreListedAndSignedOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h, o := connected(t, d)
		h.pages.AccessLife = 10 * time.Minute
		me, mine, stranger := h.browser(), h.browser(), h.browser()
		me.signIn(fixture(0))
		mine.signIn(fixture(0))
		stranger.signIn(fixture(1))
		page := me.get("/account/sessions?lang=en").body
		if first, second := strings.Index(page, me.sid()), strings.Index(page, mine.sid()); first < 0 || second < first || strings.Contains(page, stranger.sid()) {
			t.Fatalf("devices: %s", page)
		}
		if !strings.Contains(page, "198.51.100.0/24") || !strings.Contains(page, "10 minutes") || strings.Contains(page, "198.51.100.7") {
			t.Errorf("devices: %s", page)
		}
		me.post("/account/sessions/end", url.Values{"session": {stranger.sid()}}).fault(t, http.StatusNotFound, "not_found")
		me.post("/account/sessions/end", url.Values{}).fault(t, http.StatusNotFound, "not_found")
		if to := me.post("/account/sessions/end", url.Values{"session": {me.sid()}}).to(t); to.Path != "/logout" {
			t.Errorf("this very device leads to %s", to)
		}
		if len(o.ended) != 0 || mine.get("/account").status != http.StatusOK || stranger.get("/account").status != http.StatusOK {
			t.Fatalf("somebody was signed out: %v", o.ended)
		}
		var wait sync.WaitGroup
		for range 2 { // a double click
			wait.Go(func() {
				if to := me.post("/account/sessions/end", url.Values{"session": {mine.sid()}}).to(t); to.String() != "/account/sessions?done=session_ended" {
					t.Errorf("ended to %s", to)
				}
			})
		}
		wait.Wait()
		if mine.get("/account").status != http.StatusSeeOther || me.get("/account").status != http.StatusOK {
			t.Error("the device is signed in, or this one is not")
		}
		mine.signIn(fixture(0))
		if to := me.post("/account/sessions/end-others", url.Values{}).to(t); to.String() != "/account/sessions?done=others_ended" {
			t.Errorf("ended to %s", to)
		}
		if mine.get("/account").status != http.StatusSeeOther || me.get("/account").status != http.StatusOK || stranger.get("/account").status != http.StatusOK {
			t.Error("the wrong devices are signed in")
		}
	})
}

func TestManyDevicesAreCut(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	b := h.browser()
	b.signIn(fixture(0))
	for range sessionsShown {
		h.signIn(fixture(0))
	}
	page := b.get("/account/sessions?lang=en").body
	if n := strings.Count(page, `id="session-`); n > sessionsShown+1 || !strings.Contains(page, "Older sign-ins are not shown") || !strings.Contains(page, "session-"+b.sid()) {
		t.Errorf("%d devices", n)
	}
}

func TestAppsAreShownAndWithdrawn(t *testing.T) {
	h, o := connected(t, dbtest.Open(t))
	b, other := h.browser(), h.browser()
	b.signIn(fixture(0))
	mine := h.only(t).ID
	other.signIn(fixture(1))
	o.held[mine] = Held{Consents: []Consent{{ClientID: "shop", Scopes: []string{"openid", "phone", "orders"}, GrantedAt: time.Now()}}}
	for _, path := range []string{"/account/apps", "/account/privacy"} {
		r := b.get(path + "?lang=en")
		if !strings.Contains(r.body, "SHOP") || !strings.Contains(r.body, "See your mobile number") || !strings.Contains(r.body, "<code>orders</code>") {
			t.Errorf("%s: %s", path, r.body)
		}
		if strings.Contains(other.get(path).body, "SHOP") {
			t.Errorf("%s shows another person's app", path)
		}
	}
	if policy := b.get("/account/apps").header.Get("Content-Security-Policy"); !strings.Contains(policy, "img-src 'self' https:;") {
		t.Errorf("the logo is forbidden: %s", policy)
	}
	other.post("/account/apps/revoke", url.Values{"client": {"shop"}}).to(t)
	if len(o.ended) != 0 {
		t.Fatalf("another person withdrew: %v", o.ended)
	}
	for range 2 {
		if to := b.post("/account/apps/revoke", url.Values{"client": {"shop"}, "from": {"privacy"}}).to(t); to.String() != "/account/privacy?done=withdrawn" {
			t.Errorf("withdrawn to %s", to)
		}
	}
	if to := b.post("/account/apps/revoke", url.Values{"client": {"shop"}, "from": {"//evil.example"}}).to(t); to.Path != "/account/apps" || to.Host != "" {
		t.Errorf("withdrawn to %s", to)
	}
	if fmt.Sprint(o.ended) != fmt.Sprint([]string{mine + " withdraws shop"}) {
		t.Errorf("%v", o.ended)
	}
	if r := b.get("/account/apps?lang=en&done=withdrawn"); !strings.Contains(r.body, "No app uses your account") || !strings.Contains(r.body, "Access has been withdrawn") {
		t.Errorf("afterwards: %s", r.body)
	}
}

func TestActivityIsPaged(t *testing.T) {
	h, _ := connected(t, dbtest.Open(t))
	b := h.browser()
	b.signIn(fixture(0))
	for i := range eventsShown + 3 {
		if err := h.users.record(t.Context(), "user.updated", "user:"+h.only(t).ID, h.only(t).ID, map[string]string{"i": fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	page := b.get("/account/activity?lang=en")
	older := cut(page.body, `id="activity-older" href="`, `"`)
	if strings.Count(page.body, "Profile changed") != eventsShown || older == "" || strings.Contains(page.body, "Account created") {
		t.Fatalf("the newest: %s", page.body)
	}
	page = b.get(strings.ReplaceAll(older, "&amp;", "&"))
	if strings.Count(page.body, "Profile changed") != 3 || !strings.Contains(page.body, "Account created") || !strings.Contains(page.body, "activity-newest") ||
		strings.Contains(page.body, "activity-older") {
		t.Errorf("older: %s", page.body)
	}
	b.get("/account/activity?before=nonsense").wants(t, http.StatusOK, "activity-newest")
}

// cut is what stands between two texts.
func cut(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	inner, _, _ := strings.Cut(rest, to)
	return inner
}

func TestACopyIsForThePersonWhoProvedIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		b := h.browser()
		b.signIn(fixture(0))
		r := b.post("/account/privacy/export", url.Values{})
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json" || !strings.Contains(r.body, fixture(0)) ||
			!strings.HasPrefix(r.header.Get("Content-Disposition"), `attachment; filename="dialtone-`) || r.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", r.status, r.header, r.body)
		}
		r = b.post("/account/privacy/export", url.Values{})
		r.wants(t, http.StatusTooManyRequests, "page-account-privacy")
		if r.header.Get("Retry-After") == "" || !strings.Contains(r.body, `role="alert"`) {
			t.Errorf("at once again: %v %s", r.header, r.body)
		}
		// A sign-in of eleven minutes ago does not do.
		if _, err := d.Exec(t.Context(), `UPDATE sessions SET auth_time = $1`, db.Micros(time.Now().Add(-11*time.Minute))); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Exec(t.Context(), `UPDATE users SET exported_at = 0`); err != nil {
			t.Fatal(err)
		}
		to := b.post("/account/privacy/export", url.Values{}).to(t)
		if to.Path != "/login" {
			t.Fatalf("an old sign-in leads to %s", to)
		}
		challenge := b.post("/login", url.Values{"flow": {to.Query().Get("flow")}, "phone": {fixture(0)}, "agree": {"1"}}).to(t).Query().Get("challenge")
		if back := b.finish(to.Query().Get("flow"), challenge, testCode).to(t); back.Path != "/account/privacy" {
			t.Errorf("signed in again to %s", back)
		}
		if r := b.post("/account/privacy/export", url.Values{}); r.status != http.StatusOK {
			t.Errorf("signed in again: %d", r.status)
		}
	})
}

func TestRoomsSayWhenTheDatabaseIsAway(t *testing.T) {
	d := dbtest.Open(t)
	h := newHouse(t, d)
	b := h.browser()
	b.signIn(fixture(0))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for path := range roomPaths {
		r := httptest.NewRequest(http.MethodGet, issuer+path, nil).WithContext(ctx)
		r.Header.Set("Cookie", sessionName+"="+b.cookie(sessionName))
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		if w.Code < 500 || !strings.Contains(w.Body.String(), "page-error") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
