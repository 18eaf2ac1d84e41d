package oauth

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/dialtone-id/dialtone/internal/oauth/notice"
	"github.com/dialtone-id/dialtone/internal/oauth/outbound"
)

// receiver is a client's endpoint for security event tokens.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []string
}

func newReceiver(t *testing.T) *receiver {
	rc := &receiver{status: http.StatusAccepted}
	rc.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/secevent+jwt" || r.Header.Get("Accept") != "application/json" {
			t.Errorf("%s %v %v", r.Method, r.Header, err)
		}
		rc.mu.Lock()
		defer rc.mu.Unlock()
		rc.got = append(rc.got, string(body))
		w.WriteHeader(rc.status)
	}))
	t.Cleanup(rc.Close)
	return rc
}

func (rc *receiver) answer(status int) (before []string) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	before, rc.got, rc.status = rc.got, nil, status
	return before
}

// courier is one server's.
func (w *world) courier(t *testing.T, rc *receiver) *notice.Courier {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rc.Certificate().Raw}), 0o600))
	fetch, err := outbound.New(outbound.Config{TrustedCAFile: file, AllowNetworks: []string{"127.0.0.1"}})
	must(t, err)
	return &notice.Courier{
		Outbox: notice.NewOutbox(w.db, w.server.vault, w.clients), Ring: w.ring, Issuer: w.url, HTTP: fetch,
		Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
}

// listen registers a receiver for clients.
func (w *world) listen(t *testing.T, rc *receiver, ids ...string) {
	t.Helper()
	for _, id := range ids {
		w.setReceiver(t, id, rc.URL+"/"+id)
	}
}

func (w *world) setReceiver(t *testing.T, id, uri string) {
	t.Helper()
	c, err := w.clients.Read(t.Context(), id)
	must(t, err)
	c.SecurityEventURI = uri
	must(t, w.clients.Update(t.Context(), c))
}

// secevent verifies a token with the published keys alone.
func (w *world) secevent(t *testing.T, raw string) map[string]any {
	t.Helper()
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	must(t, err)
	var keys jose.JSONWebKeySet
	must(t, json.Unmarshal([]byte(w.browser(t).get("/.well-known/jwks.json").body), &keys))
	header := jws.Signatures[0].Protected
	found := keys.Key(header.KeyID)
	if len(found) != 1 || header.ExtraHeaders["typ"] != "secevent+jwt" {
		t.Fatalf("header %+v", header)
	}
	payload, err := jws.Verify(found[0])
	must(t, err)
	var said map[string]any
	must(t, json.Unmarshal(payload, &said))
	return said
}

func (w *world) waiting(t *testing.T) (n int) {
	t.Helper()
	must(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM outbox`).Scan(&n))
	return n
}

// RFC 8417, RFC 8935, OpenID RISC account-purged: every client that knew the
// person and listens is told once, by whichever server comes first.
func TestClientsAreToldOfAnErasure(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		rc := newReceiver(t)
		w.listen(t, rc, "own", "web2", "spa")
		h, stranger := w.holder(t, accountScopes), w.holder(t, accountScopes)
		for _, q := range []request{ask("web2", "https://rp2.example/cb"), webRequest()} { // web does not listen, spa knows nobody
			if r := h.redeem(q, q.wantCode(h.authorize(q))); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
		h.want(http.StatusAccepted, http.MethodPost, "/deletion", nil)
		if w.waiting(t) != 0 {
			t.Error("told before the erasure")
		}
		n, err := w.users.EraseDue(t.Context(), time.Now().Add(8*24*time.Hour))
		if err != nil || n != 1 || w.waiting(t) != 2 {
			t.Fatalf("erased %d, %v; %d wait", n, err, w.waiting(t))
		}
		var plain int
		must(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE client_id = $1 OR id = $1 OR event = $1`, h.subject).Scan(&plain))
		if plain != 0 {
			t.Error("the outbox names the person in clear")
		}

		var (
			wait  sync.WaitGroup
			mu    sync.Mutex
			total int
		)
		for range 6 {
			c := w.courier(t, rc)
			for range 3 {
				wait.Go(func() {
					n, err := c.Deliver(context.Background(), time.Now())
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					total += n
				})
			}
		}
		wait.Wait()
		got := rc.answer(http.StatusAccepted)
		if len(got) != 2 || total != 2 || w.waiting(t) != 0 {
			t.Fatalf("%d arrived, %d counted, %d wait", len(got), total, w.waiting(t))
		}
		told := map[any]bool{}
		for _, raw := range got {
			said := w.secevent(t, raw)
			told[said["aud"]] = true
			subject, _ := said["sub_id"].(map[string]any)
			events, _ := said["events"].(map[string]any)
			_, purged := events["https://schemas.openid.net/secevent/risc/event-type/account-purged"]
			if said["iss"] != w.url || said["jti"] == "" || said["iat"] == nil || said["exp"] != nil || said["sub"] != nil ||
				subject["format"] != "iss_sub" || subject["iss"] != w.url || subject["sub"] != h.subject || len(events) != 1 || !purged {
				t.Errorf("%v", said)
			}
			if r := h.userinfo(raw); r.status != http.StatusUnauthorized {
				t.Errorf("as an access token: %d", r.status)
			}
		}
		if !told["own"] || !told["web2"] {
			t.Errorf("told %v", told)
		}
		if stranger.api(http.MethodGet, "/profile", nil).status != http.StatusOK {
			t.Error("somebody else is gone")
		}
	})
}

// What does not arrive is told again under the same jti, later each time, for a week.
func TestNoticesAreRepeatedUntilTheyArrive(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		rc := newReceiver(t)
		w.listen(t, rc, "own")
		c := w.courier(t, rc)
		deliver := func(after time.Duration) int {
			t.Helper()
			n, err := c.Deliver(t.Context(), time.Now().Add(after))
			must(t, err)
			return n
		}
		must(t, w.users.Delete(t.Context(), w.holder(t, accountScopes).subject))
		rc.answer(http.StatusInternalServerError)
		if first, again := deliver(0), deliver(0); first != 0 || again != 0 {
			t.Error("a failure counts as arrived")
		}
		first := rc.answer(http.StatusFound) // a redirect is no success and is not followed
		if len(first) != 1 || w.waiting(t) != 1 {
			t.Fatalf("told %d times at once", len(first))
		}
		if deliver(31*time.Second) != 0 || deliver(32*time.Second) != 0 {
			t.Error("a redirect counts as arrived")
		}
		second := rc.answer(http.StatusAccepted)
		if len(second) != 1 || deliver(2*time.Minute) != 1 || deliver(time.Hour) != 0 || w.waiting(t) != 0 {
			t.Fatalf("%d, %d wait", len(second), w.waiting(t))
		}
		third := rc.answer(http.StatusInternalServerError)
		if a, b, c := w.secevent(t, first[0]), w.secevent(t, second[0]), w.secevent(t, third[0]); a["jti"] != b["jti"] || b["jti"] != c["jti"] || a["iat"] != c["iat"] {
			t.Errorf("told of %v, %v, %v", a, b, c)
		}

		must(t, w.users.Delete(t.Context(), w.holder(t, accountScopes).subject))
		for day := range 9 {
			deliver(time.Duration(day) * 24 * time.Hour)
		}
		if tried := rc.answer(http.StatusAccepted); len(tried) != 8 || w.waiting(t) != 0 {
			t.Errorf("tried %d times, %d wait", len(tried), w.waiting(t))
		}
		must(t, w.users.Delete(t.Context(), w.holder(t, accountScopes).subject))
		w.setReceiver(t, "own", "")
		if deliver(0) != 0 || w.waiting(t) != 0 || len(rc.answer(0)) != 0 {
			t.Error("a client that stopped listening")
		}
	})
}

func TestReceiversAreHTTPS(t *testing.T) {
	for uri, ok := range map[string]bool{
		"": true, "https://rp.example/events": true, "https://rp.example:8443/events?x=1": true,
		"http://rp.example/events": false, "http://127.0.0.1/events": false, "https://user@rp.example/": false, "https://rp.example/#x": false,
		"javascript:alert(1)": false, "/events": false, "https:///events": false,
	} {
		c := testClients()[0]
		c.SecurityEventURI = uri
		if err := c.Validate(); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "security_event_uri") {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
