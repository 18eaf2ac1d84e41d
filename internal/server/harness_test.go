package server_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/server"
)

// mode is one way to run Dialtone; every end-to-end test holds in all of them.
type mode struct {
	name     string
	postgres bool
	redis    bool
	replicas int
}

var modes = []mode{
	{"sqlite", false, false, 1},
	{"postgres", true, false, 1},
	{"postgres+redis", true, true, 1},
	{"two replicas", true, true, 2},
	{"two replicas without redis", true, false, 2},
}

// each runs a test in every mode whose services are here; DIALTONE_TEST_REQUIRE=1
// makes absence a failure.
func each(t *testing.T, test func(t *testing.T, s *stack)) {
	t.Helper()
	for _, m := range modes {
		if m.postgres && os.Getenv("DIALTONE_TEST_POSTGRES") == "" || m.redis && os.Getenv("DIALTONE_TEST_REDIS") == "" {
			if os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
				t.Fatalf("%s needs DIALTONE_TEST_POSTGRES and DIALTONE_TEST_REDIS", m.name)
			}
			continue
		}
		t.Run(m.name, func(t *testing.T) { test(t, start(t, m)) })
	}
}

// stack is a running Dialtone behind a round-robin proxy, with the sink that its
// messages reach and everything it ever logged.
type stack struct {
	issuer   string
	sink     *sink
	log      *safeBuffer
	replicas []*server.Server
	metrics  []string // operator listeners
	database string
	stop     func()
}

// options adjust what start writes into the configuration.
type options struct {
	redisURL string // over DIALTONE_TEST_REDIS
	extra    string // more YAML at the top level
	limits   string // YAML flow mapping members of sms.limits
	clients  string // more items of clients
	vendors  string // more members of sms.providers
	route    string // the route of CN, "sink" if empty
	named    bool   // the issuer's host is localhost: there are no passkeys for an address

	adjust func(*config.Config) // what the file above says already
}

func start(t *testing.T, m mode) *stack { return startWith(t, m, options{}) }

func startWith(t *testing.T, m mode, o options) *stack {
	t.Helper()
	s := &stack{sink: newSink(t), log: &safeBuffer{}}
	front := newProxy(t)
	s.issuer = front.url
	if o.named {
		s.issuer = strings.Replace(front.url, "127.0.0.1", "localhost", 1)
	}
	dir := t.TempDir()
	s.database = "sqlite:" + filepath.Join(dir, "dialtone.db")
	if m.postgres {
		s.database = dbtest.PostgresURL(t)
	}
	redis := o.redisURL
	if m.redis && redis == "" {
		redis = os.Getenv("DIALTONE_TEST_REDIS")
	}
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(configuration(s, dir, redis, o)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for i := range m.replicas {
		c, err := config.Load(config.Source{Path: path, Environ: nil, Dev: true, DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if o.adjust != nil {
			o.adjust(&c)
		}
		operator := freeAddress(t)
		c.Listen, c.OperatorListen = "127.0.0.1:0", operator
		srv, err := server.New(ctx, c, server.Options{Dev: true, Version: "test", Log: log, Console: s.log})
		if err != nil {
			t.Fatalf("replica %d: %v", i, err)
		}
		ready := make(chan net.Addr, 1)
		wait.Go(func() {
			if err := srv.Serve(ctx, func(a net.Addr) { ready <- a }); err != nil {
				t.Errorf("serve: %v", err)
			}
			if err := srv.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		select {
		case a := <-ready:
			front.add(a.String())
		case <-time.After(20 * time.Second):
			t.Fatal("the server did not start")
		}
		s.replicas, s.metrics = append(s.replicas, srv), append(s.metrics, "http://"+operator)
	}
	s.stop = sync.OnceFunc(func() { cancel(); wait.Wait() })
	t.Cleanup(s.stop)
	return s
}

const masterSecret = "a master secret of the tests, long enough to pass"

// configuration is what an operator would write.
func configuration(s *stack, dir, redis string, o options) string {
	return fmt.Sprintf(`
issuer: %[1]s
database: %[2]q
redis: %[3]q
data_dir: %[4]q
master_secrets: [%[5]q]
shutdown_grace: 15s
log: {level: debug}
sms:
  regions: [CN]
  routes: {CN: [%[12]s]}
  providers:
    sink: {type: webhook, url: %[6]q, secret: %[7]s}
    console: {type: console}%[13]s
  test_numbers: {"+8613800138999": "246810"}
  limits: {per_prefix_10m: 100000, per_prefix_hour: 100000, consecutive: 128, per_device_numbers_day: 100000, per_device_day: 100000, per_address_numbers_10m: 100000, per_address_hour: 100000, per_address_day: 100000, per_client_hour: 100000, per_client_day: 100000, service_per_second: 100000, service_per_day: 1000000%[8]s}
clients:
  - {client_id: web, client_secret: %[9]s, token_endpoint_auth_method: client_secret_basic, client_name: "Web Shop", skip_agreement: true, first_party: true,
     redirect_uris: ["https://rp.example/cb"], post_logout_redirect_uris: ["https://rp.example/bye"], grant_types: [authorization_code, refresh_token]}
  - {client_id: web2, client_secret: %[9]s, token_endpoint_auth_method: client_secret_post, client_name: "Second", skip_agreement: true, first_party: true,
     redirect_uris: ["https://rp2.example/cb"], grant_types: [authorization_code, refresh_token], id_token_signed_response_alg: ES256}
  - {client_id: third, token_endpoint_auth_method: none, client_name: "Third Party", redirect_uris: ["https://third.example/cb"], grant_types: [authorization_code, refresh_token]}
  - {client_id: native, token_endpoint_auth_method: none, application_type: native, skip_agreement: true, first_party: true,
     redirect_uris: ["http://127.0.0.1/cb"], grant_types: [authorization_code, refresh_token]}
  - {client_id: app, token_endpoint_auth_method: none, skip_agreement: true, first_party: true,
     grant_types: ["urn:dialtone:params:oauth:grant-type:sms-code", refresh_token], scope: "openid phone offline_access"}
  - {client_id: legacy, client_secret: %[9]s, token_endpoint_auth_method: client_secret_basic, require_pkce: false, skip_agreement: true, first_party: true,
     redirect_uris: ["https://legacy.example/cb"], grant_types: [authorization_code]}
  - {client_id: machine, client_secret: %[9]s, token_endpoint_auth_method: client_secret_basic, first_party: true, grant_types: [client_credentials], scope: "read write"}%[11]s
%[10]s
`, s.issuer, s.database, redis, dir, masterSecret, s.sink.url, sinkSecret, o.limits, clientSecret, o.extra, o.clients, cmp.Or(o.route, "sink"), o.vendors)
}

const (
	sinkSecret   = "webhook-secret-of-the-tests"
	clientSecret = "client-secret-of-the-tests-that-is-long-enough"
)

// sink is a webhook that receives codes, checks their signature and counts them.
type sink struct {
	url   string
	mu    sync.Mutex
	got   map[string][]string // number to codes, in order
	ids   map[string]int      // message id to count
	fault func(http.ResponseWriter) bool
}

func newSink(t *testing.T) *sink {
	s := &sink{got: map[string][]string{}, ids: map[string]int{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read a message: %v", err)
		}
		if !validSignature(r.Header.Get("Dialtone-Signature"), body) {
			t.Errorf("a message came with a wrong signature")
		}
		var m struct {
			To, Code, Purpose, Locale string
			ExpiresIn                 int    `json:"expires_in"`
			MessageID                 string `json:"message_id"`
		}
		if err := json.Unmarshal(body, &m); err != nil || len(m.Code) != 6 || m.MessageID == "" || m.ExpiresIn <= 0 || m.Purpose != "login" {
			t.Errorf("a message is not as documented: %v", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fault != nil && s.fault(w) {
			return
		}
		s.got[m.To] = append(s.got[m.To], m.Code)
		s.ids[m.MessageID]++
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL + "/sms"
	return s
}

// validSignature checks "t=UNIX,v1=HEX" over "UNIX.body".
func validSignature(header string, body []byte) bool {
	t, v1, ok := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	if !ok {
		return false
	}
	mac := hmac.New(sha256.New, []byte(sinkSecret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	want := hex.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(want), []byte(v1))
}

// codes are all that arrived for a number.
func (s *sink) codes(number string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got[number]...)
}

// last waits for the newest code of a number: the answer may be ahead of it by
// the length of one delivery.
func (s *sink) last(t *testing.T, number string) string {
	t.Helper()
	for range 300 {
		if c := s.codes(number); len(c) > 0 {
			return c[len(c)-1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no code arrived")
	return ""
}

func (s *sink) total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.got {
		n += len(c)
	}
	return n
}

// all is every number and code that was ever sent, for the leak scan.
func (s *sink) all() (secrets []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, codes := range s.got {
		secrets = append(secrets, n, strings.TrimPrefix(n, "+86"))
		secrets = append(secrets, codes...)
	}
	return secrets
}

var nextNumber atomic.Int64

// newNumber is +86 138 0013 and four digits that no other test of this run uses.
func newNumber() string { return fmt.Sprintf("+861380013%04d", nextNumber.Add(1)) }

// proxy sends each request to the next replica, as a load balancer without
// affinity does.
type proxy struct {
	url  string
	mu   sync.Mutex
	to   []string
	next int
}

func newProxy(t *testing.T) *proxy {
	p := &proxy{}
	srv := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			to := p.to[p.next%len(p.to)]
			p.next++
			p.mu.Unlock()
			r.SetURL(&url.URL{Scheme: "http", Host: to})
			r.Out.Host = r.In.Host
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	})
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

func (p *proxy) add(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = append(p.to, addr)
}

// safeBuffer collects what many goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serve answers on a loopback URL for the length of the test.
func serve(t *testing.T, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// serveLanding is a relying party's redirect URI that a browser can arrive at.
func serveLanding(t *testing.T) string {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><title>landed</title><p id="landed">landed</p>`)
	})
}
