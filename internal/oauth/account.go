package oauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/oauth/client"
	"github.com/dialtone-id/dialtone/internal/user"
)

// The account API is what the pages at /account do, for the company's own apps: a
// person's data under a bearer token of theirs (RFC 6750). Reading takes scope
// account, everything else account.write; only first-party clients can have them.
// What touches how the person signs in, or all of their data, needs a sign-in of
// the last ten minutes besides (RFC 9470).
const (
	pathAccountAPI = "/v1/account"
	mergePatch     = "application/merge-patch+json" // RFC 7396
)

var (
	errNotAPerson   = errInvalidToken.Describe("the access token does not stand for a person")
	errAccountScope = errInsufficientScope.Describe("the access token does not have the scope that this needs")
	errStepUp       = fault.New(http.StatusUnauthorized, "insufficient_user_authentication", "a more recent sign-in is required")
	errOwnProof     = errStepUp.Describe("another device vouched for the sign-in, which does not do for this")
	errStronger     = errStepUp.Describe("this account needs a sign-in by two factors for this; a text message and a password are not enough where it has a passkey or an authenticator app")
	errNothingThere = fault.New(http.StatusNotFound, "not_found", "there is nothing of that name in this account")
	errNoSuchPath   = fault.New(http.StatusNotFound, "not_found", "there is nothing at this address")
)

// accountAPI collects the operations.
type accountAPI struct {
	s       *Server
	api     huma.API
	router  chi.Router
	methods map[string][]string // by path, for Allow
}

// operation is one of the account API.
type operation struct {
	id, method, path, summary string

	status  int      // of success; 0 for 200, or 204 without an answer
	fresh   bool     // needs a recent sign-in
	strong  bool     // and one that user.Service.MayChangeSignIn finds enough
	members []string // of the JSON object that it takes; nil if it takes none
	patch   bool     // the object is a JSON merge patch (RFC 7396), in which null removes
	change  func(*huma.Operation)

	required []string // of members, as the document says
}

// scope that the operation needs.
func (o operation) scope() string {
	if o.method == http.MethodGet {
		return client.ScopeAccount
	}
	return client.ScopeAccountWrite
}

// call is an admitted request.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	token liveToken

	body   []byte // of an operation that takes an object
	unread error  // why there is none
}

type callKey struct{}

func (c call) userID() string { return c.token.Subject }

// by is who changes the account, for the record.
func (c call) by() user.By {
	return user.By{Actor: "user:" + c.userID(), Session: c.token.grant.SessionID, OneFactor: c.token.grant.ACR != user.ACRTwoFactors}
}

// person is the account, from the one read that the token took.
func (c call) person(s *Server) (user.User, error) {
	g := c.token.grant
	return s.users.FromRow(g.UserID, g.UserClaims, g.PhoneSealed, g.PhoneVerifiedAt, g.UserUpdatedAt)
}

// account mounts the operations, and problems for everything else below the path.
func (s *Server) account(r chi.Router, api huma.API) {
	a := &accountAPI{s: s, api: api, router: r, methods: map[string][]string{}}
	for _, path := range []string{pathAccountAPI, pathAccountAPI + "/*"} {
		r.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.writeProblem(w, r, errNoSuchPath) })
	}
	a.profile()
	a.credentials()
	a.phone()
	a.passkeys()
	a.factors()
	a.access()
	a.data()
}

// answer is a JSON body.
type answer[T any] struct{ Body T }

// nothing is an input or an answer without content.
type nothing struct{}

// serve adds an operation. What handle fails with is told as problem details;
// db.ErrNotFound is what is not, or not this person's.
func serve[I, O any](a *accountAPI, o operation, handle func(context.Context, call, *I) (*O, error)) {
	path := pathAccountAPI + o.path
	a.mount(path, o.method)
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: path, Summary: o.summary, DefaultStatus: o.status, Tags: []string{"Account"},
		Security: []map[string][]string{{"oauth": {o.scope()}}}, SkipValidateBody: true, SkipValidateParams: true, MaxBodyBytes: maxJSONBytes,
		Errors:      []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable},
		Middlewares: huma.Middlewares{a.admit(o)}, Responses: map[string]*huma.Response{},
	}
	if o.fresh {
		op.Description = fmt.Sprintf("Needs a sign-in of the last %.0f minutes; otherwise 401 insufficient_user_authentication with max_age (RFC 9470).", user.FreshSignIn.Minutes())
	}
	if o.members != nil {
		op.Errors = append(op.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
		op.Middlewares = append(op.Middlewares, a.strictBody(&o))
		op.RequestBody = &huma.RequestBody{}
	}
	if o.change != nil {
		o.change(&op)
	}
	huma.Register(a.api, op, func(ctx context.Context, in *I) (*O, error) {
		c, _ := ctx.Value(callKey{}).(call)
		out, err := handle(ctx, c, in)
		if errors.Is(err, db.ErrNotFound) {
			err = errNothingThere.Because(err)
		}
		if err != nil {
			p, ok := asProblem(err)
			if !ok {
				p = a.s.problemOf(c.r, err)
			}
			p.headers.Del("Cache-Control") // it was set for whatever comes, and huma appends
			return nil, p
		}
		return out, nil
	})
	o.describe(op, a.api.OpenAPI().Components.Schemas)
}

// describe amends what huma made of the operation, and takes over what is required.
func (o *operation) describe(op huma.Operation, schemas huma.Registry) {
	if !slices.Contains(op.Errors, http.StatusUnprocessableEntity) {
		delete(op.Responses, strconv.Itoa(http.StatusUnprocessableEntity)) // parameters are names, which are there or not
	}
	if o.members == nil {
		return
	}
	object := op.RequestBody.Content["application/json"]
	o.required = schemas.SchemaFromRef(object.Schema.Ref).Required
	if o.patch {
		op.RequestBody.Content[mergePatch] = object
	}
}

// mount answers the methods that a path does not have, and preflights. HEAD is
// left to the router, which answers it as GET.
func (a *accountAPI) mount(path, method string) {
	if _, known := a.methods[path]; !known {
		refuse := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(a.methods[path], ", "))
			a.s.writeProblem(w, r, errMethodNotAllowed)
		}
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			a.router.MethodFunc(m, path, refuse)
		}
		a.router.Options(path, func(w http.ResponseWriter, r *http.Request) { preflight(strings.Join(a.methods[path], ", "))(w, r) })
	}
	a.methods[path] = append(a.methods[path], method)
}

// admit lets the holder of a token through that is good for the operation, once all
// of the object is there: a token that ends while a body is held back is good for nothing.
func (a *accountAPI) admit(o operation) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		w.Header().Set("Cache-Control", "no-store")
		shareErrors(w)
		c := call{w: w, r: r}
		if o.members != nil {
			c.body, c.unread = readBody(w, r, maxJSONBytes)
		}
		t, err := a.s.accountToken(r, o)
		if err != nil {
			a.s.putProblem(w, a.s.bearerProblem(r, o, err))
			return
		}
		c.token = t
		share(w, r, t.client)
		caller := user.CallerOf(ctx.Context())
		caller.ClientID = t.ClientID
		inner := user.WithCaller(ctx.Context(), caller)
		next(huma.WithContext(ctx, context.WithValue(inner, callKey{}, c)))
	}
}

func (s *Server) accountToken(r *http.Request, o operation) (liveToken, error) {
	raw, err := bearerToken(r, nil)
	if err != nil {
		return liveToken{}, err
	}
	t, err := s.liveToken(r.Context(), raw)
	switch {
	case err != nil:
		return liveToken{}, err
	case t.GrantID == "":
		return liveToken{}, errNotAPerson
	case !t.client.FirstParty || !slices.Contains(t.Scope, o.scope()):
		return liveToken{}, errAccountScope
	case o.fresh && t.grant.SessionCopied:
		return liveToken{}, errOwnProof
	case o.fresh && time.Since(t.grant.AuthTime) > user.FreshSignIn:
		return liveToken{}, errStepUp
	case !o.strong:
		return t, nil
	}
	u, err := call{token: t}.person(s)
	if err != nil {
		return liveToken{}, err
	}
	enough, err := s.users.MayChangeSignIn(r.Context(), u, t.grant.AMR, t.grant.ACR)
	if err == nil && !enough {
		err = errStronger
	}
	return t, err
}

// bearerProblem is problem details with the challenge of RFC 6750 section 3,
// which names the scope or, after RFC 9470 section 3, the age that would do.
func (s *Server) bearerProblem(r *http.Request, o operation, err error) *problem {
	p := s.problemOf(r, err)
	if p.Status < http.StatusInternalServerError {
		challenge := bearerChallenge(fault.From(err))
		switch p.Code {
		case errAccountScope.Code:
			challenge += `, scope="` + o.scope() + `"`
		case errStepUp.Code:
			age := user.FreshSignIn
			switch err {
			case errStronger:
				challenge += `, acr_values="` + user.ACRTwoFactors + `"`
			case errOwnProof: // however young it is
				age = 0
			}
			challenge += fmt.Sprintf(`, max_age="%.0f"`, age.Seconds())
		}
		p.headers.Set("WWW-Authenticate", challenge)
	}
	return p
}

// strictBody lets through one JSON object of the operation's members.
func (a *accountAPI) strictBody(o *operation) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if !mediaTypeIs(r.Header, "application/json") && (!o.patch || !mediaTypeIs(r.Header, mergePatch)) {
			a.s.writeProblem(w, r, errJSONType)
			return
		}
		c, _ := ctx.Context().Value(callKey{}).(call)
		err := c.unread
		if err == nil {
			err = checkObject(c.body, o.members, o.required, o.patch)
		}
		if err != nil {
			a.s.writeProblem(w, r, err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(c.body))
		next(ctx)
	}
}
