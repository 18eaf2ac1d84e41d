package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

// Secret is a value that never shows itself: every way to print or encode it
// gives asterisks. Reveal is the one way to the text.
type Secret string

// mask stands for a secret that is set.
const mask = "***"

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s) }

// String is *** for a secret that is set and empty for one that is not.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format masks every verb, %d and %#v included.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// LogValue masks the value in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks the value in JSON and alike.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML masks the value in YAML.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// secretName matches parameters of a URL that nobody should see.
func secretName() *regexp.Regexp {
	return regexp.MustCompile(`(?i)pass|secret|token|key|sign`)
}

// maskURL hides the password of a URL, and what looks like a secret in its
// query. What is not a URL is hidden as a whole.
func maskURL(raw string) string {
	if raw == "" || strings.HasPrefix(raw, "sqlite:") {
		return raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return mask
	}
	query := u.Query()
	for name := range query {
		if secretName().MatchString(name) {
			query.Set(name, mask)
		}
	}
	_, secret := u.User.Password()
	user := u.User.Username()
	u.User, u.RawQuery = nil, ""
	shown := u.String()
	if user != "" || secret {
		login := url.User(user).String()
		if secret {
			login += ":" + mask
		}
		shown = strings.Replace(shown, "://", "://"+login+"@", 1)
	}
	if len(query) > 0 {
		shown += "?" + strings.ReplaceAll(query.Encode(), url.QueryEscape(mask), mask)
	}
	return shown
}
