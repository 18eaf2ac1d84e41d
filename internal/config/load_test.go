package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/config"
)

// production is the least that serves outside --dev.
const production = `
issuer: https://id.example.com
master_secrets: [Kq2mZ0v8Xn4rT6yU1wE3sD5fG7hJ9kLpOiBvCxZaQwE=]
sms:
  providers: {hook: {type: webhook, url: "https://sms.example.com/send", secret: hook-signing-secret}}
`

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t testing.TB, text string, environ ...string) (config.Config, error) {
	t.Helper()
	return config.Load(config.Source{Path: write(t, "config.yaml", text), Environ: environ})
}

func mustLoad(t testing.TB, text string, environ ...string) config.Config {
	t.Helper()
	c, err := load(t, text, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problems are the lines of what is wrong.
func problems(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *config.Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("not about settings: %v", err)
	}
	lines := make([]string, len(invalid.Problems))
	for i, p := range invalid.Problems {
		lines[i] = p.String()
	}
	return lines
}

func TestLaterSourcesWin(t *testing.T) {
	if c := mustLoad(t, production); c.Listen != ":8080" || c.Tokens.Access != 10*time.Minute {
		t.Errorf("defaults: listen %q, access %v", c.Listen, c.Tokens.Access)
	}
	file := production + "\nlisten: \":1\"\ntokens: {access: 2m}\n"
	if c := mustLoad(t, file); c.Listen != ":1" || c.Tokens.Access != 2*time.Minute || c.Tokens.ID != time.Hour {
		t.Errorf("file: listen %q, tokens %+v", c.Listen, c.Tokens)
	}
	if c := mustLoad(t, file, "DIALTONE_LISTEN=:2", "DIALTONE_TOKENS_ACCESS="); c.Listen != ":2" || c.Tokens.Access != 2*time.Minute {
		t.Errorf("environment: listen %q, access %v", c.Listen, c.Tokens.Access)
	}
	c, err := config.Load(config.Source{
		Path: write(t, "config.yaml", file), Environ: []string{"DIALTONE_LISTEN=:2"}, Listen: ":3", DataDir: "/var/lib/dialtone",
	})
	if err != nil || c.Listen != ":3" || c.DatabaseURL() != "sqlite:/var/lib/dialtone/dialtone.db" {
		t.Errorf("flags: listen %q, database %q, %v", c.Listen, c.Database, err)
	}
}

func TestMistakesInTheFileAreNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want string
	}{
		"typo":               {"isuer: x", "isuer: unknown key; did you mean issuer? (line 1)"},
		"typo below":         {"sms:\n  limits: {per_dya: 3}", "sms.limits.per_dya: unknown key; did you mean per_day? (line 2)"},
		"typo in a provider": {"sms: {providers: {hook: {typ: webhook}}}", "sms.providers.hook.typ: unknown key; did you mean type? (line 1)"},
		"typo in a client":   {"clients:\n- client_id: a\n  redirect_uri: [b]", "clients[0].redirect_uri: unknown key; did you mean redirect_uris? (line 3)"},
		"wrong section":      {"per_day: 3", "per_day: unknown key; did you mean sms.limits.per_day? (line 1)"},
		"nothing like it":    {"frobnicate: 1", "frobnicate: unknown key (line 1)"},
		"strange key":        {"\"a\\nb c\": 1", `"a\nb c": unknown key (line 1)`},
		"twice":              {"listen: a\nlisten: b", "a key is given twice, first in line 1; remove one (line 2)"},
		"twice in a map":     {"sms:\n  routes:\n    CN: [a]\n    CN: [b]", "sms.routes: a key is given twice, first in line 3; remove one (line 4)"},
		"alias":              {"a: &x 1\nb: *x", "a: unknown key (line 1)"},
		"anchor":             {"listen: &x 1", "listen: YAML anchors and aliases are not supported; write the value out (line 1)"},
		"merge":              {"tls:\n  <<: {cert_file: a}", "tls: a key must be plain text; YAML anchors, aliases and merge keys are not supported (line 2)"},
		"a list as key":      {"? [a]\n: b", "a key must be plain text; YAML anchors, aliases and merge keys are not supported (line 1)"},
		"no unit":            {"tokens: {access: 600}", "tokens.access: must be a duration with its unit, such as 30s, 5m or 720h (line 1)"},
		"number":             {"sms: {limits: {per_day: many}}", "sms.limits.per_day: must be a whole number (line 1)"},
		"bool":               {"sms: {allow_test_numbers: 1}", "sms.allow_test_numbers: must be true or false (line 1)"},
		"list":               {"sms: {regions: CN}", "sms.regions: must be a list (line 1)"},
		"mapping":            {"sms: [1]", "sms: must be a mapping of keys to values (line 1)"},
		"table":              {"sms: {routes: [1]}", "sms.routes: must be a mapping (line 1)"},
		"scalar":             {"listen: [1]", "listen: must be one plain value (line 1)"},
		"top":                {"[]", "must be a mapping of keys to values (line 1)"},
		"two documents":      {"listen: a\n---\nlisten: b", "holds more than one YAML document; remove what follows the second --- (FILE)"},
		"not YAML":           {"a: b\nc: d: e", "is not YAML: line 2: mapping values are not allowed in this context (FILE)"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "config.yaml", tc.text)
			_, err := config.Load(config.Source{Path: path, Dev: true})
			want := strings.ReplaceAll(tc.want, "FILE", path)
			if got := problems(t, err); len(got) == 0 || got[0] != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// What is set to a wrong kind of value could be a secret in the wrong place.
func TestMistakesDoNotShowValues(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, text := range []string{
		"master_secrets: " + secret,
		"master_secrets: {a: " + secret + "}",
		"master_secrets: *" + secret,
		"database: [" + secret + "]",
		"tokens: {access: " + secret + "}",
		"sms: {limits: {tries: " + secret + "}}",
		"sms: {test_numbers: {\"+8613800138000\": [" + secret + "]}}",
		"clients: " + secret,
		"database: mysql://root:" + secret + "@db/x",
		"redis: http://root:" + secret + "@db/x",
		"issuer: https://root:" + secret + "@id.example.com",
		"legal: {terms_url: \"http://a:" + secret + "@b\"}",
		"clients: [{client_id: a, client_secret: " + secret + ", token_endpoint_auth_method: none}]",
		"master_secrets: [" + secret + "]",
	} {
		for name, err := range map[string]error{
			"file":        second(load(t, text)),
			"environment": second(load(t, "", "DIALTONE_SMS_PROVIDERS=["+secret+"]", "DIALTONE_CLIENTS={a: "+secret+"}", "DIALTONE_TOKENS_ID="+secret)),
		} {
			if err == nil {
				t.Errorf("%s: no error", text)
			} else if strings.Contains(err.Error(), secret[:7]) || strings.Contains(err.Error(), "13800138000") {
				t.Errorf("%s: %s shows the value: %v", name, text, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestSecretsComeFromFiles(t *testing.T) {
	first, old := "the first master secret, with enough characters", "an older master secret, with enough characters"
	masters := write(t, "masters", first+"\r\n\n"+old+"\n")
	hook := write(t, "hook", "hook-secret\n")
	client := write(t, "client", "client-secret-1")
	database := write(t, "database", "postgres://u:p@db/dialtone\n")
	text := `
issuer: https://id.example.com
master_secrets_file: ` + masters + `
database_file: ` + database + `
sms:
  providers: {hook: {type: webhook, url: "https://sms.example.com/send", secret_file: ` + hook + `}}
clients:
  - {client_id: web, client_secret_file: ` + client + `, redirect_uris: ["https://rp.example/cb"]}
`
	check := func(c config.Config) {
		t.Helper()
		if got := c.Masters(); len(got) != 2 || string(got[0]) != first || string(got[1]) != old {
			t.Errorf("masters: %q", got)
		}
		if c.SMS.Providers["hook"].Secret.Reveal() != "hook-secret" || c.Clients[0].ClientSecret.Reveal() != "client-secret-1" ||
			c.DatabaseURL() != "postgres://u:p@db/dialtone" {
			t.Error("a secret is not what its file holds")
		}
	}
	check(mustLoad(t, text))
	check(mustLoad(t, `
issuer: https://id.example.com
sms: {providers: {hook: {type: webhook, url: "https://sms.example.com/send"}}}
clients: [{client_id: web, redirect_uris: ["https://rp.example/cb"]}]
`, "DIALTONE_MASTER_SECRETS_FILE="+masters, "DIALTONE_DATABASE_FILE="+database,
		"DIALTONE_SMS_PROVIDERS_HOOK_SECRET_FILE="+hook, "DIALTONE_CLIENTS_WEB_CLIENT_SECRET_FILE="+client))
}

func TestBadSecretFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"missing": filepath.Join(dir, "missing"), "directory": dir, "pipe": pipe, "device": "/dev/zero",
		"empty": write(t, "empty", "\n"), "huge": write(t, "huge", strings.Repeat("x", 70000)), "bytes": write(t, "bytes", "\xff\xfe"),
	} {
		got := problems(t, second(load(t, strings.Replace(production, "secret: hook-signing-secret", "secret_file: "+path, 1))))
		if len(got) != 1 || !strings.HasPrefix(got[0], "sms.providers.hook.secret: ") {
			t.Errorf("%s in the file: %q", name, got)
		}
		got = problems(t, second(load(t, production, "DIALTONE_REDIS_FILE="+path)))
		if len(got) != 1 || !strings.HasPrefix(got[0], "redis: ") || !strings.HasSuffix(got[0], "(DIALTONE_REDIS_FILE)") {
			t.Errorf("%s in the environment: %q", name, got)
		}
	}
	good := write(t, "good", "x")
	if got := problems(t, second(load(t, production+"\nredis: redis://a\nredis_file: "+good))); len(got) != 1 || !strings.Contains(got[0], "as well") {
		t.Errorf("both keys: %q", got)
	}
	if got := problems(t, second(load(t, production, "DIALTONE_REDIS=redis://a", "DIALTONE_REDIS_FILE="+good))); len(got) == 0 || !strings.Contains(got[0], "as well") {
		t.Errorf("both variables: %q", got)
	}
}

func TestEnvironmentCanSaySettingsOfEveryKind(t *testing.T) {
	c := mustLoad(t, "",
		"DIALTONE_ISSUER=https://id.example.com",
		"DIALTONE_MASTER_SECRETS=first-master-secret-with-enough-characters-1, older-master-secret-with-enough-characters-2",
		"DIALTONE_TRUSTED_PROXIES=10.0.0.0/8, 192.0.2.7",
		"DIALTONE_SMS_REGIONS=CN,HK",
		`DIALTONE_SMS_PROVIDERS={"hook": {"type": "webhook", "url": "https://sms.example.com/send"}, "hk-1": {type: webhook, url: "https://hk.example.com/"}}`,
		"DIALTONE_SMS_PROVIDERS_HOOK_SECRET=one", "DIALTONE_SMS_PROVIDERS_HK_1_SECRET=two",
		"DIALTONE_SMS_ROUTES={CN: [hook], '*': [hk-1, hook]}",
		`DIALTONE_SMS_TEST_NUMBERS={"+8613800138000": "012345"}`,
		"DIALTONE_SMS_ALLOW_TEST_NUMBERS=true",
		"DIALTONE_SMS_LIMITS_PER_DAY=20", "DIALTONE_SMS_LIMITS_COOLDOWN=90s",
		`DIALTONE_CLIENTS=[{"client_id": "web.1", "redirect_uris": ["https://rp.example/cb"], "default_max_age": 0}]`,
		"DIALTONE_CLIENTS_WEB_1_CLIENT_SECRET=s", "DIALTONE_CLIENTS_WEB_1_REQUIRE_PKCE=false", "DIALTONE_CLIENTS_WEB_1_DEFAULT_MAX_AGE=60",
		"DATABASE_URL=postgres://db/x", "REDIS_URL=redis://r:6379",
		"PATH=/bin", "DIALTONE_CONFIG=x", "DIALTONE_DEV=1", "DIALTONE_TEST_POSTGRES=y",
		"DIALTONE_SERVICE_HOST=10.0.0.1", "DIALTONE_SERVICE_PORT_HTTP=80", "DIALTONE_PORT=tcp://10.0.0.1:80", "DIALTONE_WEB_PORT_8080_TCP_ADDR=10.0.0.1",
	)
	for name, pair := range map[string][2]any{
		"masters":   {len(c.Masters()), 2},
		"proxies":   {c.TrustedProxies, []string{"10.0.0.0/8", "192.0.2.7"}},
		"regions":   {c.SMS.Regions, []string{"CN", "HK"}},
		"routes":    {c.SMS.Routes, map[string]config.Route{"CN": {Providers: []string{"hook"}}, "*": {Providers: []string{"hk-1", "hook"}}}},
		"secrets":   {c.SMS.Providers["hook"].Secret.Reveal() + c.SMS.Providers["hk-1"].Secret.Reveal(), "onetwo"},
		"tests":     {c.SMS.TestCodes(), map[string]string{"+8613800138000": "012345"}},
		"allow":     {c.SMS.AllowTestNumbers, true},
		"number":    {c.SMS.Limits.PerDay, 20},
		"reserve":   {c.SMS.Limits.KnownReserve, 8},
		"duration":  {c.SMS.Limits.Cooldown, 90 * time.Second},
		"client":    {c.Clients[0].ClientSecret.Reveal(), "s"},
		"bool":      {*c.Clients[0].RequirePKCE, false},
		"int":       {*c.Clients[0].DefaultMaxAge, 60},
		"database":  {c.DatabaseURL(), "postgres://db/x"},
		"redis":     {c.Redis, "redis://r:6379"},
		"untouched": {c.Log.Format, "json"},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestMistakesInTheEnvironmentAreNamed(t *testing.T) {
	for variable, want := range map[string]string{
		"DIALTONE_ISUER=x":                          "unknown variable; did you mean DIALTONE_ISSUER? (DIALTONE_ISUER)",
		"DIALTONE_SMS_LIMITS_PERDAY=3":              "unknown variable; did you mean DIALTONE_SMS_LIMITS_PER_DAY? (DIALTONE_SMS_LIMITS_PERDAY)",
		"DIALTONE_LISTEN_FILE=/x":                   "unknown variable",
		"DIALTONE_FROBNICATE=1":                     "unknown variable (DIALTONE_FROBNICATE)",
		"DIALTONE_TOKENS_ACCESS=600":                "tokens.access: must be a duration with its unit, such as 30s, 5m or 720h (DIALTONE_TOKENS_ACCESS)",
		"DIALTONE_SMS_LIMITS_TRIES=five":            "sms.limits.tries: must be a whole number (DIALTONE_SMS_LIMITS_TRIES)",
		"DIALTONE_SMS_ALLOW_TEST_NUMBERS=1":         "sms.allow_test_numbers: must be true or false (DIALTONE_SMS_ALLOW_TEST_NUMBERS)",
		"DIALTONE_CLIENTS=[{client: web}]":          "clients[0].client: unknown key; did you mean client_id? (DIALTONE_CLIENTS)",
		"DIALTONE_SMS_ROUTES={CN: hook}":            "sms.routes.CN: must be a list of providers, or a mapping of providers to weights; write it like [main, spare] or {main: 3, spare: 1} (DIALTONE_SMS_ROUTES)",
		"DIALTONE_SMS_PROVIDERS={":                  "sms.providers: is not YAML: ",
		"DIALTONE_SMS_PROVIDERS_MAIN_SECRET=x":      "sets nothing: no provider or client of that name has such a member",
		"DIALTONE_SMS_PROVIDERS_HOOK_PASSWORD=x":    "sets nothing: no provider or client of that name has such a member",
		"DIALTONE_CLIENTS_WEB_CLIENT_SECRET=secret": "sets nothing: no provider or client of that name has such a member",
	} {
		got := problems(t, second(load(t, production, variable)))
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s:\n got %q\nwant %q", variable, got, want)
		}
	}
}

func TestAmbiguousMemberVariableIsRefused(t *testing.T) {
	text := strings.Replace(production, "{hook:", `{hook.eu: {type: console}, hook-eu: {type: console}, hook:`, 1)
	got := problems(t, second(load(t, text, "DIALTONE_SMS_PROVIDERS_HOOK_EU_SECRET=x")))
	if !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, "another provider or client") }) {
		t.Errorf("got %q", got)
	}
}

func TestOwnStoresComeBeforeTheCommonVariables(t *testing.T) {
	for text, want := range map[string]string{
		production + "\ndatabase: sqlite:x.db\nredis: redis://mine": "sqlite:x.db redis://mine",
		production + "\nredis: \"\"":                                "postgres://db/x ",
		production:                                                  "postgres://db/x redis://r",
	} {
		c := mustLoad(t, text, "DATABASE_URL=postgres://db/x", "REDIS_URL=redis://r")
		if got := c.DatabaseURL() + " " + c.Redis; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestUnreadableFileIsItsOwnError(t *testing.T) {
	_, err := config.Load(config.Source{Path: filepath.Join(t.TempDir(), "missing.yaml")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load = %v", err)
	}
}

func TestDevIsCompleteAlone(t *testing.T) {
	c, err := config.Load(config.Source{Dev: true, DataDir: "/tmp/d"})
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Dev("/tmp/d"); !cmp.Equal(got, c, cmp.AllowUnexported(config.Config{})) {
		t.Error("Dev and Load differ")
	}
	if !c.Dev || c.Issuer != "http://localhost:8080" || c.Listen != "127.0.0.1:8080" || c.DatabaseURL() != "sqlite:/tmp/d/dialtone.db" {
		t.Errorf("issuer %q, listen %q, database %q", c.Issuer, c.Listen, c.Database)
	}
	if c.SMS.Providers["console"].Type != "console" || !slices.Equal(c.SMS.Routes["*"].Providers, []string{"console"}) {
		t.Errorf("providers %v, routes %v", c.SMS.Providers, c.SMS.Routes)
	}
	if c := config.Dev(""); c.DataDir != "./data" || c.DatabaseURL() != "sqlite:data/dialtone.db" {
		t.Errorf("data dir %q, database %q", c.DataDir, c.Database)
	}
}

func TestDemoClientFollowsTheIssuer(t *testing.T) {
	for name, tc := range map[string]struct {
		source config.Source
		issuer string
	}{
		"alone":         {config.Source{}, "http://localhost:8080"},
		"listen flag":   {config.Source{Listen: "127.0.0.1:9000"}, "http://localhost:9000"},
		"listen set":    {config.Source{Environ: []string{"DIALTONE_LISTEN=:9001"}}, "http://localhost:9001"},
		"any port":      {config.Source{Listen: "127.0.0.1:0"}, "http://localhost:8080"},
		"issuer set":    {config.Source{Environ: []string{"DIALTONE_ISSUER=http://127.0.0.1:9002"}, Listen: ":9003"}, "http://127.0.0.1:9002"},
		"https in dev":  {config.Source{Environ: []string{"DIALTONE_ISSUER=https://id.example.com"}}, "https://id.example.com"},
		"other clients": {config.Source{Path: write(t, "c.yaml", "clients: [{client_id: app, token_endpoint_auth_method: none, redirect_uris: ['app.example:/cb']}]")}, "http://localhost:8080"},
	} {
		tc.source.Dev = true
		c, err := config.Load(tc.source)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		demo := c.Clients[len(c.Clients)-1]
		if c.Issuer != tc.issuer || demo.ClientID != "demo" || !demo.Public() || !slices.Contains(demo.RedirectURIs, tc.issuer+"/demo/callback") ||
			!slices.Contains(demo.RedirectURIs, "http://127.0.0.1/demo/callback") || !slices.Contains(demo.PostLogoutRedirectURIs, tc.issuer+"/demo") {
			t.Errorf("%s: issuer %s, demo %+v", name, c.Issuer, demo)
		}
	}
	own := write(t, "c.yaml", "clients: [{client_id: demo, client_name: Mine, token_endpoint_auth_method: none, redirect_uris: ['app.example:/cb']}]")
	if c, err := config.Load(config.Source{Dev: true, Path: own}); err != nil || len(c.Clients) != 1 || c.Clients[0].ClientName != "Mine" {
		t.Errorf("own demo client: %+v, %v", c.Clients, err)
	}
}
