package config

import (
	"reflect"
	"time"
)

// setting is one value of the configuration, found by reflection over the
// structs: whatever is not itself a struct.
type setting struct {
	path     string // sms.limits.per_day
	variable string // DIALTONE_SMS_LIMITS_PER_DAY
	meaning  string
	later    bool // not available in this version: refused unless zero
	field    reflect.StructField
	value    reflect.Value
}

// prefix is in front of every variable of ours.
const prefix = "DIALTONE_"

// settings walks a struct in the order of its fields.
func settings(v reflect.Value, path, variable string) []setting {
	var all []setting
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := keyOf(f)
		if key == "" {
			continue
		}
		if _, whole := orderedOf(v.Field(i)); f.Type.Kind() == reflect.Struct && !whole {
			all = append(all, settings(v.Field(i), join(path, key), variable+f.Tag.Get("envPrefix"))...)
			continue
		}
		all = append(all, setting{
			path: join(path, key), variable: variable + f.Tag.Get("env"), meaning: f.Tag.Get("doc"),
			later: f.Tag.Get("later") != "", field: f, value: v.Field(i),
		})
	}
	return all
}

// settingsOf is settings of a whole configuration.
func settingsOf(c *Config) []setting { return settings(reflect.ValueOf(c).Elem(), "", prefix) }

// keyOf is the key of a field in the file, "" if it is not a setting.
func keyOf(f reflect.StructField) string {
	if key := f.Tag.Get("yaml"); f.IsExported() && key != "-" {
		return key
	}
	return ""
}

// keysOf lists the keys that the file may have for a struct.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		if key := keyOf(f); key != "" {
			keys = append(keys, key)
			if hidden(f) {
				keys = append(keys, key+fileSuffix)
			}
		}
	}
	return keys
}

// fieldOf finds the field of a key.
func fieldOf(v reflect.Value, key string) (reflect.StructField, reflect.Value, bool) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); key != "" && keyOf(f) == key {
			return f, v.Field(i), true
		}
	}
	return reflect.StructField{}, reflect.Value{}, false
}

// fileSuffix makes a key the name of a file that holds the value.
const fileSuffix = "_file"

// hidden says that a setting is a secret, or a URL that may hold one, and so
// may come from a file.
func hidden(f reflect.StructField) bool {
	return f.Type == reflect.TypeFor[Secret]() || f.Type == reflect.TypeFor[[]Secret]() || f.Tag.Get("secret") == "url"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// typeName is how people call the type of a setting.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[Secret]():
		return "secret"
	case reflect.TypeFor[[]Secret]():
		return "list of secrets"
	case reflect.TypeFor[[]string]():
		return "list"
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Struct:
		return "YAML"
	case reflect.Int:
		return "number"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}
