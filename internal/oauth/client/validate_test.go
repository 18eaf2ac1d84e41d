package client

import (
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/fault"
)

func valid() Client {
	return Client{ID: "shop", RedirectURIs: []string{"https://shop.example/cb"}}
}

func TestValidateAccepts(t *testing.T) {
	no, age := false, 0
	for name, change := range map[string]func(*Client){
		"defaults":      func(*Client) {},
		"public native": func(c *Client) { c.TokenEndpointAuthMethod, c.ApplicationType = AuthNone, "native" },
		"loopback": func(c *Client) {
			c.RedirectURIs = []string{"http://127.0.0.1/cb", "http://[::1]:1/", "http://localhost"}
		},
		"private scheme": func(c *Client) { c.RedirectURIs = []string{"com.example.app:/cb", "com.example.app://cb"} },
		"query, port, IP": func(c *Client) {
			c.RedirectURIs = []string{"https://a.example:8443/cb?x=1&y=%20", "https://[2001:db8::1]/", "https://192.0.2.1/"}
		},
		"machine": func(c *Client) { c.RedirectURIs, c.GrantTypes = nil, []string{GrantClientCredentials} },
		"first-party app": func(c *Client) {
			c.FirstParty, c.GrantTypes, c.RedirectURIs = true, []string{GrantSMSCode, GrantRefreshToken}, nil
		},
		"confidential, no PKCE": func(c *Client) { c.RequirePKCE = &no },
		"algorithms":            func(c *Client) { c.IDTokenSignedResponseAlg = "EdDSA" },
		"response modes":        func(c *Client) { c.ResponseModes = []string{ModeFormPost, ModeQuery} },
		"own scopes":            func(c *Client) { c.Scope = "openid  read:orders https://api.example/x" },
		"pages": func(c *Client) {
			c.LogoURI, c.PolicyURI = "https://shop.example/logo.png#x", "http://localhost:3000/policy"
		},
		"long pages": func(c *Client) {
			c.Name, c.TOSURI = strings.Repeat("n", maxName), "https://shop.example/"
			c.PolicyURI = c.TOSURI + strings.Repeat("p", maxShown-maxName-2*len(c.TOSURI))
		},
		"brand": func(c *Client) {
			c.NameChinese, c.NameEnglish, c.BrandColor, c.SupportContact = "小满商城", "Xiaoman", "#E4393c", "mailto:help@shop.example"
		},
		"a number to call": func(c *Client) { c.SupportContact = "tel:+86-10-0000-0000" },
		"a page to ask on": func(c *Client) { c.SupportContact = "https://shop.example/help" },
		"max age zero":     func(c *Client) { c.DefaultMaxAge = &age },
		"Chinese name":     func(c *Client) { c.Name, c.Contacts = "商店", []string{"ops@shop.example"} },
	} {
		c := valid()
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateNamesTheMember(t *testing.T) {
	no, negative := false, -1
	for member, changes := range map[string][]func(*Client){
		"client_id": {
			func(c *Client) { c.ID = "" },
			func(c *Client) { c.ID = "a b" },
			func(c *Client) { c.ID = "a:b" },
			func(c *Client) { c.ID = "a/b" },
			func(c *Client) { c.ID = "客户" },
			func(c *Client) { c.ID = strings.Repeat("a", maxID+1) },
		},
		"client_name": {
			func(c *Client) { c.Name = "a\nb" },
			func(c *Client) { c.Name = "pay\u202epal" },
			func(c *Client) { c.Name = "pay\u200bpal" },
			func(c *Client) { c.Name = "pay\u3164pal" },
			func(c *Client) { c.Name = "pay\u2028pal" },
			func(c *Client) { c.Name = "\xff" },
			func(c *Client) { c.Name = strings.Repeat("a", 10<<10) },
		},
		"contacts":         {func(c *Client) { c.Contacts = []string{""} }, func(c *Client) { c.Contacts = make([]string, 21) }},
		"application_type": {func(c *Client) { c.ApplicationType = "desktop" }},
		"grant_types": {
			func(c *Client) { c.GrantTypes = []string{} },
			func(c *Client) { c.GrantTypes = []string{"password"} },
			func(c *Client) { c.GrantTypes = []string{"implicit", GrantAuthorizationCode} },
			func(c *Client) { c.GrantTypes = []string{GrantAuthorizationCode, GrantAuthorizationCode} },
			func(c *Client) { c.GrantTypes = []string{GrantAuthorizationCode, GrantSMSCode} },
			func(c *Client) { c.TokenEndpointAuthMethod, c.GrantTypes = AuthNone, []string{GrantClientCredentials} },
		},
		"response_types": {
			func(c *Client) { c.ResponseTypes = []string{"token"} },
			func(c *Client) { c.ResponseTypes = []string{"code id_token"} },
			func(c *Client) { c.ResponseTypes = []string{} },
			func(c *Client) { c.GrantTypes, c.ResponseTypes = []string{GrantClientCredentials}, []string{"code"} },
		},
		"token_endpoint_auth_method": {func(c *Client) { c.TokenEndpointAuthMethod = "private_key_jwt" }},
		"require_pkce":               {func(c *Client) { c.TokenEndpointAuthMethod, c.RequirePKCE = AuthNone, &no }},
		"scope": {
			func(c *Client) { c.Scope = "openid \"x" },
			func(c *Client) { c.Scope = `a\b` },
			func(c *Client) { c.Scope = "openid openid" },
			func(c *Client) { c.Scope = "范围" },
			func(c *Client) { c.Scope = strings.Repeat("a", maxScope+1) },
		},
		"id_token_signed_response_alg": {func(c *Client) { c.IDTokenSignedResponseAlg = "none" }, func(c *Client) { c.IDTokenSignedResponseAlg = "HS256" }},
		"default_max_age":              {func(c *Client) { c.DefaultMaxAge = &negative }},
		"response_modes": {
			func(c *Client) { c.ResponseModes = []string{} },
			func(c *Client) { c.ResponseModes = []string{"query.jwt"} },
		},
		"client_name#zh-CN": {func(c *Client) { c.NameChinese = "小\u202e满" }},
		"client_name#en":    {func(c *Client) { c.NameEnglish = strings.Repeat("a", maxName+1) }},
		"brand_color": {
			func(c *Client) { c.BrandColor = "red" },
			func(c *Client) { c.BrandColor = "#fff" },
			func(c *Client) { c.BrandColor = "#0f6b5g" },
			func(c *Client) { c.BrandColor = "0f6b5c" },
		},
		"support_contact": {
			func(c *Client) { c.SupportContact = "help@shop.example" },
			func(c *Client) { c.SupportContact = "mailto:Help <help@shop.example>" },
			func(c *Client) { c.SupportContact = "mailto:help@shop.example?cc=x@shop.example" },
			func(c *Client) { c.SupportContact = "tel:call-us" },
			func(c *Client) { c.SupportContact = "http://shop.example/help" },
			func(c *Client) { c.SupportContact = "https://user@shop.example/help" },
			func(c *Client) { c.SupportContact = "javascript:alert(1)" },
		},
		"client_name, client_uri, logo_uri, policy_uri, tos_uri and support_contact": {
			func(c *Client) { c.LogoURI = "https://shop.example/" + strings.Repeat("l", maxShown-20) },
			func(c *Client) {
				c.Name, c.ClientURI, c.LogoURI = strings.Repeat("n", 200), "https://shop.example/"+strings.Repeat("c", 200), "https://shop.example/"+strings.Repeat("l", 200)
				c.PolicyURI, c.TOSURI = "https://shop.example/"+strings.Repeat("p", 300), "https://shop.example/"+strings.Repeat("t", 300)
			},
		},
		"logo_uri":   {func(c *Client) { c.LogoURI = "http://shop.example/logo.png" }, func(c *Client) { c.LogoURI = "javascript:alert(1)" }},
		"client_uri": {func(c *Client) { c.ClientURI = "//shop.example" }},
		"policy_uri": {func(c *Client) { c.PolicyURI = "data:text/html,x" }},
		"tos_uri":    {func(c *Client) { c.TOSURI = "https://user@shop.example/" }},
	} {
		for i, change := range changes {
			c := valid()
			change(&c)
			mistake(t, c.Validate(), "invalid_client_metadata", member)
			if t.Failed() {
				t.Fatalf("%s, change %d", member, i)
			}
		}
	}
}

func TestValidateRefusesUnsafeRedirectURIs(t *testing.T) {
	for _, raw := range []string{
		"", "/cb", "cb", "//rp.example/cb", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "vbscript:x", "myapp:/cb", "myapp://cb",
		"http://rp.example/cb", "http://127.0.0.2/cb", "http://127.0.0.1.evil.example/cb", "http://localhost.evil.example/", "http://0.0.0.0/cb",
		"http://user@127.0.0.1/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:99999/cb", "http://LOCALHOST/cb",
		"https://rp.example/cb#", "https://rp.example/cb#x", "https://*.rp.example/cb", "https://rp.example/*", "https://user:pw@rp.example/cb",
		"https://@rp.example/cb", `https://rp.example\cb`, `https://rp.example\@evil.example`, "https://rp.example/c b", "https://rp.example/cb\n",
		"https://rp.example/\x00", "https://rр.example/cb", "https://bücher.example/cb", "https://", "https:///cb", "https:cb", "https://rp..example/",
		"https://rp.example:/cb", "https://rp.example:0/cb", "https://rp.example:70000/cb", "https://%72p.example/cb", "https://-rp.example/",
		"com.example.app:cb", "com.example.app:", "https://[fe80::1%25eth0]/cb", "https://" + strings.Repeat("a", 64) + ".example/",
		"https://rp.example/" + strings.Repeat("a", maxURI),
	} {
		c := valid()
		c.RedirectURIs = []string{"https://shop.example/cb", raw}
		mistake(t, c.Validate(), "invalid_redirect_uri", "redirect_uris[1]")
		c = valid()
		c.PostLogoutRedirectURIs = []string{raw}
		mistake(t, c.Validate(), "invalid_redirect_uri", "post_logout_redirect_uris[0]")
	}
	c := valid()
	c.RedirectURIs = nil
	mistake(t, c.Validate(), "invalid_redirect_uri", "redirect_uris")
	c.RedirectURIs = []string{"https://a.example/", "https://a.example/"}
	mistake(t, c.Validate(), "invalid_redirect_uri", "redirect_uris[1]")
	c.RedirectURIs = make([]string, maxURIs+1)
	mistake(t, c.Validate(), "invalid_redirect_uri", "redirect_uris")
}

// mistake expects a fault whose description names the member and could be sent as error_description.
func mistake(t *testing.T, err error, code, member string) {
	t.Helper()
	f := fault.From(err)
	if f == nil || f.Code != code || f.Status != 400 || !strings.HasPrefix(f.Description, member+" ") && !strings.HasPrefix(f.Description, member+"[") {
		t.Errorf("got %v, want %s about %s", err, code, member)
		return
	}
	if strings.ContainsFunc(f.Description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		t.Errorf("description %q has a character that error_description must not have", f.Description)
	}
}

func TestDefaultsAreFilledIn(t *testing.T) {
	c := valid().withDefaults()
	if c.Public() || !c.MayUse(GrantAuthorizationCode) || !c.MayUse(GrantRefreshToken) || c.MayUse(GrantClientCredentials) ||
		!c.PKCERequired() || !c.AllowsScope("offline_access") || c.AllowsScope("admin") || !c.AllowsResponseMode(ModeFormPost) ||
		c.AllowsResponseMode("jwt") || c.IDTokenSignedResponseAlg != "RS256" || c.Scope != DefaultScope {
		t.Errorf("defaults of %+v", c)
	}
	no := false
	c.RequirePKCE = &no
	if c.PKCERequired() {
		t.Error("a confidential client marked require_pkce false needs PKCE")
	}
	c.TokenEndpointAuthMethod = AuthNone
	if !c.PKCERequired() {
		t.Error("a public client needs no PKCE")
	}
}
