// Package oauth is the authorization server: the HTTP endpoints of OAuth 2.0
// and OpenID Connect, consent, logout, the two calls by which a native app asks
// for a one-time code, and the API of a person's own account.
//
// It parses, decides and answers. What a token contains is the engine's matter
// (package engine), what a client may do is package client's, what a person
// granted is package grant's, and how a person signs in is package user's:
//
//	browser ── /oauth2/authorize ──► request ──► next step? ──┬─► /login    (package user)
//	                                   ▲                      ├─► /consent
//	                                   │ sealed in the flow   └─► code to the redirect URI
//	                                   └── /oauth2/authorize/resume, SignedIn, Cancelled
//
//	client ─── /oauth2/token, introspect, revoke ─► client authentication ─► engine, grant
//	app ────── /oauth2/userinfo ─► access token ─► one read of the grant ─► claims
//
// An authorize request that needs a person is validated once, sealed into the
// browser's flow cookie, and checked again against the client's registration
// each time it is picked up; no step trusts what an earlier page sent.
//
// Whatever goes wrong is a fault.Error or an ordinary error. Each form in which
// a fault can be told has one writer: writeOAuthError (JSON), refuse (redirect),
// errorPage (HTML) and writeProblem (RFC 9457); bearerError adds the challenge of RFC 6750.
// Ordinary errors are logged there and told as server_error.
package oauth
