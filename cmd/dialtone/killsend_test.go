//go:build unix

package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/internal/sms/fake"
)

// Killed with SIGKILL at any step of a send, and started again: what was asked for
// once is sent once at most, the number's budget is what it was, and whoever asks
// again is served by the rules, with the same code.
func TestKillNineAtEveryStepOfASend(t *testing.T) {
	for _, step := range []struct {
		name   string
		route  string
		taken  int    // messages that a vendor has then
		ledger string // states of the number's rows
		die    func(*killing)
	}{
		{"before the message is on record", "netease", 0, "", (*killing).beforeReserved},
		{"before the call", "held", 0, "reserved", (*killing).beforeCall},
		{"during the call", "tencent", 0, "reserved", (*killing).duringCall},
		{"after the vendor took it", "aliyun", 1, "reserved", (*killing).afterTaken},
		{"before the answer is stored", "yuntongxun", 1, "reserved", (*killing).beforeStored},
		{"before the person is answered", "tencent, aliyun", 1, "accepted", (*killing).beforeAnswered},
	} {
		t.Run(step.name, func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, database string) {
				k := newKilling(t, database)
				k.start(step.route)
				k.arrive()
				step.die(k)
				k.wantLedger(step.ledger)
				k.wantTaken(step.taken)

				k.start("aliyun")
				k.wantTaken(step.taken)
				rows := len(strings.Fields(step.ledger))
				if rows > 0 {
					k.wantWaiting()
				}
				for n := rows; n < 5; n++ { // what is left of five an hour
					k.age(61 * time.Second)
					k.wantSent()
				}
				k.age(61 * time.Second)
				k.wantRefused(time.Minute, time.Hour)
				k.wantLedger(strings.TrimSpace(step.ledger + strings.Repeat(" accepted", 5-rows)))
				k.wantTaken(step.taken + 5 - rows)
				k.wantSignIn()
			})
		})
	}
}

// beforeReserved: the transaction that reserves the message waits for the ledger.
func (k *killing) beforeReserved() {
	release := k.lockLedger()
	defer release()
	before := k.limits()
	k.ask()
	k.until("the request has spent from the limits", func() bool { return k.limits() > before })
	k.kill()
}

// beforeCall: the vendor's host takes the connection and says nothing, so the
// handshake of TLS does not end and no request can begin.
func (k *killing) beforeCall() {
	k.ask()
	conn, err := k.held.Accept()
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	hello := make([]byte, 1)
	if _, err := io.ReadFull(conn, hello); err != nil || hello[0] != 22 { // a handshake record, RFC 8446 section 5.1
		k.t.Fatalf("the provider is greeted by %v, %v", hello, err)
	}
	k.kill()
}

func (k *killing) duringCall() {
	v := k.vendors["tencent"]
	v.Script(fake.Outcome{Fault: fake.Hang})
	k.ask()
	k.until("the vendor is called", func() bool { return v.Calls() == 1 })
	k.kill()
}

func (k *killing) afterTaken() {
	k.vendors["aliyun"].Script(fake.Outcome{Fault: fake.AcceptThenHang})
	k.ask()
	k.until("the vendor has the message", func() bool { return len(k.inbox.Messages()) == 1 })
	k.kill()
}

// beforeStored: the vendor has answered and the ledger cannot be written to. The
// person has been told by then that the message is on its way.
func (k *killing) beforeStored() {
	releases := make(chan func(), 1)
	taken := func() { releases <- k.lockLedger() }
	k.vendors["yuntongxun"].taken.Store(&taken)
	k.ask()
	if res := <-k.asked; res == nil || res.StatusCode != http.StatusSeeOther {
		k.t.Fatalf("the person was answered %s", status(res))
	}
	release := <-releases
	defer release()
	k.kill()
}

// beforeAnswered: once the answer is stored it is logged that the first vendor
// refused, and the log's pipe is full.
func (k *killing) beforeAnswered() {
	k.vendors["tencent"].Script(fake.Outcome{Code: "InternalError"})
	k.log.fill()
	k.ask()
	k.until("the answer is stored", func() bool { return k.ledger() == "accepted" })
	k.kill()
	if res := <-k.asked; res != nil {
		k.t.Fatalf("the person was answered before the server was killed: %s", status(res))
	}
}

// wantSent asks again and wants a message with the code of those before.
func (k *killing) wantSent() {
	k.t.Helper()
	k.ask()
	res := <-k.asked
	if res == nil || res.StatusCode != http.StatusSeeOther {
		k.t.Fatalf("asked again: %s; ledger %q", status(res), k.ledger())
	}
	k.challenge = location(res).Get("challenge")
	codes := map[string]bool{}
	for _, m := range k.inbox.Messages() {
		codes[m.Values[0]] = true
		if m.To != victim {
			k.t.Errorf("a message to %.6s...", m.To)
		}
	}
	if len(codes) != 1 {
		k.t.Errorf("%d codes for one request", len(codes))
	}
}

// wantWaiting asks again and wants to type the code of the message before.
func (k *killing) wantWaiting() {
	k.t.Helper()
	before := k.ledger()
	k.ask()
	res := <-k.asked
	if res == nil || res.StatusCode != http.StatusSeeOther {
		k.t.Fatalf("asked again: %s; ledger %q", status(res), k.ledger())
	}
	if after := k.ledger(); after != before || location(res).Get("challenge") == "" {
		k.t.Errorf("led to %v, and the ledger from %q to %q", location(res), before, after)
	}
}

// wantRefused asks again and wants to be told to come back within that time.
func (k *killing) wantRefused(after, within time.Duration) {
	k.t.Helper()
	before := k.ledger()
	k.ask()
	res := <-k.asked
	if res == nil || res.StatusCode != http.StatusTooManyRequests {
		k.t.Fatalf("asked again: %s; ledger %q", status(res), k.ledger())
	}
	wait, err := time.ParseDuration(res.Header.Get("Retry-After") + "s")
	if err != nil || wait <= after || wait > within {
		k.t.Errorf("come back in %q, want more than %v and no more than %v", res.Header.Get("Retry-After"), after, within)
	}
	if after := k.ledger(); after != before {
		k.t.Errorf("a refusal changed the ledger from %q to %q", before, after)
	}
}

func (k *killing) wantTaken(n int) {
	k.t.Helper()
	if got := k.inbox.Messages(); len(got) != n {
		k.t.Errorf("the vendors have %d messages, want %d", len(got), n)
	}
}

func (k *killing) wantLedger(states string) {
	k.t.Helper()
	if got := k.ledger(); got != states {
		k.t.Errorf("ledger %q, want %q", got, states)
	}
}

// wantSignIn types the last code.
func (k *killing) wantSignIn() {
	k.t.Helper()
	all := k.inbox.Messages()
	res := k.post("/login/code", "flow", k.flow, "challenge", k.challenge, "code", all[len(all)-1].Values[0])
	if res == nil || location(res).Get("code") == "" {
		k.t.Errorf("the code does not sign in: %s", status(res))
	}
}
