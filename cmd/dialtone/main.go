// Command dialtone is the whole product: the server and the operator's verbs that
// work beside it. This package holds flags, output and exit codes; everything else
// is in internal.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the configuration or the
// environment refuses, 4 not found, 5 conflict, 6 nobody knows whether it was done.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dialtone-id/dialtone/internal/config"
	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/fault"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is main with its exit code as a value, for the command stories in testdata.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "dialtone: "+explain(err))
	}
	return exitCode(err)
}

// errUsage marks mistakes in the command line itself.
var errUsage = errors.New("wrong usage")

// errUnknown marks what may have been done and may not.
var errUnknown = errors.New("the outcome is unknown")

func exitCode(err error) int {
	var invalid *config.Invalid
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return 2
	case errors.As(err, &invalid), errors.Is(err, db.ErrServed):
		return 3
	case errors.Is(err, db.ErrNotFound):
		return 4
	case errors.Is(err, db.ErrConflict):
		return 5
	case errors.Is(err, errUnknown):
		return 6
	}
	return 1
}

// explain shows a fault by its description alone; operators see other errors whole.
func explain(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && f.Status < 500 {
		return f.Description + " (" + f.Code + ")"
	}
	return err.Error()
}
