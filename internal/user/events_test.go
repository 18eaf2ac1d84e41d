package user

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/web"
)

// eventName is the shape of what goes on record about an account.
var eventName = regexp.MustCompile(`^(user|account|login|session|passkey|consent|grant)\.[a-z_]+$`)

// eventNames are all such names in the source of this package and of oauth.
func eventNames(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	for _, factor := range []string{factorPassword, factorTOTP, factorRecovery} { // see recordRefused
		names["login."+factor+"_refused"] = "passwordsignin.go"
	}
	read := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
				if name, err := strconv.Unquote(text.Value); err == nil && eventName.MatchString(name) {
					names[name] = filepath.Base(path)
				}
			}
			return true
		})
		return nil
	}
	for _, dir := range []string{".", "../oauth"} {
		if err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			return read(filepath.Join(dir, path), d, err)
		}); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// Whatever is on record of a person is told to them in words.
func TestEveryEventHasWords(t *testing.T) {
	unseen := map[string]bool{"user.listed": true, "user.all_signed_out": true, "account.write": true} // they name no account; a scope
	names := eventNames(t)
	if len(names) < 30 || names["user.phone_changed"] == "" || names["consent.revoked"] == "" || names["account.claimed"] == "" {
		t.Fatalf("only %d names were found", len(names))
	}
	s, err := site()
	if err != nil {
		t.Fatal(err)
	}
	words := func(name, lang string) string {
		w := httptest.NewRecorder()
		s.Render(w, httptest.NewRequest("GET", "/account/activity?lang="+lang, nil), 200, web.AccountActivity{Events: []web.ActivityEvent{{Name: name}}})
		_, after, _ := strings.Cut(w.Body.String(), "<li><div><strong>")
		said, _, _ := strings.Cut(after, "</strong>")
		return said
	}
	for _, lang := range s.Languages() {
		vague := words("no.such_event", lang)
		if vague == "" {
			t.Fatal("the page has no place for events")
		}
		for name, file := range names {
			if said := words(name, lang); !unseen[name] && (said == "" || said == vague) {
				t.Errorf("%s (%s) has no words in %s", name, file, lang)
			}
		}
	}
}
