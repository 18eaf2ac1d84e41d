package config_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/config"
)

const three = `providers: {
  a: {type: webhook, url: "https://a.example", secret: s}, b: {type: webhook, url: "https://b.example", secret: s},
  t: {type: tencent, secret_id: a, secret_key: b, sdk_app_id: c, sign_name: d, template_id: e}}`

func TestRoutesWithWeights(t *testing.T) {
	want := map[string]config.Route{
		"CN": {Providers: []string{"b", "a"}, Weights: []int{3, 1}}, "HK": {Providers: []string{"a"}, Weights: []int{1}}, "*": {Providers: []string{"a", "b"}},
	}
	file := mustLoad(t, set(`sms: {routes: {CN: {b: 3, a: 1}, HK: {a: 1}, "*": [a, b]}, `+three+`}`))
	variable := mustLoad(t, set(`sms: {`+three+`}`), `DIALTONE_SMS_ROUTES={CN: {b: 3, a: 1}, HK: {a: 1}, "*": [a, b]}`)
	for name, c := range map[string]config.Config{"file": file, "variable": variable, "printed": mustLoad(t, printed(t, file))} {
		if diff := cmp.Diff(want, c.SMS.Routes); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// printed is what config print writes, with secrets put back so that it loads.
func printed(t *testing.T, c config.Config) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), "***", "a secret of more than 32 characters, for tests")
}

func TestTemplates(t *testing.T) {
	const vendors = `providers: {
  ali: {type: aliyun, access_key_id: a, access_key_secret: b, sign_name: c, sign_name_international: i, template_code: d, params: {min: "{{minutes}}", code: "{{code}}"},
    templates: {delete: {id: e, id_international: f, sign_name: g, params: {z: "{{code}}", a: "{{minutes}} min"}}, login: {id: h}}},
  ten: {type: tencent, secret_id: a, secret_key: b, sdk_app_id: c, sign_name: d, templates: {step_up: {id_international: e, params: ["{{minutes}}", "{{code}}"]}}},
  net: {type: netease, app_key: a, app_secret: b, templates: {login: {id: c}}},
  old: {type: netease, app_key: a, app_secret: b, param_style: authCode},
  clo: {type: yuntongxun, account_sid: a, auth_token: b, app_id: c, template_id: d, params: ["{{code}}"]}}`
	file := mustLoad(t, set(`sms: {routes: {CN: [ali, ten]}, `+vendors+`}`))
	for name, c := range map[string]config.Config{"file": file, "printed": mustLoad(t, printed(t, file))} {
		ali := c.SMS.Providers["ali"]
		if diff := cmp.Diff(config.Params{Names: []string{"min", "code"}, Values: []string{"{{minutes}}", "{{code}}"}}, ali.Params); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(map[string]config.Template{
			"delete": {ID: "e", IDInternational: "f", SignName: "g", Params: config.Params{Names: []string{"z", "a"}, Values: []string{"{{code}}", "{{minutes}} min"}}},
			"login":  {ID: "h"},
		}, ali.Templates); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(config.Params{Values: []string{"{{minutes}}", "{{code}}"}}, c.SMS.Providers["ten"].Templates["step_up"].Params); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	c := mustLoad(t, set(`sms: {routes: {CN: [ali, ten]}, `+vendors+`}`),
		`DIALTONE_SMS_PROVIDERS_CLO_PARAMS=["{{minutes}}", "{{code}}"]`, `DIALTONE_SMS_PROVIDERS_NET_TEMPLATES={login: {id: x, params: {b: "{{code}}", a: "1"}}}`)
	if got := c.SMS.Providers["clo"].Params.Values; len(got) != 2 || got[0] != "{{minutes}}" {
		t.Errorf("params of a variable: %v", got)
	}
	if got := c.SMS.Providers["net"].Templates["login"]; got.ID != "x" || strings.Join(got.Params.Names, "") != "ba" {
		t.Errorf("templates of a variable: %+v", got)
	}
}

func TestWhatIsRefusedOfRoutesAndTemplates(t *testing.T) {
	for lines, want := range map[string]string{
		`routes: {CN: {a: 3, bb: 1}}`:       "sms.routes.CN.bb: names a provider that does not exist; did you mean b?",
		`routes: {CN: [a, bb]}`:             "sms.routes.CN[1]: names a provider that does not exist; did you mean b?",
		`routes: {CN: {a: 0}}`:              "sms.routes.CN.a: must be a positive number; leave the provider out",
		`routes: {CN: {a: -2}}`:             "sms.routes.CN.a: must be a positive number",
		`routes: {CN: {a: 1.5}}`:            "sms.routes.CN.a: must be a whole number",
		`routes: {CN: {a: }}`:               "sms.routes.CN.a: must be a positive number",
		`routes: {CN: {a: [1]}}`:            "sms.routes.CN.a: must be one plain value",
		`routes: {CN: {a: 1, a: 2}}`:        "sms.routes.CN: a key is given twice",
		`routes: {CN: {}}`:                  "sms.routes.CN: names no provider",
		`routes: {CN: a}`:                   "sms.routes.CN: must be a list of providers, or a mapping of providers to weights; write it like",
		`routes: {CN: [{a: 1}]}`:            "sms.routes.CN[0]: must be one plain value",
		`routes: {CN: {a: 1}, "*": &x [a]}`: `sms.routes.*: YAML anchors`,
	} {
		got := problems(t, second(load(t, set("sms: {"+strings.TrimSuffix(lines, "}")+`}, `+three+`}`))))
		if len(got) == 0 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s\n got %q\nwant %q", lines, got, want)
		}
	}
	const (
		aliyun  = `type: aliyun, access_key_id: a, access_key_secret: b, sign_name: c, `
		tencent = `type: tencent, secret_id: a, secret_key: b, sdk_app_id: c, sign_name: d, `
		netease = `type: netease, app_key: a, app_secret: b, `
		cloopen = `type: yuntongxun, account_sid: a, auth_token: b, app_id: c, `
	)
	for members, want := range map[string]string{
		aliyun:  "sms.providers.main.template_code: is not set; a provider of type aliyun needs a template: template_code, or templates by purpose",
		tencent: "sms.providers.main.template_id: is not set",
		netease: "sms.providers.main.template_id: is not set",
		cloopen: "sms.providers.main.template_id: is not set",
		aliyun + `template_id: x, template_code: y`:                                       "sms.providers.main.template_id: is not a member of a provider of type aliyun",
		cloopen + `template_id: x, template_id_international: y`:                          "sms.providers.main.template_id_international: is not a member",
		cloopen + `template_id: x, sign_name_international: y`:                            "sms.providers.main.sign_name_international: is not a member",
		aliyun + `template_code: x, params: ["{{code}}"]`:                                 "sms.providers.main.params: is a list, and this vendor's parameters have names; write it like {code:",
		tencent + `template_id: x, params: {code: "{{code}}"}`:                            "sms.providers.main.params: has names, and this vendor counts its parameters; write it like [",
		tencent + `template_id: x, params: code`:                                          "sms.providers.main.params: must be a mapping of names to values, or a list of values",
		tencent + `template_id: x, params: []`:                                            "sms.providers.main.params: is empty",
		aliyun + `template_code: x, params: {}`:                                           "sms.providers.main.params: is empty",
		aliyun + `template_code: x, params: {code: "{{kode}}", c: "{{code}}"}`:            "sms.providers.main.params.code: has a placeholder that is unknown; use {{code}} and {{minutes}}",
		aliyun + `template_code: x, params: {code: "{{minutes}}"}`:                        "sms.providers.main.params: has no {{code}}, so nobody would be told the code",
		aliyun + `template_code: x, params: {"": "{{code}}"}`:                             `sms.providers.main.params."": is a parameter without a name`,
		aliyun + `template_code: x, params: {c: "{{code}}", c: "{{code}}"}`:               "sms.providers.main.params: a key is given twice",
		aliyun + `template_code: x, templates: {logn: {id: y}}`:                           "sms.providers.main.templates.logn: is not a purpose; did you mean login?",
		aliyun + `templates: {login: {sign_name: y}}`:                                     "sms.providers.main.templates.login.id: is not set",
		aliyun + `templates: {login: {idd: y}}`:                                           "sms.providers.main.templates.login.idd: unknown key; did you mean id?",
		aliyun + `templates: {login: {id_international: y, sign_name: z}}`:                "sms.providers.main.templates.login.sign_name: is given without id",
		aliyun + `templates: {login: {id: y, params: [a]}}`:                               "sms.providers.main.templates.login.params: is a list",
		tencent + `templates: {login: {id: y, params: ["{{code}} {{x}}"]}}`:               "sms.providers.main.templates.login.params[0]: has a placeholder that is unknown",
		netease + `templates: {login: {id: y, sign_name: z}}`:                             "sms.providers.main.templates.login.sign_name: is given, and netease binds the signature to the template",
		cloopen + `templates: {login: {id: y, id_international: z}}`:                      "sms.providers.main.templates.login.id_international: is given, and yuntongxun serves mainland China alone",
		netease + `param_style: authcode`:                                                 "sms.providers.main.param_style: is unknown; did you mean authCode?",
		netease + `param_style: authCode, template_id: x, params: {code: "{{code}}"}`:     "sms.providers.main.params: is given, and with param_style authCode there are none",
		`type: webhook, url: "https://a.example", secret: s, params: [a]`:                 "sms.providers.main.params: is not a member of a provider of type webhook",
		`type: webhook, url: "https://a.example", secret: s, templates: {login: {id: a}}`: "sms.providers.main.templates: is not a member",
	} {
		got := problems(t, second(load(t, set(fmt.Sprintf("sms: {providers: {main: {%s}}}", members)))))
		if len(got) == 0 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s\n got %q\nwant %q", members, got, want)
		}
	}
}
