package oauth

import (
	"crypto/rand"
	"encoding/base64"
	"html"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/oauth/client"
)

func TestLoginHintIsFilledInOnlyIfItIsANumber(t *testing.T) {
	w := newWorld(t)
	for hint, want := range map[string]bool{
		"+8613800138000": true, "138 0013 8000": true,
		"someone@example.com": false, "Zhang San": false, "+1 202 555 0100": false, "1": false, strings.Repeat("1", 300): false,
	} {
		b := w.browser(t)
		page := b.get(b.authorize(webRequest("login_hint", hint)).location().String())
		if got := strings.Contains(html.UnescapeString(page.body), `value="`+hint+`"`); got != want {
			t.Errorf("%.40q: filled in %v, want %v", hint, got, want)
		}
	}
}

// Whatever a client may be registered with, people can sign in to it: all of it lies in one
// cookie with a request of a generous size.
func TestEveryValidClientFitsTheCookie(t *testing.T) {
	w := newWorld(t)
	random := func(n int) string { // nothing compresses it but what base64 adds
		b := make([]byte, n)
		rand.Read(b)
		return base64.RawURLEncoding.EncodeToString(b)[:n]
	}
	uri := func(n int) string {
		host := "https://" + strings.Repeat("h", 60) + ".example/?"
		return host + strings.Repeat("&", n-len(host)) // which JSON may well spell in six bytes
	}
	for name, shown := range map[string]client.Client{
		"long URIs":    {ClientURI: uri(250), LogoURI: uri(250), PolicyURI: uri(250), TOSURI: uri(250)},
		"one long URI": {TOSURI: uri(1000)},
		"every member": {
			Name: "店", NameChinese: strings.Repeat(`"`, 128), NameEnglish: strings.Repeat(`\`, 128), BrandColor: "#0f6b5c",
			SupportContact: "mailto:" + strings.Repeat("m", 64) + "@" + strings.Repeat("h", 60) + ".example", LogoURI: uri(200),
		},
		"a quoted name": {Name: strings.Repeat(`"`, 256), LogoURI: uri(488)},
	} {
		c := shown
		c.ID, c.SkipAgreement = strings.Repeat("i", 128), true
		c.RedirectURIs = []string{"https://" + strings.Repeat("h", 60) + ".example/" + random(120)}
		_, err := w.clients.Create(t.Context(), c, secret, client.SourceOperator)
		must(t, err)
		q := ask(c.ID, c.RedirectURIs[0], "state", random(256), "nonce", random(384), "ui_locales", "zh-CN en", "login_hint", "+8613800138000")
		b := w.browser(t)
		if to := b.authorize(q).location(); to.Path != "/login" {
			t.Errorf("%s: went to %s", name, to)
		}
		must(t, w.clients.Delete(t.Context(), c.ID))
		w.clients.Forget()
	}
}
