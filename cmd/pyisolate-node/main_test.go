package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pyisolate/pyisolate/broker/capability/jail"
	"github.com/pyisolate/pyisolate/cell/pydist"
)

// mainEnv makes the test binary behave as the command.
const mainEnv = "PYISOLATE_TEST_MAIN"

func TestMain(m *testing.M) {
	jail.Init()
	// A host is this binary under another first argument, a zygote never gets here.
	if os.Getenv(mainEnv) != "" || (len(os.Args) > 1 && os.Args[1] == "host") {
		os.Exit(Main(os.Args[1:]))
	}
	testscript.Main(m, map[string]func(){"pyisolate-node": func() { os.Exit(Main(os.Args[1:])) }})
}

func TestScripts(t *testing.T) {
	// Unpacked once here: the scripts have a home of their own.
	dist, err := pydist.Resolve(context.Background(), pydist.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PYISOLATE_PYTHON", dist.Lib)
			e.Setenv("EXAMPLES", wd+"/../../examples")
			return nil
		},
	})
}
