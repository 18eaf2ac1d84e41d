package user

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms"
)

// told is a service that knows more of its messages than a provider said.
type told struct {
	*sms.Service
	status, reason string
}

func (s *told) Get(ctx context.Context, ref sms.Ref) (sms.Challenge, error) {
	c, err := s.Service.Get(ctx, ref)
	if s.status != "" {
		c.Status, c.Reason = s.status, s.reason
	}
	return c, err
}

func (b *browser) status(flow, challenge string) reply {
	b.t.Helper()
	return b.get("/login/code/status?flow=" + flow + "&challenge=" + challenge + "&lang=en")
}

// state reads a status answer, which has these members and no others.
func (r reply) state(t testing.TB) statusAnswer {
	t.Helper()
	var a statusAnswer
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); r.status != http.StatusOK || err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return a
}

func TestTheStatusIsWhatThePageShows(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	texts := &told{Service: h.sms}
	h.pages.SMS = texts
	b := h.browser()
	flow, challenge := b.begin("/start", fixture(60))
	seen := map[string]bool{}
	for _, s := range []struct{ status, reason string }{
		{"sending", ""},
		{"sent", ""},
		{"unknown", ""},
		{"delivered", ""},
		{"undelivered", ""},
		{"undelivered", "off"},
		{"undelivered", "number"},
		{"undelivered", "blocked"},
		{"undelivered", "limited"},
	} {
		texts.status, texts.reason = s.status, s.reason
		answer := b.status(flow, challenge)
		got := answer.state(t)
		if got.Status != s.status || got.Reason != s.reason || got.ResendIn < 55 || got.ResendIn > 60 || got.ExpiresIn < 290 || got.ExpiresIn > 300 {
			t.Errorf("%v: %+v", s, got)
		}
		page := b.get("/login/code?flow=" + flow + "&challenge=" + challenge + "&lang=en")
		if text := strings.ReplaceAll(got.Text, "'", "&#39;"); text == "" || seen[text] || !strings.Contains(page.body, `role="status" data-state="`+s.status+`"`) || !strings.Contains(page.body, text+"</p>") {
			t.Errorf("%v: the page does not say %q, or that is said of another state", s, got.Text)
		}
		seen[got.Text] = true
		if strings.Contains(answer.body, "8060") || strings.Contains(answer.body, h.sink.last(fixture(60))) {
			t.Error("the status names the number or the code")
		}
		if answer.header.Get("Cache-Control") != "no-store" || answer.header.Get("Content-Type") != "application/json" || len(answer.header.Values("Set-Cookie")) != 0 {
			t.Errorf("headers %v", answer.header)
		}
		under := s.status == "sending" || s.status == "sent" || s.status == "unknown"
		if strings.Contains(page.body, `id="check-again"`) != under {
			t.Errorf("%v: without script there is, or is not, a way to check again", s)
		}
	}
	texts.status, texts.reason = "undelivered", "solar wind"
	if got := b.status(flow, challenge).state(t); got.Text == "" {
		t.Error("an unheard-of reason has no words")
	}
}

func TestTheStatusIsOfThisFlowAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		a, b := h.browser(), h.browser()
		flow, challenge := a.begin("/start", fixture(0))
		other, theirs := b.begin("/start", fixture(1))
		wants := func(r reply, status int, code string) {
			t.Helper()
			var got struct{ Code string }
			if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != status || got.Code != code {
				t.Errorf("%d %s, want %d %s", r.status, r.body, status, code)
			}
		}
		wants(b.status(flow, challenge), http.StatusGone, "flow_expired")
		wants(h.browser().status(flow, challenge), http.StatusBadRequest, "cookies_required")
		wants(b.status(other, challenge), http.StatusNotFound, "not_found")
		wants(a.status(flow, theirs), http.StatusNotFound, "not_found")
		wants(a.status(flow, db.NewID()), http.StatusNotFound, "not_found")
		wants(a.status(flow, ""), http.StatusNotFound, "not_found")
		wants(a.get("/login/code/status?flow="+flow+"&flow="+flow), http.StatusBadRequest, "invalid_request")

		before := d.Counters()
		a.status(flow, challenge).state(t)
		after := d.Counters()
		if diff := cmp.Diff(db.Counters{Reads: before.Reads + 1, TxStatements: before.TxStatements}, db.Counters{Reads: after.Reads, TxStatements: after.TxStatements}); diff != "" {
			t.Errorf("more than one read:\n%s", diff)
		}
		a.finish(flow, challenge, testCode).to(t)
		if r := a.status(flow, challenge); r.status != http.StatusGone && r.status != http.StatusNotFound {
			t.Errorf("after the sign-in: %d %s", r.status, r.body)
		}
	})
}

// A provider that takes its time and then refuses: the page says so as soon as
// it is known, and another message may be asked for at once.
func TestAFailureThatShowsLaterIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		h.sink.slow, h.sink.away = 2*time.Second, true
		b := h.browser()
		flow, challenge := b.begin("/start", fixture(60))
		if got := b.status(flow, challenge).state(t); got.Status != sms.StatusSending {
			t.Fatalf("after 1.5 s: %+v", got)
		}
		time.Sleep(2 * time.Second)
		got := b.status(flow, challenge).state(t)
		if got.Status != sms.StatusFailed || got.ResendIn != 0 || !strings.Contains(got.Text, "could not be sent") {
			t.Fatalf("after it failed: %+v", got)
		}
		page := b.get("/login/code?flow=" + flow + "&challenge=" + challenge)
		page.wants(t, http.StatusOK, "resend-code")
		if !strings.Contains(page.body, `role="alert"`) || strings.Contains(page.body, "data-seconds") {
			t.Error("the page hides that nothing was sent, or holds the button back")
		}
		h.sink.slow, h.sink.away = 0, false
		to := b.post("/login/code/resend", map[string][]string{"flow": {flow}, "challenge": {challenge}}).to(t)
		b.finish(flow, to.Query().Get("challenge"), h.sink.last(fixture(60))).to(t)
	})
}

func TestTheStatusOfASpentCodeSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		b := h.browser()
		flow, challenge := b.begin("/start", fixture(0))
		time.Sleep(6 * time.Minute)
		got := b.status(flow, challenge).state(t)
		if got.Status != "expired" || got.ExpiresIn != 0 || !strings.Contains(got.Text, "expired") {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Hour)
		if r := b.status(flow, challenge); r.status != http.StatusGone {
			t.Errorf("after the flow: %d %s", r.status, r.body)
		}
	})
}
