package sms

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

const hookSecret = "the secret of a webhook"

func newHook(t *testing.T, url string) *Webhook {
	t.Helper()
	w, err := NewWebhook(WebhookConfig{Name: "hook", URL: url, Secret: hookSecret})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func hookMessage(t *testing.T) Message {
	t.Helper()
	return Message{ID: "0199-id", To: number(t, "+8613800138080"), Purpose: Login, Code: "012345", TTL: 5 * time.Minute, Locale: "zh-CN"}
}

// authentic is what a receiver does.
func authentic(header string, body []byte, now time.Time) bool {
	t, v1, ok := strings.Cut(header, ",")
	stamp, ok1 := strings.CutPrefix(t, "t=")
	sum, ok2 := strings.CutPrefix(v1, "v1=")
	got, err := hex.DecodeString(sum)
	unix, err2 := strconv.ParseInt(stamp, 10, 64)
	if !ok || !ok1 || !ok2 || err != nil || err2 != nil || now.Sub(time.Unix(unix, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, []byte(hookSecret))
	io.WriteString(mac, stamp+"."+string(body))
	return hmac.Equal(got, mac.Sum(nil))
}

func TestWebhookSendsASignedObject(t *testing.T) {
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if !authentic(r.Header.Get("Dialtone-Signature"), body, time.Now()) {
			t.Errorf("signature %q", r.Header.Get("Dialtone-Signature"))
		}
		if authentic(r.Header.Get("Dialtone-Signature"), append(body, ' '), time.Now()) {
			t.Error("the signature does not cover the body")
		}
		if r.Method != http.MethodPost || r.URL.Path != "/send" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Dialtone-Message-Id") != "0199-id" {
			t.Errorf("%s %s %v", r.Method, r.URL.Path, r.Header)
		}
		var got map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
		want := map[string]any{
			"to": "+8613800138080", "code": "012345", "purpose": "login", "locale": "zh-CN", "expires_in": 300.0, "message_id": "0199-id",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer srv.Close()
	if _, err := newHook(t, srv.URL+"/send").Send(t.Context(), hookMessage(t)); err != nil || calls.Load() != 1 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}

func TestWebhookStatuses(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for status, want := range map[int]Class{
		200: "", 201: "", 202: "", 204: "", 299: "",
		301: Misconfigured, 302: Misconfigured, 303: Misconfigured, 307: Misconfigured, 308: Misconfigured,
		400: BadNumber, 401: Misconfigured, 403: Misconfigured, 404: Misconfigured, 405: Misconfigured, 408: Failover, 409: BadNumber,
		410: BadNumber, 415: Misconfigured, 418: BadNumber, 422: BadNumber, 429: Failover,
		500: Ambiguous, 501: Ambiguous, 502: Ambiguous, 503: Ambiguous, 504: Ambiguous, 599: Ambiguous,
	} {
		var calls atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Location", elsewhere.URL)
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(status)
			io.WriteString(w, "code 012345 for +8613800138080 refused")
		}))
		_, err := newHook(t, srv.URL).Send(t.Context(), hookMessage(t))
		var failed *SendError
		switch {
		case want == "" && err != nil:
			t.Errorf("%d: %v", status, err)
		case want != "" && (!errors.As(err, &failed) || failed.Class != want || failed.Code != "http_"+strconv.Itoa(status) || failed.Provider != "hook"):
			t.Errorf("%d: %v, want class %s", status, err, want)
		case status == 429 && failed.RetryAfter != 17*time.Second:
			t.Errorf("Retry-After %v", failed.RetryAfter)
		}
		if calls.Load() != 1 {
			t.Errorf("%d: %d calls", status, calls.Load())
		}
		srv.Close()
	}
}

// What was not written was not sent; what was written may have been.
func TestWebhookFailures(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	hang := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-hang
	}))
	defer silent.Close()
	defer close(hang)
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}))
	defer cut.Close()
	garbage := rawServer(t, "SSH-2.0-OpenSSH\r\n")
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = nil
	defer untrusted.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never speaks TLS
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for name, test := range map[string]struct {
		url  string
		want Class
		code string
	}{
		"connection refused":  {"http://" + closed.Addr().String(), Failover, "dial"},
		"unknown host":        {"https://sms.invalid/", Failover, ""},
		"untrusted":           {untrusted.URL, Failover, "certificate"},
		"mute TLS":            {"https://" + mute.Addr().String(), Failover, "timeout"},
		"silence":             {silent.URL, Ambiguous, "timeout"},
		"cut after the write": {cut.URL, Ambiguous, "connection"},
		"no HTTP":             {garbage, Ambiguous, "connection"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := newHook(t, test.url).Send(ctx, hookMessage(t))
		cancel()
		var failed *SendError
		if !errors.As(err, &failed) || failed.Class != test.want || test.code != "" && failed.Code != test.code {
			t.Errorf("%s: %v, want class %s", name, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), "012345") || strings.Contains(err.Error(), "8080") || strings.Contains(err.Error(), "127.0.0.1")) {
			t.Errorf("%s tells too much: %v", name, err)
		}
	}
}

// rawServer reads a request and answers with text of its own.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.Read(make([]byte, 4096))
				io.WriteString(conn, answer)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// T-104: an endless answer is cut off, and its status counts.
func TestWebhookReadsNoEndlessAnswer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		chunk := make([]byte, 32<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := newHook(t, srv.URL).Send(ctx, hookMessage(t)); err != nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

func TestWebhookUsesItsConnectionsAgain(t *testing.T) {
	var opened atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	hook := newHook(t, srv.URL)
	for range 50 {
		if _, err := hook.Send(t.Context(), hookMessage(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestNewWebhookRefusesBadConfiguration(t *testing.T) {
	for _, u := range []string{
		"", "hook", "/hook", "http://sms.example/", "http://127.0.0.1.example/", "http://10.0.0.1/", "ftp://127.0.0.1/", "https://", "https:sms.example",
		"https://user:password@sms.example/", "https://sms.example/#x", "https://sms.example:port/",
	} {
		if _, err := NewWebhook(WebhookConfig{Name: "hook", URL: u, Secret: hookSecret}); err == nil {
			t.Errorf("%q was taken", u)
		} else if strings.Contains(err.Error(), "password") {
			t.Errorf("%q: %v", u, err)
		}
	}
	for _, u := range []string{"https://sms.example/send?x=1", "http://127.0.0.1:8080/", "http://localhost/", "http://[::1]:1/", "https://[2001:db8::1]/"} {
		if _, err := NewWebhook(WebhookConfig{Name: "hook", URL: u, Secret: hookSecret}); err != nil {
			t.Errorf("%q: %v", u, err)
		}
	}
	if _, err := NewWebhook(WebhookConfig{Name: "hook", URL: "https://sms.example/"}); err == nil {
		t.Error("no secret is needed")
	}
}

// The whole way, as an operator would have it.
func TestSendThroughWebhook(t *testing.T) {
	codes := make(chan string, 1)
	status := atomic.Int64{}
	status.Store(200)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m webhookBody
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		select {
		case codes <- m.Code:
		default:
		}
		w.WriteHeader(int(status.Load()))
	}))
	defer srv.Close()
	d := dbtest.Open(t)
	f := newFixture(t, d, Config{Routes: map[string]Route{"CN": {Providers: []Provider{newHook(t, srv.URL)}}}})
	r := login(t, "+8613800138081", "a")
	status.Store(503)
	c, err := f.Send(t.Context(), r)
	if err != nil || c.Status != StatusUnknown {
		t.Fatalf("%+v, %v", c, err)
	}
	p, err := f.Check(t.Context(), refOf(c, r), <-codes)
	if err != nil || p.Consume(t.Context()) != nil {
		t.Errorf("the code of an unknown outcome: %v", err)
	}
	r = login(t, "+8613800138082", "a")
	status.Store(400)
	wantFault(t, second(f.Send(t.Context(), r)), ErrRejected)
	<-codes
	status.Store(204)
	if c, err := f.Send(t.Context(), r); err != nil || c.Status != StatusSent {
		t.Errorf("%+v, %v", c, err)
	}
}
