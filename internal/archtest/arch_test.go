// Package archtest holds the house to its plan: docs/architecture.md says which
// package may know which, and this says so when one does not keep to it.
package archtest

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/dialtone-id/dialtone/"

// floors is the house from the roof down. A package may import those below it,
// never one above, and its own sub-packages; a folder inherits its parent's floor.
var floors = []string{
	"cmd",
	"internal/server",
	"internal/admin",
	"internal/oauth",
	"internal/oauth/notice",
	"internal/oauth/outbound",
	"internal/oauth/engine",
	"internal/oauth/grant",
	"internal/oauth/client",
	"internal/user",
	"internal/sms/captcha",
	"internal/sms",
	"internal/signing",
	"internal/audit",
	"internal/ephemeral",
	"internal/db",
}

// ground is what everyone may import and what imports nothing of ours.
var ground = []string{"web", "migrations", "internal/config", "internal/fault", "internal/browsertest"}

// owners are the packages that hide a library: nobody else imports it.
var owners = map[string]string{
	"github.com/ory/":                      "internal/oauth/engine",
	"github.com/go-jose/go-jose/v3":        "internal/oauth/engine", // fosite's; ours is v4
	"github.com/jackc/pgx/":                "internal/db",
	"modernc.org/":                         "internal/db",
	"github.com/pressly/goose/":            "internal/db",
	"github.com/redis/":                    "internal/ephemeral",
	"github.com/nyaruka/phonenumbers":      "internal/sms",
	"github.com/spf13/":                    "cmd/dialtone",
	"github.com/caarlos0/env/":             "internal/config",
	"github.com/prometheus/client_golang/": "internal/server",
	"github.com/nicksnyder/go-i18n/":       "web",
	"github.com/pquerna/":                  "internal/user",
	"github.com/skip2/":                    "internal/user/qr",
	"golang.org/x/image/":                  "internal/user/picture",
	"github.com/aliyun/":                   "internal/sms",
	"github.com/dchest/captcha":            "internal/sms/captcha",
	"github.com/tencentcloud/":             "internal/sms",
	"github.com/sony/gobreaker/":           "internal/sms",
	"github.com/go-webauthn/":              "internal/user",
	"github.com/skip2/go-qrcode":           "internal/user/qr",
}

// testOnly are the helpers and judges that no program may link.
var testOnly = []string{
	module + "internal/db/dbtest",
	module + "internal/browsertest",
	"testing",
	"github.com/google/go-cmp/",
	"github.com/chromedp/",
	"github.com/rogpeppe/go-internal/",
	"github.com/jba/templatecheck",
	"pgregory.net/rapid",
}

// listed is the part of `go list -json` that matters here.
type listed struct {
	ImportPath                         string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

// name is the package's path below the module.
func (p listed) name() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []listed {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,GoFiles,Imports,TestImports,XTestImports", module+"...")
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < len(floors) {
		t.Fatalf("go list knows %d packages only", len(list))
	}
	return list
}

// within reports whether a package is folder or lies in it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

// floorOf is the index of the most precise entry in floors; -1 for the ground.
func floorOf(name string) (floor int, known bool) {
	for _, g := range ground {
		if within(name, g) {
			return -1, true
		}
	}
	best := ""
	for i, folder := range floors {
		if within(name, folder) && len(folder) > len(best) {
			best, floor, known = folder, i, true
		}
	}
	return floor, known
}

func TestImportsPointDownOnly(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue // tests may look at everything
		}
		floor, known := floorOf(p.name())
		if !known {
			t.Errorf("%s has no floor: give it one in this test and in docs/architecture.md", p.name())
			continue
		}
		for _, path := range p.Imports {
			imported, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			if floor < 0 {
				t.Errorf("%s imports %s, but should import nothing of ours", p.name(), imported)
				continue
			}
			below, known := floorOf(imported)
			if known && below >= 0 && below < floor || below == floor && !sameFloor(p.name(), imported) {
				t.Errorf("%s imports %s, which is above or beside it", p.name(), imported)
			}
		}
	}
}

// sameFloor reports whether two packages are a folder and its sub-package.
func sameFloor(a, b string) bool { return within(a, b) || within(b, a) }

func TestLibrariesStayBehindTheirOwners(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			for prefix, owner := range owners {
				if matches(path, prefix) && !within(p.name(), owner) {
					t.Errorf("%s imports %s, which belongs to %s", p.name(), path, owner)
				}
			}
		}
	}
}

// A vendor is one file: its SDK shows in no other, tests included.
func TestEachVendorSDKIsImportedInOneFile(t *testing.T) {
	files, err := filepath.Glob("../sms/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	importers := map[string][]string{"github.com/aliyun/": nil, "github.com/tencentcloud/": nil}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for sdk := range importers {
			if slices.ContainsFunc(parsed.Imports, func(i *ast.ImportSpec) bool { return strings.HasPrefix(i.Path.Value, `"`+sdk) }) {
				importers[sdk] = append(importers[sdk], filepath.Base(file))
			}
		}
	}
	for sdk, in := range importers {
		if len(in) != 1 || strings.HasSuffix(in[0], "_test.go") {
			t.Errorf("%s is imported in %v, want one file", sdk, in)
		}
	}
}

// Fosite is to be replaceable, so its types must not leak through tests either.
func TestFositeStaysOutOfOtherTests(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if strings.HasPrefix(path, "github.com/ory/") && !within(p.name(), "internal/oauth/engine") {
				t.Errorf("the tests of %s import %s", p.name(), path)
			}
		}
	}
}

func TestProgramsLinkNoTestHelpers(t *testing.T) {
	for _, p := range packages(t) {
		if isHelper(p.name()) {
			continue
		}
		for _, path := range p.Imports {
			for _, helper := range testOnly {
				if matches(path, helper) {
					t.Errorf("%s imports %s outside its tests", p.name(), path)
				}
			}
		}
	}
}

// isHelper reports whether a package is itself for tests, as its name then says.
func isHelper(name string) bool { return within(name, "internal") && strings.HasSuffix(name, "test") }

// matches reports whether an import path is a package or module, or lies in it.
func matches(path, prefix string) bool {
	return path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}
