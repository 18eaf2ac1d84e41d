package user

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestIDsThatNobodyGaveOut(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	phone := h.browser()
	phone.signIn(fixture(0))
	for _, id := range []string{"x", "sAAAAAAAAAAAAAAAAAAAAAA", "rAAAAAAAAAAAAAAAAAAAAAA", strings.Repeat("s", 300), "%2e%2e", "s%0aAAAAAAAAAAAAAAAAAAAAAA"} {
		phone.get("/qr/"+id).wants(t, http.StatusGone, "page-qr-result")
		if r := phone.post("/qr/"+id, url.Values{"decision": {"allow"}}); r.status != http.StatusGone && r.status != http.StatusSeeOther {
			t.Errorf("%s: %d", id, r.status)
		}
	}
	desk := h.browser()
	flow := desk.get("/login").to(t).Query().Get("flow")
	for _, id := range []string{"x", "sAAAAAAAAAAAAAAAAAAAAAA"} {
		drawn{browser: desk, flow: flow, id: id}.shows(qrExpired)
	}
	desk.get("/login/qr?flow=AAAAAAAAAAAAAAAA").fault(t, http.StatusGone, "flow_expired")
}

func TestAPageMakesFiveNewCodesByItself(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	desk := h.browser()
	flow := desk.get("/login").to(t).Query().Get("flow")
	renew := regexp.MustCompile(`data-renew="([^"]*)"`)
	path, made := "/login/qr?flow="+flow, 0
	for ; path != "" && made < 20; made++ {
		page := desk.get(desk.get(path).to(t).String())
		path = strings.ReplaceAll(renew.FindStringSubmatch(page.body)[1], "&amp;", "&")
	}
	if made != 1+qrRenewals {
		t.Errorf("%d codes without anybody asking", made)
	}
	for _, odd := range []string{"-1", "x", "99999999999999999999"} {
		page := desk.get(desk.get("/login/qr?flow=" + flow + "&renewed=" + odd).to(t).String())
		if got := renew.FindStringSubmatch(page.body)[1]; got != "" {
			t.Errorf("renewed=%s leads on to %s", odd, got)
		}
	}
}

func TestWithoutAStoreThereIsNoQRCode(t *testing.T) {
	h := newHouse(t, dbtest.Open(t))
	h.pages.Ephemeral = nil
	b := h.browser()
	page := b.get(b.get("/login").to(t).String())
	page.wants(t, http.StatusOK, "page-login")
	if strings.Contains(page.body, "login-qr") {
		t.Error("the sign-in page leads to it")
	}
}
