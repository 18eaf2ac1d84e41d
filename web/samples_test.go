package web

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// puzzle is a proof of work as a page carries it.
func puzzle(challenge [sha256.Size]byte) string {
	return `{"type":"pow","data":{"algorithm":"SHA-256","challenge":"` + hex.EncodeToString(challenge[:]) +
		`","maxnumber":1000000,"salt":"salt&","signature":"00"}}`
}

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
		Masked: masked, ExpiresIn: 300, Status: "sent", CanCancel: true,
	}
	loginWith := func(change func(*Login)) Login { l := login; change(&l); return l }
	codeWith := func(change func(*Code)) Code { c := code; change(&c); return c }
	pow := Check{Type: "pow", Ticket: "dGlja2V0", Puzzle: puzzle(sha256.Sum256(nil))} // which no number solves
	picture := pow
	picture.Picture = true
	return map[string]Page{
		"login":       login,
		"login-check": loginWith(func(l *Login) { l.Phone, l.Agreed, l.Check = "13800138000", true, &pow }),
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
		"login-brand":   loginWith(func(l *Login) { l.Client = &red }),
		"login-long":    loginWith(func(l *Login) { l.Client = &long }),
		"login-stopped": loginWith(func(l *Login) { l.Agreed, l.Problem = true, &Problem{Code: "sms_sign_in_stopped"} }),
		"login-direct":  Login{Flow: "Zk3mP0aQ", Regions: china},
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
		"code-last": codeWith(func(c *Code) {
			c.Problem = &Problem{Code: "code_incorrect_last", Field: "code", Params: map[string]string{"tries": "1"}}
		}),
		"code-spent":   codeWith(func(c *Code) { c.Problem = &Problem{Code: "code_attempts_exceeded", Field: "code"} }),
		"code-unknown": codeWith(func(c *Code) { c.Masked, c.Problem = "", &Problem{Code: "code_expired"} }),
		"consent": Consent{
			Common: Common{FormAction: "https://shop.example"}, Flow: "Zk3mP0aQ", Session: "0199c2", Client: *shop,
			RedirectHost: "shop.example", Masked: masked,
			Scopes: []string{"openid", "profile", "email", "phone", "address", "offline_access", "orders:read"},
		},
		"consent-brand": Consent{
			Common: Common{FormAction: "http://127.0.0.1:4711"}, Flow: "Zk3mP0aQ", Session: "0199c2", Client: red,
			RedirectHost: "127.0.0.1:4711", Masked: masked, Scopes: []string{"openid", "phone"},
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
			BackURL: "https://shop.example/", BackName: "小满商城", Client: shop,
		},
		"form-post": FormPost{
			Client: shop, Action: "https://shop.example/callback",
			Fields: []Field{{"code", "ac.1"}, {"state", "xyz"}, {"iss", "https://id.example.com"}},
		},
		"account": Account{Masked: masked, Since: "2026-11-20"},
		"terms":   Legal{Kind: "terms", Version: "2026-11-20"},
		"privacy": Legal{Kind: "privacy"},
		"demo":    Demo{},
		"demo-signed-in": Demo{SignedIn: true, Steps: []DemoStep{
			{"demo_id_token", "{\n  \"alg\": \"RS256\"\n}\n{\n  \"iss\": \"http://localhost:8080\"\n}"},
			{"demo_userinfo", "{\n  \"phone_number\": \"+8613800138000\"\n}"},
		}},
	}
}
