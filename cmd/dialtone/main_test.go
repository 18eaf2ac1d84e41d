package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
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
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}
