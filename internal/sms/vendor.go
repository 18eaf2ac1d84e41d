package sms

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

// VendorCode is a business code of a vendor, a range of them such as
// "160001-160010", or "*" for all that are not listed.
//
// A code that is in no documentation is of class F with every vendor: what says
// no in the vendor's own words says that nothing was sent. It is A only where it
// comes from behind the place that takes messages, such as errors inside the
// vendor, and where what came is no code at all.
type VendorCode struct {
	Code  string
	Class Class  // "" if the message is accepted
	Means string // for operators
}

// classesOf is the classes by code, ranges spelled out.
func classesOf(codes []VendorCode) map[string]Class {
	classes := make(map[string]Class, len(codes))
	for _, c := range codes {
		first, last, ranged := strings.Cut(c.Code, "-")
		classes[first] = c.Class
		if !ranged {
			continue
		}
		from, _ := strconv.Atoi(first) // tests hold that these are numbers of one length
		to, _ := strconv.Atoi(last)
		for n := from; n <= to; n++ {
			classes[strconv.Itoa(n)] = c.Class
		}
	}
	return classes
}

// TemplateUse is what a template is for.
type TemplateUse struct {
	Purpose       Purpose // "" for all that have none of their own
	International bool    // for numbers outside mainland China instead of inside
}

// VendorTemplate is a text that a vendor has approved.
type VendorTemplate struct {
	ID     string
	Params []TemplateParam // in the order that the vendor has them
	Sign   string          // instead of the provider's; "" for that
}

// TemplateParam is what goes into one place of a template. {{code}} and
// {{minutes}}, which is how long the code is valid, are replaced.
type TemplateParam struct {
	Name  string // "" for vendors that count their places
	Value string
}

// checkTemplates refuses what could not send a code.
func checkTemplates(templates map[TemplateUse]VendorTemplate, named bool) error {
	if len(templates) == 0 {
		return errors.New("a template is needed")
	}
	for use, t := range templates {
		code := len(t.Params) == 0
		for _, p := range t.Params {
			rest := strings.NewReplacer("{{code}}", "", "{{minutes}}", "").Replace(p.Value)
			code = code || strings.Contains(p.Value, "{{code}}")
			switch {
			case strings.Contains(rest, "{{") || strings.Contains(rest, "}}"):
				return errors.New("a template parameter has a placeholder other than {{code}} and {{minutes}}")
			case named != (p.Name != ""):
				return errors.New("template parameters must all have names where the vendor names them, and none where it counts them")
			}
		}
		switch {
		case t.ID == "":
			return errors.New("a template has no id")
		case !code:
			return errors.New("a template has no parameter with {{code}}")
		case use.Purpose != "" && !use.Purpose.Valid():
			return errors.New("a template is for an unknown purpose")
		}
	}
	return nil
}

// withParams returns the templates with the vendor's usual parameters where
// none are set.
func withParams(templates map[TemplateUse]VendorTemplate, usual ...TemplateParam) map[TemplateUse]VendorTemplate {
	filled := make(map[TemplateUse]VendorTemplate, len(templates))
	for use, t := range templates {
		if len(t.Params) == 0 {
			t.Params = usual
		}
		filled[use] = t
	}
	return filled
}

// templateFor prefers the template of the purpose to the general one. It never
// takes one for the other side of the border.
func templateFor(templates map[TemplateUse]VendorTemplate, p Purpose, abroad bool) (VendorTemplate, bool) {
	if t, ok := templates[TemplateUse{p, abroad}]; ok {
		return t, true
	}
	t, ok := templates[TemplateUse{"", abroad}]
	return t, ok
}

// serves says whether there is a template for a number and a purpose.
func serves(templates map[TemplateUse]VendorTemplate, to Number, p Purpose) bool {
	_, ok := templateFor(templates, p, !strings.HasPrefix(to.E164(), "+86"))
	return ok
}

// fillValue puts the message into a parameter's value.
func fillValue(value string, m Message) string {
	minutes := strconv.Itoa(int(math.Ceil(m.TTL.Minutes())))
	return strings.NewReplacer("{{code}}", m.Code, "{{minutes}}", minutes).Replace(value)
}

// mainlandMobile is the eleven digits of a mobile number of mainland China.
func mainlandMobile(to Number) (mobile string, ok bool) {
	mobile, ok = strings.CutPrefix(to.E164(), "+86")
	return mobile, ok && len(mobile) == 11 && allDigits(mobile) && mobile[0] == '1' && mobile[1] >= '3'
}

// orderedObject is a JSON object with the parameters in their order.
func orderedObject(t VendorTemplate, m Message) string {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range t.Params {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(p.Name) // strings have no errors
		value, _ := json.Marshal(fillValue(p.Value, m))
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.String()
}

// scalar is the text of a JSON string or number: vendors change between them.
func scalar(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil {
		return number.String()
	}
	return ""
}

// vendorRef is a vendor's id of the message if it looks like one: it goes into
// the ledger, where no code and no number may be.
func vendorRef(id string, m Message) string {
	const longest = 64
	digits := strings.TrimPrefix(m.To.E164(), "+")
	national := digits[len(callingCode(digits)):]
	if len(id) > longest || !alphanumeric(strings.ReplaceAll(id, "-", "")) || id == m.Code || strings.Contains(id, national) {
		return ""
	}
	return id
}

// alphanumeric reports whether s is ASCII letters and digits, at least one.
func alphanumeric(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

// printable reports whether a header can carry s as it is.
func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
