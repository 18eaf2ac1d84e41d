package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// anyRegion is the key of the route for regions that have none of their own.
const anyRegion = "*"

func (k *checker) sms(s *SMS) {
	for i, region := range s.Regions {
		if !isRegion(region) {
			k.add(fmt.Sprintf("sms.regions[%d]", i), "is not a region", "use ISO 3166 codes of two capital letters, such as CN")
		}
		if slices.Index(s.Regions, region) < i {
			k.add(fmt.Sprintf("sms.regions[%d]", i), "is given twice", "remove one")
		}
	}
	if len(s.Regions) == 0 {
		k.add("sms.regions", "no region is allowed, so nobody could sign in", "name the regions of your users, such as [CN]")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Providers)) {
		k.provider("sms.providers."+shown(name), name, s.Providers[name], s.AllowTestNumbers)
	}
	k.routes(s)
	k.testNumbers(s)
	k.limits(&s.Limits)
	k.money(s)
}

func isRegion(code string) bool {
	region, err := language.ParseRegion(code)
	return err == nil && region.IsCountry() && len(code) == 2 && code == strings.ToUpper(code)
}

func (k *checker) provider(path, name string, p Provider, test bool) {
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`).MatchString(name) {
		k.add(path, "has a name that cannot be used", "use letters, digits, - and _")
	}
	kind, known := providerTypeOf(p.Type)
	if !known {
		k.add(path+".type", "is unknown", or(suggest(p.Type, providerNames()), "use "+strings.Join(providerNames(), ", ")))
		return
	}
	for _, s := range settings(reflect.ValueOf(&p).Elem(), "", "") {
		switch set := !s.value.IsZero(); {
		case s.path == "type":
		case slices.Contains(kind.required, s.path):
			if !set {
				k.add(join(path, s.path), "is not set", "a provider of type "+p.Type+" needs it")
			}
		case set && !slices.Contains(kind.optional, s.path) && !kind.template.has(s.path):
			k.add(join(path, s.path), "is not a member of a provider of type "+p.Type, "remove it")
		}
		if secret, ok := s.value.Interface().(Secret); ok && !k.dev && isExample(secret) {
			k.add(join(path, s.path), "is an example", "put in the one that the provider gave you")
		}
	}
	if kind.template.member != "" {
		k.templates(path, p, kind.template)
	}
	k.webURL(path+".url", p.URL)
	k.webURL(path+".endpoint", p.Endpoint)
	if p.Type == "console" && !k.dev && !test {
		k.add(path+".type", "console prints codes where others may read them", "use another provider, or set sms.allow_test_numbers if this is a test system")
	}
}

func (k *checker) routes(s *SMS) {
	for _, region := range slices.Sorted(maps.Keys(s.Routes)) {
		path := "sms.routes." + shown(region)
		if region != anyRegion && !isRegion(region) {
			k.add(path, "is not a region", "use ISO 3166 codes of two capital letters, or * for the rest")
		}
		route := s.Routes[region]
		if len(route.Providers) == 0 {
			k.add(path, "names no provider", "")
		}
		for i, name := range route.Providers {
			place := fmt.Sprintf("%s[%d]", path, i)
			if route.Weights != nil {
				place = join(path, shown(name))
			}
			if _, ok := s.Providers[name]; !ok {
				k.add(place, "names a provider that does not exist",
					or(suggest(name, slices.Collect(maps.Keys(s.Providers))), "add it to sms.providers"))
			}
			if slices.Index(route.Providers, name) < i {
				k.add(place, "names a provider twice", "remove one: after a doubtful send it must not be asked again")
			}
		}
	}
	if len(s.Providers) == 0 && len(s.TestNumbers) > 0 {
		return // a test system that sends nothing
	}
	for i, region := range s.Regions {
		_, own := s.Routes[region]
		if _, rest := s.Routes[anyRegion]; !own && !rest {
			k.add(fmt.Sprintf("sms.regions[%d]", i), "has no route, so its numbers could not be sent codes", "add sms.providers and sms.routes for it")
		}
	}
}

// testNumbers never repeats a number: it could be a person's.
func (k *checker) testNumbers(s *SMS) {
	if len(s.TestNumbers) > 0 && !k.dev && !s.AllowTestNumbers {
		k.add("sms.test_numbers", "anybody who knows their codes could sign in", "remove them, or set sms.allow_test_numbers if this is a test system")
	}
	number, code := regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`), regexp.MustCompile(`^[0-9]{6}$`)
	for n, c := range s.TestNumbers {
		if !number.MatchString(n) || !code.MatchString(c.Reveal()) {
			k.add("sms.test_numbers", "holds what is not a number in E.164 with a code of six digits", `write it like {"+8613800138000": "246810"}`)
			return
		}
	}
}
