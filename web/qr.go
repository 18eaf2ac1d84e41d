package web

import (
	"html/template"
	"net/http"
	"time"
)

// QR is /login/qr, the code that a phone scans: ids page-qr, qr-image, qr-code,
// qr-state, qr-refresh, qr-again, qr-continue, qr-other, login-cancel. Its script asks GET
// /login/qr/status what the phone does, and sends the form once that allowed it.
type QR struct {
	Common
	Flow, Request string
	Client        *Client
	State         string        // "waiting", "scanned", "allowed", "declined", "expired"
	Picture       template.HTML // an svg element, "" unless the code can be scanned
	TypeAt, Code  string        // where, and what, to type instead: "id.example.com/qr", "BCDF-GHJK"
	Here          string        // this page by GET
	Renew         string        // a new code, for the script; "" if it has made enough
	CanCancel     bool
	Problem       *Problem
}

func (p QR) facts() facts {
	return facts{
		template: "qr", common: p.Common, client: p.Client, problem: p.Problem,
		step: []Field{{"flow", p.Flow}, {"request", p.Request}}, path: "/login/qr", script: "qr.js", popup: p.Client != nil,
	}
}

// QRConfirm is /qr/ID on the phone, before anything is allowed: ids
// page-qr-confirm, qr-allow, qr-deny, qr-device, qr-address, qr-since.
type QRConfirm struct {
	Common
	Request         string
	Client          *Client   // that the other device wants to sign in to, nil for the service itself
	Masked          string    // who is signed in here
	Browser, System string    // of the other device as it says, "" if it does not
	Address         string    // of the other device, as much as is kept; "" if unknown
	Since           time.Time // when the other device asked
	Ago             int       // seconds since then
}

func (p QRConfirm) facts() facts {
	return facts{template: "qr-confirm", common: p.Common, client: p.Client, script: "dialtone.js"}
}

// QRResult is /qr/ID afterwards: id page-qr-result.
type QRResult struct {
	Common
	State string // "allowed", "done", "declined", "expired", or "taken" by another account
}

func (p QRResult) facts() facts {
	return facts{template: "qr-result", common: p.Common, script: "dialtone.js"}
}

// QRTyped is /qr, for the code that is typed instead of scanned: ids page-qr-typed,
// qr-typed, qr-find.
type QRTyped struct {
	Common
	Code    string // what the person typed, shown again
	Problem *Problem
}

func (p QRTyped) facts() facts {
	return facts{template: "qr-typed", common: p.Common, problem: p.Problem, fields: []string{"qr-typed"}, path: "/qr", script: "dialtone.js"}
}

// QRState is the text that the page with the code has for a state, in the language
// of the request, chosen as Render does.
func (s *Site) QRState(r *http.Request, uiLocales []string, state string) string {
	return s.edition(r, uiLocales).fixed["qr.state_"+state]
}

// QRState is the text for a state.
func (v *view) QRState(state string) string { return v.edition.fixed["qr.state_"+state] }
