package web

import (
	"fmt"
	"html"
	"html/template"
	"text/template/parse"
)

// constant is a template function that always gives the same for the same.
type constant func(args ...string) (string, error)

// fold replaces calls of constants with literal arguments, such as {{t "key"}},
// in all templates of a set by their text, before html/template sees them.
// Executing them as functions made up most of the time of a page. It reports a
// text or an asset that does not exist.
//
// The values are ours and the operator's, not a user's; escaped once they are
// right in element content, in quoted attributes and in <title>, and they are
// used nowhere else.
func fold(set *template.Template, constants map[string]constant) error {
	for _, t := range set.Templates() {
		if t.Tree == nil {
			continue
		}
		if err := foldList(t.Tree.Root, constants); err != nil {
			return fmt.Errorf("%s: %w", t.Name(), err)
		}
	}
	return nil
}

func foldList(list *parse.ListNode, constants map[string]constant) error {
	if list == nil {
		return nil
	}
	var out []parse.Node
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			text, ok, err := constantOf(n, constants)
			if err != nil {
				return err
			}
			if ok {
				out = appendText(out, n.Pos, []byte(html.EscapeString(text)))
				continue
			}
		case *parse.TextNode:
			out = appendText(out, n.Pos, n.Text)
			continue
		default:
			if err := foldBranches(n, constants); err != nil {
				return err
			}
		}
		out = append(out, n)
	}
	list.Nodes = out
	return nil
}

func foldBranches(n parse.Node, constants map[string]constant) error {
	var b *parse.BranchNode
	switch n := n.(type) {
	case *parse.IfNode:
		b = &n.BranchNode
	case *parse.RangeNode:
		b = &n.BranchNode
	case *parse.WithNode:
		b = &n.BranchNode
	default:
		return nil
	}
	if err := foldList(b.List, constants); err != nil {
		return err
	}
	return foldList(b.ElseList, constants)
}

// constantOf returns the value of an action that is one call of a constant.
func constantOf(n *parse.ActionNode, constants map[string]constant) (string, bool, error) {
	if len(n.Pipe.Decl) > 0 || len(n.Pipe.Cmds) != 1 {
		return "", false, nil
	}
	words := n.Pipe.Cmds[0].Args
	name, isName := words[0].(*parse.IdentifierNode)
	if !isName || constants[name.Ident] == nil {
		return "", false, nil
	}
	var args []string
	for _, w := range words[1:] {
		literal, isText := w.(*parse.StringNode)
		if !isText {
			return "", false, nil
		}
		args = append(args, literal.Text)
	}
	value, err := constants[name.Ident](args...)
	return value, true, err
}

// appendText joins neighbouring texts: one write instead of many.
func appendText(nodes []parse.Node, pos parse.Pos, text []byte) []parse.Node {
	if len(nodes) > 0 {
		if last, ok := nodes[len(nodes)-1].(*parse.TextNode); ok {
			last.Text = append(last.Text[:len(last.Text):len(last.Text)], text...)
			return nodes
		}
	}
	return append(nodes, &parse.TextNode{NodeType: parse.NodeText, Pos: pos, Text: text})
}
