package db_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// watched collects what a Watch reports.
type watched struct {
	mu     sync.Mutex
	topics []string
	refuse error // of the next report
}

func (w *watched) changed(topic string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.topics = append(w.topics, topic)
	err := w.refuse
	w.refuse = nil
	return err
}

// take returns the topics since the last take, sorted.
func (w *watched) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	topics := w.topics
	w.topics = nil
	slices.Sort(topics)
	return topics
}

func (w *watched) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := w.take(); !slices.Equal(got, want) {
		t.Errorf("reported %q, want %q", got, want)
	}
}

func touch(t *testing.T, d *db.DB, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		if err := d.Touch(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWatchReportsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url := dbtest.SQLiteURL(t)
		d, other := dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)
		touch(t, other, "clients")
		var w watched
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.Watch(ctx, time.Second, w.changed) })

		synctest.Wait()
		w.expect(t, "clients") // it was touched before, perhaps after the caller loaded its clients

		time.Sleep(10 * time.Second)
		w.expect(t)

		touch(t, other, "clients", "keys", "keys")
		time.Sleep(10 * time.Second)
		w.expect(t, "clients", "keys")

		cancel()
		wg.Wait()
	})
}

func TestWatchSeesNothingThatIsRolledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		var w watched
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.Watch(ctx, time.Second, w.changed) })
		_ = d.Tx(t.Context(), func(ctx context.Context) error {
			touch := d.Touch(ctx, "keys")
			time.Sleep(5 * time.Second) // uncommitted all the while
			return errors.Join(touch, errors.New("refused"))
		})
		time.Sleep(5 * time.Second)
		w.expect(t)
		cancel()
		wg.Wait()
	})
}

func TestWatchOutlivesAnOutageAndMissesNothing(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)

	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		touch(t, d, "clients")
		var w watched
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.Watch(ctx, time.Second, w.changed) })
		synctest.Wait()
		w.expect(t, "clients")

		rename := func(from, to string) {
			t.Helper()
			if _, err := d.Exec(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
				t.Fatal(err)
			}
		}
		rename("changes", "away")
		time.Sleep(10 * time.Second)
		if _, err := d.Exec(t.Context(), `UPDATE away SET version = version + 1`); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		rename("away", "changes")
		time.Sleep(2 * time.Second)
		w.expect(t, "clients")
		cancel()
		wg.Wait()
	})
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || strings.Count(got, "level=INFO") != 1 {
		t.Errorf("twenty failed looks were logged so:\n%s", got)
	}
}

// A look that breaks off after some rows, and a caller that cannot take the news, are
// no report: both come again, the rest does not.
func TestWatchReportsAgainWhatWasNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		exec := func(statement string) {
			t.Helper()
			if _, err := d.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		touch(t, d, "clients", "keys")
		exec(`ALTER TABLE changes RENAME TO kept`)
		exec(`CREATE VIEW changes AS SELECT topic, CASE WHEN topic = 'keys' THEN NULL ELSE version END AS version FROM kept ORDER BY topic`)
		var w watched
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.Watch(ctx, time.Second, w.changed) })
		time.Sleep(5 * time.Second)
		w.expect(t)
		exec(`DROP VIEW changes`)
		exec(`ALTER TABLE kept RENAME TO changes`)
		time.Sleep(2 * time.Second)
		w.expect(t, "clients", "keys")

		w.mu.Lock()
		w.refuse = errors.New("not now")
		w.mu.Unlock()
		touch(t, d, "keys")
		time.Sleep(10 * time.Second)
		w.expect(t, "keys", "keys")
		cancel()
		wg.Wait()
	})
}

func TestWatchNoticesOtherProcesses(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		d, other := dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		reported := make(chan string)
		var wg sync.WaitGroup
		wg.Go(func() {
			d.Watch(ctx, 5*time.Millisecond, func(topic string) error {
				select {
				case reported <- topic:
				case <-ctx.Done():
				}
				return nil
			})
		})
		for _, topic := range []string{"keys", "clients", "keys"} {
			touch(t, other, topic)
			select {
			case got := <-reported:
				if got != topic {
					t.Errorf("reported %q, want %q", got, topic)
				}
			case <-ctx.Done():
				t.Fatal("no report")
			}
		}
		cancel()
		wg.Wait()
	})
}

func TestTouchesAreNotLostInARace(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		race(t, 40, func(ctx context.Context) (bool, error) { return true, d.Touch(ctx, "keys") })
		var version int
		if err := d.QueryRow(t.Context(), `SELECT version FROM changes WHERE topic = $1`, "keys").Scan(&version); err != nil || version != 40 {
			t.Errorf("version %d, %v", version, err)
		}
	})
}
