package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// runVerb runs a verb in this process and returns what it said and its exit code.
func runVerb(t *testing.T, in string, args ...string) (out, errs string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(in))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	err := root.ExecuteContext(t.Context())
	if err != nil {
		stderr.WriteString(explain(err))
	}
	return stdout.String(), stderr.String(), exitCode(err)
}

// startFake runs `dialtone sms fake` and returns the settings it prints, its
// address, and its further lines.
func startFake(t *testing.T, args ...string) (settings, address string, lines *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	root := newRoot()
	root.SetArgs(append([]string{"sms", "fake", "--listen", "127.0.0.1:0"}, args...))
	root.SetOut(w)
	done := make(chan error, 1)
	go func() {
		done <- root.ExecuteContext(ctx)
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, r) }()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	lines = bufio.NewScanner(r)
	for lines.Scan() && lines.Text() != "" {
		settings += lines.Text() + "\n"
		if _, rest, ok := strings.Cut(lines.Text(), "through "); ok {
			address, _, _ = strings.Cut(rest, ". The")
		}
	}
	return settings, address, lines
}

// What the fake prints is a configuration, and every provider of it works.
func TestTrialsThroughTheFake(t *testing.T) {
	settings, address, lines := startFake(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "dialtone.yaml")
	if err := os.WriteFile(file, []byte("issuer: https://id.example.com\nmaster_secrets: [a-master-secret-of-the-tests-long-enough]\n"+settings), 0o600); err != nil {
		t.Fatal(err)
	}
	dialtone := func(in string, args ...string) (string, string, int) {
		t.Helper()
		return runVerb(t, in, append(args, "--config", file, "--data-dir", dir)...)
	}
	var report struct {
		Outcome, Number string
		MessageID       string `json:"message_id"`
		Attempts        []struct{ Provider, Class, Code, Means string }
	}
	for i, provider := range []string{"aliyun", "tencent", "netease", "yuntongxun"} {
		number := "+861380013800" + string(rune('0'+i))
		out, errs, code := dialtone("", "sms", "test", number, "--provider", provider, "--yes", "-o", "json")
		if code != 0 || json.Unmarshal([]byte(out), &report) != nil || report.Outcome != "accepted" || report.Attempts[0].Provider != provider {
			t.Fatalf("%s: %d %s %s", provider, code, out, errs)
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), number) || !strings.Contains(lines.Text(), provider) {
			t.Errorf("%s: the fake printed %q", provider, lines.Text())
		}
		if strings.Contains(out, number[3:]) {
			t.Errorf("%s: the report shows the number", provider)
		}
	}
	inbox := read(t, address+"/inbox")
	if len(inbox) != 4 || inbox[3].Provider != "aliyun" || len(inbox[3].Code()) != 6 {
		t.Errorf("inbox: %+v", inbox)
	}

	out, errs, code := dialtone("", "sms", "test", "+8613800138000", "--yes")
	if code != 1 || !strings.Contains(errs, "sms_too_soon") {
		t.Errorf("the number's own limit: %d %s %s", code, out, errs)
	}
	for answer, want := range map[string]int{"": 2, "n\n": 1, "\n": 1} {
		if out, errs, code := dialtone(answer, "sms", "test", "+8613800138005"); code != want || out != "" || !strings.Contains(errs, "138****8005") {
			t.Errorf("answered %q: %d %s %s", answer, code, out, errs)
		}
	}
	if out, errs, code := dialtone("y\n", "sms", "test", "+8613800138005"); code != 0 || !strings.Contains(out, "accepted") {
		t.Errorf("confirmed: %d %s %s", code, out, errs)
	}
	for what, c := range map[string]struct {
		code int
		args []string
	}{
		"no number":         {1, []string{"sms", "test", "12345", "--yes"}},
		"other region":      {1, []string{"sms", "test", "+12025550101", "--yes"}},
		"no such provider":  {4, []string{"sms", "test", "+8613800138006", "--provider", "nobody", "--yes"}},
		"no such purpose":   {2, []string{"sms", "test", "+8613800138006", "--purpose", "fun", "--yes"}},
		"two numbers":       {2, []string{"sms", "test", "+8613800138006", "+8613800138007", "--yes"}},
		"two in one":        {1, []string{"sms", "test", "+8613800138006,+8613800138007", "--yes"}},
		"since the future":  {2, []string{"sms", "status", "--since", "-1h"}},
		"fake for everyone": {2, []string{"sms", "fake", "--listen", "0.0.0.0:0"}},
		"fake failing odd":  {2, []string{"sms", "fake", "--listen", "127.0.0.1:0", "--fail", "nobody=hang"}},
	} {
		if out, errs, code := dialtone("", c.args...); code != c.code || out != "" || errs == "" {
			t.Errorf("%s: %d %s %s", what, code, out, errs)
		}
	}
	if n := len(read(t, address+"/inbox")); n != 5 {
		t.Errorf("%d messages in all", n)
	}
	statusOfTrials(t, dialtone)
}

func statusOfTrials(t *testing.T, dialtone func(string, ...string) (string, string, int)) {
	out, errs, code := dialtone("", "sms", "status", "-o", "json", "--receipts")
	var status struct {
		Day       struct{ Used, Limit int }
		Providers []struct {
			Name, State string
			ReceiptURL  string `json:"receipt_url"`
		}
		Routes map[string][]string
		Sends  []struct{ Provider, Region string }
	}
	if code != 0 || json.Unmarshal([]byte(out), &status) != nil {
		t.Fatalf("status: %d %s %s", code, out, errs)
	}
	if status.Day.Used != 5 || status.Day.Limit == 0 || len(status.Providers) != 4 || len(status.Routes["CN"]) != 4 || len(status.Sends) != 4 || status.Sends[0].Region != "CN" {
		t.Errorf("status: %s", out)
	}
	for _, p := range status.Providers {
		if p.State != "closed" || strings.HasPrefix(p.ReceiptURL, "https://id.example.com/v1/sms/receipts/"+p.Name+"/") != (p.Name != "yuntongxun") {
			t.Errorf("status of %+v", p)
		}
	}
	out, _, code = dialtone("", "sms", "status")
	if code != 0 || !strings.Contains(out, "PROVIDER") || strings.Contains(out, "receipts/") {
		t.Errorf("status: %d %s", code, out)
	}
	for line := range strings.Lines(out) {
		if len(strings.TrimRight(line, " \n")) > 100 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
}

// A route goes on where a provider certainly did not send, and stops where it may have.
func TestTrialTellsOutcomesApart(t *testing.T) {
	settings, address, _ := startFake(t, "--fail", "aliyun=isv.SMS_TEMPLATE_ILLEGAL", "--fail", "tencent=http500")
	dir := t.TempDir()
	file := filepath.Join(dir, "dialtone.yaml")
	if err := os.WriteFile(file, []byte("issuer: https://id.example.com\nmaster_secrets: [a-master-secret-of-the-tests-long-enough]\n"+settings), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := runVerb(t, "", "sms", "test", "+8613800138000", "--yes", "--config", file, "--data-dir", dir)
	if code != 6 || !strings.Contains(out, "isv.SMS_TEMPLATE_ILLEGAL") || !strings.Contains(out, "the template is not approved") || !strings.Contains(out, "http_500") || strings.Contains(out, "netease") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	out, _, code = runVerb(t, "", "sms", "test", "+8613800138001", "--provider", "aliyun", "--yes", "--config", file, "--data-dir", dir, "-o", "yaml")
	if code != 1 || !strings.Contains(out, "outcome: rejected") || !strings.Contains(out, "class: C") {
		t.Errorf("%d %s", code, out)
	}
	if n := len(read(t, address+"/inbox")); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func read(t *testing.T, url string) (all []fake.Received) {
	t.Helper()
	resp, err := http.Get(url) //nolint:gosec,noctx // the test's own server
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}
