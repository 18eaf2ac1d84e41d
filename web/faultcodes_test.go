package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pageless are the codes that no page shows: they answer programs.
var pageless = []string{
	"client_exists", "receipts_malformed", "receipts_signature_invalid", "receipts_too_large",
	"invalid_dpop_proof", "redirect_to_web", "insufficient_authorization", "insufficient_user_authentication", "invalid_session",
}

// faultsInSource are the codes of all faults that the program can make, each with a
// place where it does. A code that is put together at run time fails the test: it
// could have no text.
func faultsInSource(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	files := token.NewFileSet()
	for _, root := range []string{"../internal", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || !makesFault(file.Name.Name, call.Fun) || len(call.Args) != 3 {
					return true
				}
				literal, ok := call.Args[1].(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					t.Errorf("%s: the code of a fault is no literal", files.Position(call.Pos()))
					return true
				}
				code, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Error(err)
				}
				found[code] = files.Position(call.Pos()).String()
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 60 {
		t.Fatalf("only %d codes found: %v", len(found), slices.Sorted(maps.Keys(found)))
	}
	return found
}

// makesFault says whether a call is one of fault.New.
func makesFault(in string, called ast.Expr) bool {
	if in == "fault" {
		name, ok := called.(*ast.Ident)
		return ok && name.Name == "New"
	}
	selector, ok := called.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "New" {
		return false
	}
	name, ok := selector.X.(*ast.Ident)
	return ok && name.Name == "fault"
}

func TestEveryFaultHasATextOrNoPage(t *testing.T) {
	found := faultsInSource(t)
	s := newSite(t, Options{})
	for code, where := range found {
		switch silent := slices.Contains(pageless, code); {
		case silent && s.editions[0].known[code]:
			t.Errorf("%s has a text, but no page shows it", code)
		case !silent && !slices.Contains(codes, code):
			t.Errorf("%s: %s has no text that a test knows of", where, code)
		}
	}
	for _, code := range pageless {
		if found[code] == "" {
			t.Errorf("nothing makes the fault %s", code)
		}
	}
}

// A text of ours whose fault is gone is nobody's; those of the specifications may
// come from a client, or go to one.
func TestEveryCodeOfOursIsMade(t *testing.T) {
	found := faultsInSource(t)
	ours := codes[:slices.Index(codes, "unauthorized_client")]
	if len(ours) < 40 {
		t.Fatalf("only %d codes are ours", len(ours))
	}
	for _, code := range ours {
		if found[code] == "" {
			t.Errorf("nothing makes the fault %s", code)
		}
	}
}

// Every error says what happened, and then whose turn it is: what to do, to wait
// for, or whom to ask.
func TestEveryErrorSaysWhoseTurnItIs(t *testing.T) {
	turn := map[string]*regexp.Regexp{
		"zh-CN": regexp.MustCompile(`请[^求]|可以|无需`),
		"en": regexp.MustCompile(`(?i)\b(please|try again|tries? left|go back|check it|check both|get a (new )?code|make a new one|sign in|sign out|` +
			`allow cookies|contact|remove one|use another|nothing more needs)\b`),
	}
	s := newSite(t, Options{})
	for _, e := range s.editions {
		for _, code := range append(slices.Clone(codes), "unknown_error") {
			text := e.problem(code, map[string]string{"tries": "2"}, 0)
			if !turn[e.tag].MatchString(text) {
				t.Errorf("%s: %s does not say what to do: %s", e.tag, code, text)
			}
			// What happened comes before it: the text does not begin with what to do,
			// but where nothing else has to be said.
			asks := code == "captcha_required" || code == "agreement_required"
			if at := turn[e.tag].FindStringIndex(text); !asks && (at == nil || at[0] == 0) {
				t.Errorf("%s: %s does not say what happened: %s", e.tag, code, text)
			}
			if strings.Contains(text, "!") || strings.Contains(text, "！") {
				t.Errorf("%s: %s shouts: %s", e.tag, code, text)
			}
		}
	}
}
