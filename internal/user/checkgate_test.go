package user

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/sms"
	"github.com/dialtone-id/dialtone/internal/sms/captcha"
)

// demanding texts nobody without a human check, and keeps what it was asked.
type demanding struct {
	*sms.Service
	mu    sync.Mutex
	level string
	asked []sms.Request
	again []sms.Again
}

func (d *demanding) Send(ctx context.Context, r sms.Request) (sms.Challenge, error) {
	d.mu.Lock()
	d.asked = append(d.asked, r)
	level := d.level
	d.mu.Unlock()
	if r.Human == 0 && level != "" {
		return sms.Challenge{}, sms.ErrHumanCheckRequired.With("level", level)
	}
	return d.Service.Send(ctx, r)
}

func (d *demanding) Resend(ctx context.Context, ref sms.Ref, a sms.Again) (sms.Challenge, error) {
	d.mu.Lock()
	d.again = append(d.again, a)
	level := d.level
	d.mu.Unlock()
	if a.Human == 0 && level != "" {
		return sms.Challenge{}, sms.ErrHumanCheckRequired.With("level", level)
	}
	return d.Service.Resend(ctx, ref, a)
}

func (d *demanding) want(level string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.level = level
}

// gate is a human check whose puzzles are solved by their own number, once each,
// or by what a browser's script makes of them.
type gate struct {
	mu      sync.Mutex
	off     bool
	broken  error
	puzzles []captcha.Binding
	levels  []int
	used    map[int]bool
	weary   netip.Addr // who has seen enough
}

func (g *gate) Enabled() bool { return !g.off }

func (g *gate) Puzzle(_ context.Context, b captcha.Binding, level int) (captcha.Puzzle, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken != nil {
		return captcha.Puzzle{}, g.broken
	}
	g.puzzles, g.levels = append(g.puzzles, b), append(g.levels, level)
	id := fmt.Sprint(len(g.puzzles) - 1)
	challenge := sha256.Sum256([]byte(id + "&7"))
	data := fmt.Sprintf(`{"algorithm":"SHA-256","challenge":"%x","maxnumber":50,"salt":"%s&","signature":""}`, challenge, id)
	return captcha.Puzzle{Type: "pow", Data: json.RawMessage(data), Ticket: "ticket-" + id}, nil
}

// solved is the puzzle's number, from a script's proof or as it is.
func solved(proof string) string {
	var p struct {
		Number int
		Salt   string
	}
	if text, err := base64.StdEncoding.DecodeString(proof); err != nil || json.Unmarshal(text, &p) != nil || p.Number != 7 {
		return proof
	}
	return strings.TrimSuffix(p.Salt, "&")
}

func (g *gate) Verify(_ context.Context, b captcha.Binding, a captcha.Answer) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken != nil {
		return 0, g.broken
	}
	id := -1
	switch _, err := fmt.Sscanf(solved(a.Proof)+strings.TrimPrefix(a.Ticket, "ticket-"), "%d", &id); {
	case err != nil, id < 0, id >= len(g.puzzles), g.used[id], a.Proof == "" && a.Typed != fmt.Sprint(id):
		return 0, captcha.ErrFailed
	}
	if want := g.puzzles[id]; !bytes.Equal(want.Flow, b.Flow) || !bytes.Equal(want.Number, b.Number) {
		return 0, captcha.ErrFailed
	}
	if g.used == nil {
		g.used = map[int]bool{}
	}
	g.used[id] = true
	return g.levels[id], nil
}

func (g *gate) Picture(_ context.Context, from netip.Addr, ticket string) ([]byte, error) {
	return g.draw(from, "PNG", ticket)
}

func (g *gate) Sound(_ context.Context, from netip.Addr, ticket, locale string) ([]byte, error) {
	return g.draw(from, "WAV "+locale, ticket)
}

func (g *gate) draw(from netip.Addr, what, ticket string) ([]byte, error) {
	if g.broken != nil {
		return nil, g.broken
	}
	if from == g.weary {
		return nil, captcha.ErrTooManyDrawings.After(90 * time.Second)
	}
	if !strings.HasPrefix(ticket, "ticket-") {
		return nil, captcha.ErrFailed
	}
	return []byte(what + " of " + ticket), nil
}

func (g *gate) Origins() []string { return nil }

// guarded is a house that texts nobody without a human check of this level.
func guarded(t testing.TB, d *db.DB, level string) (*house, *demanding, *gate) {
	h := newHouse(t, d)
	texts, check := &demanding{Service: h.sms, level: level}, &gate{}
	h.pages.SMS, h.pages.Captcha = texts, check
	return h, texts, check
}

var dataPuzzle = regexp.MustCompile(`data-puzzle="([^"]*)"`)

// solution is what solves the check of a page.
func (r reply) solution(t testing.TB) string {
	t.Helper()
	found := dataPuzzle.FindStringSubmatch(r.body)
	if found == nil {
		t.Fatalf("no puzzle on the page: %s", r.body)
	}
	var p struct {
		Type string
		Data struct{ Salt string }
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(found[1])), &p); err != nil || p.Type != "pow" {
		t.Fatalf("puzzle %s: %v", found[1], err)
	}
	return strings.TrimSuffix(p.Data.Salt, "&")
}

// field is the value of a hidden field, "" if there is none.
func (r reply) field(name string) string {
	found := regexp.MustCompile(`<input type="hidden" name="` + name + `" value="([^"]*)"`).FindStringSubmatch(r.body)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1])
}

// ask opens /login and posts a number; the fields are more of the form.
func (b *browser) ask(flow, phone string, fields ...string) reply {
	b.t.Helper()
	form := url.Values{"flow": {flow}, "phone": {phone}, "agree": {"1"}, "region": {"CN"}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.post("/login", form)
}

func (b *browser) open(path string) (flow string) {
	b.t.Helper()
	to := b.get(path).to(b.t)
	b.get(to.String()).wants(b.t, http.StatusOK, "page-login")
	return to.Query().Get("flow")
}
