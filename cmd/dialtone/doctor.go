package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/ephemeral"
	"github.com/dialtone-id/dialtone/internal/server"
)

// finding is one thing that doctor looked at.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"` // ok, warning, failed
	Says  string `json:"says"`
}

// errUnhealthy makes doctor exit non-zero after it printed what is wrong.
var errUnhealthy = errors.New("something needs attention, see above")

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look at the configuration, the stores, the keys and the files, and say what is wrong",
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := a.examine(cmd.Context())
			t := table{head: []string{"check", "state", ""}}
			failed := false
			for _, f := range found {
				t.rows = append(t.rows, []string{f.Check, f.State, f.Says})
				failed = failed || f.State == "failed"
			}
			if err := a.print(cmd, found, t); err != nil {
				return err
			}
			if failed {
				return errUnhealthy
			}
			return nil
		},
	}
}

// examine goes on where it can: one broken store does not hide the next.
func (a *app) examine(ctx context.Context) (found []finding) {
	say := func(check string, err error, ok string) bool {
		f := finding{Check: check, State: "ok", Says: ok}
		if err != nil {
			f.State, f.Says = "failed", explain(err)
		}
		found = append(found, f)
		return err == nil
	}
	c, err := a.load("")
	if !say("configuration", err, "issuer "+c.Issuer) {
		return found
	}
	say("data directory", directory(c.DataDir), c.DataDir)
	found = append(found, secrecy(c)...)
	if c.TLS.KeyFile != "" {
		say("private key", ownersAlone(c.TLS.KeyFile), c.TLS.KeyFile)
	}
	if c.Redis != "" {
		say("redis", redis(ctx, c.Redis), "reachable")
	}
	core, err := server.OpenCore(ctx, c, slog.New(slog.DiscardHandler))
	if !say("database", err, "reachable, schema current, opened by the master secret") {
		return found
	}
	defer core.Close() //nolint:errcheck // only read
	keys, err := core.Ring.List(ctx)
	say("signing keys", err, fmt.Sprintf("%d keys", len(keys)))
	if core.DB.Engine() == db.SQLite {
		found = append(found, finding{"replicas", "ok", "SQLite serves one server; use PostgreSQL for more"})
	}
	return found
}

func directory(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // serve makes it
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", path)
	case info.Mode().Perm()&0o007 != 0:
		return fmt.Errorf("%s is open to everybody: chmod 700 %s", path, path)
	}
	return nil
}

// ownersAlone wants a secret's file closed to everybody else.
func ownersAlone(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("%s is open to everybody: chmod 600 %s", path, path)
	}
	return nil
}

// secrecy warns about what works but should not stay.
func secrecy(c config.Config) (found []finding) {
	for name, p := range c.SMS.Providers {
		if p.Type == "console" {
			found = append(found, finding{"sms provider " + name, "warning", "prints codes on the terminal: for developers only"})
		}
	}
	if len(c.SMS.TestNumbers) > 0 {
		found = append(found, finding{"sms test numbers", "warning", "their fixed codes let anybody in who knows them"})
	}
	return found
}

func redis(ctx context.Context, url string) error {
	store, err := ephemeral.OpenRedis(url, ephemeral.Options{})
	if err != nil {
		return err
	}
	return errors.Join(store.Ping(ctx), store.Close())
}
