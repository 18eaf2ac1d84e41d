package user

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/web"
)

func newFlows(t testing.TB) *Flows {
	t.Helper()
	v, err := signing.OpenVault(t.Context(), dbtest.Open(t), [][]byte{[]byte("a master secret for tests, long enough")})
	if err != nil {
		t.Fatal(err)
	}
	return NewFlows(v, true)
}

// startIn starts a flow in a browser that has these cookies, and returns the
// request that the browser sends next.
func startIn(t testing.TB, fs *Flows, cookies []*http.Cookie, f Flow) (Flow, []*http.Cookie) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, issuer+"/login", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	f, err := fs.Start(rec, r, f)
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]*http.Cookie{}
	var order []string
	for _, c := range append(cookies, rec.Result().Cookies()...) {
		if kept[c.Name] == nil {
			order = append(order, c.Name)
		}
		kept[c.Name] = c
	}
	var out []*http.Cookie
	for _, name := range order {
		if c := kept[name]; c.MaxAge >= 0 {
			out = append(out, c)
		}
	}
	return f, out
}

func carrying(method, id string, cookies []*http.Cookie) *http.Request {
	r := httptest.NewRequest(method, issuer+"/login?flow="+url.QueryEscape(id), nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

func TestFlowComesBackAsItWasStarted(t *testing.T) {
	fs := newFlows(t)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.String()
		in := Flow{
			ClientID: text.Draw(rt, "client"), LoginHint: text.Draw(rt, "hint"),
			UILocales: rapid.SliceOfN(text, 0, 3).Draw(rt, "locales"), SkipAgreement: rapid.Bool().Draw(rt, "skip"),
			FormAction: text.Draw(rt, "action"), Request: rapid.SliceOfN(rapid.Byte(), 0, 1000).Draw(rt, "request"),
		}
		if rapid.Bool().Draw(rt, "named") {
			in.Client = &web.Client{ID: in.ClientID, Name: text.Draw(rt, "name")}
		}
		r := httptest.NewRequest(http.MethodGet, issuer+"/login", nil)
		rec := httptest.NewRecorder()
		started, err := fs.Start(rec, r, in)
		if errors.Is(err, ErrFlowTooLarge) {
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		got, err := fs.Of(carrying(http.MethodGet, started.ID, rec.Result().Cookies()))
		if err != nil {
			rt.Fatal(err)
		}
		same := cmp.Options{cmp.AllowUnexported(Flow{}), cmpopts.EquateEmpty()}
		if diff := cmp.Diff(started, got, same); diff != "" {
			rt.Fatalf("(-started +opened):\n%s", diff)
		}
		if len(got.Binding()) != 32 || !bytes.Equal(got.Binding(), started.Binding()) {
			rt.Fatal("another binding")
		}
	})
}

func TestFlowCookieHasItsAttributes(t *testing.T) {
	for _, secure := range []bool{true, false} {
		fs := newFlows(t)
		fs.cookies.plain = !secure
		rec := httptest.NewRecorder()
		f, err := fs.Start(rec, httptest.NewRequest(http.MethodGet, "/login", nil), Flow{})
		if err != nil {
			t.Fatal(err)
		}
		c := rec.Result().Cookies()[0]
		name := "dialtone_flow_" + f.ID
		if secure {
			name = "__Host-" + name
		}
		if c.Name != name || c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 1800 {
			t.Errorf("secure %v: %s", secure, c)
		}
	}
}

func TestForeignAndForgedFlowsAreExpired(t *testing.T) {
	fs := newFlows(t)
	a, cookies := startIn(t, fs, nil, Flow{ClientID: "a"})
	b, both := startIn(t, fs, cookies, Flow{ClientID: "b"})
	value := cookies[0].Value
	sealed, _ := base64.RawURLEncoding.DecodeString(value)
	sealed[len(sealed)/2] ^= 1
	named := func(name, value string) []*http.Cookie {
		return []*http.Cookie{{Name: name, Value: value}}
	}
	for name, c := range map[string]struct {
		id      string
		cookies []*http.Cookie
	}{
		"another browser": {a.ID, named("__Host-dialtone_lang", "en.1")},
		"no id":           {"", cookies},
		"unknown id":      {strings.Repeat("A", len(a.ID)), cookies},
		"id of another":   {b.ID, cookies},
		"renamed cookie":  {b.ID, named(flowPrefix+b.ID, value)},
		"changed byte":    {a.ID, named(flowPrefix+a.ID, base64.RawURLEncoding.EncodeToString(sealed))},
		"cut":             {a.ID, named(flowPrefix+a.ID, value[:len(value)-4])},
		"empty":           {a.ID, named(flowPrefix+a.ID, "")},
		"without prefix":  {a.ID, named(flowCookie+a.ID, value)},
		"sent twice":      {a.ID, append(cookies[:1:1], cookies[0])},
		"path in the id":  {"../../account", cookies},
		"separator in it": {a.ID[:15] + ";", cookies},
	} {
		if _, err := fs.Of(carrying(http.MethodGet, c.id, c.cookies)); !errors.Is(err, ErrFlowExpired) {
			t.Errorf("%s: got %v, want flow_expired", name, err)
		}
	}
	for _, f := range []Flow{a, b} {
		if got, err := fs.Of(carrying(http.MethodGet, f.ID, both)); err != nil || got.ClientID != f.ClientID {
			t.Errorf("flow of %s: %v", f.ClientID, err)
		}
	}
	if bytes.Equal(a.Binding(), b.Binding()) {
		t.Error("two flows have one binding")
	}
	fixed := a
	fixed.secret = b.secret
	if bytes.Equal(a.Binding(), fixed.Binding()) {
		t.Error("the binding does not depend on the secret")
	}
}

func TestFlowExpiresAfterHalfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFlows(t)
		f, cookies := startIn(t, fs, nil, Flow{})
		time.Sleep(flowLife)
		if _, err := fs.Of(carrying(http.MethodGet, f.ID, cookies)); err != nil {
			t.Errorf("expired early: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := fs.Of(carrying(http.MethodGet, f.ID, cookies)); !errors.Is(err, ErrFlowExpired) {
			t.Errorf("got %v, want flow_expired", err)
		}
	})
}

func TestFiveFlowsAreKeptTheNewestOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFlows(t)
		var flows []Flow
		cookies := []*http.Cookie{{Name: sessionName, Value: "s"}, {Name: flowPrefix + strings.Repeat("x", 16), Value: "junk"}}
		for range 9 {
			var f Flow
			f, cookies = startIn(t, fs, cookies, Flow{})
			flows = append(flows, f)
			time.Sleep(time.Second)
		}
		if len(cookies) != 1+flowsKept {
			t.Errorf("%d cookies, want %d", len(cookies), 1+flowsKept)
		}
		for i, f := range flows {
			_, err := fs.Of(carrying(http.MethodGet, f.ID, cookies))
			if kept := err == nil; kept != (i >= 4) {
				t.Errorf("flow %d kept: %v", i, kept)
			}
		}
	})
}

// Several large flows together would make a Cookie header that proxies refuse.
func TestLargeFlowsMakeRoomForEachOther(t *testing.T) {
	fs := newFlows(t)
	var cookies []*http.Cookie
	var last Flow
	for range 5 {
		last, cookies = startIn(t, fs, cookies, Flow{Request: make([]byte, 2000)})
	}
	size := 0
	for _, c := range cookies {
		size += len(c.Name) + len(c.Value)
	}
	if size > flowsMaxBytes {
		t.Errorf("%d bytes of cookies", size)
	}
	if _, err := fs.Of(carrying(http.MethodGet, last.ID, cookies)); err != nil {
		t.Errorf("the newest was dropped: %v", err)
	}
}

func TestAFlowThatFitsNoCookieIsRefused(t *testing.T) {
	fs := newFlows(t)
	for size, fits := range map[int]bool{2400: true, 2900: false, 100_000: false} {
		rec := httptest.NewRecorder()
		_, err := fs.Start(rec, httptest.NewRequest(http.MethodGet, "/", nil), Flow{Request: make([]byte, size)})
		if fits != (err == nil) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if !fits && (fault.From(err).Status != http.StatusRequestEntityTooLarge || len(rec.Result().Cookies()) != 0) {
			t.Errorf("%d bytes: %v, cookies %v", size, err, rec.Result().Cookies())
		}
	}
}

// What is noted in a flow on its way must not make its cookie one that browsers drop.
func TestAFlowThatWasAcceptedGoesOn(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	if _, err := h.users.RequestDeletion(t.Context(), h.signIn(fixture(0)).User.ID); err != nil {
		t.Fatal(err)
	}
	b := h.browser()
	started := reply{}
	for pad := 2900; started.status != http.StatusSeeOther && pad > 0; pad-- {
		started = b.get("/start?" + strings.Repeat("x", pad))
	}
	name := flowPrefix + started.to(t).Query().Get("flow")
	if size := len(name) + len(b.cookie(name)); size < 3600 {
		t.Errorf("%d bytes are too large to start with", size+1)
	}
	flow, challenge := b.begin2(started, fixture(0))
	if to := b.finish(flow, challenge, testCode).to(t); to.Path != "/login/closing" {
		t.Fatalf("led to %s", to)
	}
	if size := len(name) + len(b.cookie(name)); size > 4096 {
		t.Errorf("a cookie of %d bytes", size)
	}
	f, err := h.flows.Of(carrying(http.MethodGet, flow, []*http.Cookie{{Name: name, Value: b.cookie(name)}}))
	if err != nil {
		t.Fatal(err)
	}
	f.held.Note = strings.Repeat("x", 500)
	if err := h.flows.keep(httptest.NewRecorder(), f); !errors.Is(err, ErrFlowTooLarge) {
		t.Errorf("one that grew more: %v", err)
	}
	if to := b.post("/login/closing", url.Values{"flow": {flow}}).to(t); to.Host != "rp.example" {
		t.Errorf("sent to %s", to)
	}
}

func TestOfReadsFormOrQueryButNeverBoth(t *testing.T) {
	fs := newFlows(t)
	f, cookies := startIn(t, fs, nil, Flow{ClientID: "a"})
	post := func(target, body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		return r
	}
	r := post("/consent", "flow="+f.ID+"&decision=allow")
	if _, err := fs.Of(r); err != nil || r.PostForm.Get("decision") != "allow" {
		t.Errorf("form: %v, %v", err, r.PostForm)
	}
	if _, err := fs.Of(r); err != nil { // the body is read already
		t.Errorf("a second time: %v", err)
	}
	if _, err := fs.Of(post("/consent?flow="+f.ID, "")); !errors.Is(err, ErrFlowExpired) {
		t.Errorf("query of a POST: got %v", err)
	}
	if _, err := fs.Of(carrying(http.MethodGet, f.ID, cookies)); err != nil {
		t.Errorf("query: %v", err)
	}
	blind := httptest.NewRequest(http.MethodPost, "/consent", strings.NewReader("flow="+f.ID))
	blind.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, err := fs.Of(blind); !errors.Is(err, ErrCookiesRequired) {
		t.Errorf("a POST without any cookie: got %v", err)
	}
}

func TestEndReplacesTheCookieOfTheSameAnswer(t *testing.T) {
	fs := newFlows(t)
	rec := httptest.NewRecorder()
	f, err := fs.Start(rec, httptest.NewRequest(http.MethodGet, "/", nil), Flow{})
	if err != nil {
		t.Fatal(err)
	}
	fs.End(rec, f)
	if c := rec.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("cookies %v", c)
	}
}
