package audit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/audit"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

func TestRecordKeepsTheWholeEvent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		log := audit.New(d)
		event := audit.Event{
			Name: "login.succeeded", Actor: "user:u1", UserID: "u1", ClientID: "web", IP: "192.0.2.1",
			Detail: map[string]string{"method": "sms"},
		}
		before := time.Now().Truncate(time.Microsecond)
		if err := log.Record(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		list, err := log.List(t.Context(), "u1", audit.Entry{}, 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("list = %v, %v", list, err)
		}
		if diff := cmp.Diff(event, list[0].Event); diff != "" {
			t.Error(diff)
		}
		if at := list[0].At; at.Before(before) || at.After(time.Now()) {
			t.Errorf("at = %v, recorded after %v", at, before)
		}
	})
}

func TestRecordJoinsTheCallersTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		log := audit.New(d)
		refused := errors.New("refused")
		err := d.Tx(t.Context(), func(ctx context.Context) error {
			if err := log.Record(ctx, audit.Event{Name: "user.created", UserID: "u1"}); err != nil {
				return err
			}
			return refused
		})
		if !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if n := lines(t, d); n != 0 {
			t.Errorf("%d lines about what never happened", n)
		}

		start := d.Counters()
		err = d.Tx(t.Context(), func(ctx context.Context) error {
			return log.Record(ctx, audit.Event{Name: "user.created", UserID: "u1"})
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Counters().TxStatements - start.TxStatements; got != 1 {
			t.Errorf("a line costs %d statements", got)
		}
	})
}

func TestRecordKeepsALineWithStrayBytes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		log := audit.New(d)
		err := log.Record(t.Context(), audit.Event{
			Name: "login.refused", UserID: "u1", ClientID: "a\x00b\xff", Detail: map[string]string{"why": "\x00\xff"},
		})
		if err != nil {
			t.Fatal(err)
		}
		list, err := log.List(t.Context(), "u1", audit.Entry{}, 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("list = %v, %v", list, err)
		}
		if got := list[0].ClientID; got != "a\uFFFDb\uFFFD" {
			t.Errorf("client id = %q", got)
		}
	})
}

func TestListPagesWithoutGapsOrRepeats(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		log := audit.New(d)
		for i := range 7 {
			user := "u1"
			if i == 3 {
				user = "u2"
			}
			if err := log.Record(t.Context(), audit.Event{Name: fmt.Sprint(i), UserID: user}); err != nil {
				t.Fatal(err)
			}
		}
		var names []string
		var last audit.Entry
		for {
			page, err := log.List(t.Context(), "u1", last, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				names = append(names, e.Name)
			}
			last = page[len(page)-1]
		}
		if diff := cmp.Diff([]string{"6", "5", "4", "2", "1", "0"}, names); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRetentionIsNeverBelow184Days(t *testing.T) {
	log := audit.New(dbtest.Open(t))
	if _, err := log.Keeping(184*24*time.Hour - time.Second); err == nil {
		t.Error("183 days and some hours were accepted")
	}
	if _, err := log.Keeping(184 * 24 * time.Hour); err != nil {
		t.Error(err)
	}
}

func TestPurgeKeepsTheRetention(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		d := dbtest.Open(t)
		log, err := audit.New(d).Keeping(200 * day)
		if err != nil {
			t.Fatal(err)
		}
		const old = 1203 // several batches
		err = d.Tx(t.Context(), func(ctx context.Context) error {
			for range old {
				if err := log.Record(ctx, audit.Event{Name: "old"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(day)
		if err := log.Record(t.Context(), audit.Event{Name: "young"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(199 * day)
		if n, err := log.Purge(t.Context(), time.Now()); n != 0 || err != nil {
			t.Errorf("at exactly 200 days %d lines went, %v", n, err)
		}
		time.Sleep(time.Second)
		if n, err := log.Purge(t.Context(), time.Now()); n != old || err != nil {
			t.Errorf("after 200 days %d lines went, %v", n, err)
		}
		if n := lines(t, d); n != 1 {
			t.Errorf("%d lines are left", n)
		}
	})
}

func TestRecordSaysThatTheDatabaseIsGone(t *testing.T) {
	d := dbtest.Open(t)
	log := audit.New(d)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Record(ctx, audit.Event{Name: "login.succeeded"}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func lines(t *testing.T, d *db.DB) int {
	t.Helper()
	var n int
	if err := d.QueryRow(t.Context(), `SELECT count(*) FROM audit`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
