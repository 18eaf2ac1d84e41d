package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/config"
)

// sentinels are three that watch a primary and its replica.
type sentinels struct {
	t                *testing.T
	primary, replica *ownRedis
	watchers         []*ownRedis
}

func startSentinels(t *testing.T) *sentinels {
	t.Helper()
	w := &sentinels{t: t, primary: startRedis(t)}
	host, port, _ := net.SplitHostPort(w.primary.addr)
	w.replica = startRedis(t, "--replicaof", host+" "+port)
	w.until("the replica follows", func() bool {
		return strings.Contains(w.replica.ask("INFO replication"), "master_link_status:up")
	})
	for i := range 3 {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("sentinel%d.conf", i))
		if err := os.WriteFile(file, fmt.Appendf(nil, "sentinel monitor dialtone %s %s 2\nsentinel down-after-milliseconds dialtone 500\nsentinel failover-timeout dialtone 2000\n", host, port), 0o600); err != nil {
			t.Fatal(err)
		}
		w.watchers = append(w.watchers, startRedis(t, file, "--sentinel"))
	}
	for _, s := range w.watchers {
		w.until("the sentinels know each other", func() bool { return strings.Contains(s.ask("INFO sentinel"), "slaves=1,sentinels=3") })
	}
	return w
}

func (w *sentinels) url() string {
	var hosts []string
	for _, s := range w.watchers {
		hosts = append(hosts, s.addr)
	}
	return "redis-sentinel://" + strings.Join(hosts, ",") + "/dialtone"
}

func (w *sentinels) until(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// promoted reports whether the sentinels send clients to what was the replica.
func (w *sentinels) promoted() bool {
	_, port, _ := net.SplitHostPort(w.replica.addr)
	for _, s := range w.watchers {
		if !strings.Contains(s.ask("INFO sentinel"), "status=ok,address=127.0.0.1:"+port+",") {
			return false
		}
	}
	return true
}

// ask sends one command and returns what is answered, up to its end.
func (r *ownRedis) ask(command string) string {
	c, err := net.DialTimeout("tcp", r.addr, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return ""
	}
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	var length int
	if _, bulk := fmt.Sscanf(line, "$%d", &length); err != nil || bulk != nil {
		return line
	}
	text := make([]byte, max(length, 0))
	if _, err := io.ReadFull(in, text); err != nil {
		return ""
	}
	return string(text)
}

// The primary is killed and Sentinel promotes its replica, which has not heard of
// the last things that were used, while people sign in and two numbers are asked
// for codes without a pause. No number gets more than its day, nothing that was
// used works again, and sign-ins go on: whoever was in the middle of one begins
// once more at most.
func TestSentinelPromotesAReplica(t *testing.T) {
	needed(t, "DIALTONE_TEST_POSTGRES")
	for _, m := range []mode{{"two replicas", true, true, 2}, {"sqlite", false, true, 1}} {
		t.Run(m.name, func(t *testing.T) {
			w := startSentinels(t)
			s := startWith(t, m, options{redisURL: w.url(), adjust: func(c *config.Config) {
				c.SMS.Limits.Cooldown, c.SMS.Limits.PerHour = time.Nanosecond, 40
			}})
			owner, victims := newAgent(t, s), []string{newNumber(), newNumber()}
			owner.signIn(newRequest("web", "https://rp.example/cb"), victims[0]) // and its device is known
			var before []spentSignIn
			for range 3 {
				before = append(before, spend(t, s, func() {}))
			}
			// What follows is not replicated.
			before = append(before, spend(t, s, func() {
				w.until("the replica has it all", func() bool { return w.primary.ask("WAIT 1 1000") == ":1\r\n" })
				if answer := w.replica.ask("REPLICAOF NO ONE"); answer != "+OK\r\n" {
					t.Fatal(answer)
				}
			}))

			crowd := newVisitors(s)
			crowd.bomb(owner.client.Jar, victims[0])
			crowd.bomb(nil, victims[0])
			crowd.bomb(nil, victims[1])
			for range 3 {
				crowd.signIns(t)
			}
			crowd.waitFor(t, w, 10)
			w.primary.stop()
			during := crowd.signedIn.Load()
			w.until("the replica is promoted", w.promoted)
			t.Logf("promoted; %d sign-ins meanwhile", crowd.signedIn.Load()-during)
			if crowd.signedIn.Load() == during {
				t.Error("nobody signed in while there was no Redis")
			}
			w.until("the servers use it", func() bool {
				for _, at := range s.metrics {
					if !strings.Contains(owner.get(at+"/metrics").body, "dialtone_ephemeral_degraded 0") {
						return false
					}
				}
				return true
			})
			crowd.waitFor(t, w, 10)
			crowd.leave()

			for _, used := range before {
				used.wantUseless()
			}
			for i, want := range []int{10, 6} {
				if n := len(s.sink.codes(victims[i])); n != want {
					t.Errorf("number %d got %d messages, want %d", i, n, want)
				}
			}
			newAgent(t, s).signIn(newRequest("web", "https://rp.example/cb"), newNumber())
		})
	}
}

// spentSignIn is one of which everything was used.
type spentSignIn struct {
	agent         *agent
	request       request
	waiting       waiting
	code, refresh string
	desk          *agent // signed in by QR code, as it was before
	qr            drawnQR
}

// spend signs somebody in and uses it all up, after ready.
func spend(t *testing.T, s *stack, ready func()) spentSignIn {
	t.Helper()
	u := spentSignIn{agent: newAgent(t, s), request: newRequest("web", "https://rp.example/cb")}
	u.waiting = u.agent.begin(u.request, newNumber())
	u.code = u.agent.codeOf(u.request, u.agent.finish(u.waiting))
	desk := newAgent(t, s)
	u.qr = desk.drawQR(u.request)
	u.agent.scanQR(u.qr)
	u.agent.allowQR(u.qr)
	u.desk = desk.copied()
	ready()
	desk.codeOf(u.request, desk.post("/login/qr", u.qr.form()))
	answer := u.agent.redeem(u.request, u.code)
	for range 2 {
		if answer.status != http.StatusOK {
			t.Fatalf("token endpoint: %d %s", answer.status, answer.body)
		}
		if u.refresh == "" {
			u.refresh = text(answer.json(t), "refresh_token")
		}
		answer = u.agent.refresh("web", text(answer.json(t), "refresh_token"))
	}
	return u
}

// copied is another browser with the same cookies.
func (a *agent) copied() *agent {
	a.t.Helper()
	u, err := url.Parse(a.s.issuer)
	if err != nil {
		a.t.Fatal(err)
	}
	other := newAgent(a.t, a.s)
	other.client.Jar.SetCookies(u, a.client.Jar.Cookies(u))
	return other
}

func (u spentSignIn) wantUseless() {
	t := u.agent.t
	t.Helper()
	if to := u.desk.post("/login/qr", u.qr.form()).location(t); to.Host == "rp.example" {
		t.Error("a used QR code signed in again")
	}
	if r := u.agent.finish(u.waiting); r.status == http.StatusSeeOther && r.location(t).Query().Get("code") != "" {
		t.Error("a used SMS code signed in again")
	}
	if r := u.agent.redeem(u.request, u.code); r.status != http.StatusBadRequest || r.json(t)["error"] != "invalid_grant" {
		t.Errorf("a used authorization code: %d %s", r.status, r.body)
	}
	if r := u.agent.refresh("web", u.refresh); r.status != http.StatusBadRequest || r.json(t)["error"] != "invalid_grant" {
		t.Errorf("a used refresh token: %d %s", r.status, r.body)
	}
}

// visitors come and go for as long as a test lets them.
type visitors struct {
	s        *stack
	going    sync.WaitGroup
	end      chan struct{}
	signedIn atomic.Int64
	asked    atomic.Int64
}

func newVisitors(s *stack) *visitors { return &visitors{s: s, end: make(chan struct{})} }

func (v *visitors) leave() {
	close(v.end)
	v.going.Wait()
}

// stay repeats what somebody does.
func (v *visitors) stay(do func()) {
	v.going.Go(func() {
		for {
			select {
			case <-v.end:
				return
			default:
				do()
			}
		}
	})
}

// waitFor waits for so many more sign-ins and requests for codes.
func (v *visitors) waitFor(t *testing.T, w *sentinels, n int64) {
	t.Helper()
	signedIn, asked := v.signedIn.Load()+n, v.asked.Load()+n
	w.until("people sign in", func() bool { return v.signedIn.Load() >= signedIn && v.asked.Load() >= asked })
}

// submit posts a form; it is an answer without a body, nil if there was none.
func submit(c *http.Client, to string, pairs ...string) *http.Response {
	res, err := c.PostForm(to, values(pairs...))
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res
}

func browserWith(jar http.CookieJar) *http.Client {
	return &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// arrive is the flow of a new sign-in, "" if there is none.
func (v *visitors) arrive(c *http.Client, q request) string {
	res, err := c.Get(v.s.issuer + "/oauth2/authorize?" + q.values().Encode())
	if err != nil {
		return ""
	}
	res.Body.Close()
	to, err := res.Location()
	if err != nil {
		return ""
	}
	return to.Query().Get("flow")
}

// bomb asks for codes of one number, from a browser that has these cookies.
func (v *visitors) bomb(jar http.CookieJar, number string) {
	if jar == nil {
		jar, _ = cookiejar.New(nil)
	}
	c, q := browserWith(jar), newRequest("web", "https://rp.example/cb")
	q.extra = url.Values{"prompt": {"login"}} // also of who is signed in
	v.stay(func() {
		if flow := v.arrive(c, q); flow != "" && submit(c, v.s.issuer+"/login", "flow", flow, "phone", number) != nil {
			v.asked.Add(1)
		}
	})
}

// signIns are one person after another, who begins anew if a step fails; that
// happens to nobody twice.
func (v *visitors) signIns(t *testing.T) {
	v.stay(func() {
		for try := 1; !v.signIn(newNumber()); try++ {
			if try > 1 {
				t.Errorf("somebody could not sign in %d times", try)
				return
			}
		}
		v.signedIn.Add(1)
	})
}

func (v *visitors) signIn(number string) bool {
	jar, _ := cookiejar.New(nil)
	c, q := browserWith(jar), newRequest("web2", "https://rp2.example/cb")
	flow := v.arrive(c, q)
	res := submit(c, v.s.issuer+"/login", "flow", flow, "phone", number)
	to := next(res)
	codes := v.s.sink.codes(number)
	if len(codes) == 0 {
		return false
	}
	to = next(submit(c, v.s.issuer+"/login/code", "flow", flow, "challenge", to.Get("challenge"), "code", codes[0]))
	res = submit(c, v.s.issuer+"/oauth2/token", "grant_type", "authorization_code", "client_id", "web2", "client_secret", clientSecret,
		"code", to.Get("code"), "redirect_uri", q.redirect, "code_verifier", q.verifier)
	return res != nil && res.StatusCode == http.StatusOK
}

// next is what an answer sends the browser on with.
func next(res *http.Response) url.Values {
	if res == nil {
		return nil
	}
	to, err := res.Location()
	if err != nil {
		return nil
	}
	return to.Query()
}
