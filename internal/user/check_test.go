package user

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestAHumanCheckStandsBeforeTheMessage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h, texts, check := guarded(t, d, "2")
		b := h.browser()
		flow := b.open("/start")
		page := b.ask(flow, "138 0013 8060")
		page.wants(t, http.StatusForbidden, "human-check")
		for _, kept := range []string{`value="138 0013 8060"`, " checked", `name="captcha"`, `id="human-status"`, `id="captcha-picture"`, `id="captcha-sound"`, `id="captcha-typed"`} {
			if !strings.Contains(page.body, kept) {
				t.Errorf("the page lacks %s", kept)
			}
		}
		if strings.Contains(page.body, `role="alert"`) {
			t.Error("a check that nobody has failed looks like a mistake")
		}
		if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "worker-src 'self'; media-src 'self'") {
			t.Errorf("policy %s", policy)
		}
		if h.sink.count() != 0 || h.rows(`SELECT count(*) FROM sms_ledger`) != 0 {
			t.Fatal("something was sent before the check was passed")
		}
		to := b.ask(flow, fixture(60), "captcha", page.solution(t)).to(t) // the same number, spelled in another way
		if to.Path != "/login/code" || h.sink.count() != 1 {
			t.Fatalf("sent to %s, %d messages", to, h.sink.count())
		}
		if len(texts.asked) != 2 || texts.asked[0].Human != 0 || texts.asked[1].Human != 2 {
			t.Errorf("asked with %v", texts.asked)
		}
		if !slices.Equal(check.levels, []int{2}) {
			t.Errorf("levels %v, want 2", check.levels)
		}
		b.finish(flow, to.Query().Get("challenge"), h.sink.last(fixture(60))).to(t)
	})
}

func TestNobodyIsCheckedUnasked(t *testing.T) {
	h, texts, check := guarded(t, dbtest.Open(t), "")
	b := h.browser()
	flow := b.open("/start")
	// A proof that nobody asked for and that does not hold: as if it was not there.
	b.ask(flow, fixture(60), "captcha", "forged").to(t)
	if len(check.puzzles) != 0 || texts.asked[0].Human != 0 {
		t.Errorf("%d puzzles, asked with %v", len(check.puzzles), texts.asked)
	}
}

func TestWithoutScriptAPictureIsTheCheck(t *testing.T) {
	h, texts, _ := guarded(t, dbtest.Open(t), "1")
	b := h.browser()
	flow := b.open("/start")
	page := b.ask(flow, fixture(60))
	ticket := page.field("captcha_ticket")
	for path, want := range map[string]string{"png": "PNG of ticket-0", "wav": "WAV zh-CN of ticket-0"} {
		r := b.get("/login/captcha." + path + "?flow=" + flow + "&ticket=" + ticket)
		kind := map[string]string{"png": "image/png", "wav": "audio/wav"}[path]
		if r.status != http.StatusOK || r.body != want || r.header.Get("Content-Type") != kind || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q %v", path, r.status, r.body, r.header)
		}
		if !strings.Contains(page.body, "/login/captcha."+path+"?flow="+flow+"&amp;ticket="+ticket) {
			t.Errorf("the page does not show the %s", path)
		}
		b.get("/login/captcha."+path+"?flow="+flow+"&ticket=x").fault(t, http.StatusNotFound, "not_found")
		b.get("/login/captcha."+path+"?ticket="+ticket).fault(t, http.StatusGone, "flow_expired")
		h.browser().get("/login/captcha."+path+"?flow="+flow+"&ticket="+ticket).fault(t, http.StatusBadRequest, "cookies_required")
	}
	page = b.ask(flow, fixture(60), "captcha", "", "captcha_ticket", ticket, "captcha_typed", "9")
	page.wants(t, http.StatusForbidden, "captcha-typed-error")
	if dataPuzzle.MatchString(page.body) {
		t.Error("who typed digits gets a puzzle for scripts")
	}
	next := page.field("captcha_ticket")
	if next == ticket {
		t.Error("the picture is the old one")
	}
	page = b.ask(flow, fixture(60), "captcha_ticket", next, "captcha_typed", "1", "captcha_picture", "1")
	page.wants(t, http.StatusForbidden, "captcha-picture")
	if strings.Contains(page.body, `role="alert"`) || page.field("captcha_ticket") == next {
		t.Error("asking for another picture is no mistake, and gives another")
	}
	to := b.ask(flow, fixture(60), "captcha_ticket", page.field("captcha_ticket"), "captcha_typed", " 2 ").to(t)
	if to.Path != "/login/code" || texts.asked[len(texts.asked)-1].Human == 0 {
		t.Errorf("sent to %s", to)
	}
}

// T-06: forged, used, another number's, another flow's, another browser's.
func TestAnswersThatDoNotHoldSendNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h, _, check := guarded(t, d, "1")
		a, b := h.browser(), h.browser()
		flow, other := a.open("/start"), a.open("/start?other")
		theirs := b.open("/start")
		solved := a.ask(flow, fixture(60)).solution(t)
		for name, try := range map[string]func() reply{
			"forged":          func() reply { return a.ask(flow, fixture(60), "captcha", "77") },
			"not a proof":     func() reply { return a.ask(flow, fixture(60), "captcha", `{"a":`) },
			"another number":  func() reply { return a.ask(flow, fixture(61), "captcha", solved) },
			"another flow":    func() reply { return a.ask(other, fixture(60), "captcha", solved) },
			"another browser": func() reply { return b.ask(theirs, fixture(60), "captcha", solved) },
			"forged ticket":   func() reply { return a.ask(flow, fixture(60), "captcha_ticket", "x", "captcha_typed", "1") },
		} {
			page := try()
			page.wants(t, http.StatusForbidden, "human-check")
			if !strings.Contains(page.body, `role="alert"`) {
				t.Errorf("%s: the page does not say so", name)
			}
		}
		b.ask(flow, fixture(60), "captcha", solved).fault(t, http.StatusGone, "flow_expired")
		if h.sink.count() != 0 {
			t.Fatal("something was sent")
		}
		a.ask(flow, fixture(60), "captcha", solved).to(t)
		used := a.ask(flow, fixture(62), "captcha", solved)
		used.wants(t, http.StatusForbidden, "human-check")
		if h.sink.count() != 1 || check.used[0] != true {
			t.Errorf("%d messages", h.sink.count())
		}
	})
}

// A script whose proofs fail must not send forms for ever.
func TestAScriptThatFailsTwiceGivesWayToThePicture(t *testing.T) {
	h, _, _ := guarded(t, dbtest.Open(t), "1")
	b := h.browser()
	flow := b.open("/start")
	first := b.ask(flow, fixture(60))
	if first.field("captcha_again") != "" {
		t.Error("the first check is a second one")
	}
	second := b.ask(flow, fixture(60), "captcha", "forged")
	second.solution(t)
	third := b.ask(flow, fixture(60), "captcha", "forged", "captcha_again", second.field("captcha_again"))
	third.wants(t, http.StatusForbidden, "captcha-typed-error")
	if dataPuzzle.MatchString(third.body) || strings.Contains(third.body, "<noscript><div") {
		t.Error("the third check is for scripts again")
	}
}

func TestAPassedCheckIsUsedUpByWhateverFollows(t *testing.T) {
	h, _, _ := guarded(t, dbtest.Open(t), "1")
	b := h.browser()
	flow := b.open("/start")
	b.ask(flow, fixture(60), "captcha", b.ask(flow, fixture(60)).solution(t)).to(t)
	flow = b.open("/start")
	page := b.ask(flow, fixture(60), "captcha", b.ask(flow, fixture(60)).solution(t))
	page.wants(t, http.StatusTooManyRequests, "page-login") // too soon, which no check changes
	if strings.Contains(page.body, "human-check") || page.header.Get("Retry-After") == "" {
		t.Error("the refusal is not the one of the number")
	}
}

// Two tabs, or a button pressed twice: one message.
func TestOneSolvedCheckSendsOneMessage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h, _, _ := guarded(t, d, "1")
		b := h.browser()
		flow := b.open("/start")
		solved := b.ask(flow, fixture(60)).solution(t)
		cookie := flowPrefix + flow + "=" + b.cookie(flowPrefix+flow)
		form := url.Values{"flow": {flow}, "phone": {fixture(60)}, "agree": {"1"}, "captcha": {solved}}.Encode()
		var wait sync.WaitGroup
		var mu sync.Mutex
		counts := map[int]int{}
		for range 20 {
			wait.Go(func() {
				other := h.browser()
				r := other.postRaw("/login", form, "Content-Type", "application/x-www-form-urlencoded", "Cookie", cookie)
				mu.Lock()
				defer mu.Unlock()
				counts[r.status]++
			})
		}
		wait.Wait()
		if counts[http.StatusSeeOther] != 1 || counts[http.StatusForbidden] != 19 || h.sink.count() != 1 {
			t.Errorf("%v, %d messages", counts, h.sink.count())
		}
	})
}

func TestARefusalThatNoCheckCanAnswerIsPlain(t *testing.T) {
	for name, change := range map[string]func(*house, *gate){
		"none":     func(h *house, _ *gate) { h.pages.Captcha = nil },
		"disabled": func(_ *house, g *gate) { g.off = true },
	} {
		h, _, check := guarded(t, dbtest.Open(t), "1")
		change(h, check)
		b := h.browser()
		flow := b.open("/start")
		page := b.ask(flow, fixture(60), "captcha", "0")
		page.wants(t, http.StatusTooManyRequests, "page-login")
		if strings.Contains(page.body, "human-check") {
			t.Errorf("%s: the page has a check", name)
		}
		b.get("/login/captcha.png?flow="+flow+"&ticket=ticket-0").fault(t, http.StatusNotFound, "not_found")
	}
}

// Pictures and sounds cost more to make than to ask for.
func TestPicturesAndSoundsAreRefusedByAddress(t *testing.T) {
	h, _, check := guarded(t, dbtest.Open(t), "1")
	b := h.browser()
	flow := b.open("/start")
	b.ask(flow, fixture(60))
	check.weary = netip.MustParseAddr("198.51.100.7")
	for _, what := range []string{"png", "wav"} {
		r := b.get("/login/captcha." + what + "?flow=" + flow + "&ticket=ticket-0")
		r.fault(t, http.StatusTooManyRequests, "rate_limited")
		if got := r.header.Get("Retry-After"); got != "90" {
			t.Errorf("%s: Retry-After %q", what, got)
		}
	}
	h.now.set(netip.MustParseAddr("198.51.100.8"))
	if r := b.get("/login/captcha.png?flow=" + flow + "&ticket=ticket-0"); r.status != http.StatusOK {
		t.Errorf("elsewhere: %d", r.status)
	}
}

func TestACheckThatCannotBeMadeIsOurMistake(t *testing.T) {
	h, _, check := guarded(t, dbtest.Open(t), "1")
	b := h.browser()
	flow := b.open("/start")
	check.broken = db.ErrUnavailable
	b.ask(flow, fixture(60)).fault(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	b.ask(flow, fixture(60), "captcha", "0").fault(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	if h.sink.count() != 0 {
		t.Error("it failed open")
	}
}

func TestAnotherMessageMayAskForACheckToo(t *testing.T) {
	h, texts, check := guarded(t, dbtest.Open(t), "")
	b := h.browser()
	flow, challenge := b.begin("/start", fixture(0)) // a test number has no cooldown
	texts.want("3")
	form := func(fields ...string) url.Values {
		v := url.Values{"flow": {flow}, "challenge": {challenge}}
		for i := 0; i+1 < len(fields); i += 2 {
			v.Set(fields[i], fields[i+1])
		}
		return v
	}
	page := b.post("/login/code/resend", form())
	page.wants(t, http.StatusForbidden, "page-code")
	if !strings.Contains(page.body, "138****8000") || strings.Contains(page.body, `role="alert"`) || !slices.Equal(check.levels, []int{3}) {
		t.Errorf("levels %v: %s", check.levels, page.body)
	}
	solved := page.solution(t)
	b.post("/login/code/resend", form("captcha", "forged")).wants(t, http.StatusForbidden, "human-check")
	// The check of a re-send is none for another number of the flow.
	b.ask(flow, fixture(1), "captcha", solved).wants(t, http.StatusForbidden, "human-check")
	if to := b.post("/login/code/resend", form("captcha", solved)).to(t); to.Query().Get("challenge") != challenge {
		t.Errorf("re-sent as %s", to)
	}
	last := texts.again[len(texts.again)-1]
	if last.Human == 0 || last.Device == "" || last.Locale != "zh-CN" || !last.Address.IsValid() {
		t.Errorf("asked with %+v", last)
	}
	b.post("/login/code/resend", form("captcha", solved)).wants(t, http.StatusForbidden, "human-check")
	b.finish(flow, challenge, testCode).to(t)
	b.post("/login/code/resend", form("captcha", solved)).to(t) // the flow is over: on to the account
}

// The device is a name for limits, of the browser's cookie and nothing else.
func TestABrowserKeepsItsName(t *testing.T) {
	h, texts, _ := guarded(t, dbtest.Open(t), "")
	b := h.browser()
	flow := b.open("/start")
	id, _, _ := strings.Cut(b.cookie(deviceName), ".")
	if raw, err := base64.RawURLEncoding.DecodeString(id); err != nil || len(raw) != deviceIDSize {
		t.Fatalf("the login page left the cookie %q", b.cookie(deviceName))
	}
	challenge := b.ask(flow, fixture(0)).to(t).Query().Get("challenge")
	b.finish(flow, challenge, testCode).to(t)
	flow = b.open("/start")
	b.ask(flow, fixture(0)).to(t)
	bare := h.browser()
	flow = bare.open("/start")
	bare.setCookie(deviceName, "forged")
	answer := bare.ask(flow, fixture(1))
	answer.to(t)
	got := []string{texts.asked[0].Device, texts.asked[1].Device, texts.asked[2].Device}
	if got[0] != id || got[1] != id || got[2] != "" {
		t.Errorf("devices %q, want %q twice and none", got, id)
	}
	if !texts.asked[1].KnownDevice || texts.asked[0].KnownDevice {
		t.Error("the sign-in did not make the device known")
	}
	if bare.cookie(deviceName) == "forged" {
		t.Error("the forged cookie was kept")
	}
	without := h.browser() // a browser that keeps no such cookie signs in all the same
	flow = without.open("/start")
	without.setCookie(deviceName, "")
	challenge = without.ask(flow, fixture(2)).to(t).Query().Get("challenge")
	without.finish(flow, challenge, testCode).to(t)
}
