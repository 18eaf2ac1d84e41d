package config

import (
	"reflect"
	"slices"
	"strings"
)

// captcha wants the members of a vendor's account for a vendor's type, and none
// for the others.
func (k *checker) captcha(c *Captcha, tellTaken bool) {
	types := []string{"pow", "none", "geetest_v3", "geetest_v4"}
	if !slices.Contains(types, c.Type) {
		k.add("captcha.type", "is unknown", or(suggest(c.Type, types), "use pow, none, geetest_v3 or geetest_v4"))
		return
	}
	if tellTaken && c.Type == "none" {
		k.add("accounts.tell_taken", "needs a human check, and captcha.type is none", "set captcha.type to pow, or remove accounts.tell_taken")
	}
	vendor := strings.HasPrefix(c.Type, "geetest_")
	for _, s := range settings(reflect.ValueOf(c).Elem(), "captcha", "") {
		switch set := !s.value.IsZero(); {
		case s.path == "captcha.type":
		case set && !vendor:
			k.add(s.path, "is not a member of a check of type "+c.Type, "remove it")
		case !set && vendor && s.path != "captcha.endpoint":
			k.add(s.path, "is not set", "a check of type "+c.Type+" needs it")
		}
	}
	if !k.dev && isExample(c.Key) {
		k.add("captcha.key", "is an example", "put in the one that the vendor gave you")
	}
	k.webURL("captcha.endpoint", c.Endpoint)
}
