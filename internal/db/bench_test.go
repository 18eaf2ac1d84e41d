package db_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// eachB runs f on every engine with the rows 0 to 999 in settings.
func eachB(b *testing.B, f func(b *testing.B, d *db.DB)) {
	run := func(name string, open func(testing.TB) *db.DB) {
		b.Run(name, func(b *testing.B) {
			d := open(b)
			for i := range 1000 {
				insertSetting(b, d, key(i))
			}
			b.ReportAllocs()
			b.ResetTimer()
			f(b, d)
		})
	}
	run("sqlite", dbtest.Open)
	if dbtest.HasPostgres(b) {
		run("postgres", dbtest.OpenPostgres)
	}
}

func key(i int) string { return fmt.Sprintf("key-%d", i) }

func insertSetting(t testing.TB, d *db.DB, name string) {
	t.Helper()
	if _, err := d.Exec(context.Background(), `INSERT INTO settings (name, value) VALUES ($1, $2)`, name, []byte{0}); err != nil {
		t.Fatal(err)
	}
}

// parallel spreads distinct numbers over 16 goroutines per core, as a server's requests are.
func parallel(b *testing.B, f func(ctx context.Context, n int) error) {
	var next atomic.Int64
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithCancel(context.Background()) // as a request's context is
		defer cancel()
		for pb.Next() {
			if err := f(ctx, int(next.Add(1))); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkQueryRow(b *testing.B) {
	eachB(b, func(b *testing.B, d *db.DB) {
		parallel(b, func(ctx context.Context, n int) error {
			var value []byte
			return d.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, key(n%1000)).Scan(&value)
		})
	})
}

func BenchmarkExec(b *testing.B) {
	eachB(b, func(b *testing.B, d *db.DB) {
		parallel(b, func(ctx context.Context, n int) error {
			_, err := d.Exec(ctx, `UPDATE settings SET value = $1 WHERE name = $2`, []byte("new"), key(n%1000))
			return err
		})
	})
}

func BenchmarkTx(b *testing.B) {
	eachB(b, func(b *testing.B, d *db.DB) {
		parallel(b, func(ctx context.Context, n int) error {
			return d.Tx(ctx, func(ctx context.Context) error {
				_, err := d.Exec(ctx, `UPDATE settings SET value = $1 WHERE name = $2`, []byte("new"), key(n%1000))
				return err
			})
		})
	})
}

// BenchmarkExecAlone is one caller: the time of one round trip, or of one commit to disk.
func BenchmarkExecAlone(b *testing.B) {
	eachB(b, func(b *testing.B, d *db.DB) {
		for n := range b.N {
			if _, err := d.Exec(b.Context(), `UPDATE settings SET value = $1 WHERE name = $2`, []byte("new"), key(n%1000)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkNewID(b *testing.B) {
	for b.Loop() {
		db.NewID()
	}
}
