package web

import (
	"html/template"
	"net/mail"
	"net/url"
	"strings"
)

// supportView is where a person finds help.
type supportView struct {
	URL  template.URL
	Text string // the address, number or host to read
	Name string // whose support it is
	Away bool   // a page of its own, which opens beside this one
}

// newSupport reads a mailto:, tel: or https: address; nil for any other.
func newSupport(raw, name string) *supportView {
	scheme, rest, _ := strings.Cut(raw, ":")
	v := &supportView{URL: template.URL(raw), Text: rest, Name: name} //nolint:gosec // checked below, each scheme by its own rule
	switch strings.ToLower(scheme) {
	case "mailto":
		if a, err := mail.ParseAddress(rest); err != nil || a.Address != rest || strings.ContainsAny(rest, `"<>%?&\ `) {
			return nil
		}
	case "tel": // RFC 3966 section 3, without parameters
		if !strings.ContainsAny(rest, "0123456789") || strings.Trim(rest, "+0123456789-.()") != "" {
			return nil
		}
	case "https":
		u, err := url.Parse(webURL(raw))
		if err != nil || u.Host == "" {
			return nil
		}
		v.URL, v.Text, v.Away = template.URL(u.String()), u.Host, true //nolint:gosec // an https URL
	default:
		return nil
	}
	return v
}

// support is whom the page sends people to, nil where it does not: the client's
// makers if they can be reached, but for what the service alone can mend the service,
// unless the client is its own.
func (s *Site) support(f facts, c *clientView) *supportView {
	code := ""
	if f.problem != nil {
		code = f.problem.Code
	}
	ours := f.help || aboutAccount(code)
	if f.template != "error" && !ours {
		return nil
	}
	ours = ours || headline(code) == "error.head_ours"
	if c != nil && c.Support != nil && (c.FirstParty || !ours) {
		return c.Support
	}
	return newSupport(s.options.SupportContact, s.options.ServiceName)
}

// aboutAccount says whether a problem is one of the account, with which its text
// sends people to the service: nobody else may know of it, or could help.
func aboutAccount(code string) bool {
	return code == "sms_sign_in_stopped" || code == "account_disabled" || code == "phone_taken"
}

// psbURL is where the record of a number of the public security bureau can be read.
func psbURL(record string) string {
	digits := strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, record)
	return "https://beian.mps.gov.cn/#/query/webSearch?code=" + digits
}
