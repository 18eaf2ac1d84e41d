package server_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
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

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/server"
)

// An operator's verb erases beside the servers; whichever of them sees it first
// tells the client, and no other does.
func TestServersTellClientsOfAnErasure(t *testing.T) {
	for _, m := range []mode{modes[0], modes[3]} {
		t.Run(m.name, func(t *testing.T) {
			var mu sync.Mutex
			var got []string
			receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				got = append(got, string(body))
				w.WriteHeader(http.StatusAccepted)
			}))
			t.Cleanup(receiver.Close)
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			var settings config.Config
			s := startWith(t, m, options{
				extra: fmt.Sprintf("outbound: {trusted_ca_file: %q, allow_networks: [127.0.0.1]}", ca),
				clients: fmt.Sprintf(`
  - {client_id: hears, token_endpoint_auth_method: none, skip_agreement: true, first_party: true, redirect_uris: ["https://hears.example/cb"],
     security_event_uri: %q}`, receiver.URL+"/events"),
				adjust: func(c *config.Config) { settings = *c },
			})
			a, q := newAgent(t, s), newRequest("hears", "https://hears.example/cb")
			sub := text(claims(t, text(a.redeem(q, a.signIn(q, newNumber())).json(t), "id_token")), "sub")
			core, err := server.OpenCore(t.Context(), settings, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = core.Close() })
			if err := core.Users.Delete(t.Context(), sub); err != nil {
				t.Fatal(err)
			}
			told := func() []string {
				mu.Lock()
				defer mu.Unlock()
				return append([]string(nil), got...)
			}
			for deadline := time.Now().Add(20 * time.Second); len(told()) == 0 && time.Now().Before(deadline); {
				time.Sleep(50 * time.Millisecond)
			}
			time.Sleep(time.Second) // for one that would come twice
			if len(told()) != 1 {
				t.Fatalf("told %d times", len(told()))
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(told()[0], ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			var said struct {
				Aud     string
				Subject map[string]string `json:"sub_id"`
			}
			if err := json.Unmarshal(payload, &said); err != nil || said.Aud != "hears" || said.Subject["sub"] != sub {
				t.Errorf("%s %v", payload, err)
			}
		})
	}
}
