package web

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// The codes that a person can come to see: ours, those of RFC 6749, of OpenID
// Connect Core section 3.1.2.6, of RFC 7591 and RFC 8707.
var codes = []string{
	"phone_invalid", "phone_region_unsupported", "agreement_required", "sms_too_soon", "sms_hourly_limit",
	"sms_daily_limit", "sms_provider_unavailable", "sms_rejected", "sms_not_sent", "captcha_required", "captcha_failed", "sms_sign_in_stopped", "code_incorrect",
	"code_incorrect_last", "code_expired", "code_attempts_exceeded", "account_closing", "number_recycled", "qr_code_invalid", "qr_expired", "qr_signed_out", "code_tries_limited", "account_disabled", "another_account", "phone_taken", "phone_same", "phone_moved",
	"flow_expired", "cross_origin", "cookies_required", "rate_limited", "request_too_large", "unsupported_media_type",
	"method_not_allowed", "not_found", "invalid_request", "server_error", "temporarily_unavailable",
	"passkey_failed", "passkey_expired", "passkey_unknown", "passkey_cloned", "passkey_exists", "passkey_limit", "last_way_in",
	"passkeys_unavailable", "reauthentication_required",
	"credentials_incorrect", "password_too_short", "password_too_long", "password_common", "username_invalid", "username_taken",
	"email_invalid", "email_taken", "factor_incorrect", "password_incorrect", "passkey_other", "factor_stopped", "proof_too_new", "second_factor_required", "enrolment_missing",

	"unauthorized_client", "access_denied", "unsupported_response_type", "unsupported_response_mode", "invalid_scope",
	"invalid_client", "invalid_grant", "unsupported_grant_type", "invalid_token", "insufficient_scope",
	"login_required", "consent_required", "interaction_required", "account_selection_required",
	"request_not_supported", "request_uri_not_supported", "registration_not_supported", "invalid_request_uri",
	"invalid_request_object", "invalid_redirect_uri", "invalid_client_metadata", "invalid_target",
	"unmet_authentication_requirements",

	"name_too_long", "name_invalid", "locale_invalid", "picture_missing", "picture_too_large", "picture_unreadable",
}

// raw is a message file as it is written, with plural forms as nested keys.
func raw(t *testing.T, tag string) map[string]string {
	t.Helper()
	text, err := files.ReadFile("messages/" + tag + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	flat := map[string]string{}
	var walk func(prefix string, node map[string]any)
	walk = func(prefix string, node map[string]any) {
		for key, value := range node {
			switch value := value.(type) {
			case string:
				flat[prefix+key] = value
			case map[string]any:
				walk(prefix+key+".", value)
			default:
				t.Errorf("%s: %s%s is a %T", tag, prefix, key, value)
			}
		}
	}
	walk("", tree)
	return flat
}

func TestLanguagesHaveTheSameTexts(t *testing.T) {
	s := newSite(t, Options{})
	if diff := cmp.Diff([]string{"zh-CN", "en"}, s.Languages()); diff != "" {
		t.Fatalf("languages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(s.editions[0].known, s.editions[1].known); diff != "" {
		t.Errorf("keys (-zh-CN +en):\n%s", diff)
	}
}

func TestNoTextIsEmptyOrInTheWrongLanguage(t *testing.T) {
	neutral := []string{"language.name", "date.layout", "date.clock", "date.zone_hours", "demo_userinfo"}
	for _, tag := range []string{"zh-CN", "en"} {
		for key, value := range raw(t, tag) {
			if strings.TrimSpace(value) == "" {
				t.Errorf("%s: %s is empty", tag, key)
			}
			han := strings.ContainsFunc(value, func(r rune) bool { return unicode.Is(unicode.Han, r) })
			if han != (tag == "zh-CN") && !slices.Contains(neutral, key) {
				t.Errorf("%s: %s is in another language: %s", tag, key, value)
			}
		}
	}
}

// Parameters that do not exist would be shown as "<nil>".
func TestTextsNameTheirParametersAlike(t *testing.T) {
	parameter := regexp.MustCompile(`{{[^}]*}}`)
	namesIn := func(texts map[string]string) map[string][]string {
		names := map[string][]string{}
		for key, value := range texts {
			key = strings.TrimSuffix(strings.TrimSuffix(key, ".one"), ".other")
			for _, name := range parameter.FindAllString(value, -1) {
				if !slices.Contains(names[key], name) {
					names[key] = append(names[key], name)
				}
			}
			slices.Sort(names[key]) // languages may put them in another order
		}
		return names
	}
	if diff := cmp.Diff(namesIn(raw(t, "zh-CN")), namesIn(raw(t, "en"))); diff != "" {
		t.Errorf("parameters (-zh-CN +en):\n%s", diff)
	}
	for key, names := range namesIn(raw(t, "en")) {
		for _, name := range names {
			if !slices.Contains([]string{"{{.n}}", "{{.when}}", "{{.tries}}", "{{.browser}}", "{{.os}}"}, name) {
				t.Errorf("%s: nobody gives a value for %s", key, name)
			}
		}
	}
}

func TestNoTextIsUnused(t *testing.T) {
	used := map[string]bool{}
	for _, code := range codes {
		used[code] = true
	}
	// Keys that are put together: scopes, regions, waiting times, states of a message and of a QR code,
	// what happened and what was done in an account.
	for key := range newSite(t, Options{}).editions[0].known {
		for _, family := range []string{"scope.", "region.", "when.", "code.status_", "qr.state_", "ago.", "event.", "done.", "browser.", "security."} {
			used[key] = used[key] || strings.HasPrefix(key, family)
		}
	}
	// demo_ titles come from the demo.
	for _, key := range []string{"demo_id_token", "demo_access_token", "demo_userinfo", "demo_refreshed", "demo_userinfo_failed"} {
		used[key] = true
	}
	quoted := regexp.MustCompile(`"([a-z_.]+)"`)
	collect := func(text []byte) {
		for _, m := range quoted.FindAllSubmatch(text, -1) {
			used[string(m[1])] = true
		}
	}
	err := fs.WalkDir(files, "templates", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		collect(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sources, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		collect(text)
	}
	for key := range newSite(t, Options{}).editions[0].known {
		if !used[key] {
			t.Errorf("nothing uses %s", key)
		}
	}
}

func TestEveryCodeHasATextAndAHeadline(t *testing.T) {
	s := newSite(t, Options{})
	for _, e := range s.editions {
		general := e.problem("no_such_code", nil, 0)
		for _, code := range codes {
			got := e.problem(code, map[string]string{"tries": "2"}, 90*time.Second)
			if got == general || strings.ContainsAny(got, "<>{}") {
				t.Errorf("%s: %s: %q", e.tag, code, got)
			}
			if without := e.problem(code, nil, 0); without == general || strings.ContainsAny(without, "<>{}") {
				t.Errorf("%s: %s without parameters: %q", e.tag, code, without)
			}
			if e.fixed[headline(code)] == "" {
				t.Errorf("%s: %s has no headline", e.tag, code)
			}
		}
		// A key that is no code must not show a part of a page.
		for _, key := range []string{"login.title", "when.seconds", "", "<svg onload>"} {
			if got := e.problem(key, nil, 0); got != general {
				t.Errorf("%s: the code %q reads %q", e.tag, key, got)
			}
		}
	}
}

func TestTextsSayHowLongAndHowOften(t *testing.T) {
	s := newSite(t, Options{})
	tests := []struct {
		code   string
		params map[string]string
		retry  time.Duration
		zh, en string
	}{
		{"rate_limited", nil, 0, "请稍后再试", "try again later"},
		{"rate_limited", nil, 300 * time.Millisecond, "请 1 秒后再试", "try again in 1 second."},
		{"rate_limited", nil, 42 * time.Second, "请 42 秒后再试", "try again in 42 seconds"},
		{"rate_limited", map[string]string{"seconds": "42"}, 0, "请 42 秒后再试", "try again in 42 seconds"},
		{"rate_limited", nil, 101 * time.Second, "请 2 分钟后再试", "try again in 2 minutes"},
		{"rate_limited", nil, 40 * time.Minute, "请 40 分钟后再试", "try again in 40 minutes"},
		{"rate_limited", nil, 23*time.Hour + time.Second, "请 24 小时后再试", "try again in 24 hours"},
		{"rate_limited", nil, 72 * time.Hour, "请 3 天后再试", "try again in 3 days"},
		{"code_incorrect_last", map[string]string{"tries": "1"}, 0, "再试 1 次", "1 try left"},
		{"code_incorrect_last", map[string]string{"tries": "2"}, 0, "再试 2 次", "2 tries left"},
		{"code_incorrect_last", nil, 0, "验证码不正确，请重新输入", "That code isn't right. Check"},
	}
	for _, tt := range tests {
		for i, want := range []string{tt.zh, tt.en} {
			if got := s.editions[i].problem(tt.code, tt.params, tt.retry); !strings.Contains(got, want) {
				t.Errorf("%s %v %v: %q, want it to contain %q", tt.code, tt.params, tt.retry, got, want)
			}
		}
	}
}

func TestRegionsHaveNamesInTheLanguageOfThePage(t *testing.T) {
	s := newSite(t, Options{})
	for iso, want := range map[string][2]string{
		"CN": {"中国大陆", "Mainland China"}, "TW": {"中国台湾", "Taiwan, China"},
		"US": {"美国", "United States"}, "XX": {"XX", "XX"}, "": {"", ""},
	} {
		for i, e := range s.editions {
			if got := e.region(iso); got != want[i] {
				t.Errorf("region %q in %s: %q, want %q", iso, e.tag, got, want[i])
			}
		}
	}
}

// Errors are sentences, and all end as sentences do.
func TestErrorsEndAsSentences(t *testing.T) {
	for tag, stop := range map[string]string{"en": ".", "zh-CN": "。"} {
		texts := raw(t, tag)
		for _, code := range codes {
			text, plain := texts[code]
			if !plain {
				text = texts[code+".other"]
			}
			if !strings.HasSuffix(text, stop) {
				t.Errorf("%s: %s is %q", tag, code, text)
			}
		}
	}
}
