package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/dialtone-id/dialtone/internal/config"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

const everything = production + `
listen: "127.0.0.1:8080"
database: postgres://dialtone:hunter2hunter2@db/dialtone?sslpassword=hunter2hunter2
clients:
  - {client_id: web, client_secret: hunter2hunter2, redirect_uris: ["https://rp.example/cb"], require_pkce: false, default_max_age: 0, contacts: [a, b]}
  - {client_id: "true", token_endpoint_auth_method: none, client_name: "名: # x", redirect_uris: ["app.example:/cb"], disabled: true}
tokens: {access: 90s}
registration: {initial_access_token: hunter2hunter2}
`

func TestPrintShowsWhatIsInForceAndNoSecret(t *testing.T) {
	c := mustLoad(t, everything, "DIALTONE_LOG_LEVEL=debug", "DIALTONE_SMS_PROVIDERS_HOOK_URL=https://sms.example.com/send?api_key=hunter2hunter2&to=all",
		"REDIS_URL=redis://:hunter2hunter2@r:6379/0")
	var b bytes.Buffer
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "Kq2mZ0v8", "hook-signing-secret"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("%s is printed", secret)
		}
	}
	golden(t, "print.golden", b.String())
}

func TestVariables(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range config.Env() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Name, v.Type, v.Default, v.File, v.Path)
		if v.Meaning == "" {
			t.Errorf("%s has no meaning", v.Name)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	golden(t, "env.golden", b.String())
}

// The name of a variable follows from the path, so nobody has to look it up.
func TestVariableNamesFollowFromPaths(t *testing.T) {
	for _, v := range config.Env() {
		if strings.Contains(v.Name, "<") {
			continue
		}
		if want := "DIALTONE_" + strings.ToUpper(strings.ReplaceAll(v.Path, ".", "_")); v.Name != want {
			t.Errorf("%s is called %s, not %s", v.Path, v.Name, want)
		}
	}
}

// The example is a file that works once its secrets are replaced, and not before.
func TestExample(t *testing.T) {
	example := config.Example()
	golden(t, "example.golden", example)
	got := problems(t, second(load(t, example)))
	if len(got) != 3 {
		t.Errorf("not just the three secrets: %q", got)
	}
	for _, p := range got {
		if !strings.Contains(p, "is an example") {
			t.Error(p)
		}
	}
	example = strings.Replace(example, "change-me: openssl rand -base64 32", "Kq2mZ0v8Xn4rT6yU1wE3sD5fG7hJ9kLpOiBvCxZaQwE=", 1)
	mustLoad(t, strings.ReplaceAll(example, "change-me", "a-real-secret"))
}

func TestSecretNeverShowsItself(t *testing.T) {
	const text = "hunter2hunter2"
	s := config.Secret(text)
	c := config.Config{MasterSecrets: []config.Secret{s}, Database: "postgres://u:" + text + "@h/d", Clients: []config.Client{{ClientSecret: s}}}
	var shown []string
	for _, value := range []any{s, &s, []config.Secret{s}, struct{ S config.Secret }{s}, map[string]config.Secret{"a": s}, c, c.Clients[0]} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			shown = append(shown, fmt.Sprintf(verb, value))
		}
		var log bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(h).Info("x", "value", value)
		}
		shown = append(shown, log.String())
	}
	for _, value := range []any{s, []config.Secret{s}, map[string]config.Secret{"a": s}, c.Clients[0]} {
		j, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		y, err := yaml.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, string(j), string(y))
	}
	for _, out := range shown {
		if strings.Contains(out, text[:7]) || strings.Contains(out, fmt.Sprintf("%x", text[:7])) {
			t.Errorf("shown in %q", out)
		}
	}
	if s.Reveal() != text || s.String() != "***" || config.Secret("").String() != "" {
		t.Error("Reveal or String is wrong")
	}
}

func TestMastersAreReadInEverySpelling(t *testing.T) {
	raw := []byte("\x01\x02\xfb\xff0123456789abcdefghijklmnopqr")
	for name, spelling := range map[string]string{
		"hex":                 "0102fbff303132333435363738396162636465666768696a6b6c6d6e6f707172",
		"upper hex":           "0102FBFF303132333435363738396162636465666768696A6B6C6D6E6F707172",
		"base64":              "AQL7/zAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXI=",
		"base64 unpadded":     "AQL7/zAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXI",
		"base64url":           "AQL7_zAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXI=",
		"base64url, unpadded": "AQL7_zAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXI",
	} {
		c := config.Config{MasterSecrets: []config.Secret{config.Secret(spelling)}}
		if got := c.Masters(); len(got) != 1 || !bytes.Equal(got[0], raw) {
			t.Errorf("%s: %x", name, got)
		}
	}
	plain := "plain words that are long enough to be one"
	c := config.Config{MasterSecrets: []config.Secret{config.Secret(plain), "short"}}
	if got := c.Masters(); len(got) != 1 || string(got[0]) != plain {
		t.Errorf("plain: %q", got)
	}
}

func TestSlogLevel(t *testing.T) {
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got := (config.Log{Level: text}).SlogLevel(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
