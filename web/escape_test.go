package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestSomeoneElsesTextStaysText(t *testing.T) {
	const evil = `"><svg onload=alert(1)>'</title></script>{{.}}`
	s := newSite(t, Options{ServiceName: evil, ICP: evil, PSB: evil})
	common := Common{RequestID: evil, UILocales: []string{evil}, FormAction: evil}
	client := Client{ID: evil, Name: evil, LogoURI: evil, ClientURI: evil, PolicyURI: evil, TOSURI: evil, Names: map[string]string{"en": evil}, BrandColor: evil, SupportContact: evil}
	problem := &Problem{Code: evil, Field: evil, Params: map[string]string{"tries": evil, "seconds": evil, "when": evil}}
	last := &Problem{Code: "code_incorrect_last", Field: "code", Params: map[string]string{"tries": evil}}
	late := &Problem{Code: "rate_limited", Field: "phone", Params: map[string]string{"when": evil}}
	pages := []Page{
		Login{Common: common, Flow: evil, Client: &client, Phone: evil, Regions: []Region{{ISO: evil, CallingCode: evil, Name: evil}, {}}, AskAgreement: true, CanCancel: true, Problem: late},
		Login{Common: common, Flow: evil, Client: &client, Phone: evil, Regions: []Region{{ISO: evil, CallingCode: evil}}, Problem: problem},
		Code{Common: common, Flow: evil, Challenge: evil, Client: &client, Masked: evil, Status: evil, CanCancel: true, Problem: last},
		Password{Common: common, Flow: evil, Client: &client, Identifier: evil, AskAgreement: true, CanCancel: true, Problem: problem},
		Register{Common: common, Flow: evil, Client: &client, Phone: evil, Regions: []Region{{ISO: evil, CallingCode: evil}}, CanCancel: true, Problem: problem},
		Register{Common: common, Flow: evil, Challenge: evil, Client: &client, Masked: evil, Status: evil, Reason: evil, Problem: last},
		Second{Common: common, Flow: evil, Client: &client, Way: evil, Others: []string{evil}, Masked: evil, Problem: problem},
		Second{Common: common, Flow: evil, Client: &client, Way: "passkey", Passkey: &Passkey{Options: evil, State: evil}, Problem: problem},
		Second{Common: common, Flow: evil, Challenge: evil, Way: "sms", Masked: evil, Status: evil, Problem: last},
		PasskeySetup{Common: common, Flow: evil, Client: &client, Problem: problem},
		Recycled{Common: common, Flow: evil, Client: &client, Proofs: []string{evil, "totp", "passkey"}, Problem: problem},
		Closing{Common: common, Flow: evil, Client: &client, Until: noon},
		Delete{Common: common, Session: evil, Masked: evil, Until: noon},
		QR{Common: common, Flow: evil, Request: evil, Client: &client, State: evil, TypeAt: evil, Code: evil, Here: evil, Renew: evil, CanCancel: true, Problem: problem},
		QR{Common: common, Flow: evil, Request: evil, Picture: `<svg viewBox="0 0 9 9"></svg>`, TypeAt: evil, Code: evil, Here: evil, Renew: evil},
		QRConfirm{Common: common, Request: evil, Client: &client, Masked: evil, Browser: evil, System: evil, Address: evil, Since: noon},
		QRResult{Common: common, State: evil},
		QRTyped{Common: common, Code: evil, Problem: problem},
		Consent{Common: common, Flow: evil, Session: evil, Client: client, RedirectHost: evil, Scopes: []string{evil}, Masked: evil},
		Logout{Common: common, Ticket: evil, Client: &client, Masked: evil},
		SignedOut{Common: common, Client: &client},
		Error{Common: common, Code: evil, Description: evil, Params: problem.Params, BackURL: evil},
		Error{Common: common, BackURL: "javascript:alert(1)", Client: &client},
		FormPost{Common: common, Client: &client, Action: evil, Fields: []Field{{evil, evil}}},
		Account{Common: common, Nickname: evil, Picture: evil, Masked: evil, Since: noon, Device: Device{Browser: evil, OS: evil}, SignedInAt: noon},
		AccountProfile{Common: common, Picture: evil, Nickname: evil, Name: evil, FamilyName: evil, GivenName: evil, Locale: evil, Done: evil, Problem: problem},
		AccountSecurity{Common: common, Rows: []SecurityRow{{ID: evil, Label: evil, Value: evil, Action: evil, URL: evil, Shown: evil}}, Done: evil, Problem: problem},
		AccountSessions{Common: common, Sessions: []BrowserSession{{ID: evil, Device: Device{Browser: evil}, Place: evil}}, Done: evil},
		AccountApps{Common: common, Apps: []ConnectedApp{{Client: client, Scopes: []string{evil}}}, Done: evil},
		AccountActivity{Common: common, Events: []ActivityEvent{{Name: evil, Place: evil, App: evil}}, Before: evil, Older: evil},
		AccountPrivacy{Common: common, Agreements: []AgreementLine{{Version: evil, App: evil}}, Consents: []ConnectedApp{{Client: client, Scopes: []string{evil}}}, Problem: problem},
		AccountProve{Common: common, For: evil, Ways: []string{evil, "totp", "passkey"}, Lost: true, Masked: evil, Problem: problem},
		AccountPhone{Common: common, Flow: evil, Masked: evil, New: true, Lost: true, Phone: evil, Regions: []Region{{ISO: evil, CallingCode: evil}}, Problem: problem},
		AccountPhoneCode{Common: common, Flow: evil, Challenge: evil, Masked: evil, Status: evil, Reason: evil, Problem: last},
		AccountPassword{Common: common, Has: true, UserName: evil, Problem: problem},
		AccountTOTPSetup{Common: common, Secret: evil, Problem: problem},
		AccountRecovery{Common: common, Codes: []string{evil}},
		AccountPasskeys{Common: common, Keys: []AccountPasskey{{ID: evil, Name: evil}}, Done: evil, Problem: problem},
		AccountIdentifier{Common: common, Kind: evil, Value: evil, Typed: evil, Problem: problem},
		Legal{Common: common, Kind: evil, Version: evil},
		Demo{Common: common, SignedIn: true, Steps: []DemoStep{{evil, evil}}, Problem: problem},
	}
	for _, p := range pages {
		for _, lang := range s.Languages() {
			r := httptest.NewRequest(http.MethodGet, `/step?a=%22%3E%3Csvg+onload%3D1%3E&b="><svg+onload=1>&lang=`+lang, nil)
			w := httptest.NewRecorder()
			s.Render(w, r, http.StatusOK, p)
			doc := parseHTML(t, w)
			for _, n := range find(doc, func(*html.Node) bool { return true }) {
				if _, ok := lookup(n, "onload"); ok || n.Data == "svg" && attr(n, "viewbox") == "" && attr(n, "viewBox") == "" {
					t.Errorf("%T: markup got through: <%s %v>", p, n.Data, n.Attr)
				}
				if strings.HasPrefix(strings.ToLower(attr(n, "href")), "javascript:") {
					t.Errorf("%T: a script got through", p)
				}
			}
			if n := len(elements(doc, "title")); n != 1 {
				t.Errorf("%T: %d titles", p, n)
			}
			if got := w.Header().Get("Content-Security-Policy"); strings.Contains(got, "svg") || strings.Count(got, ";") != 7 {
				t.Errorf("%T: policy %s", p, got)
			}
		}
	}
}

func TestOnlySafeLinksOfAClientAreShown(t *testing.T) {
	s := newSite(t, Options{})
	for _, bad := range []string{"http://shop.example/x", "javascript:alert(1)", "data:text/html,x", "//shop.example/x", "/x", "https://", "https://user@shop.example/x"} {
		c := &Client{Name: "shop", LogoURI: bad, ClientURI: bad, PolicyURI: bad, TOSURI: bad}
		for _, p := range []Page{Login{Client: c}, SignedOut{Client: c}, Consent{Client: *c}} {
			w := render(t, s, p, "en")
			if body := w.Body.String(); strings.Contains(body, "shop.example") || strings.Contains(body, "alert(1)") || strings.Contains(body, "client-logo") {
				t.Errorf("%T shows %s", p, bad)
			}
			if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "img-src 'self';") {
				t.Errorf("%s opens the policy: %s", bad, got)
			}
		}
	}
	for _, bad := range []string{"//evil.example", `/\evil.example`, "javascript:alert(1)", "http://evil.example"} {
		body := render(t, s, Error{Code: "not_found", BackURL: bad}, "en").Body.String()
		if strings.Contains(body, "evil.example") || strings.Contains(body, "alert(1)") {
			t.Errorf("the way back leads to %s", bad)
		}
	}
	for _, good := range []string{"/login?flow=x", "https://shop.example/", "http://localhost:3000/", "http://127.0.0.1:3000/", "http://[::1]:3000/"} {
		doc := parseHTML(t, render(t, s, Error{Code: "not_found", BackURL: good}, "en"))
		if len(find(doc, func(n *html.Node) bool { return attr(n, "href") == good })) != 1 {
			t.Errorf("the way back does not lead to %s", good)
		}
	}
}
