package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/user"
)

// An import is killed with SIGKILL again and again, and started again, until it is
// through: everybody is there once, whole.
func TestAKilledImportGoesOn(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		const people = 6000
		dir := t.TempDir()
		file := filepath.Join(dir, "people.csv")
		var text strings.Builder
		text.WriteString("phone,username,email,password_hash\n")
		for i := range people {
			fmt.Fprintf(&text, "+86138%08d,anna%d,anna%d@mail.example,pbkdf2_sha256$1000$seasalt$DrdiWD40lyBuydnjvZiDrdQMx1S1mOA9O0QYex0R6ww=\n", i, i, i)
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		d := dbtest.OpenURL(t, url)
		count := func(query string) (n int) {
			if err := d.QueryRow(t.Context(), query).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		run := func(ctx context.Context) ([]byte, error) {
			cmd := command(ctx, "user", "import", "--dev", "--data-dir", dir, file)
			cmd.Env = append(cmd.Env, "DIALTONE_DATABASE="+url)
			return cmd.CombinedOutput()
		}
		kills := 0
		for ; kills < 3; kills++ {
			before := count(`SELECT count(*) FROM users`)
			ctx, cancel := context.WithCancel(t.Context())
			killed := make(chan struct{})
			go func() {
				defer close(killed)
				_, _ = run(ctx)
			}()
			for deadline := time.Now().Add(20 * time.Second); count(`SELECT count(*) FROM users`) == before && time.Now().Before(deadline); {
				time.Sleep(2 * time.Millisecond)
			}
			cancel() // SIGKILL
			<-killed
			if after := count(`SELECT count(*) FROM users`); after == before || after%user.ImportBatch != 0 {
				t.Fatalf("killed at %d after %d", after, before)
			}
		}
		if n := count(`SELECT count(*) FROM users`); n == people {
			t.Error("it was through before it was killed; nothing is shown")
		}
		if out, err := run(t.Context()); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for query, want := range map[string]int{
			`SELECT count(*) FROM users`: people, `SELECT count(*) FROM identifiers`: 3 * people, `SELECT count(*) FROM passwords`: people,
			`SELECT count(DISTINCT user_id) FROM identifiers`: people, `SELECT count(*) FROM audit WHERE event = 'user.imported'`: people,
		} {
			if n := count(query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
	})
}

func TestBarLine(t *testing.T) {
	for _, c := range []struct {
		read, size int64
		rows       int
		want       string
	}{
		{0, 100, 0, "[..............................]   0 %  0 rows, 0/s"},
		{50, 100, 4200, "[###############...............]  50 %  4200 rows, 2100/s"},
		{101, 100, 9000, "[##############################] 100 %  9000 rows, 4500/s"},
		{5000, 0, 10, "10 rows, 5/s"},
	} {
		if got := barLine(c.read, c.size, c.rows, 2*time.Second); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

// The bar is one line that is written over, and makes way for what is reported.
func TestTheBarStaysOnItsLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "terminal")
	screen, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	if b := newBar(screen, 100); b.out != nil {
		t.Error("a file is taken for a terminal")
	}
	b := bar{out: screen, size: 100, begun: time.Now().Add(-time.Second)}
	b.clear() // there is nothing yet
	b.show(50, 500)
	b.show(60, 600) // too soon to be seen
	b.end()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if !strings.HasPrefix(got, "\r[###############...............]  50 %  500 rows, ") || !strings.HasSuffix(got, "/s\x1b[K\r\x1b[K") ||
		strings.Contains(got, "600") || strings.Contains(got, "\n") {
		t.Errorf("%q", got)
	}
}
