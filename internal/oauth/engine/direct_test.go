package engine_test

import (
	"net/url"
	"testing"

	"github.com/dialtone-id/dialtone/internal/oauth/engine"
)

// direct is an authorization whose code the app gets itself.
func direct(w *world) engine.Authorization {
	a := w.authorization("spa")
	a.RedirectURI, a.RedirectGiven, a.NoRedirect = "", false, true
	return a
}

// redeemAs redeems a code with a redirect URI, or none, and a key, or none.
func (w *world) redeemAs(code, redirect, key string) error {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}}
	if redirect != "" {
		form.Set("redirect_uri", redirect)
	}
	_, err := w.engine.Token(w.t.Context(), engine.TokenRequest{Client: w.client("spa"), Form: form, KeyThumbprint: key})
	return err
}

func TestACodeWithoutARedirectGoesWithNone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		code := w.code(direct(w))
		for _, redirect := range []string{w.client("spa").RedirectURIs[0], "urn:dialtone:params:oauth:no-redirect", "x"} {
			refused(t, w.redeemAs(code, redirect, ""), "invalid_grant", code)
		}
		ok(t, w.redeemAs(code, "", "")) // none of that used it up
		refused(t, w.redeemAs(code, "", ""), "invalid_grant", code)

		browsers := w.code(w.authorization("spa"))
		refused(t, w.redeemAs(browsers, "", ""), "invalid_grant", browsers)
		ok(t, w.redeemAs(browsers, w.authorization("spa").RedirectURI, ""))
	})
}

func TestACodeBoundToAKeyGoesWithThatKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := direct(w)
		a.KeyThumbprint = "one"
		code := w.code(a)
		refused(t, w.redeemAs(code, "", ""), "invalid_grant", code)
		refused(t, w.redeemAs(code, "", "another"), "invalid_grant", code)
		ok(t, w.redeemAs(code, "", "one"))
		ok(t, w.redeemAs(w.code(direct(w)), "", "one")) // a key more than asked for does no harm
	})
}
