package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/fault"
)

func TestErrorsAreToldByTheCodesOfTheirProtocol(t *testing.T) {
	log := &buffer{}
	s := &Server{log: slog.New(slog.NewTextHandler(log, nil)), issuer: "https://id.example.com"}
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		retry  bool
		logged bool
	}{
		"client's":             {errInvalidRequest, 400, "invalid_request", false, false},
		"not found":            {fault.New(404, "not_found", "x"), 404, "invalid_request", false, false},
		"throttled":            {errTooManyFailures.After(1500 * time.Millisecond), 429, "temporarily_unavailable", true, false},
		"database away":        {fmt.Errorf("find grant: %w", db.ErrUnavailable), 503, "temporarily_unavailable", true, true},
		"counters away":        {fmt.Errorf("count: %w", ephemeral.ErrUnavailable), 503, "temporarily_unavailable", true, true},
		"too slow":             {fmt.Errorf("read: %w", context.DeadlineExceeded), 503, "temporarily_unavailable", true, true},
		"provider away":        {fault.New(503, "sms_provider_unavailable", "x"), 503, "temporarily_unavailable", false, true},
		"unexpected":           {errors.New("the secret cause"), 500, "server_error", false, true},
		"hung up":              {fmt.Errorf("read: %w", context.Canceled), 503, "temporarily_unavailable", false, false},
		"wrapped client error": {fmt.Errorf("x: %w", errInvalidScope), 400, "invalid_scope", false, false},
	} {
		before := len(log.String())
		rec := httptest.NewRecorder()
		s.writeOAuthError(rec, httptest.NewRequest(http.MethodPost, "/x", nil), c.err)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), `"error":"`+c.code+`"`) {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		if (rec.Header().Get("Retry-After") != "") != c.retry || rec.Header().Get("Retry-After") == "0" {
			t.Errorf("%s: Retry-After %q", name, rec.Header().Get("Retry-After"))
		}
		if (len(log.String()) > before) != c.logged {
			t.Errorf("%s: logged %q", name, log.String()[before:])
		}
		if strings.Contains(rec.Body.String(), "secret cause") {
			t.Errorf("%s: told %s", name, rec.Body)
		}
	}
	rec := httptest.NewRecorder()
	s.writeProblem(rec, httptest.NewRequest(http.MethodPost, "/x", nil), errTooManyFailures.After(1500*time.Millisecond))
	if rec.Code != 429 || rec.Header().Get("Retry-After") != "2" || !strings.Contains(rec.Body.String(), `"code":"rate_limited"`) {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

// While the store is away everything says so, in its own form; nothing is
// accepted, and signing out works in this browser.
func TestWithoutADatabase(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	tokens := b.tokens(webRequest())
	page := b.get("/logout")
	q := webRequest()
	fresh := q.wantCode(b.authorize(q))
	must(t, w.db.Close())

	send := func(method, path string, form url.Values, header ...string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest(method, w.url+path, strings.NewReader(form.Encode()))
		must(t, err)
		if method == http.MethodPost {
			header = append(header, "Content-Type", "application/x-www-form-urlencoded")
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := b.c.Do(r)
		must(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		must(t, err)
		if strings.Contains(string(body), "sql") || strings.Contains(string(body), "database is closed") {
			t.Errorf("%s tells %s", path, body)
		}
		return res, string(body)
	}
	auth := []string{"Authorization", basic("web", secret)}
	for name, c := range map[string]struct {
		path string
		form url.Values
	}{
		"code":       {"/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {fresh}, "redirect_uri": {q.Get("redirect_uri")}, "code_verifier": {q.verifier}}},
		"refresh":    {"/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.text("refresh_token")}}},
		"introspect": {"/oauth2/introspect", url.Values{"token": {tokens.text("access_token")}}},
		"revoke":     {"/oauth2/revoke", url.Values{"token": {tokens.text("refresh_token")}}},
	} {
		if res, body := send(http.MethodPost, c.path, c.form, auth...); res.StatusCode < 500 || !strings.Contains(body, `"error":"`) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if res, body := send(http.MethodGet, "/oauth2/userinfo", nil, "Authorization", "Bearer "+tokens.text("access_token")); res.StatusCode < 500 || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("userinfo: %d %s", res.StatusCode, body)
	}
	if res, _ := send(http.MethodGet, "/oauth2/authorize?"+webRequest().Encode(), nil); res.StatusCode != http.StatusSeeOther || !strings.Contains(res.Header.Get("Location"), "error=") {
		t.Errorf("authorize: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	for _, path := range []string{pathOpenID, pathJWKS} {
		if res, _ := send(http.MethodGet, path, nil); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	// The session cannot even be looked up, so the logout page says sorry.
	if res, body := send(http.MethodPost, "/logout", url.Values{"ticket": {hidden(t, page.body, "ticket")}, "decision": {"yes"}}); res.StatusCode < 500 || !strings.Contains(body, `id="page-error"`) ||
		!strings.Contains(strings.Join(res.Header.Values("Set-Cookie"), "\n"), "dialtone_session=;") {
		t.Errorf("logout: %d %v", res.StatusCode, res.Header)
	}
}
