package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Metrics say what people and clients did, once each.
func TestMetricsCountWhatHappened(t *testing.T) {
	s := start(t, modes[0])
	a, number := newAgent(t, s), newNumber()
	q := newRequest("web", "https://rp.example/cb")
	first := a.redeem(q, a.signIn(q, number)).json(t)
	stale := text(first, "refresh_token")
	second := text(a.refresh("web", stale).json(t), "refresh_token")
	a.refresh("web", second)
	if r := a.refresh("web", stale); r.status != http.StatusBadRequest {
		t.Fatalf("a grandparent's refresh token: %d", r.status)
	}
	third := newRequest("third", "https://third.example/cb")
	to := a.authorize(third).location(t)
	page := a.get(to.String())
	form := url.Values{"flow": {to.Query().Get("flow")}, "session": {hidden(t, page.body, "session")}, "decision": {"deny"}}
	a.post("/consent", form)
	a.token("machine", url.Values{"grant_type": {"client_credentials"}})
	a.token("machine", url.Values{"grant_type": {"made-up"}})

	b := newAgent(t, s)
	w := b.begin(newRequest("web", "https://rp.example/cb"), newNumber())
	right := w.code
	w.code = wrongOf(right)
	for range 6 {
		b.finish(w)
	}
	metrics := a.get(s.metrics[0] + "/metrics").body
	for _, line := range []string{
		`dialtone_sms_sends_total{country="CN",provider="sink",purpose="login",reason="",result="accepted"} 2`,
		`dialtone_otp_challenges_total{country="CN",outcome="verified",purpose="login"} 1`,
		`dialtone_otp_challenges_total{country="CN",outcome="exhausted",purpose="login"} 1`,
		`dialtone_logins_total{method="sms",new_user="true",result="success"} 1`,
		`dialtone_registrations_total 1`,
		`dialtone_consents_total{decision="deny"} 1`,
		`dialtone_refresh_reuse_detected_total 1`,
		`dialtone_tokens_issued_total{grant="authorization_code",type="refresh"} 1`,
		`dialtone_tokens_issued_total{grant="authorization_code",type="id"} 1`,
		`dialtone_tokens_issued_total{grant="refresh_token",type="access"} 2`,
		`dialtone_tokens_issued_total{grant="client_credentials",type="access"} 1`,
		`dialtone_token_errors_total{error="invalid_grant",grant="refresh_token"} 1`,
		`dialtone_token_errors_total{error="unsupported_grant_type",grant="other"} 1`,
		`dialtone_ephemeral_degraded 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("%s is not in the metrics", line)
		}
	}
	if !strings.Contains(metrics, "dialtone_signing_key_age_seconds ") {
		t.Error("no age of the signing key")
	}
	if t.Failed() {
		for line := range strings.Lines(metrics) {
			if strings.HasPrefix(line, "dialtone_") && !strings.Contains(line, "_bucket") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}
