package user

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
)

// Whatever ends the phone's session ends what it has allowed.
func TestAnApprovalEndsWithItsSession(t *testing.T) {
	ends := map[string]struct {
		do     func(ctx context.Context, h *house, s Session) error
		status int
		code   string
	}{
		"signed out": {func(ctx context.Context, h *house, s Session) error {
			return h.users.EndSession(ctx, s.ID, "user:"+s.UserID)
		}, http.StatusConflict, "signed out since"},
		"everywhere": {func(ctx context.Context, h *house, s Session) error {
			_, err := h.users.EndSessions(ctx, s.UserID, "operator")
			return err
		}, http.StatusConflict, "signed out since"},
		"grants": {func(ctx context.Context, h *house, s Session) error {
			_, err := h.db.Exec(ctx, `UPDATE users SET grants_after = $1 WHERE id = $2`, db.Micros(time.Now()), s.UserID)
			return err
		}, http.StatusConflict, "signed out since"},
		"disabled": {func(ctx context.Context, h *house, s Session) error {
			return h.users.Disable(ctx, s.UserID)
		}, http.StatusForbidden, "account_disabled"},
		"deleted": {func(ctx context.Context, h *house, s Session) error {
			return h.users.Delete(ctx, s.UserID)
		}, http.StatusConflict, "signed out since"},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			eachQRHouse(t, func(t *testing.T, h *house) {
				phone, desk := h.browser(), h.browser()
				phone.signIn(fixture(0))
				d := desk.drawQR("/login?lang=en")
				desk.get("/login/qr" + d.query() + "&lang=en") // which is remembered
				phone.allow(d)
				s, _ := h.mustSession(phone)
				if err := end.do(t.Context(), h, s); err != nil {
					t.Fatal(err)
				}
				if r := d.finish(); r.status != end.status || !strings.Contains(r.body, end.code) {
					t.Errorf("want %d %s, got %d: %s", end.status, end.code, r.status, r.body)
				}
				h.wantsStranger(desk)
				if n := h.rows(`SELECT count(*) FROM sessions WHERE id <> $1`, s.ID); n != 0 {
					t.Errorf("%d sessions", n)
				}
				d.finish().to(t) // the approval is used up
				h.wantsStranger(desk)
			})
		})
	}
}

func TestAPhoneThatIsNotSignedInSignsInFirst(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	phone, desk := h.browser(), h.browser()
	d := desk.drawQR("/login")
	flow, challenge := phone.begin("/qr/"+d.id, fixture(0))
	if d.state() != qrWaiting {
		t.Errorf("a stranger scanned it: %s", d.state())
	}
	if to := phone.finish(flow, challenge, testCode).to(t); to.Path != "/qr/"+d.id {
		t.Fatalf("sent to %s", to)
	}
	phone.scan(d).wants(t, http.StatusOK, "page-qr-confirm")
	// A session that ends between the page and the button comes back to the page.
	s, u := h.mustSession(phone)
	if err := h.users.EndSession(t.Context(), s.ID, "user:"+u.ID); err != nil {
		t.Fatal(err)
	}
	flow, challenge = phone.begin2(phone.decide(d, "allow"), fixture(0))
	if to := phone.finish(flow, challenge, testCode).to(t); to.Path != "/qr/"+d.id {
		t.Fatalf("sent to %s", to)
	}
	phone.allow(d)
	d.finish().to(t)
	h.mustSession(desk)
}

// begin2 goes on from a redirect to the sign-in page.
func (b *browser) begin2(r reply, phone string) (flow, challenge string) {
	b.t.Helper()
	flow = r.to(b.t).Query().Get("flow")
	to := b.post("/login", url.Values{"flow": {flow}, "phone": {phone}, "agree": {"1"}}).to(b.t)
	return flow, to.Query().Get("challenge")
}

// A sign-in that has to be proven anew is proven anew, on the phone.
func TestAFreshProofIsAskedOfThePhone(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk := h.browser(), h.browser()
		phone.signIn(fixture(0))
		before, _ := h.mustSession(phone)
		d := desk.drawQR("/start?fresh")
		phone.scan(d).wants(t, http.StatusOK, "page-qr-confirm")
		flow, challenge := phone.begin2(phone.decide(d, "allow"), fixture(0))
		if d.state() != qrScanned {
			t.Fatalf("an old proof did: %s", d.state())
		}
		if to := phone.finish(flow, challenge, testCode).to(t); to.Path != "/qr/"+d.id {
			t.Fatalf("sent to %s", to)
		}
		phone.allow(d)
		d.finish().to(t)
		if s, _ := h.mustSession(desk); !s.AuthTime.After(before.AuthTime) {
			t.Errorf("auth_time %s is that of the old proof", s.AuthTime)
		}
	})
}

// A chain of copies never outlives, and never looks fresher than, its one proof.
func TestCopiesOfCopiesEndWithTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, dbtest.Open(t))
		last := h.browser()
		last.signIn(fixture(0))
		first, _ := h.mustSession(last)
		h.quiet()
		for day := range 29 {
			time.Sleep(24 * time.Hour)
			next := h.browser()
			d := next.drawQR("/login")
			last.allow(d)
			d.finish().to(t)
			s, _ := h.mustSession(next)
			if !s.AuthTime.Equal(first.AuthTime) || s.ExpiresAt.After(first.ExpiresAt) || s.SeenAt.Before(s.CreatedAt) {
				t.Fatalf("day %d: %+v", day, s)
			}
			last = next
		}
		time.Sleep(24 * time.Hour)
		h.wantsStranger(last)
	})
}

func TestACodeExpires(t *testing.T) {
	for _, after := range []string{qrWaiting, qrScanned, qrAllowed} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, dbtest.Open(t))
			phone, desk := h.browser(), h.browser()
			phone.signIn(fixture(0))
			d := desk.drawQR("/login")
			switch after {
			case qrScanned:
				phone.scan(d).wants(t, http.StatusOK, "page-qr-confirm")
			case qrAllowed:
				phone.allow(d)
			}
			h.quiet()
			time.Sleep(qrLife - time.Second)
			if d.state() != after {
				t.Errorf("before its time: %s", d.state())
			}
			time.Sleep(time.Second)
			if d.state() != qrExpired {
				t.Errorf("after %s: %s", after, d.state())
			}
			phone.scan(d).wants(t, http.StatusGone, "page-qr-result")
			phone.decide(d, "allow").to(t)
			d.finish().to(t)
			d.shows(qrExpired)
			h.wantsStranger(desk)
			if r := phone.post("/qr", url.Values{"code": {d.code}}); r.status != http.StatusUnprocessableEntity {
				t.Errorf("the typed code: %d", r.status)
			}
		})
	}
}

func TestACodeIsTypedInsteadOfScanned(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk := h.browser(), h.browser()
		if to := phone.get("/qr").to(t); to.Path != "/login" {
			t.Fatalf("a stranger is sent to %s", to)
		}
		phone.signIn(fixture(0))
		phone.get("/qr").wants(t, http.StatusOK, "page-qr-typed")
		d := desk.drawQR("/login")
		for _, typed := range []string{d.code, strings.ToLower(d.code), " " + strings.ReplaceAll(d.code, "-", "  ") + " ", strings.ReplaceAll(d.code, "-", "－")} {
			if to := phone.post("/qr", url.Values{"code": {typed}}).to(t); to.Path != "/qr/"+d.id {
				t.Errorf("%q leads to %s", typed, to)
			}
		}
		for _, typed := range []string{"", "BCDF", "AEIO-UAEI", d.code + "B", strings.Repeat("B", 200)} {
			r := phone.post("/qr", url.Values{"code": {typed}})
			r.wants(t, http.StatusUnprocessableEntity, "page-qr-typed")
		}
	})
}

func TestNobodyTriesCodesForLong(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk := h.browser(), h.browser()
		phone.signIn(fixture(0))
		d := desk.drawQR("/login")
		wrong := "BBBB-BBBB"
		for i := range qrPerUser {
			if r := phone.post("/qr", url.Values{"code": {wrong}}); r.status != http.StatusUnprocessableEntity {
				t.Fatalf("try %d: %d", i, r.status)
			}
		}
		again := h.browser()
		again.signIn(fixture(0)) // another session of the same person
		for _, b := range []*browser{phone, again} {
			r := b.post("/qr", url.Values{"code": {d.code}})
			if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
				t.Errorf("the right code after too many wrong ones: %d", r.status)
			}
		}
		other := h.browser()
		other.signIn(fixture(1))
		if to := other.post("/qr", url.Values{"code": {d.code}}).to(t); to.Path != "/qr/"+d.id {
			t.Errorf("somebody else is held up: %s", to)
		}
	})
}

func TestOneAddressDrawsSoManyCodes(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		desk := h.browser()
		flow := desk.get("/login").to(t).Query().Get("flow")
		var wait sync.WaitGroup
		var mu sync.Mutex
		count := map[int]int{}
		for range qrPerAddress + 10 {
			wait.Go(func() {
				r := desk.get("/login/qr?flow=" + flow)
				mu.Lock()
				defer mu.Unlock()
				count[r.status]++
			})
		}
		wait.Wait()
		if count[http.StatusSeeOther] != qrPerAddress || count[http.StatusTooManyRequests] != 10 {
			t.Errorf("answers: %v", count)
		}
		r := desk.get("/login/qr?flow=" + flow)
		r.fault(t, http.StatusTooManyRequests, "rate_limited")
		if r.header.Get("Retry-After") == "" || !strings.Contains(r.body, `href="/login?flow=`+flow+`"`) {
			t.Error("no way on")
		}
	})
}

// What the short-lived store holds tells nobody anything, and whoever can write
// there allows nothing.
func TestTheStoreIsNotTrusted(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	phone, desk, thief := h.browser(), h.browser(), h.browser()
	phone.signIn(fixture(0))
	_, u := h.mustSession(phone)
	d := desk.drawQR("/start")
	phone.allow(d)
	allowed, err := h.short.Get(t.Context(), qrKind, d.id)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{u.ID, "Windows", "198.51.100", d.flow, strings.ReplaceAll(d.code, "-", "")} {
		if strings.Contains(string(allowed), secret) {
			t.Errorf("the store shows %s", secret)
		}
	}
	mine := thief.drawQR("/start")
	raw, err := h.short.Get(t.Context(), qrKind, mine.id)
	if err != nil {
		t.Fatal(err)
	}
	for name, forged := range map[string][]byte{
		"another's approval": allowed,
		"in the clear":       []byte(fmt.Sprintf(`{"State":"allowed","UserID":%q}`, u.ID)),
		"nothing":            {},
	} {
		if ok, err := h.short.Swap(t.Context(), qrKind, mine.id, raw, forged); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if mine.state() != qrExpired {
			t.Errorf("%s: %s", name, mine.state())
		}
		mine.finish().to(t)
		h.wantsStranger(thief)
		raw = forged
	}
}

// shaky is a store whose items cannot be reached while it is away.
type shaky struct {
	EphemeralState
	away, stuck atomic.Bool // stuck: what is there can be read
}

func (s *shaky) Take(ctx context.Context, kind, id string, tombstone []byte, keep time.Duration) ([]byte, error) {
	if s.stuck.Load() {
		return nil, ephemeral.ErrUnavailable
	}
	return s.EphemeralState.Take(ctx, kind, id, tombstone, keep)
}

func (s *shaky) Get(ctx context.Context, kind, id string) ([]byte, error) {
	if s.away.Load() {
		return nil, ephemeral.ErrUnavailable
	}
	return s.EphemeralState.Get(ctx, kind, id)
}

func TestALostStoreMeansStartingAgain(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	phone, desk := h.browser(), h.browser()
	phone.signIn(fixture(0))
	d := desk.drawQR("/login")
	phone.scan(d).wants(t, http.StatusOK, "page-qr-confirm")
	store := &shaky{EphemeralState: h.pages.Ephemeral}
	h.pages.Ephemeral = store
	store.away.Store(true)
	if r := desk.get("/login/qr/status" + d.query()); r.status != http.StatusServiceUnavailable {
		t.Errorf("status: %d", r.status)
	}
	d.shows(qrExpired)
	d.finish().to(t)
	phone.scan(d).wants(t, http.StatusGone, "page-qr-result")
	phone.decide(d, "allow").to(t)
	store.away.Store(false)
	if d.state() != qrScanned { // and it may come back as it was
		t.Errorf("state %s", d.state())
	}
	h.wantsStranger(desk)
	d = desk.drawQR("/login")
	phone.allow(d)
	store.stuck.Store(true) // a redirect to the page would have it send the form again at once
	page := d.finish()
	page.fault(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	if !strings.Contains(page.body, `href="/login/qr?flow=`) {
		t.Error("no way on")
	}
	store.stuck.Store(false)
	d.finish().to(t)
	h.mustSession(desk)
}

// provenAfter is what an authorize request with prompt=login asks for.
func provenAfter(r *http.Request) time.Time {
	if r.URL.Query().Has("fresh") {
		return time.Now()
	}
	return time.Time{}
}
