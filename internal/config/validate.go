package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checker collects what is wrong.
type checker struct {
	dev      bool
	problems []Problem
}

func (k *checker) add(path, message, cure string) {
	k.problems = append(k.problems, Problem{Path: path, Message: message, Cure: cure})
}

// Validate returns everything that keeps these settings from being used, in the
// order of the settings. dev allows what only a developer may do: plain http on
// loopback, messages on the terminal, no master secret.
func (c *Config) Validate(dev bool) []Problem {
	k := &checker{dev: dev}
	k.basics(c)
	k.stores(c)
	k.masters(c)
	k.sms(&c.SMS)
	k.lives(c)
	k.outward(c)
	k.clients(c.Clients)
	k.later(reflect.ValueOf(c).Elem(), "")
	return k.problems
}

func (k *checker) basics(c *Config) {
	k.text("service_name", c.ServiceName, 64)
	k.issuer(c.Issuer)
	k.address("listen", c.Listen)
	if c.OperatorListen != "" {
		k.address("operator_listen", c.OperatorListen)
		if c.OperatorListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			k.add("operator_listen", "is the public listener", "give it a port of its own")
		}
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		k.add("tls", "only one of cert_file and key_file is given", "give both, or none where a proxy terminates TLS")
	}
	for i, proxy := range c.TrustedProxies {
		k.network(fmt.Sprintf("trusted_proxies[%d]", i), proxy)
	}
	var level slog.Level
	if level.UnmarshalText([]byte(c.Log.Level)) != nil {
		k.add("log.level", "is not a level", "use debug, info, warn or error")
	}
	k.oneOf("log.format", c.Log.Format, "text", "json")
	k.text("legal.version", c.Legal.Version, 64)
	k.webURL("legal.terms_url", c.Legal.TermsURL)
	k.webURL("legal.privacy_url", c.Legal.PrivacyURL)
	k.contact("support_contact", c.SupportContact)
	if c.Legal.PSB != "" && !strings.ContainsAny(c.Legal.PSB, "0123456789") {
		k.add("legal.psb", "has no digits", "write it as it was given, such as 沪公网安备 31010102000000 号")
	}
}

// issuer must be exactly what clients compare with (RFC 8414 section 2). All
// paths are at the root of its host, so it has none.
func (k *checker) issuer(raw string) {
	if raw == "" {
		k.add("issuer", "is not set", "set it to the public address, such as https://id.example.com, or start with --dev")
		return
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || !hostName(u.Hostname()) {
		k.add("issuer", "is not an https address of a host", "write it like https://id.example.com")
		return
	}
	if exact := canonicalOrigin(u); exact != raw {
		k.add("issuer", "must be scheme, host and port alone, in lower case, without a slash at the end", "write "+exact)
	}
	switch {
	case u.Scheme == "https":
	case !loopback(u.Hostname()):
		k.add("issuer", "is plain http, so anybody on the way could read codes and tokens", "use https; a proxy may terminate TLS, or set tls")
	case !k.dev:
		k.add("issuer", "is plain http", "use https, or start with --dev on this machine")
	}
}

// canonicalOrigin is scheme://host, with the port unless it is the scheme's own.
func canonicalOrigin(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80") {
		host += ":" + port
	}
	return u.Scheme + "://" + host
}

// hostName reports whether host is an IP address or an ASCII host name.
func hostName(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(host) <= 253
}

// loopback reports whether host can only be this machine.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (k *checker) address(path, value string) {
	_, port, err := net.SplitHostPort(value)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || strconv.FormatUint(n, 10) != port {
		k.add(path, "is not an address to listen on", "write host:port, such as 127.0.0.1:8080, or :8080 for every interface")
	}
}

func (k *checker) network(path, value string) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		if _, err := netip.ParseAddr(value); err != nil {
			k.add(path, "is neither an address nor a network", "write 10.0.0.7 or 10.0.0.0/8")
		}
		return
	}
	if prefix.Bits() == 0 {
		k.add(path, "is every address there is", "name the networks that you mean")
	}
}

func (k *checker) stores(c *Config) {
	if c.DataDir == "" {
		k.add("data_dir", "is not set", "name a directory, such as ./data")
	}
	scheme, rest, _ := strings.Cut(c.Database, ":")
	switch scheme {
	case "sqlite":
		if strings.Trim(rest, "/") == "" {
			k.add("database", "names no file", "write it like sqlite:./data/dialtone.db")
		}
	case "postgres", "postgresql":
		if u, err := url.Parse(c.Database); err != nil || !strings.HasPrefix(rest, "//") || u.Host == "" && u.Query().Get("host") == "" {
			k.add("database", "is not a postgres URL", "write it like postgres://user@host:5432/dialtone")
		}
	default:
		k.add("database", "is of an unknown kind", "begin it with sqlite: or postgres://")
	}
	if c.Redis == "" {
		return
	}
	scheme, rest, found := strings.Cut(c.Redis, "://")
	if !found || rest == "" || !slices.Contains([]string{"redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"}, scheme) {
		k.add("redis", "is not a Redis URL", "write it like redis://host:6379/0, or leave it empty to do without")
	}
}

// makeMaster is the cure for every bad master secret.
const makeMaster = "make one with openssl rand -base64 32"

func (k *checker) masters(c *Config) {
	if len(c.MasterSecrets) == 0 && !k.dev {
		k.add("master_secrets", "none is given, and everything is encrypted with keys derived from it", makeMaster+" and keep it safe")
	}
	seen := map[string]int{}
	for i, s := range c.MasterSecrets {
		path := fmt.Sprintf("master_secrets[%d]", i)
		secret := decodeMaster(s.Reveal())
		first, twice := seen[string(secret)]
		switch {
		case secret == nil:
			k.add(path, fmt.Sprintf("is shorter than %d bytes", masterSize), makeMaster)
		case twice:
			k.add(path, fmt.Sprintf("is the same as master_secrets[%d]", first), "remove one")
		case !k.dev && (isExample(s) || repeats(s.Reveal()) || repeats(string(secret))):
			k.add(path, "is an example, which everybody knows", makeMaster)
		}
		seen[string(secret)] = i
	}
}

// isExample recognises what stands for a secret in examples, ours included.
func isExample(s Secret) bool {
	text := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s.Reveal()))
	for _, sign := range []string{"changeme", "replaceme", "examplesecret", "yoursecret", "secretgoeshere"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// repeats reports whether s is a short pattern over and over.
func repeats(s string) bool {
	for period := 1; period <= 16 && period*2 <= len(s); period++ {
		if strings.HasPrefix(s, s[period:]) {
			return true
		}
	}
	return false
}

func (k *checker) outward(c *Config) {
	k.captcha(&c.Captcha, c.Accounts.TellTaken)
	for i, host := range c.Outbound.AllowHosts {
		if !hostName(host) {
			k.add(fmt.Sprintf("outbound.allow_hosts[%d]", i), "is not a host name", "write the name alone, without scheme and port")
		}
	}
	for i, network := range c.Outbound.AllowNetworks {
		k.network(fmt.Sprintf("outbound.allow_networks[%d]", i), network)
	}
}

// later refuses settings that are known and do nothing in this version, so that
// nobody relies on them.
func (k *checker) later(v reflect.Value, path string) {
	for _, s := range settings(v, path, "") {
		if s.later && !s.value.IsZero() {
			k.add(s.path, "is not available in this version", "remove it")
		}
		if clients, ok := s.value.Interface().([]Client); ok {
			for i := range clients {
				k.later(reflect.ValueOf(&clients[i]).Elem(), fmt.Sprintf("%s[%d]", s.path, i))
			}
		}
	}
}

// text must be there, in one line and not too long.
func (k *checker) text(path, value string, longest int) {
	switch {
	case strings.TrimSpace(value) == "":
		k.add(path, "is not set", "")
	case len([]rune(value)) > longest:
		k.add(path, fmt.Sprintf("is longer than %d characters", longest), "")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		k.add(path, "holds control characters", "write it in one line")
	}
}

func (k *checker) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		k.add(path, "is unknown", or(suggest(value, allowed), "use "+strings.Join(allowed, " or ")))
	}
}

// webURL must be https, or http on this machine; empty is fine.
func (k *checker) webURL(path, raw string) {
	if raw != "" && !secureURL(raw) {
		k.add(path, "is not an https address", "http is accepted for this machine only")
	}
}

// secureURL reports whether raw is an absolute https URL, or http on loopback.
func secureURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && hostName(u.Hostname()) && u.User == nil && u.Fragment == "" &&
		(u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// within checks a duration.
func (k *checker) within(path string, value, least, most time.Duration) {
	if value < least || value > most {
		k.add(path, fmt.Sprintf("must be between %s and %s", duration(least), duration(most)), "")
	}
}
