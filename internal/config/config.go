package config

import (
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"strings"
	"time"
)

// Config is every setting, resolved. Load returns one that is valid.
type Config struct {
	ServiceName    string        `yaml:"service_name" env:"SERVICE_NAME" doc:"name that pages show where no client is known"`
	SupportContact string        `yaml:"support_contact" env:"SUPPORT_CONTACT" doc:"where people find help, shown on error pages: mailto:..., tel:... or https://...; empty for none"`
	Issuer         string        `yaml:"issuer" env:"ISSUER" doc:"exact issuer, the public address: https, a host, no path and no slash at the end"`
	Listen         string        `yaml:"listen" env:"LISTEN" doc:"address of the public listener"`
	OperatorListen string        `yaml:"operator_listen" env:"OPERATOR_LISTEN" doc:"address for health checks and metrics, not for the public; empty for none"`
	DataDir        string        `yaml:"data_dir" env:"DATA_DIR" doc:"directory for everything that is kept on disk"`
	Database       string        `yaml:"database" env:"DATABASE" secret:"url" doc:"sqlite:FILE or postgres://...; empty is dialtone.db in data_dir; DATABASE_URL is read if this is unset"`
	Redis          string        `yaml:"redis" env:"REDIS" secret:"url" doc:"redis://..., redis-sentinel://... or redis-cluster://...; empty lets the database do its work; REDIS_URL is read if this is unset"`
	TLS            TLS           `yaml:"tls" envPrefix:"TLS_"`
	TrustedProxies []string      `yaml:"trusted_proxies" env:"TRUSTED_PROXIES" doc:"addresses or networks of proxies whose X-Forwarded-For is believed"`
	MasterSecrets  []Secret      `yaml:"master_secrets" env:"MASTER_SECRETS" doc:"secrets that every key is derived from, 32 random bytes or more in base64 or hex; the first is current, the rest open old data; one per line in a file"`
	ShutdownGrace  time.Duration `yaml:"shutdown_grace" env:"SHUTDOWN_GRACE" doc:"how long requests may take to finish when the server stops"`
	Log            Log           `yaml:"log" envPrefix:"LOG_"`
	SMS            SMS           `yaml:"sms" envPrefix:"SMS_"`
	Legal          Legal         `yaml:"legal" envPrefix:"LEGAL_"`
	Sessions       Sessions      `yaml:"sessions" envPrefix:"SESSIONS_"`
	Passkeys       Passkeys      `yaml:"passkeys" envPrefix:"PASSKEYS_"`
	Accounts       Accounts      `yaml:"accounts" envPrefix:"ACCOUNTS_"`
	Tokens         Tokens        `yaml:"tokens" envPrefix:"TOKENS_"`
	Keys           Keys          `yaml:"keys" envPrefix:"KEYS_"`
	Captcha        Captcha       `yaml:"captcha" envPrefix:"CAPTCHA_"`
	Outbound       Outbound      `yaml:"outbound" envPrefix:"OUTBOUND_"`
	Registration   Registration  `yaml:"registration" envPrefix:"REGISTRATION_"`
	Clients        []Client      `yaml:"clients" env:"CLIENTS" doc:"clients to create or update at start, by client_id"`

	Dev bool `yaml:"-" env:"-"` // --dev

	origin map[string]string // where the value of a path came from; none for a default
}

// TLS is for listening without a proxy in front.
type TLS struct {
	CertFile string `yaml:"cert_file" env:"CERT_FILE" doc:"certificate chain in PEM; empty where a proxy terminates TLS"`
	KeyFile  string `yaml:"key_file" env:"KEY_FILE" doc:"private key of the certificate in PEM"`
}

// Log is what is written to the standard error.
type Log struct {
	Level  string `yaml:"level" env:"LEVEL" doc:"debug, info, warn or error"`
	Format string `yaml:"format" env:"FORMAT" doc:"text or json"`
}

// SlogLevel is the level as package slog knows it.
func (l Log) SlogLevel() slog.Level {
	var level slog.Level
	if level.UnmarshalText([]byte(l.Level)) != nil {
		return slog.LevelInfo // Validate has refused it
	}
	return level
}

// SMS says who may be sent codes, through whom, and how many.
type SMS struct {
	Regions          []string            `yaml:"regions" env:"REGIONS" doc:"regions whose numbers are accepted, ISO 3166-1 alpha-2; numbers without a country code belong to the first"`
	Routes           map[string]Route    `yaml:"routes" env:"ROUTES" doc:"providers by region in the order they are tried, or with a weight each, * for the rest; may be left out where there is one provider"`
	Providers        map[string]Provider `yaml:"providers" env:"PROVIDERS" doc:"providers by a name of your choice"`
	TestNumbers      map[string]Secret   `yaml:"test_numbers" env:"TEST_NUMBERS" doc:"numbers (E.164) with fixed codes; nothing is sent to them and they take no limit"`
	AllowTestNumbers bool                `yaml:"allow_test_numbers" env:"ALLOW_TEST_NUMBERS" doc:"accept test numbers and the console provider outside --dev"`
	Limits           Limits              `yaml:"limits" envPrefix:"LIMITS_"`
	Currency         string              `yaml:"currency" env:"CURRENCY" doc:"currency of the prices, ISO 4217"`
	Prices           Prices              `yaml:"prices" env:"PRICES" doc:"price of one message by provider and region, * for the rest, such as {aliyun-main: {CN: 0.045, \"*\": 0.4}}"`
}

// Prices are amounts by provider and region.
type Prices map[string]map[string]Amount

// Amount is money as a decimal, up to six places; "" for none.
type Amount string

// TestCodes are the fixed codes by number, in clear.
func (s SMS) TestCodes() map[string]string {
	codes := make(map[string]string, len(s.TestNumbers))
	for number, code := range s.TestNumbers {
		codes[number] = code.Reveal()
	}
	return codes
}

// Limits can be set, and cannot be switched off.
type Limits struct {
	CodeTTL              time.Duration `yaml:"code_ttl" env:"CODE_TTL" doc:"life of a code from its last send"`
	CodeMaxTTL           time.Duration `yaml:"code_max_ttl" env:"CODE_MAX_TTL" doc:"life of a code from its first send, over all re-sends"`
	Cooldown             time.Duration `yaml:"cooldown" env:"COOLDOWN" doc:"pause between two messages to one number"`
	PerHour              int           `yaml:"per_hour" env:"PER_HOUR" doc:"messages to one number in any hour"`
	PerDay               int           `yaml:"per_day" env:"PER_DAY" doc:"messages to one number in any 24 hours"`
	KnownReserve         int           `yaml:"known_reserve" env:"KNOWN_RESERVE" doc:"how many of per_day are kept for recognised devices"`
	Tries                int           `yaml:"tries" env:"TRIES" doc:"wrong codes that end a challenge"`
	FailuresPerHour      int           `yaml:"failures_per_hour" env:"FAILURES_PER_HOUR" doc:"wrong codes for one number in any hour, over all its challenges"`
	FailuresPerDay       int           `yaml:"failures_per_day" env:"FAILURES_PER_DAY" doc:"wrong codes for one number in any 24 hours"`
	FailuresTotal        int           `yaml:"failures_total" env:"FAILURES_TOTAL" doc:"wrong codes in a row that stop sign-in by SMS for a number"`
	PerAddressNumbers10m int           `yaml:"per_address_numbers_10m" env:"PER_ADDRESS_NUMBERS_10M" doc:"different requests for codes from one address (IPv4 or IPv6 /64) in 10 minutes"`
	PerAddressHour       int           `yaml:"per_address_hour" env:"PER_ADDRESS_HOUR" doc:"messages asked for from one address in an hour"`
	PerAddressDay        int           `yaml:"per_address_day" env:"PER_ADDRESS_DAY" doc:"messages asked for from one address in a day"`
	PerClientHour        int           `yaml:"per_client_hour" env:"PER_CLIENT_HOUR" doc:"messages through one client in an hour, and a tenth on top for recognised devices"`
	PerClientDay         int           `yaml:"per_client_day" env:"PER_CLIENT_DAY" doc:"messages through one client in a day, and a tenth on top for recognised devices"`
	ServicePerSecond     int           `yaml:"service_per_second" env:"SERVICE_PER_SECOND" doc:"messages of the whole service in a second"`
	ServicePerDay        int           `yaml:"service_per_day" env:"SERVICE_PER_DAY" doc:"messages of the whole service in a day, and a tenth on top for recognised devices; raise it knowingly, it bounds what an attack can cost"`
	BudgetPerDay         Amount        `yaml:"budget_per_day" env:"BUDGET_PER_DAY" doc:"money that messages may cost in a day by sms.prices, and a tenth on top for recognised devices; empty for no such budget"`
	PerDeviceNumbersDay  int           `yaml:"per_device_numbers_day" env:"PER_DEVICE_NUMBERS_DAY" doc:"requests for codes from one browser or app in a day before a human check"`
	PerDeviceDay         int           `yaml:"per_device_day" env:"PER_DEVICE_DAY" doc:"messages asked for from one browser or app in a day"`
	PerDialCodeDay       int           `yaml:"per_dial_code_day" env:"PER_DIAL_CODE_DAY" doc:"messages to one calling code in a day, but that of the first region"`
	PerPrefix10m         int           `yaml:"per_prefix_10m" env:"PER_PREFIX_10M" doc:"messages to numbers that differ in their last four digits alone, in 10 minutes, before a human check"`
	PerPrefixHour        int           `yaml:"per_prefix_hour" env:"PER_PREFIX_HOUR" doc:"the same in an hour, before strangers are refused"`
	Consecutive          int           `yaml:"consecutive" env:"CONSECUTIVE" doc:"requests for neighbouring numbers (of 16) in 10 minutes of which the last needs a human check"`
	CheckedPrefixes      []string      `yaml:"checked_prefixes" env:"CHECKED_PREFIXES" doc:"numbers that begin so need a human check always; empty for the ranges of virtual operators in China"`
	ConversionPercent    int           `yaml:"conversion_percent" env:"CONVERSION_PERCENT" doc:"share of codes used below which a prefix, region or client is checked and then paused for strangers"`
	ConversionWhole      int           `yaml:"conversion_percent_whole" env:"CONVERSION_PERCENT_WHOLE" doc:"the same for all messages"`
	ConversionPause      time.Duration `yaml:"conversion_pause" env:"CONVERSION_PAUSE" doc:"how long strangers are paused then"`
}

// Legal is what people agree to.
type Legal struct {
	Version    string `yaml:"version" env:"VERSION" doc:"version of the terms that people agree to now; kept with their agreement"`
	TermsURL   string `yaml:"terms_url" env:"TERMS_URL" doc:"terms of service; empty serves /legal/terms"`
	PrivacyURL string `yaml:"privacy_url" env:"PRIVACY_URL" doc:"privacy policy; empty serves /legal/privacy"`
	ICP        string `yaml:"icp" env:"ICP" doc:"ICP record number for the page footer"`
	PSB        string `yaml:"psb" env:"PSB" doc:"record number of the public security bureau for the page footer; links to its entry by the digits"`
}

// Sessions are the browsers' sign-ins with us.
type Sessions struct {
	Idle     time.Duration `yaml:"idle" env:"IDLE" doc:"life of a browser session after its last use"`
	Absolute time.Duration `yaml:"absolute" env:"ABSOLUTE" doc:"life of a browser session after sign-in"`
}

// Passkeys are how people may sign in besides by code.
type Passkeys struct {
	Enabled bool `yaml:"enabled" env:"ENABLED" doc:"let people add passkeys and sign in with them; they belong to the issuer's host, which must be a name"`
	Offer   bool `yaml:"offer" env:"OFFER" doc:"offer a passkey after a sign-in by code, where the device can make one, once in 30 days at most"`

	AndroidOrigins []string `yaml:"android_origins" env:"ANDROID_ORIGINS" doc:"Android apps of yours that sign people in by passkey: android:apk-key-hash: and the SHA-256 of the signing certificate in base64url without padding"`
}

// Accounts says when an account ends, and when a number alone is not enough for one.
type Accounts struct {
	DeletionDelay time.Duration `yaml:"deletion_delay" env:"DELETION_DELAY" doc:"how long an account that its owner deletes can be kept after all by signing in; 0s erases it at once"`
	RecycleAfter  time.Duration `yaml:"recycle_after" env:"RECYCLE_AFTER" doc:"how long nobody used an account until a code typed on a strange device does not open it any more, since carriers give numbers to new people; 0s for never"`
	Quarantine    time.Duration `yaml:"quarantine" env:"QUARANTINE" doc:"how long an account whose number went to somebody else waits for its owner before it is erased"`
	TellTaken     bool          `yaml:"tell_taken" env:"TELL_TAKEN" doc:"let first-party clients ask, behind a human check and limits, whether a number has an account; what it tells can be collected, so leave it off unless you need it"`
}

// Tokens are the lives of what clients get.
type Tokens struct {
	Access          time.Duration `yaml:"access" env:"ACCESS" doc:"life of an access token"`
	ID              time.Duration `yaml:"id" env:"ID" doc:"life of an ID token"`
	Code            time.Duration `yaml:"code" env:"CODE" doc:"life of an authorization code"`
	RefreshIdle     time.Duration `yaml:"refresh_idle" env:"REFRESH_IDLE" doc:"life of a refresh token that is not used"`
	RefreshAbsolute time.Duration `yaml:"refresh_absolute" env:"REFRESH_ABSOLUTE" doc:"life of a grant, however often it is refreshed"`
	RefreshGrace    time.Duration `yaml:"refresh_grace" env:"REFRESH_GRACE" doc:"how long the last refresh token is answered again with the same successor; 0s for never"`
}

// Keys says when signing keys rotate.
type Keys struct {
	RotateEvery time.Duration `yaml:"rotate_every" env:"ROTATE_EVERY" doc:"how long a key signs"`
	Publish     time.Duration `yaml:"publish" env:"PUBLISH" doc:"how long a key is published before it signs; clients may cache the key set for less"`
	Keep        time.Duration `yaml:"keep" env:"KEEP" doc:"how long a retired key still verifies"`
}

// Captcha is the human check.
type Captcha struct {
	Type     string `yaml:"type" env:"TYPE" doc:"pow (proof of work, built in), geetest_v3, geetest_v4 or none; shown where a request is risky"`
	ID       string `yaml:"id" env:"ID" doc:"id of the account with Geetest (captcha_id)"`
	Key      Secret `yaml:"key" env:"KEY" doc:"key of the account with Geetest"`
	Endpoint string `yaml:"endpoint" env:"ENDPOINT" doc:"replaces scheme, host and port of Geetest's service and of its script"`
}

// Outbound is what a client's metadata may make us fetch besides public hosts.
type Outbound struct {
	TrustedCAFile string   `yaml:"trusted_ca_file" env:"TRUSTED_CA_FILE" doc:"certificate authorities (PEM) trusted besides the system's"`
	AllowHosts    []string `yaml:"allow_hosts" env:"ALLOW_HOSTS" doc:"host names that may be fetched from although they are not public"`
	AllowNetworks []string `yaml:"allow_networks" env:"ALLOW_NETWORKS" doc:"networks that may be fetched from although they are not public"`
}

// Registration is dynamic client registration, RFC 7591.
type Registration struct {
	Enabled            bool   `yaml:"enabled" env:"ENABLED" later:"yes" doc:"let clients register themselves; not available in this version"`
	InitialAccessToken Secret `yaml:"initial_access_token" env:"INITIAL_ACCESS_TOKEN" doc:"bearer token that registration asks for; empty for none"`
	RequirePKCE        bool   `yaml:"require_pkce" env:"REQUIRE_PKCE" doc:"require PKCE of clients that registered themselves"`
}

// DatabaseURL is where the data is.
func (c Config) DatabaseURL() string { return c.Database }

// Masters are the master secrets, decoded, the current one first. In --dev
// there may be none: then one is kept in the data directory.
func (c Config) Masters() [][]byte {
	masters := make([][]byte, 0, len(c.MasterSecrets))
	for _, s := range c.MasterSecrets {
		if m := decodeMaster(s.Reveal()); m != nil {
			masters = append(masters, m)
		}
	}
	return masters
}

// masterSize is the least length of a master secret in bytes.
const masterSize = 32

// decodeMaster reads hex, base64 of either alphabet with or without padding, or
// else the characters themselves; nil if that makes less than 32 bytes.
func decodeMaster(s string) []byte {
	if b, err := hex.DecodeString(s); err == nil && len(b) >= masterSize {
		return b
	}
	plain := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	if b, err := base64.RawURLEncoding.Strict().DecodeString(plain); err == nil && len(b) >= masterSize {
		return b
	}
	if len(s) >= masterSize {
		return []byte(s)
	}
	return nil
}
