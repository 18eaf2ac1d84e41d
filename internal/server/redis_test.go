package server_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownRedis is a redis-server that a test may stop, flush and start again.
type ownRedis struct {
	t    *testing.T
	addr string
	args []string
	cmd  *exec.Cmd
}

// startRedis starts one; args go before those that every one has.
func startRedis(t *testing.T, args ...string) *ownRedis {
	t.Helper()
	r := &ownRedis{t: t, addr: freeAddress(t), args: append(args, "--bind", "127.0.0.1", "--dir", t.TempDir())}
	if !slices.Contains(args, "--sentinel") {
		r.args = append(r.args, "--save", "", "--appendonly", "no")
	}
	r.start()
	t.Cleanup(func() {
		if r.cmd != nil {
			r.stop()
		}
	})
	return r
}

func (r *ownRedis) start() {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(r.addr)
	r.cmd = exec.CommandContext(context.Background(), needed(r.t, "DIALTONE_TEST_REDIS_SERVER"), append(r.args, "--port", port)...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	for range 200 {
		if c, err := net.Dial("tcp", r.addr); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.t.Fatal("redis-server did not start")
}

func (r *ownRedis) stop() {
	r.t.Helper()
	_ = r.cmd.Process.Signal(syscall.SIGKILL)
	_ = r.cmd.Wait()
	r.cmd = nil
}

func (r *ownRedis) flush() {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("FLUSHALL\r\n")); err != nil {
		r.t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "+OK") {
		r.t.Fatalf("FLUSHALL: %v", err)
	}
}

// Redis is stopped, flushed and restarted between any two steps of a sign-in:
// the sign-in goes on, what was used stays used, and no number gets another
// message.
func TestRedisGoesAwayInTheMiddleOfSignIns(t *testing.T) {
	needed(t, "DIALTONE_TEST_POSTGRES")
	for _, m := range []mode{{"one replica", true, true, 1}, {"two replicas", true, true, 2}, {"sqlite", false, true, 1}} {
		t.Run(m.name, func(t *testing.T) {
			redis := startRedis(t)
			s := startWith(t, m, options{redisURL: "redis://" + redis.addr})
			events := map[string]func(){
				"flush":   redis.flush,
				"stop":    redis.stop,
				"start":   redis.start,
				"nothing": func() {},
			}
			// The n-th event happens before the n-th step of a sign-in.
			for _, script := range [][]string{
				{"flush", "flush", "flush", "flush", "flush"},
				{"nothing", "stop", "nothing", "start", "nothing"},
				{"stop", "nothing", "nothing", "nothing", "start"},
				{"nothing", "nothing", "stop", "start", "flush"},
				{"nothing", "stop", "start", "stop", "start"},
			} {
				t.Run(strings.Join(script, " "), func(t *testing.T) {
					a, number := newAgent(t, s), newNumber()
					q := newRequest("web", "https://rp.example/cb")
					events[script[0]]()
					flow := a.authorize(q).location(t).Query().Get("flow")
					events[script[1]]()
					to := a.post("/login", url.Values{"flow": {flow}, "phone": {number}}).location(t)
					w := waiting{flow: flow, challenge: to.Query().Get("challenge"), number: number, code: s.sink.last(t, number)}
					events[script[2]]()
					again := a.post("/login", url.Values{"flow": {flow}, "phone": {number}}) // goes on with the code that was sent
					if to := again.location(t); to.Path != "/login/code" || to.Query().Get("challenge") != w.challenge {
						t.Errorf("asking again at once: %s", to)
					}
					code := a.codeOf(q, a.finish(w))
					events[script[3]]()
					answer := a.redeem(q, code)
					if answer.status != http.StatusOK {
						t.Fatalf("redeem: %d %s", answer.status, answer.body)
					}
					events[script[4]]()
					if again := a.finish(w); again.status == http.StatusSeeOther && again.location(t).Query().Get("code") != "" && again.location(t).Host == "rp.example" {
						t.Error("a used SMS code signed in again")
					}
					refresh := text(answer.json(t), "refresh_token")
					if r := a.refresh("web", refresh); r.status != http.StatusOK {
						t.Errorf("refresh: %d %s", r.status, r.body)
					}
					if replay := a.redeem(q, code); replay.json(t)["error"] != "invalid_grant" {
						t.Errorf("a used authorization code: %d %s", replay.status, replay.body)
					}
					if n := len(s.sink.codes(number)); n != 1 {
						t.Errorf("%d messages", n)
					}
				})
			}
		})
	}
}

// needed returns what an environment variable names. Without it the test is left
// out, but where everything must run: there it fails.
func needed(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" && os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
		t.Fatalf("%s is not set: run make test", name)
	}
	if value == "" {
		t.Skipf("%s is not set: make test does that", name)
	}
	return value
}
