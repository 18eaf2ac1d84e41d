package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder puts a YAML document into structs. It is stricter than the library's
// own and tells what is wrong in our words, with the path and the line; it goes
// on after a mistake, so that all are found at once.
type decoder struct {
	where    func(line int) string // names the place of a line
	origin   map[string]string     // filled: path to place
	problems []Problem
}

func (d *decoder) problem(line int, path, message, cure string) {
	d.problems = append(d.problems, Problem{Where: d.where(line), Path: path, Message: message, Cure: cure})
}

// document decodes one YAML document into v, a pointer.
func (d *decoder) document(text string, v any, path string) {
	in := yaml.NewDecoder(strings.NewReader(text))
	var node yaml.Node
	switch err := in.Decode(&node); {
	case errors.Is(err, io.EOF):
		return // empty, or comments only
	case err != nil:
		d.problem(0, path, "is not YAML: "+withoutValues(err), "")
		return
	}
	if err := in.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		d.problem(0, path, "holds more than one YAML document", "remove what follows the second ---")
		return
	}
	d.value(node.Content[0], reflect.ValueOf(v).Elem(), path)
}

// withoutValues is the library's message without what it quotes, which could be
// a secret.
func withoutValues(err error) string {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	return regexp.MustCompile("'[^']*'|`[^`]*`|\"[^\"]*\"").ReplaceAllString(message, "...")
}

// value decodes a node into v, which may hold a default. Null leaves it.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.problem(n.Line, path, "YAML anchors and aliases are not supported", "write the value out")
		return
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return
	}
	d.origin[path] = d.where(n.Line)
	if list, ok := orderedOf(v); ok {
		list.decode(d, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.table(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		d.value(n, fresh.Elem(), path)
		v.Set(fresh)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.problem(n.Line, path, "must be a mapping of keys to values", "")
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.key(key, path, lines) {
			continue
		}
		if _, field, ok := fieldOf(v, key.Value); ok {
			d.value(value, field, join(path, key.Value))
			continue
		}
		base, isFile := strings.CutSuffix(key.Value, fileSuffix)
		if f, field, ok := fieldOf(v, base); ok && isFile && hidden(f) {
			if line, twice := lines[base]; twice {
				d.problem(key.Line, join(path, base), fmt.Sprintf("is given here from a file and in line %d as well", line), "keep one of them")
			}
			lines[base] = key.Line
			d.secretFile(value, field, join(path, base))
			continue
		}
		d.problem(key.Line, join(path, shown(key.Value)), "unknown key", or(suggest(key.Value, keysOf(v.Type())), elsewhere(key.Value)))
	}
}

// elsewhere is a cure for a key that belongs into another section.
func elsewhere(key string) string {
	for _, s := range settingsOf(&Config{}) {
		if strings.HasSuffix(s.path, "."+key) {
			return "did you mean " + s.path + "?"
		}
	}
	return ""
}

// key checks the key of a mapping, whatever it is for.
func (d *decoder) key(key *yaml.Node, path string, lines map[string]int) bool {
	if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() == "!!merge" {
		d.problem(key.Line, path, "a key must be plain text", "YAML anchors, aliases and merge keys are not supported")
		return false
	}
	if line, twice := lines[key.Value]; twice {
		d.problem(key.Line, path, fmt.Sprintf("a key is given twice, first in line %d", line), "remove one")
		return false
	}
	lines[key.Value] = key.Line
	return true
}

// secretFile reads what a _file key names.
func (d *decoder) secretFile(n *yaml.Node, v reflect.Value, path string) {
	var name string
	d.value(n, reflect.ValueOf(&name).Elem(), path)
	if name == "" {
		return
	}
	text, err := readSecret(name)
	if err != nil {
		d.problem(n.Line, path, err.Error(), "")
		return
	}
	d.origin[path] = "file " + shown(name)
	setSecret(v, text)
}

// table decodes a mapping whose keys are the operator's own, over what a
// default holds.
func (d *decoder) table(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.problem(n.Line, path, "must be a mapping", "")
		return
	}
	merged := reflect.MakeMap(v.Type())
	for it := v.MapRange(); it.Next(); {
		merged.SetMapIndex(it.Key(), it.Value())
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.key(key, path, lines) {
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		itemPath := join(path, shown(key.Value))
		if item.Type() == reflect.TypeFor[Secret]() {
			itemPath = fmt.Sprintf("%s[%d]", path, i/2) // the key is a phone number
		}
		d.value(value, item, itemPath)
		merged.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), item)
	}
	v.Set(merged)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n.Line, path, "must be a list", "")
		return
	}
	items := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, items.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(items)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if v.Type() == reflect.TypeFor[given]() {
		v.SetBool(true)
		return
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!binary" {
		d.problem(n.Line, path, "must be one plain value", "")
		return
	}
	parsed, err := parseScalar(n.Value, v.Type())
	if err != nil {
		d.problem(n.Line, path, err.Error(), "")
		return
	}
	v.Set(parsed)
}

// parseScalar reads text as a value of type t: a duration, a whole number, true
// or false, or text. Its errors do not repeat the text.
func parseScalar(text string, t reflect.Type) (reflect.Value, error) {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		duration, err := time.ParseDuration(text)
		if err != nil {
			return reflect.Value{}, errors.New("must be a duration with its unit, such as 30s, 5m or 720h")
		}
		return reflect.ValueOf(duration), nil
	case t.Kind() == reflect.Int:
		number, err := strconv.Atoi(text)
		if err != nil {
			return reflect.Value{}, errors.New("must be a whole number")
		}
		return reflect.ValueOf(number), nil
	case t.Kind() == reflect.Bool:
		switch text {
		case "true", "false":
			return reflect.ValueOf(text == "true").Convert(t), nil
		}
		return reflect.Value{}, errors.New("must be true or false")
	}
	return reflect.ValueOf(text).Convert(t), nil
}

// shown is a key as messages show it: short, and quoted unless it is plain.
func shown(key string) string {
	const longest = 60
	if len(key) > longest {
		key = key[:longest] + "..."
	}
	if quoted := strconv.QuoteToASCII(key); quoted != `"`+key+`"` || key == "" || strings.ContainsAny(key, " .:") {
		return quoted
	}
	return key
}
