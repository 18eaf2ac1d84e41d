package sms

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// A status without the vendor's own answer comes from something before it: only
// what fails behind it leaves open whether the vendor has taken the message.
func (v sdkVendor) statuses(t *testing.T) {
	for status, want := range map[int]Class{
		204: Ambiguous, 400: Misconfigured, 401: Misconfigured, 403: Misconfigured, 404: Misconfigured, 413: Misconfigured,
		408: Failover, 429: Failover, 500: Ambiguous, 502: Ambiguous, 503: Ambiguous, 504: Ambiguous,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				fmt.Fprint(w, "<html>no</html>")
			}
		}))
		p, err := v.open(srv.URL, v.secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		failed := judged(t.Context(), t, p, sdkMessage(t, "+8613800138080", 0))
		if failed == nil || failed.Class != want || (failed.RetryAfter == 17*time.Second) != (want == Failover) {
			t.Errorf("%d: %+v, want class %s", status, failed, want)
		}
		srv.Close()
	}
}

// One number a call, of a shape that cannot be a list, and a code that is one.
func (v sdkVendor) oneNumber(t *testing.T) {
	p, core := v.begin(t, fake.Config{})
	for _, e164 := range []string{"+861012345678", "+8612800138000", "+86138001380", "+861380013800012"} {
		if failed := judged(t.Context(), t, p, sdkMessage(t, e164, 0)); failed == nil || failed.Class != BadNumber || failed.Code != "number" {
			t.Errorf("%s: %v", e164, failed)
		}
	}
	if failed := judged(t.Context(), t, p, Message{ID: "1", Code: "013579", Purpose: Login}); failed == nil || failed.Class != BadNumber {
		t.Errorf("no number: %v", failed)
	}
	for _, code := range []string{"", "12345a", "1,2", "１２３４５６"} {
		m := sdkMessage(t, "+8613800138080", 0)
		m.Code = code
		if failed := judged(t.Context(), t, p, m); failed == nil || failed.Class != Misconfigured || failed.Code != "code" {
			t.Errorf("code %q: %v", code, failed)
		}
	}
	if core.Calls() != 0 {
		t.Errorf("%d calls", core.Calls())
	}
}

// What an SDK does not ask for because its time is over is no mistake of the configuration.
func TestExchangeThatEndedBeforeItBegan(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, x := begin(ctx)
	if failed := x.trouble(&vendorClient{name: "p"}); failed == nil || failed.Class != Misconfigured {
		t.Errorf("nobody was asked: %v", failed)
	}
	cancel()
	if failed := x.trouble(&vendorClient{name: "p"}); failed == nil || failed.Class != Failover || failed.Code != "canceled" {
		t.Errorf("ended: %v", failed)
	}
}
