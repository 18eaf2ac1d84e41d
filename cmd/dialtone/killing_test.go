//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// killing is a server that will be killed, with its vendors and its database, and
// one person who wants to sign in.
type killing struct {
	t        *testing.T
	dir      string
	issuer   string
	database string
	d        *db.DB // the test's own handle
	inbox    *fake.Inbox
	vendors  map[string]*vendorAt
	held     net.Listener // where the provider "held" is reached
	log      *logPipe
	server   *exec.Cmd

	client          *http.Client
	flow, challenge string
	asked           chan *http.Response // the answer to the last ask, nil if there was none
}

const (
	victim     = "+8613800138077"
	fakeID     = "id-of-the-tests"
	fakeSecret = "0123456789abcdef0123456789abcdef"
)

func newKilling(t *testing.T, database string) *killing {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
	k := &killing{
		t: t, dir: t.TempDir(), issuer: "http://" + unusedAddress(t), database: database, d: dbtest.OpenURL(t, database),
		inbox: fake.NewInbox(), vendors: map[string]*vendorAt{}, held: held, log: newLogPipe(t),
		client: &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	config := func(id string, params ...fake.Param) fake.Config {
		return fake.Config{Inbox: k.inbox, Limits: []fake.Limit{}, Templates: []fake.Template{{ID: id, Text: "a code", Params: params}}}
	}
	code, minutes := fake.Param{Name: "code"}, fake.Param{Name: "minutes"}
	keys := map[string]string{fakeID: fakeSecret}
	for name, v := range map[string]vendor{
		"aliyun":     fake.NewAliyun(fake.AliyunConfig{Config: config("SMS_1", code), Keys: keys}),
		"tencent":    fake.NewTencent(fake.TencentConfig{Config: config("1", code, minutes), Keys: keys}),
		"netease":    fake.NewNetEase(fake.NetEaseConfig{Config: config("1", code), Apps: keys}),
		"yuntongxun": fake.NewYuntongxun(fake.YuntongxunConfig{Config: config("1", code, minutes), Accounts: map[string]fake.YuntongxunAccount{fakeSecret: {Token: fakeSecret}}}),
	} {
		at := &vendorAt{vendor: v}
		srv := httptest.NewServer(at)
		t.Cleanup(srv.Close)
		at.url = srv.URL
		k.vendors[name] = at
	}
	return k
}

type vendor interface {
	http.Handler
	Script(next ...fake.Outcome)
	Calls() int
}

// vendorAt is a fake and where it listens. taken, if there is one, is called when
// the fake has judged a request, before its answer leaves.
type vendorAt struct {
	vendor
	url   string
	taken atomic.Pointer[func()]
}

func (v *vendorAt) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	taken := v.taken.Load()
	if taken == nil {
		v.vendor.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	v.vendor.ServeHTTP(answer, r)
	(*taken)()
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// start runs the server; it logs into k.log.
func (k *killing) start(route string) {
	k.t.Helper()
	keys := fmt.Sprintf("secret_id: %s, secret_key: %s, sdk_app_id: \"1400000001\", sign_name: sign, template_id: \"1\"", fakeID, fakeSecret)
	path := filepath.Join(k.dir, "config.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, `
issuer: %s
listen: %q
operator_listen: ""
database: %q
master_secrets: ["a master secret of the tests, long enough to pass"]
sms:
  routes: {CN: [%s]}
  providers:
    aliyun: {type: aliyun, endpoint: %q, access_key_id: %[6]s, access_key_secret: %[7]s, sign_name: sign, template_code: SMS_1}
    netease: {type: netease, endpoint: %[8]q, app_key: %[6]s, app_secret: %[7]s, template_id: "1"}
    yuntongxun: {type: yuntongxun, endpoint: %[9]q, account_sid: %[7]q, auth_token: %[7]q, app_id: app1, template_id: "1", params: ["{{code}}", "{{minutes}}"]}
    tencent: {type: tencent, endpoint: %[10]q, %[11]s}
    held: {type: tencent, endpoint: "https://%[12]s", %[11]s}
  limits: {consecutive: 128, per_device_numbers_day: 100, per_device_day: 100, per_address_numbers_10m: 100}
clients:
  - {client_id: native, token_endpoint_auth_method: none, application_type: native, skip_agreement: true, first_party: true, redirect_uris: ["http://127.0.0.1/cb"]}
`, k.issuer, strings.TrimPrefix(k.issuer, "http://"), k.database, route,
		k.vendors["aliyun"].url, fakeID, fakeSecret, k.vendors["netease"].url, k.vendors["yuntongxun"].url,
		k.vendors["tencent"].url, keys, k.held.Addr()), 0o600); err != nil {
		k.t.Fatal(err)
	}
	k.server = serveUntilKilled(k.t, k.dir, path, k.issuer, k.log.server)
}

// kill ends the server with SIGKILL and waits until it is gone.
func (k *killing) kill() {
	k.t.Helper()
	if err := k.server.Process.Kill(); err != nil {
		k.t.Fatal(err)
	}
	_ = k.server.Wait() // killed
	k.log.drain()
}

// arrive brings the person to the page that asks for a number.
func (k *killing) arrive() {
	k.t.Helper()
	res, err := k.client.Get(k.issuer + "/oauth2/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {"native"}, "redirect_uri": {"http://127.0.0.1:9/cb"}, "scope": {"openid"}, "state": {"state-of-the-test"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636 appendix B
	}.Encode())
	if err != nil {
		k.t.Fatal(err)
	}
	if k.flow = location(res).Get("flow"); k.flow == "" {
		k.t.Fatal("nobody asks for a number")
	}
}

// ask has the person ask for a code.
func (k *killing) ask() {
	asked := make(chan *http.Response, 1)
	k.asked = asked
	go func() { asked <- k.post("/login", "flow", k.flow, "phone", victim) }()
}

// post is nil if the server did not answer.
func (k *killing) post(path string, pairs ...string) *http.Response {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	res, err := k.client.PostForm(k.issuer+path, form)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res
}

// status is an answer in a word.
func status(res *http.Response) string {
	if res == nil {
		return "not at all"
	}
	return res.Status
}

// location is what an answer sends the browser on with.
func location(res *http.Response) url.Values {
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil {
		return nil
	}
	return u.Query()
}

func (k *killing) until(what string, done func() bool) {
	k.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			k.t.Fatalf("waited in vain until %s; ledger %q", what, k.ledger())
		}
	}
}

// lockLedger keeps everybody else from writing to the ledger: on SQLite nobody
// writes to anything then.
func (k *killing) lockLedger() (release func()) {
	held, let, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	nothing := errors.New("nothing to commit")
	go func() {
		done <- k.d.Tx(context.Background(), func(ctx context.Context) error {
			if k.d.Engine() == db.Postgres {
				if _, err := k.d.Exec(ctx, `LOCK TABLE sms_ledger IN SHARE MODE`); err != nil {
					return err
				}
			}
			close(held)
			<-let
			return nothing
		})
	}()
	select {
	case <-held:
	case err := <-done:
		k.t.Error(err)
		return func() {}
	}
	return func() {
		close(let)
		if err := <-done; !errors.Is(err, nothing) {
			k.t.Error(err)
		}
	}
}

// ledger is the states of the messages, the oldest first.
func (k *killing) ledger() string {
	k.t.Helper()
	rows, err := k.d.Query(context.Background(), `SELECT state FROM sms_ledger ORDER BY reserved_at`)
	if err != nil {
		k.t.Fatal(err)
	}
	defer rows.Close()
	var states []string
	for rows.Next() {
		var state string
		if err := rows.Scan(&state); err != nil {
			k.t.Fatal(err)
		}
		states = append(states, state)
	}
	if err := rows.Err(); err != nil {
		k.t.Fatal(err)
	}
	return strings.Join(states, " ")
}

// age moves what was sent into the past.
func (k *killing) age(by time.Duration) {
	k.t.Helper()
	if _, err := k.d.Exec(context.Background(), `UPDATE sms_ledger SET reserved_at = reserved_at - $1`, by.Microseconds()); err != nil {
		k.t.Fatal(err)
	}
}

// limits is how many coarse limits something was taken from.
func (k *killing) limits() (n int) {
	k.t.Helper()
	where := k.d
	if k.d.Engine() == db.SQLite {
		beside, err := db.Open(context.Background(), "sqlite:"+filepath.Join(k.dir, "ephemeral.db"), db.Relaxed)
		if err != nil {
			k.t.Fatal(err)
		}
		defer beside.Close()
		where = beside
	}
	if err := where.QueryRow(context.Background(), `SELECT count(*) FROM ephemeral_limits`).Scan(&n); err != nil {
		k.t.Fatal(err)
	}
	return n
}

// logPipe is where a server logs to, and can be stopped up.
type logPipe struct {
	t      *testing.T
	server *os.File // the server's end
	filler *os.File // another one, which does not block
	reader *os.File
	read   chan struct{} // closed when nobody reads any more
}

func newLogPipe(t *testing.T) *logPipe {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &logPipe{t: t}
	for _, end := range []struct {
		file **os.File
		flag int
	}{{&p.reader, os.O_RDONLY}, {&p.server, os.O_WRONLY}, {&p.filler, os.O_WRONLY}} {
		f, err := os.OpenFile(path, end.flag|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		*end.file = f
		t.Cleanup(func() { f.Close() })
	}
	p.drain()
	return p
}

// drain reads on, if that was stopped.
func (p *logPipe) drain() {
	p.stop()
	_ = p.reader.SetReadDeadline(time.Time{})
	read := make(chan struct{})
	p.read = read
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, p.reader)
	}()
}

func (p *logPipe) stop() {
	if p.read == nil {
		return
	}
	_ = p.reader.SetReadDeadline(time.Unix(1, 0))
	<-p.read
}

// fill stops reading and leaves no room in the pipe.
func (p *logPipe) fill() {
	p.t.Helper()
	p.stop()
	_ = p.filler.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := p.filler.Write(make([]byte, 4<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("the pipe took all: %v", err)
	}
}
