package config

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Route is the providers of a region: a list in the order they are tried, or a
// mapping of each to its weight.
type Route struct {
	Providers []string
	Weights   []int // nil for a list, or one for each provider
}

// Params are the variables of a vendor's template in the vendor's order: a
// mapping of names to values, or a list of values where the vendor counts them.
// {{code}} and {{minutes}} in a value are replaced.
type Params struct {
	Names  []string // nil for a list, or one for each value
	Values []string
}

// ordered are the types that are a list or a mapping, and keep its order, which
// a Go map would not.
type ordered interface {
	decode(d *decoder, n *yaml.Node, path string)
	node() *yaml.Node
}

// orderedOf is v as such a type; v must be addressable to be decoded into.
func orderedOf(v reflect.Value) (ordered, bool) {
	switch v.Type() {
	case reflect.TypeFor[Route](), reflect.TypeFor[Params]():
		if !v.CanAddr() {
			held := reflect.New(v.Type())
			held.Elem().Set(v)
			v = held.Elem()
		}
		return v.Addr().Interface().(ordered), true
	}
	return nil, false
}

func (r *Route) decode(d *decoder, n *yaml.Node, path string) {
	switch *r = (Route{}); n.Kind {
	case yaml.SequenceNode:
		d.list(n, reflect.ValueOf(&r.Providers).Elem(), path)
	case yaml.MappingNode:
		r.Weights = []int{}
		d.pairs(n, path, func(name string, value *yaml.Node, path string) {
			var weight int
			before := len(d.problems)
			d.value(value, reflect.ValueOf(&weight).Elem(), path)
			if weight < 1 && len(d.problems) == before {
				d.problem(value.Line, path, "must be a positive number", "leave the provider out if it is to have no share")
			}
			r.Providers, r.Weights = append(r.Providers, name), append(r.Weights, weight)
		})
	default:
		d.problem(n.Line, path, "must be a list of providers, or a mapping of providers to weights", "write it like [main, spare] or {main: 3, spare: 1}")
	}
}

func (r *Route) node() *yaml.Node {
	if r.Weights == nil {
		return sequence(r.Providers)
	}
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for i, name := range r.Providers {
		n.Content = append(n.Content, scalarNode(name), &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(r.Weights[i])})
	}
	return n
}

func (p *Params) decode(d *decoder, n *yaml.Node, path string) {
	switch *p = (Params{}); n.Kind {
	case yaml.SequenceNode:
		d.list(n, reflect.ValueOf(&p.Values).Elem(), path)
	case yaml.MappingNode:
		p.Names = []string{}
		d.pairs(n, path, func(name string, value *yaml.Node, path string) {
			var text string
			d.value(value, reflect.ValueOf(&text).Elem(), path)
			p.Names, p.Values = append(p.Names, name), append(p.Values, text)
		})
	default:
		d.problem(n.Line, path, "must be a mapping of names to values, or a list of values", `write it like {code: "{{code}}"} or ["{{code}}", "{{minutes}}"]`)
	}
}

func (p *Params) node() *yaml.Node {
	if p.Names == nil {
		return sequence(p.Values)
	}
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for i, name := range p.Names {
		n.Content = append(n.Content, scalarNode(name), scalarNode(p.Values[i]))
	}
	return n
}

func sequence(items []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, item := range items {
		n.Content = append(n.Content, scalarNode(item))
	}
	return n
}

// pairs goes through a mapping in its order.
func (d *decoder) pairs(n *yaml.Node, path string, each func(name string, value *yaml.Node, path string)) {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; d.key(key, path, lines) {
			each(key.Value, n.Content[i+1], join(path, shown(key.Value)))
		}
	}
}
