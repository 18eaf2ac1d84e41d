package web

import (
	"html/template"
	"net/http"
	"strings"
	"time"
)

// The pages behind the rows of /account/security. Each is one step at one address
// below that, and beside the rooms like those.

const pathSecurity = "/account/security"

// within are the facts of such a page: its template, and its path below the room.
func within(c Common, template, path string) facts {
	return facts{template: template, common: c, script: "dialtone.js", room: "security", inner: true, path: pathSecurity + path}
}

// AccountProve is /account/security/prove, and with Lost /account/security/phone/lost:
// a further proof before a change. Ids page-account-prove, proof-NAME and prove-NAME for
// a proof that is typed, passkey-sign-in, lost-continue.
type AccountProve struct {
	Common
	For     string   // path of the page that asks, "" with Lost
	Ways    []string // "passkey", "totp", "recovery_code", "password"; with Lost "password_totp" too
	Lost    bool     // makes up for a code to the number that the account has
	Ready   bool     // with Lost: proven lately, so that one button goes on
	Masked  string   // with Lost: that number
	Problem *Problem
}

func (p AccountProve) facts() facts {
	f := within(p.Common, "account-prove", "/prove")
	f.problem, f.script, f.step = p.Problem, "signin.js", []Field{{"for", p.For}}
	f.fields = []string{"proof-totp", "proof-recovery_code", "proof-password"}
	f.help = len(p.Ways) == 0 && !p.Ready
	if p.Lost {
		f.path, f.step = pathSecurity+"/phone/lost", []Field{}
	}
	return f
}

// AccountPhone is /account/security/phone, where the number of the account is shown, and
// with New /account/security/phone/new, where another is typed. Ids page-account-phone,
// send-code; phone-lost; phone, region.
type AccountPhone struct {
	Common
	Flow    string
	Masked  string // of the account, "" for none
	New     bool
	Lost    bool // with New: Masked was made up for by another proof
	Phone   string
	Regions []Region
	Check   *Check // has to be passed before a code is sent; nil for none
	Problem *Problem
}

func (p AccountPhone) facts() facts {
	f := within(p.Common, "account-phone", "/phone")
	if p.New {
		f.path = pathSecurity + "/phone/new"
	}
	f.problem, f.check, f.regions, f.send = p.Problem, p.Check, p.Regions, f.path
	f.fields, f.step = []string{"phone", "captcha-typed"}, []Field{{"flow", p.Flow}}
	return f
}

// AccountPhoneCode is /account/security/phone/old and, with New,
// /account/security/phone/confirm, where the code to one of the numbers is typed. Ids
// page-account-phone-code, code, verify-code, resend-code, change-phone, status.
type AccountPhoneCode struct {
	Common
	Flow, Challenge string
	New             bool
	Masked          string // this and the rest as in Code
	ResendIn        int
	Status          string
	Reason          string
	Check           *Check
	Problem         *Problem
}

func (p AccountPhoneCode) facts() facts {
	f := within(p.Common, "account-phone-code", "/phone/old")
	f.start = pathSecurity + "/phone"
	if p.New {
		f.path, f.start = pathSecurity+"/phone/confirm", pathSecurity+"/phone/new"
	}
	f.problem, f.check, f.send = p.Problem, p.Check, f.path+"/resend"
	f.status, f.reason = p.Status, p.Reason
	f.fields, f.step = []string{"code", "captcha-typed"}, []Field{{"flow", p.Flow}, {"challenge", p.Challenge}}
	return f
}

// AccountPassword is /account/security/password: ids page-account-password, current,
// password, save-password, forgot-password, remove-password.
type AccountPassword struct {
	Common
	Has        bool
	Changed    time.Time // zero without one
	AskCurrent bool      // who signed in too long ago shows it
	UserName   string    // for the browser's keeper of passwords, which saves it under this
	Problem    *Problem
}

func (p AccountPassword) facts() facts {
	f := within(p.Common, "account-password", "/password")
	f.problem, f.fields = p.Problem, []string{"current", "password"}
	return f
}

// AccountTOTP is /account/security/totp: ids page-account-totp, start-totp, remove-totp.
type AccountTOTP struct {
	Common
	Since time.Time // zero without an app
}

func (p AccountTOTP) facts() facts { return within(p.Common, "account-totp", "/totp") }

// AccountTOTPSetup is /account/security/totp/confirm, an app that waits for its first
// code: ids page-account-totp-setup, totp-picture, totp-secret, totp-open, totp-code, confirm-totp.
type AccountTOTPSetup struct {
	Common
	Picture template.HTML // an svg element
	Secret  string        // base32, in groups
	URL     template.URL  // otpauth:, for an app on this very device
	Problem *Problem
}

func (p AccountTOTPSetup) facts() facts {
	f := within(p.Common, "account-totp-setup", "/totp/confirm")
	f.problem, f.fields = p.Problem, []string{"totp-code"}
	return f
}

// AccountRecovery is /account/security/recovery, and with Codes
// /account/security/recovery/codes: ids page-account-recovery, make-codes;
// recovery-codes, save-codes, codes-kept.
type AccountRecovery struct {
	Common
	Left  int
	Codes []string // new ones, to be shown
}

func (p AccountRecovery) facts() facts {
	if p.Codes != nil {
		return within(p.Common, "account-recovery", "/recovery/codes")
	}
	return within(p.Common, "account-recovery", "/recovery")
}

// AccountPasskeys is /account/security/passkeys: ids page-account-passkeys, add-passkey,
// passkey-N, name-N, rename-N, remove-N.
type AccountPasskeys struct {
	Common
	Keys    []AccountPasskey
	Done    string // as in AccountProfile
	Problem *Problem
}

// AccountPasskey is one of them.
type AccountPasskey struct {
	ID, Name      string
	Synced        bool // may be on several devices
	Created, Used time.Time
}

func (p AccountPasskeys) facts() facts {
	f := within(p.Common, "account-passkeys", "/passkeys")
	f.problem, f.done, f.script = p.Problem, p.Done, "signin.js"
	return f
}

// AccountIdentifier is /account/security/username and /account/security/email: ids
// page-account-KIND, KIND, save-identifier, remove-identifier.
type AccountIdentifier struct {
	Common
	Kind    string // "username", "email"
	Value   string // "" for none
	Typed   string // as typed, if there is a Problem
	Problem *Problem
}

func (p AccountIdentifier) facts() facts {
	f := within(p.Common, "account-identifier", "/"+p.Kind)
	f.problem, f.fields = p.Problem, []string{p.Kind}
	return f
}

// ServiceName is what the service is called on its pages.
func (s *Site) ServiceName() string { return s.options.ServiceName }

// CodesFile is a text file of recovery codes, in the language of the request, chosen as
// Render does. Its lines end as every system can read them.
func (s *Site) CodesFile(r *http.Request, uiLocales []string, codes []string) string {
	lines := append([]string{s.options.ServiceName, s.edition(r, uiLocales).fixed["recovery.file"], ""}, codes...)
	return strings.Join(lines, "\r\n") + "\r\n"
}
