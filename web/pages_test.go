package web

import (
	"flag"
	"html/template"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jba/templatecheck"
	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "write the golden files")

// Every page in every language. An asset's hash changes with the asset, so it is
// left out.
func TestPagesLookAsReviewed(t *testing.T) {
	s := newSite(t, Options{ICP: "沪ICP备00000000号", PSB: "沪公网安备31010100000000号", SupportContact: "tel:+862100000000"})
	s.now = func() time.Time { return noon }
	hash := regexp.MustCompile(`(/assets/[a-z]+)\.[0-9a-f]+\.`)
	for name, p := range samples() {
		for _, lang := range s.Languages() {
			t.Run(name+"."+lang, func(t *testing.T) {
				got := hash.ReplaceAllString(render(t, s, p, lang).Body.String(), "$1.HASH.")
				file := filepath.Join("testdata", "golden", name+"."+lang+".html")
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatalf("%v (run the tests with -update)", err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("page differs (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// typed is a view whose Page has its own type, as templates rely on.
type typed[P Page] struct {
	*view
	Page P
}

func TestTemplatesUseFieldsThatExist(t *testing.T) {
	types := map[string]any{
		"login": typed[Login]{}, "code": typed[Code]{}, "password": typed[Password]{}, "register": typed[Register]{}, "passkey-setup": typed[PasskeySetup]{}, "consent": typed[Consent]{}, "logout": typed[Logout]{},
		"signed-out": typed[SignedOut]{}, "error": typed[Error]{}, "form-post": typed[FormPost]{},
		"delete": typed[Delete]{}, "deleted": typed[Deleted]{}, "closing": typed[Closing]{}, "recycled": typed[Recycled]{}, "second": typed[Second]{},
		"qr": typed[QR]{}, "qr-confirm": typed[QRConfirm]{}, "qr-result": typed[QRResult]{}, "qr-typed": typed[QRTyped]{},
		"account": typed[Account]{}, "account-profile": typed[AccountProfile]{}, "account-security": typed[AccountSecurity]{},
		"account-sessions": typed[AccountSessions]{}, "account-apps": typed[AccountApps]{},
		"account-activity": typed[AccountActivity]{}, "account-privacy": typed[AccountPrivacy]{}, "account-prove": typed[AccountProve]{}, "account-phone": typed[AccountPhone]{},
		"account-phone-code": typed[AccountPhoneCode]{}, "account-password": typed[AccountPassword]{}, "account-totp": typed[AccountTOTP]{},
		"account-totp-setup": typed[AccountTOTPSetup]{}, "account-recovery": typed[AccountRecovery]{}, "account-passkeys": typed[AccountPasskeys]{},
		"account-identifier": typed[AccountIdentifier]{}, "legal": typed[Legal]{}, "demo": typed[Demo]{},
	}
	s := newSite(t, Options{})
	for _, e := range s.editions {
		// Once a template was executed it refers to others that are not in the set.
		if err := s.parse(e); err != nil {
			t.Fatal(err)
		}
		for name, page := range e.pages {
			if types[name] == nil {
				t.Errorf("template %s belongs to no page", name)
				continue
			}
			around := e.layouts[themeSystem]
			for _, one := range []*template.Template{around.top, page.title, page.main, around.bottom} {
				if err := templatecheck.CheckHTML(one, types[name]); err != nil {
					t.Errorf("%s in %s: %v", name, e.tag, err)
				}
			}
		}
	}
}

func TestPagesHaveTheirIDs(t *testing.T) {
	s := newSite(t, Options{})
	want := map[string][]string{
		"login":                  {"page-login", "phone", "agree", "send-code", "by-password", "login-cancel", "client-logo"},
		"login-passkey":          {"page-login", "phone", "passkey-sign-in", "passkey-note"},
		"login-direct":           {"page-login", "phone", "send-code"},
		"login-regions":          {"page-login", "phone", "region"},
		"code":                   {"page-code", "code", "verify-code", "resend-code", "change-phone", "login-cancel"},
		"code-spent":             {"page-code", "code", "verify-code", "resend-code", "change-phone"},
		"code-unknown":           {"page-code", "code", "verify-code", "change-phone"},
		"password":               {"page-password", "identifier", "password", "agree", "sign-in", "by-code", "to-register", "login-cancel"},
		"register":               {"page-register", "phone", "agree", "send-code", "by-code", "login-cancel"},
		"register-code":          {"page-register", "code", "password", "register", "resend-code", "change-phone", "offer-passkey"},
		"register-gone":          {"page-register", "code", "password", "register", "change-phone"},
		"passkey-setup":          {"page-passkey-setup", "add-passkey", "passkey-continue", "passkey-later", "passkey-never", "passkey-note"},
		"consent":                {"page-consent", "consent-allow", "consent-deny", "client-logo"},
		"consent-once":           {"page-consent", "consent-allow", "consent-deny", "client-logo"},
		"logout":                 {"page-logout", "logout-confirm", "logout-cancel"},
		"signed-out":             {"page-signed-out"},
		"error":                  {"page-error", "error-code", "error-description"},
		"form-post":              {"page-form-post", "form-post", "form-post-send"},
		"terms":                  {"page-legal"},
		"demo":                   {"page-demo", "demo-start"},
		"login-wide":             {"page-login", "login-qr"},
		"qr":                     {"page-qr", "qr-image", "qr-state", "qr-code", "qr-other", "login-cancel"},
		"qr-allowed":             {"page-qr", "qr-state", "qr-continue"},
		"qr-expired":             {"page-qr", "qr-state", "qr-again"},
		"qr-signed-out":          {"page-qr", "qr-again"},
		"qr-confirm":             {"page-qr-confirm", "qr-allow", "qr-deny", "qr-device", "qr-address", "qr-since"},
		"qr-done":                {"page-qr-result"},
		"qr-typed":               {"page-qr-typed", "qr-typed", "qr-find"},
		"demo-signed-in":         {"page-demo", "demo-refresh", "demo-signout"},
		"delete":                 {"page-delete", "delete-confirm", "delete-cancel"},
		"deleted":                {"page-deleted"},
		"closing":                {"page-closing", "keep-account", "closing-leave"},
		"recycled":               {"page-recycled", "start-anew", "recycled-leave"},
		"recycled-proofs":        {"proof-password", "prove-password", "prove-totp", "prove-recovery_code", "use-passkey", "start-anew"},
		"account":                {"page-account", "account-phone", "account-since", "account-device", "sign-out", "room-profile", "room-privacy"},
		"account-profile":        {"page-account-profile", "nickname", "name", "family-name", "given-name", "locale", "save-profile", "picture", "save-picture", "remove-picture"},
		"account-security":       {"page-account-security", "security-phone", "security-phone-action", "security-password-action", "security-recovery"},
		"account-prove":          {"page-account-prove", "passkey-sign-in", "proof-totp", "prove-totp", "proof-recovery_code", "prove-recovery_code", "prove-cancel"},
		"account-lost":           {"page-account-prove", "passkey-sign-in", "proof-password", "proof-totp", "prove-password_totp", "prove-recovery_code"},
		"account-lost-ready":     {"page-account-prove", "lost-continue"},
		"account-phone":          {"page-account-phone", "send-code", "phone-lost"},
		"account-phone-new":      {"page-account-phone", "phone", "send-code"},
		"account-phone-lost":     {"page-account-phone", "phone", "region", "send-code"},
		"account-phone-code":     {"page-account-phone-code", "code", "verify-code", "resend-code", "status", "phone-lost"},
		"account-phone-code-new": {"page-account-phone-code", "code", "verify-code", "change-phone"},
		"account-password":       {"page-account-password", "current", "forgot-password", "password", "save-password", "remove-password"},
		"account-password-set":   {"page-account-password", "password", "save-password"},
		"account-totp":           {"page-account-totp", "start-totp"},
		"account-totp-on":        {"page-account-totp", "start-totp", "remove-totp"},
		"account-totp-setup":     {"page-account-totp-setup", "totp-picture", "totp-secret", "totp-open", "totp-code", "confirm-totp"},
		"account-recovery":       {"page-account-recovery", "make-codes"},
		"account-recovery-codes": {"page-account-recovery", "recovery-codes", "save-codes", "codes-kept"},
		"account-passkeys":       {"page-account-passkeys", "passkey-0", "name-0", "rename-0", "remove-1", "add-passkey"},
		"account-username":       {"page-account-username", "username", "save-identifier"},
		"account-email":          {"page-account-email", "email", "save-identifier", "remove-identifier"},
		"account-sessions":       {"page-account-sessions", "session-0199c2", "session-0199c4", "end-others"},
		"account-apps":           {"page-account-apps", "app-0", "withdraw-0", "withdraw-1"},
		"account-activity":       {"page-account-activity", "activity-older"},
		"account-privacy":        {"page-account-privacy", "export-data", "delete-account", "withdraw-0"},
		"second-totp":            {"page-second", "proof", "prove", "by-passkey", "by-password", "by-sms", "by-recovery_code", "login-cancel", "client-logo"},
		"second-recovery":        {"page-second", "proof", "prove", "by-totp", "login-cancel"},
		"second-passkey":         {"page-second", "passkey-sign-in", "passkey-note", "by-totp", "login-cancel"},
		"second-sms":             {"page-second", "send-code", "by-totp", "login-cancel"},
		"second-code":            {"page-second", "code", "verify-code", "resend-code", "status", "login-cancel"},
	}
	absent := map[string][]string{
		"login": {"region", "login-qr", "passkey-sign-in"}, "code": {"offer-passkey"}, "login-direct": {"agree", "login-cancel", "client-logo", "region"},
		"code-unknown": {"resend-code"}, "password": {"offer-passkey"}, "password-direct": {"agree", "login-cancel"},
		"register": {"password", "code"}, "register-code": {"phone", "agree", "send-code"}, "register-gone": {"resend-code"}, "demo-signed-in": {"demo-start"},
		"qr": {"qr-again", "qr-continue"}, "qr-expired": {"qr-image", "qr-code", "qr-continue"}, "qr-allowed": {"qr-image", "qr-again"},
		"second-totp": {"by-totp", "code"}, "second-passkey-other": {"passkey-sign-in"}, "second-sms": {"code", "resend-code"}, "second-code": {"send-code", "change-phone"},
		"account-activity": {"activity-newest"}, "account-profile-bad": {"remove-picture"},
	}
	for name, p := range samples() {
		for _, lang := range s.Languages() {
			doc := parseHTML(t, render(t, s, p, lang))
			ids := map[string]int{}
			for _, n := range find(doc, func(n *html.Node) bool { return attr(n, "id") != "" }) {
				ids[attr(n, "id")]++
			}
			for id, n := range ids {
				if n > 1 {
					t.Errorf("%s: id %s appears %d times", name, id, n)
				}
			}
			for _, id := range want[name] {
				if ids[id] != 1 {
					t.Errorf("%s in %s: id %s is missing", name, lang, id)
				}
			}
			for _, id := range absent[name] {
				if ids[id] != 0 {
					t.Errorf("%s: id %s should not be there", name, id)
				}
			}
		}
	}
}

// Everything that a person can press sends the right thing without JavaScript.
func TestFormsSendTheirFields(t *testing.T) {
	s := newSite(t, Options{})
	tests := []struct {
		page, button   string
		method, action string
		sent           map[string]string
		decision       string // value of the button itself
	}{
		{"login", "send-code", "post", "/login", map[string]string{"flow": "Zk3mP0aQ", "phone": ""}, ""},
		{"login", "login-cancel", "post", "/login/cancel", map[string]string{"flow": "Zk3mP0aQ"}, ""},
		{"login-regions", "send-code", "post", "/login", map[string]string{"flow": "Zk3mP0aQ", "phone": "138001", "region": "", "agree": "1"}, ""},
		{"code", "verify-code", "post", "/login/code", map[string]string{"flow": "Zk3mP0aQ", "challenge": "0199c1", "code": ""}, ""},
		{"code", "resend-code", "post", "/login/code/resend", map[string]string{"flow": "Zk3mP0aQ", "challenge": "0199c1"}, ""},
		{"code-spent", "resend-code", "post", "/login/code/resend", map[string]string{"flow": "Zk3mP0aQ", "challenge": "0199c1"}, ""},
		{"code-offer", "verify-code", "post", "/login/code", map[string]string{"flow": "Zk3mP0aQ", "challenge": "0199c1", "code": "", "passkey": ""}, ""},
		{"password", "sign-in", "post", "/login/password", map[string]string{"flow": "Zk3mP0aQ", "identifier": "", "password": ""}, ""},
		{"password-wrong", "sign-in", "post", "/login/password", map[string]string{"flow": "Zk3mP0aQ", "identifier": "Ann&a", "password": "", "agree": "1"}, ""},
		{"register", "send-code", "post", "/register", map[string]string{"flow": "Zk3mP0aQ", "phone": ""}, ""},
		{"register-code", "register", "post", "/register", map[string]string{"flow": "Zk3mP0aQ", "challenge": "0199c1", "code": "", "password": "", "passkey": ""}, ""},
		{"register-code", "resend-code", "post", "/register/resend", map[string]string{"flow": "Zk3mP0aQ", "challenge": "0199c1"}, ""},
		{"passkey-setup", "passkey-continue", "post", "/login/passkey-setup", map[string]string{"flow": "Zk3mP0aQ", "state": "", "response": ""}, ""},
		{"consent", "consent-allow", "post", "/consent", map[string]string{"flow": "Zk3mP0aQ", "session": "0199c2"}, "allow"},
		{"consent", "consent-deny", "post", "/consent", map[string]string{"flow": "Zk3mP0aQ", "session": "0199c2"}, "deny"},
		{"logout", "logout-confirm", "post", "/logout", map[string]string{"ticket": "c2VhbGVk"}, "yes"},
		{"logout", "logout-cancel", "post", "/logout", map[string]string{"ticket": "c2VhbGVk"}, "no"},
		{"account", "sign-out", "get", "/logout", map[string]string{}, ""},
		{"qr-allowed", "qr-continue", "post", "/login/qr", map[string]string{"flow": "Zk3mP0aQ", "request": "s0199c4"}, ""},
		{"qr-expired", "qr-again", "get", "/login/qr", map[string]string{"flow": "Zk3mP0aQ"}, ""},
		{"qr-confirm", "qr-allow", "post", "/qr/s0199c4", map[string]string{}, "allow"},
		{"qr-confirm", "qr-deny", "post", "/qr/s0199c4", map[string]string{}, "deny"},
		{"qr-typed-wrong", "qr-find", "post", "/qr", map[string]string{"code": "BCDF-GHJL"}, ""},
		{"delete", "delete-confirm", "post", "/account/delete", map[string]string{"session": "0199c2"}, "yes"},
		{"delete", "delete-cancel", "post", "/account/delete", map[string]string{"session": "0199c2"}, "no"},
		{"closing", "keep-account", "post", "/login/closing", map[string]string{"flow": "Zk3mP0aQ"}, ""},
		{"closing", "closing-leave", "post", "/login/cancel", map[string]string{"flow": "Zk3mP0aQ"}, ""},
		{"recycled", "start-anew", "post", "/login/recycled", map[string]string{"flow": "Zk3mP0aQ", "decision": "new"}, ""},
		{"recycled-proofs", "prove-totp", "post", "/login/recycled", map[string]string{"flow": "Zk3mP0aQ", "decision": "mine", "proof": "totp", "typed": ""}, ""},
		{"second-totp", "prove", "post", "/login/second", map[string]string{"flow": "Zk3mP0aQ", "by": "totp", "typed": ""}, ""},
		{"second-sms", "send-code", "post", "/login/second/send", map[string]string{"flow": "Zk3mP0aQ", "by": "sms"}, ""},
		{"second-code", "verify-code", "post", "/login/second", map[string]string{"flow": "Zk3mP0aQ", "by": "sms", "challenge": "0199c1", "code": ""}, ""},
		{"second-code", "resend-code", "post", "/login/second/resend", map[string]string{"flow": "Zk3mP0aQ", "challenge": "0199c1"}, ""},
		{"account-profile", "save-profile", "post", "/account/profile", map[string]string{"nickname": "小满 🌾", "name": "", "family_name": "", "given_name": "", "locale": ""}, ""},
		{"account-profile", "save-picture", "post", "/account/picture", map[string]string{"picture": ""}, ""},
		{"account-prove-totp", "prove-totp", "post", "/account/security/prove", map[string]string{"for": "/account/security/totp", "proof": "totp", "totp": ""}, ""},
		{"account-lost-wrong", "prove-password_totp", "post", "/account/security/phone/lost", map[string]string{"proof": "password_totp", "password": "", "totp": ""}, ""},
		{"account-phone", "send-code", "post", "/account/security/phone", map[string]string{"flow": "Zk3mP0aQ"}, ""},
		{"account-phone-new", "send-code", "post", "/account/security/phone/new", map[string]string{"flow": "Zk3mP0aQ", "phone": ""}, ""},
		{"account-phone-code", "verify-code", "post", "/account/security/phone/old", map[string]string{"flow": "Zk3mP0aQ", "challenge": "0199c1", "code": ""}, ""},
		{"account-phone-code-new", "resend-code", "post", "/account/security/phone/confirm/resend", map[string]string{"flow": "Zk3mP0aQ", "challenge": "0199c1"}, ""},
		{"account-password", "save-password", "post", "/account/security/password", map[string]string{"username": "xiao.man", "current": "", "password": ""}, ""},
		{"account-password", "remove-password", "post", "/account/security/password/remove", map[string]string{}, ""},
		{"account-totp-setup", "confirm-totp", "post", "/account/security/totp/confirm", map[string]string{"code": ""}, ""},
		{"account-recovery", "make-codes", "post", "/account/security/recovery", map[string]string{}, ""},
		{"account-passkeys", "rename-0", "post", "/account/passkeys/a/rename", map[string]string{"name": "iPhone"}, ""},
		{"account-email", "remove-identifier", "post", "/account/security/email/remove", map[string]string{}, ""},
		{"account-sessions", "end-others", "post", "/account/sessions/end-others", map[string]string{}, ""},
		{"account-apps", "withdraw-0", "post", "/account/apps/revoke", map[string]string{"client": "shop"}, ""},
		{"account-privacy", "withdraw-0", "post", "/account/apps/revoke", map[string]string{"client": "shop", "from": "privacy"}, ""},
		{"account-privacy", "export-data", "post", "/account/privacy/export", map[string]string{}, ""},
		{"form-post", "form-post-send", "post", "https://shop.example/callback", map[string]string{"code": "ac.1", "state": "xyz", "iss": "https://id.example.com"}, ""},
		{"demo-signed-in", "demo-refresh", "post", "/demo/refresh", map[string]string{}, ""},
		{"demo-signed-in", "demo-signout", "post", "/demo/sign-out", map[string]string{}, ""},
	}
	for _, tt := range tests {
		doc := parseHTML(t, render(t, s, samples()[tt.page], "en"))
		button := byID(t, doc, tt.button)
		form := formOf(t, button)
		if button.Data != "button" || attr(button, "type") != "submit" {
			t.Errorf("%s: %s is not a submit button", tt.page, tt.button)
		}
		for _, a := range []string{"disabled", "hidden", "aria-disabled"} {
			if _, ok := lookup(button, a); ok {
				t.Errorf("%s: %s is %s before anybody did anything", tt.page, tt.button, a)
			}
		}
		if got := attr(form, "method") + " " + attr(form, "action"); got != tt.method+" "+tt.action {
			t.Errorf("%s: %s does %s, want %s %s", tt.page, tt.button, got, tt.method, tt.action)
		}
		if diff := cmp.Diff(tt.sent, values(form)); diff != "" {
			t.Errorf("%s: %s sends (-want +got):\n%s", tt.page, tt.button, diff)
		}
		if attr(button, "value") != tt.decision || (attr(button, "name") == "decision") != (tt.decision != "") {
			t.Errorf("%s: %s says %s=%s", tt.page, tt.button, attr(button, "name"), attr(button, "value"))
		}
	}
}

func TestNumberFieldTakesWhatPeopleHave(t *testing.T) {
	s := newSite(t, Options{})
	doc := parseHTML(t, render(t, s, samples()["login"], "en"))
	phone := byID(t, doc, "phone")
	for name, want := range map[string]string{"type": "tel", "inputmode": "tel", "autocomplete": "tel", "name": "phone"} {
		if got := attr(phone, name); got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"maxlength", "pattern", "placeholder"} {
		if _, ok := lookup(phone, name); ok {
			t.Errorf("the field has %s", name)
		}
	}
	if got := text(byID(t, doc, "calling-code")); got != "+86" {
		t.Errorf("the only region reads %q", got)
	}
	agree := byID(t, doc, "agree")
	for _, name := range []string{"checked", "required"} { // the server asks, in words
		if _, ok := lookup(agree, name); ok {
			t.Errorf("the agreement is %s", name)
		}
	}

	doc = parseHTML(t, render(t, s, samples()["login-regions"], "zh-CN"))
	region := byID(t, doc, "region")
	if _, ok := lookup(region, "required"); ok {
		t.Error("the region is required")
	}
	var options []string
	for _, o := range elements(region, "option") {
		_, selected := lookup(o, "selected")
		options = append(options, attr(o, "value")+" "+text(o))
		if selected != (attr(o, "value") == "HK") {
			t.Errorf("option %s selected: %t", attr(o, "value"), selected)
		}
	}
	if diff := cmp.Diff([]string{"CN +86 中国大陆", "HK +852 中国香港", "US +1 美国"}, options); diff != "" {
		t.Errorf("regions (-want +got):\n%s", diff)
	}
}

func TestCodeFieldIsOneFieldForAutofill(t *testing.T) {
	s := newSite(t, Options{})
	doc := parseHTML(t, render(t, s, samples()["code"], "en"))
	code := byID(t, doc, "code")
	for name, want := range map[string]string{"type": "text", "inputmode": "numeric", "autocomplete": "one-time-code"} {
		if got := attr(code, name); got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	pattern := regexp.MustCompile("^(?:" + attr(code, "pattern") + ")$")
	for _, typed := range []string{"123456", " 123 456 ", "123-456", "1 2 3 4 5 6", "１２３４５６"} {
		if !pattern.MatchString(typed) {
			t.Errorf("%q is refused before it is sent", typed)
		}
	}
	for _, typed := range []string{"", "12345", "1234567", "12345a"} {
		if pattern.MatchString(typed) {
			t.Errorf("%q is sent and may burn a try", typed)
		}
	}
	if got := attr(byID(t, doc, "change-phone"), "href"); got != "/login?flow=Zk3mP0aQ" {
		t.Errorf("changing the number leads to %s", got)
	}
	if got := text(byID(t, doc, "resend-note")); !strings.Contains(got, "58 s") {
		t.Errorf("without JavaScript the page says %q", got)
	}
	resend := byID(t, doc, "resend-code")
	if attr(resend, "data-seconds") != "58" || attr(resend, "data-wait") != "Send again ({n} s)" {
		t.Errorf("countdown: %v", resend.Attr)
	}
}

// A problem is announced, linked to its field, told by the field and by the title.
func TestProblemsAreTiedToTheirField(t *testing.T) {
	s := newSite(t, Options{})
	for name, field := range map[string]string{
		"login-regions": "phone", "login-agree": "agree", "code-last": "code", "login-limit": "", "code-spent": "",
		"password-wrong": "password", "recycled-wrong": "proof-recovery_code", "password-limit": "", "password-agree": "agree", "register-regions": "phone", "register-short": "password", "register-wrong": "code", "register-spent": "",
		"account-prove-totp": "proof-totp", "account-lost-wrong": "proof-password", "account-phone-taken": "phone", "account-phone-code-wrong": "code",
		"account-phone-code-spent": "", "account-password-common": "password", "account-password-wrong": "current", "account-totp-wrong": "totp-code",
		"account-passkeys-failed": "", "account-username-taken": "username", "account-email-bad": "email",
	} {
		doc := parseHTML(t, render(t, s, samples()[name], "zh-CN"))
		alerts := find(doc, func(n *html.Node) bool { return attr(n, "role") == "alert" })
		if len(alerts) != 1 || text(alerts[0]) == "" {
			t.Fatalf("%s: %d alerts", name, len(alerts))
		}
		if title := text(elements(doc, "title")[0]); !strings.HasPrefix(title, "错误：") {
			t.Errorf("%s: the title is %q", name, title)
		}
		invalid := find(doc, func(n *html.Node) bool { return attr(n, "aria-invalid") == "true" })
		if field == "" {
			if len(invalid) != 0 {
				t.Errorf("%s: a field is blamed for what is no field's fault", name)
			}
			continue
		}
		if len(invalid) != 1 || attr(invalid[0], "id") != field {
			t.Errorf("%s: %d invalid fields", name, len(invalid))
			continue
		}
		described := strings.Fields(attr(invalid[0], "aria-describedby"))
		if !slices.Contains(described, attr(alerts[0], "id")) {
			t.Errorf("%s: the field is described by %v, the alert is %q", name, described, attr(alerts[0], "id"))
		}
		if links := elements(alerts[0], "a"); len(links) != 1 || attr(links[0], "href") != "#"+field {
			t.Errorf("%s: the alert does not lead to its field", name)
		}
	}
}
