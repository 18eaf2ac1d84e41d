package config

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Source says where settings come from.
type Source struct {
	Path    string   // of the file; "" for none
	Environ []string // as os.Environ gives it
	Dev     bool     // --dev: other defaults, and what only a developer may do
	DataDir string   // --data-dir, "" if not given
	Listen  string   // --listen, "" if not given
}

// Load resolves and checks the settings. Whatever is wrong with them is an
// *[Invalid]; a file that cannot be read is another error.
func Load(s Source) (Config, error) {
	var text []byte
	if s.Path != "" {
		var err error
		if text, err = os.ReadFile(s.Path); err != nil {
			return Config{}, fmt.Errorf("read the configuration: %w", err)
		}
	}
	c, problems := resolve(string(text), s)
	if len(problems) == 0 {
		problems = c.Validate(s.Dev)
		for i, p := range problems {
			problems[i].Where = c.whereIs(p.Path)
		}
	}
	if err := invalid(problems); err != nil {
		return Config{}, err
	}
	return c, nil
}

// resolve lays file, environment and flags over the defaults, unchecked.
func resolve(text string, s Source) (Config, []Problem) {
	c := defaults(s.Dev)
	c.origin = map[string]string{}

	file := decoder{origin: c.origin, where: func(line int) string {
		if line == 0 {
			return s.Path
		}
		return fmt.Sprintf("line %d", line)
	}}
	file.document(text, &c, "")

	environment := newEnvironment(s.Environ, c.origin)
	environment.apply(&c)

	if s.DataDir != "" {
		c.DataDir, c.origin["data_dir"] = s.DataDir, "--data-dir"
	}
	if s.Listen != "" {
		c.Listen, c.origin["listen"] = s.Listen, "--listen"
	}
	environment.fallback(&c.Database, "database", "DATABASE_URL", s.Environ)
	environment.fallback(&c.Redis, "redis", "REDIS_URL", s.Environ)
	c.complete()
	return c, slices.Concat(file.problems, environment.problems)
}

// complete derives the settings that follow from others where they are unset.
func (c *Config) complete() {
	if c.Database == "" {
		c.Database, c.origin["database"] = "sqlite:"+filepath.Join(c.DataDir, "dialtone.db"), "from data_dir"
	}
	if c.origin["sms.limits.known_reserve"] == "" {
		c.SMS.Limits.KnownReserve = max(1, c.SMS.Limits.PerDay*2/5) // 4 of 10
	}
	if c.Dev {
		c.completeDev()
	}
	if len(c.SMS.Routes) == 0 && len(c.SMS.Providers) == 1 {
		for name := range c.SMS.Providers {
			c.SMS.Routes = map[string]Route{anyRegion: {Providers: []string{name}}}
		}
		c.origin["sms.routes"] = "the only provider"
	}
}

// completeDev sends messages to the terminal if nobody else is to send them,
// lets the issuer follow the port, and registers the demo client.
func (c *Config) completeDev() {
	if len(c.SMS.Providers) == 0 {
		c.SMS.Providers = map[string]Provider{"console": {Type: "console"}}
		c.origin["sms.providers"] = "--dev"
	}
	if c.origin["issuer"] == "" && c.origin["listen"] != "" {
		if _, port, err := net.SplitHostPort(c.Listen); err == nil && port != "0" && port != "" {
			c.Issuer, c.origin["issuer"] = "http://localhost:"+port, "from listen"
		}
	}
	if !slices.ContainsFunc(c.Clients, func(client Client) bool { return client.ClientID == demoID }) {
		c.Clients = append(slices.Clip(c.Clients), demoClient(c.Issuer))
	}
}

// whereIs finds the origin of a path, or of what it is a part of.
func (c *Config) whereIs(path string) string {
	for path != "" {
		if where := c.origin[path]; where != "" {
			return where
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return ""
}

// defaults are the built-in settings.
func defaults(dev bool) Config {
	c := Config{
		ServiceName:    "Dialtone",
		Listen:         ":8080",
		OperatorListen: "127.0.0.1:9090",
		DataDir:        "./data",
		ShutdownGrace:  15 * time.Second,
		Log:            Log{Level: "info", Format: "json"},
		SMS: SMS{
			Regions:  []string{"CN"},
			Currency: "CNY",
			Limits: Limits{
				CodeTTL: 5 * time.Minute, CodeMaxTTL: 10 * time.Minute, Cooldown: time.Minute,
				PerHour: 5, PerDay: 10, KnownReserve: 4,
				Tries: 5, FailuresPerHour: 10, FailuresPerDay: 30, FailuresTotal: 100,
				PerAddressNumbers10m: 5, PerAddressHour: 20, PerAddressDay: 100,
				PerClientHour: 600, PerClientDay: 5000,
				ServicePerSecond: 20, ServicePerDay: 10000,
				PerDeviceNumbersDay: 3, PerDeviceDay: 10, PerDialCodeDay: 50,
				PerPrefix10m: 10, PerPrefixHour: 30, Consecutive: 5,
				ConversionPercent: 15, ConversionWhole: 30, ConversionPause: 30 * time.Minute,
			},
		},
		Legal:    Legal{Version: "1"},
		Sessions: Sessions{Idle: 168 * time.Hour, Absolute: 720 * time.Hour},
		Passkeys: Passkeys{Enabled: true, Offer: true},
		Accounts: Accounts{DeletionDelay: 168 * time.Hour, RecycleAfter: 2160 * time.Hour, Quarantine: 4320 * time.Hour},
		Tokens: Tokens{
			Access: 10 * time.Minute, ID: time.Hour, Code: time.Minute,
			RefreshIdle: 720 * time.Hour, RefreshAbsolute: 4320 * time.Hour, RefreshGrace: 30 * time.Second,
		},
		Keys:         Keys{RotateEvery: 2160 * time.Hour, Publish: time.Hour, Keep: 24 * time.Hour},
		Captcha:      Captcha{Type: "pow"},
		Registration: Registration{RequirePKCE: true},
	}
	if dev {
		c.Dev = true
		c.Issuer = "http://localhost:8080"
		c.Listen = "127.0.0.1:8080" // codes are printed and http is spoken, so nobody else should come in
		c.Log.Format = "text"
	}
	return c
}

// Dev is what --dev gives without a file: a complete provider on this machine,
// with everything under dataDir.
func Dev(dataDir string) Config {
	c, _ := resolve("", Source{Dev: true, DataDir: dataDir}) // nothing is read that could be wrong
	return c
}

// demoID is the client of the /demo page.
const demoID = "demo"

// demoClient is public and may redirect to the demo page and to any loopback
// port (RFC 8252 section 7.3).
func demoClient(issuer string) Client {
	return Client{
		ClientID:                demoID,
		ClientName:              "Dialtone Demo",
		ApplicationType:         "native",
		TokenEndpointAuthMethod: "none",
		FirstParty:              true,
		GrantTypes:              []string{"authorization_code", "refresh_token", smsCodeGrant},
		RedirectURIs: []string{
			issuer + "/demo/callback",
			"http://127.0.0.1/demo/callback", "http://[::1]/demo/callback", "http://localhost/demo/callback",
		},
		PostLogoutRedirectURIs: []string{issuer + "/demo"},
		Scope:                  "openid profile phone offline_access",
	}
}

// smsCodeGrant is the grant type for native apps.
const smsCodeGrant = "urn:dialtone:params:oauth:grant-type:sms-code"
