package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/config"
)

// set returns production with lines added or put in place of its own.
func set(lines string) string {
	text := production
	for line := range strings.SplitSeq(lines, "\n") {
		key, _, _ := strings.Cut(line, ":")
		if key == "issuer" || key == "master_secrets" || key == "sms" {
			kept := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool {
				return strings.HasPrefix(l, key+":") || key == "sms" && strings.HasPrefix(l, "  providers")
			})
			text = strings.Join(kept, "\n")
		}
	}
	return text + "\n" + lines + "\n"
}

// provider is a valid one, to go with other settings of sms.
const provider = `providers: {hook: {type: webhook, url: "https://sms.example.com/send", secret: s}}`

const client = `clients: [{client_id: a, token_endpoint_auth_method: none, redirect_uris: ["https://rp.example/cb"]`

func TestWhatIsRefused(t *testing.T) {
	for lines, want := range map[string]string{
		`issuer: ""`:                                                 "issuer: is not set; set it to the public address",
		`issuer: id.example.com`:                                     "issuer: is not an https address of a host",
		`issuer: ftp://id.example.com`:                               "issuer: is not an https address of a host",
		`issuer: http://id.example.com`:                              "issuer: is plain http, so anybody",
		`issuer: http://localhost:8080`:                              "issuer: is plain http; use https, or start with --dev",
		`issuer: https://id.example.com/`:                            "issuer: must be scheme, host and port alone, in lower case, without a slash at the end; write https://id.example.com (line",
		`issuer: https://id.example.com/auth`:                        "issuer: must be scheme, host and port alone",
		`issuer: https://id.example.com?a=b`:                         "issuer: must be scheme, host and port alone",
		`issuer: "https://id.example.com#a"`:                         "issuer: must be scheme, host and port alone",
		`issuer: https://user@id.example.com`:                        "issuer: must be scheme, host and port alone",
		`issuer: https://ID.example.com`:                             "issuer: must be scheme, host and port alone",
		`issuer: https://id.example.com:443`:                         "issuer: must be scheme, host and port alone",
		`issuer: https://身份.example.com`:                             "issuer: is not an https address of a host",
		`issuer: "https://id example.com"`:                           "issuer: is not an https address of a host",
		`service_name: "a\nb"`:                                       "service_name: holds control characters",
		`service_name: " "`:                                          "service_name: is not set",
		`listen: 8080`:                                               "listen: is not an address to listen on",
		`listen: "host:99999"`:                                       "listen: is not an address to listen on",
		`operator_listen: localhost`:                                 "operator_listen: is not an address to listen on",
		`operator_listen: ":8080"`:                                   "operator_listen: is the public listener",
		`data_dir: ""`:                                               "data_dir: is not set",
		`tls: {cert_file: a}`:                                        "tls: only one of cert_file and key_file is given",
		`trusted_proxies: [10.0.0.0/33]`:                             "trusted_proxies[0]: is neither an address nor a network",
		`trusted_proxies: [10.0.0.1, 0.0.0.0/0]`:                     "trusted_proxies[1]: is every address there is",
		`database: mysql://db/x`:                                     "database: is of an unknown kind",
		`database: "sqlite:"`:                                        "database: names no file",
		`database: "postgres:db"`:                                    "database: is not a postgres URL",
		`redis: localhost:6379`:                                      "redis: is not a Redis URL",
		`redis: http://localhost`:                                    "redis: is not a Redis URL",
		`master_secrets: []`:                                         "master_secrets: none is given",
		`master_secrets: [short]`:                                    "master_secrets[0]: is shorter than 32 bytes; make one with openssl rand -base64 32",
		`master_secrets: [c2hvcnQgYmFzZTY0IHNlY3JldA==]`:             "master_secrets[0]: is shorter than 32 bytes",
		`master_secrets: ["change-me, I am only an example secret"]`: "master_secrets[0]: is an example",
		`master_secrets: [0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef]`:                          "master_secrets[0]: is an example",
		`master_secrets: [AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=]`:                                              "master_secrets[0]: is an example",
		`master_secrets: [Kq2mZ0v8Xn4rT6yU1wE3sD5fG7hJ9kLpOiBvCxZaQwE=, Kq2mZ0v8Xn4rT6yU1wE3sD5fG7hJ9kLpOiBvCxZaQwE]`: "master_secrets[1]: is the same as master_secrets[0]",
		`log: {level: loud}`:                                                                          "log.level: is not a level",
		`log: {format: xml}`:                                                                          "log.format: is unknown; use text or json",
		`legal: {version: ""}`:                                                                        "legal.version: is not set",
		`legal: {terms_url: "http://a.example/"}`:                                                     "legal.terms_url: is not an https address",
		`sms: {regions: [cn], ` + provider + `}`:                                                      "sms.regions[0]: is not a region",
		`sms: {regions: [XX], ` + provider + `}`:                                                      "sms.regions[0]: is not a region",
		`sms: {regions: [CN, CN], ` + provider + `}`:                                                  "sms.regions[1]: is given twice",
		`sms: {regions: [], ` + provider + `}`:                                                        "sms.regions: no region is allowed",
		`sms: {}`:                                                                                     "sms.regions[0]: has no route",
		`sms: {regions: [CN, HK], routes: {CN: [hook]}, ` + provider + `}`:                            "sms.regions[1]: has no route",
		`sms: {routes: {CN: [hok]}, ` + provider + `}`:                                                "sms.routes.CN[0]: names a provider that does not exist; did you mean hook?",
		`sms: {routes: {CN: [hook, hook]}, ` + provider + `}`:                                         "sms.routes.CN[1]: names a provider twice",
		`sms: {routes: {CN: []}, ` + provider + `}`:                                                   "sms.routes.CN: names no provider",
		`sms: {routes: {china: [hook], "*": [hook]}, ` + provider + `}`:                               "sms.routes.china: is not a region",
		`sms: {providers: {c: {type: console}}}`:                                                      "sms.providers.c.type: console prints codes",
		`sms: {providers: {c: {type: consol}}}`:                                                       "sms.providers.c.type: is unknown; did you mean console?",
		`sms: {providers: {c: {type: twilio}}}`:                                                       "sms.providers.c.type: is unknown; use console, webhook, aliyun, tencent, netease, yuntongxun",
		`sms: {providers: {"a b": {type: webhook, url: "https://a.example", secret: s}}}`:             `sms.providers."a b": has a name that cannot be used`,
		`sms: {providers: {c: {type: webhook, url: "https://a.example"}}}`:                            "sms.providers.c.secret: is not set",
		`sms: {providers: {c: {type: webhook, url: "http://a.example", secret: s}}}`:                  "sms.providers.c.url: is not an https address",
		`sms: {providers: {c: {type: webhook, url: "https://a.example", secret: s, app_id: x}}}`:      "sms.providers.c.app_id: is not a member of a provider of type webhook",
		`sms: {providers: {c: {type: webhook, url: "https://a.example", secret: change-me}}}`:         "sms.providers.c.secret: is an example",
		`sms: {test_numbers: {"+8613800138000": "246810"}, ` + provider + `}`:                         "sms.test_numbers: anybody who knows their codes",
		`sms: {allow_test_numbers: true, test_numbers: {"13800138000": "246810"}, ` + provider + `}`:  "sms.test_numbers: holds what is not a number",
		`sms: {allow_test_numbers: true, test_numbers: {"+8613800138000": "2468"}, ` + provider + `}`: "sms.test_numbers: holds what is not a number",
		`sessions: {idle: 800h}`:                                                                      "sessions.idle: must not be longer than sessions.absolute (720h)",
		`sessions: {idle: 0s}`:                                                                        "sessions.idle: must be between 1s and 8760h",
		`tokens: {access: 2h}`:                                                                        "tokens.access: must be between 1s and 1h",
		`tokens: {code: 5m}`:                                                                          "tokens.code: must be between 1s and 1m",
		`tokens: {refresh_grace: 2m}`:                                                                 "tokens.refresh_grace: must be between 0s and 1m",
		`tokens: {refresh_idle: 5000h}`:                                                               "tokens.refresh_idle: must not be longer than tokens.refresh_absolute (4320h)",
		`keys: {publish: 1m}`:                                                                         "keys.publish: must be between 1h and 720h",
		`keys: {rotate_every: 1h}`:                                                                    "keys.rotate_every: must be longer than keys.publish",
		`keys: {keep: 30m}`:                                                                           "keys.keep: must be between 1h1m and 8760h",
		`shutdown_grace: 0s`:                                                                          "shutdown_grace: must be between 1s and 10m",
		`captcha: {type: geetest_v4, id: a}`:                                                          "captcha.key: is not set; a check of type geetest_v4 needs it",
		`captcha: {type: geetest_v3, key: b}`:                                                         "captcha.id: is not set; a check of type geetest_v3 needs it",
		`captcha: {type: geetest_v4, id: a, key: change-me}`:                                          "captcha.key: is an example",
		`captcha: {type: geetest_v4, id: a, key: b, endpoint: "http://a.example"}`:                    "captcha.endpoint: is not an https address",
		`captcha: {type: pow, id: a}`:                                                                 "captcha.id: is not a member of a check of type pow; remove it",
		`captcha: {type: none, key: a}`:                                                               "captcha.key: is not a member of a check of type none; remove it",
		`captcha: {endpoint: "https://a.example"}`:                                                    "captcha.endpoint: is not a member of a check of type pow; remove it",
		`captcha: {type: pwo}`:                                                                        "captcha.type: is unknown; did you mean pow?",
		`outbound: {allow_hosts: ["http://a"]}`:                                                       "outbound.allow_hosts[0]: is not a host name",
		`outbound: {allow_networks: [a]}`:                                                             "outbound.allow_networks[0]: is neither an address nor a network",
		`registration: {enabled: true}`:                                                               "registration.enabled: is not available in this version; remove it (line",
		client + `}, {client_id: a, token_endpoint_auth_method: none, redirect_uris: ["https://rp.example/cb"]}]`:                            "clients[1].client_id: is the same as that of clients[0]",
		`clients: [{token_endpoint_auth_method: none, redirect_uris: ["https://rp.example/cb"]}]`:                                            "clients[0].client_id: is not set",
		`clients: [{client_id: "a b", token_endpoint_auth_method: none, redirect_uris: ["https://rp.example/cb"]}]`:                          "clients[0].client_id: is not printable ASCII",
		`clients: [{client_id: a, redirect_uris: ["https://rp.example/cb"]}]`:                                                                "clients[0].client_secret: is not set; give one, or set token_endpoint_auth_method to none",
		`clients: [{client_id: a, client_secret: change-me, redirect_uris: ["https://rp.example/cb"]}]`:                                      "clients[0].client_secret: is an example",
		`clients: [{client_id: a, client_secret: s, token_endpoint_auth_method: private_key_jwt, redirect_uris: ["https://rp.example/cb"]}]`: "clients[0].token_endpoint_auth_method: private_key_jwt is not available in this version",
		`clients: [{client_id: a, token_endpoint_auth_method: none}]`:                                                                        "clients[0].redirect_uris: none is given",
		client + `, client_secret: s}]`:                                               "clients[0].client_secret: is given for a public client",
		client + `, grant_types: [implicit]}]`:                                        "clients[0].grant_types[0]: is unknown",
		client + `, grant_types: [authorisation_code]}]`:                              "clients[0].grant_types[0]: is unknown; did you mean authorization_code?",
		client + `, grant_types: ["urn:openid:params:grant-type:ciba"]}]`:             "clients[0].grant_types[0]: urn:openid:params:grant-type:ciba is not available",
		client + `, grant_types: ["urn:dialtone:params:oauth:grant-type:sms-code"]}]`: "clients[0].grant_types[0]: the SMS-code grant is for first-party clients",
		client + `, response_types: [token]}]`:                                        "clients[0].response_types[0]: is unknown; use code",
		client + `, response_modes: [jwt]}]`:                                          "clients[0].response_modes[0]: jwt is not available",
		client + `, application_type: mobile}]`:                                       "clients[0].application_type: is unknown",
		client + `, subject_type: pairwise}]`:                                         "clients[0].subject_type: pairwise is not available",
		client + `, id_token_signed_response_alg: HS256}]`:                            "clients[0].id_token_signed_response_alg: is unknown",
		client + `, default_max_age: -1}]`:                                            "clients[0].default_max_age: is negative",
		client + `, logo_uri: "http://rp.example/logo"}]`:                             "clients[0].logo_uri: is not an https address",
		client + `, brand_color: teal}]`:                                              "clients[0].brand_color: is not a colour; write it like #0f6b5c",
		client + `, support_contact: help@rp.example}]`:                               "clients[0].support_contact: is not a mailto:, tel: or https: address",
		`support_contact: "http://id.example.com/help"`:                               "support_contact: is not a mailto:, tel: or https: address",
		`legal: {psb: 沪公网安备}`:                                                         "legal.psb: has no digits",
		client + `, post_logout_redirect_uris: ["/bye"]}]`:                            "clients[0].post_logout_redirect_uris[0]: is not an absolute URI",
		client + `, post_logout_redirect_uris: ["https://rp.example/bye#x"]}]`:        "clients[0].post_logout_redirect_uris[0]: has a fragment",
		client + `, jwks_uri: "https://rp.example/jwks"}]`:                            "clients[0].jwks_uri: is not available in this version; remove it",
		client + `, jwks: {keys: []}}]`:                                               "clients[0].jwks: is not available in this version",
		client + `, backchannel_logout_uri: "https://rp.example/out"}]`:               "clients[0].backchannel_logout_uri: is not available",
		client + `, dpop_bound_access_tokens: true}]`:                                 "clients[0].dpop_bound_access_tokens: is not available",
	} {
		got := problems(t, second(load(t, set(lines))))
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s\n got %q\nwant %q", lines, got, want)
		}
	}
}

func TestWhatIsAccepted(t *testing.T) {
	for _, lines := range []string{
		"",
		`issuer: https://id.example.com:8443`,
		`issuer: https://[2001:db8::1]:8443`,
		`operator_listen: ""`,
		`trusted_proxies: [10.0.0.7, 10.0.0.0/8, "2001:db8::/32"]`,
		`database: postgres://u:p@a:5432,b:5432/x?sslmode=verify-full`,
		`database: postgresql:///x?host=/run/postgresql`,
		`redis: redis-sentinel://a:26379,b:26379/main`,
		`tls: {cert_file: a, key_file: b}`,
		`master_secrets: [6b71326d5a3076385836e347254367955317745337344356647376854a396b4cff]`, // hex
		`master_secrets: [Kq2mZ0v8Xn4rT6yU1wE3sD5fG7hJ9kLpOiBvCxZaQwE=, "an older secret, in plain words and long enough"]`,
		`captcha: {type: pow}`,
		`captcha: {type: none}`,
		`captcha: {type: geetest_v3, id: a, key: b}`,
		`captcha: {type: geetest_v4, id: a, key: b, endpoint: "http://127.0.0.1:4711"}`,
		`outbound: {trusted_ca_file: /x, allow_hosts: [a.internal], allow_networks: [10.0.0.0/8]}`,
		`registration: {enabled: false, initial_access_token: x}`,
		`sms: {regions: [CN, HK, MO, TW], ` + provider + `}`,
		`sms: {allow_test_numbers: true, providers: {c: {type: console}}, test_numbers: {+8613800138000: 012345}}`,
		`sms: {allow_test_numbers: true, test_numbers: {"+8613800138000": "246810"}}`,
		`sms: {providers: {h: {type: webhook, url: "http://127.0.0.1:4711/x", secret: s}}}`,
		`sms: {limits: {service_per_day: 1000000000, per_address_hour: 5000000, per_address_day: 5000000}, ` + provider + `}`,
		`tokens: {refresh_grace: 0s}`,
		`accounts: {deletion_delay: 0s, recycle_after: 0s, quarantine: 24h}`,
		`accounts: {deletion_delay: 360h, recycle_after: 24h}`,
		client + `, subject_type: public, jwks: null, backchannel_logout_session_required: false}]`,
		client + `, response_modes: [query, form_post], response_types: [code], require_pkce: true}]`,
		`clients: [{client_id: m, client_secret: s, grant_types: [client_credentials]}]`,
		`clients: [{client_id: n, token_endpoint_auth_method: none, application_type: native, redirect_uris: ["com.example.app:/cb", "http://127.0.0.1/cb"]}]`,
		`clients:`,
	} {
		if _, err := load(t, set(lines)); err != nil {
			t.Errorf("%s\n%v", lines, err)
		}
	}
}

func TestVendorsNeedTheirMembers(t *testing.T) {
	for kind, members := range map[string]string{
		"aliyun":     `access_key_id: a, access_key_secret: b, sign_name: c, template_code: d, endpoint: "http://127.0.0.1:1"`,
		"tencent":    `secret_id: a, secret_key: b, sdk_app_id: c, sign_name: d, template_id: e, region: ap-guangzhou, endpoint: ""`,
		"netease":    `app_key: a, app_secret: b, template_id: c`,
		"yuntongxun": `account_sid: a, auth_token: b, app_id: c, template_id: d`,
	} {
		text := fmt.Sprintf("sms: {providers: {main: {type: %s, %s}}}", kind, members)
		if _, err := load(t, set(text)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		text = fmt.Sprintf("sms: {providers: {main: {type: %s, url: x}}}", kind)
		if got := problems(t, second(load(t, set(text)))); len(got) < 4 {
			t.Errorf("%s without its members: %q", kind, got)
		}
	}
}

func TestLimitsCannotBeSwitchedOffOrRaisedBeyondReason(t *testing.T) {
	for limit, values := range map[string][]string{
		"code_ttl": {"0s", "-1m", "11m"}, "code_max_ttl": {"0s", "11m"}, "cooldown": {"0s", "2h"},
		"per_hour": {"0", "-1", "41"}, "per_day": {"0", "41"}, "known_reserve": {"0", "10"},
		"tries": {"0", "2", "11"}, "failures_per_hour": {"0", "101"}, "failures_per_day": {"0", "101"}, "failures_total": {"0", "101"},
		"per_address_numbers_10m": {"0"}, "per_address_hour": {"0"}, "per_address_day": {"0"},
		"per_client_hour": {"0"}, "per_client_day": {"0"}, "service_per_second": {"0"}, "service_per_day": {"0", "-5"},
		"per_device_numbers_day": {"0", "11"}, "per_device_day": {"0"}, "per_dial_code_day": {"0"},
		"per_prefix_10m": {"0", "31"}, "per_prefix_hour": {"0"}, "consecutive": {"0", "1", "129"}, "conversion_percent": {"0", "91"}, "conversion_percent_whole": {"0", "91"}, "conversion_pause": {"0s", "25h"},
		"budget_per_day": {"0", "0.00", "-1", "1e3", "1.0000001", "ten"},
	} {
		for _, value := range values {
			got := problems(t, second(load(t, set(fmt.Sprintf("sms: {limits: {%s: %s}, %s}", limit, value, provider)))))
			if !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, "sms.limits."+limit+": ") }) {
				t.Errorf("%s: %s: %q", limit, value, got)
			}
		}
	}
}

func TestAccountsEndInReasonableTime(t *testing.T) {
	for setting, values := range map[string][]string{
		"deletion_delay": {"-1h", "361h"}, "recycle_after": {"-1h", "1h", "50000h"}, "quarantine": {"0s", "23h", "50000h"},
	} {
		for _, value := range values {
			got := problems(t, second(load(t, set(fmt.Sprintf("accounts: {%s: %s}", setting, value)))))
			if len(got) != 1 || !strings.HasPrefix(got[0], "accounts."+setting+": ") {
				t.Errorf("%s: %s: %q", setting, value, got)
			}
		}
	}
}

func TestTellingTakenNumbersNeedsAHumanCheck(t *testing.T) {
	if c, err := load(t, set("accounts: {tell_taken: true}")); err != nil || !c.Accounts.TellTaken {
		t.Errorf("%v", err)
	}
	got := problems(t, second(load(t, set("accounts: {tell_taken: true}\ncaptcha: {type: none}"))))
	if len(got) != 1 || !strings.HasPrefix(got[0], "accounts.tell_taken: ") {
		t.Errorf("%q", got)
	}
}

func TestEverythingIsReportedAtOnce(t *testing.T) {
	_, err := load(t, "issuer: http://id.example.com\nlisten: nowhere\nsms: {regions: [cn], limits: {tries: 1}}\n")
	got := problems(t, err)
	for _, path := range []string{"issuer", "listen", "master_secrets", "sms.regions[0]", "sms.limits.tries"} {
		if !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, path+": ") }) {
			t.Errorf("nothing about %s in %q", path, got)
		}
	}
	if !strings.Contains(err.Error(), "problems:\n  issuer: ") || !strings.Contains(err.Error(), "(line 2)") {
		t.Errorf("error: %v", err)
	}
}

func TestDevAllowsWhatIsSafeOnLoopbackOnly(t *testing.T) {
	for text, ok := range map[string]bool{
		"issuer: http://127.0.0.1:9000":                                 true,
		"issuer: http://[::1]:9000":                                     true,
		"issuer: http://localhost":                                      true,
		"issuer: http://id.example.com":                                 false,
		"issuer: http://localhost.example.com":                          false,
		"issuer: http://10.0.0.1:8080":                                  false,
		"sms: {test_numbers: {\"+8613800138000\": \"246810\"}}":         true,
		"master_secrets: [short]":                                       false,
		"keys: {rotate_every: 2m, publish: 1m}":                         true,
		"sms: {providers: {a: {type: aliyun}}, routes: {\"*\": [a]}}":   false,
		"clients: [{client_id: a, redirect_uris: [\"https://rp/cb\"]}]": false,
		"sms: {limits: {tries: 0}}":                                     false,
	} {
		if _, err := config.Load(config.Source{Path: write(t, "c.yaml", text), Dev: true}); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestPricesAreHeldAgainstProvidersAndBudget(t *testing.T) {
	with := func(more string) string {
		return set("sms: {" + more + ", providers: {main: {type: webhook, url: 'https://x.example.com/', secret: s3cret-of-the-hook}}, routes: {CN: [main]}}")
	}
	for more, want := range map[string]string{
		"prices: {main: {CN: 0.045, '*': 0.4}}":                         "",
		"prices: {main: {'*': 12}}, limits: {budget_per_day: 400.5}":    "",
		"prices: {mian: {CN: 0.045}}":                                   "sms.prices.mian: ",
		"prices: {main: {XX: 0.045}}":                                   "sms.prices.main.XX: ",
		"prices: {main: {CN: 4.5e-2}}":                                  "sms.prices.main.CN: ",
		"prices: {main: {CN: 0.0450000}}":                               "sms.prices.main.CN: ",
		"currency: yuan, prices: {}":                                    "sms.currency: ",
		"limits: {budget_per_day: 400}":                                 "sms.prices.main: ",
		"limits: {budget_per_day: 400}, prices: {main: {US: 1}}":        "sms.prices.main: ",
		"limits: {checked_prefixes: ['86170']}":                         "sms.limits.checked_prefixes[0]: ",
		"limits: {checked_prefixes: ['+1 202']}":                        "sms.limits.checked_prefixes[0]: ",
		"limits: {checked_prefixes: ['+120255501', '+86170', '+8617']}": "",
	} {
		got := problems(t, second(load(t, with(more))))
		if found := slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, want) }); want != "" && !found || want == "" && len(got) > 0 {
			t.Errorf("%s: %q, want %q", more, got, want)
		}
	}
}
