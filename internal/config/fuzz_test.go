package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzLoad: no file and no variable makes loading panic, and what was loaded,
// printed and loaded again is the same, but for what is masked.
func FuzzLoad(f *testing.F) {
	f.Add(Example(), "DIALTONE_LISTEN", ":1")
	f.Add("issuer: https://id.example.com\nsms: {limits: {per_day: 3}}", "DIALTONE_CLIENTS", `[{"client_id":"a"}]`)
	f.Add("sms:\n  test_numbers: {+8613800138000: 012345}\n  routes: {'*': [a]}", "DIALTONE_SMS_PROVIDERS", "{a: {type: console}}")
	f.Add("sms: {routes: {CN: {a: 3, b: 1}, HK: [a]}, providers: {a: {type: aliyun, params: {z: '{{code}}', b: x}}}}",
		"DIALTONE_SMS_PROVIDERS_A_TEMPLATES", "{login: {id: x, params: ['{{code}}']}}")
	f.Add("master_secrets_file: /dev/null\nlisten: \"\\u0001\\uFFFE\"", "DIALTONE_MASTER_SECRETS", "a,b")
	f.Add("? {a: b}\n: *x\n<<: &x [y]", "DIALTONE_SMS_PROVIDERS_A_SECRET", "x")
	f.Add("database: postgres://u:p@h/d?password=x\nshutdown_grace: -1h0.5s", "DATABASE_URL", "%zz")
	f.Add("", "DIALTONE_LISTEN", "\xf0\x04")
	f.Fuzz(func(t *testing.T, text, variable, value string) {
		for _, dev := range []bool{false, true} {
			c, problems := resolve(text, Source{Environ: []string{variable + "=" + value}, Dev: dev})
			c.Validate(dev)
			printed := c.String()
			if len(problems) > 0 {
				continue
			}
			again, problems := resolve(printed, Source{Dev: dev})
			if len(problems) > 0 {
				t.Fatalf("what was printed does not load: %v\n%s", problems, printed)
			}
			if diff := cmp.Diff(c, again, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Config{}), masked()); diff != "" {
				t.Fatalf("printed and loaded again (-before +after):\n%s", diff)
			}
		}
	})
}

// masked compares as Print shows.
func masked() cmp.Option {
	return cmp.Options{
		cmp.Transformer("mask", func(s Secret) maskedText { return maskedText(s.String()) }),
		cmp.FilterPath(func(p cmp.Path) bool {
			f, ok := p.Last().(cmp.StructField)
			return ok && (f.Name() == "Database" || f.Name() == "Redis" || f.Name() == "URL")
		}, cmp.Comparer(func(a, b string) bool { return maskURL(a) == maskURL(b) })),
	}
}

type maskedText string
