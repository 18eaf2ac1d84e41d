package user

import (
	"net/http"
	"net/url"
	"testing"
)

// A session that outlived a change of password is of a sign-in that counts no more:
// it vouches for no other one.
func TestASessionThatWasKeptIsNotCopied(t *testing.T) {
	eachQRHouse(t, func(t *testing.T, h *house) {
		phone, desk := h.browser(), h.browser()
		phone.signIn(fixture(0))
		for _, next := range []string{goodPassword, otherPassword} {
			phone.post(pathPassword, url.Values{"password": {next}}).leads(t, pathSecurity+"?done=password")
		}
		d := desk.drawQR("/start")
		phone.scan(d).wants(t, http.StatusOK, "page-qr-confirm")
		flow, challenge := phone.begin2(phone.decide(d, "allow"), fixture(0))
		if to := phone.finish(flow, challenge, testCode).to(t); to.Path != "/qr/"+d.id {
			t.Fatalf("sent to %s", to)
		}
		phone.allow(d)
		d.finish().to(t)
		h.mustSession(desk)
	})
}
