package web

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// puzzle is a proof of work as a page carries it.
func puzzle(challenge [sha256.Size]byte) string {
	return `{"type":"pow","data":{"algorithm":"SHA-256","challenge":"` + hex.EncodeToString(challenge[:]) +
		`","maxnumber":1000000,"salt":"salt&","signature":"00"}}`
}

// noon is the time of the samples.
var noon = time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC)

// samples are pages as handlers fill them, by a name for golden files. Every
// page type is here, and every state of a page that looks different.
func samples() map[string]Page { return samplesOf("https://shop.example/logo.png") }

// samplesOf are samples of clients with this logo.
func samplesOf(logo string) map[string]Page {
	shop := &Client{
		ID: "shop", Name: "小满商城", LogoURI: logo, ClientURI: "https://shop.example/",
		PolicyURI: "https://shop.example/privacy", TOSURI: "https://shop.example/terms",
		Names: map[string]string{"en": "Xiaoman Shop"}, SupportContact: "mailto:help@shop.example",
	}
	red := *shop
	red.BrandColor = "#e4393c"
	long := *shop
	long.Names, long.Name = nil, "一个名字很长很长的应用程序，它把自己要做的所有事情都写进了名字里 with an unbreakableandverylongwordintheend"
	long.SupportContact = "https://support.a-rather-long-host-name.shop.example/help"
	china := []Region{{ISO: "CN", CallingCode: "86", Selected: true}}
	several := []Region{{ISO: "CN", CallingCode: "86"}, {ISO: "HK", CallingCode: "+852", Selected: true}, {ISO: "US", CallingCode: "1"}}
	const masked = "+86 138****8000"
	login := Login{
		Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Client: shop,
		Regions: china, AskAgreement: true, CanCancel: true,
	}
	code := Code{
		Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Challenge: "0199c1", Client: shop,
		Masked: masked, Status: "sent", CanCancel: true,
	}
	loginWith := func(change func(*Login)) Login { l := login; change(&l); return l }
	codeWith := func(change func(*Code)) Code { c := code; change(&c); return c }
	password := Password{
		Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Client: shop, AskAgreement: true, CanCancel: true,
	}
	passwordWith := func(change func(*Password)) Password { p := password; change(&p); return p }
	register := Register{
		Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Client: shop,
		Regions: china, AskAgreement: true, CanCancel: true,
	}
	registerWith := func(change func(*Register)) Register { r := register; change(&r); return r }
	chosenWith := func(change func(*Register)) Register {
		return registerWith(func(r *Register) {
			r.Challenge, r.Masked, r.Status, r.ResendIn = "0199c1", masked, "sent", 58
			change(r)
		})
	}
	pow := Check{Type: "pow", Ticket: "dGlja2V0", Puzzle: puzzle(sha256.Sum256(nil))} // which no number solves
	picture := pow
	picture.Picture = true
	qr := QR{
		Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Request: "s0199c4", Client: shop,
		State: "waiting", TypeAt: "id.example.com/qr", Code: "BCDF-GHJK", CanCancel: true,
		Picture: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path stroke="#000" d="M4 4.5h1"/></svg>`,
		Here:    "/login/qr?flow=Zk3mP0aQ&request=s0199c4", Renew: "/login/qr?flow=Zk3mP0aQ&renewed=1",
	}
	qrOver := func(state string) QR {
		q := qr
		q.State, q.Picture, q.TypeAt, q.Code = state, "", "", ""
		return q
	}
	qrSignedOut := qrOver("expired")
	qrSignedOut.Problem = &Problem{Code: "qr_signed_out"}
	qrScanned := qr
	qrScanned.State, qrScanned.Client, qrScanned.CanCancel = "scanned", nil, false
	confirm := QRConfirm{
		Request: "s0199c4", Client: shop, Masked: masked, Browser: "Chrome", System: "Windows", Address: "198.51.100.*",
		Since: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Ago: 40,
	}
	second := Second{Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Client: shop, Masked: masked}
	secondWith := func(way string, change func(*Second)) Second {
		s := second
		s.Way = way
		for _, other := range []string{"totp", "passkey", "password", "sms", "recovery_code"} {
			if other != way {
				s.Others = append(s.Others, other)
			}
		}
		change(&s)
		return s
	}
	secondCode := func(change func(*Second)) Second {
		return secondWith("sms", func(s *Second) { s.Challenge, s.Status, s.ResendIn = "0199c1", "sent", 58; change(s) })
	}
	totp := AccountTOTPSetup{Picture: qr.Picture, Secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", URL: "otpauth://totp/Dialtone:x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Dialtone"}
	totpWrong := totp
	totpWrong.Problem = &Problem{Code: "factor_incorrect", Field: "totp-code"}
	return map[string]Page{
		"second-totp": secondWith("totp", func(s *Second) { s.TwoStep = true }),
		"second-totp-wrong": secondWith("totp", func(s *Second) {
			s.Client, s.TwoStep, s.Problem = nil, true, &Problem{Code: "factor_incorrect", Field: "proof"}
		}),
		"second-recovery":       secondWith("recovery_code", func(s *Second) { s.Client, s.Others = nil, []string{"totp"} }),
		"second-recovery-limit": secondWith("recovery_code", func(s *Second) { s.Problem = &Problem{Code: "rate_limited", RetryAfter: 4 * time.Second} }),
		"second-password":       secondWith("password", func(s *Second) { s.Others = nil }),
		"second-password-wrong": secondWith("password", func(s *Second) { s.Client, s.Problem = &long, &Problem{Code: "password_incorrect", Field: "proof"} }),
		"second-passkey": secondWith("passkey", func(s *Second) {
			s.Passkey = &Passkey{Options: `{"challenge":"Y2hhbGxlbmdl","rpId":"id.example"}`, State: "c2VhbGVk"}
		}),
		"second-passkey-other": secondWith("passkey", func(s *Second) { s.Problem = &Problem{Code: "passkey_other"} }),
		"second-sms":           secondWith("sms", func(*Second) {}),
		"second-sms-check":     secondWith("sms", func(s *Second) { s.Check = &pow }),
		"second-sms-picture": secondWith("sms", func(s *Second) {
			s.Check, s.Problem = &picture, &Problem{Code: "captcha_failed", Field: "captcha-typed"}
		}),
		"second-code":       secondCode(func(*Second) {}),
		"second-code-check": secondCode(func(s *Second) { s.ResendIn, s.Check = 0, &pow }),
		"second-code-wrong": secondCode(func(s *Second) { s.Problem = &Problem{Code: "code_incorrect", Field: "code"} }),
		"second-code-spent": secondCode(func(s *Second) { s.ResendIn, s.Problem = 0, &Problem{Code: "code_attempts_exceeded"} }),
		"qr":                qr,
		"qr-scanned":        qrScanned,
		"qr-allowed":        qrOver("allowed"),
		"qr-declined":       qrOver("declined"),
		"qr-expired":        qrOver("expired"),
		"qr-signed-out":     qrSignedOut,
		"qr-confirm":        confirm,
		"qr-confirm-silent": QRConfirm{Request: "s0199c4", Masked: masked, Since: confirm.Since, Ago: 1},
		"qr-done":           QRResult{State: "allowed"},
		"qr-refused":        QRResult{State: "declined"},
		"qr-taken":          QRResult{State: "taken"},
		"qr-gone":           QRResult{State: "expired"},
		"qr-typed":          QRTyped{},
		"qr-typed-wrong":    QRTyped{Code: "BCDF-GHJL", Problem: &Problem{Code: "qr_code_invalid", Field: "qr-typed"}},
		"login":             login,
		"login-check":       loginWith(func(l *Login) { l.Phone, l.Agreed, l.Check = "13800138000", true, &pow }),
		"login-check-failed": loginWith(func(l *Login) {
			l.Phone, l.Agreed, l.Check = "13800138000", true, &pow
			l.Problem = &Problem{Code: "captcha_failed", Field: "captcha-typed"}
		}),
		"login-widget": loginWith(func(l *Login) {
			l.Phone, l.Agreed, l.Check = "13800138000", true, &Check{
				Type: "geetest_v4", Ticket: "dGlja2V0", Origins: []string{"https://vendor.example"},
				Puzzle: `{"type":"geetest_v4","data":{"captchaId":"x","state":"y","script":"https://vendor.example/gt4.js"}}`,
			}
		}),
		"login-picture": loginWith(func(l *Login) { l.Phone, l.Agreed, l.Check = "13800138000", true, &picture }),
		"login-picture-failed": loginWith(func(l *Login) {
			l.Phone, l.Agreed, l.Check = "13800138000", true, &picture
			l.Problem = &Problem{Code: "captcha_failed", Field: "captcha-typed"}
		}),
		"login-passkey": loginWith(func(l *Login) {
			l.Passkey = &Passkey{Options: `{"challenge":"Y2hhbGxlbmdl","rpId":"id.example"}`, State: "c2VhbGVk"}
		}),
		"login-brand":   loginWith(func(l *Login) { l.Client = &red }),
		"login-long":    loginWith(func(l *Login) { l.Client = &long }),
		"login-stopped": loginWith(func(l *Login) { l.Agreed, l.Problem = true, &Problem{Code: "sms_sign_in_stopped"} }),
		"login-direct":  Login{Flow: "Zk3mP0aQ", Regions: china},
		"login-wide":    Login{Flow: "Zk3mP0aQ", Regions: china, QR: true},
		"login-regions": loginWith(func(l *Login) {
			l.Regions, l.Phone, l.Agreed = several, "138001", true
			l.Problem = &Problem{Code: "phone_invalid", Field: "phone"}
		}),
		"login-agree": loginWith(func(l *Login) {
			l.Phone, l.Problem = "13800138000", &Problem{Code: "agreement_required", Field: "agree"}
		}),
		"login-limit": loginWith(func(l *Login) {
			l.Agreed, l.Problem = true, &Problem{Code: "sms_hourly_limit", RetryAfter: 40 * time.Minute}
		}),
		"code":             codeWith(func(c *Code) { c.ResendIn = 58 }),
		"code-sending":     codeWith(func(c *Code) { c.Status, c.ResendIn = "sending", 60 }),
		"code-late":        codeWith(func(c *Code) { c.Status = "unknown" }),
		"code-delivered":   codeWith(func(c *Code) { c.Status, c.ResendIn = "delivered", 52 }),
		"code-off":         codeWith(func(c *Code) { c.Status, c.Reason = "undelivered", "off" }),
		"code-number":      codeWith(func(c *Code) { c.Status, c.Reason = "undelivered", "number" }),
		"code-blocked":     codeWith(func(c *Code) { c.Status, c.Reason = "undelivered", "blocked" }),
		"code-limited":     codeWith(func(c *Code) { c.Status, c.Reason = "undelivered", "limited" }),
		"code-undelivered": codeWith(func(c *Code) { c.Status, c.ResendIn = "undelivered", 21 }),
		"code-failed":      codeWith(func(c *Code) { c.Status, c.Problem = "failed", &Problem{Code: "sms_not_sent"} }),
		"code-check":       codeWith(func(c *Code) { c.Check = &pow }),
		"code-picture": codeWith(func(c *Code) {
			c.Check, c.Problem = &picture, &Problem{Code: "captcha_failed", Field: "captcha-typed"}
		}),
		"code-offer": codeWith(func(c *Code) { c.OfferPasskey = true }),
		"code-last": codeWith(func(c *Code) {
			c.Problem = &Problem{Code: "code_incorrect_last", Field: "code", Params: map[string]string{"tries": "1"}}
		}),
		"code-spent":      codeWith(func(c *Code) { c.Problem = &Problem{Code: "code_attempts_exceeded", Field: "code"} }),
		"code-unknown":    codeWith(func(c *Code) { c.Masked, c.Problem = "", &Problem{Code: "code_expired"} }),
		"password":        password,
		"password-direct": Password{Flow: "Zk3mP0aQ"},
		"password-wrong": passwordWith(func(p *Password) {
			p.Identifier, p.Agreed, p.Problem = "Ann&a", true, &Problem{Code: "credentials_incorrect", Field: "password"}
		}),
		"password-limit": passwordWith(func(p *Password) {
			p.Identifier, p.Problem = "anna", &Problem{Code: "rate_limited", RetryAfter: 4 * time.Second}
		}),
		"password-agree": passwordWith(func(p *Password) {
			p.Identifier, p.Problem, p.OfferPasskey = "anna", &Problem{Code: "agreement_required", Field: "agree"}, true
		}),
		"register": register,
		"register-check": registerWith(func(r *Register) {
			r.Phone, r.Agreed, r.Check, r.Problem = "13800138000", true, &picture, &Problem{Code: "captcha_failed", Field: "captcha-typed"}
		}),
		"register-regions": registerWith(func(r *Register) {
			r.Regions, r.Phone, r.Agreed, r.Problem = several, "138001", true, &Problem{Code: "phone_invalid", Field: "phone"}
		}),
		"register-code":  chosenWith(func(r *Register) { r.OfferPasskey = true }),
		"register-short": chosenWith(func(r *Register) { r.Problem = &Problem{Code: "password_too_short", Field: "password"} }),
		"register-wrong": chosenWith(func(r *Register) { r.Problem = &Problem{Code: "code_incorrect", Field: "code"} }),
		"register-again": chosenWith(func(r *Register) { r.ResendIn, r.Check = 0, &pow }),
		"register-spent": chosenWith(func(r *Register) { r.ResendIn, r.Problem = 0, &Problem{Code: "code_attempts_exceeded"} }),
		"register-gone": chosenWith(func(r *Register) {
			r.Masked, r.ResendIn, r.Status, r.Problem = "", 0, "", &Problem{Code: "code_expired"}
		}),
		"passkey-setup":  PasskeySetup{Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Client: shop},
		"passkey-failed": PasskeySetup{Flow: "Zk3mP0aQ", Problem: &Problem{Code: "passkey_failed"}},
		"consent": Consent{
			Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Session: "0199c2", Client: *shop,
			RedirectHost: "shop.example", Masked: masked,
			Scopes: []string{"openid", "profile", "email", "phone", "address", "offline_access", "orders:read"},
		},
		"consent-brand": Consent{
			Common: Common{FormAction: "http://127.0.0.1:4711"}, Flow: "Zk3mP0aQ", Session: "0199c2", Client: red,
			RedirectHost: "127.0.0.1:4711", Masked: masked, Scopes: []string{"openid", "phone"},
		},
		"consent-once": Consent{
			Common: Common{FormAction: "com.example.shop:/cb"}, Flow: "Zk3mP0aQ", Session: "0199c2", Client: *shop,
			RedirectHost: "com.example.shop:", Masked: masked, Once: true,
		},
		"consent-long": Consent{
			Flow: "Zk3mP0aQ", Session: "0199c2", Client: long, Masked: masked, Scopes: []string{"openid", "a:scope:without:any:space:" + strings.Repeat("x", 60)},
			RedirectHost: strings.Repeat("a-long-label.", 8) + "shop.example",
		},
		"logout":     Logout{Common: Common{FormAction: "https://shop.example"}, Ticket: "c2VhbGVk", Client: shop, Masked: masked},
		"signed-out": SignedOut{Client: shop},
		"error": Error{
			Common: Common{RequestID: "0199c3"}, Code: "invalid_redirect_uri",
			Description: "redirect_uri is not registered for this client",
		},
		"error-back": Error{
			Common: Common{RequestID: "0199c3"}, Code: "flow_expired", Description: "this page has expired, start again",
			BackURL: "https://shop.example/", Client: shop,
		},
		"form-post": FormPost{
			Client: shop, Action: "https://shop.example/callback",
			Fields: []Field{{"code", "ac.1"}, {"state", "xyz"}, {"iss", "https://id.example.com"}},
		},
		"delete":      Delete{Session: "0199c2", Masked: masked, Until: noon.AddDate(0, 0, 7)},
		"delete-now":  Delete{Session: "0199c2", Masked: masked},
		"deleted":     Deleted{Until: noon.AddDate(0, 0, 7)},
		"deleted-now": Deleted{},
		"closing":     Closing{Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Client: shop, Until: noon.AddDate(0, 0, 7)},
		"recycled":    Recycled{Flow: "Zk3mP0aQ", Client: shop},
		"recycled-proofs": Recycled{
			Flow: "Zk3mP0aQ", Proofs: []string{"password", "totp", "recovery_code", "passkey"}, Problem: &Problem{Code: "rate_limited"},
		},
		"recycled-wrong": Recycled{
			Flow: "Zk3mP0aQ", Proofs: []string{"password", "recovery_code"}, Problem: &Problem{Code: "factor_incorrect", Field: "proof-recovery_code"},
		},
		"account": Account{
			Nickname: "小满 🌾", Masked: masked, Since: noon.AddDate(0, -3, 0), Device: Device{Browser: "Chrome", OS: "Android", Handheld: true}, SignedInAt: noon,
		},
		"account-picture": Account{Nickname: "قمر", Picture: "/account/picture/x", Masked: masked, Since: noon},
		"account-new":     Account{Masked: masked, Since: noon, SignedInAt: noon.Add(-20 * time.Minute)},
		"account-profile": AccountProfile{Picture: "/account/picture/x", Nickname: "小满 🌾", Done: "profile"},
		"account-profile-bad": AccountProfile{
			Nickname: strings.Repeat("满", 51), Locale: "fr", Problem: &Problem{Code: "name_too_long", Field: "nickname", Params: map[string]string{"n": "50"}},
		},
		"account-profile-picture": AccountProfile{Nickname: "Ada", Locale: "en", Problem: &Problem{Code: "picture_too_large", Field: "picture"}},
		"account-security": AccountSecurity{Done: "password", Rows: []SecurityRow{
			{ID: "phone", Label: "security.phone", Shown: masked, Action: "security.change", URL: "/account/security/phone", Number: true},
			{ID: "password", Label: "security.password", Value: "security.changed", Since: noon, Action: "security.change", URL: "/account/security/password"},
			{ID: "username", Label: "security.username", Shown: "xiao.man", Action: "security.change", URL: "/account/security/username"},
			{ID: "email", Label: "security.email", Shown: strings.Repeat("a-long-name.", 5) + "@mail.example", Action: "security.change", URL: "/account/security/email"},
			{ID: "passkeys", Label: "security.passkeys", Value: "security.passkeys_count", Count: 2, Action: "security.manage", URL: "/account/security/passkeys"},
			{ID: "totp", Label: "security.totp", Value: "security.since", Since: noon.AddDate(0, 0, -40), Action: "security.manage", URL: "/account/security/totp"},
			{ID: "recovery", Label: "security.recovery", Value: "security.recovery_left", Count: 1, Action: "security.manage", URL: "/account/security/recovery"},
		}},
		"account-security-new": AccountSecurity{Rows: []SecurityRow{
			{ID: "phone", Label: "security.phone", Shown: masked, Action: "security.change", URL: "/account/security/phone", Number: true},
			{ID: "password", Label: "security.password", Value: "security.none", Action: "security.set", URL: "/account/security/password"},
			{ID: "passkeys", Label: "security.passkeys", Value: "security.none", Action: "security.set", URL: "/account/security/passkeys"},
		}},
		"account-prove":         AccountProve{For: "/account/security/phone", Ways: []string{"passkey", "totp", "recovery_code"}},
		"account-prove-totp":    AccountProve{For: "/account/security/totp", Ways: []string{"totp"}, Problem: &Problem{Code: "factor_incorrect", Field: "proof-totp"}},
		"account-prove-passkey": AccountProve{For: "/account/security/passkeys", Ways: []string{"passkey", "password"}, Problem: &Problem{Code: "passkey_failed"}},
		"account-lost":          AccountProve{Lost: true, Masked: masked, Ways: []string{"passkey", "password_totp", "recovery_code"}},
		"account-lost-wrong": AccountProve{
			Lost: true, Masked: masked, Ways: []string{"password_totp"}, Problem: &Problem{Code: "password_incorrect", Field: "proof-password"},
		},
		"account-lost-ready":       AccountProve{Lost: true, Masked: masked, Ready: true},
		"account-lost-none":        AccountProve{Lost: true, Masked: masked},
		"account-phone":            AccountPhone{Flow: "Zk3mP0aQ", Masked: masked, Regions: china},
		"account-phone-check":      AccountPhone{Flow: "Zk3mP0aQ", Masked: masked, Regions: china, Check: &pow},
		"account-phone-limit":      AccountPhone{Flow: "Zk3mP0aQ", Masked: masked, Problem: &Problem{Code: "sms_hourly_limit", RetryAfter: 40 * time.Minute}},
		"account-phone-new":        AccountPhone{Flow: "Zk3mP0aQ", Masked: masked, New: true, Regions: china},
		"account-phone-lost":       AccountPhone{Flow: "Zk3mP0aQ", Masked: masked, New: true, Lost: true, Regions: several},
		"account-phone-taken":      AccountPhone{Flow: "Zk3mP0aQ", Masked: masked, New: true, Regions: china, Problem: &Problem{Code: "phone_taken", Field: "phone"}},
		"account-phone-picture":    AccountPhone{Flow: "Zk3mP0aQ", New: true, Phone: "13800138001", Regions: china, Check: &picture},
		"account-phone-code":       AccountPhoneCode{Flow: "Zk3mP0aQ", Challenge: "0199c1", Masked: masked, ResendIn: 58, Status: "sent"},
		"account-phone-code-new":   AccountPhoneCode{Flow: "Zk3mP0aQ", Challenge: "0199c1", New: true, Masked: "+86 138****8001", Status: "delivered"},
		"account-phone-code-wrong": AccountPhoneCode{Flow: "Zk3mP0aQ", Challenge: "0199c1", Masked: masked, Problem: &Problem{Code: "code_incorrect", Field: "code"}},
		"account-phone-code-spent": AccountPhoneCode{Flow: "Zk3mP0aQ", Challenge: "0199c1", New: true, Masked: masked, Problem: &Problem{Code: "code_attempts_exceeded"}},
		"account-phone-code-gone":  AccountPhoneCode{Flow: "Zk3mP0aQ", Challenge: "0199c1", New: true, Problem: &Problem{Code: "code_expired"}},
		"account-phone-code-check": AccountPhoneCode{Flow: "Zk3mP0aQ", Challenge: "0199c1", Masked: masked, Status: "sent", Check: &picture},
		"account-password":         AccountPassword{Has: true, Changed: noon.AddDate(0, 0, -40), AskCurrent: true, UserName: "xiao.man"},
		"account-password-set":     AccountPassword{},
		"account-password-common":  AccountPassword{Has: true, Changed: noon, Problem: &Problem{Code: "password_common", Field: "password"}},
		"account-password-wrong":   AccountPassword{Has: true, Changed: noon, AskCurrent: true, Problem: &Problem{Code: "password_incorrect", Field: "current"}},
		"account-totp":             AccountTOTP{},
		"account-totp-on":          AccountTOTP{Since: noon.AddDate(0, 0, -40)},
		"account-totp-setup":       totp,
		"account-totp-wrong":       totpWrong,
		"account-recovery":         AccountRecovery{Left: 3},
		"account-recovery-none":    AccountRecovery{},
		"account-recovery-codes":   AccountRecovery{Codes: slices.Repeat([]string{"ABCD-EFGH-IJKL-MN27"}, 10)},
		"account-passkeys": AccountPasskeys{Done: "passkey_renamed", Keys: []AccountPasskey{
			{ID: "a", Name: "iPhone", Synced: true, Created: noon.AddDate(0, -1, 0), Used: noon.Add(-3 * time.Hour)},
			{ID: "b", Name: "一把名字很长的安全密钥-with-an-unbreakable-and-very-long-word-in-the-end", Created: noon},
		}},
		"account-passkeys-none":   AccountPasskeys{},
		"account-passkeys-failed": AccountPasskeys{Problem: &Problem{Code: "passkey_exists"}},
		"account-username":        AccountIdentifier{Kind: "username"},
		"account-username-taken":  AccountIdentifier{Kind: "username", Value: "xiao.man", Typed: "xiaoman", Problem: &Problem{Code: "username_taken", Field: "username"}},
		"account-email":           AccountIdentifier{Kind: "email", Value: "xiaoman@mail.example"},
		"account-email-bad":       AccountIdentifier{Kind: "email", Typed: "xiaoman", Problem: &Problem{Code: "email_invalid", Field: "email"}},
		"account-sessions": AccountSessions{Minutes: 10, Sessions: []BrowserSession{
			{ID: "0199c2", Device: Device{Browser: "WeChat", OS: "Android", Handheld: true}, Place: "198.51.100.0/24", Since: noon.Add(-30 * time.Second), Seen: noon, This: true},
			{ID: "0199c4", Device: Device{Browser: "Edge", OS: "Windows"}, Place: "2001:db8:7::/48", Since: noon.AddDate(0, 0, -9), Seen: noon.Add(-5 * time.Hour)},
			{ID: "0199c5", Since: noon.Add(-23 * time.Hour), Seen: noon.Add(-1 * time.Minute)},
		}},
		"account-sessions-one": AccountSessions{More: true, Done: "others_ended", Sessions: []BrowserSession{
			{ID: "0199c2", Device: Device{Browser: "Safari", OS: "iOS", Handheld: true}, Since: noon, Seen: noon, This: true},
		}},
		"account-apps": AccountApps{Minutes: 10, Done: "withdrawn", Apps: []ConnectedApp{
			{Client: *shop, Scopes: []string{"openid", "profile", "phone", "orders:read"}, Since: noon.AddDate(0, -2, 0), Used: noon.Add(-3 * time.Hour), Consent: true},
			{Client: Client{ID: "tv"}, Scopes: []string{"openid", "offline_access"}, Since: noon},
		}},
		"account-apps-none": AccountApps{},
		"account-activity": AccountActivity{Older: "1790000000000000.0199c6", Events: []ActivityEvent{
			{Name: "login.succeeded", At: noon.Add(-2 * time.Minute), Place: "198.51.100.0/24", App: "小满商城", Device: Device{Browser: "Chrome", OS: "Android"}},
			{Name: "user.phone_changed", At: noon.AddDate(0, 0, -3), Operator: true},
			{Name: "user.something_new", At: noon.AddDate(0, 0, -4)},
		}},
		"account-activity-none": AccountActivity{Before: "1790000000000000.0199c6"},
		"account-privacy": AccountPrivacy{
			Agreements: []AgreementLine{{Version: "2026-11-01", At: noon.AddDate(0, -3, 0), App: "小满商城"}},
			Consents:   []ConnectedApp{{Client: *shop, Scopes: []string{"openid", "phone"}, Since: noon.AddDate(0, -2, 0), Consent: true}},
		},
		"account-privacy-wait": AccountPrivacy{Problem: &Problem{Code: "rate_limited", RetryAfter: 42 * time.Second}},
		"terms":                Legal{Kind: "terms", Version: "2026-11-20"},
		"privacy":              Legal{Kind: "privacy"},
		"demo":                 Demo{},
		"demo-signed-in": Demo{SignedIn: true, Steps: []DemoStep{
			{"demo_id_token", "{\n  \"alg\": \"RS256\"\n}\n{\n  \"iss\": \"http://localhost:8080\"\n}"},
			{"demo_userinfo", "{\n  \"phone_number\": \"+8613800138000\"\n}"},
		}},
	}
}
