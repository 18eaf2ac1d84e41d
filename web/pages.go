package web

import "time"

// Page is one of the structs of this file.
type Page interface{ facts() facts }

// facts is what the frame around a page needs to know of it.
type facts struct {
	template string // file in templates/pages, without .html
	common   Common
	client   *Client
	problem  *Problem
	check    *Check
	status   string // of a message, as in Code; with reason
	reason   string
	fields   []string // ids of the form fields a Problem may belong to
	regions  []Region
	step     []Field  // query of the GET that shows this page
	path     string   // where that is, if not where its form goes
	start    string   // path of the step where the number is typed
	send     string   // path that the form with the check goes to
	suggest  bool     // the browser may suggest passkeys
	script   string   // asset that the page runs, "" for none
	target   string   // where a form's answer may lead, "" for common.FormAction
	room     string   // of the account pages, "" for other pages
	inner    bool     // a page within that room, which is the way back
	done     string   // what was just done, a message key below "done"
	help     bool     // the page sends people to the service
	logos    []string // of several clients
	popup    bool     // may be the pop-up window of a client: its opener must stay reachable

	theme theme // what the person chose; Render fills in this and the next
	brand brand
}

// Common is embedded in every page.
type Common struct {
	UILocales  []string // ui_locales of the authorize request, BCP 47, best first
	FormAction string   // origin ("https://rp.example", "http://127.0.0.1:4711") or scheme ("com.example.app:") that a form's answer may redirect to
	RequestID  string   // shown small on error pages
}

// Client is a client as pages show it. Of its URLs only https and loopback ones are rendered.
type Client struct {
	ID, Name, LogoURI, ClientURI, PolicyURI, TOSURI string
	Names                                           map[string]string `json:",omitempty"` // by language; else Name
	BrandColor                                      string            `json:",omitempty"` // "#rrggbb", its lightness adjusted to be readable; "" for ours
	SupportContact                                  string            `json:",omitempty"` // mailto:, tel: or https:
	FirstParty                                      bool
}

// Problem is what went wrong with a form: a message key (fault code), the
// values its text names, and the id of the field it belongs to ("" = whole
// form). RetryAfter, or a parameter "seconds", says when trying again helps.
type Problem struct {
	Code       string
	Params     map[string]string
	Field      string
	RetryAfter time.Duration
}

// Region is one country or region whose numbers are accepted. An empty Name is
// filled in the language of the page.
type Region struct {
	ISO, CallingCode, Name string // "CN", "86" or "+86"
	Selected               bool
}

// Passkey is what the browser is asked when it signs in with a passkey.
type Passkey struct {
	Options string // PublicKeyCredentialRequestOptionsJSON (WebAuthn Level 3 section 5.1.10)
	State   string // comes back with the answer
}

// Login is /login: ids page-login, phone, region, agree, send-code, login-qr, login-cancel,
// client-logo, and passkey-sign-in, which is hidden until the script has found
// out that the browser knows passkeys.
type Login struct {
	Common
	Flow         string // "" for a direct visit
	Client       *Client
	Phone        string // what the person typed or login_hint, shown again
	Regions      []Region
	AskAgreement bool
	Agreed       bool
	CanCancel    bool
	QR           bool     // lead to /login/qr, on wide screens
	Check        *Check   // has to be passed before the code is sent; nil for none
	Passkey      *Passkey // nil for none
	Problem      *Problem
}

func (p Login) facts() facts {
	return facts{
		template: "login", common: p.Common, client: p.Client, problem: p.Problem, check: p.Check,
		fields: []string{"phone", "agree", "captcha-typed"}, regions: p.Regions, step: []Field{{"flow", p.Flow}},
		path: "/login", start: "/login", send: "/login", suggest: p.Passkey != nil, script: "signin.js", popup: p.Client != nil,
	}
}

// Code is /login/code: ids page-code, code, verify-code, resend-code, change-phone,
// status, check-again. Its script asks GET /login/code/status how the message does.
type Code struct {
	Common
	Flow, Challenge string
	Client          *Client
	Masked          string
	ResendIn        int    // seconds until a re-send is allowed
	Status          string // "sending", "sent", "unknown", "delivered", "undelivered"; "" shows nothing
	Reason          string // of "undelivered": "off", "number", "blocked", "limited" or ""
	CanCancel       bool
	Check           *Check // has to be passed before another message is sent; nil for none
	OfferPasskey    bool   // let the script say whether this device can make a passkey
	Problem         *Problem
}

func (p Code) facts() facts {
	return facts{
		template: "code", common: p.Common, client: p.Client, problem: p.Problem, check: p.Check,
		status: p.Status, reason: p.Reason, fields: []string{"code", "captcha-typed"}, step: []Field{{"flow", p.Flow}, {"challenge", p.Challenge}},
		path: "/login/code", start: "/login", send: "/login/code/resend", script: "signin.js", popup: p.Client != nil,
	}
}

// Password is /login/password: ids page-password, identifier, password, agree,
// sign-in, by-code, to-register. What was typed as the password is never shown again.
type Password struct {
	Common
	Flow         string
	Client       *Client
	Identifier   string // what the person typed or login_hint, shown again
	AskAgreement bool
	Agreed       bool
	CanCancel    bool
	OfferPasskey bool // as in Code
	Problem      *Problem
}

func (p Password) facts() facts {
	return facts{
		template: "password", common: p.Common, client: p.Client, problem: p.Problem,
		fields: []string{"agree", "password"}, step: []Field{{"flow", p.Flow}}, path: "/login/password", script: "signin.js", popup: p.Client != nil,
	}
}

// Register is /register, which has two steps. Without a Challenge it asks for a
// number: ids page-register, phone, region, agree, send-code, by-code. With one it
// asks for the code and a password: code, password, register, resend-code,
// change-phone, status, check-again. A password is typed in the second step alone.
type Register struct {
	Common
	Flow         string
	Client       *Client
	Phone        string // this and the next three as in Login
	Regions      []Region
	AskAgreement bool
	Agreed       bool

	Challenge    string
	Masked       string // this and the next four as in Code
	ResendIn     int
	Status       string
	Reason       string
	OfferPasskey bool

	CanCancel bool
	Check     *Check // has to be passed before a message is sent; nil for none
	Problem   *Problem
}

func (p Register) facts() facts {
	f := facts{
		template: "register", common: p.Common, client: p.Client, problem: p.Problem, check: p.Check, regions: p.Regions,
		status: p.Status, reason: p.Reason, fields: []string{"phone", "agree", "captcha-typed"}, step: []Field{{"flow", p.Flow}},
		path: "/register", start: "/register", send: "/register", script: "signin.js", popup: p.Client != nil,
	}
	if p.Challenge != "" {
		f.fields, f.send = []string{"code", "password", "captcha-typed"}, "/register/resend"
		f.step = append(f.step, Field{"challenge", p.Challenge})
	}
	return f
}

// PasskeySetup is /login/passkey-setup: ids page-passkey-setup, add-passkey,
// passkey-later, passkey-never, and passkey-continue, which is all there is
// without JavaScript.
type PasskeySetup struct {
	Common
	Flow    string
	Client  *Client
	Problem *Problem
}

func (p PasskeySetup) facts() facts {
	return facts{
		template: "passkey-setup", common: p.Common, client: p.Client, problem: p.Problem,
		step: []Field{{"flow", p.Flow}}, path: "/login/passkey-setup", script: "signin.js", popup: p.Client != nil,
	}
}

// Consent is /consent: ids page-consent, consent-allow, consent-deny.
type Consent struct {
	Common
	Flow, Session string // Session is the sid the page was made for; the POST repeats it
	Client        Client
	RedirectHost  string
	Scopes        []string // none where the person is only asked whether to go on
	Masked        string   // who is signed in
	Once          bool     // the answer is not remembered, since any program could claim to be the client
}

func (p Consent) facts() facts {
	return facts{
		template: "consent", common: p.Common, client: &p.Client,
		step: []Field{{"flow", p.Flow}}, script: "dialtone.js", popup: true,
	}
}

// Logout is /logout: ids page-logout, logout-confirm, logout-cancel.
type Logout struct {
	Common
	Ticket string // sealed: what to do after confirmation
	Client *Client
	Masked string
}

func (p Logout) facts() facts {
	return facts{
		template: "logout", common: p.Common, client: p.Client,
		step: []Field{{"ticket", p.Ticket}}, script: "dialtone.js", popup: true,
	}
}

// SignedOut has the id page-signed-out.
type SignedOut struct {
	Common
	Client *Client
}

func (p SignedOut) facts() facts {
	return facts{template: "signed-out", common: p.Common, client: p.Client, script: "dialtone.js", popup: true}
}

// Error has the ids page-error, error-code (ASCII code), error-description.
type Error struct {
	Common
	Code        string
	Description string // ASCII; shown below the localised text
	Params      map[string]string
	RetryAfter  time.Duration // as in Problem
	BackURL     string        // where to start again, "" if unknown: https, loopback or a path of ours
	Client      *Client       // whose flow it was, nil if unknown
}

func (p Error) facts() facts {
	problem := &Problem{Code: p.Code, Params: p.Params, RetryAfter: p.RetryAfter}
	return facts{template: "error", common: p.Common, client: p.Client, problem: problem, script: "dialtone.js", popup: true}
}

// FormPost hands an authorization response to its client by the response mode
// form_post (OAuth 2.0 Form Post Response Mode): ids page-form-post, form-post,
// form-post-send.
type FormPost struct {
	Common
	Client *Client
	Action string // the redirect URI: https, or http
	Fields []Field
}

// Field is one parameter of a form.
type Field struct{ Name, Value string }

func (p FormPost) facts() facts {
	return facts{template: "form-post", common: p.Common, client: p.Client, script: "formpost.js", target: p.Action, popup: true}
}

// Second is /login/second, which asks for a second proof by one way: ids
// page-second, proof and prove for what is typed, passkey-sign-in for a passkey, as
// on Login, send-code for a text message and with its Challenge the ids of Code but
// change-phone, by-WAY for another way, login-cancel.
type Second struct {
	Common
	Flow      string
	Client    *Client
	Way       string   // "totp", "passkey", "password", "sms", "recovery_code"
	Others    []string // ways that may be taken instead
	TwoStep   bool     // the owner of the account wants it; else a client does
	Passkey   *Passkey // of that way; nil if there are none here
	Challenge string   // this and the next four of the way "sms", as in Code; "" before it is sent
	Masked    string
	ResendIn  int
	Status    string
	Reason    string
	Check     *Check // has to be passed before a message is sent; nil for none
	Problem   *Problem
}

func (p Second) facts() facts {
	f := facts{
		template: "second", common: p.Common, client: p.Client, problem: p.Problem, check: p.Check, status: p.Status, reason: p.Reason,
		fields: []string{"proof", "code", "captcha-typed"}, step: []Field{{"flow", p.Flow}, {"by", p.Way}},
		path: "/login/second", start: "/login/second", send: "/login/second/send", script: "dialtone.js", popup: p.Client != nil,
	}
	if p.Challenge != "" {
		f.send, f.step[1] = "/login/second/resend", Field{"challenge", p.Challenge}
	}
	if p.Passkey != nil {
		f.script = "signin.js"
	}
	return f
}

// Legal is /legal/terms and /legal/privacy where the operator hosts them with
// us: id page-legal.
type Legal struct {
	Common
	Kind    string // "terms", "privacy"
	Version string // version or date of the text, "" if unknown
}

func (p Legal) facts() facts {
	return facts{template: "legal", common: p.Common}
}

// Demo is /demo, a page that signs in through the real flow and shows the
// tokens. Ids page-demo, demo-start, demo-refresh, demo-signout.
type Demo struct {
	Common
	SignedIn bool
	Steps    []DemoStep
	Problem  *Problem
}

// DemoStep is one exchange to show. Title is a message key: demo_id_token,
// demo_access_token, demo_userinfo, demo_refreshed; another text is shown as it is.
type DemoStep struct {
	Title, Body string
}

func (p Demo) facts() facts {
	return facts{template: "demo", common: p.Common, problem: p.Problem, path: "/demo", script: "dialtone.js"}
}

// everyPage has one of each, so that New notices a missing template.
func everyPage() []Page {
	return []Page{
		Login{}, Code{}, Password{}, Register{}, PasskeySetup{}, Consent{}, Logout{}, SignedOut{}, Error{},
		FormPost{}, Account{}, AccountProfile{}, AccountSecurity{}, AccountSessions{}, AccountApps{},
		AccountActivity{}, AccountPrivacy{}, Delete{}, Deleted{}, Closing{}, Recycled{}, Second{}, Legal{}, Demo{},
		QR{}, QRConfirm{}, QRResult{}, QRTyped{},
		AccountProve{}, AccountPhone{}, AccountPhoneCode{}, AccountPassword{}, AccountTOTP{}, AccountTOTPSetup{},
		AccountRecovery{}, AccountPasskeys{}, AccountIdentifier{},
	}
}
