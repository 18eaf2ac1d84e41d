package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
)

// demanding texts nobody without a human check.
type demanding struct{ texts }

func (d demanding) Send(ctx context.Context, r sms.Request) (sms.Challenge, error) {
	if r.Human == 0 {
		return sms.Challenge{}, sms.ErrHumanCheckRequired.With("level", "3")
	}
	return d.texts.Send(ctx, r)
}

func (d demanding) Resend(ctx context.Context, ref sms.Ref, a sms.Again) (sms.Challenge, error) {
	if a.Human == 0 {
		return sms.Challenge{}, sms.ErrHumanCheckRequired.With("level", "1")
	}
	return d.texts.Resend(ctx, ref, a)
}

// gate is a human check whose puzzles are solved by their own number, once each.
type gate struct {
	mu      sync.Mutex
	puzzles []captcha.Binding
	levels  []int
	used    map[int]bool
}

func (*gate) Enabled() bool { return true }

func (g *gate) Puzzle(_ context.Context, b captcha.Binding, level int) (captcha.Puzzle, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.puzzles, g.levels = append(g.puzzles, b), append(g.levels, level)
	return captcha.Puzzle{Type: "pow", Data: json.RawMessage(fmt.Sprintf(`{"salt":"%d"}`, len(g.puzzles)-1)), Ticket: "picture"}, nil
}

func (g *gate) Verify(_ context.Context, b captcha.Binding, a captcha.Answer) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := -1
	if _, err := fmt.Sscanf(a.Proof, "%d", &id); err != nil || id < 0 || id >= len(g.puzzles) || g.used[id] ||
		!bytes.Equal(g.puzzles[id].Flow, b.Flow) || !bytes.Equal(g.puzzles[id].Number, b.Number) {
		return 0, captcha.ErrFailed
	}
	if g.used == nil {
		g.used = map[int]bool{}
	}
	g.used[id] = true
	return g.levels[id], nil
}

// puzzleOf checks a problem with a human check in it and returns what solves it.
func puzzleOf(t *testing.T, r reply, code string) string {
	t.Helper()
	var p struct {
		Code    string
		Status  int
		Captcha struct {
			Type string
			Data struct{ Salt string }
		}
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.status != http.StatusForbidden || p.Status != r.status ||
		r.header.Get("Content-Type") != "application/problem+json" || r.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v: %s", r.status, r.header, r.body)
	}
	if p.Code != code || p.Captcha.Type != "pow" || p.Captcha.Data.Salt == "" || strings.Contains(r.body, "picture") {
		t.Fatalf("want %s with a puzzle: %s", code, r.body)
	}
	return p.Captcha.Data.Salt
}

func TestAnAppSolvesTheHumanCheck(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		check := &gate{}
		w.server.captcha, w.server.sms = check, demanding{w.server.sms}
		b, number, other := w.browser(t), newNumber(), newNumber()
		with := func(number, client, proof string) map[string]any {
			m := agreed(number)
			m["client_id"], m["captcha"] = client, proof
			return m
		}
		proof := puzzleOf(t, b.challenge(agreed(number)), "captcha_required")
		for name, answer := range map[string]map[string]any{
			"forged":         with(number, "app", "77"),
			"another number": with(other, "app", proof),
		} {
			t.Run(name, func(t *testing.T) { puzzleOf(t, b.challenge(answer), "captcha_failed") })
		}
		puzzleOf(t, b.challenge(with(number, "app-basic", proof), "Authorization", basic("app-basic", secret)), "captcha_failed")
		if w.inbox.sent.Load() != 0 {
			t.Fatal("something was sent")
		}
		made := b.challenge(with(number, "app", proof))
		if made.status != http.StatusCreated {
			t.Fatalf("%d %s", made.status, made.body)
		}
		puzzleOf(t, b.challenge(with(number, "app", proof)), "captcha_failed") // used up
		if w.inbox.sent.Load() != 1 || check.levels[0] != 3 {
			t.Errorf("%d messages, levels %v", w.inbox.sent.Load(), check.levels)
		}
		if r := b.redeemSMS("app", made.text("challenge_id"), w.inbox.code(t, number)); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

func TestAnAppSolvesTheHumanCheckOfAResend(t *testing.T) {
	w := newWorld(t)
	check := &gate{}
	b := w.browser(t)
	id := b.challenge(agreed("+8613800138088")).text("challenge_id") // a test number, which has no cooldown
	w.server.captcha, w.server.sms = check, demanding{w.server.sms}
	resend := func(proof string) reply {
		t.Helper()
		return b.do(http.MethodPost, "/v1/sms/challenges/"+id+"/resend", `{"client_id":"app","captcha":"`+proof+`"}`, "Content-Type", "application/json")
	}
	proof := puzzleOf(t, resend(""), "captcha_required")
	puzzleOf(t, resend("x"), "captcha_failed")
	if r := resend(proof); r.status != http.StatusOK || r.text("challenge_id") != id {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestAnAppWithoutACheckToSolveIsRefused(t *testing.T) {
	w := newWorld(t)
	w.server.sms = demanding{w.server.sms}
	b := w.browser(t)
	wantProblem(t, b.challenge(agreed(newNumber())), http.StatusTooManyRequests, "rate_limited")
	if w.inbox.sent.Load() != 0 {
		t.Error("it failed open")
	}
}
