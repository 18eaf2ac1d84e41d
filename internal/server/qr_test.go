package server_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
)

// drawnQR is a QR code that a browser shows for an authorize request.
type drawnQR struct{ flow, id, code string }

func (d drawnQR) page() string {
	return "/login/qr?" + url.Values{"flow": {d.flow}, "request": {d.id}}.Encode()
}

func (d drawnQR) form() url.Values { return url.Values{"flow": {d.flow}, "request": {d.id}} }

var typedCode = regexp.MustCompile(`id="qr-code"[^>]*>([A-Z-]+)<`)

// drawQR goes from the authorize request to the page with the code.
func (a *agent) drawQR(q request) drawnQR {
	a.t.Helper()
	return a.drawQRFor(a.authorize(q).location(a.t).Query().Get("flow"))
}

func (a *agent) drawQRFor(flow string) drawnQR {
	a.t.Helper()
	to := a.get("/login/qr?flow=" + flow).location(a.t)
	page := a.get(to.String())
	m := typedCode.FindStringSubmatch(page.body)
	if page.status != http.StatusOK || m == nil {
		a.t.Fatalf("page with the code: %d %s", page.status, page.body)
	}
	return drawnQR{flow: flow, id: to.Query().Get("request"), code: m[1]}
}

// scanQR is a phone that is signed in and looks at the code.
func (a *agent) scanQR(d drawnQR) {
	a.t.Helper()
	if page := a.get("/qr/" + d.id); page.status != http.StatusOK || !strings.Contains(page.body, `id="page-qr-confirm"`) {
		a.t.Fatalf("page to confirm: %d %s", page.status, page.body)
	}
}

func (a *agent) allowQR(d drawnQR) reply {
	a.t.Helper()
	return a.post("/qr/"+d.id, url.Values{"decision": {"allow"}})
}

func TestSignInByQRCode(t *testing.T) {
	each(t, func(t *testing.T, s *stack) {
		phone, desk, number := newAgent(t, s), newAgent(t, s), newNumber()
		other := newRequest("web2", "https://rp2.example/cb")
		first := claimsOf(t, phone.redeem(other, phone.signIn(other, number)))

		q := newRequest("web", "https://rp.example/cb")
		d := desk.drawQR(q)
		if to := phone.post("/qr", url.Values{"code": {d.code}}).location(t); to.Path != "/qr/"+d.id {
			t.Errorf("the typed code leads to %s", to)
		}
		phone.scanQR(d)
		if to := phone.allowQR(d).location(t); to.Path != "/qr/"+d.id {
			t.Fatalf("sent to %s", to)
		}
		u, _ := url.Parse(s.issuer)
		cookies := desk.client.Jar.Cookies(u)
		codes := together(64, func(int) string {
			tab := newAgent(t, s)
			tab.client.Jar.SetCookies(u, cookies)
			to := tab.post("/login/qr", d.form()).location(t)
			if to.Host != "rp.example" {
				return ""
			}
			return to.Query().Get("code")
		})
		delete(codes, "")
		if len(codes) != 1 {
			t.Fatalf("%d of 64 signed in", len(codes))
		}
		for code := range codes {
			got := claimsOf(t, desk.redeem(q, code))
			for _, claim := range []string{"sub", "auth_time", "acr"} {
				if got[claim] == nil || got[claim] != first[claim] {
					t.Errorf("%s is %v, the phone's is %v", claim, got[claim], first[claim])
				}
			}
			if got["sid"] == first["sid"] {
				t.Error("the desktop has the phone's session")
			}
		}
		log := s.log.String()
		for _, secret := range []string{d.id, d.code, strings.ReplaceAll(d.code, "-", ""), strings.TrimPrefix(number, "+86")} {
			if strings.Contains(log, secret) {
				t.Errorf("the log has %s", secret)
			}
		}
	})
}

// claimsOf are those of an ID token, unverified.
func claimsOf(t *testing.T, r reply) map[string]any {
	t.Helper()
	return claims(t, text(r.json(t), "id_token"))
}

// A client that wants a fresh proof gets one, made on the phone.
func TestQRCodeForAClientThatWantsAFreshProof(t *testing.T) {
	s := start(t, modes[0])
	const number = "+8613800138999" // a test number: it may have two codes within a minute
	for name, extra := range map[string]url.Values{"prompt": {"prompt": {"login"}}, "max_age": {"max_age": {"0"}}} {
		t.Run(name, func(t *testing.T) {
			phone, desk := newAgent(t, s), newAgent(t, s)
			phone.prove(phone.get("/login").location(t).Query().Get("flow"), number)
			s.age(t)
			q := newRequest("web", "https://rp.example/cb")
			q.extra = extra
			d := desk.drawQR(q)
			phone.scanQR(d)
			to := phone.allowQR(d).location(t)
			if to.Path != "/login" {
				t.Fatalf("an old proof leads to %s", to)
			}
			if to := desk.post("/login/qr", d.form()).location(t); to.Path != "/login/qr" {
				t.Fatalf("and signs in to %s", to)
			}
			if to := phone.prove(to.Query().Get("flow"), number).location(t); to.Path != "/qr/"+d.id {
				t.Fatalf("after the proof the phone is at %s", to)
			}
			phone.scanQR(d)
			phone.allowQR(d)
			if desk.codeOf(q, desk.post("/login/qr", d.form())) == "" {
				t.Error("no code")
			}
		})
	}
}

// prove signs in with a test number, from the sign-in page of a flow on.
func (a *agent) prove(flow, number string) reply {
	a.t.Helper()
	to := a.post("/login", url.Values{"flow": {flow}, "phone": {number}, "agree": {"1"}}).location(a.t)
	return a.finish(waiting{flow: flow, challenge: to.Query().Get("challenge"), code: "246810"})
}

// age makes every proof an hour older.
func (s *stack) age(t *testing.T) {
	t.Helper()
	d, err := db.Open(t.Context(), s.database)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Exec(t.Context(), `UPDATE sessions SET auth_time = auth_time - $1`, time.Hour.Microseconds()); err != nil {
		t.Fatal(err)
	}
}

// Redis stops, restarts empty or is flushed between any two steps: then a person
// starts again, and nobody is signed in by what was before.
func TestRedisGoesAwayInTheMiddleOfAQRCode(t *testing.T) {
	needed(t, "DIALTONE_TEST_POSTGRES")
	redis := startRedis(t)
	s := startWith(t, mode{"two replicas", true, true, 2}, options{redisURL: "redis://" + redis.addr})
	phone, number := newAgent(t, s), newNumber()
	phone.signIn(newRequest("web", "https://rp.example/cb"), number)
	lose := map[string]func(){
		"flush":   redis.flush,
		"restart": func() { redis.stop(); redis.start() },
	}
	for name, lose := range lose {
		for _, when := range []string{"waiting", "scanned", "allowed"} {
			t.Run(name+" when "+when, func(t *testing.T) {
				desk, q := newAgent(t, s), newRequest("web", "https://rp.example/cb")
				d := desk.drawQR(q)
				if when != "waiting" {
					phone.scanQR(d)
				}
				if when == "allowed" {
					phone.allowQR(d)
				}
				lose()
				phone.allowQR(d)
				desk.startsAgain(d)
				second := desk.drawQRFor(d.flow)
				phone.scanQR(second)
				phone.allowQR(second)
				if desk.codeOf(q, desk.post("/login/qr", second.form())) == "" {
					t.Error("no code")
				}
			})
		}
	}
	t.Run("away", func(t *testing.T) {
		desk, q := newAgent(t, s), newRequest("web", "https://rp.example/cb")
		d := desk.drawQR(q)
		phone.scanQR(d)
		phone.allowQR(d)
		redis.stop()
		desk.startsAgain(d)
		second := desk.drawQRFor(d.flow) // lives in SQL
		phone.scanQR(second)
		redis.start()
		phone.allowQR(second)
		desk.startsAgain(d)
		if desk.codeOf(q, desk.post("/login/qr", second.form())) == "" {
			t.Error("no code")
		}
	})
}

// startsAgain checks that a code is over.
func (a *agent) startsAgain(d drawnQR) {
	a.t.Helper()
	if to := a.post("/login/qr", d.form()).location(a.t); to.Path != "/login/qr" {
		a.t.Fatalf("a lost code signs in to %s", to)
	}
	if page := a.get(d.page()); page.status != http.StatusOK || !strings.Contains(page.body, `id="qr-again"`) {
		a.t.Fatalf("no way to start again: %d %s", page.status, page.body)
	}
}
