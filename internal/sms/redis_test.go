//go:build unix

package sms

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
)

// redis is a server of the test's own, to be hurt. It forgets all when it stops.
type redis struct {
	t       *testing.T
	program string
	port    int
	running *exec.Cmd
	leash   io.Closer // the shell kills its server when this closes, even by our own end
}

// newRedis starts one; nil if there is no program and none is required.
func newRedis(t *testing.T) *redis {
	t.Helper()
	program := os.Getenv("DIALTONE_TEST_REDIS_SERVER")
	if program == "" {
		program, _ = exec.LookPath("redis-server")
	}
	if program == "" {
		if os.Getenv("DIALTONE_TEST_REQUIRE") == "1" {
			t.Fatal("DIALTONE_TEST_REQUIRE=1 but there is no redis-server")
		}
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &redis{t: t, program: program, port: l.Addr().(*net.TCPAddr).Port}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *redis) address() string { return "127.0.0.1:" + strconv.Itoa(r.port) }

func (r *redis) start() {
	r.t.Helper()
	r.running = exec.Command("sh", "-c", `"$@" & read line; kill -9 $!; wait`, "sh", r.program,
		"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.t.TempDir(), "--save", "", "--appendonly", "no")
	leash, err := r.running.StdinPipe()
	if err == nil {
		r.leash = leash
		err = r.running.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); r.do("PING") != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("redis-server does not answer")
		}
	}
}

// stop kills it.
func (r *redis) stop() {
	if r.running == nil {
		return
	}
	_ = r.leash.Close()
	_ = r.running.Wait()
	r.running = nil
}

// do sends one command and waits for its answer.
func (r *redis) do(command string) error {
	c, err := net.DialTimeout("tcp", r.address(), time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return err
	}
	_, err = bufio.NewReader(c).ReadString('\n')
	return err
}

// P-06, F-06 to F-08: whatever becomes of Redis, on one server or two, a number
// gets ten messages a day and no eleventh, and a stranger's seventh is refused.
func TestNoEleventhMessageWhateverRedisDoes(t *testing.T) {
	for _, servers := range []int{1, 2} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d servers, known %v", servers, known), func(t *testing.T) {
				dbtest.Each(t, func(t *testing.T, d *db.DB) { hurtRedis(t, d, servers, known) })
			})
		}
	}
}

func hurtRedis(t *testing.T, d *db.DB, servers int, known bool) {
	r := newRedis(t)
	if r == nil {
		return
	}
	prefix := "test-" + rand.Text() + ":"
	fixtures := make([]*fixture, servers)
	for i := range fixtures {
		sql, err := ephemeral.OpenSQL(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		cache, err := ephemeral.OpenRedis("redis://"+r.address()+"?timeout=1s", ephemeral.Options{Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		store := ephemeral.New(t.Context(), sql, cache, slog.New(slog.DiscardHandler))
		t.Cleanup(func() { _ = store.Close() })
		fixtures[i] = newFixtureOn(t, d, store, Config{PerHour: 40, Cooldown: time.Nanosecond})
	}
	asked := 0
	ask := func(n int) {
		together(n, func(i int) {
			r := login(t, "+8613800138055", fmt.Sprint(asked+i))
			r.KnownDevice = known
			_, _ = fixtures[i%servers].Send(context.Background(), r)
		})
		asked += n
	}
	ask(3)
	if err := r.do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	ask(2)
	r.stop()
	ask(2)
	r.start() // as a replica that was promoted without having heard of anything
	ask(20)
	if err := r.do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	ask(20)
	r.stop()
	ask(20)
	sent := 0
	for _, f := range fixtures {
		sent += len(f.provider.sent())
	}
	want := 10
	if !known {
		want = 6
	}
	if sent != want {
		t.Errorf("%d messages, want %d: %v", sent, want, states(t, d))
	}
}
