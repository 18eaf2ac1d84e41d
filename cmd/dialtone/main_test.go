package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dialtone-id/dialtone/internal/db"
)

// TestMain lets the test binary be the dialtone command: in the stories of
// testdata, and as a process that a test may kill.
func TestMain(m *testing.M) {
	if os.Getenv("DIALTONE_TEST_RUN_AS_COMMAND") == "1" {
		os.Exit(run(os.Args[1:]))
	}
	testscript.Main(m, map[string]func(){"dialtone": func() { os.Exit(run(os.Args[1:])) }})
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: map[string]func(*testscript.TestScript, bool, []string){"served": served}})
}

// served is "served FILE": from here on a server has that SQLite file.
func served(ts *testscript.TestScript, _ bool, args []string) {
	d, err := db.Open(context.Background(), "sqlite:"+ts.MkAbs(args[0]))
	ts.Check(err)
	release, err := d.LockServer(context.Background())
	ts.Check(err)
	ts.Defer(func() {
		release()
		ts.Check(d.Close())
	})
}
