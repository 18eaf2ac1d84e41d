package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-chi/chi/v5"
	"golang.org/x/oauth2"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/signing"
	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

// demo is an ordinary OpenID Connect client that happens to live in the same
// process: it uses an independent client library, speaks to the endpoints through
// HTTP, and knows nothing that any other public client would not. It is mounted
// only by serve --dev. What it remembers is sealed into a cookie of /demo.
type demo struct {
	issuer string
	root   http.Handler // answers the demo's own requests without a network
	vault  *signing.Vault
	site   *web.Site
	secure bool
	log    *slog.Logger
}

const (
	demoClient = "demo"
	demoCookie = "dialtone_demo"
	demoLife   = time.Hour
)

// demoState is what the cookie holds: first the secrets of the authorize request,
// then the tokens.
type demoState struct {
	State, Nonce, Verifier string        `json:",omitempty"`
	Token                  *oauth2.Token `json:",omitempty"`
	IDToken                string        `json:",omitempty"`
	Refreshed              bool          `json:",omitempty"`
}

func (d *demo) mount(r chi.Router) {
	r.Get("/demo", d.show)
	r.Get("/demo/start", d.start)
	r.Get("/demo/callback", d.callback)
	r.Post("/demo/refresh", d.refresh)
	r.Post("/demo/sign-out", d.signOut)
}

// context makes the client library's requests reach the server's own handler.
func (d *demo) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, &http.Client{Transport: inProcess{d.root}})
}

// inProcess answers requests by calling a handler.
type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := &answer{status: http.StatusOK, header: http.Header{}}
	t.handler.ServeHTTP(out, in)
	return &http.Response{
		StatusCode: out.status, Status: http.StatusText(out.status), Header: out.header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(&out.body), ContentLength: int64(out.body.Len()),
	}, nil
}

// answer is a ResponseWriter that keeps what it is given.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (d *demo) client(ctx context.Context) (*oauth2.Config, *oidc.Provider, error) {
	provider, err := oidc.NewProvider(ctx, d.issuer)
	if err != nil {
		return nil, nil, fmt.Errorf("discover: %w", err)
	}
	return &oauth2.Config{
		ClientID:    demoClient,
		Endpoint:    provider.Endpoint(),
		RedirectURL: d.issuer + "/demo/callback",
		Scopes:      []string{oidc.ScopeOpenID, "phone", "profile", oidc.ScopeOfflineAccess},
	}, provider, nil
}

func (d *demo) start(w http.ResponseWriter, r *http.Request) {
	client, _, err := d.client(d.context(r.Context()))
	if err != nil {
		d.fail(w, r, err)
		return
	}
	st := demoState{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	if err := d.keep(w, st); err != nil {
		d.fail(w, r, err)
		return
	}
	http.Redirect(w, r, client.AuthCodeURL(st.State, oidc.Nonce(st.Nonce), oauth2.S256ChallengeOption(st.Verifier)), http.StatusSeeOther)
}

func (d *demo) callback(w http.ResponseWriter, r *http.Request) {
	st := d.recall(r)
	q := r.URL.Query()
	switch {
	case q.Get("error") != "":
		d.render(w, r, http.StatusOK, web.Demo{Problem: &web.Problem{Code: q.Get("error")}})
		return
	case st.State == "" || q.Get("state") != st.State || q.Get("iss") != d.issuer:
		d.render(w, r, http.StatusBadRequest, web.Demo{Problem: &web.Problem{Code: "invalid_request"}})
		return
	}
	ctx := d.context(r.Context())
	client, provider, err := d.client(ctx)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	token, err := client.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(st.Verifier))
	if d.refused(w, r, err) {
		return
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := provider.Verifier(&oidc.Config{ClientID: demoClient}).Verify(ctx, raw)
	if err != nil || idToken.Nonce != st.Nonce {
		d.fail(w, r, fmt.Errorf("verify the ID token: %w", err))
		return
	}
	if err := d.keep(w, demoState{Token: token, IDToken: raw}); err != nil {
		d.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/demo", http.StatusSeeOther)
}

func (d *demo) show(w http.ResponseWriter, r *http.Request) {
	st := d.recall(r)
	if st.Token == nil {
		d.render(w, r, http.StatusOK, web.Demo{})
		return
	}
	page := web.Demo{SignedIn: true, Steps: []web.DemoStep{
		{Title: "demo_id_token", Body: decodeJWT(st.IDToken)},
		{Title: "demo_access_token", Body: decodeJWT(st.Token.AccessToken)},
	}}
	ctx := d.context(r.Context())
	info, err := d.userinfo(ctx, st.Token)
	if err != nil {
		page.Problem = &web.Problem{Code: "demo_userinfo_failed"}
	} else {
		page.Steps = append(page.Steps, web.DemoStep{Title: "demo_userinfo", Body: info})
	}
	if st.Refreshed {
		page.Steps = append(page.Steps, web.DemoStep{Title: "demo_refreshed", Body: decodeJWT(st.Token.AccessToken)})
	}
	d.render(w, r, http.StatusOK, page)
}

func (d *demo) userinfo(ctx context.Context, token *oauth2.Token) (string, error) {
	_, provider, err := d.client(ctx)
	if err != nil {
		return "", err
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return "", err
	}
	var claims json.RawMessage
	if err := info.Claims(&claims); err != nil {
		return "", err
	}
	return indent(claims), nil
}

func (d *demo) refresh(w http.ResponseWriter, r *http.Request) {
	st := d.recall(r)
	if st.Token == nil {
		http.Redirect(w, r, "/demo", http.StatusSeeOther)
		return
	}
	ctx := d.context(r.Context())
	client, _, err := d.client(ctx)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	old := *st.Token
	old.Expiry = time.Unix(1, 0) // so that the library refreshes now
	token, err := client.TokenSource(ctx, &old).Token()
	if d.refused(w, r, err) {
		return
	}
	if raw, ok := token.Extra("id_token").(string); ok {
		st.IDToken = raw
	}
	if err := d.keep(w, demoState{Token: token, IDToken: st.IDToken, Refreshed: true}); err != nil {
		d.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/demo", http.StatusSeeOther)
}

// signOut is RP-initiated logout: the demo forgets its tokens and asks the
// provider to end the session.
func (d *demo) signOut(w http.ResponseWriter, r *http.Request) {
	st := d.recall(r)
	d.forget(w)
	q := url.Values{"client_id": {demoClient}, "post_logout_redirect_uri": {d.issuer + "/demo"}}
	if st.IDToken != "" {
		q.Set("id_token_hint", st.IDToken)
	}
	http.Redirect(w, r, d.issuer+"/oauth2/logout?"+q.Encode(), http.StatusSeeOther)
}

// refused shows what the token endpoint refused, or that something broke; false if
// neither happened.
func (d *demo) refused(w http.ResponseWriter, r *http.Request, err error) bool {
	var refusal *oauth2.RetrieveError
	switch {
	case err == nil:
		return false
	case errors.As(err, &refusal) && refusal.ErrorCode != "":
		d.forget(w)
		d.render(w, r, http.StatusBadRequest, web.Demo{Problem: &web.Problem{Code: refusal.ErrorCode}})
	default:
		d.fail(w, r, err)
	}
	return true
}

func (d *demo) keep(w http.ResponseWriter, st demoState) error {
	raw, err := json.Marshal(st)
	if err != nil {
		return err
	}
	value := base64.RawURLEncoding.EncodeToString(d.vault.Seal("demo", raw, nil))
	http.SetCookie(w, &http.Cookie{Name: demoCookie, Value: value, Path: "/demo", MaxAge: int(demoLife.Seconds()),
		HttpOnly: true, Secure: d.secure, SameSite: http.SameSiteLaxMode})
	return nil
}

func (d *demo) forget(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: demoCookie, Path: "/demo", MaxAge: -1, HttpOnly: true, Secure: d.secure, SameSite: http.SameSiteLaxMode})
}

func (d *demo) recall(r *http.Request) (st demoState) {
	c, err := r.Cookie(demoCookie)
	if err != nil {
		return demoState{}
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return demoState{}
	}
	raw, err := d.vault.Open("demo", sealed, nil)
	if err != nil || json.Unmarshal(raw, &st) != nil {
		return demoState{}
	}
	return st
}

func (d *demo) render(w http.ResponseWriter, r *http.Request, status int, page web.Demo) {
	page.RequestID = user.CallerOf(r.Context()).RequestID
	d.site.Render(w, r, status, page)
}

func (d *demo) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	page := web.Error{Code: f.Code, Description: f.Description, BackURL: "/demo"}
	page.RequestID = user.CallerOf(r.Context()).RequestID
	d.log.WarnContext(r.Context(), "the demo failed", "request_id", page.RequestID, "error", err)
	d.site.Render(w, r, f.Status, page)
}

// decodeJWT shows header and payload of a token; it verifies nothing, because
// what is shown was verified before it was kept.
func decodeJWT(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return token
	}
	var out strings.Builder
	for i, part := range parts[:2] {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return token
		}
		if i > 0 {
			out.WriteString("\n.\n")
		}
		out.WriteString(indent(raw))
	}
	return out.String()
}

func indent(raw []byte) string {
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return string(raw)
	}
	return out.String()
}
