package sms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// eachEngine runs a benchmark on every engine there is.
func eachEngine(b *testing.B, f func(b *testing.B, d *db.DB)) {
	b.Run("sqlite", func(b *testing.B) { f(b, dbtest.Open(b)) })
	if dbtest.HasPostgres(b) {
		b.Run("postgres", func(b *testing.B) { f(b, dbtest.OpenPostgres(b)) })
	}
}

// numberAt is one of a billion numbers that no numbering plan has.
func numberAt(b *testing.B, i int64) Number {
	return number(b, fmt.Sprintf("+8610%09d", i))
}

// BenchmarkSend is the reservation, a provider that accepts at once, and the
// settlement; the coarse limits stand aside.
func BenchmarkSend(b *testing.B) {
	eachEngine(b, func(b *testing.B, d *db.DB) {
		f := newFixtureOn(b, d, roomyStore{}, Config{})
		var n atomic.Int64
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				i := n.Add(1)
				r := Request{Number: numberAt(b, i), Purpose: Login, ClientID: "web", Flow: flow(fmt.Sprint(i))}
				if _, err := f.Send(context.Background(), r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkSignIn is a code asked for, typed and consumed, of an ordinary number
// and of a test number.
func BenchmarkSignIn(b *testing.B) {
	for _, kind := range []string{"number", "test number"} {
		b.Run(kind, func(b *testing.B) {
			eachEngine(b, func(b *testing.B, d *db.DB) {
				codes := &mailbox{}
				c := Config{Routes: map[string]Route{"*": {Providers: []Provider{codes}}}, TestNumbers: map[string]string{"+12025550101": "246810"}}
				f := newFixtureOn(b, d, roomyStore{}, c)
				var n atomic.Int64
				b.SetParallelism(16)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						i := n.Add(1)
						r := Request{Number: number(b, "+12025550101"), Purpose: Login, ClientID: "web", Flow: flow(fmt.Sprint(i))}
						if kind == "number" {
							r.Number = numberAt(b, i)
						}
						if err := signIn(f, codes, r); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		})
	}
}

func signIn(f *fixture, codes *mailbox, r Request) error {
	ctx := context.Background()
	c, err := f.Send(ctx, r)
	if err != nil {
		return err
	}
	code, ok := f.tests[r.Number]
	if !ok {
		code = codes.take(r.Number)
	}
	p, err := f.Check(ctx, refOf(c, r), code)
	if err != nil {
		return err
	}
	return p.Consume(ctx)
}

// mailbox accepts and keeps codes by number.
type mailbox struct{ m sync.Map }

func (m *mailbox) Name() string { return "mailbox" }

func (m *mailbox) Send(_ context.Context, msg Message) (string, error) {
	m.m.Store(msg.To, msg.Code)
	return "", nil
}

func (m *mailbox) take(n Number) string {
	code, ok := m.m.LoadAndDelete(n)
	if !ok {
		panic(errors.New("no code for this number"))
	}
	return code.(string)
}
