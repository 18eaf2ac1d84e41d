package web

import (
	"fmt"
	"strings"
	"testing"
)

func TestErrorPagesSayWhomToAsk(t *testing.T) {
	s := newSite(t, Options{ServiceName: "Example ID", SupportContact: "tel:+862100000000"})
	for name, tt := range map[string]struct {
		page       Page
		href, text string
	}{
		"the client":        {Error{Code: "flow_expired", Client: &Client{Name: "Shop", SupportContact: "mailto:help@shop.example"}}, "mailto:help@shop.example", "Need help? Shop help@shop.example"},
		"a client's page":   {Error{Code: "flow_expired", Client: &Client{Name: "Shop", SupportContact: "https://shop.example/help"}}, "https://shop.example/help", "Need help? Shop shop.example (opens in a new tab)"},
		"the service":       {Error{Code: "not_found"}, "tel:+862100000000", "Need help? Example ID +862100000000"},
		"a silent client":   {Error{Code: "not_found", Client: &Client{Name: "Shop"}}, "tel:+862100000000", "Need help? Example ID +862100000000"},
		"a stopped number":  {Login{Problem: &Problem{Code: "sms_sign_in_stopped"}}, "tel:+862100000000", "Need help? Example ID +862100000000"},
		"a code, likewise":  {Code{Problem: &Problem{Code: "sms_sign_in_stopped"}}, "tel:+862100000000", "Need help? Example ID +862100000000"},
		"an unsafe address": {Error{Code: "not_found", Client: &Client{Name: "Shop", SupportContact: "javascript:alert(1)"}}, "tel:+862100000000", "Need help? Example ID +862100000000"},
	} {
		help := byID(t, parseHTML(t, render(t, s, tt.page, "en")), "support")
		if got := attr(elements(help, "a")[0], "href"); got != tt.href || text(help) != tt.text {
			t.Errorf("%s: %s, %q", name, got, text(help))
		}
	}
	for _, p := range []Page{Login{}, Login{Problem: &Problem{Code: "phone_invalid", Field: "phone"}}} {
		if strings.Contains(render(t, s, p, "en").Body.String(), "support") {
			t.Error("support is named where nobody needs it")
		}
	}
	if strings.Contains(render(t, newSite(t, Options{}), Error{Code: "not_found"}, "en").Body.String(), `id="support"`) {
		t.Error("support is named where there is none")
	}
	for _, bad := range []string{"help@shop.example", "mailto:", "mailto:a@b?cc=c@d", "mailto:A <a@b.example>", "tel:", "tel:abc", "tel:1;ext=2", "http://shop.example", "https://", "javascript:alert(1)", "data:,x"} {
		if _, err := New(Options{SupportContact: bad}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// Of an account nobody but the service may know, and of a fault of its own nobody
// else could help.
func TestAccountMattersAreTheServicesOwn(t *testing.T) {
	s := newSite(t, Options{ServiceName: "Example ID", SupportContact: "tel:+862100000000"})
	theirs := &Client{Name: "Shop", SupportContact: "mailto:help@shop.example"}
	ours := &Client{Name: "Our shop", SupportContact: "mailto:help@ours.example", FirstParty: true}
	for _, code := range []string{"account_disabled", "sms_sign_in_stopped", "server_error", "temporarily_unavailable", "sms_provider_unavailable"} {
		for c, want := range map[*Client]string{theirs: "tel:+862100000000", ours: "mailto:help@ours.example"} {
			help := byID(t, parseHTML(t, render(t, s, Error{Code: code, Client: c}, "en")), "support")
			if got := attr(elements(help, "a")[0], "href"); got != want {
				t.Errorf("%s of %s leads to %s", code, c.Name, got)
			}
		}
	}
}

// A page that says "contact support" says how.
func TestNobodyIsSentToSupportWithoutAnAddress(t *testing.T) {
	s := newSite(t, Options{SupportContact: "tel:+862100000000"})
	pages := []Page{
		Recycled{}, AccountProve{}, AccountProve{Lost: true},
		AccountPhone{New: true, Problem: &Problem{Code: "phone_taken", Field: "phone"}},
	}
	for _, code := range []string{"account_disabled", "sms_sign_in_stopped"} {
		p := &Problem{Code: code}
		pages = append(pages, Login{Problem: p}, Code{Problem: p}, Password{Problem: p}, Register{Problem: p}, Register{Challenge: "C", Problem: p},
			Second{Way: "sms", Problem: p}, AccountPhone{Problem: p}, AccountPhone{New: true, Problem: p}, AccountPhoneCode{Problem: p}, Error{Code: code})
	}
	for _, p := range pages {
		t.Run(fmt.Sprintf("%T", p), func(t *testing.T) {
			if page := render(t, s, p, "en").Body.String(); !strings.Contains(page, `id="support"`) {
				t.Error("nobody is named")
			}
		})
	}
	for _, p := range []Page{Recycled{Proofs: []string{"password"}}, AccountProve{Ways: []string{"totp"}}, AccountProve{Lost: true, Ready: true}} {
		if strings.Contains(render(t, s, p, "en").Body.String(), `id="support"`) {
			t.Errorf("%T names support where there is another way", p)
		}
	}
}
