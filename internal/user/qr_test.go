package user

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
)

const desktopAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

// eachQRHouse runs a test on every store that requests by QR code may live in.
func eachQRHouse(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d *db.DB) { test(t, newHouse(t, d)) })
	redis := os.Getenv("DIALTONE_TEST_REDIS")
	if redis == "" {
		if os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
			t.Fatal("DIALTONE_TEST_REDIS is not set")
		}
		return
	}
	t.Run("redis", func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		r, err := ephemeral.OpenRedis(redis+"?timeout=5s", ephemeral.Options{Prefix: "test-" + db.NewID() + ":"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		h.pages.Ephemeral = ephemeral.New(t.Context(), h.short, r, nil)
		test(t, h)
	})
}

// drawn is a QR code that a browser shows.
type drawn struct {
	*browser
	flow, id, code string
}

func (d drawn) query() string { return "?flow=" + d.flow + "&request=" + d.id }

var typedCode = regexp.MustCompile(`id="qr-code"[^>]*>([A-Z]{4}-[A-Z]{4})<`)

// drawQR opens the pages by path ("/login" or "/start...") and asks for a code.
func (b *browser) drawQR(path string) drawn {
	b.t.Helper()
	flow := b.get(path).to(b.t).Query().Get("flow")
	if page := b.get("/login?flow=" + flow); !strings.Contains(page.body, `href="/login/qr?flow=`+flow+`"`) {
		b.t.Fatalf("the sign-in page does not lead to the QR code: %s", page.body)
	}
	r, err := http.NewRequest(http.MethodGet, b.base+"/login/qr?flow="+flow, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("User-Agent", desktopAgent)
	to := b.do(r).to(b.t)
	d := drawn{browser: b, flow: flow, id: to.Query().Get("request")}
	page := b.get(to.String())
	page.wants(b.t, http.StatusOK, "page-qr")
	m := typedCode.FindStringSubmatch(page.body)
	if m == nil || !strings.Contains(page.body, "<svg xmlns") {
		b.t.Fatalf("no code to scan or to type: %s", page.body)
	}
	d.code = m[1]
	return d
}

// state is what the page's script learns.
func (d drawn) state() string {
	d.t.Helper()
	var a qrAnswer
	r := d.get("/login/qr/status" + d.query() + "&lang=en")
	if err := json.Unmarshal([]byte(r.body), &a); err != nil || r.status != http.StatusOK || a.Text == "" {
		d.t.Fatalf("status %d: %s", r.status, r.body)
	}
	return a.State
}

func (d drawn) finish() reply {
	d.t.Helper()
	return d.post("/login/qr", url.Values{"flow": {d.flow}, "request": {d.id}})
}

// shows checks what the page says after a reload.
func (d drawn) shows(state string) {
	d.t.Helper()
	page := d.get("/login/qr" + d.query())
	page.wants(d.t, http.StatusOK, "page-qr")
	if !strings.Contains(page.body, `data-state="`+state+`"`) {
		d.t.Fatalf("want %s: %s", state, page.body)
	}
}

func (b *browser) scan(d drawn) reply {
	b.t.Helper()
	return b.get("/qr/" + d.id)
}

func (b *browser) decide(d drawn, decision string) reply {
	b.t.Helper()
	return b.post("/qr/"+d.id, url.Values{"decision": {decision}})
}

// allow scans and allows.
func (b *browser) allow(d drawn) {
	b.t.Helper()
	b.scan(d).wants(b.t, http.StatusOK, "page-qr-confirm")
	if to := b.decide(d, "allow").to(b.t); to.Path != "/qr/"+d.id {
		b.t.Fatalf("sent to %s", to)
	}
}

// sessionOf is the session of a browser; db.ErrNotFound if it is not signed in.
func (h *house) sessionOf(b *browser) (Session, User, error) {
	return h.users.SessionOf(with(b.cookie(sessionName)))
}

func (h *house) mustSession(b *browser) (Session, User) {
	h.t.Helper()
	s, u, err := h.sessionOf(b)
	if err != nil {
		h.t.Fatalf("not signed in: %v", err)
	}
	return s, u
}

func (h *house) wantsStranger(b *browser) {
	h.t.Helper()
	if _, u, err := h.sessionOf(b); !isNotFound(err) {
		h.t.Fatalf("signed in as %s, %v", u.ID, err)
	}
}

func TestAPhoneSignsADesktopIn(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk := h.browser(), h.browser()
		phone.signIn(fixture(0))
		d := desk.drawQR("/start?state=1")
		if d.state() != qrWaiting {
			t.Errorf("at first %s", d.state())
		}
		page := phone.scan(d)
		page.wants(t, http.StatusOK, "page-qr-confirm")
		for _, want := range []string{"Shop", "Chrome · Windows", "198.51.100.*", "138****8000"} {
			if !strings.Contains(page.body, want) {
				t.Errorf("the phone does not show %s", want)
			}
		}
		if d.state() != qrScanned {
			t.Errorf("after the scan %s", d.state())
		}
		if to := d.finish().to(t); to.Path != "/login/qr" { // a scan allows nothing
			t.Errorf("sent to %s", to)
		}
		h.wantsStranger(desk)
		phone.allow(d) // scanning again does no harm
		if d.state() != qrAllowed {
			t.Errorf("after the approval %s", d.state())
		}
		d.shows(qrAllowed)
		phone.scan(d).wants(t, http.StatusOK, "page-qr-result")
		if to := d.finish().to(t); to.String() != "https://rp.example/cb?from=start&state=1" {
			t.Errorf("sent to %s", to)
		}

		from, owner := h.mustSession(phone)
		got, u := h.mustSession(desk)
		if u.ID != owner.ID || got.ID == from.ID {
			t.Errorf("session %s of %s", got.ID, u.ID)
		}
		if !got.AuthTime.Equal(from.AuthTime) || got.ACR != from.ACR || !cmp.Equal(got.AMR, from.AMR) || got.ExpiresAt.After(from.ExpiresAt) {
			t.Errorf("the copy %+v says more than %+v", got, from)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'login.succeeded' AND user_id = $1 AND detail LIKE '%"method":"qr"%' AND detail LIKE $2`,
			u.ID, `%"allowed_in":"`+from.ID+`"%`); n != 1 {
			t.Errorf("%d records", n)
		}
		if h.users.KnownDevice(withCookies(desk), number(t, fixture(0))) {
			t.Error("the desktop, where no code was typed, is remembered")
		}
		phone.scan(d).wants(t, http.StatusOK, "page-qr-result")
	})
}

// withCookies is a request of a browser.
func withCookies(b *browser) *http.Request {
	r := with(b.cookie(sessionName))
	u, _ := url.Parse(b.base)
	r.Header.Del("Cookie")
	for _, c := range b.c.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	return r
}

func TestSixtyFourFinishesMakeOneSession(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk := h.browser(), h.browser()
		phone.signIn(fixture(0))
		d := desk.drawQR("/start")
		phone.allow(d)
		u, _ := url.Parse(issuer)
		cookies := desk.c.Jar.Cookies(u)
		var (
			wait  sync.WaitGroup
			mu    sync.Mutex
			start = make(chan struct{})
			won   int
		)
		for range 64 {
			tab := h.browser()
			for _, c := range cookies {
				tab.setCookie(c.Name, c.Value)
			}
			wait.Go(func() {
				<-start
				r := tab.post("/login/qr", url.Values{"flow": {d.flow}, "request": {d.id}})
				mu.Lock()
				defer mu.Unlock()
				if tab.cookie(sessionName) != "" {
					won++
				}
				if r.status != http.StatusSeeOther {
					t.Errorf("status %d: %s", r.status, r.body)
				}
			})
		}
		close(start)
		wait.Wait()
		if n := h.rows(`SELECT count(*) FROM sessions`); won != 1 || n != 2 {
			t.Errorf("%d of 64 were signed in, %d sessions", won, n)
		}
	})
}

func TestADeclinedCodeSignsNobodyIn(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk := h.browser(), h.browser()
		phone.signIn(fixture(0))
		d := desk.drawQR("/login")
		phone.scan(d).wants(t, http.StatusOK, "page-qr-confirm")
		phone.decide(d, "deny").to(t)
		phone.scan(d).wants(t, http.StatusOK, "page-qr-result")
		if d.state() != qrDeclined {
			t.Errorf("state %s", d.state())
		}
		phone.decide(d, "allow").to(t) // too late
		d.finish().to(t)
		d.shows(qrDeclined)
		h.wantsStranger(desk)
		if again := desk.get("/login/qr?flow=" + d.flow).to(t); again.Query().Get("request") == d.id {
			t.Error("a new code is the old one")
		}
	})
}

func TestNothingIsAllowedWithoutAScanOrADecision(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk := h.browser(), h.browser()
		phone.signIn(fixture(0))
		d := desk.drawQR("/login")
		phone.decide(d, "allow").to(t)
		if d.state() != qrWaiting {
			t.Errorf("allowed without being looked at: %s", d.state())
		}
		phone.scan(d).wants(t, http.StatusOK, "page-qr-confirm")
		phone.decide(d, "perhaps").fault(t, http.StatusBadRequest, "invalid_request")
		phone.post("/qr/"+d.id, url.Values{"decision": {"allow"}}, "Sec-Fetch-Site", "cross-site")
		if d.state() != qrScanned {
			t.Errorf("state %s", d.state())
		}
	})
}

func TestACodeBelongsToWhoScannedItFirst(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		first, second, desk := h.browser(), h.browser(), h.browser()
		first.signIn(fixture(0))
		second.signIn(fixture(1))
		d := desk.drawQR("/login")
		first.scan(d).wants(t, http.StatusOK, "page-qr-confirm")
		second.scan(d).wants(t, http.StatusConflict, "page-qr-result")
		second.decide(d, "allow").to(t)
		second.decide(d, "deny").to(t)
		if d.state() != qrScanned {
			t.Fatalf("somebody else decided: %s", d.state())
		}
		first.allow(d)
		d.finish().to(t)
		_, want := h.mustSession(first)
		if _, u := h.mustSession(desk); u.ID != want.ID {
			t.Errorf("signed in as %s", u.ID)
		}
	})
}

func TestManyScansOneOwner(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		d := h.browser().drawQR("/login")
		phones := make([]*browser, 16)
		for i := range phones {
			phones[i] = h.browser()
			phones[i].signIn(fixture(i))
		}
		var wait sync.WaitGroup
		var mu sync.Mutex
		count := map[int]int{}
		for _, phone := range phones {
			wait.Go(func() {
				r := phone.scan(d)
				mu.Lock()
				defer mu.Unlock()
				count[r.status]++
			})
		}
		wait.Wait()
		if count[http.StatusOK] != 1 || count[http.StatusConflict] != len(phones)-1 {
			t.Errorf("answers: %v", count)
		}
	})
}

// The code alone, or another flow, finishes nothing and learns nothing; and it
// does not use the approval up.
func TestAnotherBrowserCannotFinish(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk, thief := h.browser(), h.browser(), h.browser()
		phone.signIn(fixture(0))
		d := desk.drawQR("/login")
		mine := thief.drawQR("/login")
		phone.allow(d)
		mixed := drawn{browser: thief, flow: mine.flow, id: d.id}
		mixed.finish().to(t)
		h.wantsStranger(thief)
		if mixed.state() != qrExpired {
			t.Errorf("another browser learns %s", mixed.state())
		}
		mixed.shows(qrExpired)
		drawn{browser: thief, flow: d.flow, id: d.id}.finish().fault(t, http.StatusGone, "flow_expired")
		if r := thief.get("/login/qr/status" + d.query()); r.status != http.StatusGone {
			t.Errorf("status without the flow: %d", r.status)
		}
		h.wantsStranger(thief)
		d.finish().to(t)
		h.mustSession(desk)
	})
}

func TestAFinishedCodeIsOver(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk, twin := h.browser(), h.browser(), h.browser()
		phone.signIn(fixture(0))
		h.next.keep = true // as for a consent page
		d := desk.drawQR("/start")
		twin.setCookie(flowPrefix+d.flow, desk.cookie(flowPrefix+d.flow)) // of before
		phone.allow(d)
		d.finish().to(t)
		replay := drawn{browser: twin, flow: d.flow, id: d.id}
		replay.finish().to(t)
		replay.shows(qrExpired)
		h.wantsStranger(twin)
		if replay.state() != qrDone {
			t.Errorf("state %s", replay.state())
		}
		// In the browser that it signed in, the back button leads on.
		if to := desk.get("/login/qr" + d.query()).to(t); to.Host != "rp.example" {
			t.Errorf("sent to %s", to)
		}
		phone.decide(d, "deny").to(t)
		h.mustSession(desk)
		if n := h.rows(`SELECT count(*) FROM sessions`); n != 2 {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestABackButtonAfterADirectVisitLeadsToTheAccount(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	phone, desk := h.browser(), h.browser()
	phone.signIn(fixture(0))
	d := desk.drawQR("/login")
	phone.allow(d)
	if to := d.finish().to(t); to.Path != "/account" {
		t.Errorf("sent to %s", to)
	}
	if to := desk.get("/login/qr" + d.query()).to(t); to.Path != "/account" {
		t.Errorf("sent back to %s", to)
	}
}
