package oauth

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dialtone-id/dialtone/internal/user"
	"github.com/dialtone-id/dialtone/web"
)

type sessionBody struct {
	ID        string    `json:"id" doc:"The sid of ID tokens"`
	Current   bool      `json:"current" doc:"The session that the token was granted in"`
	UserAgent string    `json:"user_agent,omitempty"`
	IPPrefix  string    `json:"ip_prefix,omitempty" doc:"Network of the sign-in"`
	AuthTime  time.Time `json:"auth_time"`
	AMR       []string  `json:"amr" nullable:"false"`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

type sessionList struct {
	Sessions []sessionBody `json:"sessions" nullable:"false" doc:"Browsers, the last used first"`
}

type sessionInput struct {
	ID string `path:"id"`
}

type appBody struct {
	ClientID   string    `json:"client_id"`
	ClientName string    `json:"client_name,omitempty"`
	Consented  bool      `json:"consented" doc:"The person was asked and allowed it"`
	Scopes     []string  `json:"scopes" nullable:"false"`
	Since      time.Time `json:"since"`
	UsedAt     time.Time `json:"used_at,omitzero"`
}

type appList struct {
	Apps []appBody `json:"apps" nullable:"false" doc:"The last used first"`
}

type appInput struct {
	ClientID string `path:"client_id"`
}

func appOf(app web.ConnectedApp) appBody {
	return appBody{
		ClientID: app.Client.ID, ClientName: app.Client.Name, Consented: app.Consent, Scopes: append([]string{}, app.Scopes...),
		Since: app.Since, UsedAt: app.Used,
	}
}

// access is where the person is signed in, and which apps they let in.
func (a *accountAPI) access() {
	users := a.s.users
	serve(a, operation{
		id: "list-sessions", method: http.MethodGet, path: "/sessions", summary: "List the browsers that are signed in",
	}, func(ctx context.Context, c call, _ *nothing) (*answer[sessionList], error) {
		live, err := users.LiveSessions(ctx, c.userID())
		list := sessionList{make([]sessionBody, len(live))}
		for i, x := range live {
			list.Sessions[i] = sessionBody{
				ID: x.ID, Current: x.ID == c.token.grant.SessionID, UserAgent: x.UserAgent, IPPrefix: x.IPPrefix, AuthTime: x.AuthTime,
				AMR: append([]string{}, x.AMR...), CreatedAt: x.CreatedAt, SeenAt: x.SeenAt, ExpiresAt: x.ExpiresAt,
			}
		}
		return &answer[sessionList]{list}, err
	})
	serve(a, operation{
		id: "end-session", method: http.MethodDelete, path: "/sessions/{id}", summary: "Sign a browser out, and end all that clients were granted in it", change: mayMiss,
	}, func(ctx context.Context, c call, in *sessionInput) (*nothing, error) {
		return nil, users.SignOutSession(ctx, c.userID(), in.ID)
	})
	serve(a, operation{
		id: "end-other-sessions", method: http.MethodPost, path: "/sessions/end-others",
		summary: "Sign out everywhere else: all but the session of the token or, for a native app, its own grant",
	}, func(ctx context.Context, c call, _ *nothing) (*nothing, error) {
		keep := user.Kept{Session: c.token.grant.SessionID, Grant: c.token.GrantID}
		if c.token.grant.SessionEnded { // nobody is here: what was granted in it is elsewhere
			keep.Session = ""
		}
		return nil, users.SignOutOthers(ctx, c.userID(), keep)
	})
	serve(a, operation{
		id: "list-apps", method: http.MethodGet, path: "/apps", summary: "List the apps that the person let in",
	}, func(ctx context.Context, c call, _ *nothing) (*answer[appList], error) {
		apps, err := users.Apps(ctx, c.userID())
		list := appList{make([]appBody, len(apps))}
		for i, app := range apps {
			list.Apps[i] = appOf(app)
		}
		return &answer[appList]{list}, err
	})
	serve(a, operation{
		id: "revoke-app", method: http.MethodDelete, path: "/apps/{client_id}", summary: "Withdraw what an app was allowed and end all its grants", change: mayMiss,
	}, func(ctx context.Context, c call, in *appInput) (*nothing, error) {
		return nil, users.Withdraw(ctx, c.userID(), in.ClientID)
	})
}

// Events on one page of the record.
const (
	eventsShown = 20
	eventsMost  = 100
)

type activityInput struct {
	Before string `query:"before" doc:"The member next of the page before"`
	Limit  string `query:"limit" doc:"1 to 100, 20 if left out"`
}

type eventBody struct {
	At       time.Time         `json:"at"`
	Event    string            `json:"event" example:"login.succeeded"`
	Actor    string            `json:"actor" doc:"user:ID, client:ID, operator or system"`
	ClientID string            `json:"client_id,omitempty"`
	IP       string            `json:"ip,omitempty"`
	Detail   map[string]string `json:"detail,omitempty"`
}

type activityBody struct {
	Events []eventBody `json:"events" nullable:"false" doc:"Of the last 90 days, newest first"`
	Next   string      `json:"next,omitempty" doc:"Comes back as before; missing at the end"`
}

type agreementList struct {
	Agreements []user.Agreement `json:"agreements" nullable:"false" doc:"The oldest first"`
}

type exportAnswer struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

type deletionBody struct {
	ErasedAt time.Time `json:"erased_at" doc:"Until then the person keeps the account by signing in with a browser"`
}

// data is what is kept of the person.
func (a *accountAPI) data() {
	users := a.s.users
	serve(a, operation{
		id: "list-activity", method: http.MethodGet, path: "/activity", summary: "Read what happened in the account",
		change: func(o *huma.Operation) { o.Errors = append(o.Errors, http.StatusUnprocessableEntity) },
	}, a.activity)
	serve(a, operation{
		id: "list-agreements", method: http.MethodGet, path: "/agreements", summary: "List the terms that the person agreed to",
	}, func(ctx context.Context, c call, _ *nothing) (*answer[agreementList], error) {
		list, err := users.Agreements(ctx, c.userID())
		return &answer[agreementList]{agreementList{list}}, err
	})
	serve(a, operation{
		id: "export-account", method: http.MethodPost, path: "/export", summary: "Take a copy of all data, once a minute at most", fresh: true, change: describeExport,
	}, func(ctx context.Context, c call, _ *nothing) (*exportAnswer, error) {
		text, err := users.ExportOwn(ctx, c.userID())
		return &exportAnswer{"application/json", `attachment; filename="dialtone.json"`, text}, err
	})
	serve(a, operation{
		id: "delete-account", method: http.MethodPost, path: "/deletion", status: http.StatusAccepted, fresh: true,
		summary: "Delete the account: every session and grant ends now, that of the app too, and the rest is erased later",
	}, func(ctx context.Context, c call, _ *nothing) (*answer[deletionBody], error) {
		due, err := users.RequestDeletion(ctx, c.userID())
		return &answer[deletionBody]{deletionBody{due}}, err
	})
}

func (a *accountAPI) activity(ctx context.Context, c call, in *activityInput) (*answer[activityBody], error) {
	limit := eventsShown
	if in.Limit != "" {
		n, err := strconv.Atoi(in.Limit)
		if err != nil || n < 1 || n > eventsMost {
			return nil, errMember.Describe("limit must be 1 to %d", eventsMost)
		}
		limit = n
	}
	entries, next, err := a.s.users.Activity(ctx, c.userID(), in.Before, limit)
	body := activityBody{Events: make([]eventBody, len(entries)), Next: next}
	for i, e := range entries {
		body.Events[i] = eventBody{e.At, e.Name, e.Actor, e.ClientID, e.IP, e.Detail}
	}
	return &answer[activityBody]{body}, err
}

// describeExport: the document grows with what is kept, so its members are not fixed here.
func describeExport(o *huma.Operation) {
	o.Errors = append(o.Errors, http.StatusTooManyRequests)
	o.Responses = map[string]*huma.Response{"200": {
		Description: "Everything but secrets, under the standard claim names and those of its parts",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}},
	}}
}

func mayMiss(o *huma.Operation) { o.Errors = append(o.Errors, http.StatusNotFound) }
func limited(o *huma.Operation) { o.Errors = append(o.Errors, http.StatusTooManyRequests) }
func mayMissOrConflict(o *huma.Operation) {
	mayMiss(o)
	o.Errors = append(o.Errors, http.StatusConflict)
}
func conflicts(o *huma.Operation) {
	o.Errors = append(o.Errors, http.StatusConflict, http.StatusTooManyRequests)
}
