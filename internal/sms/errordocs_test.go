package sms

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/sms-errors.md anew")

// The page for operators is the tables that the program goes by.
func TestErrorDocsAreTheTables(t *testing.T) {
	t.Parallel()
	const file = "../../docs/sms-errors.md"
	want := errorDocs()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil { //nolint:gosec // a public page
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/sms-errors.md is not what the tables say: run this test with -update and read the difference")
	}
}

func errorDocs() string {
	var b strings.Builder
	b.WriteString(`# Error codes of SMS providers

This page is made from the tables in ` + "`internal/sms`" + ` by ` + "`go test ./internal/sms -run TestErrorDocs -update`" + `; do not edit it. A code appears, behind the letter of its class, in
the log, in ` + "`dialtone sms test`" + `, in ` + "`sms_ledger.reason`" + ` and in the label ` + "`reason`" + ` of ` + "`dialtone_sms_sends_total`" + `. [docs/sms.md](sms.md) says how providers are set up.

| class | what it means | what happens | what to do |
|---|---|---|---|
| F | the account or the provider cannot serve now; certainly not sent | the next provider of the route is asked, the provider rests if it goes on | top up or raise the account's limit if the meaning says so; otherwise wait |
| U | the number is refused; certainly not sent | nobody else is asked, the person is told that the number cannot be reached | nothing, unless many are refused: then look at templates and enabled countries |
| R | the provider's own limit for this number; certainly not sent | nobody else is asked, the person is told to wait | raise the limit in the provider's console if it is lower than ` + "`sms.limits`" + ` |
| B | the number is blacklisted or has unsubscribed | nobody else is asked; the answer is that of success, so that lists stay private | have the provider take the number off its list if its owner asks |
| C | a credential, signature, template or address is set up wrongly; certainly not sent | the next provider is asked, this one rests for long, an alert is due | correct it, check with ` + "`dialtone sms test`" + ` |
| O | in delivery reports alone: the phone is switched off or has no signal | the page says so | nothing |
| A | it may have been sent | counted; never repeated on the same provider | nothing; look at the provider's status page if there are many |

A code that ends in ` + "`.*`" + ` stands for all longer ones that are not listed, a range for every number in it, and ` + "`*`" + ` for all the rest.
`)
	for _, table := range []struct {
		title string
		codes []VendorCode
	}{
		{"Aliyun", AliyunCodes()},
		{"Tencent Cloud", TencentCodes()},
		{"NetEase Yunxin", NetEaseCodes()},
		{"Yuntongxun", YuntongxunCodes()},
		{"Codes of our own", OwnCodes()},
		{"Delivery reports of Aliyun", AliyunReceiptCodes()},
		{"Delivery reports of Tencent Cloud", TencentReceiptCodes()},
		{"Delivery reports of NetEase Yunxin", NetEaseReceiptCodes()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| code | class | meaning |\n|---|---|---|\n", table.title)
		for _, c := range table.codes {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Code, c.Class, strings.ReplaceAll(c.Means, "|", "\\|"))
		}
	}
	return b.String()
}

// No code of ours goes without an explanation.
func TestOwnCodesAreAllExplained(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	literal := regexp.MustCompile(`(?:fail\([A-Za-z]+, |SendError\{Class: [A-Za-z]+, .*Code: |^\t\treturn )"([a-z_]+)"`)
	var found []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(source)) {
			m := literal.FindStringSubmatch(line)
			if m == nil || strings.HasPrefix(m[0], "\t\treturn") && file != "webhook.go" { // there func cause names them
				continue
			}
			found = append(found, m[1])
			if !slices.ContainsFunc(OwnCodes(), func(c VendorCode) bool { return c.fits(m[1]) >= 0 }) {
				t.Errorf("%s: code %q is not in OwnCodes", file, m[1])
			}
		}
	}
	if len(found) < 15 {
		t.Errorf("only %d codes found: this test no longer knows how they are written", len(found))
	}
}
