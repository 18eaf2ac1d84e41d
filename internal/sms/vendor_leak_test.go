package sms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// S-13, S-15: no error and no log line shows a number, a code, a credential or
// a signature, whatever the vendor answers.
func testVendorLeaks(t *testing.T, v vendorUnderTest) { // alone: it listens to the default logger
	said := &lockedBuffer{}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(before)
	var (
		mu      sync.Mutex
		secrets = slices.Clone(v.secrets)
		hostile atomic.Pointer[string]
	)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		secrets = append(secrets, v.signed(r)...)
		mu.Unlock()
		if answer := hostile.Load(); answer != nil {
			io.WriteString(w, *answer)
			return
		}
		v.fake.ServeHTTP(w, r)
	}))
	p := v.provider(t, srv.URL)
	m := vendorMessage(t, "+8613800138008", 1)
	send := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		ref, err := p.Send(ctx, m)
		fmt.Fprintf(said, "%s %v %+v %#v %s\n", ref, err, err, err, errors.Unwrap(err))
		slog.Error("send", "error", err, "provider", fmt.Sprintf("%v %+v %#v", p.Name(), m, m))
	}
	told := fmt.Sprintf("%s for 13800138008 %s %v", vendorCode, v.secret, v.secrets)
	for _, fault := range fake.Faults() {
		v.core.Script(fake.Outcome{Fault: fault}, fake.Outcome{Fault: fault, Code: "160050", Message: told})
		send()
		send()
	}
	for _, entry := range v.codes {
		code, _, _ := strings.Cut(entry.Code, "-")
		v.core.Script(fake.Outcome{Code: code, Message: told})
		send()
	}
	for _, code := range []string{vendorCode, "13800138008", "8613800138008", "138008", v.secret} {
		for _, shape := range []string{
			`{"code":"%[1]s","msg":"%[1]s"}`, `{"code":200,"msg":"%[1]s"}`, `{"statusCode":"%[1]s","statusMsg":"%[1]s"}`,
			`{"statusCode":"000000","templateSMS":{"smsMessageSid":"%[1]s"}}`, `%[1]s`, `{"%[1]s`,
		} {
			answer := fmt.Sprintf(shape, code)
			if code == v.secret && strings.Contains(answer, "Sid") || strings.Contains(shape, `200,"msg"`) && code == v.secret {
				continue // a vendor may call a message what it likes
			}
			hostile.Store(&answer)
			send()
		}
	}
	srv.Close()
	text := said.String()
	if strings.Count(text, "\n") < 50 {
		t.Fatal("nothing was said")
	}
	refuse(t, text, "a number", "13800138008")
	refuse(t, text, "a secret", slices.DeleteFunc(secrets, func(s string) bool { return s == "" })...)
	refuse(t, text, "an address", srv.URL, url.QueryEscape(srv.URL))
	refuseCode(t, text, vendorCode)
}
