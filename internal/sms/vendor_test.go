package sms

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// vendorCode is the code of every message here.
const vendorCode = "048213"

// vendorUnderTest is an adapter's constructor with the fake that it talks to.
type vendorUnderTest struct {
	make    func(endpoint, secret string, authorities *tls.Config) (Provider, error)
	fake    http.Handler
	core    *fake.Core
	secret  string
	secrets []string // that nothing may show, besides those of the requests
	signed  func(r *http.Request) []string
	codes   []VendorCode
	refused string // the code of a wrong secret
}

// start serves the fake and makes an adapter for it.
func (v vendorUnderTest) start(t *testing.T) Provider {
	t.Helper()
	srv := httptest.NewServer(v.fake)
	t.Cleanup(srv.Close)
	return v.provider(t, srv.URL)
}

func (v vendorUnderTest) provider(t *testing.T, endpoint string) Provider {
	t.Helper()
	p, err := v.make(endpoint, v.secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func vendorMessage(t *testing.T, to string, i int) Message {
	t.Helper()
	return Message{ID: fmt.Sprintf("019a9b1c-0000-7000-8000-%012d", i), To: number(t, to), Purpose: Login, Code: vendorCode, TTL: 5 * time.Minute}
}

func wantFailure(t *testing.T, what string, err error, class Class, code string) {
	t.Helper()
	var failed *SendError
	if !errors.As(err, &failed) || failed.Class != class || code != "" && failed.Code != code || failed.Provider != "vendor" {
		t.Errorf("%s: %v, want class %s, code %s", what, err, class, code)
	}
}

// testVendor is what every vendor's adapter must do.
func testVendor(t *testing.T, open func() vendorUnderTest) {
	t.Run("codes", func(t *testing.T) { testVendorCodes(t, open()) })
	t.Run("faults", func(t *testing.T) { testVendorFaults(t, open) })
	t.Run("fault of a used connection", func(t *testing.T) { testVendorUsedConnection(t, open()) })
	t.Run("not written", func(t *testing.T) { testVendorNotWritten(t, open()) })
	t.Run("statuses", func(t *testing.T) { testVendorStatuses(t, open()) })
	t.Run("wrong secret", func(t *testing.T) { testVendorWrongSecret(t, open()) })
	t.Run("parallel", func(t *testing.T) { testVendorParallel(t, open()) })
	t.Run("cancel", func(t *testing.T) { testVendorCancel(t, open()) })
	t.Run("bad numbers", func(t *testing.T) { testVendorBadNumbers(t, open()) })
	t.Run("endpoints", func(t *testing.T) { testVendorEndpoints(t, open()) })
	t.Run("leaks", func(t *testing.T) { testVendorLeaks(t, open()) })
}

// Every documented code has its class, once.
func testVendorCodes(t *testing.T, v vendorUnderTest) {
	p := v.start(t)
	seen := map[string]bool{}
	for _, entry := range v.codes {
		first, last, ranged := strings.Cut(entry.Code, "-")
		if entry.Code == "*" {
			first = "777"
		}
		if ranged && (len(first) != len(last) || first >= last || !allDigits(first) || !allDigits(last)) || entry.Means == "" {
			t.Errorf("entry %+v", entry)
		}
		for code := range classesOf([]VendorCode{entry}) {
			if seen[code] {
				t.Errorf("%s is listed twice", code)
			}
			seen[code] = true
		}
		for _, code := range []string{first, cmp.Or(last, first)} {
			v.core.Script(fake.Outcome{Code: code})
			ref, err := p.Send(t.Context(), vendorMessage(t, "+8613800138000", 1))
			if entry.Class == "" {
				if err != nil || ref != "" && code != "200" {
					t.Errorf("%s: %q, %v", code, ref, err)
				}
				continue
			}
			wantFailure(t, code, err, entry.Class, code)
		}
	}
	for _, code := range []string{"0", "00", "x", "1234567"} { // no codes at all
		v.core.Script(fake.Outcome{Code: code})
		_, err := p.Send(t.Context(), vendorMessage(t, "+8613800138000", 1))
		wantFailure(t, code, err, Ambiguous, "reply")
	}
	if n := len(v.core.Inbox().Messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// What may have been sent is ambiguous, and no fault makes a second call.
func testVendorFaults(t *testing.T, open func() vendorUnderTest) {
	want := map[fake.Fault]struct {
		class Class
		code  string
	}{
		fake.HTTP500: {Ambiguous, "http_500"}, fake.HTTP502: {Ambiguous, "http_502"},
		fake.Hang: {Ambiguous, "timeout"}, fake.AcceptThenHang: {Ambiguous, "timeout"}, fake.Slow: {Ambiguous, "timeout"},
		fake.Reset: {Ambiguous, "connection"}, fake.Cut: {Ambiguous, "connection"},
		fake.Truncated: {Ambiguous, "reply"}, fake.Huge: {Ambiguous, "oversized"}, fake.Gzip: {},
	}
	for _, fault := range fake.Faults() {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			v := open()
			p := v.start(t)
			v.core.Script(fake.Outcome{Fault: fault})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ref, err := p.Send(ctx, vendorMessage(t, "+8613800138001", 1))
			if want[fault].class == "" {
				if err != nil || ref == "" {
					t.Errorf("%q, %v", ref, err)
				}
			} else {
				wantFailure(t, string(fault), err, want[fault].class, want[fault].code)
			}
			taken := len(v.core.Inbox().Messages())
			if v.core.Calls() != 1 || (taken == 1) != fault.Accepts() {
				t.Errorf("%d calls, %d messages", v.core.Calls(), taken)
			}
		})
	}
}

// Go's transport repeats some requests on connections that end; not these.
func testVendorUsedConnection(t *testing.T, v vendorUnderTest) {
	p := v.start(t)
	if _, err := p.Send(t.Context(), vendorMessage(t, "+8613800138002", 1)); err != nil {
		t.Fatal(err)
	}
	v.core.Always(fake.Outcome{Fault: fake.Reset})
	_, err := p.Send(t.Context(), vendorMessage(t, "+8613800138003", 2))
	wantFailure(t, "reset", err, Ambiguous, "connection")
	if v.core.Calls() != 2 {
		t.Errorf("%d calls", v.core.Calls())
	}
}

// What was never written was not sent.
func testVendorNotWritten(t *testing.T, v vendorUnderTest) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	secure := httptest.NewUnstartedServer(v.fake)
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	for name, test := range map[string]struct{ endpoint, code string }{
		"refused":      {"http://" + closed.Addr().String(), "dial"},
		"unknown host": {"https://sms.invalid", ""},
		"untrusted":    {secure.URL, "certificate"},
	} {
		_, err := v.provider(t, test.endpoint).Send(t.Context(), vendorMessage(t, "+8613800138004", 1))
		wantFailure(t, name, err, Failover, test.code)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = v.start(t).Send(ended, vendorMessage(t, "+8613800138004", 1))
	wantFailure(t, "ended before it began", err, Failover, "canceled")
	if v.core.Calls() != 0 {
		t.Errorf("%d calls", v.core.Calls())
	}

	trusted := x509.NewCertPool()
	trusted.AddCert(secure.Certificate())
	p, err := v.make(secure.URL, v.secret, &tls.Config{RootCAs: trusted})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), vendorMessage(t, "+8613800138004", 1)); err != nil {
		t.Errorf("trusted: %v", err)
	}
}

func testVendorStatuses(t *testing.T, v vendorUnderTest) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for status, want := range map[int]Class{
		204: Ambiguous, 301: Misconfigured, 302: Misconfigured, 307: Misconfigured, 308: Misconfigured, 400: Misconfigured, 401: Misconfigured,
		403: Misconfigured, 404: Misconfigured, 408: Failover, 429: Failover, 500: Ambiguous, 503: Ambiguous, 504: Ambiguous,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(status)
		}))
		_, err := v.provider(t, srv.URL).Send(t.Context(), vendorMessage(t, "+8613800138005", 1))
		wantFailure(t, http.StatusText(status), err, want, "")
		var failed *SendError
		if errors.As(err, &failed) && (failed.RetryAfter == 17*time.Second) != (want == Failover) {
			t.Errorf("%d: Retry-After %v", status, failed.RetryAfter)
		}
		srv.Close()
	}
}

func testVendorWrongSecret(t *testing.T, v vendorUnderTest) {
	srv := httptest.NewServer(v.fake)
	defer srv.Close()
	for i := range v.secret {
		wrong := []byte(v.secret)
		wrong[i] ^= 1
		p, err := v.make(srv.URL, string(wrong), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Send(t.Context(), vendorMessage(t, "+8613800138006", 1))
		wantFailure(t, "a wrong secret", err, Misconfigured, v.refused)
	}
	if n := len(v.core.Inbox().Messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func testVendorParallel(t *testing.T, v vendorUnderTest) {
	const sends = 64
	p := v.start(t)
	refs := make([]string, sends)
	var wg sync.WaitGroup
	for i := range sends {
		m := vendorMessage(t, fmt.Sprintf("+86138001380%02d", i), i)
		m.Code = fmt.Sprintf("%06d", i)
		wg.Go(func() {
			ref, err := p.Send(t.Context(), m)
			if err != nil {
				t.Error(err)
			}
			refs[i] = ref
		})
	}
	wg.Wait()
	for i := range sends {
		got := v.core.Inbox().To(fmt.Sprintf("+86138001380%02d", i))
		if len(got) != 1 || got[0].Ref != refs[i] || got[0].Values[0] != fmt.Sprintf("%06d", i) {
			t.Errorf("number %d: %+v, ref %s", i, got, refs[i])
		}
	}
	slices.Sort(refs)
	if n := len(slices.Compact(refs)); n != sends || v.core.Calls() != sends {
		t.Errorf("%d refs, %d calls", n, v.core.Calls())
	}
}

// A call ends with its context, and after three seconds in any case.
func testVendorCancel(t *testing.T, v vendorUnderTest) {
	t.Parallel()
	arrived := make(chan struct{}, 2)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		v.fake.ServeHTTP(w, r)
	}))
	defer srv.Close()
	p := v.provider(t, srv.URL)
	v.core.Always(fake.Outcome{Fault: fake.Hang})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	start := time.Now()
	_, err := p.Send(ctx, vendorMessage(t, "+8613800138007", 1))
	wantFailure(t, "canceled", err, Ambiguous, "canceled")
	if took := time.Since(start); took >= attemptTime {
		t.Errorf("canceled after %v", took)
	}
	start = time.Now()
	_, err = p.Send(t.Context(), vendorMessage(t, "+8613800138007", 2))
	wantFailure(t, "silence", err, Ambiguous, "timeout")
	if took := time.Since(start); took < attemptTime || took > attemptTime+2*time.Second {
		t.Errorf("gave up after %v", took)
	}
}

// One number a call, of a shape that cannot be a list.
func testVendorBadNumbers(t *testing.T, v vendorUnderTest) {
	p := v.start(t)
	for _, e164 := range []string{"+861012345678", "+8612800138000", "+86138001380", "+861380013800012"} {
		n, err := FromE164(e164)
		if err != nil {
			t.Fatal(err)
		}
		m := vendorMessage(t, "+8613800138000", 1)
		m.To = n
		_, err = p.Send(t.Context(), m)
		wantFailure(t, e164, err, BadNumber, "number")
	}
	_, err := p.Send(t.Context(), Message{ID: "1", Code: vendorCode})
	wantFailure(t, "no number", err, BadNumber, "number")
	for _, code := range []string{"", "12345a", "1,2"} {
		m := vendorMessage(t, "+8613800138000", 1)
		m.Code = code
		_, err := p.Send(t.Context(), m)
		wantFailure(t, "code", err, Misconfigured, "code")
	}
	if v.core.Calls() != 0 {
		t.Errorf("%d calls", v.core.Calls())
	}
}

func testVendorEndpoints(t *testing.T, v vendorUnderTest) {
	for _, endpoint := range []string{
		"sms", "/sms", "http://sms.example", "http://127.0.0.1.example", "http://10.0.0.1", "ftp://127.0.0.1", "https://", "https:sms.example",
		"https://user:password@sms.example", "https://sms.example/path", "https://sms.example?x=1", "https://sms.example#x", "https://sms.example:port",
	} {
		if _, err := v.make(endpoint, v.secret, nil); err == nil {
			t.Errorf("%q was taken", endpoint)
		} else if strings.Contains(err.Error(), "password") || strings.Contains(err.Error(), v.secret) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	for _, endpoint := range []string{"", "https://sms.example", "https://sms.example:8883/", "http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"} {
		if _, err := v.make(endpoint, v.secret, nil); err != nil {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	if _, err := v.make("", "", nil); err == nil {
		t.Error("no secret is needed")
	}
}

func wantClasses(t *testing.T, codes []VendorCode, want map[Class]string) {
	t.Helper()
	classes := classesOf(codes)
	for class, list := range want {
		for _, code := range strings.Fields(list) {
			if got, ok := classes[code]; !ok || got != class {
				t.Errorf("%s: class %s, want %s", code, got, class)
			}
		}
	}
}
