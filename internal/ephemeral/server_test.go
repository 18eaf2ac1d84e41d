//go:build unix

package ephemeral

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// server is a redis-server process of the test's own, to be hurt.
type server struct {
	t     testing.TB
	port  int
	args  []string
	cmd   *exec.Cmd
	leash io.Closer // the shell kills its server when this closes, even by our own end
	pid   int
}

// redisServer is the program, empty if there is none.
func redisServer() string {
	if path := os.Getenv("DIALTONE_TEST_REDIS_SERVER"); path != "" {
		return path
	}
	path, _ := exec.LookPath("redis-server")
	return path
}

func hasRedisServer(t testing.TB) bool {
	t.Helper()
	if redisServer() == "" && os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
		t.Fatal("DIALTONE_TEST_REQUIRE=1 but there is no redis-server")
	}
	return redisServer() != ""
}

// newServer prepares a server without starting it. It saves only when it is told to.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, port: freePort(t)}
	s.args = append(args, "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1",
		"--dir", t.TempDir(), "--save", "", "--appendonly", "no")
	t.Cleanup(s.kill)
	return s
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }
func (s *server) url() string     { return "redis://" + s.address() }

// start waits until the server answers.
func (s *server) start() *server {
	s.t.Helper()
	s.cmd = exec.Command("sh", append([]string{"-c", `"$@" & read line; kill -9 $!; wait`, "sh", redisServer()}, s.args...)...)
	leash, err := s.cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.leash = leash
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "redis-server answers", 5*time.Second, func() bool {
		info, err := s.try("INFO", "server")
		if err != nil {
			return false
		}
		_, text, _ := strings.Cut(info.(string), "process_id:")
		text, _, _ = strings.Cut(text, "\r\n")
		s.pid, err = strconv.Atoi(text)
		return err == nil
	})
	return s
}

// try sends one command over a connection of its own.
func (s *server) try(words ...any) (any, error) {
	client := redis.NewClient(&redis.Options{Addr: s.address(), MaxRetries: -1, DisableIdentity: true, Protocol: 2})
	defer client.Close()
	return client.Do(context.Background(), words...).Result()
}

func (s *server) do(words ...any) any {
	s.t.Helper()
	reply, err := s.try(words...)
	if err != nil {
		s.t.Fatalf("%v: %v", words[0], err)
	}
	return reply
}

func (s *server) freeze() { s.signal(syscall.SIGSTOP) }
func (s *server) thaw()   { s.signal(syscall.SIGCONT) }

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(s.pid, sig); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the process at once; what it did not save is lost.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.leash.Close()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// startCluster is a cluster of one that has all slots: it is as strict about
// keys as a larger one. It takes two seconds to come up, so ready waits for it.
func startCluster(t testing.TB) (s *server, url string, ready func()) {
	t.Helper()
	s = newServer(t, "--cluster-enabled", "yes").start()
	s.do("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	return s, "redis-cluster://" + s.address(), func() {
		eventually(t, "the cluster is up", 5*time.Second, func() bool {
			info, _ := s.do("CLUSTER", "INFO").(string)
			return strings.Contains(info, "cluster_state:ok")
		})
	}
}

// startSentinel is a server and a Sentinel that watches it. It returns the URL.
func startSentinel(t testing.TB) string {
	t.Helper()
	master := newServer(t).start()
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor dialtone 127.0.0.1 %d 1\n", master.port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := newServer(t)
	sentinel.args = []string{config, "--sentinel", "--port", strconv.Itoa(sentinel.port), "--bind", "127.0.0.1"}
	sentinel.start()
	return "redis-sentinel://" + sentinel.address() + "/dialtone"
}
