package sms

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// sdkVendor is a vendor whose SDK we use, with its fake.
type sdkVendor struct {
	id, secret string
	serve      func(fake.Config) (http.Handler, *fake.Core)
	open       func(endpoint, secret string, trust *tls.Config) (Provider, error)
	codes      []VendorCode
	wrongKey   string // the code for a wrong secret
}

// begin starts a fake and opens its provider.
func (v sdkVendor) begin(t *testing.T, c fake.Config) (Provider, *fake.Core) {
	t.Helper()
	handler, core := v.serve(c)
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	p, err := v.open(srv.URL, v.secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, core
}

func sdkMessage(t *testing.T, e164 string, i int) Message {
	t.Helper()
	return Message{
		ID: fmt.Sprintf("0199-message-%d", i), To: number(t, e164), Purpose: Login, Code: fmt.Sprintf("%06d", 13579+i),
		TTL: 5 * time.Minute, Locale: "zh-CN",
	}
}

func (v sdkVendor) delivers(t *testing.T) {
	for _, e164 := range []string{"+8613800138080", "+12025550101"} {
		p, core := v.begin(t, fake.Config{})
		m := sdkMessage(t, e164, 0)
		ref, err := p.Send(t.Context(), m)
		if err != nil || ref == "" {
			t.Fatalf("%v: reference %q, %v", m.To, ref, err)
		}
		got := core.Inbox().Messages()
		if len(got) != 1 || core.Calls() != 1 {
			t.Fatalf("%d messages, %d calls", len(got), core.Calls())
		}
		if r := got[0]; r.To != e164 || r.MessageID != m.ID || r.Ref != ref || !strings.Contains(r.Text, m.Code) {
			t.Errorf("%v: got %+v with reference %q", m.To, r, ref)
		}
	}
}

// judged sends once and returns the failure, nil if there is none.
func judged(ctx context.Context, t *testing.T, p Provider, m Message) *SendError {
	t.Helper()
	_, err := p.Send(ctx, m)
	if err == nil {
		return nil
	}
	var failed *SendError
	if !errors.As(err, &failed) || failed.Provider != p.Name() {
		t.Fatalf("%v of %T", err, err)
	}
	return failed
}

func (v sdkVendor) classes(t *testing.T) {
	p, core := v.begin(t, fake.Config{})
	// What the gateway answers with 5xx stays open, whatever its code.
	beyond := map[string]Class{"ServiceUnavailable": Ambiguous}
	if v.id == "LTAItestkeyid" {
		beyond["InternalError"] = Ambiguous
	}
	seen := map[string]bool{}
	for _, c := range v.codes {
		if seen[c.Code] || c.Means == "" {
			t.Errorf("%s is listed twice or means nothing", c.Code)
		}
		seen[c.Code] = true
		if c.Class == "" {
			continue
		}
		code, want := strings.ReplaceAll(c.Code, "*", "Unheard"), c.Class
		if class, ok := beyond[code]; ok {
			want = class
		}
		core.Script(fake.Outcome{Code: code})
		failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", 0))
		if failed == nil || failed.Class != want || want == c.Class && failed.Code != code {
			t.Errorf("%s: %v, want class %s", code, failed, want)
		}
	}
	for _, code := range []string{"013579", "Say13800138080", "isv.013579", "FailedOperation.013579"} {
		core.Script(fake.Outcome{Code: code})
		if failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", 0)); failed == nil || failed.Code != "other" {
			t.Errorf("a made-up code with digits: %v", failed)
		}
	}
	if n := len(core.Inbox().Messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func (v sdkVendor) faults(t *testing.T) {
	for _, f := range fake.Faults() {
		p, core := v.begin(t, fake.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		core.Script(fake.Outcome{Fault: f})
		failed := judged(ctx, t, p, sdkMessage(t, "+8613800138080", 0))
		cancel()
		switch {
		case f == fake.Gzip && failed != nil:
			t.Errorf("%s: %v", f, failed)
		case f != fake.Gzip && (failed == nil || failed.Class != Ambiguous):
			t.Errorf("%s: %v, want class A", f, failed)
		}
		if n := core.Calls(); n != 1 {
			t.Errorf("%s: %d calls", f, n)
		}
		if got := len(core.Inbox().Messages()) == 1; got != f.Accepts() {
			t.Errorf("%s: in the inbox is %t", f, got)
		}
	}
}

// What was never written was certainly not sent.
func (v sdkVendor) unwritten(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler()) // no TLS
	defer plain.Close()
	foreign := httptest.NewTLSServer(http.NotFoundHandler()) // of no authority that we know
	foreign.Config.ErrorLog = log.New(new(bytes.Buffer), "", 0)
	defer foreign.Close()
	for name, endpoint := range map[string]string{
		"dial": "http://" + closed.Addr().String(), "certificate": foreign.URL, "connection": "https://" + plain.Listener.Addr().String(),
	} {
		p, err := v.open(endpoint, v.secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		if failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", 0)); failed == nil || failed.Class != Failover || failed.Code != name {
			t.Errorf("%s: %v, want class F", name, failed)
		}
	}
}

func (v sdkVendor) redirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) }))
		p, err := v.open(srv.URL, v.secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		if failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", 0)); failed == nil || failed.Class != Misconfigured || failed.Code != fmt.Sprint("http_", status) {
			t.Errorf("%d: %v, want class C", status, failed)
		}
		srv.Close()
	}
}

// One wrong byte anywhere in the secret.
func (v sdkVendor) wrongSecret(t *testing.T) {
	handler, core := v.serve(fake.Config{})
	srv := httptest.NewServer(handler)
	defer srv.Close()
	for i := range v.secret {
		bent := []byte(v.secret)
		bent[i] ^= 1
		p, err := v.open(srv.URL, string(bent), nil)
		if err != nil {
			t.Fatal(err)
		}
		if failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", 0)); failed == nil || failed.Class != Misconfigured || failed.Code != v.wrongKey {
			t.Errorf("byte %d: %v, want %s", i, failed, v.wrongKey)
		}
	}
	if n := len(core.Inbox().Messages()); n != 0 || core.Calls() != len(v.secret) {
		t.Errorf("%d messages, %d calls", n, core.Calls())
	}
}

func (v sdkVendor) parallel(t *testing.T) {
	p, core := v.begin(t, fake.Config{})
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			if _, err := p.Send(t.Context(), sdkMessage(t, fmt.Sprintf("+86138001380%02d", i), i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got := map[string]string{}
	for _, m := range core.Inbox().Messages() {
		got[m.To+" "+m.MessageID] = m.Text
	}
	for i := range 64 {
		m := sdkMessage(t, fmt.Sprintf("+86138001380%02d", i), i)
		if !strings.Contains(got[m.To.E164()+" "+m.ID], m.Code) {
			t.Errorf("message %d is missing or mixed up", i)
		}
	}
	if len(got) != 64 || core.Calls() != 64 {
		t.Errorf("%d messages, %d calls", len(got), core.Calls())
	}
}

func (v sdkVendor) context(t *testing.T) {
	p, core := v.begin(t, fake.Config{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if failed := judged(ended, t, p, sdkMessage(t, "+8613800138080", 0)); failed == nil || failed.Class != Failover || failed.Code != "canceled" || core.Calls() != 0 {
		t.Errorf("ended before: %v after %d calls", failed, core.Calls())
	}
	core.Always(fake.Outcome{Fault: fake.AcceptThenHang})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = core.Inbox().Wait(ctx, 1)
		cancel()
	}()
	start := time.Now()
	if failed := judged(ctx, t, p, sdkMessage(t, "+8613800138080", 0)); failed == nil || failed.Class != Ambiguous || failed.Code != "canceled" {
		t.Errorf("ended during the call: %v", failed)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("came back after %v", took)
	}
	start = time.Now()
	failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138081", 0))
	if took := time.Since(start); failed == nil || failed.Class != Ambiguous || failed.Code != "timeout" || took < attemptTime || took > attemptTime+time.Second {
		t.Errorf("%v after %v, want a timeout after %v", failed, took, attemptTime)
	}
}

// No error, log or print shows a number, a code, a key or a signature.
func (v sdkVendor) leaks(t *testing.T) { // alone: it listens to the default loggers and the standard streams
	said := &lockedBuffer{}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.SetOutput(said)
	defer func() { slog.SetDefault(before); log.SetOutput(os.Stderr) }()
	streams := captured(t)
	p, core := v.begin(t, fake.Config{})
	fmt.Fprintf(said, "%v %+v %#v\n", p, p, p)
	outcomes := []fake.Outcome{{}, {Code: "isv.013579"}, {Code: "SignatureDoesNotMatch", Message: "POST&%2F&AccessKeyId%3D" + v.id + " 013579 13800138080"}}
	for _, f := range fake.Faults() {
		outcomes = append(outcomes, fake.Outcome{Fault: f})
	}
	for _, c := range v.codes {
		outcomes = append(outcomes, fake.Outcome{Code: strings.ReplaceAll(c.Code, "*", "x"), Message: "013579 to +8613800138080 by " + v.id})
	}
	note := func(p Provider, m Message, timeout time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		ref, err := p.Send(ctx, m)
		fmt.Fprintf(said, "%q %v %+v %#v\n", ref, err, err, err)
		for e := err; e != nil; e = errors.Unwrap(e) {
			fmt.Fprintf(said, "%#v\n", e)
		}
	}
	for _, o := range outcomes {
		core.Script(o)
		note(p, sdkMessage(t, "+8613800138080", 0), 150*time.Millisecond)
	}
	for _, endpoint := range []string{"http://127.0.0.1:1", "https://127.0.0.1:1", "https://does-not-exist.invalid"} {
		q, err := v.open(endpoint, v.secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		note(q, sdkMessage(t, "+8613800138080", 0), time.Second)
	}
	wrong := []byte(v.secret)
	slices.Reverse(wrong)
	handler, _ := v.serve(fake.Config{})
	srv := httptest.NewServer(handler)
	defer srv.Close()
	q, err := v.open(srv.URL, string(wrong), nil)
	if err != nil {
		t.Fatal(err)
	}
	note(q, sdkMessage(t, "+8613800138080", 0), time.Second)
	text := said.String() + streams()
	if !strings.Contains(text, "class A") || !strings.Contains(text, v.wrongKey) {
		t.Fatal("the scan misses errors")
	}
	for _, secret := range []string{"13800138080", "8613800138080", "013579", v.id, v.secret, string(wrong), "Signature=", "&Signature"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
}

// captured collects what is written to the standard streams until called.
func captured(t *testing.T) func() string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "streams")
	if err != nil {
		t.Fatal(err)
	}
	out, errs := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = file, file
	back := func() { os.Stdout, os.Stderr = out, errs }
	t.Cleanup(back)
	return func() string {
		back()
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
}

// all is what every such vendor must show.
func (v sdkVendor) all(t *testing.T) {
	t.Run("delivers", v.delivers)
	t.Run("classes", v.classes)
	t.Run("faults", v.faults)
	t.Run("unwritten", v.unwritten)
	t.Run("redirects", v.redirects)
	t.Run("statuses", v.statuses)
	t.Run("one number", v.oneNumber)
	t.Run("wrong secret", v.wrongSecret)
	t.Run("parallel", v.parallel)
	t.Run("context", v.context)
	t.Run("leaks", v.leaks)
	t.Run("endpoints", func(t *testing.T) {
		for endpoint, good := range map[string]bool{
			"": true, "https://sms.example.com": true, "https://sms.example.com:8443/": true, "http://127.0.0.1:9": true, "http://[::1]:9": true,
			"http://sms.example.com": false, "sms.example.com": false, "ftp://127.0.0.1": false, "https://u:p@sms.example.com": false,
			"https://sms.example.com/path": false, "https://sms.example.com?q=1": false, "http://127.0.0.1.example.com": false,
		} {
			if _, err := v.open(endpoint, v.secret, nil); (err == nil) != good {
				t.Errorf("endpoint %q: %v", endpoint, err)
			}
		}
	})
}
