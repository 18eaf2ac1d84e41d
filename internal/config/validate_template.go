package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// purposes are what codes are for.
func purposes() []string { return []string{"login", "change_phone", "step_up", "delete"} }

// authCode is the older way to give NetEase a code, in which templates have no
// parameters and may be left out.
const authCode = "authCode"

// templates checks a vendor's templates: those for all purposes, and those for one.
func (k *checker) templates(path string, p Provider, rules templateRules) {
	if p.ParamStyle != "" {
		k.oneOf(path+".param_style", p.ParamStyle, "paramMap", authCode)
	}
	older := p.ParamStyle == authCode
	all := p.TemplateCode + p.TemplateCodeInternational + p.TemplateID + p.TemplateIDInternational
	if all == "" && len(p.Templates) == 0 && !older {
		k.add(path+"."+rules.member, "is not set", "a provider of type "+p.Type+" needs a template: "+rules.member+", or templates by purpose")
	}
	k.params(path+".params", p.Params, rules, older)
	for _, purpose := range slices.Sorted(maps.Keys(p.Templates)) {
		t, place := p.Templates[purpose], path+".templates."+shown(purpose)
		if !slices.Contains(purposes(), purpose) {
			k.add(place, "is not a purpose", or(suggest(purpose, purposes()), "use "+strings.Join(purposes(), ", ")))
		}
		switch {
		case t.ID == "" && t.IDInternational == "":
			k.add(place+".id", "is not set", "give the template's id, or remove "+shown(purpose))
		case t.IDInternational != "" && !rules.abroad:
			k.add(place+".id_international", "is given, and "+p.Type+" serves mainland China alone", "remove it")
		}
		switch {
		case t.SignName != "" && !rules.signed:
			k.add(place+".sign_name", "is given, and "+p.Type+" binds the signature to the template", "remove it")
		case t.SignName != "" && t.ID == "":
			k.add(place+".sign_name", "is given without id, the template that it is for", "add id, or remove it")
		}
		k.params(place+".params", t.Params, rules, older)
	}
}

// params checks the parameters of templates; none is fine.
func (k *checker) params(path string, p Params, rules templateRules, older bool) {
	switch {
	case p.Names == nil && p.Values == nil:
		return
	case older:
		k.add(path, "is given, and with param_style "+authCode+" there are none", "remove it")
		return
	case len(p.Values) == 0:
		k.add(path, "is empty", "leave it out, or give at least {{code}}")
		return
	case rules.named && p.Names == nil:
		k.add(path, "is a list, and this vendor's parameters have names", `write it like {code: "{{code}}"}`)
		return
	case !rules.named && p.Names != nil:
		k.add(path, "has names, and this vendor counts its parameters", `write it like ["{{code}}", "{{minutes}}"]`)
		return
	}
	for i, value := range p.Values {
		place := fmt.Sprintf("%s[%d]", path, i)
		if p.Names != nil {
			place = join(path, shown(p.Names[i]))
			if p.Names[i] == "" {
				k.add(place, "is a parameter without a name", "")
			}
		}
		if rest := strings.NewReplacer("{{code}}", "", "{{minutes}}", "").Replace(value); strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
			k.add(place, "has a placeholder that is unknown", "use {{code}} and {{minutes}}")
		}
	}
	if !slices.ContainsFunc(p.Values, func(v string) bool { return strings.Contains(v, "{{code}}") }) {
		k.add(path, "has no {{code}}, so nobody would be told the code", `give one parameter the value "{{code}}"`)
	}
}
