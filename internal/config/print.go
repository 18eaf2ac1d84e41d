package config

import (
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Print writes the settings in force as YAML that Load reads, with where each
// came from. Secrets and passwords in URLs are asterisks.
func (c Config) Print(w io.Writer) error {
	p := printer{comment: func(s setting) (above, beside string) { return "", c.origin[s.path] }}
	return p.write(w, &c)
}

// String is Print: a configuration that gets into a log by mistake shows no secret.
func (c Config) String() string {
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		return "configuration: " + err.Error()
	}
	return b.String()
}

// Format is String for every verb.
func (c Config) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// LogValue is String for logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// printer turns settings into YAML nodes.
type printer struct {
	reveal  bool // shows secrets: for the example, where they are none
	sparse  bool // leaves out what is empty
	comment func(s setting) (above, beside string)
}

func (p printer) write(w io.Writer, c *Config) error {
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	if err := out.Encode(p.structure(reflect.ValueOf(c).Elem(), "")); err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	return out.Close()
}

func (p printer) structure(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		f, field := v.Type().Field(i), v.Field(i)
		key := keyOf(f)
		if key == "" || p.sparse && field.IsZero() {
			continue
		}
		s := setting{path: join(path, key), field: f, value: field, meaning: f.Tag.Get("doc")}
		name, value := scalarNode(key), p.value(s)
		if p.comment != nil && f.Type.Kind() != reflect.Struct {
			var beside string
			name.HeadComment, beside = p.comment(s)
			if value.Kind == yaml.ScalarNode || value.Style == yaml.FlowStyle {
				value.LineComment = beside
			} else {
				name.LineComment = beside
			}
		}
		n.Content = append(n.Content, name, value)
	}
	return n
}

func (p printer) value(s setting) *yaml.Node {
	v := s.value
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return scalarNode(duration(time.Duration(v.Int())))
	case v.Type() == reflect.TypeFor[Secret]() && !p.reveal:
		return scalarNode(Secret(v.String()).String())
	case s.field.Tag.Get("secret") == "url":
		return scalarNode(maskURL(v.String()))
	}
	if list, ok := orderedOf(v); ok {
		return list.node()
	}
	switch v.Kind() {
	case reflect.Struct:
		return p.structure(v, s.path)
	case reflect.Map:
		return p.table(v, s.path)
	case reflect.Slice:
		return p.list(v, s.path)
	case reflect.Pointer:
		return p.value(setting{path: s.path, field: s.field, value: v.Elem()})
	case reflect.String:
		return scalarNode(v.String())
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v.Interface())} // a number, true or false
}

func (p printer) table(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range keys {
		n.Content = append(n.Content, scalarNode(key.String()), p.entry(v.MapIndex(key), path))
	}
	return plain(n)
}

func (p printer) list(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range v.Len() {
		n.Content = append(n.Content, p.entry(v.Index(i), path))
	}
	return plain(n)
}

// entry is a value of a list or table: members that are not set are left out.
func (p printer) entry(v reflect.Value, path string) *yaml.Node {
	p.sparse, p.comment = true, nil
	return p.value(setting{path: path, value: v})
}

// plain puts a collection of scalars into one line.
func plain(n *yaml.Node) *yaml.Node {
	const most = 8
	if len(n.Content) <= most && !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind == yaml.MappingNode }) {
		n.Style = yaml.FlowStyle
	}
	return n
}

// scalarNode is text, quoted where YAML would read it as something else.
func scalarNode(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

// duration writes 168h for what the library writes 168h0m0s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Variable is a setting as the environment gives it.
type Variable struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Type    string `json:"type"`
	Default string `json:"default"`
	File    string `json:"file,omitempty"` // the variable that names a file instead, for secrets
	Meaning string `json:"meaning"`
}

// Env lists every variable, in the order of the settings.
func Env() []Variable {
	c := defaults(false)
	var all []Variable
	for _, s := range settingsOf(&c) {
		v := Variable{Name: s.variable, Path: s.path, Type: typeName(s.field.Type), Default: defaultText(s), Meaning: s.meaning}
		if hidden(s.field) {
			v.File = s.variable + strings.ToUpper(fileSuffix)
		}
		all = append(all, v)
		switch s.path {
		case "sms.providers":
			all = append(all, memberVariable(v, "<NAME>_<MEMBER>", "one member of a provider that is there already, such as DIALTONE_SMS_PROVIDERS_HOOK_SECRET"))
		case "clients":
			all = append(all, memberVariable(v, "<ID>_<MEMBER>", "one member of a client that is there already, such as DIALTONE_CLIENTS_WEB_CLIENT_SECRET"))
		}
	}
	return all
}

func memberVariable(of Variable, suffix, meaning string) Variable {
	return Variable{Name: of.Name + "_" + suffix, Path: of.Path, Type: "as in the file", Meaning: meaning}
}

// defaultText is a default as one would write it into the variable.
func defaultText(s setting) string {
	switch v := s.value.Interface().(type) {
	case time.Duration:
		return duration(v)
	case []string:
		return strings.Join(v, ",")
	}
	if k := s.value.Kind(); k == reflect.Map || k == reflect.Slice || s.value.IsZero() && k == reflect.Int {
		return ""
	}
	return fmt.Sprint(s.value.Interface())
}

// Example is a complete commented file to begin with. It is not accepted until
// its secrets are replaced.
func Example() string {
	c := defaults(false)
	c.Issuer = "https://id.example.com"
	c.Database = "postgres://dialtone@db.example.com:5432/dialtone"
	c.MasterSecrets = []Secret{"change-me: openssl rand -base64 32"}
	c.SMS.Providers = map[string]Provider{"hook": {Type: "webhook", URL: "https://sms.example.com/send", Secret: "change-me"}}
	c.SMS.Routes = map[string]Route{anyRegion: {Providers: []string{"hook"}}}
	c.Clients = []Client{{
		ClientID: "web", ClientSecret: "change-me", ClientName: "Example Shop", TokenEndpointAuthMethod: "client_secret_basic",
		RedirectURIs:           []string{"https://shop.example.com/callback"},
		PostLogoutRedirectURIs: []string{"https://shop.example.com/"},
	}}
	p := printer{reveal: true, comment: func(s setting) (above, beside string) {
		if s.path == "clients" {
			return s.meaning + "; member names as in RFC 7591", ""
		}
		return s.meaning, ""
	}}
	var b strings.Builder
	if err := p.write(&b, &c); err != nil {
		return "" // a tree that was made here can always be written
	}
	return b.String()
}
