package main

import (
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/server"
)

func (a *app) serve() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until it is interrupted, then let requests finish and stop.

With --dev nothing else is needed: everything is kept under ./data, SMS are printed
here, and /demo signs in through the real flow.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := a.load(listen)
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			log := newLog(c, cmd.ErrOrStderr())
			slog.SetDefault(log)
			stdlog.SetOutput(io.Discard) // net/http prints there what a peer sent unasked, which may hold a code
			s, err := server.New(cmd.Context(), c, server.Options{
				Dev: a.dev, Version: version(), Log: log, Console: cmd.OutOrStdout(),
			})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			return s.Serve(cmd.Context(), func(addr net.Addr) { announce(cmd.OutOrStdout(), c, a.dev, addr) })
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "address to listen on, over the configuration's")
	return cmd
}

// gcPercent lets the small heap of a busy server grow before it is collected: a
// tenth more sign-ins a second for some 20 MB. GOGC says otherwise.
const gcPercent = 300

// newLog writes JSON for machines and text for people. Values mask themselves by
// their type; there is no filter that could be forgotten.
func newLog(c config.Config, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Log.SlogLevel()}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// announce is the first thing a newcomer reads.
func announce(out io.Writer, c config.Config, dev bool, addr net.Addr) {
	if !dev {
		fmt.Fprintf(out, "dialtone %s serves %s on %s\n", version(), c.Issuer, addr)
		return
	}
	lines := []string{
		"", "  Dialtone is ready.", "",
		"  Try it       " + c.Issuer + "/demo",
		"  Issuer       " + c.Issuer,
		"  Discovery    " + c.Issuer + "/.well-known/openid-configuration",
		"  Client       demo (public, PKCE), redirects to any loopback port",
		"  SMS          printed here: no message leaves this machine",
		"  Data         " + c.DataDir, "",
	}
	fmt.Fprintln(out, strings.Join(lines, "\n"))
}
