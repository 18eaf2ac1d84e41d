package server_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/server"
)

// One SQLite file has one server; the second is told so, and the first goes on.
func TestASecondServerOnOneSQLiteFileIsRefused(t *testing.T) {
	c, err := config.Load(config.Source{Dev: true, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Dev: true, Log: slog.New(slog.DiscardHandler), Console: &safeBuffer{}}
	first, err := server.New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(t.Context(), c, o); !errors.Is(err, db.ErrServed) {
		t.Errorf("the second server: %v, want db.ErrServed", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := server.New(t.Context(), c, o)
	if err != nil {
		t.Fatalf("after the first one stopped: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}
