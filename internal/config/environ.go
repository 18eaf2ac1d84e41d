package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caarlos0/env/v11"
)

// environment is what the variables say, and what is wrong with them.
type environment struct {
	values   map[string]string // ours, but empty ones
	used     map[string]bool
	origin   map[string]string
	problems []Problem
}

func newEnvironment(environ []string, origin map[string]string) *environment {
	e := &environment{values: map[string]string{}, used: map[string]bool{}, origin: origin}
	for name, value := range env.ToMap(environ) {
		switch {
		case !strings.HasPrefix(name, prefix) || value == "":
		case !utf8.ValidString(value):
			e.problem(shown(name), "", "is not text in UTF-8", "")
		default:
			e.values[name] = value
		}
	}
	return e
}

func (e *environment) problem(variable, path, message, cure string) {
	e.problems = append(e.problems, Problem{Where: variable, Path: path, Message: message, Cure: cure})
}

// apply puts the variables over c: settings first, then members of the
// providers and clients that c has by then. What is left over is unknown.
func (e *environment) apply(c *Config) {
	e.set(c, "", prefix)
	for _, name := range slices.Sorted(maps.Keys(c.SMS.Providers)) {
		p := c.SMS.Providers[name]
		e.set(&p, "sms.providers."+shown(name), prefix+"SMS_PROVIDERS_"+variableName(name))
		c.SMS.Providers[name] = p
	}
	for i := range c.Clients {
		e.set(&c.Clients[i], fmt.Sprintf("clients[%d]", i), prefix+"CLIENTS_"+variableName(c.Clients[i].ClientID))
	}
	e.unknown(c)
}

// variableName is how the name of an entry looks inside a variable's name.
func variableName(name string) string {
	return regexp.MustCompile(`[^A-Z0-9]`).ReplaceAllString(strings.ToUpper(name), "_") + "_"
}

// set puts the variables under a prefix over v, a pointer to a struct.
func (e *environment) set(v any, path, prefix string) {
	for _, s := range settings(reflect.ValueOf(v).Elem(), path, prefix) {
		value, ok := e.values[s.variable]
		file, fromFile := e.values[s.variable+strings.ToUpper(fileSuffix)]
		if ok && e.used[s.variable] {
			e.problem(s.variable, s.path, "could also be a member of another provider or client", "set it in the file")
		}
		if fromFile = fromFile && hidden(s.field); fromFile {
			e.used[s.variable+strings.ToUpper(fileSuffix)] = true
			if ok {
				e.problem(s.variable, s.path, "is given here and from a file as well", "unset one of the two variables")
			}
			text, err := readSecret(file)
			if err != nil {
				e.problem(s.variable+strings.ToUpper(fileSuffix), s.path, err.Error(), "")
				continue
			}
			setSecret(s.value, text)
			e.origin[s.path] = "file " + shown(file)
		} else if ok {
			e.parse(v, prefix, s, value)
		}
		e.used[s.variable] = e.used[s.variable] || ok
	}
}

// parse lets the library set one variable, so that a mistake is known to be its own.
func (e *environment) parse(v any, prefix string, s setting, value string) {
	err := env.ParseWithOptions(v, env.Options{
		Environment: map[string]string{s.variable: value},
		Prefix:      prefix,
		FuncMap:     parsers(),
	})
	if err == nil {
		e.origin[s.path] = s.variable
		return
	}
	var wrong env.ParseError
	var inside *Invalid // what is wrong inside a value that is YAML
	switch {
	case !errors.As(err, &wrong):
		e.problem(s.variable, s.path, "cannot be set from the environment", "")
	case errors.As(wrong.Err, &inside):
		for _, p := range inside.Problems {
			e.problem(s.variable, s.path+p.Path, p.Message, p.Cure)
		}
	default:
		e.problem(s.variable, s.path, wrong.Err.Error(), "")
	}
}

// fallback takes a variable that others use too, for a setting that is unset.
func (e *environment) fallback(value *string, path, variable string, environ []string) {
	text := env.ToMap(environ)[variable]
	switch {
	case *value != "" || e.origin[path] != "" || text == "":
	case !utf8.ValidString(text):
		e.problem(variable, path, "is not text in UTF-8", "")
	default:
		*value, e.origin[path] = text, variable
	}
}

// parsers reads the types that the library does not know, and numbers with
// errors of ours, which do not repeat the value.
func parsers() map[reflect.Type]env.ParserFunc {
	scalar := func(t reflect.Type) env.ParserFunc {
		return func(text string) (any, error) {
			v, err := parseScalar(text, t)
			if err != nil {
				return nil, err
			}
			return v.Interface(), nil
		}
	}
	return map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[time.Duration]():       scalar(reflect.TypeFor[time.Duration]()),
		reflect.TypeFor[int]():                 scalar(reflect.TypeFor[int]()),
		reflect.TypeFor[bool]():                scalar(reflect.TypeFor[bool]()),
		reflect.TypeFor[given]():               func(string) (any, error) { return given(true), nil },
		reflect.TypeFor[[]string]():            func(text string) (any, error) { return separated[string](text), nil },
		reflect.TypeFor[[]Secret]():            func(text string) (any, error) { return separated[Secret](text), nil },
		reflect.TypeFor[map[string]Route]():    parseYAML[map[string]Route],
		reflect.TypeFor[map[string]Template](): parseYAML[map[string]Template],
		reflect.TypeFor[Params]():              parseYAML[Params],
		reflect.TypeFor[map[string]Provider](): parseYAML[map[string]Provider],
		reflect.TypeFor[map[string]Secret]():   parseYAML[map[string]Secret],
		reflect.TypeFor[Prices]():              parseYAML[Prices],
		reflect.TypeFor[[]Client]():            parseYAML[[]Client],
	}
}

// separated splits at commas; space around an item does not count.
func separated[T ~string](text string) []T {
	var items []T
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, T(item))
		}
	}
	return items
}

// parseYAML reads YAML, of which JSON is a part.
func parseYAML[T any](text string) (any, error) {
	var v T
	d := decoder{where: func(int) string { return "" }, origin: map[string]string{}}
	d.document(text, &v, "")
	// Paths go on where the variable's own ends.
	for i, p := range d.problems {
		if p.Path != "" && p.Path[0] != '[' {
			d.problems[i].Path = "." + p.Path
		}
	}
	return v, invalid(d.problems)
}

// unknown refuses variables of ours that set nothing.
func (e *environment) unknown(c *Config) {
	var known []string
	for _, s := range settingsOf(c) {
		known = append(known, s.variable)
		if hidden(s.field) {
			known = append(known, s.variable+strings.ToUpper(fileSuffix))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		switch {
		case e.used[name], notSettings().MatchString(name):
		case strings.HasPrefix(name, prefix+"SMS_PROVIDERS_"), strings.HasPrefix(name, prefix+"CLIENTS_"):
			e.problem(name, "", "sets nothing: no provider or client of that name has such a member", suggest(name, known))
		default:
			e.problem(name, "", "unknown variable", suggest(name, known))
		}
	}
}

// notSettings matches variables that are not settings but may be there: those
// of the command line and of tests, and those that Kubernetes makes for a
// service that is called dialtone.
func notSettings() *regexp.Regexp {
	return regexp.MustCompile(`^DIALTONE_(CONFIG|DEV(_.*)?|TEST_.*|` +
		`(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?))$`)
}

// largestSecret bounds what is read from a file, in bytes.
const largestSecret = 64 << 10

// readSecret reads a secret's file, without the line break at its end.
func readSecret(name string) (string, error) {
	// A pipe or a device could keep us waiting for ever.
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file that can be read", shown(name))
	}
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("%s cannot be opened", shown(name))
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, largestSecret+1))
	if err != nil || len(text) > largestSecret {
		return "", fmt.Errorf("%s cannot be read or is larger than 64 KiB", shown(name))
	}
	secret := strings.TrimRight(string(text), "\r\n")
	switch {
	case secret == "":
		return "", fmt.Errorf("%s is empty", shown(name))
	case !utf8.ValidString(secret):
		return "", fmt.Errorf("%s is not text: encode its bytes in base64", shown(name))
	}
	return secret, nil
}

// setSecret sets a hidden setting; a list has one item per line.
func setSecret(v reflect.Value, text string) {
	if v.Kind() != reflect.Slice {
		v.SetString(text)
		return
	}
	var items []Secret
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			items = append(items, Secret(line))
		}
	}
	v.Set(reflect.ValueOf(items))
}
