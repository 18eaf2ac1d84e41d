package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// A replica is killed with SIGKILL in the middle of sign-ins under load, several
// times. Afterwards every token that was handed out still works, every refresh
// token that was exchanged is refused, and no message was sent twice.
func TestKillNineUnderLoad(t *testing.T) {
	databases := map[string]string{"sqlite": ""}
	if os.Getenv("DIALTONE_TEST_POSTGRES") != "" {
		databases["postgres"] = dbtest.PostgresURL(t)
	} else if os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
		t.Fatal("DIALTONE_TEST_POSTGRES is not set")
	}
	for name, database := range databases {
		t.Run(name, func(t *testing.T) { killUnderLoad(t, database) })
	}
}

func killUnderLoad(t *testing.T, database string) {
	box := newMailbox(t)
	dir := t.TempDir()
	if database == "" {
		database = "sqlite:" + filepath.Join(dir, "dialtone.db")
	}
	addr := unusedAddress(t)
	issuer := "http://" + addr
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, `
issuer: %s
listen: %q
operator_listen: ""
database: %q
master_secrets: ["a master secret of the tests, long enough to pass"]
sms:
  routes: {CN: [box]}
  providers: {box: {type: webhook, url: %q, secret: webhook-secret-of-the-tests}}
  limits: {per_prefix_10m: 100000, per_prefix_hour: 100000, consecutive: 128, per_device_numbers_day: 100000, per_device_day: 100000, per_address_numbers_10m: 100000, per_address_hour: 100000, per_address_day: 100000, per_client_hour: 100000, per_client_day: 100000, service_per_second: 100000, service_per_day: 1000000}
clients:
  - {client_id: native, token_endpoint_auth_method: none, application_type: native, skip_agreement: true, first_party: true, redirect_uris: ["http://127.0.0.1/cb"]}
`, issuer, addr, database, box.url), 0o600); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(database, "postgres") {
		if out, err := command(t.Context(), "migrate", "up", "--dev", "--data-dir", dir, "--config", path).CombinedOutput(); err != nil {
			t.Fatalf("migrate: %v\n%s", err, out)
		}
	}
	server := serveUntilKilled(t, dir, path, issuer, nil)

	p := &people{issuer: issuer, box: box}
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					p.comeAndGo()
				}
			}
		})
	}
	for range 4 {
		before := p.done.Load()
		for deadline := time.Now().Add(20 * time.Second); p.done.Load() < before+10 && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		if p.done.Load() < before+10 {
			t.Fatalf("nobody gets in any more: %d sign-ins", p.done.Load())
		}
		if err := server.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = server.Wait()
		server = serveUntilKilled(t, dir, path, issuer, nil)
	}
	close(stop)
	wait.Wait()
	p.judge(t)
	_ = server.Process.Kill()
	_ = server.Wait()
}

func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "DIALTONE_TEST_RUN_AS_COMMAND=1")
	return cmd
}

// serveUntilKilled starts a server; log is where it logs to, nil for the test's own
// log if it does not start.
func serveUntilKilled(t *testing.T, dir, path, issuer string, log *os.File) *exec.Cmd {
	t.Helper()
	cmd := command(context.Background(), "serve", "--dev", "--data-dir", dir, "--config", path)
	var errs strings.Builder
	cmd.Stderr = &errs
	if log != nil {
		cmd.Stderr = log
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "ready") {
				ready <- true
			}
		}
		close(ready)
	}()
	select {
	case ok := <-ready:
		if !ok {
			t.Fatalf("the server for %s did not start: %s", issuer, errs.String())
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("the server for %s is not ready: %s", issuer, errs.String())
	}
	return cmd
}

// people sign in, refresh, and remember what they were given.
type people struct {
	issuer string
	box    *mailbox
	done   atomic.Int64

	mu      sync.Mutex
	current []string // refresh tokens that must work
	retired []string // grandparents of current ones: exchanged twice over, must not
}

// comeAndGo is one person: any step may fail because the server was killed, which
// ends the visit; what was handed out before stays promised.
func (p *people) comeAndGo() {
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar, Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	redirect := "http://127.0.0.1:9/cb"
	to := p.follow(c.Get(p.issuer + "/oauth2/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {"native"}, "redirect_uri": {redirect}, "scope": {"openid offline_access"}, "state": {"state-of-the-test"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}.Encode()))
	flow := to.Get("flow")
	number := p.box.number()
	to = p.follow(c.PostForm(p.issuer+"/login", url.Values{"flow": {flow}, "phone": {number}}))
	if to.Get("challenge") == "" {
		return
	}
	code := p.box.code(number)
	if code == "" {
		return
	}
	to = p.follow(c.PostForm(p.issuer+"/login/code", url.Values{"flow": {flow}, "challenge": {to.Get("challenge")}, "code": {code}}))
	first := p.token(c, url.Values{"grant_type": {"authorization_code"}, "client_id": {"native"}, "code": {to.Get("code")}, "redirect_uri": {redirect}, "code_verifier": {verifier}})
	if first == "" {
		return
	}
	p.done.Add(1)
	second := p.insist(c, first)
	third := p.insist(c, second)
	p.mu.Lock()
	p.current, p.retired = append(p.current, third), append(p.retired, first)
	p.mu.Unlock()
}

// insist refreshes as a good client does: an answer that was lost is asked for
// again, with the same token. "" is a promise broken; judge will find it.
func (p *people) insist(c *http.Client, token string) string {
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if next := p.refresh(c, token); next != "" {
			return next
		}
	}
	return ""
}

func (p *people) follow(res *http.Response, err error) url.Values {
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil {
		return nil
	}
	return u.Query()
}

func (p *people) refresh(c *http.Client, token string) string {
	return p.token(c, url.Values{"grant_type": {"refresh_token"}, "client_id": {"native"}, "refresh_token": {token}})
}

func (p *people) token(c *http.Client, form url.Values) string {
	res, err := c.PostForm(p.issuer+"/oauth2/token", form)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if res.StatusCode != http.StatusOK || json.NewDecoder(res.Body).Decode(&answer) != nil {
		return ""
	}
	return answer.RefreshToken
}

func (p *people) judge(t *testing.T) {
	t.Logf("%d sign-ins, %d tokens to keep, %d retired, %d messages", p.done.Load(), len(p.current), len(p.retired), len(p.box.ids))
	c := &http.Client{Timeout: 5 * time.Second}
	for _, token := range p.current {
		if p.refresh(c, token) == "" {
			t.Error("a token that was handed out does not work")
		}
	}
	for _, token := range p.retired {
		if p.refresh(c, token) != "" {
			t.Error("a retired token works")
		}
	}
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	for id, n := range p.box.ids {
		if n != 1 {
			t.Errorf("message %s was sent %d times", id, n)
		}
	}
	for number, n := range p.box.sent {
		if n != 1 {
			t.Errorf("a number got %d messages: %.6s", n, number)
		}
	}
}

// mailbox is the webhook that messages arrive at.
type mailbox struct {
	url   string
	next  atomic.Int64
	mu    sync.Mutex
	codes map[string]string
	sent  map[string]int
	ids   map[string]int
}

func newMailbox(t *testing.T) *mailbox {
	b := &mailbox{codes: map[string]string{}, sent: map[string]int{}, ids: map[string]int{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			To, Code string
			ID       string `json:"message_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("a message is not JSON: %v", err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.codes[m.To] = m.Code
		b.sent[m.To]++
		b.ids[m.ID]++
	}))
	t.Cleanup(srv.Close)
	b.url = srv.URL
	return b
}

func (b *mailbox) number() string { return fmt.Sprintf("+861380013%04d", b.next.Add(1)) }

func (b *mailbox) code(number string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.codes[number]
}

func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
