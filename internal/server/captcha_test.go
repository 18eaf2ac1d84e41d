package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
)

// What an operator sets is what the check runs on, and what becomes of answers
// can be scraped.
func TestHumanChecksAreCounted(t *testing.T) {
	d := dbtest.Open(t)
	vault, err := signing.OpenVault(t.Context(), d, [][]byte{[]byte("a master secret of the tests, long enough")})
	if err != nil {
		t.Fatal(err)
	}
	marks, err := ephemeral.OpenSQL(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer marks.Close()
	m := newMetrics("test")
	var c config.Config
	c.Captcha = config.Captcha{Type: "geetest_v4", ID: "id", Key: "key", Endpoint: "http://127.0.0.1:9"}
	human, err := captcha.New(captchaConfig(c, m, nil), vault, marks)
	if err != nil || len(human.Origins()) != 1 || human.Origins()[0] != c.Captcha.Endpoint {
		t.Fatal(human, err)
	}
	for _, proof := range []string{"AAAA", "AAAA", "{}"} {
		if _, err := human.Verify(t.Context(), captcha.Binding{}, captcha.Answer{Proof: proof}); err == nil {
			t.Errorf("%s passed", proof)
		}
	}
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{`dialtone_captcha_total{result="failed",type="pow"} 2`, `dialtone_captcha_total{result="failed",type="geetest_v4"} 1`} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}
